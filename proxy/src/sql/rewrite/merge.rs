//! MERGE, written as a WITH query that writes, so that the rows it writes come back (docs/decision/25).
//!
//! ```sql
//! MERGE INTO counters AS c USING votes AS v ON c.name = v.name
//!     WHEN MATCHED AND v.gone THEN DELETE WHEN MATCHED THEN UPDATE SET value = c.value + v.n WHEN NOT MATCHED THEN INSERT (name, value) VALUES (v.name, v.n)
//! ```
//!
//! becomes
//!
//! ```sql
//! WITH crossfade_source AS MATERIALIZED (SELECT ‹number› AS crossfade_r, ‹its row› AS crossfade_s FROM votes AS v),
//!     crossfade_matched AS MATERIALIZED (SELECT crossfade_r, ‹place of the row of c›, CASE WHEN (v.gone) THEN 1 WHEN true THEN 2 END AS crossfade_n
//!         FROM crossfade_source, ‹crossfade_s› AS v JOIN counters AS c ON (c.name = v.name)),
//!     crossfade_absent AS MATERIALIZED (SELECT crossfade_r, CASE WHEN true THEN 3 END AS crossfade_n FROM crossfade_source, ‹crossfade_s› AS v WHERE NOT EXISTS (‹matched›)),
//!     crossfade_do1 AS (DELETE FROM counters AS c USING crossfade_matched WHERE ‹place› AND crossfade_n = 1 RETURNING ‹place›),
//!     crossfade_do2 AS (UPDATE counters AS c SET value = c.value + v.n FROM crossfade_matched, crossfade_source, ‹crossfade_s› AS v WHERE ‹place› AND crossfade_n = 2
//!         RETURNING ‹place›),
//!     crossfade_do3 AS (INSERT INTO counters (name, value) SELECT v.name, v.n FROM crossfade_absent, crossfade_source, ‹crossfade_s› AS v WHERE crossfade_n = 3 RETURNING 1)
//! SELECT ‹rows written, and which of the chosen ones were not›
//! ```
//!
//! which [`with`](super::with) captures like any other. Every expression stands among the names that it stood among before, and the rows that go by the
//! source's name have the source's columns and no other.

mod layout;
mod lock;
mod names;
mod source;
mod text;
mod values;

use crossfade_phase::Side;
use crossfade_store::{Mapping, TableId, TableMap};

use super::{Refusal, Rewritten, read, shape, shape::Shape, update, walk::Rewriter};
use crate::sql::facts::{Facts, Kind, StatementFacts};

/// What names of our own begin with.
const OURS: &str = "crossfade_";

/// The texts that a MERGE becomes, as the client's: they are still to be rewritten for a store.
#[derive(Debug)]
pub(in crate::sql) struct Expanded {
    /// Locks the rows that it is going to write; `None` where that could have effects of its own, or where it writes none that are there.
    pub(in crate::sql) lock: Option<String>,
    /// Does what the MERGE does. Its one column says what it did: see [`Merged`].
    pub(in crate::sql) write: String,
    /// Where the two read places of rows.
    pub(in crate::sql) places: Places,
}

/// A relation whose rows are told apart by their places (`tableoid`, `ctid`, `xmin`).
#[derive(Debug, Clone)]
pub(in crate::sql) struct Places {
    /// The table.
    pub(super) table: TableId,
    /// What its columns are qualified with.
    pub(super) qualifier: String,
}

/// What a MERGE is sent as.
#[derive(Debug)]
pub struct MergeTexts {
    /// The MERGE itself as the store understands it, for the server to check; `None` where no MERGE means the same there.
    pub merge: Option<Vec<u8>>,
    /// What locks the rows that it is going to write, if that is to be done.
    pub lock: Option<Vec<u8>>,
    /// What is run in its place.
    pub write: Rewritten,
}

/// What came of a MERGE, as the statement in its place tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// So many rows are written, and no row that was chosen has been left out.
    Done(u64),
    /// Two rows of the source chose one row.
    Twice,
    /// Maybe so, or else a trigger has kept the row for the one of them, and not for the other.
    Unsure,
    /// Row-level security may have hidden rows.
    Hidden,
    /// So many rows are written, and these were chosen and not written: their number, and their places as rows of a VALUES list.
    Passed(u64, usize, String),
}

impl Merged {
    /// Reads the answer.
    #[must_use]
    pub fn read(answer: &str) -> Option<Merged> {
        if answer == text::HIDDEN {
            return Some(Merged::Hidden);
        }
        let (rows, passed) = answer.split_once(' ').unwrap_or((answer, ""));
        let rows = rows.parse().ok()?;
        let places = || passed.split(text::BETWEEN);
        Some(match passed {
            "" => Merged::Done(rows),
            _ if places().any(|place| place == text::TWICE) => Merged::Twice,
            _ if places().any(|place| place == text::UNSURE) => Merged::Unsure,
            _ => Merged::Passed(rows, places().count(), passed.to_owned()),
        })
    }
}

/// Writes the MERGE `statement` of `text` for the server of `side`.
pub(in crate::sql) fn expand(
    text: &[u8],
    conforming: bool,
    facts: &Facts,
    statement: &StatementFacts,
    mapping: &Mapping,
    side: Side,
) -> Result<Expanded, Refusal> {
    let Kind::Merge(merge) = &statement.kind else {
        return Err(Refusal::unsupported("not a MERGE"));
    };
    let table = merge
        .table
        .ok_or_else(|| Refusal::unsupported("name the mapped table itself"))?;
    if facts.script.opaque {
        return Err(Refusal::unsupported(
            "the statement spells a name as U&\"…\", write it plainly",
        ));
    }
    if !statement.parts.is_empty() {
        return Err(Refusal::unsupported(
            "a WITH query that writes in front of MERGE cannot be captured; write it as a statement of its own, in one transaction",
        ));
    }
    let tree = &statement.tree;
    let map = &mapping.tables[table.0];
    let layout = layout::layout(&facts.script, tree, &statement.tokens)?;
    if side == Side::New && is_recast(statement, mapping) && layout.is_unreachable() {
        return Err(Refusal {
            sqlstate: "42601",
            reason: "unreachable WHEN clause specified after unconditional WHEN clause".to_owned(),
        });
    }
    let source = source::source(tree)?;
    let columns = names::check(tree, map, &source, side)?;
    let words = text::Words::new(text, conforming);
    let qualifier = tree.node("relation").map(crate::sql::analyse::qualifier);
    let writer = text::Writer {
        words: &words,
        layout: &layout,
        tree,
        map,
        side,
        source,
        columns,
        qualifier: qualifier.unwrap_or_default(),
    };
    let locks =
        lock::is_free_of_effects(tree) && layout.clauses.iter().any(layout::Clause::writes_row);
    Ok(Expanded {
        lock: locks.then(|| writer.lock()),
        write: writer.write()?,
        places: Places {
            table,
            qualifier: writer.qualifier,
        },
    })
}

/// Whether any table that the statement names looks different in the new store.
pub(in crate::sql) fn is_recast(statement: &StatementFacts, mapping: &Mapping) -> bool {
    let recast = |table: &TableId| shape::shape(&mapping.tables[table.0]) == Shape::Recast;
    statement.relations.values().any(recast)
}

/// MERGE itself on the new store, where tables have other names at most.
pub(super) fn renamed(walk: &mut Rewriter<'_>, table: TableId) -> Result<(), Refusal> {
    if walk.has_recast() {
        return read::untouched(walk);
    }
    let tree = &walk.statement.tree;
    let map: &TableMap = walk.map(table);
    walk.with(tree)?;
    update::rename_target(walk, tree, map)?;
    walk.fields(
        tree,
        &["source_relation", "join_condition", "merge_when_clauses"],
    )
}
