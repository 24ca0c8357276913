//! Statements that read.

use crossfade_phase::Side;
use crossfade_store::{
    TableId,
    postgres::sql::{canonical, quote_ident, quote_name},
};

use super::{
    Refusal, hint,
    shape::{self, Shape},
    walk::Rewriter,
};
use crate::sql::facts::{CopyFacts, Kind, SelectFacts};

/// Refuses what reaches tables that differ in a way that cannot be rewritten.
pub(super) fn check(walk: &Rewriter<'_>) -> Result<(), Refusal> {
    let statement = walk.statement;
    let differs = |table: &TableId| shape::shape(walk.map(*table)) != Shape::Same;
    if let Some(alias) = statement
        .aliases
        .iter()
        .find(|alias| alias.tables.iter().any(differs))
    {
        return Err(Refusal::unsupported(format!(
            "\"{}\" reaches tables that are others in the new store; name the tables themselves",
            alias.name
        )));
    }
    if statement.kind == (Kind::Do { names_mapped: true })
        && walk.mapping.tables.iter().any(|table| differs(&table.id))
    {
        return Err(Refusal::unsupported(
            "DO cannot be sent to the new store, whose tables differ; send its statements themselves",
        ));
    }
    Ok(())
}

/// Any statement in which mapped tables are only read, or which the server takes as it stands.
pub(super) fn anything(walk: &mut Rewriter<'_>) -> Result<(), Refusal> {
    let statement = walk.statement;
    if let Kind::Select(SelectFacts {
        by_key: Some(lookup),
        ..
    }) = &statement.kind
    {
        walk.hint = hint::for_lookup(walk.map(lookup.table), &lookup.values, walk.script);
    }
    walk.walk(&statement.tree)
}

/// A statement on tables as such, of which only the names differ.
pub(super) fn names(walk: &mut Rewriter<'_>) -> Result<(), Refusal> {
    let statement = walk.statement;
    statement.tree.walk(&mut |node| {
        let table = statement
            .relations
            .get(&node.location())
            .filter(|_| node.kind == "RangeVar");
        if let Some(&table) = table.filter(|&&table| shape::shape(walk.map(table)) != Shape::Same) {
            let name = quote_name(&walk.map(table).new.name);
            walk.plan.replace(Rewriter::name_tokens(node), name);
        }
    });
    Ok(())
}

/// A statement that is the same in both stores or not possible.
pub(super) fn untouched(walk: &mut Rewriter<'_>) -> Result<(), Refusal> {
    let differs = walk
        .statement
        .relations
        .values()
        .find(|&&table| shape::shape(walk.map(table)) != Shape::Same);
    match differs {
        None => Ok(()),
        Some(&table) => Err(Refusal::unsupported(format!(
            "this kind of statement cannot be sent to the new store, where table \"{}\" is another",
            walk.map(table).old.name
        ))),
    }
}

/// A lookup by key with the version behind what the client asked for.
pub(super) fn key_read(walk: &mut Rewriter<'_>, side: Side) -> Result<(), Refusal> {
    let Kind::Select(facts) = &walk.statement.kind else {
        return Err(Refusal::unsupported("not a SELECT"));
    };
    let Some(lookup) = &facts.by_key else {
        return Err(Refusal::unsupported("not a lookup by key"));
    };
    if side == Side::New {
        anything(walk)?;
    }
    let map = walk.map(lookup.table);
    let Some(version) = map.version else {
        return Ok(());
    };
    // The new table appears under its old names and types, so that both sides' versions can be compared.
    let version = &map.columns[version].old;
    let expr = canonical(
        &format!(
            "{}.{}",
            quote_ident(&lookup.qualifier),
            quote_ident(&version.name)
        ),
        version,
    );
    let first = walk.statement.relations.keys().next().copied().unwrap_or(0);
    let from = (walk.statement.tokens.start..first)
        .rev()
        .find(|&token| walk.script.is(token, "from"));
    let Some(from) = from else {
        return Err(Refusal::unsupported("a SELECT without FROM"));
    };
    let separator = if walk.statement.tree.has("target_list") {
        ", "
    } else {
        " "
    };
    walk.plan
        .after(from - 1, vec![format!("{separator}{expr}").into()]);
    walk.plan.images = 1;
    Ok(())
}

/// COPY of a table is COPY of a query where the new table differs.
pub(super) fn copy(walk: &mut Rewriter<'_>, facts: &CopyFacts) -> Result<(), Refusal> {
    let tree = &walk.statement.tree;
    let Some(relation) = tree.node("relation") else {
        return anything(walk);
    };
    let Some(&table) = walk.statement.relations.get(&relation.location()) else {
        return anything(walk);
    };
    let map = walk.map(table);
    let mut range = Rewriter::name_tokens(relation);
    match shape::shape(map) {
        Shape::Same => Ok(()),
        Shape::Renamed => {
            walk.plan.replace(range, quote_name(&map.new.name));
            Ok(())
        }
        Shape::Recast if facts.from => Err(Refusal::unsupported(format!(
            "COPY FROM cannot be sent to the new store, where table \"{}\" is another",
            map.old.name
        ))),
        Shape::Recast => {
            // COPY leaves out columns that the server computes.
            let columns: Vec<String> = if facts.columns.is_empty() {
                map.old
                    .columns
                    .iter()
                    .filter(|column| !column.generated)
                    .map(|column| quote_ident(&column.name))
                    .collect()
            } else {
                range.end = walk
                    .script
                    .closing(range.end)
                    .map_or(range.end, |close| close + 1);
                facts
                    .columns
                    .iter()
                    .map(|column| quote_ident(column))
                    .collect()
            };
            let source = shape::as_old_table(map, false);
            walk.plan.replace(
                range,
                format!(
                    "(SELECT {} FROM {source}) AS {})",
                    columns.join(", "),
                    quote_ident(&map.old.name.name)
                ),
            );
            Ok(())
        }
    }
}
