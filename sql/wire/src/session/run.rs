//! Running a statement.

use std::sync::Arc;

use crossfade_values::{Error, Value};
use pg_query::NodeEnum;
use tokio::time::Instant;

use super::{Phase, Serving, portal::Portal};
use crate::{
    Column, Prepared, Surroundings,
    protocol::backend,
    questions::{self, Question},
    report::{Report, Result},
    sink::{Collected, RowSink, Target},
    statement::{Statement, Work},
};

impl Serving {
    /// Whether a statement may run now.
    ///
    /// # Errors
    /// 25P02 in a block that has failed.
    pub(super) fn admit(&self, exit: bool) -> Result<()> {
        if self.session.transaction.phase == Phase::Failed && !exit {
            let told =
                "current transaction is aborted, commands ignored until end of transaction block";
            return Err(Report::new("25P02", told));
        }
        Ok(())
    }

    /// Runs a statement and gives its command tag; none for an empty text. `last`: a commit follows at once.
    pub(super) async fn run(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        target: &mut Target,
        last: bool,
    ) -> Result<Option<String>> {
        match &statement.work {
            Work::Nothing => Ok(None),
            Work::Engine(command, prepared) => {
                let last = last && self.session.transaction.phase == Phase::Implicit;
                self.run_engine(command, prepared, params, target, last)
                    .await
                    .map(Some)
            }
            Work::Question(question, columns) => {
                if std::mem::take(&mut target.describe) {
                    backend::row_description(&mut self.io.out, columns, &target.formats);
                }
                let rows = self.answer(question)?;
                let count = rows.len();
                self.emit(columns, &rows, target)?;
                Ok(Some(format!("SELECT {count}")))
            }
            Work::Own(node, columns) => match &**node {
                NodeEnum::DeclareCursorStmt(declare) => self
                    .declare(declare, statement, params)
                    .await
                    .map(|tag| Some(tag.to_owned())),
                node => self
                    .run_own(node, columns.as_deref(), &statement.text, target)
                    .await
                    .map(Some),
            },
        }
    }

    async fn run_engine(
        &mut self,
        command: &str,
        prepared: &Prepared,
        params: &[Value],
        target: &mut Target,
        last: bool,
    ) -> Result<String> {
        check_parameters(prepared, params)?;
        self.check_read_only(command, prepared)?;
        let until = self.deadline();
        let Serving { session, io } = self;
        session.ensure_begun(until).await?;
        let open: Vec<&Prepared> = session
            .portals
            .values()
            .filter_map(Portal::prepared)
            .collect();
        session.engine.beside(prepared, &open)?;
        let columns = prepared.columns.as_deref().unwrap_or_default();
        if target.describe && prepared.columns.is_some() {
            backend::row_description(&mut io.out, columns, &target.formats);
        }
        let mut sink = RowSink {
            io,
            target,
            columns,
            state: &session.state,
            scratch: Vec::new(),
        };
        let work = session
            .engine
            .execute(prepared, params, last, &session.state, &mut sink);
        let tag = session.key.watch(until, work).await?;
        session.state.take_changes()?;
        Ok(tag)
    }

    /// Runs a statement of the engine for its values.
    pub(super) async fn collect(
        &mut self,
        prepared: &Prepared,
        params: &[Value],
    ) -> Result<Collected> {
        check_parameters(prepared, params)?;
        let until = self.deadline();
        let session = &mut self.session;
        session.ensure_begun(until).await?;
        let mut sink = Collected::default();
        let work = session
            .engine
            .execute(prepared, params, false, &session.state, &mut sink);
        session.key.watch(until, work).await?;
        session.state.take_changes()?;
        Ok(sink)
    }

    fn deadline(&self) -> Option<Instant> {
        let limit = self.session.state.time("statement_timeout")?;
        Instant::now().checked_add(limit)
    }

    fn check_read_only(&self, command: &str, prepared: &Prepared) -> Result<()> {
        if !prepared.writes || !self.session.transaction.mode.begin.read_only {
            return Ok(());
        }
        let told = format!("cannot execute {command} in a read-only transaction");
        Err(Report::new("25006", told))
    }

    /// Sends rows that the session has itself.
    pub(super) fn emit<R: AsRef<[Value]>>(
        &mut self,
        columns: &[Column],
        rows: &[R],
        target: &mut Target,
    ) -> Result<()> {
        let Serving { session, io } = self;
        if target.describe {
            backend::row_description(&mut io.out, columns, &target.formats);
        }
        let mut sink = RowSink {
            io,
            target,
            columns,
            state: &session.state,
            scratch: Vec::new(),
        };
        for row in rows {
            crate::Sink::push(&mut sink, row.as_ref())?;
        }
        Ok(())
    }

    /// Answers a question about the session.
    fn answer(&mut self, question: &Question) -> Result<Vec<Vec<Value>>> {
        let state = &mut self.session.state;
        let text = |text: &str| Value::text(text);
        Ok(match question {
            Question::Statements => state
                .prepared_statements()
                .into_iter()
                .filter(|(.., by_sql)| !by_sql)
                .map(|(name, sql, types, _)| {
                    let types: Vec<String> = types.iter().map(u32::to_string).collect();
                    let types = format!("{{{}}}", types.join(","));
                    vec![text(&name), text(&sql), text(&types)]
                })
                .collect(),
            Question::SqlStatements => state
                .prepared_statements()
                .into_iter()
                .filter(|(.., by_sql)| *by_sql)
                .map(|(name, sql, ..)| vec![text(&name), text(&sql)])
                .collect(),
            Question::Settings(names) => {
                let mut rows: Vec<Vec<Value>> = state
                    .settings
                    .changed()
                    .filter(|(name, _)| !name.contains('.') && !is_account(name))
                    .map(|(name, value)| vec![text(name), text(value)])
                    .collect();
                for name in std::iter::once("role").chain(names.iter().map(|name| &name[..])) {
                    let value = state.settings.get(name).map_or(Value::Null, text);
                    rows.push(vec![text(name), value]);
                }
                rows
            }
            Question::Bound => {
                let by_sql = state.statements.values().any(|named| named.by_sql);
                let locks = self.session.engine.holds_advisory_locks();
                [
                    (locks, "advisory locks"),
                    (by_sql, "statements of SQL-level PREPARE"),
                ]
                .into_iter()
                .filter(|(is, _)| *is)
                .map(|(_, what)| vec![text(what)])
                .collect()
            }
            Question::Channels => Vec::new(),
            Question::Names(tables) => {
                let mut path = state.session.schemas.clone();
                if !path.iter().any(|schema| schema == "pg_catalog") {
                    path.insert(0, "pg_catalog".to_owned());
                }
                let hidden = questions::hidden(tables, &path).join("\u{1}");
                let answer = format!("{}\u{2}{hidden}", path.join("\u{1}"));
                vec![vec![text(&answer)]]
            }
            Question::Setting(name, may_be_missing) => {
                let value = match self.show(name) {
                    Ok(value) => Value::text(value),
                    Err(_) if *may_be_missing => Value::Null,
                    Err(error) => return Err(error.into()),
                };
                vec![vec![value]]
            }
            Question::SetConfig(name, value, local) => {
                let value = self.set(name, value.as_deref(), *local)?;
                vec![vec![Value::text(value)]]
            }
        })
    }

    /// A setting's value, also of those that are the transaction's.
    pub(super) fn show(&self, name: &str) -> std::result::Result<String, Error> {
        let state = &self.session.state;
        let lower = name.to_ascii_lowercase();
        if lower.starts_with("transaction_")
            && let Some(value) = state.session.settings.get(&lower)
        {
            return Ok(value.clone());
        }
        state.settings.show(name).map(str::to_owned)
    }
}

fn is_account(name: &str) -> bool {
    matches!(name, "role" | "session_authorization")
}

/// A parameter that nobody gave is an error, and no NULL.
fn check_parameters(prepared: &Prepared, given: &[Value]) -> Result<()> {
    if prepared.params.len() <= given.len() {
        return Ok(());
    }
    let told = format!("there is no parameter ${}", given.len() + 1);
    Err(Report::new("42P02", told))
}
