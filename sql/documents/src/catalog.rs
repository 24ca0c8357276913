//! The tables as SQL sees them: the old store's catalog, and where each column is in its documents.

use std::sync::Arc;

use crossfade_store::{
    Mapping, TableMap,
    mongo::{Documents, MongoStore},
};
use crossfade_values::{Enum, Type, Types};

/// Everything that names can mean.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) tables: Vec<Table>,
    pub(crate) types: Arc<Types>,
    /// Text without a collation of its own sorts by its bytes.
    pub(crate) by_bytes: bool,
}

/// A mapped table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) map: TableMap,
    pub(crate) documents: Documents,
    /// The carried columns.
    pub(crate) columns: Vec<Column>,
    pub(crate) uniques: Vec<Unique>,
}

/// A column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// `attnum` in the old store.
    pub(crate) number: i16,
    /// As the catalog has it: the domain where it is one.
    pub(crate) declared: Type,
    pub(crate) base: Type,
    pub(crate) not_null: bool,
    pub(crate) by_bytes: bool,
}

/// A unique index.
#[derive(Debug, Clone)]
pub(crate) struct Unique {
    pub(crate) name: String,
    /// Indexes of columns.
    pub(crate) columns: Vec<usize>,
    /// It is the key: `_id`.
    pub(crate) key: bool,
}

impl Catalog {
    /// Of a mapping whose new store is `store`.
    pub(crate) fn new(mapping: &Mapping, store: &MongoStore) -> Catalog {
        let mut types = Types::default();
        let mut by_bytes = false;
        let mut tables = Vec::new();
        for map in &mapping.tables {
            by_bytes |= map.old.server.default_sorts_by_bytes;
            types.folds_ascii_only |= map.old.server.folds_ascii_only();
            for kind in &map.old.enums {
                types.enums.insert(
                    kind.oid,
                    Enum {
                        oid: kind.oid,
                        array: kind.array_oid,
                        schema: kind.name.schema.clone(),
                        name: kind.name.name.clone(),
                        labels: kind
                            .labels
                            .iter()
                            .map(|label| label.as_str().into())
                            .collect(),
                    },
                );
            }
            tables.push(Table::of(map, store));
        }
        Catalog {
            tables,
            types: Arc::new(types),
            by_bytes,
        }
    }

    /// The table that a name means.
    pub(crate) fn table(&self, schema: Option<&str>, name: &str, path: &[String]) -> Option<usize> {
        let find = |schema: &str| {
            self.tables.iter().position(|table| {
                table.map.old.name.schema == schema && table.map.old.name.name == name
            })
        };
        match schema {
            Some(schema) => find(schema),
            None => path.iter().find_map(|schema| find(schema)),
        }
    }

    /// The column that a sequence feeds, by the sequence's name.
    pub(crate) fn sequence(
        &self,
        schema: Option<&str>,
        name: &str,
        path: &[String],
    ) -> Option<crate::expr::Sequence> {
        let mut found = self.tables.iter().enumerate().flat_map(|(table, of)| {
            of.map
                .columns
                .iter()
                .enumerate()
                .filter_map(move |(column, map)| {
                    let sequence = map.old.sequence.as_ref()?;
                    let there = match schema {
                        Some(schema) => sequence.schema == schema,
                        None => path.contains(&sequence.schema),
                    };
                    (there && sequence.name == name)
                        .then_some(crate::expr::Sequence { table, column })
                })
        });
        found.next()
    }
}

impl Table {
    fn of(map: &TableMap, store: &MongoStore) -> Table {
        let columns: Vec<Column> = map
            .columns
            .iter()
            .map(|column| {
                let old = &column.old;
                Column {
                    name: old.name.clone(),
                    number: old.number,
                    declared: Type {
                        oid: old.declared_oid,
                        modifier: if old.declared_oid == old.type_oid {
                            old.modifier
                        } else {
                            -1
                        },
                    },
                    base: Type {
                        oid: old.type_oid,
                        modifier: old.modifier,
                    },
                    not_null: old.not_null,
                    // What is made of a value without a collation has the database's.
                    by_bytes: match old.collatable {
                        true => old.sorts_by_bytes(),
                        false => map.old.server.default_sorts_by_bytes,
                    },
                }
            })
            .collect();
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let uniques = map.old.unique.iter().filter_map(|index| {
            let columns = index
                .columns
                .iter()
                .map(place)
                .collect::<Option<Vec<_>>>()?;
            let mut sorted = (columns.clone(), map.key.clone());
            sorted.0.sort_unstable();
            sorted.1.sort_unstable();
            Some(Unique {
                name: index.name.clone(),
                key: sorted.0 == sorted.1,
                columns,
            })
        });
        Table {
            uniques: uniques.collect(),
            documents: store.documents(map),
            columns,
            map: map.clone(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.map.old.name.name
    }

    pub(crate) fn schema(&self) -> &str {
        &self.map.old.name.schema
    }

    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The unique index that MongoDB calls so.
    pub(crate) fn unique(&self, index: &str) -> Option<&Unique> {
        match index {
            "_id_" => self.uniques.iter().find(|unique| unique.key),
            name => self.uniques.iter().find(|unique| unique.name == name),
        }
    }

    /// Whether the old table has a column of this name that is not carried.
    pub(crate) fn has_dropped(&self, name: &str) -> bool {
        self.map.dropped.iter().any(|dropped| dropped == name)
    }
}
