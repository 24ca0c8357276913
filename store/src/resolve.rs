//! From the mapping as typed to the mapping as meant.

mod table;

use std::{collections::BTreeMap, fmt};

use crossfade_config::{Config, QualifiedName};

use crate::{Alias, Aliases, Mapping, Store, StoreError, StoreResult, TableId};

/// Something in the file that the catalogs do not bear out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingMistake {
    /// Toggle of the table.
    pub toggle: String,
    /// The table's old name, as in the file.
    pub table: QualifiedName,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for MappingMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "table \"{}\" of toggle \"{}\": {}; {}",
            self.table, self.toggle, self.what, self.remedy
        )
    }
}

/// Why there is no mapping.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file and the catalogs do not fit.
    #[error("the mapping does not fit the stores:{}", .0.iter().map(|mistake| format!("\n  {mistake}")).collect::<String>())]
    Mistakes(Vec<MappingMistake>),
}

/// Completes the configured tables by what the catalogs say of them. Without `new`, as in phase 1, the new store is what the file says
/// of it: the old table under its new names and types. Tables are numbered in the order of toggles by name, and of the file within one.
///
/// # Errors
/// All mistakes of all tables together; or the first failure of a store.
pub async fn resolve(
    config: &Config,
    old: &dyn Store,
    new: Option<&dyn Store>,
) -> Result<Mapping, ResolveError> {
    let mut mapping = Mapping::default();
    let mut mistakes = Vec::new();
    for (toggle, settings) in &config.toggles {
        for typed in &settings.tables {
            let found = table::Catalogs {
                old: old.relation(&typed.old).await?,
                new: match new {
                    Some(new) => Some(new.relation(&typed.new).await?),
                    None => None,
                },
            };
            let report = |what: String, remedy: String| MappingMistake {
                toggle: toggle.clone(),
                table: typed.old.clone(),
                what,
                remedy,
            };
            let mut wrong = Vec::new();
            // Ids count the tables that fit, and count only where all do.
            match table::resolve(
                TableId(mapping.tables.len()),
                toggle,
                typed,
                found,
                &mut wrong,
            ) {
                Some(table) if wrong.is_empty() => mapping.tables.push(table),
                _ => mistakes.extend(wrong.into_iter().map(|(what, remedy)| report(what, remedy))),
            }
        }
    }
    mistakes.extend(mapped_twice(config));
    if !mistakes.is_empty() {
        return Err(ResolveError::Mistakes(mistakes));
    }
    mapping.old_aliases = aliases(
        old,
        mapping
            .tables
            .iter()
            .map(|table| (table.id, table.old.name.clone()))
            .collect(),
    )
    .await?;
    if let Some(new) = new {
        mapping.new_aliases = aliases(
            new,
            mapping
                .tables
                .iter()
                .map(|table| (table.id, table.new.name.clone()))
                .collect(),
        )
        .await?;
    }
    Ok(mapping)
}

/// Two tables of one name at one end would overwrite each other.
fn mapped_twice(config: &Config) -> Vec<MappingMistake> {
    let mut seen: BTreeMap<(&str, &QualifiedName), &QualifiedName> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for (toggle, settings) in &config.toggles {
        for table in &settings.tables {
            for (end, name) in [("old", &table.old), ("new", &table.new)] {
                if let Some(other) = seen.insert((end, name), &table.old) {
                    mistakes.push(MappingMistake {
                        toggle: toggle.clone(),
                        table: table.old.clone(),
                        what: format!("its {end} table \"{name}\" is that of \"{other}\" as well"),
                        remedy: "map each table once".to_owned(),
                    });
                }
            }
        }
    }
    mistakes
}

async fn aliases(store: &dyn Store, tables: Vec<(TableId, QualifiedName)>) -> StoreResult<Aliases> {
    let names: Vec<_> = tables.iter().map(|(_, name)| name.clone()).collect();
    let mut aliases = Aliases::default();
    for (name, alias) in store.aliases(&names).await? {
        let Some(&(id, _)) = tables.iter().find(|(_, table)| *table == name) else {
            continue;
        };
        let ids = match alias {
            Alias::View(name) => aliases.views.entry(name),
            Alias::Child(name) => aliases.children.entry(name),
            Alias::WritingFunction(name) => aliases.writing_functions.entry(name),
            Alias::Namesake(schema) => aliases.namesakes.entry(schema),
        }
        .or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(aliases)
}
