//! The extended protocol: Parse, Bind, Describe, Execute, Close, Sync.

use std::sync::Arc;

use bytes::Bytes;
use crossfade_values::{Type, Value, format};
use pg_query::NodeEnum;

use super::{
    Over, Phase, Served, Serving,
    portal::{self, Bound, Portal, Progress, What},
};
use crate::{
    Column,
    protocol::{
        backend::{self, Formats},
        frontend::{Bind, Message, Parse, Target as Named, utf8},
    },
    report::{Report, Result},
    sink::{Kept, Target},
    state,
    statement::{Statement, Work},
};

impl Serving {
    pub(super) async fn extended(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Parse(parse) => self.parse(parse),
            Message::Bind(bind) => self.bind(bind),
            Message::Describe(named) => self.describe(&named),
            Message::Execute { portal, most_rows } => self.execute(&portal, most_rows).await,
            Message::Close(named) => {
                self.close(&named);
                Ok(())
            }
            // The others were dealt with.
            _ => Ok(()),
        }
    }

    fn parse(&mut self, parse: Parse) -> Result<()> {
        let Parse { name, sql, types } = parse;
        let sql = utf8(&sql)?;
        let session = &mut self.session;
        if name.is_empty() {
            session.state.statements.remove("");
        } else if session.state.statements.contains_key(&name) {
            let told = format!("prepared statement \"{name}\" already exists");
            return Err(Report::new("42P05", told));
        }
        session.state.session.statement_start = state::now();
        let statement = session
            .understand_one(sql, &types)
            .map_err(|report| report.located(sql, 0))?;
        self.admit(statement.is_exit() || statement.is_nothing())?;
        let named = state::Named {
            source: statement.text.clone(),
            statement,
            by_sql: false,
        };
        self.session.state.statements.insert(name, named);
        backend::empty(&mut self.io.out, b'1');
        Ok(())
    }

    /// A prepared statement, as it is now.
    pub(super) fn named(&mut self, name: &str) -> Result<Arc<Statement>> {
        let Some(named) = self.session.state.statements.get(name) else {
            return Err(Report::new(
                "26000",
                if name.is_empty() {
                    "unnamed prepared statement does not exist".to_owned()
                } else {
                    format!("prepared statement \"{name}\" does not exist")
                },
            ));
        };
        let before = named.statement.clone();
        let now = self.session.refreshed(&before)?;
        if !Arc::ptr_eq(&before, &now)
            && let Some(named) = self.session.state.statements.get_mut(name)
        {
            named.statement = now.clone();
        }
        Ok(now)
    }

    fn bind(&mut self, bind: Bind) -> Result<()> {
        self.session.state.session.statement_start = state::now();
        let statement = self.named(&bind.statement)?;
        self.admit(statement.is_exit() || statement.is_nothing())?;
        let (given, codes) = (bind.values.len(), bind.formats.0.len());
        if codes > 1 && codes != given {
            let told = format!("bind message has {codes} parameter formats but {given} parameters");
            return Err(Report::protocol(told));
        }
        let wanted = statement.params.len();
        if given != wanted {
            let name = &bind.statement;
            let told = format!(
                "bind message supplies {given} parameters, but prepared statement \"{name}\" requires {wanted}"
            );
            return Err(Report::protocol(told));
        }
        if !bind.portal.is_empty() && self.session.portals.contains_key(&bind.portal) {
            let told = format!("cursor \"{}\" already exists", bind.portal);
            return Err(Report::new("42P03", told));
        }
        let params = self.parameters(&statement, &bind)?;
        check_formats(&bind.formats)?;
        check_formats(&bind.results)?;
        let columns = portal::columns(&statement).map_or(0, <[Column]>::len);
        let codes = bind.results.0.len();
        if codes > 1 && codes != columns {
            let told =
                format!("bind message has {codes} result formats but query has {columns} columns");
            return Err(Report::protocol(told));
        }
        let portal = Portal {
            what: What::Bound(Bound {
                source: statement.text.clone(),
                statement,
                params,
                results: bind.results,
                progress: Progress::Fresh,
            }),
            level: self.session.transaction.savepoints.len(),
        };
        self.session.portals.insert(bind.portal, portal);
        backend::empty(&mut self.io.out, b'2');
        Ok(())
    }

    fn parameters(&self, statement: &Statement, bind: &Bind) -> Result<Vec<Value>> {
        let state = &self.session.state;
        let read = |index: usize, value: &Option<Bytes>| -> Result<Value> {
            let Some(bytes) = value else {
                return Ok(Value::Null);
            };
            let ty = Type::of(statement.params[index]);
            let value = if bind.formats.is_binary(index) {
                format::receive(ty, bytes, &state.types, &state.session)
            } else {
                format::parse(ty, utf8(bytes)?, &state.types, &state.session)
            };
            Ok(value?)
        };
        bind.values
            .iter()
            .enumerate()
            .map(|(index, value)| read(index, value))
            .collect()
    }

    fn describe(&mut self, named: &Named) -> Result<()> {
        match named {
            Named::Statement(name) => {
                let statement = self.named(name)?;
                let columns = self.columns_of(&statement);
                self.admit(columns.is_none())?;
                backend::parameter_description(&mut self.io.out, &statement.params);
                self.description(columns.as_deref(), &Formats::default());
            }
            Named::Portal(name) => {
                let Some(portal) = self.session.portals.get(name) else {
                    return Err(no_portal(name));
                };
                let (columns, results) = match &portal.what {
                    What::Cursor(cursor) => (Some(cursor.columns.clone()), Formats::default()),
                    What::Bound(bound) => match bound.columns() {
                        Some(columns) => {
                            // The usual case, without a copy.
                            if self.session.transaction.phase != Phase::Failed {
                                backend::row_description(&mut self.io.out, columns, &bound.results);
                                return Ok(());
                            }
                            (Some(columns.to_vec()), bound.results.clone())
                        }
                        None => {
                            let (statement, results) =
                                (bound.statement.clone(), bound.results.clone());
                            (self.columns_of(&statement), results)
                        }
                    },
                };
                self.admit(columns.is_none())?;
                self.description(columns.as_deref(), &results);
            }
        }
        Ok(())
    }

    fn description(&mut self, columns: Option<&[Column]>, formats: &Formats) {
        match columns {
            Some(columns) => backend::row_description(&mut self.io.out, columns, formats),
            None => backend::empty(&mut self.io.out, b'n'),
        }
    }

    /// The columns of a statement's answer, also of EXECUTE and FETCH.
    fn columns_of(&self, statement: &Statement) -> Option<Vec<Column>> {
        match &statement.work {
            Work::Own(node, None) => match &**node {
                NodeEnum::ExecuteStmt(execute) => {
                    let named = self.session.state.statements.get(&execute.name)?;
                    self.columns_of(&named.statement)
                }
                NodeEnum::FetchStmt(fetch) if !fetch.ismove => {
                    match &self.session.portals.get(&fetch.portalname)?.what {
                        What::Cursor(cursor) => Some(cursor.columns.clone()),
                        What::Bound(_) => None,
                    }
                }
                _ => None,
            },
            _ => portal::columns(statement).map(<[Column]>::to_vec),
        }
    }

    async fn execute(&mut self, name: &str, most: usize) -> Result<()> {
        // Taken out while it runs: the statement may end the transaction and with it all portals.
        let Some(mut portal) = self.session.portals.remove(name) else {
            return Err(no_portal(name));
        };
        let outcome = match &mut portal.what {
            What::Bound(bound) => self.execute_bound(name, bound, most).await,
            What::Cursor(_) => {
                let told = format!("portal \"{name}\" cannot be run");
                Err(Report::new("55000", told))
            }
        };
        if outcome.is_ok() && self.session.transaction.phase != Phase::None {
            self.session.portals.insert(name.to_owned(), portal);
        }
        outcome
    }

    async fn execute_bound(&mut self, name: &str, bound: &mut Bound, most: usize) -> Result<()> {
        match std::mem::replace(&mut bound.progress, Progress::Fresh) {
            Progress::Fresh => {}
            Progress::Portioned { kept, tag } => {
                self.admit(false)?;
                self.hand_out(bound, kept, tag, most);
                return Ok(());
            }
            Progress::Done { tag } => {
                self.admit(false)?;
                if bound.columns().is_none() {
                    let told = format!("portal \"{name}\" cannot be run");
                    return Err(Report::new("55000", told));
                }
                self.hand_out(bound, Kept::default(), tag, most);
                return Ok(());
            }
        }
        let statement = bound.statement.clone();
        if !statement.is_nothing() {
            self.admit(statement.is_exit())?;
            self.session.start();
            self.session.transaction.many |= self.session.transaction.statements > 1;
        }
        let keeps = most > 0 && !matches!(statement.work, Work::Nothing);
        let mut target = Target {
            formats: bound.results.clone(),
            describe: false,
            kept: keeps.then(Kept::default),
        };
        let last = self.io.next_kind() == Some(b'S');
        let tag = self
            .run(&statement, &bound.params, &mut target, last)
            .await
            .map_err(|report| statement.locate(report, &bound.source))?;
        match (tag, target.kept) {
            (None, _) => backend::empty(&mut self.io.out, b'I'),
            (Some(tag), None) => {
                backend::command_complete(&mut self.io.out, &tag);
                bound.progress = Progress::Done { tag };
            }
            (Some(tag), Some(kept)) => self.hand_out(bound, kept, tag, most),
        }
        Ok(())
    }

    /// Sends a portion of rows that were kept.
    fn hand_out(&mut self, bound: &mut Bound, mut kept: Kept, tag: String, most: usize) {
        let count = kept.hand_out(most, &mut self.io.out);
        if most > 0 && count == most {
            // As PostgreSQL does it: even if nothing is left.
            backend::empty(&mut self.io.out, b's');
            bound.progress = Progress::Portioned { kept, tag };
            return;
        }
        // The tag of a query counts the rows of this portion.
        match tag.strip_prefix("SELECT ") {
            Some(_) => backend::command_complete(&mut self.io.out, &format!("SELECT {count}")),
            None => backend::command_complete(&mut self.io.out, &tag),
        }
        bound.progress = Progress::Done { tag };
    }

    fn close(&mut self, named: &Named) {
        match named {
            Named::Statement(name) => drop(self.session.state.statements.remove(name)),
            Named::Portal(name) => drop(self.session.portals.remove(name)),
        }
        backend::empty(&mut self.io.out, b'3');
    }

    /// Sync: commits what was done outside of a block.
    pub(super) async fn sync(&mut self) -> Served {
        self.session.skipping = false;
        if self.session.transaction.phase == Phase::Implicit
            && let Err(error) = self.session.commit(false).await
        {
            self.fail(error.into()).await?;
        }
        if self.session.transaction.phase == Phase::None {
            self.session.portals.clear();
        }
        self.ready();
        if self.io.broken { Err(Over) } else { Ok(()) }
    }
}

fn no_portal(name: &str) -> Report {
    Report::new("34000", format!("portal \"{name}\" does not exist"))
}

fn check_formats(formats: &Formats) -> Result<()> {
    match formats.0.iter().find(|code| **code > 1) {
        Some(code) => {
            let told = format!("unsupported format code: {code}");
            Err(Report::new("22023", told))
        }
        None => Ok(()),
    }
}
