//! Counters: what a sequence is in a store that has none. One document a column, moved past the old store's sequence and never back.

use std::collections::BTreeMap;

use mongodb::{
    bson::{Document, doc},
    options::ReturnDocument,
};

use super::{MongoStore, document::ID};
use crate::{StoreResult, TableMap};

/// The collection of the counters.
pub(super) const COUNTERS: &str = "crossfade_counters";

pub(super) fn counter(store: &MongoStore, table: &TableMap, column: &str) -> String {
    format!("{}.{column}", table.on(store.side).name.name)
}

fn fed(table: &TableMap) -> impl Iterator<Item = &str> {
    table
        .columns
        .iter()
        .filter(|column| column.old.sequence.is_some())
        .map(|column| column.old.name.as_str())
}

pub(super) async fn positions(
    store: &MongoStore,
    table: &TableMap,
) -> StoreResult<BTreeMap<String, i64>> {
    let database = store.conn.database().await?;
    let counters = database.collection::<Document>(COUNTERS);
    let mut positions = BTreeMap::new();
    for column in fed(table) {
        let found = counters
            .find_one(doc! { ID: counter(store, table, column) })
            .await
            .map_err(|error| store.conn.error(&error))?;
        let value = found.and_then(|counter| counter.get_i64("value").ok());
        positions.insert(column.to_owned(), value.unwrap_or_default());
    }
    Ok(positions)
}

pub(super) async fn advance(
    store: &MongoStore,
    table: &TableMap,
    floor: &BTreeMap<String, i64>,
) -> StoreResult<BTreeMap<String, i64>> {
    let database = store.conn.database().await?;
    let counters = database.collection::<Document>(COUNTERS);
    let mut positions = BTreeMap::new();
    for column in fed(table) {
        let Some(floor) = floor.get(column) else {
            continue;
        };
        let moved = counters
            .find_one_and_update(
                doc! { ID: counter(store, table, column) },
                doc! { "$max": { "value": floor } },
            )
            .upsert(true)
            .return_document(ReturnDocument::After)
            .await
            .map_err(|error| store.conn.error(&error))?;
        let value = moved.and_then(|counter| counter.get_i64("value").ok());
        positions.insert(column.to_owned(), value.unwrap_or(*floor));
    }
    Ok(positions)
}
