//! Facts of statements on the session.

/// A transaction's isolation level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// READ UNCOMMITTED, which PostgreSQL treats as READ COMMITTED.
    ReadUncommitted,
    /// READ COMMITTED.
    ReadCommitted,
    /// REPEATABLE READ.
    RepeatableRead,
    /// SERIALIZABLE.
    Serializable,
}

impl Isolation {
    pub(in crate::sql) fn from_words(words: &str) -> Option<Isolation> {
        match words {
            "read uncommitted" => Some(Isolation::ReadUncommitted),
            "read committed" => Some(Isolation::ReadCommitted),
            "repeatable read" => Some(Isolation::RepeatableRead),
            "serializable" => Some(Isolation::Serializable),
            _ => None,
        }
    }

    /// Whether the transaction reads from one snapshot (trap 31).
    #[must_use]
    pub fn is_one_snapshot(self) -> bool {
        matches!(self, Isolation::RepeatableRead | Isolation::Serializable)
    }
}

/// SET or RESET of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetFacts {
    /// The setting's name in lower case; `all` for RESET ALL.
    pub name: String,
    /// Settings that mean something to the proxy.
    pub target: SetTarget,
    /// What is done to it.
    pub action: SetAction,
    /// SET LOCAL: until the transaction ends.
    pub local: bool,
}

/// Settings that mean something to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetTarget {
    /// `search_path`: decides what an unqualified name means.
    SearchPath,
    /// `role`.
    Role,
    /// `session_authorization`.
    SessionAuthorization,
    /// `standard_conforming_strings`: decides where strings end.
    ConformingStrings,
    /// `client_encoding`: decides what bytes mean.
    ClientEncoding,
    /// `default_transaction_isolation` or `transaction_isolation` (trap 31).
    Isolation,
    /// `session_replication_role`: switches triggers off.
    ReplicationRole,
    /// RESET ALL.
    All,
    /// Any other.
    Other,
}

impl SetTarget {
    pub(in crate::sql) fn of(name: &str) -> SetTarget {
        match name {
            "search_path" => SetTarget::SearchPath,
            "role" => SetTarget::Role,
            "session_authorization" => SetTarget::SessionAuthorization,
            "standard_conforming_strings" => SetTarget::ConformingStrings,
            "client_encoding" => SetTarget::ClientEncoding,
            "default_transaction_isolation" | "transaction_isolation" => SetTarget::Isolation,
            "session_replication_role" => SetTarget::ReplicationRole,
            "all" => SetTarget::All,
            _ => SetTarget::Other,
        }
    }
}

/// What is done to a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetAction {
    /// It becomes these values.
    To(Vec<String>),
    /// It goes back to its default.
    Reset,
    /// SET … FROM CURRENT.
    FromCurrent,
}

/// COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFacts {
    /// COPY … FROM, which writes the table.
    pub from: bool,
    /// STDIN or STDOUT, through this connection, rather than a file or program of the server.
    pub streamed: bool,
    /// The query of COPY (query) TO.
    pub query: bool,
    /// Columns named; empty means all.
    pub columns: Vec<String>,
    /// `FORMAT` or its old spelling, in lower case; `text` without one.
    pub format: String,
    /// WHERE: it may look at columns that the data does not have.
    pub filtered: bool,
    /// The option DEFAULT: data may ask for a column's default.
    pub defaults: bool,
}

/// FETCH and MOVE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorFetch {
    /// Name of the cursor.
    pub name: String,
    /// MOVE: no rows are returned.
    pub moves: bool,
}
