//! What the expressions of a MERGE may name. They stand where the source is a WITH query with one column more, and have to mean the same there.

use crossfade_phase::Side;
use crossfade_store::TableMap;

use super::each_expression;
use crate::sql::{
    rewrite::{
        Refusal,
        shape::{self, Shape},
        walk::SYSTEM_COLUMNS,
    },
    tree::Node,
};

/// What the source is.
#[derive(Debug)]
pub(super) struct Source {
    /// What its columns are qualified with.
    pub(super) name: String,
    /// A column of it goes by that name, too.
    column: bool,
}

/// The source's name.
pub(super) fn source(tree: &Node) -> Result<Source, Refusal> {
    let Some(source) = tree.node("source_relation") else {
        return Err(Refusal::unsupported("a MERGE without a source"));
    };
    let alias = source.node("alias");
    let name = match (source.kind, alias) {
        (_, Some(alias)) => alias.text("aliasname"),
        ("RangeVar", None) => source.text("relname"),
        ("RangeTableSample", None) => {
            let sampled = source.node("relation");
            sampled.map_or("", |relation| {
                relation
                    .node("alias")
                    .map_or_else(|| relation.text("relname"), |alias| alias.text("aliasname"))
            })
        }
        ("JoinExpr", None) => {
            return Err(Refusal::unsupported(
                "MERGE from a join cannot be captured; put the join into a sub-select with an alias",
            ));
        }
        (_, None) => "",
    };
    if name.is_empty() {
        return Err(Refusal::unsupported(
            "MERGE from a source without a name cannot be captured; give it an alias",
        ));
    }
    let listed = alias.is_some_and(|alias| alias.names("colnames").contains(&name));
    Ok(Source {
        name: name.to_owned(),
        column: listed || source.kind == "RangeFunction",
    })
}

/// Refuses what would mean something else, or nothing.
pub(super) fn check(
    tree: &Node,
    map: &TableMap,
    source: &Source,
    side: Side,
) -> Result<(), Refusal> {
    let recast = side == Side::New && shape::shape(map) == Shape::Recast;
    let name = source.name.as_str();
    let mut refusal = None;
    each_expression(tree, &mut |node| {
        if node.kind != "ColumnRef" || refusal.is_some() {
            return;
        }
        let fields = node.names("fields");
        let of_source = fields.len() > 1 && fields[fields.len() - 2] == name;
        let last = fields.last().copied().unwrap_or("");
        refusal = match fields[..] {
            [alone] if alone == name && !source.column && map.old.column(name).is_none() => {
                Some(whole_row(name))
            }
            [.., "*"] if of_source => Some(whole_row(name)),
            [_, _, ..] if of_source && fields.len() > 2 => Some(Refusal::unsupported(format!(
                "name the columns of \"{name}\" without its schema"
            ))),
            _ if SYSTEM_COLUMNS.contains(&last) && (fields.len() == 1 || of_source || recast) => {
                Some(Refusal::unsupported(format!(
                    "system column \"{last}\" cannot be used here in a MERGE that is captured; use the key"
                )))
            }
            _ => None,
        };
    });
    refusal.map_or(Ok(()), Err)
}

fn whole_row(name: &str) -> Refusal {
    Refusal::unsupported(format!(
        "a whole row of the source \"{name}\" cannot be used in a MERGE that is captured; name its columns"
    ))
}
