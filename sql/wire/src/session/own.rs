//! Statements that are the session's own business and no engine's.

use crossfade_values::Error;
use pg_query::{
    NodeEnum,
    protobuf::{DiscardMode, DoStmt, TransactionStmt, TransactionStmtKind as Kind},
};

use super::{
    Phase, Serving,
    set::{self, wanted},
};
use crate::{
    Column, raise,
    report::{Report, Result},
    settings,
    sink::Target,
};

impl Serving {
    /// Runs a statement of the session's own and gives its command tag.
    pub(super) async fn run_own(
        &mut self,
        node: &NodeEnum,
        columns: Option<&[Column]>,
        text: &str,
        target: &mut Target,
    ) -> Result<String> {
        let tag = match node {
            NodeEnum::TransactionStmt(statement) => return self.transaction(statement).await,
            NodeEnum::VariableSetStmt(set) => self.set_statement(set)?,
            NodeEnum::VariableShowStmt(show) => {
                self.show_statement(&show.name, columns.unwrap_or_default(), target)?
            }
            NodeEnum::DiscardStmt(discard) => self.discard(discard.target()).await?,
            NodeEnum::PrepareStmt(prepare) => self.prepare_by_sql(prepare, text)?,
            NodeEnum::ExecuteStmt(execute) => {
                return self.execute_by_sql(execute, text, target).await;
            }
            NodeEnum::DeallocateStmt(deallocate) => {
                self.deallocate((!deallocate.isall).then_some(&deallocate.name))?
            }
            // Nothing can have been listened to.
            NodeEnum::UnlistenStmt(_) => "UNLISTEN",
            // No constraint is deferrable.
            NodeEnum::ConstraintsSetStmt(_) => {
                if !self.session.transaction.is_block() {
                    self.warn_no_block("SET CONSTRAINTS");
                }
                "SET CONSTRAINTS"
            }
            NodeEnum::FetchStmt(fetch) => return self.fetch(fetch, target),
            NodeEnum::ClosePortalStmt(close) => self.close_cursor(&close.portalname)?,
            NodeEnum::DoStmt(block) => return Err(block_error(block)),
            // `understand` lets no other through.
            _ => return Err(Error::unsupported("this statement").into()),
        };
        Ok(tag.to_owned())
    }

    async fn transaction(&mut self, statement: &TransactionStmt) -> Result<String> {
        let name = &statement.savepoint_name;
        let tag = match statement.kind() {
            kind @ (Kind::TransStmtBegin | Kind::TransStmtStart) => {
                self.begin(statement)?;
                if kind == Kind::TransStmtBegin {
                    "BEGIN"
                } else {
                    "START TRANSACTION"
                }
            }
            Kind::TransStmtCommit => return self.end(true, statement.chain).await,
            Kind::TransStmtRollback => return self.end(false, statement.chain).await,
            Kind::TransStmtSavepoint => {
                self.session.savepoint(name).await?;
                "SAVEPOINT"
            }
            Kind::TransStmtRelease => {
                self.session.release(name).await?;
                "RELEASE"
            }
            Kind::TransStmtRollbackTo => {
                self.session.rollback_to(name).await?;
                "ROLLBACK"
            }
            Kind::TransStmtPrepare
            | Kind::TransStmtCommitPrepared
            | Kind::TransStmtRollbackPrepared
            | Kind::Undefined => return Err(Error::unsupported("two-phase commit").into()),
        };
        Ok(tag.to_owned())
    }

    fn begin(&mut self, statement: &TransactionStmt) -> Result<()> {
        let wanted = wanted(&statement.options)?;
        match self.session.transaction.phase {
            Phase::None | Phase::Implicit => self.session.begin_block(wanted)?,
            Phase::Block | Phase::Failed => {
                let told = "there is already a transaction in progress";
                self.warn(&Report::warning("25001", told));
                self.session.set_mode(wanted)?;
            }
        }
        Ok(())
    }

    /// COMMIT, or ROLLBACK where the block has failed or it is asked for.
    async fn end(&mut self, commits: bool, chain: bool) -> Result<String> {
        let phase = self.session.transaction.phase;
        if matches!(phase, Phase::None | Phase::Implicit) {
            if chain {
                let what = if commits { "COMMIT" } else { "ROLLBACK" };
                return Err(settings::only_in_block(&format!("{what} AND CHAIN")).into());
            }
            let told = "there is no transaction in progress";
            self.warn(&Report::warning("25P01", told));
        }
        if commits && phase != Phase::Failed {
            self.session.commit(chain).await?;
            return Ok("COMMIT".to_owned());
        }
        self.session.rollback(chain).await;
        Ok("ROLLBACK".to_owned())
    }

    async fn discard(&mut self, mode: DiscardMode) -> Result<&'static str> {
        let session = &mut self.session;
        match mode {
            DiscardMode::DiscardPlans => session.cache.clear(),
            DiscardMode::DiscardTemp => return Ok("DISCARD TEMP"),
            DiscardMode::DiscardSequences => return Ok("DISCARD SEQUENCES"),
            DiscardMode::DiscardAll | DiscardMode::Undefined => {
                let transaction = &session.transaction;
                if transaction.is_block() || transaction.statements > 1 {
                    let told = "DISCARD ALL cannot run inside a transaction block";
                    return Err(Report::new("25001", told));
                }
                session.portals.clear();
                for name in ["session_authorization", "role"] {
                    session.state.settings.set(name, None, false)?;
                }
                session.state.settings.reset_all();
                session.state.statements.clear();
                session.cache.clear();
                session.state.follow();
                self.unlock().await?;
                return Ok("DISCARD ALL");
            }
        }
        Ok("DISCARD PLANS")
    }

    /// Gives advisory locks back.
    async fn unlock(&mut self) -> Result<()> {
        if !self.session.engine.holds_advisory_locks() {
            return Ok(());
        }
        let sql = "SELECT pg_catalog.pg_advisory_unlock_all()";
        let statement = self.session.understand_one(sql, &[])?;
        match &statement.work {
            crate::statement::Work::Engine(_, prepared) => {
                self.collect(prepared, &[]).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    fn show_statement(
        &mut self,
        name: &str,
        columns: &[Column],
        target: &mut Target,
    ) -> Result<&'static str> {
        let text = |text: &str| crossfade_values::Value::text(text);
        let rows = if name.eq_ignore_ascii_case("all") {
            let state = &self.session.state;
            let all = state.settings.all();
            all.map(|(name, _)| {
                let value = self.show(name).unwrap_or_default();
                vec![text(name), text(&value), text("")]
            })
            .collect()
        } else {
            vec![vec![text(&self.show(name)?)]]
        };
        self.emit(columns, &rows, target)?;
        Ok("SHOW")
    }

    fn set_statement(
        &mut self,
        statement: &pg_query::protobuf::VariableSetStmt,
    ) -> Result<&'static str> {
        let (change, tag) = set::read(statement)?;
        self.apply(change)?;
        Ok(tag)
    }
}

/// The error that the proxy wants raised, or that blocks are not served.
fn block_error(block: &DoStmt) -> Report {
    raise::raised(block).unwrap_or_else(|| Error::unsupported("DO").into())
}
