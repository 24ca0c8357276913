//! GROUP BY a primary key lets a query name the table's other columns: a sub-select in the table's place has no key, so they are grouped by as
//! well, which changes no group.

use std::collections::BTreeSet;

use crossfade_store::{TableId, TableMap, postgres::sql::quote_ident};

use super::{
    Refusal,
    scope::What,
    shape::{self, Shape},
    walk::Rewriter,
};
use crate::sql::tree::Node;

/// Types without an equality: json, xml, point, lseg, path, box, polygon, line, circle, and their like.
const NOT_COMPARABLE: [u32; 9] = [114, 142, 600, 601, 602, 603, 604, 628, 718];

/// Adds to the GROUP BY of `select` what its key columns stood for.
pub(super) fn extend(walk: &mut Rewriter<'_>, select: &Node) -> Result<(), Refusal> {
    if !select.has("group_clause") || select.contains(&["GroupingSet"]) {
        return Ok(());
    }
    let grouped: Vec<(Option<String>, String)> = select
        .nodes("group_clause")
        .filter_map(|item| grouping_column(item, select))
        .collect();
    let relations = walk.scopes.last().cloned().unwrap_or_default();
    let mut added = Vec::new();
    for relation in &relations {
        let What::Read(table) = relation.what.clone() else {
            continue;
        };
        let map = walk.map(table);
        if shape::shape(map) != Shape::Recast || !covers_key(&grouped, map, &relation.name) {
            continue;
        }
        for column in referenced(select, table, &relation.name, walk) {
            if grouped.iter().any(|(qualifier, name)| {
                *name == column
                    && qualifier
                        .as_ref()
                        .is_none_or(|qualifier| *qualifier == relation.name)
            }) {
                continue;
            }
            let old = map.old.column(&column);
            if old.is_some_and(|old| NOT_COMPARABLE.contains(&old.type_oid)) {
                return Err(Refusal::unsupported(format!(
                    "column \"{column}\" cannot be grouped by, which the new store's table needs; put it into an aggregate or a sub-select"
                )));
            }
            added.push(format!(
                "{}.{}",
                quote_ident(&relation.name),
                quote_ident(&column)
            ));
        }
    }
    if added.is_empty() {
        return Ok(());
    }
    let Some(end) = group_end(walk, select) else {
        return Err(Refusal::unsupported(
            "GROUP BY a primary key cannot be sent to the new store, whose table differs; group by every column",
        ));
    };
    walk.plan
        .after(end - 1, vec![format!(", {}", added.join(", ")).into()]);
    Ok(())
}

/// The column that an item of GROUP BY names, itself or by its position.
fn grouping_column(item: &Node, select: &Node) -> Option<(Option<String>, String)> {
    let column = match item.kind {
        "ColumnRef" => item,
        "AConst" => {
            let position = usize::try_from(item.node("val")?.int("ival")).ok()?;
            select
                .nodes("target_list")
                .nth(position.checked_sub(1)?)?
                .node("val")
                .filter(|value| value.kind == "ColumnRef")?
        }
        _ => return None,
    };
    match column.names("fields")[..] {
        [name] => Some((None, name.to_owned())),
        [qualifier, name] | [_, qualifier, name] => {
            Some((Some(qualifier.to_owned()), name.to_owned()))
        }
        _ => None,
    }
}

fn covers_key(grouped: &[(Option<String>, String)], table: &TableMap, qualifier: &str) -> bool {
    table.key.iter().all(|&index| {
        let key = &table.columns[index].old.name;
        grouped.iter().any(|(relation, name)| {
            name == key
                && relation
                    .as_ref()
                    .is_none_or(|relation| relation == qualifier)
        })
    })
}

/// Columns of the relation that the select list, HAVING, ORDER BY and sub-selects in them name.
fn referenced(
    select: &Node,
    table: TableId,
    qualifier: &str,
    walk: &Rewriter<'_>,
) -> BTreeSet<String> {
    let map = walk.map(table);
    let mut columns = BTreeSet::new();
    for field in [
        "target_list",
        "having_clause",
        "sort_clause",
        "window_clause",
    ] {
        select.get(field).each_node(&mut |node| {
            node.walk(&mut |below| {
                if below.kind != "ColumnRef" {
                    return;
                }
                match below.names("fields")[..] {
                    ["*"] => {
                        columns.extend(map.old.columns.iter().map(|column| column.name.clone()))
                    }
                    [relation, "*"] | [_, relation, "*"] if relation == qualifier => {
                        columns.extend(map.old.columns.iter().map(|column| column.name.clone()));
                    }
                    [name] if map.old.column(name).is_some() => {
                        columns.insert(name.to_owned());
                    }
                    [relation, name] | [_, relation, name]
                        if relation == qualifier && map.old.column(name).is_some() =>
                    {
                        columns.insert(name.to_owned());
                    }
                    _ => {}
                }
            });
        });
    }
    columns
}

/// One past the last token of the GROUP BY list.
fn group_end(walk: &Rewriter<'_>, select: &Node) -> Option<usize> {
    let script = walk.script;
    // The grammar places other expressions somewhere within themselves, or nowhere.
    let mut places = select
        .nodes("group_clause")
        .filter(|item| matches!(item.kind, "ColumnRef" | "AConst"));
    let first = places.next()?.location();
    let end = script.enclosed_end(first..walk.statement.tokens.end);
    let words = [
        "having",
        "window",
        "order",
        "limit",
        "offset",
        "fetch",
        "for",
        "union",
        "intersect",
        "except",
        "returning",
        "on",
    ];
    Some(script.find(first..end, &words).unwrap_or(end))
}
