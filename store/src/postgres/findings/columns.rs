//! Columns that one store has to fill by itself, and values that may not fit.

use super::Report;
use crate::{
    Column, ColumnMap,
    postgres::sql::{cast_type, is_builtin},
};

pub(super) fn columns(report: &mut Report<'_>) {
    let table = report.table;
    for column in &table.new.columns {
        let carried = table.columns.iter().any(|map| map.new.name == column.name);
        if !carried && unfilled(column) {
            report.blocks(
                format!("the new store's column \"{}\" is NOT NULL, has no default, and nothing is carried to it", column.name),
                "give it a default, or carry a column to it",
            );
        }
    }
    for column in &table.old.columns {
        if table.dropped.contains(&column.name) && unfilled(column) {
            report.note(
                &column.name,
                format!("the old store's column \"{}\" is NOT NULL, has no default and is not carried: from phase 5 on the old store refuses new rows", column.name),
                "give it a default in the old store before phase 5",
            );
        }
    }
    for column in &table.columns {
        nullable(report, column);
        fits(report, column);
        defaults(report, column);
        text_varies(report, column);
    }
    servers(report);
}

fn unfilled(column: &Column) -> bool {
    column.not_null && !column.has_default && !column.generated
}

fn nullable(report: &mut Report<'_>, ColumnMap { old, new }: &ColumnMap) {
    if new.not_null && !old.not_null && !new.generated {
        report.note(
            &old.name,
            format!("the column \"{}\" may be NULL in the old store and not in the new: rows with NULL are refused there and stay dirty", old.name),
            format!("make sure that there are none, or ALTER COLUMN \"{}\" DROP NOT NULL in the new store", new.name),
        );
    }
}

/// A value that the new type cannot take is refused by the new store, and its key stays dirty (trap 11); one that is rounded comes back
/// rounded.
fn fits(report: &mut Report<'_>, ColumnMap { old, new }: &ColumnMap) {
    let types = format!(
        "\"{}\" is {} in the old store and {} in the new",
        old.name, old.base_type, new.base_type
    );
    let (before, after) = (modifiers(&old.base_type), modifiers(&new.base_type));
    let shorter = match (before.first(), after.first()) {
        (None, Some(_)) => true,
        (Some(before), Some(after)) => after < before,
        (_, None) => false,
    };
    if old.type_oid != new.type_oid
        && !(is_user_twin(old, new) || widens(old.type_oid, new.type_oid))
    {
        let note = "values that the cast refuses stay dirty, and a value that it changes comes back changed when the old store is written in phase 5";
        report.note(
            &old.name,
            format!("the column {types}: {note}"),
            "make sure that every value survives the cast both ways",
        );
        return;
    }
    match new.type_oid {
        // varchar, char, bit, varbit and their arrays.
        1042 | 1043 | 1560 | 1562 | 1014 | 1015 | 1561 | 1563 if shorter => report.note(
            &old.name,
            format!("the column {types}: longer values are refused there and stay dirty"),
            "make sure that there are none, or widen the new column",
        ),
        1700 | 1231 if shorter || after.get(1) < before.get(1) => report.note(
            &old.name,
            format!("the column {types}: values with more digits are rounded or refused"),
            "make sure that there are none, or widen the new column",
        ),
        // Times and intervals, by their precision.
        1083 | 1114 | 1184 | 1266 | 1186 if shorter => report.note(
            &old.name,
            format!("the column {types}: fractions of a second are rounded"),
            "make sure that this is meant, or widen the new column",
        ),
        _ => {}
    }
}

/// The numbers in a type's parentheses.
fn modifiers(ty: &str) -> Vec<u32> {
    let inside = ty
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .map_or("", |(inside, _)| inside);
    inside
        .split(',')
        .filter_map(|number| number.trim().parse().ok())
        .collect()
}

/// One type of users under one name in both stores.
fn is_user_twin(old: &Column, new: &Column) -> bool {
    !is_builtin(old) && !is_builtin(new) && cast_type(old) == cast_type(new)
}

/// Casts that every value survives both ways, as far as the old store's values go.
fn widens(old: u32, new: u32) -> bool {
    matches!(
        (old, new),
        (21, 23 | 20 | 1700)
            | (23, 20 | 1700)
            | (20, 1700)
            | (700, 701)
            | (1043 | 1042 | 19, 25)
            | (1042, 1043)
            | (25, 1043)
            | (114, 3802)
    )
}

fn defaults(report: &mut Report<'_>, ColumnMap { old, new }: &ColumnMap) {
    if new.identity_always && !old.identity_always && !new.not_null {
        return;
    }
    if old.has_default && !old.generated && !new.has_default {
        report.note(
            &old.name,
            format!("the column \"{}\" has a default in the old store and none in the new: from phase 5 on inserts without it get NULL or an error", old.name),
            format!("give \"{}\" a default in the new store before phase 5", new.name),
        );
    }
}

fn text_varies(report: &mut Report<'_>, ColumnMap { old, new }: &ColumnMap) {
    if old.text_varies || new.text_varies {
        report.blocks_unless(
            &old.name,
            format!("the column \"{}\" has a type of your own whose text depends on session settings (a date, a float or bytea is part of it): a session with other settings would write another value", old.name),
            "make sure that all sessions use the same DateStyle, TimeZone, extra_float_digits and bytea_output",
        );
    }
    // regclass and its kin are numbers that name something in one store.
    let names_something = |oid| matches!(oid, 24 | 2202..=2206 | 3734 | 3769 | 4089 | 4096 | 4191);
    if names_something(old.type_oid) || names_something(new.type_oid) {
        report.blocks_unless(
            &old.name,
            format!("the column \"{}\" has type {}, whose text depends on search_path and whose value on the store", old.name, old.type_name),
            "carry it as text",
        );
    }
}

fn servers(report: &mut Report<'_>) {
    let (old, new) = (&report.table.old.server, &report.table.new.server);
    if old.encoding != new.encoding && new.encoding != "UTF8" {
        let what = format!(
            "the old store is in {} and the new in {}: characters that it lacks are refused there and stay dirty",
            old.encoding, new.encoding
        );
        report.note(
            "encoding",
            what,
            "create the new database with ENCODING 'UTF8'",
        );
    }
    if new.version / 10_000 < old.version / 10_000 {
        let what = format!(
            "the new server is older than the old one (version {} after {})",
            new.version / 10_000,
            old.version / 10_000
        );
        report.note(
            "version",
            what,
            "make sure that the application needs nothing newer",
        );
    }
}
