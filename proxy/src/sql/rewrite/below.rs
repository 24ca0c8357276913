//! The rows that foreign keys change on account of a written row come back with its image (docs/decision/24).

use std::sync::Arc;

use crossfade_phase::Side;
use crossfade_store::{TableId, postgres::sql::quote_ident};

use super::{
    Refusal,
    capture::{self, OLD_KEYS, pinned},
    splice::Piece,
    walk::Rewriter,
};
use crate::sql::{
    actions::Actions,
    facts::{Kind, UpdateFacts},
};

/// The call that gives their keys; `None` where no foreign key acts.
pub(super) fn call(
    walk: &mut Rewriter<'_>,
    table: TableId,
    side: Side,
    qualifier: &str,
) -> Result<Option<Vec<Piece>>, Refusal> {
    let kind = &walk.statement.kind;
    let actions = Actions::of(walk.mapping, side, table, kind).map_err(Refusal::unsupported)?;
    let Some(actions) = actions else {
        return Ok(None);
    };
    let function = actions.function();
    let mut pieces: Vec<Piece> = vec![format!("{}(", function.name).into()];
    for (place, (column, ty)) in std::iter::zip(actions.columns(), &function.arguments).enumerate()
    {
        if place > 0 {
            pieces.push(", ".into());
        }
        match kind {
            Kind::Update(facts) => {
                pieces.extend(before(walk, facts, (table, side), column, ty)?);
            }
            _ => {
                pieces.push(format!("{}.{}", quote_ident(qualifier), quote_ident(column)).into());
            }
        }
    }
    pieces.push(")".into());
    let create: Arc<str> = function.create.into();
    if !walk.plan.functions.contains(&create) {
        walk.plan.functions.push(create);
    }
    Ok(Some(pieces))
}

/// The value that a column had before an UPDATE: as the old key is found (`capture::old_key`).
fn before(
    walk: &Rewriter<'_>,
    facts: &UpdateFacts,
    (table, side): (TableId, Side),
    column: &str,
    ty: &str,
) -> Result<Vec<Piece>, Refusal> {
    let map = walk.map(table);
    let place = map
        .key
        .iter()
        .position(|&index| map.columns[index].on(side).name == column);
    let pin = |values: &Vec<_>| {
        let place = place?;
        pinned(values.get(place)?, &map.columns[map.key[place]], side)
    };
    if let Some(mut value) = facts.key.as_ref().and_then(pin) {
        value.insert(0, "CAST(".into());
        value.push(format!(" AS {ty})").into());
        return Ok(value);
    }
    if let Some(before) = capture::before(walk, table, side) {
        return Ok(vec![format!("{before}.{}", quote_ident(column)).into()]);
    }
    // Where the key is set, its old values are joined.
    match place.filter(|_| facts.sets_key && facts.current_of.is_none()) {
        Some(place) => Ok(vec![format!("{OLD_KEYS}.crossfade_k{place}").into()]),
        None => Err(Refusal::unsupported(format!(
            "foreign keys with ON UPDATE actions point to column \"{column}\" of \"{}\", and its value before the UPDATE is known from PostgreSQL 18 on only; \
             insert the row under its new value, turn the rows that point to it, and delete the old one",
            map.old.name
        ))),
    }
}
