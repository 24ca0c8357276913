//! All tables and toggles the journal has heard of, by small numbers.

use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::{
    codec::{Keys, Malformed, Record},
    sync::{read, write},
    table::{Entry, Table},
};

/// Bytes a dirty key takes in the log beside the key itself: what a carried-over record costs.
const MARK_BYTES: u64 = 20;

/// Tables by name and by number; numbers count up from 0 and never change.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    names: RwLock<Names>,
    /// Dirty keys in all tables.
    dirty: AtomicUsize,
    /// What all dirty keys would take in the log.
    dirty_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<Arc<str>, Arc<Table>>,
    tables: Vec<Arc<Table>>,
    toggles: Vec<Arc<str>>,
}

impl Registry {
    pub(crate) fn dirty(&self) -> usize {
        self.dirty.load(Ordering::Acquire)
    }

    pub(crate) fn dirty_bytes(&self) -> u64 {
        self.dirty_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn table(&self, name: &str) -> Option<Arc<Table>> {
        read(&self.names).by_name.get(name).cloned()
    }

    pub(crate) fn tables(&self) -> Vec<Arc<Table>> {
        read(&self.names).tables.clone()
    }

    /// The tables of a toggle.
    pub(crate) fn tables_of(&self, toggle: &str) -> Vec<Arc<Table>> {
        let names = read(&self.names);
        let Some(number) = names.toggle_number(toggle) else {
            return Vec::new();
        };
        let of_toggle = |table: &&Arc<Table>| table.toggle.load(Ordering::Relaxed) == number;
        names.tables.iter().filter(of_toggle).cloned().collect()
    }

    pub(crate) fn toggle_number(&self, toggle: &str) -> Option<u32> {
        read(&self.names).toggle_number(toggle)
    }

    pub(crate) fn toggle_number_of(&self, table: &Table) -> u32 {
        table.toggle.load(Ordering::Relaxed)
    }

    /// The number of a toggle, made known when it is new.
    pub(crate) fn define_toggle(&self, toggle: &str) -> u32 {
        write(&self.names).define_toggle(toggle)
    }

    pub(crate) fn toggle_of(&self, table: &Table) -> Arc<str> {
        let number = table.toggle.load(Ordering::Relaxed);
        read(&self.names)
            .toggles
            .get(number as usize)
            .cloned()
            .unwrap_or_default()
    }

    /// The table of this name in this toggle if both are known and belong together.
    pub(crate) fn known(&self, toggle: &str, table: &str) -> Option<Arc<Table>> {
        let names = read(&self.names);
        let found = names.by_name.get(table)?;
        let of = names
            .toggles
            .get(found.toggle.load(Ordering::Relaxed) as usize)?;
        (&**of == toggle).then(|| Arc::clone(found))
    }

    /// Makes the table known, or moves it to this toggle.
    pub(crate) fn define(&self, toggle: &str, table: &str) -> Arc<Table> {
        let mut names = write(&self.names);
        let toggle = names.define_toggle(toggle);
        if let Some(known) = names.by_name.get(table) {
            known.toggle.store(toggle, Ordering::Relaxed);
            return Arc::clone(known);
        }
        let name: Arc<str> = table.into();
        let new = Arc::new(Table::new(
            small(names.tables.len()),
            Arc::clone(&name),
            toggle,
        ));
        names.tables.push(Arc::clone(&new));
        names.by_name.insert(name, Arc::clone(&new));
        new
    }

    /// Appends records that define every table.
    pub(crate) fn put_definitions(&self, buf: &mut Vec<u8>) {
        let names = read(&self.names);
        for table in &names.tables {
            let toggle = &names.toggles[table.toggle.load(Ordering::Relaxed) as usize];
            Record::Table {
                number: table.number,
                toggle,
                table: &table.name,
            }
            .put(buf);
        }
    }

    /// Marks keys; the n-th gets `first.generation + n`.
    pub(crate) fn mark(&self, keys: Keys<'_>, first: Entry) -> Result<(), Malformed> {
        let names = read(&self.names);
        let mut entry = first;
        let mut unknown = false;
        keys.each(|table, key| {
            match names.tables.get(table as usize) {
                Some(table) => {
                    if table.mark(key, entry) {
                        self.dirty.fetch_add(1, Ordering::AcqRel);
                        self.dirty_bytes
                            .fetch_add(key.len() as u64 + MARK_BYTES, Ordering::Relaxed);
                    }
                }
                None => unknown = true,
            }
            entry.generation += 1;
        })?;
        if unknown { Err(Malformed) } else { Ok(()) }
    }

    /// Removes a key unless it was marked later.
    pub(crate) fn clean(&self, table: &Table, key: &[u8], generation: u64) -> bool {
        let cleaned = table.clean(key, generation);
        if cleaned {
            self.dirty.fetch_sub(1, Ordering::AcqRel);
            self.dirty_bytes
                .fetch_sub(key.len() as u64 + MARK_BYTES, Ordering::Relaxed);
        }
        cleaned
    }

    pub(crate) fn by_number(&self, table: u32) -> Option<Arc<Table>> {
        read(&self.names).tables.get(table as usize).cloned()
    }

    /// The entry of a key by its table's number.
    pub(crate) fn entry(&self, table: u32, key: &[u8]) -> Option<Entry> {
        self.by_number(table)?.get(key)
    }

    /// The toggles of these keys, each once.
    pub(crate) fn toggles_of(&self, keys: Keys<'_>) -> Toggles {
        let names = read(&self.names);
        let mut toggles = Toggles::default();
        // Keys come from this process or were read back under a checksum: what can be read is counted.
        let _ = keys.each(|table, _| {
            if let Some(table) = names.tables.get(table as usize) {
                toggles.add(table.toggle.load(Ordering::Relaxed));
            }
        });
        toggles
    }
}

impl Names {
    fn define_toggle(&mut self, toggle: &str) -> u32 {
        self.toggle_number(toggle).unwrap_or_else(|| {
            self.toggles.push(toggle.into());
            small(self.toggles.len() - 1)
        })
    }

    fn toggle_number(&self, toggle: &str) -> Option<u32> {
        self.toggles
            .iter()
            .position(|known| &**known == toggle)
            .map(small)
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A set of toggle numbers; nearly always one, then without allocation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Toggles {
    first: Option<u32>,
    more: Vec<u32>,
}

impl Toggles {
    fn add(&mut self, toggle: u32) {
        match self.first {
            None => self.first = Some(toggle),
            Some(first) if first == toggle || self.more.contains(&toggle) => {}
            Some(_) => self.more.push(toggle),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.first.into_iter().chain(self.more.iter().copied())
    }
}
