//! Statements that write mapped tables.

use crossfade_phase::Side;

use super::{
    Statement, convert,
    key::{key_columns, key_condition},
    param, param_expr, quote_ident, quote_name,
    types::by_binary,
};
use crate::{ColumnMap, TableMap};

/// The carried columns that a write into `target` names, as indexes into [`TableMap::columns`]: all but those that the
/// target computes itself (trap 10).
#[must_use]
pub fn written(table: &TableMap, target: Side) -> Vec<usize> {
    (0..table.columns.len())
        .filter(|&index| !table.columns[index].on(target).generated)
        .collect()
}

fn names(table: &TableMap, target: Side, columns: &[usize]) -> String {
    let names: Vec<_> = columns
        .iter()
        .map(|&index| quote_ident(&table.columns[index].on(target).name))
        .collect();
    names.join(", ")
}

/// Everything up to VALUES or SELECT.
pub(super) fn insert_head(table: &TableMap, target: Side, columns: &[usize]) -> String {
    // Trap 33: an identity column that is always generated takes a value only by this.
    let identity = columns
        .iter()
        .any(|&index| table.columns[index].on(target).identity_always);
    format!(
        "INSERT INTO {} ({}){}",
        quote_name(&table.on(target).name),
        names(table, target, columns),
        if identity {
            " OVERRIDING SYSTEM VALUE"
        } else {
            ""
        }
    )
}

pub(super) fn on_conflict(table: &TableMap, target: Side) -> String {
    format!(" ON CONFLICT ({})", names(table, target, &table.key))
}

pub(super) fn do_update(table: &TableMap, target: Side, columns: &[usize]) -> String {
    let set: Vec<_> = columns
        .iter()
        .filter(|&index| {
            !table.key.contains(index) && !table.columns[*index].on(target).identity_always
        })
        .map(|&index| {
            let name = quote_ident(&table.columns[index].on(target).name);
            format!("{name} = EXCLUDED.{name}")
        })
        .collect();
    if set.is_empty() {
        " DO NOTHING".to_owned()
    } else {
        format!(" DO UPDATE SET {}", set.join(", "))
    }
}

/// One row of VALUES, with parameters from `first` on.
fn values(table: &TableMap, target: Side, columns: &[usize], first: usize) -> String {
    let values: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(place, &index)| {
            let column = &table.columns[index];
            param_expr(first + place, column.on(target.other()), column.on(target))
        })
        .collect();
    format!("({})", values.join(", "))
}

/// Puts one row, an image from the other store, into `target`: inserted, or every carried column set where its key is there.
#[must_use]
pub fn upsert(table: &TableMap, target: Side) -> Statement {
    upsert_rows(table, target, 1)
}

/// As [`upsert`], of `count` rows with different keys. Its parameters are the rows' values, one row after the other; `sources` are those of the first row.
#[must_use]
pub fn upsert_rows(table: &TableMap, target: Side, count: usize) -> Statement {
    let columns = written(table, target);
    let rows: Vec<_> = (0..count)
        .map(|row| values(table, target, &columns, row * columns.len() + 1))
        .collect();
    let sql = format!(
        "{} VALUES {}{}{}",
        insert_head(table, target, &columns),
        rows.join(", "),
        on_conflict(table, target),
        do_update(table, target, &columns)
    );
    let one_row = params(table, target, &columns);
    Statement {
        sql,
        params: one_row.repeat(count),
        sources: columns,
    }
}

fn params(table: &TableMap, target: Side, columns: &[usize]) -> Vec<super::ParamKind> {
    columns
        .iter()
        .map(|&index| param(table.columns[index].on(target.other())))
        .collect()
}

/// Gives one column of the row with one key in `target` another value than it has, an image from the other store. Its parameters are that value and the key's.
#[must_use]
pub fn set_value(table: &TableMap, target: Side, column: &ColumnMap) -> Statement {
    let (from, to) = (column.on(target.other()), column.on(target));
    let (name, value) = (quote_ident(&to.name), param_expr(1, from, to));
    let sql = format!(
        "UPDATE {} AS t SET {name} = {value} WHERE {} AND (t.{name})::pg_catalog.text IS DISTINCT FROM ({value})::pg_catalog.text",
        quote_name(&table.on(target).name),
        key_condition(table, target, "t", 2)
    );
    let key = key_columns(table).map(|column| param(column.on(target)));
    Statement {
        sql,
        params: std::iter::once(param(from)).chain(key).collect(),
        sources: (0..=table.key.len()).collect(),
    }
}

/// Deletes the row with one key from `target`.
#[must_use]
pub fn delete(table: &TableMap, target: Side) -> Statement {
    delete_rows(table, target, 1)
}

/// As [`delete`], of `count` keys. Its parameters are the keys, one after the other; `sources` are those of the first.
#[must_use]
pub fn delete_rows(table: &TableMap, target: Side, count: usize) -> Statement {
    let conditions: Vec<_> = (0..count)
        .map(|row| {
            let condition = key_condition(table, target, "t", row * table.key.len() + 1);
            if count == 1 {
                condition
            } else {
                format!("({condition})")
            }
        })
        .collect();
    let sql = format!(
        "DELETE FROM {} AS t WHERE {}",
        quote_name(&table.on(target).name),
        conditions.join(" OR ")
    );
    let one_key: Vec<_> = key_columns(table)
        .map(|column| param(column.on(target)))
        .collect();
    Statement {
        sql,
        params: one_key.repeat(count),
        sources: (0..table.key.len()).collect(),
    }
}

/// Inserts those of `count` rows, images from the other store, whose key is absent. Its parameters are the rows' values, one
/// row after the other; `sources` are those of the first row.
#[must_use]
pub fn insert_absent(table: &TableMap, target: Side, count: usize) -> Statement {
    let columns = written(table, target);
    let rows: Vec<_> = (0..count)
        .map(|row| values(table, target, &columns, row * columns.len() + 1))
        .collect();
    let sql = format!(
        "{} VALUES {}{} DO NOTHING",
        insert_head(table, target, &columns),
        rows.join(", "),
        on_conflict(table, target)
    );
    Statement {
        sql,
        params: params(table, target, &columns),
        sources: columns,
    }
}

fn stage_name(table: &TableMap) -> String {
    format!(
        "pg_temp.{}",
        quote_ident(&format!("crossfade_stage_{}", table.id.0))
    )
}

/// The temporary table that [`stage_insert`] reads, gone with the transaction, and the COPY (binary format) that fills it
/// with canonical values bound as [`param`] says.
#[must_use]
pub fn stage_table(table: &TableMap, target: Side) -> (String, String) {
    let stage = stage_name(table);
    let columns: Vec<_> = written(table, target)
        .into_iter()
        .map(|index| {
            let (declared, _) =
                by_binary(table.columns[index].on(target.other()).type_oid).unwrap_or(("text", ""));
            format!("c{index} pg_catalog.{declared}")
        })
        .collect();
    (
        format!(
            "CREATE TEMPORARY TABLE {stage} ({}) ON COMMIT DROP",
            columns.join(", ")
        ),
        format!("COPY {stage} FROM STDIN (FORMAT binary)"),
    )
}

/// Moves the rows of the staging table whose key is absent into `target`.
#[must_use]
pub fn stage_insert(table: &TableMap, target: Side) -> String {
    let columns = written(table, target);
    let values: Vec<_> = columns
        .iter()
        .map(|&index| {
            let column: &ColumnMap = &table.columns[index];
            convert(
                &format!("s.c{index}"),
                column.on(target.other()),
                column.on(target),
            )
        })
        .collect();
    format!(
        "{} SELECT {} FROM {} AS s{} DO NOTHING",
        insert_head(table, target, &columns),
        values.join(", "),
        stage_name(table),
        on_conflict(table, target)
    )
}

/// The COPY (text format) straight into `target`.
#[must_use]
pub fn copy_columns(table: &TableMap, target: Side) -> String {
    let columns = written(table, target);
    format!(
        "COPY {} ({}) FROM STDIN",
        quote_name(&table.on(target).name),
        names(table, target, &columns)
    )
}
