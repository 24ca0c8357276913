//! What is sent to a store instead of the client's text: splices on the client's own tokens, never a new rendering of the parse tree, so that
//! one plan serves every text with the same normal form.

mod below;
mod capture;
mod columns;
mod delete;
mod figure;
mod group;
mod hint;
mod insert;
mod merge;
mod read;
mod returning;
mod scope;
mod script;
mod shape;
mod splice;
mod stage;
mod update;
mod walk;
mod with;

use std::sync::{Arc, OnceLock};

use crossfade_phase::Side;
use crossfade_store::{Mapping, TableId};

use super::{
    facts::{Facts, Kind, MergeFacts, StatementFacts},
    lexer::{Lexer, Token},
};

pub(crate) use capture::MOVED;
pub use merge::{MergeTexts, Merged};
pub(super) use merge::{Places, expand, is_recast};
pub(super) use script::Script;
use splice::Plan;
pub(super) use stage::stage;

/// What a statement is rewritten for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The old store as primary: as the client wrote it, with the images of the rows it writes behind what the client asked for.
    OldCapture,
    /// The new store, whose tables may have other names, columns and types.
    New,
    /// The new store as primary, with images (in the new store's form).
    NewCapture,
    /// A lookup by key, with the canonical text of the version column, as the old store's type, behind what the client asked for.
    KeyRead(Side),
}

/// A statement that cannot be rewritten faithfully: refused before anything ran.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// SQLSTATE for the client, `0A000` as a rule.
    pub sqlstate: &'static str,
    /// The reason, and what to do instead.
    pub reason: String,
}

impl Refusal {
    pub(super) fn unsupported(reason: impl Into<String>) -> Refusal {
        Refusal {
            sqlstate: "0A000",
            reason: reason.into(),
        }
    }

    /// Whether the server would have refused the client's statement as well, for the same reason.
    pub(crate) fn is_mistake(&self) -> bool {
        self.sqlstate.starts_with("42")
    }
}

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The statement, without the semicolon.
    pub sql: Vec<u8>,
    /// Columns behind those of the client: the image, one a carried column, in the order of `TableMap::columns`; for
    /// [`Target::KeyRead`] the version, if the table has one.
    pub images: usize,
    /// Columns behind the image: the key that the row had before, in key order. Only where an UPDATE sets the key (trap 9).
    pub old_keys: usize,
    /// Behind that is a column with the keys of the rows that foreign keys change: `[table,["key",…]],…`.
    pub below: bool,
    /// What else is behind that where WITH queries write.
    pub parts: Option<Parts>,
    /// What the server has to run before it knows the functions that the statement calls.
    pub functions: Vec<Arc<str>>,
}

/// The images of WITH queries that write. They come in rows of their own, in which the first column behind those of the statement's own rows holds a
/// number and what follows an image (with the key before, if any); in the statement's own rows it is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// By that number.
    pub written: Vec<Written>,
    /// Columns behind the client's own that say nothing.
    pub filler: usize,
    /// What the completion says of the statement, in place of `SELECT` and the number of all rows; empty where it is the statement's own.
    pub tag: &'static str,
}

/// What the image of a row is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The table.
    pub table: TableId,
    /// The row is gone.
    pub deletes: bool,
    /// There is no image of the deleted row, only its key.
    pub only_keys: bool,
    /// Key columns behind the image.
    pub old_keys: usize,
    /// It has an ON CONFLICT.
    pub conflicts: bool,
    /// The keys of the rows that foreign keys change are behind all that.
    pub below: bool,
}

impl Written {
    /// Of a statement that writes `table`.
    pub(crate) fn by(kind: &Kind, table: TableId, old_keys: usize) -> Written {
        Written {
            deletes: matches!(kind, Kind::Delete(_)),
            old_keys,
            conflicts: kind.has_conflict(),
            ..Written::rows(table)
        }
    }

    /// Of plain new rows.
    pub(crate) fn rows(table: TableId) -> Written {
        Written {
            table,
            deletes: false,
            only_keys: false,
            old_keys: 0,
            conflicts: false,
            below: false,
        }
    }

    /// Of deleted rows.
    pub(crate) fn gone(table: TableId) -> Written {
        Written {
            deletes: true,
            ..Written::rows(table)
        }
    }

    /// Of deleted rows whose keys are all there is.
    pub(crate) fn keys(table: TableId) -> Written {
        Written {
            deletes: true,
            only_keys: true,
            ..Written::rows(table)
        }
    }
}

/// Plans made so far for one statement.
#[derive(Debug, Default)]
pub(super) struct Plans([OnceLock<Result<Arc<Plan>, Refusal>>; 5]);

impl Plans {
    fn slot(&self, target: Target) -> &OnceLock<Result<Arc<Plan>, Refusal>> {
        &self.0[match target {
            Target::OldCapture => 0,
            Target::New => 1,
            Target::NewCapture => 2,
            Target::KeyRead(Side::Old) => 3,
            Target::KeyRead(Side::New) => 4,
        }]
    }
}

/// The significant tokens of a text.
pub(super) fn tokens(text: &[u8], conforming: bool) -> Vec<Token> {
    Lexer::new(text, conforming)
        .filter(|token| token.kind.is_significant())
        .collect()
}

/// The text of one statement with the comments around it, without the semicolon.
pub(super) fn statement_text<'t>(
    text: &'t [u8],
    tokens: &[Token],
    statement: &StatementFacts,
) -> &'t [u8] {
    let range = &statement.tokens;
    let start = range
        .start
        .checked_sub(1)
        .map_or(0, |before| tokens[before].end);
    let end = tokens
        .get(range.end)
        .map_or(text.len(), |after| after.start);
    &text[start..end]
}

/// Rewrites statement `index` of `text`, which `facts` were made of or of a text with the same normal form.
pub(super) fn rewrite(
    text: &[u8],
    conforming: bool,
    facts: &Facts,
    index: usize,
    mapping: &Mapping,
    target: Target,
) -> Result<Rewritten, Refusal> {
    let statement = facts
        .statements
        .get(index)
        .ok_or_else(|| Refusal::unsupported("there is no such statement"))?;
    let plan = statement
        .plans
        .slot(target)
        .get_or_init(|| plan(facts, statement, mapping, target, None).map(Arc::new))
        .clone()?;
    Ok(rewritten(text, conforming, statement, &plan))
}

fn rewritten(text: &[u8], conforming: bool, statement: &StatementFacts, plan: &Plan) -> Rewritten {
    let tokens = tokens(text, conforming);
    Rewritten {
        sql: plan.apply(text, &tokens, statement),
        images: plan.images,
        old_keys: plan.old_keys,
        below: plan.below,
        parts: plan.parts.clone(),
        functions: plan.functions.clone(),
    }
}

/// As [`rewrite`], of a text of our own that reads places of rows.
pub(super) fn rewrite_placed(
    text: &[u8],
    conforming: bool,
    facts: &Facts,
    mapping: &Mapping,
    target: Target,
    places: &Places,
) -> Result<Rewritten, Refusal> {
    let [statement] = &facts.statements[..] else {
        return Err(Refusal::unsupported(
            "this MERGE cannot be written in another way; write it as INSERT … ON CONFLICT, or as UPDATE, DELETE and INSERT in one transaction",
        ));
    };
    let plan = plan(facts, statement, mapping, target, Some(places))?;
    Ok(rewritten(text, conforming, statement, &plan))
}

fn plan(
    facts: &Facts,
    statement: &StatementFacts,
    mapping: &Mapping,
    target: Target,
    places: Option<&Places>,
) -> Result<Plan, Refusal> {
    if facts.script.opaque {
        return Err(Refusal::unsupported(
            "the statement spells a name as U&\"…\", write it plainly",
        ));
    }
    let mut walk = walk::Rewriter::new(&facts.script, statement, mapping);
    walk.places = places.cloned();
    match target {
        Target::OldCapture => with::capture(&mut walk, Side::Old)?,
        Target::New => write_or_read(&mut walk, false)?,
        Target::NewCapture => with::capture(&mut walk, Side::New)?,
        Target::KeyRead(side) => read::key_read(&mut walk, side)?,
    }
    Ok(walk.plan)
}

/// Rewrites for the new store.
fn write_or_read(walk: &mut walk::Rewriter<'_>, capture: bool) -> Result<(), Refusal> {
    let statement = walk.statement;
    read::check(walk)?;
    match &statement.kind {
        Kind::Insert(facts) => insert::insert(walk, facts, capture),
        Kind::Update(facts) => update::update(walk, facts, capture),
        Kind::Delete(facts) => delete::delete(walk, facts, capture),
        Kind::Copy(facts) => read::copy(walk, facts),
        Kind::Ddl(_) => read::untouched(walk),
        Kind::Merge(MergeFacts {
            table: Some(table), ..
        }) => merge::renamed(walk, *table),
        Kind::CreateAs if statement.writes_mapped() => read::untouched(walk),
        Kind::Truncate { .. } | Kind::Lock | Kind::Maintenance => read::names(walk),
        _ => read::anything(walk),
    }
}
