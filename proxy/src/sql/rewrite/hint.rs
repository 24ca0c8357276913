//! Conditions that let the new store use a retyped key's index.
//!
//! `CAST(sale_id AS integer) = 5` is what the client means and what decides, but no index on `sale_id` serves it. So `sale_id = 5` is said as well,
//! wherever it follows from the client's condition and can raise no error that the client's condition does not.

use crossfade_store::{Column, ColumnMap, TableMap, postgres::sql::quote_ident};

use super::{Script, shape, splice::Piece};
use crate::sql::{
    facts::{KeyValue, Source},
    lexer::TokenKind,
};

/// Types whose equality is identity, by what they convert to without loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// smallint, integer, bigint.
    Whole,
    /// text, varchar.
    Text,
    /// uuid.
    Uuid,
}

impl Family {
    pub(super) fn of(column: &Column) -> Option<Family> {
        match column.type_oid {
            20 | 21 | 23 => Some(Family::Whole),
            25 | 1043 => Some(Family::Text),
            2950 => Some(Family::Uuid),
            _ => None,
        }
    }
}

/// The shape of a uuid's text: other texts are no error for a client whose column is text.
const UUID: &str = "'^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$'";

/// The WHERE of the sub-select that stands for the table of a lookup by key; empty where no key column has another type.
pub(super) fn for_lookup(map: &TableMap, values: &[KeyValue], script: &Script) -> Vec<Piece> {
    conditions(map, values, script, true, " WHERE ", "")
}

/// Conditions behind the client's own, each after an AND.
pub(super) fn behind(
    map: &TableMap,
    values: &[KeyValue],
    qualifier: &str,
    script: &Script,
) -> Vec<Piece> {
    conditions(
        map,
        values,
        script,
        false,
        " AND ",
        &format!("{}.", quote_ident(qualifier)),
    )
}

/// `first`: the condition stands before the client's, and decides of which type a parameter is inferred to be.
fn conditions(
    map: &TableMap,
    values: &[KeyValue],
    script: &Script,
    first: bool,
    start: &str,
    prefix: &str,
) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (&index, value) in std::iter::zip(&map.key, values) {
        let column = &map.columns[index];
        let Some(value) = Some(column)
            .filter(|column| shape::is_recast(column))
            .and_then(|column| in_new_type(value, column, script, first))
        else {
            continue;
        };
        let joint = if pieces.is_empty() { start } else { " AND " };
        pieces.push(format!("{joint}{prefix}{} = ", quote_ident(&column.new.name)).into());
        pieces.extend(value);
    }
    pieces
}

/// The client's value as one that the new column's index finds.
fn in_new_type(
    value: &KeyValue,
    column: &ColumnMap,
    script: &Script,
    first: bool,
) -> Option<Vec<Piece>> {
    let tokens = || Piece::Tokens(value.tokens.clone());
    let numeric = column.new.type_oid == 1700;
    let (old, new) = (Family::of(&column.old)?, Family::of(&column.new));
    let old_type = &column.old.type_name;
    match (old, new) {
        (Family::Whole, Some(Family::Whole)) => whole(value, old_type, first),
        (Family::Whole, None) if numeric => whole(value, old_type, first),
        (Family::Whole, Some(Family::Text)) => {
            let mut pieces = vec!["CAST(".into()];
            match value.source {
                Source::Literal { token, .. } if script.kind(token) == Some(TokenKind::Decimal) => {
                    return None;
                }
                Source::Literal { token, .. }
                    if script.kind(token) == Some(TokenKind::Integer)
                        && value.tokens.len() <= 2 =>
                {
                    pieces.push(tokens())
                }
                Source::Literal { .. } => {
                    pieces.extend(["CAST(".into(), tokens(), format!(" AS {old_type})").into()])
                }
                Source::Param(_) => pieces.extend(guarded(value, old_type)),
                Source::Default | Source::Null | Source::Expression => return None,
            }
            pieces.push(" AS pg_catalog.text)".into());
            Some(pieces)
        }
        (Family::Text, Some(Family::Text)) => Some(vec![
            "CAST(".into(),
            tokens(),
            " AS pg_catalog.text)".into(),
        ]),
        (Family::Text, Some(Family::Uuid)) => Some(vec![
            "CASE WHEN CAST(".into(),
            tokens(),
            format!(" AS pg_catalog.text) ~ {UUID} THEN CAST(CAST(").into(),
            tokens(),
            " AS pg_catalog.text) AS pg_catalog.uuid) END".into(),
        ]),
        (Family::Uuid, Some(Family::Text)) => Some(vec![
            "CAST(CAST(".into(),
            tokens(),
            " AS pg_catalog.uuid) AS pg_catalog.text)".into(),
        ]),
        (Family::Whole | Family::Text | Family::Uuid, _) => None,
    }
}

/// Whole numbers of different widths compare with each other, and the index serves it.
fn whole(value: &KeyValue, old_type: &str, first: bool) -> Option<Vec<Piece>> {
    match value.source {
        Source::Param(_) if first => Some(guarded(value, old_type)),
        Source::Param(_) | Source::Literal { .. } => Some(vec![
            "(".into(),
            Piece::Tokens(value.tokens.clone()),
            ")".into(),
        ]),
        Source::Default | Source::Null | Source::Expression => None,
    }
}

/// A parameter as the old type, which it is inferred to be; where the client declares a wider one, a value out of range is none at all.
fn guarded(value: &KeyValue, old_type: &str) -> Vec<Piece> {
    let tokens = || Piece::Tokens(value.tokens.clone());
    let greatest = match old_type {
        "smallint" => "32767",
        "bigint" => "9223372036854775807",
        _ => "2147483647",
    };
    vec![
        "CASE WHEN (".into(),
        tokens(),
        format!(") <= CAST({greatest} AS {old_type}) AND (").into(),
        tokens(),
        format!(") >= -CAST({greatest} AS {old_type}) - CAST(1 AS {old_type}) THEN CAST(").into(),
        tokens(),
        format!(" AS {old_type}) END").into(),
    ]
}
