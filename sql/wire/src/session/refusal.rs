//! What a session would refuse, found out without running anything.

use crossfade_values::Error;
use futures::FutureExt as _;
use pg_query::{
    Node, NodeEnum,
    protobuf::{TransactionStmt, TransactionStmtKind as Kind},
};

use super::{
    Session,
    set::{self, Change, wanted},
    transaction::{Wanted, isolation},
    understand::check_cursor,
};
use crate::{
    Begin,
    parse::{self, Parsed},
    report::Result,
};

/// What PostgreSQL did and documents do not: not supported; a table or a column that is not there. Any other error is one there as well, or is known
/// only with the types of the parameters.
const REFUSALS: [&str; 3] = ["0A000", "42P01", "42703"];

/// Settings by which a session's transactions are of another kind.
const ISOLATION: [&str; 2] = ["default_transaction_isolation", "transaction_isolation"];

impl Session {
    /// Why one of the statements of a text would be refused; `None` when each would be served. The session is of no use afterwards.
    pub(crate) fn refuses(mut self, text: &str) -> Option<String> {
        let told = parse::parse(text)
            .and_then(|parsed| parsed.into_iter().try_for_each(|one| self.foresee(one)))
            .err()?;
        let Error {
            message,
            detail,
            hint,
            ..
        } = &told.error;
        let parts = [Some(message), detail.as_ref(), hint.as_ref()];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        REFUSALS
            .contains(&told.sqlstate())
            .then(|| parts.join("; "))
    }

    fn foresee(&mut self, parsed: Parsed) -> Result<()> {
        match &parsed.node {
            NodeEnum::TransactionStmt(statement) => self.foresee_transaction(statement),
            NodeEnum::VariableSetStmt(statement) => match set::read(statement)?.0 {
                Change::To(name, value, local) => self.foresee_setting(&name, value, local),
                Change::Transaction(wanted) | Change::Defaults(wanted) => self.can_begin(wanted),
                Change::ToCurrent(..) | Change::ResetAll => Ok(()),
            },
            NodeEnum::DoStmt(_) => Err(Error::unsupported("DO").into()),
            NodeEnum::PrepareStmt(statement) => {
                let inner = inner(statement.query.as_deref(), &parsed);
                inner.map_or(Ok(()), |inner| self.understand(inner, &[]).map(drop))
            }
            NodeEnum::DeclareCursorStmt(statement) => {
                let Some(inner) = inner(statement.query.as_deref(), &parsed) else {
                    return Ok(());
                };
                check_cursor(&inner.node)?;
                self.understand(inner, &[]).map(drop)
            }
            _ => self.understand(parsed, &[]).map(drop),
        }
    }

    fn foresee_transaction(&mut self, statement: &TransactionStmt) -> Result<()> {
        match statement.kind() {
            Kind::TransStmtBegin | Kind::TransStmtStart => {
                self.can_begin(wanted(&statement.options)?)
            }
            Kind::TransStmtPrepare
            | Kind::TransStmtCommitPrepared
            | Kind::TransStmtRollbackPrepared => Err(Error::unsupported("two-phase commit").into()),
            Kind::TransStmtCommit
            | Kind::TransStmtRollback
            | Kind::TransStmtSavepoint
            | Kind::TransStmtRelease
            | Kind::TransStmtRollbackTo
            | Kind::Undefined => Ok(()),
        }
    }

    fn foresee_setting(&mut self, name: &str, value: Option<String>, local: bool) -> Result<()> {
        let canonical = self.state.settings.set(name, value.as_deref(), local)?;
        self.state.follow();
        if ISOLATION.contains(&&name.to_ascii_lowercase()[..]) {
            let isolation = Some(isolation(&canonical));
            return self.can_begin(Wanted {
                isolation,
                ..Wanted::default()
            });
        }
        Ok(())
    }

    /// Whether the engine has transactions of this kind. An engine that has to ask somebody is believed to have them.
    fn can_begin(&mut self, wanted: Wanted) -> Result<()> {
        let how = Begin {
            read_only: wanted.read_only.unwrap_or_default(),
            isolation: wanted.isolation.unwrap_or_default(),
        };
        match self.engine.begin(how).now_or_never() {
            Some(Err(refused)) => Err(refused.into()),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

/// The statement within another.
fn inner(node: Option<&Node>, around: &Parsed) -> Option<Parsed> {
    Some(Parsed {
        text: around.text.clone(),
        offset: around.offset,
        node: node?.node.clone()?,
    })
}
