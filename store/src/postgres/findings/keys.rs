//! Whether the key tells rows apart alike in both stores.

use super::Report;
use crate::{
    Column, ColumnMap,
    postgres::sql::{ParamKind, is_builtin, param, quote_ident, quote_name, uses_index},
};

pub(super) fn keys(report: &mut Report<'_>) {
    let table = report.table;
    let names: Vec<_> = table
        .key
        .iter()
        .map(|&index| table.columns[index].new.name.as_str())
        .collect();
    let covered = |columns: &[String]| {
        columns.len() == names.len()
            && columns
                .iter()
                .all(|column| names.contains(&column.as_str()))
    };
    if !table.new.unique.iter().any(|index| covered(&index.columns)) {
        let quoted: Vec<_> = names.iter().map(|name| quote_ident(name)).collect();
        report.blocks(
            format!("the new store has no unique index over exactly the key ({}) that is valid, not partial and not deferrable", names.join(", ")),
            format!("CREATE UNIQUE INDEX ON {} ({})", quote_name(&table.new.name), quoted.join(", ")),
        );
    }
    for &index in &table.key {
        let column = &table.columns[index];
        spelling(report, column);
        if column.new.generated {
            report.blocks(
                format!(
                    "the new store computes the key column \"{}\" by itself",
                    column.new.name
                ),
                "make it a plain column",
            );
        }
    }
    if !uses_index(table) {
        report.note(
            "key-order",
            "the key sorts differently in the two stores, or nobody can tell, so both sort it byte by byte and cannot use its index: each chunk of a backfill or verify reads the whole table".to_owned(),
            "where the table is large, create an index on the key's text COLLATE \"C\" in both stores",
        );
    }
}

/// Journal, tombstones and batches know a row by its key's canonical text: equal keys must have equal texts.
fn spelling(report: &mut Report<'_>, column: &ColumnMap) {
    let (old, new) = (&column.old, &column.new);
    let types = format!(
        "\"{}\" is {} in the old store and {} in the new",
        old.name, old.type_name, new.type_name
    );
    if param(old) != param(new) {
        report.blocks(
            format!("the key column {types}: one key would have two forms"),
            "keep the type of a key; change it after phase 8",
        );
    } else if !spelled_alike(old, new) {
        report.blocks_unless(
            &old.name,
            format!("the key column {types}: a key that the new type writes in another way would be taken for another row"),
            "make sure that every key is written as the new type writes it",
        );
    }
    if let Some(why) = several_spellings(old).or_else(|| several_spellings(new)) {
        report.blocks_unless(
            &old.name,
            format!("the key column \"{}\" can hold equal values that are written differently ({why}): an UPDATE from one to the other would be taken for a change of the key", old.name),
            "make sure that no statement changes only the spelling of a key",
        );
    }
}

/// Whether the text of every value of `old` is its text in `new` as well.
fn spelled_alike(old: &Column, new: &Column) -> bool {
    let whole = |oid| matches!(oid, 20 | 21 | 23);
    let same = if is_builtin(old) || is_builtin(new) {
        old.type_oid == new.type_oid
    } else {
        old.base_type == new.base_type
    };
    let whole_numeric =
        new.type_oid == 1700 && (new.base_type == "numeric" || new.base_type.ends_with(",0)"));
    // An enum, a uuid or a number in text stays as it is; text in any of those may not.
    let into_text =
        matches!(new.type_oid, 25 | 1043) && param(old) == ParamKind::Text && old.type_oid != 1700;
    same || into_text || (whole(old.type_oid) && (whole(new.type_oid) || whole_numeric))
}

fn several_spellings(column: &Column) -> Option<&'static str> {
    match column.type_oid {
        1700 if column.base_type == "numeric" => Some("1.0 and 1.00"),
        700 | 701 => Some("0 and -0"),
        1186 => Some("1 day and 24 hours"),
        _ if column
            .collation
            .as_ref()
            .is_some_and(|name| name.ends_with("/nondeterministic")) =>
        {
            Some("its collation is not deterministic")
        }
        _ if column.operator_schema.is_some() => {
            Some("its type compares by rules of its own, as citext does")
        }
        _ => None,
    }
}
