//! What unqualified names mean in a session, by the server's own word.

use bytes::Bytes;
use crossfade_phase::Side;
use crossfade_store::{TableId, postgres::sql::quote_literal};

use super::{
    End,
    ask::Values,
    backend::{Execute, Expect},
    managed::Managed,
    relayed::READ_BY,
};
use crate::{
    errors::ClientError,
    sql::{Glance, PathId},
    wire::{backend::Status, frontend},
};

/// Between the schemas of the path, and between them and the hidden tables: no name of a schema holds them in practice.
const PART: char = '\u{1}';
const END: char = '\u{2}';

/// Of a question's statement and portal.
const NAME: &[u8] = b"crossfade_question";

/// What the client is told of a name that means another table than it did.
pub(super) fn moved_names() -> ClientError {
    ClientError::new("0A000", "crossfade refused a write: the name of its table means another one by now, and nobody has seen why")
        .detail("A trigger, or a function that a view, a default or a constraint calls, may have set search_path; or another session has made, dropped or renamed a table of this name.")
        .hint("send it again, as names are looked up anew; SET search_path in a statement of its own, or name the table with its schema")
}

impl Managed {
    /// The quick look at a text. Where nobody knows how strings are read, by either way to read them.
    pub(super) fn glance(&self, sql: &[u8]) -> Glance {
        let analyzer = self.router.analyzer();
        let glance = analyzer.glance(sql, self.conforming());
        if self.path.is_some() || !sql.contains(&b'\\') {
            return glance;
        }
        glance.or(analyzer.glance(sql, !self.conforming()))
    }

    /// Whether nothing may have changed what names mean since that was asked, as far as a write that gives its rows back needs to know.
    pub(super) fn knows_names(&self) -> bool {
        self.path.is_some() && !self.hides && self.definitions == self.shared.definitions()
    }

    /// Learns the effective search path, which mapped tables others of the same name hide, and how texts are read, should the text name a mapped table and
    /// nobody have asked since that may have changed. In a pipeline the question waits for what was sent before it. `false` when the server did not answer, for a
    /// cancel say: the client has its error in place of an answer to the text, and nothing runs up to the next Sync.
    pub(super) async fn ensure_path(&mut self, sql: &[u8]) -> Result<bool, End> {
        let definitions = self.shared.definitions();
        if self.definitions != definitions {
            self.definitions = definitions;
            self.path = None;
        }
        let glance = self.glance(sql);
        if !glance.mapped || (self.knows_names() && !glance.bulk) {
            return Ok(true);
        }
        let home = self.home;
        if self.active == home {
            self.settle_batch(home).await?;
        }
        let backend = self.backend(home)?;
        if backend.skipping || backend.status == Status::Failed {
            // Nothing runs before a Sync or a ROLLBACK, and then it is asked anew.
            return Ok(true);
        }
        let question = self.question();
        let answer = self.inquire(home, &question).await?;
        if answer.is_empty() {
            self.refused = true;
            return Ok(false);
        }
        self.learn_names(home, &answer);
        Ok(true)
    }

    /// Whether names mean what they meant when a statement was planned that resolves its names only as it runs, and gives nothing back by which a mistake would be seen. Where they
    /// do not, or nobody answers, the client has the error and nothing more is to be done.
    pub(super) async fn still_means(
        &mut self,
        side: Side,
        planned: Option<PathId>,
    ) -> Result<bool, End> {
        let question = self.question();
        let answer = self.inquire(side, &question).await?;
        if self.skips() || answer.is_empty() {
            return Ok(false);
        }
        self.learn_names(side, &answer);
        if self.path == planned {
            return Ok(true);
        }
        self.forget_names();
        self.refuse(&moved_names())?;
        self.settle_batch(side).await?;
        Ok(false)
    }

    /// Asks the server for one value, in the client's transaction as it is. Empty when the transaction has failed: then the client has the error.
    pub(super) async fn inquire(&mut self, side: Side, question: &str) -> Result<Bytes, End> {
        let last = self.inquire_rows(side, question).await?.pop();
        Ok(last
            .and_then(|mut row| row.pop())
            .flatten()
            .unwrap_or_default())
    }

    /// As [`Managed::inquire`], for several.
    pub(super) async fn inquire_rows(
        &mut self,
        side: Side,
        question: &str,
    ) -> Result<Vec<Values>, End> {
        let backend = self.backend(side)?;
        let in_batch = backend.batch;
        let execute = Execute {
            own: true,
            ..Execute::default()
        };
        backend.push_own(NAME, question, execute);
        if !in_batch {
            frontend::sync(&mut backend.out);
            backend.batch = false;
            backend.expect.push_back(Expect::Sync { show: false });
        }
        self.told_rows.clear();
        self.settle_batch(side).await?;
        Ok(std::mem::take(&mut self.told_rows))
    }

    fn question(&self) -> String {
        let tables: Vec<String> = self
            .mapping
            .tables
            .iter()
            .map(|table| {
                let (schema, name) = (&table.old.name.schema, &table.old.name.name);
                format!(
                    "({}, {}, {})",
                    table.id.0,
                    quote_literal(schema),
                    quote_literal(name)
                )
            })
            .collect();
        format!(
            "SELECT pg_catalog.array_to_string(p, pg_catalog.chr(1)) || pg_catalog.chr(2) || h.list || pg_catalog.chr(2) || pg_catalog.current_setting('client_encoding') \
             || pg_catalog.chr(2) || pg_catalog.current_setting('standard_conforming_strings') FROM \
             (SELECT pg_catalog.current_schemas(true) AS p) AS x, \
             LATERAL (SELECT COALESCE(pg_catalog.string_agg(t.i::pg_catalog.text, pg_catalog.chr(1)), '') AS list \
             FROM (VALUES {}) AS t(i, s, n) \
             JOIN pg_catalog.pg_class AS c ON c.oid = pg_catalog.to_regclass(pg_catalog.quote_ident(t.n)) \
             JOIN pg_catalog.pg_namespace AS ns ON ns.oid = c.relnamespace \
             WHERE ns.nspname <> t.s::pg_catalog.name) AS h",
            tables.join(", ")
        )
    }

    fn learn_names(&mut self, side: Side, answer: &Bytes) {
        let answer = String::from_utf8_lossy(answer);
        let mut parts = answer.split(END);
        let (schemas, hidden) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        for (name, value) in std::iter::zip(READ_BY, parts) {
            self.note_status(name, value);
        }
        let schemas: Vec<String> = schemas
            .split(PART)
            .filter(|schema| !schema.is_empty())
            .map(str::to_owned)
            .collect();
        let hidden: Vec<TableId> = hidden
            .split(PART)
            .filter_map(|id| id.parse().ok().map(TableId))
            .collect();
        self.hides = !hidden.is_empty();
        let path = self.router.analyzer().path_hiding(&schemas, &hidden);
        if self.last_path.replace(path) != Some(path) {
            tracing::trace!(%side, ?schemas, ?hidden, "the session's names have a new meaning");
            // Texts that were made by another meaning.
            for side in [Side::Old, Side::New] {
                if let Some(backend) = self.backends.get_mut(side) {
                    backend
                        .prepared
                        .retain(|(_, variant), _| *variant == crate::route::Variant::Original);
                }
            }
        }
        self.path = Some(path);
    }
}
