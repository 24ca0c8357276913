//! Writing the other store where both are schemas of one database: rows are copied inside the server, in the client's own transaction.

use crossfade_phase::Side;

use super::{
    convert, quote_ident, quote_literal, quote_name,
    types::by_binary,
    write::{do_update, insert_head, on_conflict, written},
};
use crate::{Key, TableMap};

/// Statements that make the rows with these keys in `target` what they are in the other store. The first copies what is there, the second
/// deletes what is not. `None` when a key's canonical text is no SQL constant.
#[must_use]
pub fn write_across(table: &TableMap, target: Side, keys: &[Key]) -> Option<[String; 2]> {
    let source = target.other();
    let rows: Vec<String> = keys
        .iter()
        .map(|key| constants(table, source, key))
        .collect::<Option<_>>()?;
    let columns = written(table, target);
    let values: Vec<String> = columns
        .iter()
        .map(|&index| {
            let column = &table.columns[index];
            let expr = format!("s.{}", quote_ident(&column.on(source).name));
            convert(&expr, column.on(source), column.on(target))
        })
        .collect();
    let given = given(table, &rows);
    let copy = format!(
        "{} SELECT {} FROM {} AS s JOIN {given} ON {} ORDER BY {}{}{}",
        insert_head(table, target, &columns),
        values.join(", "),
        quote_name(&table.on(source).name),
        matches(table, source, "s", |_, value| value),
        order(table, source),
        on_conflict(table, target),
        do_update(table, target, &columns),
    );
    let delete = format!(
        "DELETE FROM {} AS t USING {given} WHERE {} AND NOT EXISTS (SELECT FROM {} AS s WHERE {})",
        quote_name(&table.on(target).name),
        matches(table, target, "t", |index, value| {
            let column = &table.columns[index];
            convert(&value, column.on(source), column.on(target))
        }),
        quote_name(&table.on(source).name),
        matches(table, source, "s", |_, value| value),
    );
    Some([copy, delete])
}

/// One key as a row of VALUES.
fn constants(table: &TableMap, source: Side, key: &Key) -> Option<String> {
    let parts = std::iter::zip(&table.key, &key.0).map(|(&index, part)| {
        let column = table.columns[index].on(source);
        if by_binary(column.type_oid).is_some() {
            return None;
        }
        let text = std::str::from_utf8(part).ok()?;
        Some(format!(
            "CAST({} AS {})",
            quote_literal(text),
            column.type_name
        ))
    });
    Some(format!(
        "({})",
        parts.collect::<Option<Vec<_>>>()?.join(", ")
    ))
}

fn given(table: &TableMap, rows: &[String]) -> String {
    let names: Vec<String> = (0..table.key.len())
        .map(|place| format!("k{place}"))
        .collect();
    format!("(VALUES {}) AS v({})", rows.join(", "), names.join(", "))
}

fn matches(
    table: &TableMap,
    side: Side,
    alias: &str,
    value: impl Fn(usize, String) -> String,
) -> String {
    let conditions: Vec<String> = table
        .key
        .iter()
        .enumerate()
        .map(|(place, &index)| {
            let name = quote_ident(&table.columns[index].on(side).name);
            format!("{alias}.{name} = {}", value(index, format!("v.k{place}")))
        })
        .collect();
    conditions.join(" AND ")
}

fn order(table: &TableMap, source: Side) -> String {
    let columns: Vec<String> = table
        .key
        .iter()
        .map(|&index| format!("s.{}", quote_ident(&table.columns[index].on(source).name)))
        .collect();
    columns.join(", ")
}
