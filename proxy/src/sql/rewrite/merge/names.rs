//! What the expressions of a MERGE may name. They stand in statements of our own, and have to mean the same there.

use std::collections::BTreeSet;

use crossfade_phase::Side;
use crossfade_store::TableMap;
use pg_query::protobuf as pb;

use super::{
    OURS,
    lock::is_known,
    source::{Rows, Source},
};
use crate::sql::{
    rewrite::{
        Refusal,
        shape::{self, Shape},
        walk::SYSTEM_COLUMNS,
    },
    tree::Node,
};

/// The expressions of a MERGE among what they may name.
struct Names<'a> {
    map: &'a TableMap,
    source: &'a Source,
    /// The table's columns have other names in the store.
    recast: bool,
    /// The table's columns are in sight, which they are not where nothing matches.
    sees_table: bool,
    /// Names behind that of the source.
    behind: BTreeSet<String>,
}

/// Refuses what would mean something else, or nothing. The result are the names that have to be columns of the source: of a function that may give back a value,
/// any other name would be a function of that value.
pub(super) fn check(
    tree: &Node,
    map: &TableMap,
    source: &Source,
    side: Side,
) -> Result<BTreeSet<String>, Refusal> {
    let mut names = Names {
        map,
        source,
        recast: side == Side::New && shape::shape(map) == Shape::Recast,
        sees_table: true,
        behind: BTreeSet::new(),
    };
    let matched = i64::from(pb::MergeMatchKind::MergeWhenMatched as i32);
    let clauses = tree
        .nodes("merge_when_clauses")
        .map(|clause| (clause, clause.int("match_kind") == matched));
    for (expression, sees_table) in tree
        .node("join_condition")
        .map(|on| (on, true))
        .into_iter()
        .chain(clauses)
    {
        names.sees_table = sees_table;
        let mut refusal = None;
        expression.walk(&mut |node| {
            if refusal.is_none() {
                refusal = names.refusal(node);
            }
        });
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
    }
    Ok(names.behind)
}

impl Names<'_> {
    fn refusal(&mut self, node: &Node) -> Option<Refusal> {
        match node.kind {
            "ColumnRef" => self.reference(&node.names("fields")),
            // The row's type has no name any more.
            "FuncCall" if self.source.rows == Rows::Table && !is_known(node) => node
                .nodes("args")
                .any(|arg| arg.kind == "ColumnRef" && self.is_row(&arg.names("fields")))
                .then(|| self.whole_row()),
            "Alias" if self.source.rows == Rows::Unknown => {
                (node.text("aliasname") == self.source.name).then(|| self.hidden())
            }
            "RangeVar" if self.source.rows == Rows::Unknown && !node.has("alias") => {
                (node.text("relname") == self.source.name).then(|| self.hidden())
            }
            _ => None,
        }
    }

    fn reference(&mut self, fields: &[&str]) -> Option<Refusal> {
        let name = self.source.name.as_str();
        let of_source = fields.len() > 1 && fields[fields.len() - 2] == name;
        let last = fields.last().copied().unwrap_or("");
        if let [alone] = fields
            && alone.starts_with(OURS)
        {
            return Some(Refusal::unsupported(format!(
                "\"{alone}\" may be a name of crossfade's own here; qualify it"
            )));
        }
        if of_source && fields.len() > 2 {
            return Some(Refusal::unsupported(format!(
                "name the columns of \"{name}\" without its schema"
            )));
        }
        if SYSTEM_COLUMNS.contains(&last) && (fields.len() == 1 || of_source || self.recast) {
            return Some(Refusal::unsupported(format!(
                "system column \"{last}\" cannot be used here in a MERGE that is captured; use the key"
            )));
        }
        let whole = self.is_row(fields);
        let refused = match &self.source.rows {
            Rows::Table | Rows::Columns => false,
            Rows::Value(column) if whole => last != column,
            Rows::Value(column) => of_source && last != column,
            Rows::Unknown if whole => true,
            Rows::Unknown => {
                if of_source {
                    self.behind.insert(last.to_owned());
                }
                false
            }
        };
        refused.then(|| self.whole_row())
    }

    /// Whether it may be a whole row of the source.
    fn is_row(&self, fields: &[&str]) -> bool {
        let name = self.source.name.as_str();
        match *fields {
            [alone] => {
                let column = self.source.listed.iter().any(|listed| listed == name)
                    || self.sees_table && self.map.old.column(name).is_some();
                alone == name && !column
            }
            [.., qualifier, "*"] => qualifier == name,
            _ => false,
        }
    }

    fn whole_row(&self) -> Refusal {
        Refusal::unsupported(format!(
            "a whole row of the source \"{}\" cannot be used here in a MERGE that is captured; name its columns",
            self.source.name
        ))
    }

    fn hidden(&self) -> Refusal {
        Refusal::unsupported(format!(
            "\"{}\" is the source of the MERGE, and of a sub-select in it; give one of them another name",
            self.source.name
        ))
    }
}
