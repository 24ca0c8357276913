//! What sessions ask about reads: which tables are complete, and the comparison of lookups in phase 4.

mod comparer;

use std::{collections::HashSet, sync::Arc};

use arc_swap::ArcSwap;
use crossfade_journal::Journal;
use crossfade_proxy::shared::Completeness;
use crossfade_store::{Mapping, TableMap};

use crate::app::table_record;
pub(crate) use comparer::{Lookups, Queue};

/// The complete tables, by their old names; read on the path of every statement. Clones are the same set.
#[derive(Debug, Clone, Default)]
pub(crate) struct CompleteTables(Arc<ArcSwap<HashSet<String>>>);

impl CompleteTables {
    /// Looks again at what is on record.
    pub(crate) fn refresh(&self, journal: &Journal, mapping: &Mapping) {
        let complete = mapping
            .tables
            .iter()
            .filter(|table| table_record(journal, table).is_complete());
        let complete: HashSet<String> = complete.map(|table| table.old.name.to_string()).collect();
        if **self.0.load() != complete {
            self.0.store(Arc::new(complete));
        }
    }
}

impl Completeness for CompleteTables {
    fn is_complete(&self, table: &TableMap) -> bool {
        let complete = self.0.load();
        !complete.is_empty() && complete.contains(&table.old.name.to_string())
    }
}
