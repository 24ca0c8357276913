//! `column.NAME` of a table.

use std::{collections::BTreeMap, ops::Range};

use toml::de::DeValue;

use crate::{
    ColumnConfig, StoreKind, keys, names,
    reader::{Field, Reader, Section},
};

/// What a value of `column` may be.
const COLUMN: &str = "the new name in quotes, { to = \"name\", type = \"text\" }, or false for a column that is not carried";

/// Columns by their old names, each with the place of its value.
pub(super) type Columns = BTreeMap<String, (ColumnConfig, Range<usize>)>;

/// Reads the columns of one table.
pub(super) fn columns(
    reader: &mut Reader<'_>,
    table: &Section<'_>,
    old: StoreKind,
    new: StoreKind,
) -> Columns {
    let Some(section) = table.get("column").and_then(|field| reader.open(&field)) else {
        return Columns::new();
    };
    let mut columns = Columns::new();
    for field in section.fields() {
        let name = section.name_of(&field);
        if let Err(why) = names::identifier(name, old) {
            reader.mistake(
                field.key_at.clone(),
                format!("the column name {name:?} {why}"),
                "write the column's name in the old table",
            );
        }
        if let Some(column) = column(reader, &section, &field, name, new) {
            columns.insert(name.to_owned(), (column, field.at()));
        }
    }
    columns
}

fn column(
    reader: &mut Reader<'_>,
    columns: &Section<'_>,
    field: &Field<'_>,
    name: &str,
    new: StoreKind,
) -> Option<ColumnConfig> {
    match field.value.get_ref() {
        DeValue::Boolean(false) => Some(ColumnConfig::Drop),
        DeValue::Boolean(true) => {
            let what = format!("\"{}\" is true", field.path);
            reader.mistake(
                field.at(),
                what,
                "leave it out: a column is carried under its own name by default",
            );
            None
        }
        DeValue::String(_) => Some(ColumnConfig::Carry {
            to: target_column(reader, field, new)?,
            ty: None,
        }),
        DeValue::Table(_) => {
            let section = reader.section(columns, name, &keys::COLUMN)?;
            let to = match section.get("to") {
                Some(to) => target_column(reader, &to, new)?,
                None => name.to_owned(),
            };
            let ty = section.get("type");
            if ty.is_none() && section.get("to").is_none() {
                let what = format!("\"{}\" has neither \"to\" nor \"type\"", field.path);
                reader.missing(field.at(), what, format!("write {COLUMN}"));
            }
            let ty = match ty {
                Some(ty) => Some(
                    reader
                        .filled(&ty, "a type in quotes, such as \"numeric(12,2)\"")?
                        .value,
                ),
                None => None,
            };
            Some(ColumnConfig::Carry { to, ty })
        }
        _ => {
            reader.wrong_type(field, COLUMN);
            None
        }
    }
}

fn target_column(reader: &mut Reader<'_>, field: &Field<'_>, new: StoreKind) -> Option<String> {
    let text = reader.filled(field, "the column's name in the new table")?;
    if let Err(why) = names::identifier(&text.value, new) {
        reader.mistake(
            field.at(),
            format!("\"{}\" {why}", field.path),
            "write the column's name in the new table",
        );
        return None;
    }
    Some(text.value)
}

/// Two columns onto one. The file knows only the columns that it names; the preflight looks again with the catalog.
pub(super) fn refuse_collisions(reader: &mut Reader<'_>, columns: &Columns) {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    let mut carried: Vec<(&str, &str, Range<usize>)> = columns
        .iter()
        .filter_map(|(name, (column, at))| match column {
            ColumnConfig::Carry { to, .. } => Some((name.as_str(), to.as_str(), at.clone())),
            ColumnConfig::Drop => None,
        })
        .collect();
    carried.sort_by_key(|(_, _, at)| at.start);
    for (name, to, at) in carried {
        if let Some(other) = taken.insert(to, name) {
            let what = format!("the columns {other:?} and {name:?} both go to {to:?}");
            reader.mistake(at, what, "give each its own column in the new table");
        }
    }
}
