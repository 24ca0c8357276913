//! Kinds of statement.

use crossfade_store::TableId;

use super::{
    CopyFacts, CursorFetch, DeleteFacts, InsertFacts, Isolation, MergeFacts, SelectFacts, SetFacts,
    SetTarget, UpdateFacts,
};

/// What a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// SELECT, TABLE, or a query that is a set operation.
    Select(SelectFacts),
    /// A bare VALUES.
    Values,
    /// INSERT.
    Insert(InsertFacts),
    /// UPDATE.
    Update(UpdateFacts),
    /// DELETE.
    Delete(DeleteFacts),
    /// MERGE.
    Merge(MergeFacts),
    /// COPY.
    Copy(CopyFacts),
    /// TRUNCATE.
    Truncate {
        /// RESTART IDENTITY.
        restart: bool,
        /// CASCADE.
        cascade: bool,
        /// The mapped tables named, each with whether it is so with ONLY.
        tables: Vec<(TableId, bool)>,
    },
    /// LOCK TABLE.
    Lock,
    /// BEGIN or START TRANSACTION.
    Begin {
        /// ISOLATION LEVEL, where it is given (trap 31).
        isolation: Option<Isolation>,
        /// READ ONLY or READ WRITE, where it is given.
        read_only: Option<bool>,
    },
    /// COMMIT or END.
    Commit {
        /// AND CHAIN.
        chain: bool,
    },
    /// ROLLBACK or ABORT.
    Rollback {
        /// AND CHAIN.
        chain: bool,
    },
    /// SAVEPOINT.
    Savepoint(String),
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo(String),
    /// RELEASE SAVEPOINT.
    Release(String),
    /// PREPARE TRANSACTION.
    PrepareTransaction(String),
    /// COMMIT PREPARED.
    CommitPrepared(String),
    /// ROLLBACK PREPARED.
    RollbackPrepared(String),
    /// SET, RESET.
    Set(SetFacts),
    /// SHOW; a name, or `all`.
    Show(String),
    /// DISCARD ALL, PLANS, SEQUENCES or TEMP.
    Discard(DiscardTarget),
    /// PREPARE name AS inner.
    Prepare {
        /// Name of the statement.
        name: String,
        /// What it will do.
        inner: Box<Kind>,
    },
    /// EXECUTE.
    Execute(String),
    /// DEALLOCATE; `None` is ALL.
    Deallocate(Option<String>),
    /// DECLARE … CURSOR.
    Declare {
        /// Name of the cursor.
        name: String,
        /// WITH HOLD: it outlives the transaction.
        hold: bool,
        /// What it reads.
        inner: Box<Kind>,
    },
    /// FETCH and MOVE.
    Fetch(CursorFetch),
    /// CLOSE; `None` is ALL.
    Close(Option<String>),
    /// LISTEN.
    Listen(String),
    /// UNLISTEN; `None` is `*`.
    Unlisten(Option<String>),
    /// NOTIFY.
    Notify(String),
    /// EXPLAIN.
    Explain {
        /// ANALYZE: the statement is run.
        analyze: bool,
        /// What is explained.
        inner: Box<Kind>,
    },
    /// CREATE TABLE AS, SELECT INTO, CREATE MATERIALIZED VIEW.
    CreateAs,
    /// DO.
    Do {
        /// The code names a mapped table, or something through which one is reached.
        names_mapped: bool,
    },
    /// CALL of the named procedure.
    Call(String),
    /// A statement that changes definitions, by the grammar's name for it (`AlterTableStmt`).
    Ddl(&'static str),
    /// VACUUM, ANALYZE, CLUSTER, REINDEX, REFRESH, CHECKPOINT.
    Maintenance,
    /// SET CONSTRAINTS; `true` is DEFERRED.
    Constraints {
        /// DEFERRED rather than IMMEDIATE.
        deferred: bool,
    },
    /// SET TRANSACTION or SET SESSION CHARACTERISTICS.
    SetTransaction {
        /// ISOLATION LEVEL, where it is given (trap 31).
        isolation: Option<Isolation>,
        /// READ ONLY or READ WRITE, where it is given.
        read_only: Option<bool>,
        /// SESSION CHARACTERISTICS: for the transactions to come.
        session: bool,
        /// SET TRANSACTION SNAPSHOT: the snapshot belongs to one server.
        snapshot: bool,
    },
    /// LOAD and anything else.
    Other(&'static str),
}

/// What DISCARD throws away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiscardTarget {
    /// Everything.
    All,
    /// Cached plans.
    Plans,
    /// Cached sequence state.
    Sequences,
    /// Temporary tables.
    Temp,
}

impl Kind {
    /// The mapped table that an INSERT, UPDATE or DELETE writes.
    #[must_use]
    pub fn written(&self) -> Option<TableId> {
        match self {
            Kind::Insert(facts) => facts.table,
            Kind::Update(facts) => facts.table,
            Kind::Delete(facts) => facts.table,
            _ => None,
        }
    }

    /// The mapped table that a MERGE writes.
    #[must_use]
    pub fn merged(&self) -> Option<TableId> {
        match self {
            Kind::Merge(facts) => facts.table,
            _ => None,
        }
    }

    /// Whether it is an INSERT with ON CONFLICT.
    #[must_use]
    pub fn has_conflict(&self) -> bool {
        matches!(self, Kind::Insert(facts) if facts.conflict.is_some())
    }

    /// Whether an INSERT, UPDATE or DELETE answers with rows.
    #[must_use]
    pub fn returns(&self) -> bool {
        match self {
            Kind::Insert(facts) => facts.returning,
            Kind::Update(facts) => facts.returning,
            Kind::Delete(facts) => facts.returning,
            _ => false,
        }
    }

    /// The statement that runs when this one does: itself, or what EXPLAIN ANALYZE and DECLARE run.
    #[must_use]
    pub fn running(&self) -> &Kind {
        match self {
            Kind::Explain {
                analyze: true,
                inner,
            }
            | Kind::Declare { inner, .. } => inner.running(),
            other => other,
        }
    }

    /// Whether the setting it changes decides what later names mean, or how later texts are read.
    #[must_use]
    pub fn changes_names(&self) -> bool {
        match self {
            Kind::Set(set) => {
                matches!(
                    set.target,
                    SetTarget::SearchPath
                        | SetTarget::Role
                        | SetTarget::SessionAuthorization
                        | SetTarget::ClientEncoding
                        | SetTarget::ConformingStrings
                        | SetTarget::All
                )
            }
            Kind::Discard(DiscardTarget::All | DiscardTarget::Temp) => true,
            _ => false,
        }
    }
}
