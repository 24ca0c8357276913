//! How a mapped table of the new store differs from what clients think it is.

use crossfade_store::{
    Column, ColumnMap, TableMap,
    postgres::sql::{is_builtin, quote_ident, quote_name},
};

/// How far the new table is from the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The client's text means the same there.
    Same,
    /// The same columns in a table of another name.
    Renamed,
    /// Other columns, other types, or another order.
    Recast,
}

/// What became of an old column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate<'m> {
    /// Carried under its own name and type.
    Same,
    /// Carried under another name or as another type.
    Changed(&'m ColumnMap),
    /// Not carried.
    Dropped,
    /// The old table has no such column.
    Unknown,
}

pub(super) fn shape(table: &TableMap) -> Shape {
    let alike = table.dropped.is_empty()
        && table.old.columns.len() == table.new.columns.len()
        && std::iter::zip(&table.old.columns, &table.new.columns)
            .all(|(old, new)| old.name == new.name && is_same_type(old, new))
        && table
            .columns
            .iter()
            .all(|column| column.old.name == column.new.name && !needs_override(column));
    match (alike, table.old.name == table.new.name) {
        (true, true) => Shape::Same,
        (true, false) => Shape::Renamed,
        (false, _) => Shape::Recast,
    }
}

/// Whether an explicit value that the old table takes needs OVERRIDING SYSTEM VALUE in the new one (trap 33).
pub(super) fn needs_override(column: &ColumnMap) -> bool {
    column.new.identity_always && !column.old.identity_always
}

pub(super) fn is_same_type(old: &Column, new: &Column) -> bool {
    old.type_name == new.type_name
}

pub(super) fn is_recast(column: &ColumnMap) -> bool {
    !is_same_type(&column.old, &column.new)
}

pub(super) fn fate<'m>(table: &'m TableMap, name: &str) -> Fate<'m> {
    match table.columns.iter().find(|column| column.old.name == name) {
        Some(column)
            if column.old.name == column.new.name
                && !is_recast(column)
                && !needs_override(column) =>
        {
            Fate::Same
        }
        Some(column) => Fate::Changed(column),
        None if table.old.column(name).is_some()
            || table.dropped.iter().any(|dropped| dropped == name) =>
        {
            Fate::Dropped
        }
        None => Fate::Unknown,
    }
}

fn is_textual(column: &Column) -> bool {
    matches!(column.type_oid, 25 | 1042 | 1043)
}

/// `expr`, the column in the new store, as a value of the old type.
pub(super) fn as_old(expr: &str, column: &ColumnMap) -> String {
    let (old, new) = (&column.old, &column.new);
    if !is_recast(column) {
        return expr.to_owned();
    }
    // Between types that only their text has in common, an explicit cast goes by way of it.
    let direct = is_textual(old) || (is_builtin(new) && (is_builtin(old) || is_textual(new)));
    if direct {
        format!("CAST({expr} AS {})", old.type_name)
    } else {
        format!("CAST(CAST({expr} AS pg_catalog.text) AS {})", old.type_name)
    }
}

/// What stands before and behind an expression that the client writes into a column, so that it is taken as the old type (parameters are
/// inferred to have it, and what is too long for it is refused) and becomes the new one. The new type's length is left to the assignment,
/// which refuses what a cast would cut (trap 11).
pub(super) fn into_new(column: &ColumnMap) -> (String, String) {
    let (old, new) = (&column.old, &column.new);
    let (open, close) = as_assigned(old);
    if is_textual(new) && is_textual(old) {
        return (open, close);
    }
    if !is_builtin(old) {
        // The new store may not have the type at all.
        return (
            "CAST(CAST(".to_owned(),
            format!(" AS pg_catalog.text) AS {})", without_length(new)),
        );
    }
    if is_builtin(new) || is_textual(old) {
        return (
            format!("CAST({open}"),
            format!("{close} AS {})", without_length(new)),
        );
    }
    (
        format!("CAST(CAST({open}"),
        format!("{close} AS pg_catalog.text) AS {})", without_length(new)),
    )
}

/// What makes an expression the column's type as an assignment does: a length is checked rather than cut to.
fn as_assigned(column: &Column) -> (String, String) {
    let ty = without_length(column);
    let length = column
        .type_name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')')?.parse::<u32>().ok());
    // The functions behind the casts, told that they are not explicit. The character types' modifier counts a header of four bytes.
    let check = match (column.type_oid, length) {
        (1043, Some(length)) => Some(("\"varchar\"", length + 4)),
        (1042, Some(length)) => Some(("\"bpchar\"", length + 4)),
        (1560, Some(length)) => Some(("\"bit\"", length)),
        (1562, Some(length)) => Some(("\"varbit\"", length)),
        _ => None,
    };
    match check {
        Some((function, modifier)) => (
            format!("pg_catalog.{function}(CAST("),
            format!(" AS {ty}), {modifier}, false)"),
        ),
        None => ("CAST(".to_owned(), format!(" AS {ty})")),
    }
}

/// The type for an explicit cast, without the lengths to which a cast cuts in silence.
fn without_length(column: &Column) -> &str {
    match column.type_oid {
        1043 => "pg_catalog.varchar",
        1042 => "pg_catalog.bpchar",
        1560 => "pg_catalog.\"bit\"",
        1562 => "pg_catalog.varbit",
        1015 => "pg_catalog.varchar[]",
        1014 => "pg_catalog.bpchar[]",
        1561 => "pg_catalog.\"bit\"[]",
        1563 => "pg_catalog.varbit[]",
        _ => &column.type_name,
    }
}

/// The table of the new store as the old one: its columns under the old names, in the old order, of the old types. The bracket is left open,
/// for a WHERE to follow. `placed`: with the places of its rows.
pub(super) fn as_old_table(table: &TableMap, placed: bool) -> String {
    let columns: Vec<String> = table
        .old
        .columns
        .iter()
        .map(|old| as_old_column(table, old, ""))
        .collect();
    format!(
        "(SELECT {}{} FROM {}",
        if placed { "tableoid, ctid, xmin, " } else { "" },
        columns.join(", "),
        quote_name(&table.new.name)
    )
}

/// One column of the old table, read from the new one, under its old name. `prefix` is a quoted qualifier with its dot, or empty.
pub(super) fn as_old_column(table: &TableMap, old: &Column, prefix: &str) -> String {
    let name = quote_ident(&old.name);
    match table
        .columns
        .iter()
        .find(|column| column.old.name == old.name)
    {
        Some(column) => {
            let expr = as_old(
                &format!("{prefix}{}", quote_ident(&column.new.name)),
                column,
            );
            format!("{expr} AS {name}")
        }
        None => format!("CAST(NULL AS {}) AS {name}", old.type_name),
    }
}
