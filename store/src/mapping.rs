//! The mapping as meant: what the file says, completed by the catalogs of both stores.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use crossfade_config::QualifiedName;
use crossfade_phase::Side;

use crate::{Column, Relation};

/// Index of a mapped table in [`Mapping::tables`]; stable for the life of one mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub usize);

/// All mapped tables.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    /// The tables, indexed by [`TableId`].
    pub tables: Vec<TableMap>,
    /// Names that reach a mapped table of the old store without being it.
    pub old_aliases: Aliases,
    /// Names that reach a mapped table of the new store without being it.
    pub new_aliases: Aliases,
}

impl Mapping {
    /// The table of this name in the store of `side`.
    #[must_use]
    pub fn named(&self, side: Side, name: &QualifiedName) -> Option<&TableMap> {
        self.tables
            .iter()
            .find(|table| table.on(side).name == *name)
    }

    /// The mapping as SQL for the new store names its tables: see [`TableMap::in_sql`].
    #[must_use]
    pub fn in_sql(self: &Arc<Mapping>) -> Arc<Mapping> {
        if !self.tables.iter().any(|table| table.new.shapeless) {
            return self.clone();
        }
        Arc::new(Mapping {
            tables: self.tables.iter().map(TableMap::in_sql).collect(),
            old_aliases: self.old_aliases.clone(),
            new_aliases: self.new_aliases.clone(),
        })
    }
}

/// Names through which SQL can reach a mapped table without naming it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases {
    /// Views (and their kin) that read mapped tables, by their unqualified name.
    pub views: BTreeMap<String, Vec<TableId>>,
    /// Partitions and inheritance children of mapped tables, and tables that mapped ones are partitions or children of.
    pub children: BTreeMap<String, Vec<TableId>>,
    /// Functions whose body names a mapped table together with a word that writes.
    pub writing_functions: BTreeMap<String, Vec<TableId>>,
    /// Schemas with relations that have the name of a mapped table: earlier in a path they hide it.
    pub namesakes: BTreeMap<String, Vec<TableId>>,
}

/// One mapped table with both of its ends.
#[derive(Debug, Clone)]
pub struct TableMap {
    /// Its index.
    pub id: TableId,
    /// Toggle it belongs to.
    pub toggle: String,
    /// The table in the old store.
    pub old: Relation,
    /// The table in the new store. In phase 1 the new store is not contacted and this is what the file says of it.
    pub new: Relation,
    /// Carried columns, in the old table's order.
    pub columns: Vec<ColumnMap>,
    /// Key columns as indexes into `columns`, in key order.
    pub key: Vec<usize>,
    /// Version column as an index into `columns`; `None` is an immutable table.
    pub version: Option<usize>,
    /// Names of old columns that are not carried.
    pub dropped: Vec<String>,
}

/// One carried column with both of its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnMap {
    /// In the old store.
    pub old: Column,
    /// In the new store.
    pub new: Column,
}

impl ColumnMap {
    /// This column in the store of `side`.
    #[must_use]
    pub fn on(&self, side: Side) -> &Column {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }
}

impl TableMap {
    /// The table in the store of `side`.
    #[must_use]
    pub fn on(&self, side: Side) -> &Relation {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }

    /// The table as SQL for the new store names it. Documents have no names in SQL but those of the old table, and keep its types, keys and
    /// attributes: whoever runs SQL on them finds the fields by the mapping itself. Columns that are not carried are not there.
    #[must_use]
    pub fn in_sql(&self) -> TableMap {
        let mut table = self.clone();
        if self.new.shapeless {
            for column in &mut table.columns {
                column.new = column.old.clone();
            }
            table.new = Relation {
                shapeless: true,
                before_update: Vec::new(),
                ..self.old.clone()
            };
            // Whoever runs SQL on documents knows what is not there, and refuses it.
            table.dropped.clear();
        }
        table
    }

    /// The columns of the store of `side` that may change when a statement assigns `assigned`, by the old table's names: with what is computed from them.
    #[must_use]
    pub fn changed(&self, side: Side, assigned: &[String]) -> BTreeSet<String> {
        let native = |name: &String| {
            let column = self.columns.iter().find(|column| column.old.name == *name);
            column.map_or_else(|| name.clone(), |column| column.on(side).name.clone())
        };
        let assigned = assigned.iter().map(native).collect();
        self.on(side).changed_by(assigned)
    }

    /// Whether the key may change in either store when a statement assigns `assigned`, by the old table's names (trap 9).
    #[must_use]
    pub fn sets_key(&self, assigned: &[String]) -> bool {
        [Side::Old, Side::New].into_iter().any(|side| {
            let changed = self.changed(side, assigned);
            let name = |&index: &usize| &self.columns[index].on(side).name;
            self.key.iter().map(name).any(|name| changed.contains(name))
        })
    }

    /// Whether SQL written for the old table means the same on the new one as it stands:
    /// the same schema and name, and every column under its own name, type and place. Documents answer to the old names ([`TableMap::in_sql`]).
    #[must_use]
    pub fn is_identity(&self) -> bool {
        if self.new.shapeless {
            return true;
        }
        self.old.name == self.new.name
            && self.dropped.is_empty()
            && self.columns.iter().all(|column| {
                column.old.name == column.new.name
                    && column.old.identity_always == column.new.identity_always
                    && column.old.generated == column.new.generated
            })
            && self.old.columns.len() == self.new.columns.len()
            && std::iter::zip(&self.old.columns, &self.new.columns)
                .all(|(old, new)| old.name == new.name && old.type_name == new.type_name)
    }
}

/// The carried columns of one row as the primary stored them, in the order of [`TableMap::columns`].
///
/// Each value is in *canonical text*: what the column's own cast to `text` gives, or, for types whose text depends
/// on session settings (dates and times, floats, money, `bytea`), the hex digits of its binary form. So an image means the same
/// in every session and both stores. `None` is NULL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row(pub Vec<Option<Bytes>>);

/// The key of one row, in canonical text, in key order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub Vec<Bytes>);

/// What the secondary is told of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The row is now this.
    Upsert(Row),
    /// The row is gone.
    Delete(Key),
}

impl Change {
    /// The delete of the same key. `None` where that is NULL, which a primary key does not allow.
    #[must_use]
    pub fn delete(&self, table: &TableMap) -> Option<Change> {
        match self {
            Change::Upsert(row) => table.key_of(row).map(Change::Delete),
            Change::Delete(_) => Some(self.clone()),
        }
    }
}

impl TableMap {
    /// The key of `row`. `None` when a key column is NULL, which a primary key does not allow.
    #[must_use]
    pub fn key_of(&self, row: &Row) -> Option<Key> {
        self.key
            .iter()
            .map(|&column| row.0[column].clone())
            .collect::<Option<Vec<_>>>()
            .map(Key)
    }
}
