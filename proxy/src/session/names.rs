//! What unqualified names mean in a session, by the server's own word.

use bytes::Bytes;
use crossfade_phase::Side;
use crossfade_store::{Mapping, TableId, postgres::sql::quote_literal};

use super::{
    End,
    ask::Values,
    backend::{Execute, Expect},
    managed::Managed,
    relayed::READ_BY,
};
use crate::{
    errors::ClientError,
    route::Plan,
    sql::{Glance, PathId, StatementFacts},
    wire::{backend::Status, frontend},
};

/// Between the schemas of the path, and between them and the hidden tables: no name of a schema holds them in practice.
const PART: char = '\u{1}';
const END: char = '\u{2}';

/// Of a question's statement and portal.
const NAME: &[u8] = b"crossfade_question";

/// What the path has for the schema of the user's own name.
const OWN_SCHEMA: &str = "$user";

/// What the client is told of a name that means another table than it did.
pub(super) fn moved_names() -> ClientError {
    ClientError::new("0A000", "crossfade refused a write: the name of its table means another one by now, and nobody has seen why")
        .detail("A trigger, or a function that a view, a default or a constraint calls, may have set search_path; or another session has made, dropped or renamed a table of this name.")
        .hint("send it again, as names are looked up anew; SET search_path in a statement of its own, or name the table with its schema")
}

/// What the client is told of a name that means a mapped table in the old store alone.
fn other_names() -> ClientError {
    ClientError::new("0A000", "crossfade refused a statement: an unqualified name means a mapped table in the old store, and another one in the new store")
        .detail("The new store has a table of this name earlier in search_path; or something unseen has set search_path in one store.")
        .hint("name the table with its schema, or SET search_path in a statement of its own")
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
    /// nobody have asked since that may have changed. In a pipeline the question waits for what was sent before it. Gives the quick look at the text; nothing when the server did not
    /// answer, for a cancel say: the client has its error in place of an answer to the text, and nothing runs up to the next Sync.
    pub(super) async fn ensure_path(&mut self, sql: &[u8]) -> Result<Option<Glance>, End> {
        let definitions = self.shared.definitions();
        if self.definitions != definitions {
            self.definitions = definitions;
            self.path = None;
        }
        let glance = self.glance(sql);
        if !glance.mapped || (self.knows_names() && !glance.bulk) {
            return Ok(Some(glance));
        }
        let home = self.home;
        if self.active == home {
            self.settle_batch(home).await?;
        }
        if !self.would_answer(home)? {
            // Nothing runs before a Sync or a ROLLBACK, and then it is asked anew.
            return Ok(Some(glance));
        }
        if self.set_unseen == Some(home.other()) && !self.activate(home).await? {
            return Ok(None);
        }
        match self.ask_names(home).await? {
            Some(names) => self.learn_names(home, &names),
            None => {
                self.refused = true;
                return Ok(None);
            }
        }
        Ok(Some(self.glance(sql)))
    }

    /// Whether names mean what they meant when a statement was planned that resolves its names only as it runs, and gives nothing back by which a mistake would be seen. Where they
    /// do not, or nobody answers, the client has the error and nothing more is to be done.
    pub(super) async fn still_means(
        &mut self,
        side: Side,
        planned: Option<PathId>,
    ) -> Result<bool, End> {
        let names = self.ask_names(side).await?;
        let Some(names) = names.filter(|_| !self.skips()) else {
            return Ok(false);
        };
        self.learn_names(side, &names);
        if self.path == planned {
            return Ok(true);
        }
        self.forget_names();
        self.refuse(&moved_names())?;
        self.settle_batch(side).await?;
        Ok(false)
    }

    /// Whether a text that goes to the old store, as it names no mapped table at home, names none there either: nothing it did there would be seen. Where it does, or nobody answers, the
    /// client has the error and nothing more is to be done.
    pub(super) async fn is_unmapped_beside(&mut self, plan: &Plan) -> Result<bool, End> {
        let Some(text) = &plan.beside else {
            return Ok(true);
        };
        self.settle_batch(plan.side).await?;
        if self.skips() {
            return Ok(false);
        }
        if !self.would_answer(plan.side)? {
            return Ok(true);
        }
        let Some(Names {
            schemas, hidden, ..
        }) = self.ask_names(plan.side).await?
        else {
            self.refused = true;
            return Ok(false);
        };
        let conforming = self.conforming();
        let facts = {
            let mut analyzer = self.router.analyzer();
            let path = analyzer.path_hiding(&schemas, &hidden);
            analyzer.facts(text, conforming, path)
        };
        let mut statements = facts.statements.iter();
        if facts.problem.is_none() && !statements.any(StatementFacts::touches_mapped) {
            return Ok(true);
        }
        self.refuse(&other_names())?;
        Ok(false)
    }

    /// As [`Managed::still_means`], of what was planned to be passed on.
    pub(super) async fn still_passes(&mut self, plan: &Plan) -> Result<bool, End> {
        if !plan.asks_anew || plan.bulk.is_some() || self.router.is_careless() {
            return Ok(true);
        }
        if plan.beside.is_some() {
            return self.is_unmapped_beside(plan).await;
        }
        self.settle_batch(plan.side).await?;
        if self.skips() {
            return Ok(false);
        }
        Ok(!self.would_answer(plan.side)? || self.still_means(plan.side, plan.path).await?)
    }

    /// Whether the server runs what it is sent.
    fn would_answer(&mut self, side: Side) -> Result<bool, End> {
        let backend = self.backend(side)?;
        Ok(!backend.skipping && backend.status != Status::Failed)
    }

    /// What names mean on the server of `side`, in the client's transaction as it is; nothing when that has failed. In the new store the old one has a say: clients speak its schema.
    async fn ask_names(&mut self, side: Side) -> Result<Option<Names>, End> {
        let Some(mut names) = self.ask_server(side).await? else {
            return Ok(None);
        };
        if side == Side::Old || self.mapping.old_aliases.namesakes.is_empty() {
            return Ok(Some(names));
        }
        let Some(path) = self.raw_path(side).await? else {
            return Ok(None);
        };
        let mut hidden = hidden_in_old(&self.mapping, &path);
        hidden.retain(|table| !names.hidden.contains(table));
        if hidden.is_empty() {
            return Ok(Some(names));
        }
        // They may be gone since, or not for this role to use.
        self.need(Side::Old).await?;
        if !self.carry_settings(Side::Old).await? {
            return Ok(None);
        }
        let Some(there) = self.ask_server(Side::Old).await? else {
            return Ok(None);
        };
        hidden.retain(|table| there.hidden.contains(table));
        names.hidden.extend(hidden);
        names.hidden.sort_unstable();
        names.hidden.dedup();
        Ok(Some(names))
    }

    async fn ask_server(&mut self, side: Side) -> Result<Option<Names>, End> {
        let question = self.question();
        let answer = self.inquire(side, &question).await?;
        Ok((!answer.is_empty()).then(|| Names::read(&answer)))
    }

    /// The search path as it was set, schemas that the server does not have among them.
    async fn raw_path(&mut self, side: Side) -> Result<Option<Vec<String>>, End> {
        const PATH: &str = "SELECT pg_catalog.current_setting('search_path')";
        const USER: &str = "SELECT current_user::text";
        // A path may be empty, and is no failure then.
        let Some(answer) = self.inquire_rows(side, PATH).await?.pop() else {
            return Ok(None);
        };
        let answer = answer.into_iter().flatten().next().unwrap_or_default();
        let mut path = elements(&String::from_utf8_lossy(&answer));
        if path.iter().any(|schema| schema == OWN_SCHEMA) {
            let user = self.inquire(side, USER).await?;
            if user.is_empty() {
                return Ok(None);
            }
            let user = String::from_utf8_lossy(&user).into_owned();
            let own = path.iter_mut().filter(|schema| *schema == OWN_SCHEMA);
            own.for_each(|schema| schema.clone_from(&user));
        }
        Ok(Some(path))
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

    fn learn_names(&mut self, side: Side, names: &Names) {
        let Names {
            schemas,
            hidden,
            read_by,
        } = names;
        for (name, value) in std::iter::zip(READ_BY, read_by) {
            self.note_status(name, value);
        }
        self.hides = !hidden.is_empty();
        let path = self.router.analyzer().path_hiding(schemas, hidden);
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

/// A server's answer to the question.
struct Names {
    /// The effective search path.
    schemas: Vec<String>,
    /// Mapped tables that an unqualified name does not mean, as others of the name hide them.
    hidden: Vec<TableId>,
    /// The values of [`READ_BY`].
    read_by: Vec<String>,
}

impl Names {
    fn read(answer: &[u8]) -> Names {
        let answer = String::from_utf8_lossy(answer);
        let mut parts = answer.split(END);
        let mut list = || {
            let parts = parts.next().unwrap_or_default().split(PART);
            parts.filter(|part| !part.is_empty()).map(str::to_owned)
        };
        let (schemas, hidden) = (list().collect(), list());
        let mut hidden: Vec<TableId> = hidden
            .filter_map(|id| id.parse().ok().map(TableId))
            .collect();
        hidden.sort_unstable();
        Names {
            schemas,
            hidden,
            read_by: parts.map(str::to_owned).collect(),
        }
    }
}

/// Mapped tables that others hide in the old store alone: clients speak its schema, and what is not mapped is still there.
fn hidden_in_old(mapping: &Mapping, path: &[String]) -> Vec<TableId> {
    let place = |schema: &String| path.iter().position(|known| known == schema);
    let namesakes = mapping.old_aliases.namesakes.iter();
    let hides = namesakes.filter_map(|(schema, tables)| Some((place(schema)?, tables)));
    let pairs = hides.flat_map(|(hides, tables)| tables.iter().map(move |table| (hides, *table)));
    pairs
        .filter(|(hides, table)| {
            let own = &mapping.tables[table.0].old.name.schema;
            place(own).is_some_and(|own| *hides < own)
        })
        .map(|(_, table)| table)
        .collect()
}

/// The elements of a `search_path`, as the server splits it.
fn elements(path: &str) -> Vec<String> {
    let mut elements = Vec::new();
    let mut rest = path.trim_start();
    while !rest.is_empty() {
        let (element, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (mut name, mut rest) = (String::new(), quoted);
                loop {
                    let (part, after) = rest.split_once('"').unwrap_or((rest, ""));
                    name.push_str(part);
                    match after.strip_prefix('"') {
                        Some(after) => {
                            name.push('"');
                            rest = after;
                        }
                        None => break (name, after),
                    }
                }
            }
            None => {
                let (name, _) = rest.split_once(',').unwrap_or((rest, ""));
                (name.trim_end().to_lowercase(), &rest[name.len()..])
            }
        };
        elements.push(element);
        let after = after.trim_start();
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::elements;

    #[test]
    fn a_path_is_split_as_the_server_splits_it() {
        for (path, expected) in [
            ("\"$user\", public", &["$user", "public"][..]),
            ("Tenant , my-schema", &["tenant", "my-schema"]),
            ("\"Odd, one\",\"a\"\"b\" , c", &["Odd, one", "a\"b", "c"]),
            ("\"\"", &[""]),
            ("", &[]),
        ] {
            assert_eq!(elements(path), expected, "{path}");
        }
    }
}
