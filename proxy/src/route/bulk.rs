//! Statements that fill or empty a whole table, with what is sent around them so that their rows can be captured (docs/decision/20).

use std::sync::Arc;

use crossfade_phase::Side;
use crossfade_store::{
    Mapping, TableId, TableMap,
    postgres::sql::{is_builtin, key_list, quote_ident, quote_literal, quote_name},
};

use super::Router;
use crate::{
    errors::ClientError,
    session::MergeInto,
    sql::{CopyFacts, Facts, Kind, PathId, Refusal, StatementFacts, Target},
};

/// The temporary table that a COPY fills.
pub(crate) const STAGE: &str = "crossfade_copy";

/// What is sent around a statement.
#[derive(Debug)]
pub(crate) enum Bulk {
    /// COPY FROM: into a temporary table first, and from there by INSERT … SELECT.
    Copy(CopyIn),
    /// TRUNCATE: the keys are read first.
    Truncate(Truncate),
    /// MERGE: a WITH query that writes stands in for it.
    Merge(MergeInto),
    /// Any of them on documents, where the engine itself gives the rows back.
    OnDocuments(OnDocuments),
}

/// A COPY FROM, TRUNCATE or MERGE of documents.
#[derive(Debug)]
pub(crate) struct OnDocuments {
    /// Tells the engine what to give back of each row, table by table.
    pub(crate) images: Vec<String>,
    /// The tables whose rows that are.
    pub(crate) tables: Vec<TableId>,
    /// What the rows are.
    pub(crate) gives: Gives,
    /// The mapping by which they are written.
    pub(crate) mapping: Arc<Mapping>,
}

/// What the engine gives back of the rows that a statement writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    /// COPY: the rows, which are new.
    New,
    /// TRUNCATE: those that are gone, behind the number of their table.
    Gone,
    /// MERGE: behind 0 what is there now, behind 1 what is gone.
    Both,
}

/// The tables of a statement on documents, and those that a TRUNCATE … CASCADE adds, as the old store's catalog has them.
pub(crate) fn reached(router: &Router, statement: &StatementFacts) -> Vec<TableId> {
    let mut tables = statement.tables();
    if !matches!(statement.kind, Kind::Truncate { cascade: true, .. }) {
        return tables;
    }
    let mapping = &router.mapping;
    let mut at = 0;
    while let Some(table) = tables.get(at) {
        let map = &mapping.tables[table.0];
        let keys = map.old.referenced_by.iter().filter(|_| map.new.shapeless);
        let children = keys.filter_map(|key| {
            let child = mapping.named(Side::Old, &key.child);
            child.map(|child| child.id)
        });
        for child in children.collect::<Vec<_>>() {
            if !tables.contains(&child) {
                tables.push(child);
            }
        }
        at += 1;
    }
    tables
}

fn on_documents(
    router: &Router,
    path: PathId,
    statement: &StatementFacts,
) -> Result<OnDocuments, Refusal> {
    let (gives, tables) = match &statement.kind {
        Kind::Copy(_) => (Gives::New, reached(router, statement)),
        Kind::Merge(facts) => (Gives::Both, facts.table.into_iter().collect()),
        _ => (Gives::Gone, reached(router, statement)),
    };
    let mapping = router.mapping.clone();
    let image = |(table, gone): (&TableId, bool)| {
        let name = quote_name(&mapping.tables[table.0].old.name);
        let sql = match gone {
            false => format!("INSERT INTO {name} DEFAULT VALUES"),
            true => format!("DELETE FROM {name}"),
        };
        let mut analyzer = router.analyzer();
        let facts = analyzer.facts(sql.as_bytes(), true, path);
        let rewritten = analyzer.rewrite(sql.as_bytes(), true, &facts, 0, Target::NewCapture)?;
        let sql = String::from_utf8_lossy(&rewritten.sql).into_owned();
        Ok(format!("COPY ({sql}) TO STDOUT (FORMAT crossfade_images)"))
    };
    let kinds: &[bool] = match gives {
        Gives::New => &[false],
        Gives::Gone => &[true],
        Gives::Both => &[false, true],
    };
    let images = tables
        .iter()
        .flat_map(|table| kinds.iter().map(move |gone| (table, *gone)));
    Ok(OnDocuments {
        images: images.map(image).collect::<Result<_, Refusal>>()?,
        tables,
        gives,
        mapping: mapping.clone(),
    })
}

/// A COPY FROM.
#[derive(Debug)]
pub(crate) struct CopyIn {
    /// The table.
    pub(crate) table: TableId,
    /// Its name in errors.
    pub(crate) name: String,
    /// Asks the server why not; an empty answer is none.
    pub(crate) question: String,
    /// Makes the temporary table.
    pub(crate) before: Vec<String>,
    /// Moves its rows into the table.
    pub(crate) insert: String,
    /// The mapping by which that is written.
    pub(crate) mapping: Arc<Mapping>,
    /// Drops the temporary table.
    pub(crate) after: String,
}

/// A TRUNCATE.
#[derive(Debug)]
pub(crate) struct Truncate {
    /// The mapped tables that it names.
    pub(crate) tables: Vec<Emptied>,
    /// CASCADE.
    pub(crate) cascade: bool,
    /// Asks the server why not; an empty answer is none.
    pub(crate) question: String,
}

/// A table that a TRUNCATE empties.
#[derive(Debug, Clone)]
pub(crate) struct Emptied {
    /// Which.
    pub(crate) table: TableId,
    /// Without its partitions and children.
    pub(crate) only: bool,
}

impl Emptied {
    fn relation(&self, map: &TableMap, side: Side) -> String {
        let only = if self.only { "ONLY " } else { "" };
        format!("{only}{}", quote_name(&map.on(side).name))
    }

    /// Locks the table as TRUNCATE does, until the transaction ends. Not a LOCK by itself, which the server refuses in the implicit transaction of a
    /// pipeline.
    pub(crate) fn lock(tables: &[Emptied], mapping: &Mapping, side: Side) -> String {
        let names: Vec<String> = tables
            .iter()
            .map(|emptied| emptied.relation(&mapping.tables[emptied.table.0], side))
            .collect();
        let body = format!(
            "BEGIN LOCK TABLE {} IN ACCESS EXCLUSIVE MODE; END",
            names.join(", ")
        );
        format!("DO LANGUAGE plpgsql {}", quote_literal(&body))
    }

    /// Reads every key.
    pub(crate) fn keys(&self, mapping: &Mapping, side: Side) -> String {
        let map = &mapping.tables[self.table.0];
        format!(
            "SELECT {} FROM {} AS t",
            key_list(map, side, "t").join(", "),
            self.relation(map, side)
        )
    }
}

impl Truncate {
    fn new(router: &Router, side: Side, cascade: bool, tables: &[(TableId, bool)]) -> Truncate {
        let tables: Vec<Emptied> = tables
            .iter()
            .map(|&(table, only)| Emptied { table, only })
            .collect();
        let names: Vec<String> = tables
            .iter()
            .map(|emptied| regclass(&router.mapping.tables[emptied.table.0], side))
            .collect();
        // Rows that the transaction's snapshot does not show are emptied as well, and no key of theirs could be read.
        let question = format!(
            "SELECT CASE WHEN pg_catalog.current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') \
             THEN 'it runs at an isolation level above READ COMMITTED, where the rows that it deletes cannot all be read' \
             WHEN EXISTS (SELECT 1 FROM pg_catalog.unnest(ARRAY[{}]) AS t(oid) WHERE pg_catalog.row_security_active(t.oid)) \
             THEN 'row-level security may hide rows that it deletes' ELSE '' END",
            names.join(", ")
        );
        Truncate {
            tables,
            cascade,
            question,
        }
    }

    /// Asks for the numbers of all mapped tables that CASCADE reaches, those that it begins with among them.
    pub(crate) fn cascade_question(&self, mapping: &Mapping, side: Side) -> String {
        let start: Vec<String> = self
            .tables
            .iter()
            .map(|emptied| regclass(&mapping.tables[emptied.table.0], side))
            .collect();
        let mapped: Vec<String> = mapping
            .tables
            .iter()
            .map(|table| {
                let name = &table.on(side).name;
                format!(
                    "({}, {}, {})",
                    table.id.0,
                    quote_literal(&name.schema),
                    quote_literal(&name.name)
                )
            })
            .collect();
        format!(
            "WITH RECURSIVE r(oid) AS (SELECT pg_catalog.unnest(ARRAY[{}])::pg_catalog.oid UNION \
             SELECT n.oid FROM r JOIN LATERAL (SELECT c.conrelid FROM pg_catalog.pg_constraint AS c WHERE c.contype = 'f' AND c.confrelid = r.oid \
             UNION ALL SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = r.oid) AS n(oid) ON true) \
             SELECT COALESCE(pg_catalog.string_agg(t.i::pg_catalog.text, ','), '') FROM (VALUES {}) AS t(i, s, n) \
             JOIN pg_catalog.pg_namespace AS ns ON ns.nspname = t.s JOIN pg_catalog.pg_class AS c ON c.relnamespace = ns.oid AND c.relname = t.n \
             JOIN r ON r.oid = c.oid",
            start.join(", "),
            mapped.join(", ")
        )
    }
}

fn regclass(map: &TableMap, side: Side) -> String {
    format!(
        "{}::pg_catalog.regclass",
        quote_literal(&quote_name(&map.on(side).name))
    )
}

/// Where a client's text is planned.
pub(crate) struct Context<'a> {
    /// The text.
    pub(crate) sql: &'a [u8],
    /// Its strings take backslashes for what they are.
    pub(crate) conforming: bool,
    /// Its facts.
    pub(crate) facts: &'a Facts,
    /// Which of its statements.
    pub(crate) index: usize,
    /// What names mean.
    pub(crate) path: PathId,
}

/// What a statement needs around it on the server of `side`, and the text that takes its place, if it is another.
///
/// # Errors
/// Where it cannot be captured.
pub(crate) fn bulk(
    router: &Router,
    context: &Context<'_>,
    statement: &StatementFacts,
    side: Side,
) -> Result<(Bulk, Option<Vec<u8>>), Refusal> {
    let shapeless = |table: &TableId| router.mapping.tables[table.0].on(side).shapeless;
    if statement.tables().iter().any(shapeless) {
        let bulk = on_documents(router, context.path, statement)?;
        return Ok((Bulk::OnDocuments(bulk), None));
    }
    match &statement.kind {
        Kind::Copy(facts) => {
            let text = router.analyzer().stage(
                context.sql,
                context.conforming,
                context.facts,
                context.index,
                &stage_name(),
            )?;
            let copy = copy(router, context.path, statement, facts, side)?;
            Ok((Bulk::Copy(copy), Some(text)))
        }
        Kind::Truncate {
            cascade, tables, ..
        } => {
            let text = match side {
                Side::Old => None,
                Side::New => Some(router.analyzer().rewrite(
                    context.sql,
                    context.conforming,
                    context.facts,
                    context.index,
                    Target::New,
                )?),
            };
            let truncate = Truncate::new(router, side, *cascade, tables);
            Ok((Bulk::Truncate(truncate), text.map(|text| text.sql)))
        }
        _ => Err(Refusal {
            sqlstate: "0A000",
            reason: "not a statement that fills or empties a whole table".to_owned(),
        }),
    }
}

fn stage_name() -> String {
    format!("pg_temp.{STAGE}")
}

fn copy(
    router: &Router,
    path: PathId,
    statement: &StatementFacts,
    facts: &CopyFacts,
    side: Side,
) -> Result<CopyIn, Refusal> {
    let refuse = |reason: &str| Refusal {
        sqlstate: "0A000",
        reason: reason.to_owned(),
    };
    let table = statement.mapped.first().map(|found| found.table);
    let table = table.ok_or_else(|| refuse("name the mapped table itself"))?;
    let mapping = router.mapping.clone();
    let map = &mapping.tables[table.0];
    let alike = |name: &str| {
        let (old, new) = (map.old.column(name), map.new.column(name));
        side == Side::Old
            || matches!((old, new), (Some(old), Some(new)) if old.type_name == new.type_name)
    };
    let differs = !map.old.columns.iter().all(|column| alike(&column.name));
    if differs && (facts.defaults || facts.filtered && !facts.columns.is_empty()) {
        return Err(refuse(
            "the options DEFAULT and WHERE of COPY FROM need the table as it was, and the new store's differs; leave them out",
        ));
    }
    let columns = columns(map, facts);
    let foreign = columns.iter().find(|name| {
        !alike(name)
            && map
                .old
                .column(name)
                .is_some_and(|column| !is_builtin(column))
    });
    if let Some(column) = foreign {
        return Err(refuse(&format!(
            "column \"{column}\" is of a type that the new store does not have; use INSERT"
        )));
    }
    let list: Vec<String> = columns.iter().map(|name| quote_ident(name)).collect();
    let (list, name) = (list.join(", "), quote_name(&map.old.name));
    let target = match side {
        Side::Old => Target::OldCapture,
        Side::New => Target::NewCapture,
    };
    let rewritten = |sql: &str, target| {
        let mut analyzer = router.analyzer();
        let facts = analyzer.facts(sql.as_bytes(), true, path);
        analyzer.rewrite(sql.as_bytes(), true, &facts, 0, target)
    };
    let text = |sql: Vec<u8>| String::from_utf8_lossy(&sql).into_owned();
    let insert = rewritten(
        &format!(
            "INSERT INTO {name} ({list}) OVERRIDING SYSTEM VALUE SELECT {list} FROM {}",
            stage_name()
        ),
        target,
    )?;
    let rows = format!("SELECT {list} FROM {name}");
    let rows = match side {
        Side::Old => rows,
        Side::New => text(rewritten(&rows, Target::New)?.sql),
    };
    Ok(CopyIn {
        table,
        name: map.old.name.name.clone(),
        question: copy_question(map, side),
        before: stage_table(map, side, facts, &columns, &rows),
        insert: text(insert.sql),
        mapping: mapping.clone(),
        after: format!("DROP TABLE {}", stage_name()),
    })
}

/// The columns that the temporary table has: those of the data, and where a WHERE may look at others, all but identities that the data leaves out.
fn columns(map: &TableMap, facts: &CopyFacts) -> Vec<String> {
    if !facts.columns.is_empty() && !facts.filtered {
        return facts.columns.clone();
    }
    let named = |name: &String| facts.columns.is_empty() || facts.columns.contains(name);
    map.old
        .columns
        .iter()
        .filter(|column| !column.generated)
        // An identity has no default that a temporary table could take over.
        .filter(|column| named(&column.name) || column.default.is_some() || !column.has_default)
        .map(|column| column.name.clone())
        .collect()
}

/// Makes the temporary table: with the columns' types and collations, and without what the table itself has to look after (constraints, triggers that fill
/// a NULL, identities).
fn stage_table(
    map: &TableMap,
    side: Side,
    facts: &CopyFacts,
    columns: &[String],
    rows: &str,
) -> Vec<String> {
    let stage = stage_name();
    let mut before = vec![format!(
        "CREATE TEMPORARY TABLE {stage} ON COMMIT DROP AS {rows} WITH NO DATA"
    )];
    if facts.defaults || facts.filtered {
        let with_default = columns.iter().filter_map(|name| {
            let default = map.on(side).column(name)?.default.as_ref()?;
            Some(format!(
                "ALTER TABLE {stage} ALTER COLUMN {} SET DEFAULT {default}",
                quote_ident(name)
            ))
        });
        before.extend(with_default);
    }
    before
}

/// What COPY minds and INSERT does not, and what the way over a temporary table needs.
fn copy_question(map: &TableMap, side: Side) -> String {
    let table = regclass(map, side);
    format!(
        "SELECT CASE WHEN pg_catalog.row_security_active({table}) \
         THEN 'COPY FROM is not supported with row-level security; use INSERT' \
         WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = {table} AND r.ev_type = '3' AND r.ev_enabled <> 'D') \
         THEN 'COPY FROM passes over the rules of the table, and its rows could not be captured then; use INSERT, or drop the rules' \
         WHEN NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY') \
         THEN 'COPY FROM goes by way of a temporary table, which the role may not make; GRANT TEMPORARY ON DATABASE to it, or use INSERT' \
         ELSE '' END"
    )
}

/// What the client is told when the server's answer is a reason.
pub(crate) fn hindered(router: &Router, table: TableId, what: &str, why: &str) -> ClientError {
    ClientError::new(
        "0A000",
        format!("crossfade refused {what} on {}", router.describe(table)),
    )
    .hint(why)
}
