//! One table.

use crossfade_config::{ColumnConfig, TableConfig};

use crate::{Column, ColumnMap, Relation, TableId, TableMap, UniqueIndex};

/// What the stores have under the table's names.
pub(super) struct Catalogs {
    pub(super) old: Option<Relation>,
    /// `None` when the new store was not asked.
    pub(super) new: Option<Option<Relation>>,
}

/// What is wrong, and what to do about it.
type Wrong = Vec<(String, String)>;

/// The table with both of its ends; `None` when there is nothing to go on from. Every mistake goes into `wrong`.
pub(super) fn resolve(
    id: TableId,
    toggle: &str,
    typed: &TableConfig,
    found: Catalogs,
    wrong: &mut Wrong,
) -> Option<TableMap> {
    if found.old.is_none() {
        wrong.push((
            format!("the old store has no table \"{}\"", typed.old),
            "correct its name in the file".to_owned(),
        ));
    }
    if matches!(found.new, Some(None)) {
        wrong.push((
            format!("the new store has no table \"{}\"", typed.new),
            "create it there, or name another one in `target`".to_owned(),
        ));
    }
    let old = found.old?;
    unknown_columns(typed, &old, wrong);
    let carried = carried(typed, &old, wrong);
    let new = match found.new {
        Some(Some(shapeless)) if shapeless.shapeless => Relation {
            server: shapeless.server,
            shapeless: true,
            ..documents(as_typed(typed, &old, &carried))
        },
        Some(new) => new?,
        None => as_typed(typed, &old, &carried),
    };
    let columns = columns(&carried, &new, wrong);
    let key = key(typed, &old, &columns, wrong);
    let version = typed
        .version
        .as_ref()
        .and_then(|name| columns.iter().position(|column| column.old.name == *name));
    let dropped = old
        .columns
        .iter()
        .filter(|column| typed.columns.get(&column.name) == Some(&ColumnConfig::Drop));
    let dropped = dropped.map(|column| column.name.clone()).collect();
    Some(TableMap {
        id,
        toggle: toggle.to_owned(),
        columns,
        key,
        version,
        dropped,
        old,
        new,
    })
}

/// Names in the file that are no columns of the old table.
fn unknown_columns(typed: &TableConfig, old: &Relation, wrong: &mut Wrong) {
    let named = typed.columns.keys().map(|name| ("column", name));
    let key = typed.key.iter().flatten().map(|name| ("key column", name));
    let version = typed.version.iter().map(|name| ("version column", name));
    for (what, name) in named.chain(key).chain(version) {
        if old.column(name).is_none() {
            let has: Vec<_> = old
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            wrong.push((
                format!("the old table has no {what} \"{name}\""),
                format!("it has {}", has.join(", ")),
            ));
        } else if what != "column" && typed.columns.get(name) == Some(&ColumnConfig::Drop) {
            wrong.push((
                format!("the {what} \"{name}\" is not carried"),
                "remove its `false` from the file".to_owned(),
            ));
        }
    }
}

/// One carried column, with its name and type in the new store as the file has them.
struct Carried<'a> {
    old: Column,
    to: String,
    ty: Option<&'a str>,
}

fn carried<'a>(typed: &'a TableConfig, old: &Relation, wrong: &mut Wrong) -> Vec<Carried<'a>> {
    let mut carried: Vec<Carried<'a>> = Vec::new();
    for column in &old.columns {
        let (to, ty) = match typed.columns.get(&column.name) {
            Some(ColumnConfig::Drop) => continue,
            Some(ColumnConfig::Carry { to, ty }) => (to.clone(), ty.as_deref()),
            None => (column.name.clone(), None),
        };
        if let Some(other) = carried.iter().find(|other| other.to == to) {
            let what = format!(
                "columns \"{}\" and \"{}\" are both carried to \"{to}\"",
                other.old.name, column.name
            );
            wrong.push((
                what,
                "give one of them another name, or set it to false".to_owned(),
            ));
        }
        carried.push(Carried {
            old: column.clone(),
            to,
            ty,
        });
    }
    carried
}

/// The new table as the file describes it.
fn as_typed(typed: &TableConfig, old: &Relation, carried: &[Carried<'_>]) -> Relation {
    let mut new = Relation::named(typed.new.clone());
    new.columns = carried
        .iter()
        .map(|column| {
            let same = Column {
                name: column.to.clone(),
                sequence: None,
                sequence_facts: None,
                owns: Vec::new(),
                identity_always: false,
                generated: false,
                generated_as: None,
                ..column.old.clone()
            };
            match column.ty {
                Some(ty) if ty != column.old.type_name => Column {
                    type_oid: 0,
                    declared_oid: 0,
                    modifier: -1,
                    length: -1,
                    domain: None,
                    type_name: ty.to_owned(),
                    base_type: ty.to_owned(),
                    operator_schema: None,
                    ..same
                },
                _ => same,
            }
        })
        .collect();
    let to = |name: &String| {
        carried
            .iter()
            .find(|column| column.old.name == *name)
            .map(|column| column.to.clone())
    };
    let key: Option<Vec<_>> = match &typed.key {
        Some(key) => key.iter().map(to).collect(),
        None => old
            .unique
            .iter()
            .find(|index| index.primary)
            .and_then(|index| index.columns.iter().map(to).collect()),
    };
    new.unique.extend(key.map(|columns| UniqueIndex {
        name: String::new(),
        columns,
        primary: true,
        ..UniqueIndex::default()
    }));
    new
}

/// In a store without columns text is in the order of its bytes, and nothing but the mapping says what a field holds.
fn documents(mut relation: Relation) -> Relation {
    for column in &mut relation.columns {
        column.collation = None;
        column.ctype = None;
        column.domain = None;
        column.not_null = false;
        column.default = None;
        column.has_default = false;
    }
    relation
}

fn columns(carried: &[Carried<'_>], new: &Relation, wrong: &mut Wrong) -> Vec<ColumnMap> {
    let mut columns = Vec::new();
    for Carried { old, to, .. } in carried {
        match new.column(to) {
            Some(new) => columns.push(ColumnMap { old: old.clone(), new: new.clone() }),
            None => wrong.push((
                format!("the new table \"{}\" has no column \"{to}\" for \"{}\"", new.name, old.name),
                format!("add it there, name another one by `column.{} = \"…\"`, or leave it out by `column.{0} = false`", old.name),
            )),
        }
    }
    columns
}

/// The key as indexes into `columns`.
fn key(
    typed: &TableConfig,
    old: &Relation,
    columns: &[ColumnMap],
    wrong: &mut Wrong,
) -> Vec<usize> {
    let primary = old.unique.iter().find(|index| index.primary);
    let Some(names) = typed.key.as_ref().or(primary.map(|index| &index.columns)) else {
        wrong.push((
            "the old table has no primary key (one that is not deferrable)".to_owned(),
            "name columns that have a unique index in `key`".to_owned(),
        ));
        return Vec::new();
    };
    if typed.key.is_some() {
        check_typed_key(names, old, wrong);
    }
    let mut key = Vec::new();
    for name in names {
        match columns.iter().position(|column| column.old.name == *name) {
            Some(index) => key.push(index),
            // What is missing in the new store, or wrong in the file's own key, has been reported by now.
            None if typed.key.is_none() && typed.columns.get(name) == Some(&ColumnConfig::Drop) => {
                wrong.push((
                    format!("the column \"{name}\" of its primary key is not carried"),
                    "carry it, or name another unique key in `key`".to_owned(),
                ))
            }
            None => {}
        }
    }
    key
}

/// A key that is not unique and NOT NULL in the old store tells no rows apart.
fn check_typed_key(names: &[String], old: &Relation, wrong: &mut Wrong) {
    let known = names.iter().all(|name| old.column(name).is_some());
    let unique = old.unique.iter().any(|index| {
        index.columns.len() == names.len() && index.columns.iter().all(|name| names.contains(name))
    });
    if known && !unique {
        wrong.push((
            format!(
                "no unique index of the old table is over exactly its key ({})",
                names.join(", ")
            ),
            "create one that is neither partial nor deferrable, or choose another key".to_owned(),
        ));
    }
    for name in names {
        if old.column(name).is_some_and(|column| !column.not_null) {
            wrong.push((
                format!("the key column \"{name}\" may be NULL in the old store"),
                format!(
                    "ALTER TABLE {} ALTER COLUMN \"{name}\" SET NOT NULL",
                    old.name
                ),
            ));
        }
    }
}
