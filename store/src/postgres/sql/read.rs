//! Statements that read mapped tables.

use crossfade_phase::Side;

use super::{
    ParamKind, Statement, canonical, comparable,
    key::{
        equal, key_columns, key_condition, key_list, key_order, key_param, qualified,
        range_condition,
    },
    param, quote_name,
};
use crate::{Form, KeyRange, TableMap};

/// Canonical text of every carried column of `side`, in the order of [`TableMap::columns`]: for a RETURNING or a select list.
/// `alias` is quoted by the caller, or empty.
#[must_use]
pub fn image_list(table: &TableMap, side: Side, alias: &str, form: Form) -> Vec<String> {
    table
        .columns
        .iter()
        .map(|column| {
            let expr = qualified(alias, column.on(side));
            match form {
                Form::Own => canonical(&expr, column.on(side)),
                Form::Comparable => comparable(&expr, column, side),
            }
        })
        .collect()
}

fn key_params(table: &TableMap, side: Side) -> Vec<ParamKind> {
    key_columns(table)
        .map(|column| param(column.on(side)))
        .collect()
}

/// Parameters of a range: the lower end's key, then the upper end's.
fn range_params(table: &TableMap, side: Side, range: &KeyRange) -> (Vec<ParamKind>, Vec<usize>) {
    let ends = [&range.after, &range.upto].into_iter().flatten().count();
    (
        key_params(table, side).repeat(ends),
        (0..table.key.len() * ends).collect(),
    )
}

fn where_range(table: &TableMap, side: Side, range: &KeyRange) -> String {
    let condition = range_condition(table, side, "t", range);
    if condition.is_empty() {
        condition
    } else {
        format!(" WHERE {condition}")
    }
}

/// Up to `limit` rows of `range` in key order. Its parameters are the keys of `range`, one after the other.
#[must_use]
pub fn select_range(
    table: &TableMap,
    side: Side,
    range: &KeyRange,
    limit: u32,
    form: Form,
) -> Statement {
    let sql = format!(
        "SELECT {} FROM {} AS t{} ORDER BY {} LIMIT {limit}",
        image_list(table, side, "t", form).join(", "),
        quote_name(&table.on(side).name),
        where_range(table, side, range),
        key_order(table, side, "t").join(", "),
    );
    let (params, sources) = range_params(table, side, range);
    Statement {
        sql,
        params,
        sources,
    }
}

/// The canonical key of the `nth` row of `range` (counted from 1). Its parameters are the keys of `range`, one after the other.
#[must_use]
pub fn nth_key(table: &TableMap, side: Side, range: &KeyRange, nth: u32) -> Statement {
    let sql = format!(
        "SELECT {} FROM {} AS t{} ORDER BY {} OFFSET {} LIMIT 1",
        key_list(table, side, "t").join(", "),
        quote_name(&table.on(side).name),
        where_range(table, side, range),
        key_order(table, side, "t").join(", "),
        nth.saturating_sub(1),
    );
    let (params, sources) = range_params(table, side, range);
    Statement {
        sql,
        params,
        sources,
    }
}

/// The rows with `count` keys, each after its place among the keys. Its parameters are the keys, one after the other.
#[must_use]
pub fn fetch(table: &TableMap, side: Side, count: usize, form: Form) -> Statement {
    let width = table.key.len();
    let values: Vec<_> = (0..count)
        .map(|row| {
            let key = key_columns(table)
                .enumerate()
                .map(|(place, column)| key_param(row * width + place + 1, column.on(side)));
            format!("({row}, {})", key.collect::<Vec<_>>().join(", "))
        })
        .collect();
    let names: Vec<_> = (0..width).map(|place| format!("k{place}")).collect();
    let joined: Vec<_> = std::iter::zip(key_columns(table), &names)
        .map(|(column, name)| {
            equal(
                &qualified("t", column.on(side)),
                &format!("v.{name}"),
                column.on(side),
            )
        })
        .collect();
    let sql = format!(
        "SELECT v.place::pg_catalog.text, {} FROM (VALUES {}) AS v(place, {}) JOIN {} AS t ON {}",
        image_list(table, side, "t", form).join(", "),
        values.join(", "),
        names.join(", "),
        quote_name(&table.on(side).name),
        joined.join(" AND "),
    );
    Statement {
        sql,
        params: key_params(table, side).repeat(count),
        sources: (0..width * count).collect(),
    }
}

/// Reads one row and locks it against writers until the transaction ends.
///
/// `FOR NO KEY UPDATE` stops every UPDATE and DELETE of the row, and lets in rows of other tables that point to it by
/// foreign key; `FOR UPDATE` would make their writers wait for nothing.
#[must_use]
pub fn lock_row(table: &TableMap, side: Side) -> Statement {
    let sql = format!(
        "SELECT {} FROM {} AS t WHERE {} FOR NO KEY UPDATE",
        image_list(table, side, "t", Form::Own).join(", "),
        quote_name(&table.on(side).name),
        key_condition(table, side, "t", 1),
    );
    Statement {
        sql,
        params: key_params(table, side),
        sources: (0..table.key.len()).collect(),
    }
}

/// Number of rows of `range`, the sum of 64 bits of each comparable row's MD5, and the greatest key. A sum does not depend on the order of
/// the rows, and a row's composite text keeps NULL apart from '' and one column from the next.
#[must_use]
pub fn digest(table: &TableMap, side: Side, range: &KeyRange) -> Statement {
    let condition = where_range(table, side, range);
    let name = quote_name(&table.on(side).name);
    let backwards: Vec<_> = key_order(table, side, "t")
        .into_iter()
        .map(|expr| format!("{expr} DESC"))
        .collect();
    let sql = format!(
        "SELECT d.n::pg_catalog.text, d.s::pg_catalog.text, l.* FROM (SELECT count(*) AS n, \
         coalesce(sum(('x' || substr(md5(ROW({})::text), 1, 16))::bit(64)::int8), 0) AS s FROM {name} AS t{condition}) AS d \
         LEFT JOIN (SELECT {} FROM {name} AS t{condition} ORDER BY {} LIMIT 1) AS l ON true",
        image_list(table, side, "t", Form::Comparable).join(", "),
        key_list(table, side, "t").join(", "),
        backwards.join(", "),
    );
    let (params, sources) = range_params(table, side, range);
    Statement {
        sql,
        params,
        sources,
    }
}
