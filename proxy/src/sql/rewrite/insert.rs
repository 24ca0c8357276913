//! INSERT on the new store.

use std::ops::Range;

use crossfade_phase::Side;
use crossfade_store::{ColumnMap, TableMap, postgres::sql::quote_ident};

use super::{
    Refusal, capture, read, returning,
    scope::{Relation, What},
    shape::{self, Shape},
    update,
    walk::Rewriter,
};
use crate::sql::{
    analyse,
    facts::{InsertFacts, InsertRows},
    tree::{Node, Value},
};

/// Rewrites an INSERT.
pub(super) fn insert(
    walk: &mut Rewriter<'_>,
    facts: &InsertFacts,
    captures: bool,
) -> Result<(), Refusal> {
    let Some(table) = facts.table else {
        return read::anything(walk);
    };
    if captures
        && facts
            .conflict
            .as_ref()
            .is_some_and(|conflict| conflict.sets_key)
    {
        return Err(capture::key_in_conflict(walk, table));
    }
    let tree = &walk.statement.tree;
    let map = walk.map(table);
    walk.with(tree)?;
    update::rename_target(walk, tree, map)?;
    if shape::shape(map) == Shape::Recast {
        let columns = columns(walk, facts, map)?;
        rows(walk, facts, &columns)?;
    } else {
        walk.fields(tree, &["select_stmt"])?;
    }
    walk.scopes.push(vec![Relation {
        name: facts.qualifier.clone(),
        what: What::Target(table),
    }]);
    if let Some(clause) = tree.node("on_conflict_clause") {
        // A scope of its own: EXCLUDED never hides the table.
        walk.scopes.insert(
            0,
            vec![Relation {
                name: "excluded".to_owned(),
                what: What::Target(table),
            }],
        );
        conflict(walk, clause, map)?;
        walk.scopes.remove(0);
    }
    returning::rename(walk, tree, table, &facts.qualifier, false)?;
    walk.scopes.pop();
    if captures {
        capture::append(walk, table, Side::New, &facts.qualifier, Vec::new());
    }
    Ok(())
}

/// Tokens of the relation with its alias.
fn target_end(walk: &Rewriter<'_>, relation: &Node) -> usize {
    let end = Rewriter::name_tokens(relation).end;
    if relation.has("alias") {
        end + 1 + usize::from(walk.script.is(end, "as"))
    } else {
        end
    }
}

/// Renames the columns named, or names them where the client does not. The result are the columns that receive values, in order; `None`
/// for one that is the same in both stores.
fn columns<'m>(
    walk: &mut Rewriter<'_>,
    facts: &InsertFacts,
    map: &'m TableMap,
) -> Result<Vec<Option<&'m ColumnMap>>, Refusal> {
    let tree = &walk.statement.tree;
    let Some(relation) = tree.node("relation") else {
        return Ok(Vec::new());
    };
    if tree.has("cols") {
        let mut columns = Vec::new();
        for target in tree.nodes("cols") {
            let column = update::written(map, target.text("name"))?;
            if let Some(column) = column {
                if target.has("indirection") && shape::is_recast(column) {
                    return Err(Refusal::unsupported(format!(
                        "a part of column \"{}\" cannot be set, its type is another in the new store",
                        target.text("name")
                    )));
                }
                walk.plan.replace(
                    target.location()..target.location() + 1,
                    quote_ident(&column.new.name),
                );
            }
            columns.push(column);
        }
        let close = tree.nodes("cols").last().and_then(|last| {
            (last.location()..walk.statement.tokens.end)
                .find(|&token| walk.script.mark(token, b')'))
        });
        overriding(walk, tree, &columns, close);
        return Ok(columns);
    }
    if facts.rows == InsertRows::Defaults {
        return Ok(Vec::new());
    }
    let width = width(walk, tree)?;
    let named = map.old.columns.get(..width).ok_or_else(|| Refusal {
        sqlstate: "42601",
        reason: "INSERT has more expressions than target columns".to_owned(),
    })?;
    let columns = named
        .iter()
        .map(|column| update::written(map, &column.name))
        .collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = std::iter::zip(named, &columns)
        .map(|(old, column)| quote_ident(column.map_or(&old.name, |column| &column.new.name)))
        .collect();
    let last = target_end(walk, relation) - 1;
    walk.plan
        .after(last, vec![format!(" ({})", names.join(", ")).into()]);
    overriding(walk, tree, &columns, Some(last));
    Ok(columns)
}

/// An explicit value for a column that only the new store always generates (trap 33).
fn overriding(
    walk: &mut Rewriter<'_>,
    tree: &Node,
    columns: &[Option<&ColumnMap>],
    behind: Option<usize>,
) {
    let needed = columns
        .iter()
        .flatten()
        .any(|column| shape::needs_override(column));
    let present = tree.int("override")
        > i64::from(pg_query::protobuf::OverridingKind::OverridingNotSet as i32);
    if let (true, false, Some(token)) = (needed, present, behind) {
        walk.plan
            .after(token, vec![" OVERRIDING SYSTEM VALUE".into()]);
    }
}

/// Number of columns that the rows of an INSERT without a column list have.
fn width(walk: &Rewriter<'_>, tree: &Node) -> Result<usize, Refusal> {
    let Some(mut query) = tree.node("select_stmt") else {
        return Ok(0);
    };
    if let Some(row) = query.nodes("values_lists").next() {
        return Ok(row.list("items").len());
    }
    while let Some(left) = query.node("larg") {
        query = left;
    }
    let unknown = || {
        Refusal::unsupported(
            "INSERT without a column list from a query with a star cannot be sent to the new store; name the columns",
        )
    };
    let relations = walk.relations_of(query.list("from_clause"));
    let mut width = 0;
    for item in query.nodes("target_list") {
        let star = item
            .node("val")
            .filter(|value| value.kind == "ColumnRef")
            .map(|value| value.names("fields"))
            .unwrap_or_default();
        if star.last() != Some(&"*") {
            width += 1;
            continue;
        }
        let of_all = star.len() == 1;
        if of_all && query.contains(&["JoinExpr"]) {
            return Err(unknown());
        }
        for relation in relations
            .iter()
            .filter(|relation| of_all || star.get(star.len() - 2) == Some(&relation.name.as_str()))
        {
            let What::Read(table) = relation.what else {
                return Err(unknown());
            };
            width += walk.map(table).old.columns.len();
        }
    }
    Ok(width)
}

/// The rows: values of retyped columns become the old type, as the client means them, and then the new.
fn rows(
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

/// INSERT … SELECT: the query becomes a sub-select whose columns are cast.
fn wrap_query<'a>(
    walk: &mut Rewriter<'a>,
    query: &'a Node,
    columns: &[Option<&ColumnMap>],
) -> Result<(), Refusal> {
    let loose = query
        .nodes("target_list")
        .filter_map(|item| item.node("val"))
        .any(|value| matches!(value.kind, "ParamRef" | "AConst"));
    if loose || query.has("larg") && query.contains(&["ParamRef", "AConst"]) {
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

fn conflict<'a>(
    walk: &mut Rewriter<'a>,
    clause: &'a Node,
    map: &'a TableMap,
) -> Result<(), Refusal> {
    let end = walk.statement.tokens.end;
    let at = clause.location();
    if let Some(infer) = clause.node("infer") {
        target(walk, infer, map, at)?;
    }
    let Some(set) = walk.script.find(at..end, &["set"]) else {
        return Ok(());
    };
    let upto = walk
        .script
        .find(set..end, &["where", "returning"])
        .unwrap_or(end);
    update::set_list(walk, clause, map, set + 1..upto)?;
    walk.fields(clause, &["where_clause"])
}

/// The conflict target: its columns, or its constraint, under their new names.
fn target<'a>(
    walk: &mut Rewriter<'a>,
    infer: &'a Node,
    map: &TableMap,
    at: usize,
) -> Result<(), Refusal> {
    let end = walk.statement.tokens.end;
    let constraint = infer.text("conname");
    if !constraint.is_empty() {
        let token = (at..end)
            .find(|&token| walk.script.is(token, "constraint"))
            .map(|word| word + 1);
        let name = new_constraint(map, constraint)?;
        if let (Some(token), true) = (token, name != constraint) {
            walk.plan.replace(token..token + 1, quote_ident(name));
        }
        return Ok(());
    }
    let open = (at..end).find(|&token| walk.script.mark(token, b'('));
    let Some((open, close)) = open.and_then(|open| Some((open, walk.script.closing(open)?))) else {
        return Ok(());
    };
    for (element, tokens) in std::iter::zip(
        infer.nodes("index_elems"),
        walk.script.split(open + 1..close),
    ) {
        if element.has("expr") {
            walk.fields(element, &["expr"])?;
        } else if let Some(column) = update::written(map, element.text("name"))? {
            walk.plan.replace(
                tokens.start..tokens.start + 1,
                quote_ident(&column.new.name),
            );
        }
    }
    walk.fields(infer, &["where_clause"])
}

/// The unique constraint of the new table over the columns of the old one's.
fn new_constraint<'m>(map: &'m TableMap, name: &'m str) -> Result<&'m str, Refusal> {
    let renamed = |columns: &[String]| -> Option<Vec<&str>> {
        columns
            .iter()
            .map(|old| {
                map.columns
                    .iter()
                    .find(|column| column.old.name == *old)
                    .map(|column| column.new.name.as_str())
            })
            .collect()
    };
    let old = map.old.unique.iter().find(|index| index.name == name);
    let found = old.and_then(|index| {
        let mut wanted = renamed(&index.columns)?;
        wanted.sort_unstable();
        map.new.unique.iter().find(|index| {
            let mut columns: Vec<&str> = index.columns.iter().map(String::as_str).collect();
            columns.sort_unstable();
            columns == wanted
        })
    });
    match found {
        Some(index) => Ok(&index.name),
        None if map.new.unique.iter().any(|index| index.name == name) => Ok(name),
        None => Err(Refusal::unsupported(format!(
            "the new store has no constraint that corresponds to \"{name}\"; name the columns in ON CONFLICT"
        ))),
    }
}
