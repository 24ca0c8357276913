//! What no single line shows: tables that are in each other's way.

use std::collections::BTreeMap;

use crate::{QualifiedName, StoreConfig, parse::PlacedTable, reader::Reader};

/// Refuses a table that is mapped twice, two tables onto one target, and a table that would be copied onto itself.
pub(crate) fn tables(
    reader: &mut Reader<'_>,
    tables: &[PlacedTable],
    old: Option<&StoreConfig>,
    new: Option<&StoreConfig>,
) {
    let mut sources: BTreeMap<&QualifiedName, &PlacedTable> = BTreeMap::new();
    let mut targets: BTreeMap<&QualifiedName, &PlacedTable> = BTreeMap::new();
    for table in tables {
        let name = &table.config.old;
        if let Some(first) = sources.get(name) {
            // Trap 39: two toggles would route one table by two phases.
            let what = if first.toggle == table.toggle {
                format!(
                    "the old table \"{name}\" is mapped twice in the toggle \"{}\"",
                    table.toggle
                )
            } else {
                format!(
                    "the old table \"{name}\" is in two toggles, \"{}\" and \"{}\"",
                    first.toggle, table.toggle
                )
            };
            reader.mistake(table.old_at.clone(), what, "leave it in one place");
            continue;
        }
        sources.insert(name, table);
        if let Some(first) = targets.get(&table.config.new) {
            let what = format!(
                "the old tables \"{}\" and \"{name}\" both go to \"{}\"",
                first.config.old, table.config.new
            );
            reader.mistake(table.new_at.clone(), what, "give each its own target");
        } else {
            targets.insert(&table.config.new, table);
        }
    }
    // Only where both names are in one database can a target be an old table.
    if let (Some(old), Some(new)) = (old, new)
        && old.url.same_database(&new.url)
    {
        one_database(reader, tables);
    }
}

fn one_database(reader: &mut Reader<'_>, tables: &[PlacedTable]) {
    for table in tables {
        let target = &table.config.new;
        if table.config.old == *target {
            let what = format!(
                "the table \"{target}\" would move onto itself: [old] and [new] are one database"
            );
            let instead = "correct new.url or new.schema, or set target to another table";
            reader.mistake(table.new_at.clone(), what, instead);
        } else if tables.iter().any(|other| other.config.old == *target) {
            // Its rows would be moved on, or mixed with those that are still to move.
            let what = format!("the target \"{target}\" is itself an old table of a toggle");
            reader.mistake(
                table.new_at.clone(),
                what,
                "set target to a table of its own",
            );
        }
    }
}
