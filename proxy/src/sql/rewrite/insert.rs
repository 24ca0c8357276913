//! INSERT on the new store.

mod conflict;
mod rows;

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
    facts::{InsertFacts, InsertRows},
    tree::Node,
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
        rows::rows(walk, facts, &columns)?;
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
        conflict::conflict(walk, clause, map)?;
        walk.scopes.remove(0);
    }
    returning::rename(walk, tree, table, &facts.qualifier, false)?;
    walk.scopes.pop();
    if captures {
        capture::append(walk, table, Side::New, &facts.qualifier, Vec::new())?;
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
    if width == 0 {
        return Ok(Vec::new());
    }
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
