//! The parents of many rows: looked for and locked together.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use crossfade_store::ForeignKey;
use crossfade_values::{Error, Oid, Value, oid};
use mongodb::bson::{Bson, Document, doc};

use super::{super::finish::append, Exec, Row, places};
use crate::{
    catalog::Table,
    fail::Fail,
    txn::{Entry, Hold, id_of},
};

/// Parents that are remembered as locked. Locking one again does no harm.
const MOST: usize = 100_000;

/// What is known of the parents of a statement's rows.
#[derive(Default)]
pub(crate) struct Parents {
    /// Locked, by foreign key and values.
    locked: HashSet<(usize, Vec<u8>)>,
    /// Rows without one, by foreign key and values. The first in the order of the rows is told at the end, where PostgreSQL looks; a row that points to its own
    /// table may get its parent until then.
    missing: HashMap<(usize, Vec<u8>), (u64, Row)>,
    /// Rows so far.
    rows: u64,
}

/// A foreign key with the places of its columns.
struct Link<'c> {
    number: usize,
    key: &'c ForeignKey,
    columns: Vec<usize>,
    parent: usize,
    parents: Vec<usize>,
}

impl<'a> Exec<'a> {
    fn links(&self, table: usize) -> Result<Vec<Link<'a>>, Fail> {
        let catalog = self.catalog;
        let of = &catalog.tables[table];
        let mut links = Vec::new();
        for (number, key) in of.map.old.foreign_keys.iter().enumerate() {
            // A parent that is not mapped is in no collection.
            let Some(parent) = self.table_named(&key.parent) else {
                continue;
            };
            let parent_of = &catalog.tables[parent];
            let columns = places(of, &key.columns).zip(places(parent_of, &key.parent_columns));
            let Some((columns, parents)) = columns else {
                let what = format!(
                    "the foreign key \"{}\" over a column that is not carried",
                    key.name
                );
                return Err(Error::unsupported(what).into());
            };
            let differs = |(child, parent): (&usize, &usize)| {
                let (child, parent) = (&of.columns[*child], &parent_of.columns[*parent]);
                family(child.base.oid) != family(parent.base.oid)
            };
            if columns.iter().zip(&parents).any(differs) {
                let what = format!(
                    "COPY into a table with the foreign key \"{}\" between columns of different types",
                    key.name
                );
                return Err(Error::unsupported(what).hint("use INSERT").into());
            }
            links.push(Link {
                number,
                key,
                columns,
                parent,
                parents,
            });
        }
        Ok(links)
    }

    /// Locks the parents of rows that are inserted, and notes those that are not there.
    pub(crate) async fn find_parents(
        &mut self,
        table: usize,
        rows: &[Row],
        known: &mut Parents,
        lock_timeout: Option<Duration>,
    ) -> Result<(), Fail> {
        let first = known.rows;
        known.rows += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        for link in self.links(table)? {
            let mut wanted = HashMap::new();
            for (row, number) in rows.iter().zip(first..) {
                // MATCH SIMPLE: one NULL is enough.
                if link.columns.iter().any(|&column| row[column].is_null()) {
                    continue;
                }
                let name = (link.number, self.key_of(table, &link.columns, row));
                if !known.locked.contains(&name) && !known.missing.contains_key(&name) {
                    wanted.entry(name).or_insert_with(|| (number, row.clone()));
                }
            }
            self.lock_parents(&link, &mut wanted, known, lock_timeout)
                .await?;
            // Of rows that point to another table one is enough: nothing in this statement gives them parents.
            for (name, (number, row)) in wanted {
                if link.parent != table {
                    let earlier = |(of, _): &(usize, Vec<u8>)| *of == link.number;
                    let least = known.missing.iter().find(|(name, _)| earlier(name));
                    match least.map(|(name, (least, _))| (name.clone(), *least)) {
                        Some((_, least)) if least < number => continue,
                        Some((name, _)) => drop(known.missing.remove(&name)),
                        None => {}
                    }
                }
                self.keep(&row)?;
                known.missing.insert(name, (number, row));
            }
        }
        Ok(())
    }

    /// Every row has its parents, now that all are there.
    pub(crate) async fn last_parents(
        &mut self,
        table: usize,
        mut known: Parents,
        lock_timeout: Option<Duration>,
    ) -> Result<(), Fail> {
        if known.missing.is_empty() {
            return Ok(());
        }
        let catalog = self.catalog;
        let mut first: Option<(u64, Error)> = None;
        for link in self.links(table)? {
            let mut missing = std::mem::take(&mut known.missing);
            let mut wanted: HashMap<_, _> = missing
                .extract_if(|(of, _), _| *of == link.number)
                .collect();
            known.missing = missing;
            if link.parent == table {
                self.lock_parents(&link, &mut wanted, &mut known, lock_timeout)
                    .await?;
            }
            let least = wanted.into_values().min_by_key(|(number, _)| *number);
            if let Some((number, row)) = least
                && first.as_ref().is_none_or(|(known, _)| number < *known)
            {
                let (of, parent) = (&catalog.tables[table], &catalog.tables[link.parent]);
                let error = self.orphan(of, link.key, &link.columns, &row, parent);
                first = Some((number, error));
            }
        }
        match first {
            Some((_, error)) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Takes those out of `wanted` that are there, and locks them.
    async fn lock_parents(
        &mut self,
        link: &Link<'_>,
        wanted: &mut HashMap<(usize, Vec<u8>), (u64, Row)>,
        known: &mut Parents,
        lock_timeout: Option<Duration>,
    ) -> Result<(), Fail> {
        let (began, mark, mut attempt) = (Instant::now(), self.txn.mark(), 0);
        if known.locked.len() > MOST {
            known.locked.clear();
        }
        loop {
            match self.try_lock_parents(link, wanted).await {
                Ok(found) => {
                    for name in found {
                        wanted.remove(&name);
                        known.locked.insert(name);
                    }
                    return Ok(());
                }
                Err(Fail::Again) => {
                    self.txn.renew(mark, began, attempt, lock_timeout).await?;
                    attempt += 1;
                }
                Err(fail) => return Err(fail),
            }
        }
    }

    async fn try_lock_parents(
        &mut self,
        link: &Link<'_>,
        wanted: &HashMap<(usize, Vec<u8>), (u64, Row)>,
    ) -> Result<Vec<(usize, Vec<u8>)>, Fail> {
        let parent_of: &Table = &self.catalog.tables[link.parent];
        let mut filters = Vec::with_capacity(wanted.len());
        for (_, row) in wanted.values() {
            let mut as_parent = vec![Value::Null; parent_of.columns.len()];
            for (&child, &parent) in link.columns.iter().zip(&link.parents) {
                as_parent[parent] = row[child].clone();
            }
            filters.extend(self.same_unique(parent_of, &link.parents, &as_parent)?);
        }
        let collection = parent_of.documents.collection.clone();
        let (mut entries, mut names) = (Vec::new(), Vec::new());
        for filters in filters.chunks(1000) {
            let filter = any_of(filters);
            for found in self.all_documents(&collection, filter).await? {
                let mut row = vec![Value::Null; parent_of.columns.len()];
                for &column in &link.parents {
                    row[column] = self.value_of(parent_of, column, &found)?;
                }
                let name = self.key_of(link.parent, &link.parents, &row);
                names.push((link.number, name));
                entries.push(Entry {
                    collection: collection.clone(),
                    id: id_of(&found),
                    before: Some(found.clone()),
                    after: Some(found),
                    hold: Hold::Pointed,
                });
            }
        }
        self.txn.put(entries).await?;
        Ok(names)
    }

    fn key_of(&self, table: usize, columns: &[usize], row: &Row) -> Vec<u8> {
        let mut name = Vec::new();
        for &column in columns {
            let ty = self.catalog.tables[table].columns[column].base.oid;
            append(ty, &row[column], self.run.types, &mut name);
        }
        name
    }
}

/// Types whose equal values look alike.
fn family(ty: Oid) -> Oid {
    match ty {
        oid::INT2 | oid::INT4 | oid::INT8 => oid::INT8,
        oid::TEXT | oid::VARCHAR => oid::TEXT,
        other => other,
    }
}

/// One of these; of keys, by one look into their index.
fn any_of(filters: &[Document]) -> Document {
    let ids: Option<Vec<Bson>> = filters
        .iter()
        .map(|filter| filter.get("_id").cloned())
        .collect();
    match ids {
        Some(ids) => doc! { "_id": { "$in": ids } },
        None => doc! { "$or": filters },
    }
}
