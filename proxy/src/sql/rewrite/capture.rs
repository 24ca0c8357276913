//! Capture: the image of each written row comes back behind what the client asked for (DESIGN 3).

use crossfade_phase::Side;
use crossfade_store::{
    ColumnMap, Form, TableId,
    postgres::sql::{canonical, image_list, quote_ident, quote_literal, quote_name},
};

use pg_query::protobuf as pb;

use super::{Refusal, below, hint::Family, returning, splice::Piece, walk::Rewriter};
use crate::sql::facts::{AliasKind, KeyValue, Kind, Role, UpdateFacts};

/// First version of PostgreSQL whose RETURNING knows the row as it was.
pub(super) const RETURNS_OLD: u32 = 180_000;

/// Name of the sub-select that holds the keys as they were.
pub(super) const OLD_KEYS: &str = "crossfade_old";

/// Captures on the old store: the client's text stays as it is but for the RETURNING.
pub(super) fn on_old(walk: &mut Rewriter<'_>) -> Result<(), Refusal> {
    let statement = walk.statement;
    match &statement.kind {
        Kind::Insert(facts) => {
            let Some(table) = facts.table else {
                return Ok(());
            };
            if facts
                .conflict
                .as_ref()
                .is_some_and(|conflict| conflict.sets_key)
            {
                return Err(key_in_conflict(walk, table));
            }
            append(walk, table, Side::Old, &facts.qualifier, Vec::new())?;
        }
        Kind::Update(facts) => {
            let Some(table) = facts.table else {
                return Ok(());
            };
            let keys = old_key(walk, facts, table, Side::Old)?;
            append(walk, table, Side::Old, &facts.qualifier, keys)?;
        }
        Kind::Delete(facts) => {
            let Some(table) = facts.table else {
                return Ok(());
            };
            append(walk, table, Side::Old, &facts.qualifier, Vec::new())?;
        }
        // `check` has refused every other way to write.
        _ => {}
    }
    Ok(())
}

fn not_captured(kind: &Kind) -> Refusal {
    let what = match kind {
        Kind::Merge(_) => {
            "MERGE: write it as INSERT … ON CONFLICT, or as UPDATE, DELETE and INSERT"
        }
        Kind::Copy(_) => "COPY FROM: use INSERT",
        Kind::Truncate { .. } => "TRUNCATE: use DELETE",
        Kind::Ddl(_) => {
            "a change of a mapped table's definition: make it in phase 1 or 2, in both stores"
        }
        Kind::Explain { .. } => "EXPLAIN ANALYZE of a write",
        Kind::Do { .. } => "DO: send its statements themselves",
        Kind::Prepare { .. } => {
            "PREPARE of a write: use the extended protocol, or send the statement itself"
        }
        _ => "this kind of statement",
    };
    Refusal::unsupported(format!("the rows written cannot be captured: {what}"))
}

/// Refuses what writes mapped rows without giving them back.
pub(super) fn check(walk: &Rewriter<'_>) -> Result<(), Refusal> {
    let statement = walk.statement;
    if let Some(alias) = statement
        .aliases
        .iter()
        .find(|alias| alias.role == Role::Write)
    {
        let (what, remedy) = match alias.kind {
            AliasKind::View => ("view", "write the table itself"),
            AliasKind::Child => ("partition or child table", "write the table that is mapped"),
            AliasKind::WritingFunction => (
                "function",
                "write the table by statements of the application",
            ),
        };
        return Err(Refusal::unsupported(format!(
            "the rows written by way of {what} \"{}\" cannot be captured; {remedy}",
            alias.name
        )));
    }
    match &statement.kind {
        Kind::Insert(_) | Kind::Update(_) | Kind::Delete(_) | Kind::Select(_) | Kind::Values => {
            hidden_writes(walk)
        }
        Kind::Explain { analyze: false, .. } => Ok(()),
        kind @ Kind::Do { names_mapped: true } => Err(not_captured(kind)),
        kind if statement.writes_mapped() => Err(not_captured(kind)),
        _ => Ok(()),
    }
}

/// Refuses a MERGE in a WITH query, and a write in a place where none is known to be.
fn hidden_writes(walk: &Rewriter<'_>) -> Result<(), Refusal> {
    let statement = walk.statement;
    let seen: Vec<usize> = std::iter::once(statement)
        .chain(statement.parts.iter().map(|part| &part.statement))
        .filter(|statement| statement.kind.written().is_some())
        .filter_map(|statement| Some(statement.tree.node("relation")?.location()))
        .collect();
    let mut hidden = None;
    statement.tree.walk(&mut |node| {
        if matches!(
            node.kind,
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt"
        ) && let Some(relation) = node.node("relation")
            && !seen.contains(&relation.location())
        {
            hidden = hidden.or(statement.relations.get(&relation.location()).copied());
        }
    });
    match hidden {
        Some(table) => Err(Refusal::unsupported(format!(
            "a WITH query writes table \"{}\" in a way that cannot be captured; write it as a statement of its own",
            walk.map(table).old.name
        ))),
        None => Ok(()),
    }
}

pub(super) fn key_in_conflict(walk: &Rewriter<'_>, table: TableId) -> Refusal {
    Refusal::unsupported(format!(
        "ON CONFLICT DO UPDATE sets a key column of table \"{}\", or one that the key is computed from, and the key before it cannot be captured; use UPDATE",
        walk.map(table).old.name
    ))
}

/// Puts the image, and behind it `keys` and what foreign keys change, at the end of the statement; in a WITH query before what the client asked for.
pub(super) fn append(
    walk: &mut Rewriter<'_>,
    table: TableId,
    side: Side,
    qualifier: &str,
    keys: Vec<Vec<Piece>>,
) -> Result<(), Refusal> {
    let below = below::call(walk, table, side, qualifier)?;
    let mut images = image_list(walk.map(table), side, &quote_ident(qualifier), Form::Own);
    sure_of_name(walk, table, side, &mut images[0]);
    walk.plan.images = images.len();
    walk.plan.old_keys = keys.len();
    walk.plan.below = below.is_some();
    let mut pieces = vec![Piece::Text(images.join(", "))];
    for key in keys.into_iter().chain(below) {
        pieces.push(", ".into());
        pieces.extend(key);
    }
    let first = returning::first(walk);
    let at = match first {
        Some(first) if walk.images_first => {
            pieces.insert(0, " ".into());
            pieces.push(",".into());
            first - 1
        }
        Some(_) => {
            pieces.insert(0, ", ".into());
            walk.last()
        }
        None => {
            pieces.insert(0, " RETURNING ".into());
            walk.last()
        }
    };
    walk.plan.after(at, pieces);
    Ok(())
}

/// What the server says of a name that means another table than it did when it was asked.
pub(crate) const MOVED: &str = "crossfade_moved_names";

/// The client's text names the table as it did, and the server decides what that means at the moment in which it reads the text. Should that be another table by now, as
/// nobody has seen it, the statement fails while it is planned, before a row is touched. Both names are constants by then: it costs nothing (docs/decision/28).
fn sure_of_name(walk: &Rewriter<'_>, table: TableId, side: Side, image: &mut String) {
    let Some(relation) = walk.statement.tree.node("relation") else {
        return;
    };
    let map = walk.map(table);
    // Elsewhere the table is named with its schema, or there are no schemas.
    let as_written = side == Side::Old || (map.new.name == map.old.name && !map.new.shapeless);
    if !as_written || !relation.text("schemaname").is_empty() {
        return;
    }
    let named = quote_literal(&quote_ident(relation.text("relname")));
    let meant = quote_literal(&quote_name(&map.on(side).name));
    *image = format!(
        "CASE WHEN {named}::pg_catalog.regclass OPERATOR(pg_catalog.=) {meant}::pg_catalog.regclass OR '{MOVED}'::pg_catalog.text::pg_catalog.bool THEN {image} END"
    );
}

/// The key as it was, of the rows that an UPDATE of the key changes (trap 9): one expression a key column.
///
/// From the values to which the WHERE pins it; or, from PostgreSQL 18 on, from the row as it was; else from a sub-select joined by the key. The
/// last has a corner: a row whose key another transaction changes while this one waits for its lock is left alone, as if that
/// transaction had come first and taken the row out of the WHERE's reach.
///
/// Where only a trigger could change the key, which no trigger should (`check` says so), the first two tell it for nothing, and the last is too dear.
pub(super) fn old_key(
    walk: &mut Rewriter<'_>,
    facts: &UpdateFacts,
    table: TableId,
    side: Side,
) -> Result<Vec<Vec<Piece>>, Refusal> {
    let map = walk.map(table);
    if !facts.sets_key && map.on(side).before_update.is_empty() {
        return Ok(Vec::new());
    }
    let columns: Vec<&ColumnMap> = map.key.iter().map(|&index| &map.columns[index]).collect();
    let pins = facts.key.as_ref().and_then(|values| {
        std::iter::zip(values, &columns)
            .map(|(value, column)| pinned(value, column, side))
            .collect::<Option<Vec<_>>>()
    });
    if let Some(keys) = pins {
        return Ok(keys);
    }
    if let Some(before) = before(walk, table, side) {
        let name = |column: &ColumnMap| format!("{before}.{}", quote_ident(&column.on(side).name));
        return Ok(columns
            .into_iter()
            .map(|column| vec![canonical(&name(column), column.on(side)).into()])
            .collect());
    }
    if !facts.sets_key {
        return Ok(Vec::new());
    }
    if facts.current_of.is_some() {
        return Err(Refusal::unsupported(format!(
            "UPDATE … WHERE CURRENT OF sets a key column of table \"{}\", or one that the key is computed from, and the key before it cannot be captured; name the key in the WHERE",
            map.old.name
        )));
    }
    join_old_keys(walk, facts, table, side);
    if side == Side::Old {
        returning::expand_stars(walk, &facts.qualifier)?;
    }
    let name = |place: usize| format!("{OLD_KEYS}.crossfade_k{place}");
    Ok(columns
        .into_iter()
        .enumerate()
        .map(|(place, column)| vec![canonical(&name(place), column.on(side)).into()])
        .collect())
}

/// What RETURNING calls the row as it was. `None` where the server cannot tell, or a relation of the statement has that name.
pub(super) fn before(walk: &Rewriter<'_>, table: TableId, side: Side) -> Option<String> {
    if walk.map(table).on(side).server.version < RETURNS_OLD {
        return None;
    }
    let tree = &walk.statement.tree;
    let old = i64::from(pb::ReturningOptionKind::ReturningOptionOld as i32);
    let clause = tree.node("returning_clause").into_iter();
    let mut options = clause.flat_map(|clause| clause.nodes("options"));
    if let Some(option) = options.find(|option| option.int("option") == old) {
        return Some(quote_ident(option.text("value")));
    }
    let mut taken = false;
    tree.walk(&mut |node| {
        taken |= match node.kind {
            "Alias" => node.text("aliasname") == "old",
            "RangeVar" => !node.has("alias") && node.text("relname") == "old",
            "FuncCall" => node.names("funcname").last() == Some(&"old"),
            _ => false,
        };
    });
    (!taken).then(|| "\"old\"".to_owned())
}

/// Canonical text of a value that the WHERE pins a key column to, for types whose equality is identity (not so numeric: 1.0 = 1.00).
pub(super) fn pinned(value: &KeyValue, column: &ColumnMap, side: Side) -> Option<Vec<Piece>> {
    let stored = Family::of(column.on(side))?;
    let ty = match (Family::of(&column.old)?, stored) {
        // Digits are digits, and a value that no integer can be was no error for the client.
        (Family::Whole, Family::Whole | Family::Text) => "int8",
        (Family::Text, Family::Text) => "text",
        (Family::Uuid, Family::Uuid | Family::Text) => "uuid",
        _ => return None,
    };
    let open = "CAST(CAST(".into();
    Some(vec![
        open,
        Piece::Tokens(value.tokens.clone()),
        format!(" AS pg_catalog.{ty}) AS pg_catalog.text)").into(),
    ])
}

/// Joins the target with its own keys. The sub-select's columns have names of their own, so that none of the client's becomes ambiguous.
fn join_old_keys(walk: &mut Rewriter<'_>, facts: &UpdateFacts, table: TableId, side: Side) {
    let map = walk.map(table);
    let names: Vec<String> = map
        .key
        .iter()
        .map(|&index| quote_ident(&map.columns[index].on(side).name))
        .collect();
    let list: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(place, name)| format!("{name} AS crossfade_k{place}"))
        .collect();
    let source = format!(
        "(SELECT {} FROM {}) AS {OLD_KEYS}",
        list.join(", "),
        quote_name(&map.on(side).name)
    );
    let target = quote_ident(&facts.qualifier);
    let equal: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(place, name)| format!("{OLD_KEYS}.crossfade_k{place} = {target}.{name}"))
        .collect();
    let condition = equal.join(" AND ");

    let clauses = super::update::Clauses::of(walk);
    let joint = if facts.joins { ", " } else { " FROM " };
    walk.plan.after(
        clauses.from_end - 1,
        vec![format!("{joint}{source}").into()],
    );
    match clauses.condition {
        Some(range) => {
            walk.plan
                .before(range.start, vec![format!("{condition} AND (").into()]);
            walk.plan.after(range.end - 1, vec![")".into()]);
        }
        None => walk.plan.after(
            clauses.from_end - 1,
            vec![format!(" WHERE {condition}").into()],
        ),
    }
}
