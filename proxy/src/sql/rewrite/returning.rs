//! The client's RETURNING.

use std::ops::Range;

use crossfade_store::{TableId, postgres::sql::quote_ident};

use super::{
    Refusal, figure,
    shape::{self, Shape},
    walk::Rewriter,
};
use crate::sql::tree::{Node, Value};

/// Tokens and nodes of the items of RETURNING.
fn items<'a>(walk: &Rewriter<'a>, tree: &'a Node) -> Vec<(Range<usize>, &'a Node)> {
    let Some(clause) = tree.node("returning_clause") else {
        return Vec::new();
    };
    let range = walk.statement.tokens.clone();
    let Some(at) = walk.script.find(range.clone(), &["returning"]) else {
        return Vec::new();
    };
    let mut first = at + 1;
    if clause.has("options") {
        first = walk
            .script
            .closing(first + 1)
            .map_or(first, |close| close + 1);
    }
    std::iter::zip(walk.script.split(first..range.end), clause.nodes("exprs")).collect()
}

/// The first token of the first item.
pub(super) fn first(walk: &Rewriter<'_>) -> Option<usize> {
    let items = items(walk, &walk.statement.tree);
    items.first().map(|(tokens, _)| tokens.start)
}

/// The columns named, renamed; results keep the names and types that the client expects. `joined`: the statement joins a relation that
/// the client does not know of, so that a bare star must be spelled out.
pub(super) fn rename<'a>(
    walk: &mut Rewriter<'a>,
    tree: &'a Node,
    table: TableId,
    qualifier: &str,
    joined: bool,
) -> Result<(), Refusal> {
    let map = walk.map(table);
    let recast = shape::shape(map) == Shape::Recast;
    if recast
        && tree
            .node("returning_clause")
            .is_some_and(|clause| clause.has("options"))
    {
        return Err(Refusal::unsupported(
            "RETURNING WITH (OLD, NEW) cannot be sent to the new store, whose table differs",
        ));
    }
    for (tokens, item) in items(walk, tree) {
        let Some(value) = item.node("val") else {
            continue;
        };
        let names = if value.kind == "ColumnRef" {
            value.names("fields")
        } else {
            Vec::new()
        };
        let own = || {
            if !recast {
                return vec![format!("{}.*", quote_ident(qualifier))];
            }
            let prefix = format!("{}.", quote_ident(qualifier));
            map.old
                .columns
                .iter()
                .map(|old| shape::as_old_column(map, old, &prefix))
                .collect()
        };
        match names[..] {
            ["*"] if recast || joined => {
                let mut columns = own();
                columns.extend(stars(other_relations(tree))?);
                walk.plan.replace(tokens, columns.join(", "));
            }
            [relation, "*"] | [_, relation, "*"] if recast && relation == qualifier => {
                walk.plan.replace(tokens, own().join(", "))
            }
            _ => {
                let before = walk.plan.len();
                walk.children(item)?;
                if item.text("name").is_empty() && walk.plan.len() > before {
                    walk.plan.after(
                        tokens.end - 1,
                        vec![format!(" AS {}", quote_ident(&figure::column_name(value))).into()],
                    );
                }
            }
        }
    }
    Ok(())
}

/// Spells out a bare star on the old store, where a relation is joined that the client does not know of.
pub(super) fn expand_stars(walk: &mut Rewriter<'_>, qualifier: &str) -> Result<(), Refusal> {
    let tree = &walk.statement.tree;
    for (tokens, item) in items(walk, tree) {
        if item
            .node("val")
            .is_some_and(|value| value.kind == "ColumnRef" && value.names("fields") == ["*"])
        {
            let mut columns = vec![format!("{}.*", quote_ident(qualifier))];
            columns.extend(stars(other_relations(tree))?);
            walk.plan.replace(tokens, columns.join(", "));
        }
    }
    Ok(())
}

fn other_relations(tree: &Node) -> &[Value] {
    if tree.has("from_clause") {
        tree.list("from_clause")
    } else {
        tree.list("using_clause")
    }
}

/// `a.*, b.*` for the relations of a FROM list.
fn stars(from: &[Value]) -> Result<Vec<String>, Refusal> {
    let mut columns = Vec::new();
    for item in from.iter().filter_map(Value::as_node) {
        let alias = item.node("alias").map(|alias| alias.text("aliasname"));
        match (item.kind, alias) {
            (_, Some(alias)) => columns.push(format!("{}.*", quote_ident(alias))),
            ("RangeVar", None) => columns.push(format!("{}.*", quote_ident(item.text("relname")))),
            ("JoinExpr", None) if !item.flag("is_natural") && !item.has("using_clause") => {
                columns.extend(stars(std::slice::from_ref(item.get("larg")))?);
                columns.extend(stars(std::slice::from_ref(item.get("rarg")))?);
            }
            _ => {
                return Err(Refusal::unsupported(
                    "RETURNING * over these relations cannot be spelled out; name the columns",
                ));
            }
        }
    }
    Ok(columns)
}
