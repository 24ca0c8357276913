//! UPDATE on the new store.

use std::ops::Range;

use crossfade_phase::Side;
use crossfade_store::{
    TableMap,
    postgres::sql::{quote_ident, quote_name},
};

use super::{
    Refusal, capture, hint, read, returning,
    scope::{Relation, What},
    shape::{self, Fate, Shape},
    walk::{self, Rewriter},
};
use crate::sql::{
    facts::{KeyValue, UpdateFacts},
    tree::Node,
};

/// Where the clauses of an UPDATE or DELETE lie.
pub(super) struct Clauses {
    /// The items of SET.
    pub(super) set: Range<usize>,
    /// One past the last token before WHERE or RETURNING.
    pub(super) from_end: usize,
    /// The condition behind WHERE.
    pub(super) condition: Option<Range<usize>>,
}

impl Clauses {
    pub(super) fn of(walk: &Rewriter<'_>) -> Clauses {
        let script = walk.script;
        let end = walk.statement.tokens.end;
        let start = walk
            .statement
            .tree
            .node("relation")
            .map_or(walk.statement.tokens.start, |relation| {
                Rewriter::name_tokens(relation).end
            });
        let set = script
            .find(start..end, &["set"])
            .map_or(start, |set| set + 1);
        let returning = script.find(set..end, &["returning"]).unwrap_or(end);
        let condition = script.find(set..returning, &["where"]);
        let from_end = condition.unwrap_or(returning);
        let set_end = before_from(walk, set..from_end);
        Clauses {
            set: set..set_end,
            from_end,
            condition: condition.map(|at| at + 1..returning),
        }
    }
}

/// The end of `range` or the FROM in it, which is not that of IS DISTINCT FROM.
fn before_from(walk: &Rewriter<'_>, range: Range<usize>) -> usize {
    let mut start = range.start;
    while let Some(from) = walk.script.find(start..range.end, &["from"]) {
        if !walk.script.is(from - 1, "distinct") {
            return from;
        }
        start = from + 1;
    }
    range.end
}

/// Rewrites an UPDATE.
pub(super) fn update(
    walk: &mut Rewriter<'_>,
    facts: &UpdateFacts,
    captures: bool,
) -> Result<(), Refusal> {
    let Some(table) = facts.table else {
        return read::anything(walk);
    };
    let tree = &walk.statement.tree;
    let map = walk.map(table);
    walk.with(tree)?;
    walk.fields(tree, &["from_clause"])?;
    let mut relations = vec![Relation {
        name: facts.qualifier.clone(),
        what: What::Target(table),
    }];
    relations.extend(walk.relations_of(tree.list("from_clause")));
    walk.scopes.push(relations);
    rename_target(walk, tree, map)?;
    let clauses = Clauses::of(walk);
    set_list(walk, tree, map, clauses.set)?;
    let keys = if captures {
        capture::old_key(walk, facts, table, Side::New)?
    } else {
        Vec::new()
    };
    condition(
        walk,
        map,
        &facts.qualifier,
        facts.key.as_deref(),
        clauses.condition,
    )?;
    let joined = facts.sets_key && !keys.is_empty();
    returning::rename(walk, tree, table, &facts.qualifier, joined)?;
    walk.scopes.pop();
    if captures {
        capture::append(walk, table, Side::New, &facts.qualifier, keys)?;
    }
    Ok(())
}

/// The written table under its new name; what qualified its columns still does.
pub(super) fn rename_target(
    walk: &mut Rewriter<'_>,
    tree: &Node,
    map: &TableMap,
) -> Result<(), Refusal> {
    let Some(relation) = tree.node("relation") else {
        return Ok(());
    };
    let shape = shape::shape(map);
    if shape == Shape::Same {
        return Ok(());
    }
    if shape == Shape::Recast && !relation.flag("inh") {
        return Err(Refusal::unsupported(format!(
            "ONLY {} cannot be sent to the new store, whose table differs",
            map.old.name
        )));
    }
    let name = quote_name(&map.new.name);
    let alias = if relation.has("alias") {
        String::new()
    } else {
        format!(" AS {}", quote_ident(&map.old.name.name))
    };
    let mut range = Rewriter::name_tokens(relation);
    if walk.script.word(range.end) == "*" {
        range.end += 1;
    }
    walk.plan.replace(range, format!("{name}{alias}"));
    Ok(())
}

/// The new name of a column that is written, which must be one of the old table.
pub(super) fn written<'m>(
    map: &'m TableMap,
    name: &str,
) -> Result<Option<&'m crossfade_store::ColumnMap>, Refusal> {
    match shape::fate(map, name) {
        Fate::Same => Ok(None),
        Fate::Changed(column) => Ok(Some(column)),
        Fate::Dropped => Err(walk::dropped(map, name)),
        Fate::Unknown => Err(Refusal {
            sqlstate: "42703",
            reason: format!(
                "column \"{name}\" of relation \"{}\" does not exist",
                map.old.name.name
            ),
        }),
    }
}

/// A column that only the new store always generates takes nothing but DEFAULT in an UPDATE (trap 33).
fn settable(column: Option<&crossfade_store::ColumnMap>, value: &Node) -> Result<(), Refusal> {
    match column {
        Some(column) if shape::needs_override(column) && value.kind != "SetToDefault" => {
            Err(Refusal::unsupported(format!(
                "column \"{}\" is GENERATED ALWAYS AS IDENTITY in the new store and cannot be updated; make it GENERATED BY DEFAULT there",
                column.old.name
            )))
        }
        Some(_) | None => Ok(()),
    }
}

/// The items of SET: columns renamed, values of retyped ones cast.
pub(super) fn set_list<'a>(
    walk: &mut Rewriter<'a>,
    clause: &'a Node,
    map: &'a TableMap,
    range: Range<usize>,
) -> Result<(), Refusal> {
    let targets: Vec<&Node> = clause.nodes("target_list").collect();
    let mut targets = targets.into_iter();
    for item in walk.script.split(range) {
        let Some(first) = targets.next() else { break };
        let Some(equals) = item
            .clone()
            .find(|&token| token > first.location() && walk.script.word(token) == "=")
        else {
            continue;
        };
        let value = equals + 1..item.end;
        let Some(source) = first.node("val") else {
            continue;
        };
        if source.kind == "MultiAssignRef" {
            let more = usize::try_from(source.int("ncolumns"))
                .unwrap_or(1)
                .saturating_sub(1);
            let columns: Vec<&Node> = std::iter::once(first)
                .chain(targets.by_ref().take(more))
                .collect();
            several(walk, &columns, source, map, value)?;
        } else {
            single(walk, first, source, map, value)?;
        }
    }
    Ok(())
}

fn single<'a>(
    walk: &mut Rewriter<'a>,
    target: &'a Node,
    source: &'a Node,
    map: &TableMap,
    value: Range<usize>,
) -> Result<(), Refusal> {
    let column = written(map, target.text("name"))?;
    settable(column, source)?;
    let Some(column) = column else {
        return walk.walk(source);
    };
    walk.plan.replace(
        target.location()..target.location() + 1,
        quote_ident(&column.new.name),
    );
    if !shape::is_recast(column) || source.kind == "SetToDefault" {
        return walk.walk(source);
    }
    if target.has("indirection") {
        return Err(Refusal::unsupported(format!(
            "a part of column \"{}\" cannot be set, its type is another in the new store",
            target.text("name")
        )));
    }
    let (open, close) = shape::into_new(column);
    walk.plan.before(value.start, vec![open.into()]);
    walk.walk(source)?;
    walk.plan.after(value.end - 1, vec![close.into()]);
    Ok(())
}

/// `(a, b) = (1, 2)` and `(a, b) = (SELECT …)`.
fn several<'a>(
    walk: &mut Rewriter<'a>,
    targets: &[&'a Node],
    source: &'a Node,
    map: &TableMap,
    value: Range<usize>,
) -> Result<(), Refusal> {
    let Some(source) = source.node("source") else {
        return Ok(());
    };
    let columns = targets
        .iter()
        .map(|target| written(map, target.text("name")))
        .collect::<Result<Vec<_>, _>>()?;
    for (target, column) in std::iter::zip(targets, &columns) {
        settable(*column, source)?;
        if let Some(column) = column {
            walk.plan.replace(
                target.location()..target.location() + 1,
                quote_ident(&column.new.name),
            );
        }
    }
    if !columns
        .iter()
        .flatten()
        .any(|column| shape::is_recast(column))
    {
        return walk.walk(source);
    }
    let items: Vec<&Node> = source.nodes("args").collect();
    let open = value.clone().find(|&token| walk.script.mark(token, b'('));
    let inside = open
        .and_then(|open| Some(open + 1..walk.script.closing(open)?))
        .map(|inside| walk.script.split(inside))
        .unwrap_or_default();
    if source.kind != "RowExpr" || items.len() != columns.len() || inside.len() != columns.len() {
        return Err(Refusal::unsupported(
            "several columns cannot be set from one sub-select, the type of one is another in the new store; set them one by one",
        ));
    }
    for ((item, column), tokens) in std::iter::zip(std::iter::zip(items, columns), inside) {
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

/// The WHERE, with what lets the server use the index of a retyped key.
pub(super) fn condition(
    walk: &mut Rewriter<'_>,
    map: &TableMap,
    qualifier: &str,
    key: Option<&[KeyValue]>,
    range: Option<Range<usize>>,
) -> Result<(), Refusal> {
    let tree = &walk.statement.tree;
    let (Some(range), Some(values)) = (range, key) else {
        return walk.fields(tree, &["where_clause"]);
    };
    let mut pieces = hint::behind(map, values, qualifier, walk.script);
    if pieces.is_empty() {
        return walk.fields(tree, &["where_clause"]);
    }
    walk.plan.before(range.start, vec!["(".into()]);
    walk.fields(tree, &["where_clause"])?;
    pieces.insert(0, ")".into());
    walk.plan.after(range.end - 1, pieces);
    Ok(())
}
