//! Keys: conditions, order, ranges.

use crossfade_phase::Side;

use super::{canonical, is_builtin, param_expr, quote_ident};
use crate::{Column, ColumnMap, KeyRange, TableMap};

/// `alias.column`, or the column alone where `alias` is empty.
pub(super) fn qualified(alias: &str, column: &Column) -> String {
    if alias.is_empty() {
        quote_ident(&column.name)
    } else {
        format!("{alias}.{}", quote_ident(&column.name))
    }
}

pub(super) fn key_columns(table: &TableMap) -> impl Iterator<Item = &ColumnMap> {
    table.key.iter().map(|&index| &table.columns[index])
}

/// Canonical text of the key columns of `side`, in key order. `alias` is quoted by the caller, or empty.
#[must_use]
pub fn key_list(table: &TableMap, side: Side, alias: &str) -> Vec<String> {
    key_columns(table)
        .map(|column| canonical(&qualified(alias, column.on(side)), column.on(side)))
        .collect()
}

/// Whether both stores put this key column's values into the same order by themselves. Where they do not, or where nobody can
/// tell, both compare its text byte by byte (trap 35).
fn same_order(column: &ColumnMap) -> bool {
    let (old, new) = (&column.old, &column.new);
    let whole = |oid| matches!(oid, 20 | 21 | 23);
    let alike = old.type_oid == new.type_oid || (whole(old.type_oid) && whole(new.type_oid));
    let collated = if old.collatable || new.collatable {
        old.collation.is_some() && old.collation == new.collation
    } else {
        true
    };
    is_builtin(old) && is_builtin(new) && alike && collated
}

fn ordered(expr: String, column: &ColumnMap) -> String {
    if same_order(column) {
        expr
    } else {
        format!("({expr})::pg_catalog.text COLLATE pg_catalog.\"C\"")
    }
}

/// The expressions to order the rows of `side` by, so that both stores give their keys in the same order, and by the
/// key's own index wherever that has this order.
#[must_use]
pub fn key_order(table: &TableMap, side: Side, alias: &str) -> Vec<String> {
    key_columns(table)
        .map(|column| ordered(qualified(alias, column.on(side)), column))
        .collect()
}

/// Whether the order of [`key_order`] is the one of the key's own index.
#[must_use]
pub(crate) fn uses_index(table: &TableMap) -> bool {
    key_columns(table).all(same_order)
}

/// `left = right` with the operator that belongs to the type, also where `search_path` is empty.
#[must_use]
pub fn equal(left: &str, right: &str, column: &Column) -> String {
    match &column.operator_schema {
        Some(schema) => format!("{left} OPERATOR({}.=) {right}", quote_ident(schema)),
        None => format!("{left} = {right}"),
    }
}

/// Equality of the key columns of `side` with parameters from `first` on, which hold a key in key order.
#[must_use]
pub fn key_condition(table: &TableMap, side: Side, alias: &str, first: usize) -> String {
    let conditions: Vec<_> = key_columns(table)
        .enumerate()
        .map(|(place, column)| {
            let column = column.on(side);
            equal(
                &qualified(alias, column),
                &key_param(first + place, column),
                column,
            )
        })
        .collect();
    conditions.join(" AND ")
}

/// A key's parameter as a value of the column's own type, so that the key's index is used.
pub(super) fn key_param(number: usize, column: &Column) -> String {
    let value = param_expr(number, column, column);
    if column.type_oid == super::types::BPCHAR {
        format!("{value}::pg_catalog.bpchar")
    } else {
        value
    }
}

/// The condition for `range`, with `$1…` for its lower and then its upper end; empty for all rows.
pub(super) fn range_condition(
    table: &TableMap,
    side: Side,
    alias: &str,
    range: &KeyRange,
) -> String {
    let mut conditions = Vec::new();
    let mut number = 1;
    let row = |parts: Vec<String>| format!("({})", parts.join(", "));
    for (operator, end) in [(">", &range.after), ("<=", &range.upto)] {
        if end.is_some() {
            let values = key_columns(table)
                .enumerate()
                .map(|(place, column)| ordered(key_param(number + place, column.on(side)), column))
                .collect();
            conditions.push(format!(
                "{} {operator} {}",
                row(key_order(table, side, alias)),
                row(values)
            ));
            number += table.key.len();
        }
    }
    conditions.join(" AND ")
}
