//! Transactions: blocks, savepoints, and the implicit one until Sync.

use crossfade_values::{Error, Result};
use tokio::time::Instant;

use super::Session;
use crate::{Begin, Isolation, settings, state};

/// Where the session's transaction is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There is none.
    #[default]
    None,
    /// Of the statements until the next Sync, or of one Query.
    Implicit,
    /// Between BEGIN and COMMIT.
    Block,
    /// A block in which a statement failed.
    Failed,
}

/// How a transaction is, by BEGIN, SET TRANSACTION or the session's defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mode {
    pub(crate) begin: Begin,
    pub(crate) deferrable: bool,
}

/// What a BEGIN or SET TRANSACTION says of the mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) isolation: Option<Isolation>,
    pub(crate) read_only: Option<bool>,
    pub(crate) deferrable: Option<bool>,
}

/// The session's transaction.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) phase: Phase,
    /// The engine has begun it.
    pub(crate) begun: bool,
    pub(crate) mode: Mode,
    /// A statement of the engine has run: modes are fixed.
    pub(crate) ran: bool,
    /// An implicit transaction has more than one statement, which makes it a block to some commands.
    pub(crate) many: bool,
    /// Statements so far.
    pub(crate) statements: usize,
    /// Names, the outermost first.
    pub(crate) savepoints: Vec<String>,
}

impl Transaction {
    /// Whether commands that want a block have one.
    pub(crate) fn is_block(&self) -> bool {
        match self.phase {
            Phase::Block | Phase::Failed => true,
            Phase::Implicit => self.many,
            Phase::None => false,
        }
    }
}

/// An isolation level as settings name it.
pub(crate) fn isolation(name: &str) -> Isolation {
    match name {
        "serializable" => Isolation::Serializable,
        "repeatable read" => Isolation::RepeatableRead,
        "read uncommitted" => Isolation::ReadUncommitted,
        _ => Isolation::ReadCommitted,
    }
}

fn isolation_name(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadUncommitted => "read uncommitted",
        Isolation::ReadCommitted => "read committed",
        Isolation::RepeatableRead => "repeatable read",
        Isolation::Serializable => "serializable",
    }
}

impl Session {
    /// Begins an implicit transaction, unless there is a transaction.
    pub(super) fn start(&mut self) {
        self.state.session.statement_start = state::now();
        if self.transaction.phase == Phase::None {
            let mode = self.default_mode();
            self.start_with(Phase::Implicit, mode);
        }
        self.transaction.statements += 1;
    }

    fn start_with(&mut self, phase: Phase, mode: Mode) {
        self.transaction = Transaction {
            phase,
            mode,
            ..Transaction::default()
        };
        self.state.session.transaction_start = self.state.session.statement_start;
        self.state.settings.save();
        let types = self.source.types();
        if !std::sync::Arc::ptr_eq(&types, &self.state.types) && *types != *self.state.types {
            self.state.types = types;
            self.state.generation += 1;
        }
        self.show_mode();
    }

    fn default_mode(&self) -> Mode {
        let default = self.state.settings.get("default_transaction_isolation");
        Mode {
            begin: Begin {
                read_only: self.state.is_on("default_transaction_read_only"),
                isolation: isolation(default.unwrap_or_default()),
            },
            deferrable: self.state.is_on("default_transaction_deferrable"),
        }
    }

    fn show_mode(&mut self) {
        let Mode { begin, deferrable } = self.transaction.mode;
        let on = |on: bool| if on { "on" } else { "off" };
        for (name, value) in [
            ("transaction_isolation", isolation_name(begin.isolation)),
            ("transaction_read_only", on(begin.read_only)),
            ("transaction_deferrable", on(deferrable)),
        ] {
            self.state.show_transaction(name, value);
        }
    }

    /// Sets the transaction's mode.
    ///
    /// # Errors
    /// 25001 when it is too late for that.
    pub(super) fn set_mode(&mut self, wanted: Wanted) -> Result<()> {
        let Transaction {
            mode,
            ran,
            savepoints,
            ..
        } = &mut self.transaction;
        let late = |told: &str| Err(Error::new("25001", told));
        if let Some(isolation) = wanted.isolation
            && isolation != mode.begin.isolation
        {
            if *ran {
                return late("SET TRANSACTION ISOLATION LEVEL must be called before any query");
            }
            if !savepoints.is_empty() {
                return late(
                    "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction",
                );
            }
            mode.begin.isolation = isolation;
        }
        if let Some(read_only) = wanted.read_only {
            if mode.begin.read_only && !read_only {
                if *ran {
                    return late("transaction read-write mode must be set before any query");
                }
                if !savepoints.is_empty() {
                    return late(
                        "cannot set transaction read-write mode inside a read-only transaction",
                    );
                }
            }
            mode.begin.read_only = read_only;
        }
        if let Some(deferrable) = wanted.deferrable {
            if *ran {
                return late("SET TRANSACTION [NOT] DEFERRABLE must be called before any query");
            }
            mode.deferrable = deferrable;
        }
        self.show_mode();
        Ok(())
    }

    /// BEGIN: makes a block of the implicit transaction.
    pub(super) fn begin_block(&mut self, wanted: Wanted) -> Result<()> {
        self.transaction.phase = Phase::Block;
        self.set_mode(wanted)
    }

    /// Has the engine begin, if it has not yet.
    pub(super) async fn ensure_begun(&mut self, until: Option<Instant>) -> Result<()> {
        if !self.transaction.begun {
            // Also when it fails half way, there is something to take back.
            self.transaction.begun = true;
            let begin = self.engine.begin(self.transaction.mode.begin);
            self.key.watch(until, begin).await?;
        }
        self.transaction.ran = true;
        Ok(())
    }

    /// Commits what there is. `chain` begins the next block at once.
    pub(super) async fn commit(&mut self, chain: bool) -> Result<()> {
        let outcome = if self.transaction.begun {
            self.engine.commit().await
        } else {
            Ok(())
        };
        if outcome.is_err() {
            self.engine.rollback().await;
        }
        self.ended(outcome.is_ok(), chain && outcome.is_ok());
        outcome
    }

    /// Takes back what there is.
    pub(super) async fn rollback(&mut self, chain: bool) {
        if self.transaction.begun {
            self.engine.rollback().await;
        }
        self.ended(false, chain);
    }

    fn ended(&mut self, committed: bool, chain: bool) {
        let mode = self.transaction.mode;
        self.transaction = Transaction::default();
        self.portals.clear();
        self.state.changes().clear();
        self.state.settings.end(committed);
        self.state.follow();
        if chain {
            self.start_with(Phase::Block, mode);
        } else {
            self.transaction.mode = self.default_mode();
            self.show_mode();
        }
    }

    /// A statement failed: an implicit transaction is over, a block waits for its end.
    pub(super) async fn abort(&mut self) {
        self.state.changes().clear();
        match self.transaction.phase {
            Phase::None | Phase::Failed => {}
            Phase::Implicit => self.rollback(false).await,
            Phase::Block => {
                self.transaction.phase = Phase::Failed;
                // Nothing to go back to: what the store holds for it is given up at once.
                if self.transaction.savepoints.is_empty() && self.transaction.begun {
                    self.engine.rollback().await;
                    self.transaction.begun = false;
                }
            }
        }
    }

    pub(super) async fn savepoint(&mut self, name: &str) -> Result<()> {
        if self.transaction.phase != Phase::Block {
            return Err(settings::only_in_block("SAVEPOINT"));
        }
        let ran = self.transaction.ran;
        self.ensure_begun(None).await?;
        self.transaction.ran = ran;
        self.engine.savepoint(name).await?;
        self.transaction.savepoints.push(name.to_owned());
        self.state.settings.save();
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize> {
        self.transaction
            .savepoints
            .iter()
            .rposition(|known| known == name)
            .ok_or_else(|| Error::new("3B001", format!("savepoint \"{name}\" does not exist")))
    }

    pub(super) async fn rollback_to(&mut self, name: &str) -> Result<()> {
        if !matches!(self.transaction.phase, Phase::Block | Phase::Failed) {
            return Err(settings::only_in_block("ROLLBACK TO SAVEPOINT"));
        }
        let at = self.find(name)?;
        self.engine.rollback_to(name).await?;
        self.transaction.phase = Phase::Block;
        self.transaction.savepoints.truncate(at + 1);
        self.portals.retain(|_, portal| portal.level <= at);
        // The first mark is the transaction's own.
        self.state.settings.restore(at + 1);
        self.state.follow();
        Ok(())
    }

    pub(super) async fn release(&mut self, name: &str) -> Result<()> {
        if self.transaction.phase != Phase::Block {
            return Err(settings::only_in_block("RELEASE SAVEPOINT"));
        }
        let at = self.find(name)?;
        self.engine.release(name).await?;
        self.transaction.savepoints.truncate(at);
        self.state.settings.release(at + 1);
        for portal in self.portals.values_mut() {
            portal.level = portal.level.min(at);
        }
        Ok(())
    }
}
