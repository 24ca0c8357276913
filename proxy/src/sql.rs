//! From the text of a client's SQL to facts that no phase has touched yet, and from there to what a store is sent.
//!
//! A text is looked at in three steps, each dearer and rarer than the one before: [`NameSet::glance`] tells on every statement whether a closer look
//! is due; [`Analyzer::facts`] parses a statement's normal form once and remembers what it found; [`Analyzer::rewrite`] makes a plan of splices once a
//! statement and target, and applies it to each text.

mod actions;
mod analyse;
mod cache;
mod facts;
mod lexer;
mod names;
mod normal;
mod rewrite;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod text;
mod tree;

use std::sync::Arc;

use crossfade_phase::Side;
use crossfade_store::{Mapping, TableId};

pub(crate) use actions::Actions;
pub use facts::{
    AliasKind, AliasUse, ConflictFacts, CopyFacts, CursorFetch, DeleteFacts, DiscardTarget, Facts,
    InsertFacts, InsertRows, Isolation, KeyLookup, KeyValue, Kind, MergeFacts, Problem, Role,
    SelectFacts, SetAction, SetFacts, SetTarget, Source, StatementFacts, TableUse, TargetItem,
    Traits, UpdateFacts,
};
pub use lexer::{Lexer, Token, TokenKind};
pub(crate) use names::NAME_BYTES;
pub use names::{Glance, NameSet};
pub(crate) use rewrite::MOVED;
pub use rewrite::{MergeTexts, Merged, Parts, Refusal, Rewritten, Target, Written};
pub use text::constant;

use cache::Cache;
use normal::Normal;

/// The schemas in which unqualified names are looked up, as the analyser knows them: see [`Analyzer::path`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PathId(u32);

/// Analyses statements for one mapping, in one thread. When the mapping changes, a new one is made.
#[derive(Debug)]
pub struct Analyzer {
    mapping: Arc<Mapping>,
    /// Its tables as statements for the new store name them.
    in_sql: Arc<Mapping>,
    names: NameSet,
    paths: Vec<(Vec<String>, Vec<TableId>)>,
    cache: Cache,
    normal: Normal,
}

impl Analyzer {
    /// An analyser that remembers the facts of up to `cache_entries` normal forms.
    #[must_use]
    pub fn new(mapping: Arc<Mapping>, cache_entries: usize) -> Analyzer {
        let names = NameSet::new(&mapping);
        Analyzer {
            in_sql: mapping.in_sql(),
            mapping,
            names,
            paths: Vec::new(),
            cache: Cache::new(cache_entries),
            normal: Normal::default(),
        }
    }

    /// The mapping.
    #[must_use]
    pub fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// The quick look: one pass over the text, no allocation. `conforming` is the session's `standard_conforming_strings`.
    #[must_use]
    pub fn glance(&self, text: &[u8], conforming: bool) -> Glance {
        self.names.glance(text, conforming)
    }

    /// See [`NameSet::is_beyond_ascii`].
    #[must_use]
    pub fn is_beyond_ascii(&self) -> bool {
        self.names.is_beyond_ascii()
    }

    /// The number of an effective search path: schemas in order, with `"$user"` replaced by its value. Sessions of one application have
    /// few of them.
    pub fn path(&mut self, schemas: &[String]) -> PathId {
        self.path_hiding(schemas, &[])
    }

    /// As [`Analyzer::path`], where other relations of the same name hide these tables from unqualified names.
    pub fn path_hiding(&mut self, schemas: &[String], hidden: &[TableId]) -> PathId {
        let place = self
            .paths
            .iter()
            .position(|(path, hides)| path == schemas && hides == hidden)
            .unwrap_or_else(|| {
                self.paths.push((schemas.to_vec(), hidden.to_vec()));
                self.paths.len() - 1
            });
        PathId(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// The facts of a query text, which may hold several statements. A grammar's refusal is a fact too: see [`Facts::problem`].
    pub fn facts(&mut self, text: &[u8], conforming: bool, path: PathId) -> Arc<Facts> {
        self.normal.read(text, conforming);
        let length = self.normal.form.len();
        // What else the facts depend on is part of the key.
        self.normal.form.push(u8::from(conforming));
        self.normal.form.extend_from_slice(&path.0.to_be_bytes());
        if let Some(facts) = self.cache.get(&self.normal.form) {
            return facts;
        }
        let key = self.normal.form.clone();
        self.normal.form.truncate(length);
        let schemas = usize::try_from(path.0)
            .ok()
            .and_then(|place| self.paths.get(place));
        let names = analyse::Names {
            mapping: &self.mapping,
            path: schemas.map_or(&[], |(path, _)| path),
            hidden: schemas.map_or(&[], |(_, hidden)| hidden),
        };
        let facts = Arc::new(analyse::facts(&self.normal, conforming, names));
        self.cache.insert(&key, facts.clone());
        facts
    }

    /// What to send in place of statement `index` of `text`, which `facts` were made of.
    ///
    /// # Errors
    ///
    /// A refusal where no text means the same there, or where the images of the rows written cannot be had.
    pub fn rewrite(
        &self,
        text: &[u8],
        conforming: bool,
        facts: &Facts,
        index: usize,
        target: Target,
    ) -> Result<Rewritten, Refusal> {
        rewrite::rewrite(text, conforming, facts, index, &self.in_sql, target)
    }

    /// What statement `index` of `text`, a MERGE into a mapped table, is sent as to the server of `side`, which is to give back the rows written.
    ///
    /// # Errors
    ///
    /// A refusal where no text means the same.
    pub fn merge(
        &mut self,
        text: &[u8],
        conforming: bool,
        facts: &Facts,
        index: usize,
        path: PathId,
        side: Side,
    ) -> Result<MergeTexts, Refusal> {
        let statement = facts.statements.get(index);
        let statement =
            statement.ok_or_else(|| Refusal::unsupported("there is no such statement"))?;
        let mapping = self.in_sql.clone();
        let expanded = rewrite::expand(text, conforming, facts, statement, &mapping, side)?;
        let (reads, writes) = match side {
            Side::Old => (None, Target::OldCapture),
            Side::New => (Some(Target::New), Target::NewCapture),
        };
        let merge = match reads {
            None => Some(self.split(text, conforming, facts)[index].to_vec()),
            Some(_) if rewrite::is_recast(statement, &mapping) => None,
            Some(target) => Some(self.rewrite(text, conforming, facts, index, target)?.sql),
        };
        let mut placed = |sql: &str, target| {
            let facts = self.facts(sql.as_bytes(), conforming, path);
            let places = &expanded.places;
            rewrite::rewrite_placed(sql.as_bytes(), conforming, &facts, &mapping, target, places)
        };
        let lock = match (&expanded.lock, reads) {
            (Some(sql), Some(target)) => Some(placed(sql, target)?.sql),
            (lock, _) => lock.clone().map(String::into_bytes),
        };
        let write = placed(&expanded.write, writes)?;
        Ok(MergeTexts { merge, lock, write })
    }

    /// The COPY FROM that is statement `index` of `text`, into the relation `name` (as SQL writes it) instead.
    ///
    /// # Errors
    ///
    /// A refusal where the client's text cannot be changed.
    pub fn stage(
        &self,
        text: &[u8],
        conforming: bool,
        facts: &Facts,
        index: usize,
        name: &str,
    ) -> Result<Vec<u8>, Refusal> {
        let statement = facts.statements.get(index);
        let statement =
            statement.ok_or_else(|| Refusal::unsupported("there is no such statement"))?;
        rewrite::stage(text, conforming, facts, statement, name)
    }

    /// The text of each statement of `text`, with the comments around it and without semicolons.
    #[must_use]
    pub fn split<'t>(&self, text: &'t [u8], conforming: bool, facts: &Facts) -> Vec<&'t [u8]> {
        let tokens = rewrite::tokens(text, conforming);
        facts
            .statements
            .iter()
            .map(|statement| rewrite::statement_text(text, &tokens, statement))
            .collect()
    }

    /// What the client wrote at `tokens` (a range of [`KeyValue`] and the like).
    #[must_use]
    pub fn tokens_text<'t>(
        &self,
        text: &'t [u8],
        conforming: bool,
        tokens: std::ops::Range<usize>,
    ) -> &'t [u8] {
        let all = rewrite::tokens(text, conforming);
        match (
            all.get(tokens.start),
            tokens.end.checked_sub(1).and_then(|last| all.get(last)),
        ) {
            (Some(first), Some(last)) if !tokens.is_empty() => &text[first.start..last.end],
            _ => &[],
        }
    }
}
