//! The texts that a MERGE becomes, put together from the client's own words.

use std::{collections::BTreeSet, ops::Range};

use crossfade_phase::Side;
use crossfade_store::{
    TableMap,
    postgres::sql::{quote_ident, quote_literal, quote_name},
};

use super::{
    layout::{Action, Clause, Layout},
    source::Source,
    values::Values,
};
use crate::sql::{
    lexer::Token,
    rewrite::{Refusal, tokens, walk::Rewriter},
    tree::Node,
};

/// The answer where row-level security is active.
pub(super) const HIDDEN: &str = "hidden";

/// In place of a place: the row has been written on behalf of another row of the source.
pub(super) const TWICE: &str = "twice";

/// In place of a place: so it has, unless a trigger kept it at first.
pub(super) const UNSURE: &str = "unsure";

/// Between two places.
pub(super) const BETWEEN: &str = ", ";

/// The client's text.
pub(super) struct Words<'t> {
    text: &'t [u8],
    tokens: Vec<Token>,
}

impl<'t> Words<'t> {
    pub(super) fn new(text: &'t [u8], conforming: bool) -> Words<'t> {
        Words {
            text,
            tokens: tokens(text, conforming),
        }
    }

    fn of(&self, range: &Range<usize>) -> String {
        let spanned = self
            .tokens
            .get(range.start..range.end)
            .and_then(|tokens| Some(tokens.first()?.start..tokens.last()?.end));
        spanned.map_or_else(String::new, |span| {
            String::from_utf8_lossy(&self.text[span]).into_owned()
        })
    }
}

/// Puts the texts together.
pub(super) struct Writer<'a> {
    pub(super) words: &'a Words<'a>,
    pub(super) layout: &'a Layout,
    pub(super) tree: &'a Node,
    pub(super) map: &'a TableMap,
    pub(super) side: Side,
    pub(super) source: Source,
    /// What has to be a column of the source.
    pub(super) columns: BTreeSet<String>,
    /// What the columns of the table written are qualified with.
    pub(super) qualifier: String,
}

impl Writer<'_> {
    pub(super) fn words(&self, range: &Range<usize>) -> String {
        self.words.of(range)
    }

    /// The client's WITH clause, for more to follow.
    fn with(&self) -> String {
        if self.layout.with.is_empty() {
            "WITH ".to_owned()
        } else {
            format!("{}, ", self.words(&self.layout.with))
        }
    }

    fn source_name(&self) -> String {
        quote_ident(&self.source.name)
    }

    fn target_name(&self) -> String {
        quote_ident(&self.qualifier)
    }

    /// Locks the rows that are going to be written, as they are when nobody else is writing them any more: what is run next sees them so. In a column of its
    /// own at the top, a condition would be passed over by the lock; down here it must not be asked of rows that do not match, so it depends on both sides.
    /// In the order of the key, so that two of them that want the same rows do not wait for each other. Above READ COMMITTED what is run next does not see them otherwise;
    /// there it fails by itself, and says whether the row was changed or deleted.
    pub(super) fn lock(&self) -> String {
        let (source, target) = (self.source_name(), self.target_name());
        let key = self.map.key.iter().map(|&index| {
            let column = quote_ident(&self.map.columns[index].old.name);
            format!("{target}.{column}")
        });
        let key: Vec<String> = key.collect();
        let whens: Vec<String> = self
            .clauses(true)
            .map(|(_, clause)| {
                format!(
                    "WHEN {} THEN {}",
                    self.condition(clause),
                    clause.writes_row()
                )
            })
            .collect();
        format!(
            "{} SELECT pg_catalog.count(*) FROM (SELECT 1 FROM {} JOIN {} ON ({}) \
             WHERE pg_catalog.current_setting('transaction_isolation') LIKE 'read %' AND CASE WHEN {source}.* IS NULL AND {target}.ctid IS NULL THEN false {} ELSE false END ORDER BY {} FOR NO KEY UPDATE OF {target}) AS crossfade_locked",
            self.words(&self.layout.with),
            self.words(&self.layout.source),
            self.words(&self.layout.target),
            self.words(&self.layout.condition),
            whens.join(" "),
            key.join(", "),
        )
    }

    /// Does what the MERGE does, and says what it did. Deletes come first and inserts last, so that a unique value that is given away is free.
    pub(super) fn write(&self) -> Result<String, Refusal> {
        let mut queries = vec![self.read_source(), self.read_matched()];
        if self.clauses(false).next().is_some() {
            queries.push(self.read_absent());
        }
        let mut parts: Vec<(usize, &Clause)> = self
            .layout
            .clauses
            .iter()
            .enumerate()
            .filter(|(_, clause)| !matches!(clause.action, Action::Nothing))
            .collect();
        parts.sort_by_key(|(_, clause)| match clause.action {
            Action::Delete => 0,
            Action::Update(_) => 1,
            Action::Insert { .. } | Action::Nothing => 2,
        });
        for &(place, clause) in &parts {
            queries.push(self.part(place, clause)?);
        }
        let answer = self.answer(&parts, &mut queries);
        Ok(format!("{}{} {answer}", self.with(), queries.join(", ")))
    }

    /// The clauses for rows that match, or for those that do not, each with its number.
    fn clauses(&self, matched: bool) -> impl Iterator<Item = (usize, &Clause)> {
        let clauses = self.layout.clauses.iter().enumerate();
        clauses.filter(move |(_, clause)| clause.matched == matched)
    }

    fn condition(&self, clause: &Clause) -> String {
        let condition = clause.condition.as_ref();
        condition.map_or_else(
            || "true".to_owned(),
            |range| format!("({})", self.words(range)),
        )
    }

    /// The number of the clause that applies. In a select list it is asked once, and of the rows alone that are left.
    fn choice(&self, matched: bool) -> String {
        let whens: Vec<String> = self
            .clauses(matched)
            .map(|(place, clause)| format!("WHEN {} THEN {place}", self.condition(clause)))
            .collect();
        if whens.is_empty() {
            "NULL::pg_catalog.int4 AS crossfade_n".to_owned()
        } else {
            format!("CASE {} END AS crossfade_n", whens.join(" "))
        }
    }

    /// Numbers the rows of the source, each of which is one value: what goes by the source's name has no column more than the source. Nothing is asked of the
    /// rows; but a name that is no column makes an error.
    fn read_source(&self) -> String {
        let columns = self.columns.iter();
        let columns: String = columns
            .map(|name| format!(" OR {} IS NULL", quote_ident(name)))
            .collect();
        let condition = match &columns[..] {
            "" => String::new(),
            columns => format!(" WHERE true{columns}"),
        };
        format!(
            "crossfade_source AS MATERIALIZED (SELECT pg_catalog.row_number() OVER () AS crossfade_r, (crossfade_s.*)::pg_catalog.record AS crossfade_s \
             FROM (SELECT * FROM {}) AS crossfade_s{condition})",
            self.words(&self.layout.source)
        )
    }

    /// The rows of the source with their numbers, for a FROM list.
    fn source(&self) -> String {
        format!(
            "crossfade_source, LATERAL (SELECT (crossfade_source.crossfade_s).*) AS {}",
            self.source_name()
        )
    }

    fn read_matched(&self) -> String {
        let target = self.target_name();
        format!(
            "crossfade_matched AS MATERIALIZED (SELECT crossfade_source.crossfade_r AS crossfade_r, {target}.tableoid AS crossfade_o, {target}.ctid AS crossfade_c, \
             {target}.xmin::pg_catalog.text AS crossfade_x, {} FROM {} JOIN {} ON ({}))",
            self.choice(true),
            self.source(),
            self.words(&self.layout.target),
            self.words(&self.layout.condition),
        )
    }

    fn read_absent(&self) -> String {
        format!(
            "crossfade_absent AS MATERIALIZED (SELECT crossfade_source.crossfade_r AS crossfade_r, {} FROM {} \
             WHERE NOT EXISTS (SELECT 1 FROM crossfade_matched WHERE crossfade_matched.crossfade_r = crossfade_source.crossfade_r))",
            self.choice(false),
            self.source()
        )
    }

    /// What a clause does. The row is found by its place: one that somebody else changes meanwhile is passed over, and missed in the answer.
    fn part(&self, place: usize, clause: &Clause) -> Result<String, Refusal> {
        const WRITTEN: &str = "RETURNING crossfade_matched.crossfade_o AS crossfade_o, crossfade_matched.crossfade_c AS crossfade_c, \
             crossfade_matched.crossfade_r AS crossfade_r";
        let target = self.target_name();
        let table = self.words(&self.layout.target);
        let found = format!(
            "{target}.ctid = crossfade_matched.crossfade_c AND {target}.tableoid = crossfade_matched.crossfade_o \
             AND crossfade_matched.crossfade_n = {place} AND NOT {}",
            self.hides()
        );
        let part = match &clause.action {
            Action::Delete => {
                format!("DELETE FROM {table} USING crossfade_matched WHERE {found} {WRITTEN}")
            }
            Action::Update(set) => format!(
                "UPDATE {table} SET {} FROM crossfade_matched, {} \
                 WHERE {found} AND crossfade_source.crossfade_r = crossfade_matched.crossfade_r {WRITTEN}",
                self.words(set),
                self.source()
            ),
            Action::Insert {
                columns,
                overriding,
                values,
            } => self.insert(place, columns.as_deref(), overriding, values)?,
            Action::Nothing => String::new(),
        };
        Ok(format!("crossfade_do{place} AS ({part})"))
    }

    /// Whether row-level security is active. It would hide rows from an UPDATE or DELETE that MERGE fails for.
    fn hides(&self) -> String {
        let name = quote_literal(&quote_name(&self.map.on(self.side).name));
        format!("pg_catalog.row_security_active({name}::pg_catalog.regclass)")
    }

    /// A value that is DEFAULT is left out with its column, which is the same, and can stand in a SELECT.
    fn insert(
        &self,
        place: usize,
        columns: Option<&[Range<usize>]>,
        overriding: &Range<usize>,
        values: &[Range<usize>],
    ) -> Result<String, Refusal> {
        let clause = self.tree.nodes("merge_when_clauses").nth(place);
        let values = Values {
            writer: self,
            named: clause.iter().flat_map(|c| c.nodes("target_list")).collect(),
            nodes: clause.iter().flat_map(|c| c.nodes("values")).collect(),
            columns,
            values,
        };
        let (list, values) = values.write()?;
        let name = self.tree.node("relation").map(Rewriter::name_tokens);
        Ok(format!(
            "INSERT INTO {}{list} {} SELECT {values} FROM crossfade_absent, {} WHERE crossfade_absent.crossfade_n = {place} \
             AND crossfade_source.crossfade_r = crossfade_absent.crossfade_r AND NOT {} ORDER BY crossfade_source.crossfade_r RETURNING 1 AS crossfade_a",
            self.words(&name.unwrap_or_default()),
            self.words(overriding),
            self.source(),
            self.hides()
        ))
    }

    /// The number of rows written; behind it the places of rows that were chosen and not written.
    fn answer(&self, parts: &[(usize, &Clause)], queries: &mut Vec<String>) -> String {
        let counted = |parts: &[usize]| {
            let counts: Vec<String> = parts
                .iter()
                .map(|place| format!("(SELECT pg_catalog.count(*) FROM crossfade_do{place})"))
                .collect();
            if counts.is_empty() {
                "0".to_owned()
            } else {
                format!("({})", counts.join(" + "))
            }
        };
        let all: Vec<usize> = parts.iter().map(|(place, _)| *place).collect();
        let of_rows: Vec<usize> = parts
            .iter()
            .filter(|(_, clause)| clause.writes_row())
            .map(|(place, _)| *place)
            .collect();
        let passed = if of_rows.is_empty() {
            "''".to_owned()
        } else {
            queries.extend(passed_over(&of_rows));
            format!(
                "CASE WHEN (SELECT pg_catalog.count(*) FROM crossfade_chosen) = {} THEN '' ELSE \
                 (SELECT ' ' || pg_catalog.string_agg(crossfade_passed.crossfade_p, '{BETWEEN}') FROM crossfade_passed) END",
                counted(&of_rows)
            )
        };
        // Every row is asked for, so that each is asked which clause applies to it, before anything is written and also where nothing is to be done.
        let mut asked = vec!["(SELECT pg_catalog.count(*) FROM crossfade_matched) < 0"];
        if self.clauses(false).next().is_some() {
            asked.push("(SELECT pg_catalog.count(*) FROM crossfade_absent) < 0");
        }
        format!(
            "SELECT CASE WHEN {} OR {} THEN '{HIDDEN}' ELSE {}::pg_catalog.text || {passed} END AS crossfade_answer",
            self.hides(),
            asked.join(" OR "),
            counted(&all),
        )
    }
}

/// Queries that tell which of the chosen rows were not written by these parts.
fn passed_over(parts: &[usize]) -> Vec<String> {
    let places: Vec<String> = parts.iter().map(usize::to_string).collect();
    let written: Vec<String> = parts
        .iter()
        .map(|place| {
            format!("SELECT crossfade_o, crossfade_c, crossfade_r FROM crossfade_do{place}")
        })
        .collect();
    // MERGE goes by the source's rows, one after the other: one behind a row that wrote is the second. One before it is as well, unless a trigger may have
    // kept the table's row then: of BEFORE and each row (1 and 2), of DELETE or UPDATE (8 and 16).
    let keeps = "EXISTS (SELECT 1 FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = k.crossfade_o AND g.tgenabled <> 'D' AND g.tgtype & 3 = 3 AND g.tgtype & 24 <> 0)";
    let same = "w.crossfade_o = k.crossfade_o AND w.crossfade_c = k.crossfade_c";
    vec![
        format!(
            "crossfade_chosen AS (SELECT crossfade_o, crossfade_c, crossfade_r, crossfade_x FROM crossfade_matched WHERE crossfade_n IN ({}))",
            places.join(", ")
        ),
        format!("crossfade_written AS ({})", written.join(" UNION ALL ")),
        format!(
            "crossfade_passed AS (SELECT CASE WHEN EXISTS (SELECT 1 FROM crossfade_written AS w WHERE {same} AND (w.crossfade_r < k.crossfade_r OR NOT {keeps})) THEN '{TWICE}' \
             WHEN EXISTS (SELECT 1 FROM crossfade_written AS w WHERE {same}) THEN '{UNSURE}' ELSE pg_catalog.format('(%s::pg_catalog.oid,%L::pg_catalog.tid,%L)', k.crossfade_o::pg_catalog.oid, k.crossfade_c, k.crossfade_x) END AS crossfade_p \
             FROM crossfade_chosen AS k WHERE NOT EXISTS (SELECT 1 FROM crossfade_written AS w WHERE {same} AND w.crossfade_r = k.crossfade_r))"
        ),
    ]
}
