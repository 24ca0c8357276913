//! Into a relay and out of it: what the client has prepared meanwhile, and how its texts are read.

use std::sync::Arc;

use bytes::Bytes;
use crossfade_phase::Side;

use super::{
    End,
    backend::Expect,
    handover::{not_carried, text},
    managed::Managed,
    statements::{Prepared, Statement},
};
use crate::{route::Variant, wire::frontend};

/// The named statements of a session, protocol-level ones only.
const STATEMENTS: &str = "SELECT name, statement, (parameter_types::oid[])::text FROM pg_catalog.pg_prepared_statements WHERE NOT from_sql";

/// Those of SQL-level PREPARE, which EXECUTE runs by their name alone.
const SQL_STATEMENTS: &str =
    "SELECT name, statement FROM pg_catalog.pg_prepared_statements WHERE from_sql";

/// What says how a client's texts are read. A relay leaves it to the server.
pub(super) const READ_BY: [&str; 2] = ["client_encoding", "standard_conforming_strings"];

impl Managed {
    /// After a relay: the statements that the client has prepared meanwhile (trap 34). The server knows the named ones, the relay the unnamed.
    pub(super) async fn learn_statements(&mut self, side: Side) -> Result<(), End> {
        self.prepared = Prepared::default();
        let rows = self.ask(side, STATEMENTS).await?;
        let rows = rows.map_err(|refused| not_carried(side, refused))?;
        let backend = self.backends.get_mut(side).ok_or(End::ServerGone(side))?;
        backend.prepared.clear();
        for row in rows {
            let [Some(name), Some(sql), types] = &row[..] else {
                continue;
            };
            let name = name.clone();
            backend
                .prepared
                .insert((name.clone(), Variant::Original), name.clone());
            let statement = Statement {
                sql: sql.clone(),
                types: oids(types.as_deref()),
                planned: None,
                told: None,
            };
            self.prepared.statements.insert(name, statement);
        }
        self.learn_unnamed();
        // Nobody has seen what its cursors call.
        self.may_call = true;
        self.learn_how_to_read(side).await?;
        let rows = self.ask(side, SQL_STATEMENTS).await?;
        let rows = rows.map_err(|refused| not_carried(side, refused))?;
        let names = rows.iter().filter_map(|row| row.first()?.as_deref());
        self.sql_prepared = names.map(text).collect();
        self.sql_writes = rows
            .into_iter()
            .filter_map(|row| match &row[..] {
                [Some(name), Some(sql)] if self.writes_mapped(name, sql) => Some(text(name)),
                _ => None,
            })
            .collect();
        Ok(())
    }

    /// Nothing is read rightly by what was told when the session began.
    async fn learn_how_to_read(&mut self, side: Side) -> Result<(), End> {
        let shows =
            READ_BY.map(|name| format!("SELECT pg_catalog.current_setting('{name}', true)"));
        let rows = self.ask(side, &shows.join("; ")).await?;
        let rows = rows.map_err(|refused| not_carried(side, refused))?;
        for (name, value) in std::iter::zip(READ_BY, rows.into_iter().flatten()) {
            let value = value.map(|value| text(&value)).unwrap_or_default();
            self.note_status(name, &value);
        }
        Ok(())
    }

    /// What the server has had of it is gone with the question about the others: it is prepared again where it is needed.
    fn learn_unnamed(&mut self) {
        if let Some(parse) = self.relay.unnamed.parse() {
            let statement = Statement {
                sql: Bytes::copy_from_slice(parse.sql),
                types: parse.types.into(),
                planned: None,
                told: None,
            };
            self.prepared.statements.insert(Bytes::new(), statement);
        }
    }

    /// What was closed while the session was busy in the other store.
    async fn close_stale(&mut self, side: Side) -> Result<(), End> {
        let backend = self.backend(side)?;
        if backend.stale.is_empty() {
            return Ok(());
        }
        for name in std::mem::take(&mut backend.stale) {
            frontend::target(&mut backend.out, b'C', frontend::Target::Statement, &name);
            backend.expect.push_back(Expect::Close { show: false });
        }
        frontend::sync(&mut backend.out);
        backend.expect.push_back(Expect::Sync { show: false });
        self.settle(side).await
    }

    /// Before a relay: the server must have every statement under the client's own name and as the client sent it.
    pub(super) async fn teach_statements(&mut self, side: Side) -> Result<(), End> {
        self.relay = crate::relay::RelayState::default();
        self.close_stale(side).await?;
        let statements = std::mem::take(&mut self.prepared.statements);
        for (name, statement) in statements {
            let key = (name.clone(), Variant::Original);
            let backend = self.backend(side)?;
            if backend.prepared.contains_key(&key) && !name.is_empty() {
                continue;
            }
            frontend::parse(&mut backend.out, &name, &statement.sql, &statement.types);
            frontend::sync(&mut backend.out);
            backend
                .expect
                .extend([Expect::Parse { show: false }, Expect::Sync { show: false }]);
            let shown = self.client.out.len();
            self.settle(side).await?;
            if std::mem::take(&mut self.failed) {
                // The client learns of it when it uses the statement: the server will say that it does not exist.
                self.client.out.truncate(shown);
                tracing::warn!(%side, statement = %String::from_utf8_lossy(&name), "a prepared statement could not be carried over");
            }
            if name.is_empty() {
                self.relay.unnamed.know(&statement.sql, &statement.types);
            }
        }
        self.backend(side)?.prepared.clear();
        Ok(())
    }
}

/// Reads an array of OIDs in text form, `{23,25}`.
fn oids(value: Option<&[u8]>) -> Arc<[u32]> {
    value
        .and_then(|value| std::str::from_utf8(value).ok())
        .unwrap_or_default()
        .trim_matches(['{', '}'])
        .split(',')
        .filter_map(|oid| oid.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_of_types_is_read() {
        assert_eq!(&oids(Some(b"{23,1043}"))[..], [23, 1043]);
        assert!(oids(Some(b"{}")).is_empty() && oids(None).is_empty());
    }
}
