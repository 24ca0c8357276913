//! The rows of an INSERT.

use std::ops::Range;

use crossfade_store::ColumnMap;

use super::target_end;
use crate::sql::{
    analyse,
    facts::{InsertFacts, InsertRows},
    rewrite::{Refusal, shape, walk::Rewriter},
    tree::{Node, Value},
};

/// The rows: values of retyped columns become the old type, as the client means them, and then the new.
pub(super) fn rows(
    walk: &mut Rewriter<'_>,
    facts: &InsertFacts,
    columns: &[Option<&ColumnMap>],
) -> Result<(), Refusal> {
    let statement = walk.statement;
    let (Some(relation), Some(query)) = (
        statement.tree.node("relation"),
        statement.tree.node("select_stmt"),
    ) else {
        return Ok(());
    };
    if !columns
        .iter()
        .flatten()
        .any(|column| shape::is_recast(column))
    {
        return walk.walk(query);
    }
    match facts.rows {
        InsertRows::Defaults => Ok(()),
        InsertRows::Values(_) => {
            let tokens =
                analyse::values_rows(relation, &statement.tokens, walk.script).unwrap_or_default();
            let lists: Vec<&Node> = query.nodes("values_lists").collect();
            if tokens.len() != lists.len() {
                return Err(Refusal::unsupported(
                    "VALUES in brackets of their own cannot be sent to the new store; leave the brackets out",
                ));
            }
            std::iter::zip(lists, tokens).try_for_each(|(list, tokens)| {
                cast_items(walk, list.list("items"), &tokens, columns)
            })
        }
        InsertRows::Select => cast_query(walk, query, columns),
    }
}

/// Casts expressions in place.
fn cast_items<'a>(
    walk: &mut Rewriter<'a>,
    items: &'a [Value],
    tokens: &[Range<usize>],
    columns: &[Option<&ColumnMap>],
) -> Result<(), Refusal> {
    for ((item, tokens), column) in std::iter::zip(std::iter::zip(items, tokens), columns) {
        let Some(item) = item.as_node() else { continue };
        let recast = column
            .filter(|column| shape::is_recast(column) && item.kind != "SetToDefault")
            .map(shape::into_new);
        if let Some((open, _)) = &recast {
            walk.plan.before(tokens.start, vec![open.as_str().into()]);
        }
        walk.walk(item)?;
        if let Some((_, close)) = recast {
            walk.plan.after(tokens.end - 1, vec![close.into()]);
        }
    }
    Ok(())
}

/// INSERT … SELECT: a plain select list is cast in place, so that the types of parameters and constants are inferred as before.
fn cast_query<'a>(
    walk: &mut Rewriter<'a>,
    query: &'a Node,
    columns: &[Option<&ColumnMap>],
) -> Result<(), Refusal> {
    let items: Vec<&Node> = query.nodes("target_list").collect();
    let has_star = items.iter().any(|item| {
        item.node("val")
            .is_some_and(|value| value.kind == "ColumnRef" && value.names("fields").contains(&"*"))
    });
    let involved = ["larg", "distinct_clause", "group_clause", "values_lists"]
        .iter()
        .any(|field| query.has(field));
    if has_star || involved || items.len() != columns.len() {
        return wrap_query(walk, query, columns);
    }
    for (item, column) in std::iter::zip(items, columns) {
        let Some(column) = column.filter(|column| shape::is_recast(column)) else {
            continue;
        };
        let end = walk.item_end(item.location());
        let alias = usize::from(!item.text("name").is_empty());
        let end = end - alias - usize::from(alias == 1 && walk.script.is(end - 2, "as"));
        let (open, close) = shape::into_new(column);
        // Nothing within is put at these two places: the tables that are read change in the FROM alone.
        walk.plan.before(item.location(), vec![open.into()]);
        walk.plan.after(end - 1, vec![close.into()]);
    }
    walk.walk(query)
}

/// Whether a parameter or a constant without a type stands in a select list by itself: a sub-select would make it text.
fn loose(query: &Node) -> bool {
    let untyped = |value: &Node| match value.kind {
        "ParamRef" => true,
        "AConst" => {
            value.flag("isnull")
                || value
                    .node("val")
                    .is_some_and(|value| value.kind == "String")
        }
        _ => false,
    };
    query
        .nodes("target_list")
        .filter_map(|item| item.node("val"))
        .any(untyped)
        || query
            .nodes("values_lists")
            .flat_map(|row| row.nodes("items"))
            .any(untyped)
        || ["larg", "rarg"]
            .iter()
            .any(|side| query.node(side).is_some_and(loose))
}

/// INSERT … SELECT: the query becomes a sub-select whose columns are cast.
fn wrap_query<'a>(
    walk: &mut Rewriter<'a>,
    query: &'a Node,
    columns: &[Option<&ColumnMap>],
) -> Result<(), Refusal> {
    if loose(query) {
        return Err(Refusal::unsupported(
            "INSERT … SELECT of constants or parameters into a table that differs in the new store: cast them, or use VALUES",
        ));
    }
    let statement = walk.statement;
    let range = query_tokens(walk)
        .ok_or_else(|| Refusal::unsupported("INSERT … SELECT cannot be sent to the new store"))?;
    let names: Vec<String> = (0..columns.len())
        .map(|place| format!("crossfade_c{place}"))
        .collect();
    let casts: Vec<String> = std::iter::zip(columns, &names)
        .map(
            |(column, name)| match column.filter(|column| shape::is_recast(column)) {
                Some(column) => {
                    let (open, close) = shape::into_new(column);
                    format!("{open}{name}{close}")
                }
                None => name.clone(),
            },
        )
        .collect();
    walk.plan.before(
        range.start,
        vec![format!("SELECT {} FROM (", casts.join(", ")).into()],
    );
    walk.walk(query)?;
    let end = range.end.min(statement.tokens.end);
    walk.plan.after(
        end - 1,
        vec![format!(") AS crossfade_rows ({})", names.join(", ")).into()],
    );
    Ok(())
}

/// Tokens of the query of an INSERT … SELECT.
fn query_tokens(walk: &Rewriter<'_>) -> Option<Range<usize>> {
    let statement = walk.statement;
    let tree = &statement.tree;
    let mut start = target_end(walk, tree.node("relation")?);
    if tree.has("cols") {
        start = walk.script.closing(start)? + 1;
    }
    if walk.script.is(start, "overriding") {
        start += 3;
    }
    let end = match tree.node("on_conflict_clause") {
        Some(clause) => clause.location(),
        None => walk
            .script
            .find(start..statement.tokens.end, &["returning"])
            .unwrap_or(statement.tokens.end),
    };
    (start < end).then_some(start..end)
}
