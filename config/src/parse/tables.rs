//! `[toggle.NAME.table.TABLE]`.

use std::ops::Range;

use toml::de::DeValue;

use super::{
    columns::{Columns, columns, refuse_collisions},
    toggles::PlacedTable,
};
use crate::{
    ColumnConfig, QualifiedName, StoreConfig, StoreKind, TableConfig, defaults, keys, names,
    reader::{Field, Reader, Section},
    suggest::nearest,
};

/// Reads the tables of one toggle.
pub(crate) fn tables(
    reader: &mut Reader<'_>,
    toggle: &Section<'_>,
    toggle_name: &str,
    old: Option<&StoreConfig>,
    new: Option<&StoreConfig>,
) -> Vec<PlacedTable> {
    let none = |reader: &mut Reader<'_>, at| {
        let what = format!("{} has no table", toggle.title());
        let instead = format!(
            "add [{}.table.NAME] for each table that moves, or remove the toggle",
            toggle.path
        );
        reader.missing(at, what, instead);
        Vec::new()
    };
    let Some(field) = toggle.get("table") else {
        return none(reader, toggle.at.clone());
    };
    let Some(section) = reader.open(&field) else {
        return Vec::new();
    };
    let fields = section.fields();
    if fields.is_empty() {
        return none(reader, field.key_at);
    }
    fields
        .iter()
        .filter_map(|field| table(reader, &section, field, toggle_name, old, new))
        .collect()
}

fn table(
    reader: &mut Reader<'_>,
    tables: &Section<'_>,
    field: &Field<'_>,
    toggle: &str,
    old: Option<&StoreConfig>,
    new: Option<&StoreConfig>,
) -> Option<PlacedTable> {
    let section = &reader.open(field)?;
    refuse_unknown(reader, tables, section);
    let (old_kind, old_schema) = place(old);
    let (new_kind, new_schema) = place(new);
    let typed = tables.name_of(field);
    let old_name = table_name(
        reader,
        field,
        field.key_at.clone(),
        typed,
        old_kind,
        old_schema,
    );
    let new_at = section
        .get("target")
        .map_or(field.key_at.clone(), |field| field.at());
    let new_name = match section.get("target") {
        Some(target) => reader
            .filled(&target, "a table or \"schema.table\" in quotes")
            .and_then(|text| {
                table_name(
                    reader,
                    &target,
                    target.at(),
                    &text.value,
                    new_kind,
                    new_schema,
                )
            }),
        // The same name, in the new store's own schema.
        None => old_name.as_ref().map(|old| QualifiedName {
            schema: new_schema.to_owned(),
            name: old.name.clone(),
        }),
    };
    let columns = columns(reader, section, old_kind, new_kind);
    let key = key(reader, section, &columns, old_kind);
    let version = version(reader, section, &columns, old_kind);
    refuse_collisions(reader, &columns);
    let acknowledge = section
        .get("acknowledge")
        .and_then(|field| reader.names(&field, "an array of names such as [\"orders_touch\"]"))
        .map(|names| names.into_iter().map(|(name, _)| name).collect())
        .unwrap_or_default();
    let columns = columns
        .into_iter()
        .map(|(name, (column, _))| (name, column))
        .collect();
    let config = TableConfig {
        old: old_name?,
        new: new_name?,
        key,
        version,
        columns,
        acknowledge,
    };
    Some(PlacedTable {
        toggle: toggle.to_owned(),
        config,
        old_at: field.key_at.clone(),
        new_at,
    })
}

/// The rules for names in a store; where it could not be read, PostgreSQL's.
fn place(store: Option<&StoreConfig>) -> (StoreKind, &str) {
    store.map_or((StoreKind::Postgres, defaults::SCHEMA), |store| {
        (store.url.kind, store.schema.as_str())
    })
}

fn table_name(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    at: Range<usize>,
    name: &str,
    kind: StoreKind,
    schema: &str,
) -> Option<QualifiedName> {
    names::table(name, kind, schema)
        .map_err(|why| {
            let what = format!("\"{}\": the name of the table {why}", field.path);
            reader.mistake(
                at,
                what,
                "write table or \"schema.table\"; a part that holds a dot stands in double quotes",
            );
        })
        .ok()
}

/// As for any table, with a hint for `[toggle.shop.table.public.orders]`.
fn refuse_unknown(reader: &mut Reader<'_>, tables: &Section<'_>, section: &Section<'_>) {
    for field in section.fields() {
        let name = section.name_of(&field);
        if keys::TABLE.names.contains(&name) {
            continue;
        }
        let what = format!("unknown key \"{name}\" in {}", section.title());
        let is_table = matches!(field.value.get_ref(), DeValue::Table(_));
        let instead = if is_table && nearest(name, keys::TABLE.names.iter().copied()).is_none() {
            let schema = &section.path[tables.path.len() + 1..];
            format!(
                "a name with a dot stands in quotes: [{}.\"{schema}.{name}\"]",
                tables.path
            )
        } else {
            keys::TABLE.instead_of(name)
        };
        reader.mistake(field.key_at.clone(), what, instead);
    }
}

fn key(
    reader: &mut Reader<'_>,
    table: &Section<'_>,
    columns: &Columns,
    old: StoreKind,
) -> Option<Vec<String>> {
    let field = table.get("key")?;
    let names = reader.names(
        &field,
        "the key's columns by their old names, such as [\"id\"]",
    )?;
    if names.is_empty() {
        let what = format!("\"{}\" names no column", field.path);
        reader.mistake(
            field.at(),
            what,
            "leave it out to use the old table's primary key, or name its columns",
        );
        return None;
    }
    for (name, at) in &names {
        old_column(reader, &field, at.clone(), name, columns, old);
    }
    Some(names.into_iter().map(|(name, _)| name).collect())
}

fn version(
    reader: &mut Reader<'_>,
    table: &Section<'_>,
    columns: &Columns,
    old: StoreKind,
) -> Option<String> {
    let field = table.get("version")?;
    let expected =
        "the version column's old name in quotes, or leave it out when rows never change";
    let text = reader.filled(&field, expected)?;
    old_column(reader, &field, field.at(), &text.value, columns, old);
    Some(text.value)
}

/// A key or version column must be carried: without it in the new store no row could be found or compared.
fn old_column(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    at: Range<usize>,
    name: &str,
    columns: &Columns,
    old: StoreKind,
) {
    if let Err(why) = names::identifier(name, old) {
        reader.mistake(
            at,
            format!("\"{}\" names a column that {why}", field.path),
            "write the column's old name",
        );
        return;
    }
    match columns.get(name) {
        Some((ColumnConfig::Drop, _)) => {
            let what = format!(
                "\"{}\" names the column {name:?}, which is not carried (column.{name} = false)",
                field.path
            );
            reader.mistake(
                at,
                what,
                format!("remove column.{name} = false, or name another column"),
            );
        }
        Some((ColumnConfig::Carry { .. }, _)) => {}
        None => {
            let renamed = columns.iter().find(
                |(_, (column, _))| matches!(column, ColumnConfig::Carry { to, .. } if to == name),
            );
            if let Some((old_name, _)) = renamed {
                let what = format!(
                    "\"{}\" names {name:?}, which is the new name of the column {old_name:?}",
                    field.path
                );
                let instead = format!(
                    "write the old name {old_name:?}; if the old table has a {name:?} too, give each its own new name"
                );
                reader.mistake(at, what, instead);
            }
        }
    }
}
