//! Counters: what a sequence is in a store that has none. One document a sequence, moved past the old store's and never back.

use std::collections::BTreeMap;

use crossfade_config::QualifiedName;
use mongodb::{
    Database,
    bson::{Bson, Document, doc},
    options::ReturnDocument,
};

use super::{
    MongoStore,
    document::{ID, Shape},
};
use crate::{ColumnMap, StoreResult, TableMap};

/// The collection of the counters.
pub const COUNTERS: &str = "crossfade_counters";
/// The field of the value that was handed out last, an Int64.
pub const VALUE: &str = "value";

/// The `_id` of a sequence's counter. Several columns may be fed by one sequence, and their values must not meet.
#[must_use]
pub fn counter(sequence: &QualifiedName) -> String {
    sequence.to_string()
}

/// Carried columns that a sequence feeds, by their index, with it.
fn fed(table: &TableMap) -> impl Iterator<Item = (usize, &ColumnMap, &QualifiedName)> {
    let columns = table.columns.iter().enumerate();
    columns.filter_map(|(index, column)| Some((index, column, column.old.sequence.as_ref()?)))
}

/// The greatest value that was handed out or is stored; columns that have neither are left out.
pub(super) async fn positions(
    store: &MongoStore,
    table: &TableMap,
) -> StoreResult<BTreeMap<String, i64>> {
    let database = store.conn.database().await?;
    let shape = store.shape(table);
    let counters = database.collection::<Document>(COUNTERS);
    let mut positions = BTreeMap::new();
    for (index, column, sequence) in fed(table) {
        let found = counters
            .find_one(doc! { ID: counter(sequence) })
            .await
            .map_err(|error| store.conn.error(&error))?;
        let mut position = found.and_then(|counter| counter.get_i64(VALUE).ok());
        // A sequence may feed text, as in 'A-' || nextval(…), whose greatest value says nothing.
        if matches!(column.old.type_oid, 20 | 21 | 23 | 1700) {
            position = position.max(greatest(store, &database, &shape, index).await?);
        }
        if let Some(position) = position {
            positions.insert(column.old.name.clone(), position);
        }
    }
    Ok(positions)
}

/// The greatest whole number in a field; what lies beyond 64 bits, no sequence comes to.
async fn greatest(
    store: &MongoStore,
    database: &Database,
    shape: &Shape,
    index: usize,
) -> StoreResult<Option<i64>> {
    let field = shape.path_of(index);
    let pipeline = [
        doc! { "$match": { &field: { "$gte": i64::MIN, "$lte": i64::MAX } } },
        doc! { "$group": { ID: Bson::Null, VALUE: { "$max": format!("${field}") } } },
        doc! { "$project": { VALUE: { "$toLong": { "$trunc": format!("${VALUE}") } } } },
    ];
    let collection = database.collection::<Document>(shape.collection());
    let failed = |error| store.conn.error(&error);
    let mut found = collection.aggregate(pipeline).await.map_err(failed)?;
    if !found.advance().await.map_err(failed)? {
        return Ok(None);
    }
    let greatest = found.deserialize_current().map_err(failed)?;
    Ok(greatest.get_i64(VALUE).ok())
}

/// Where a counter stands at the least: at the old store's sequence, or just before its first value where that has handed out none.
fn first_floor(store: &MongoStore, column: &ColumnMap, floor: Option<i64>) -> StoreResult<i64> {
    let (start, increment) = column
        .old
        .sequence_facts
        .as_ref()
        .map_or((1, 1), |facts| (facts.start, facts.increment));
    if increment < 0 {
        let sequence = column.old.sequence.as_ref().map(ToString::to_string);
        return Err(store.conn.unexpected(format!(
            "the sequence \"{}\", which counts down: no counter here does",
            sequence.unwrap_or_default()
        )));
    }
    Ok(floor.unwrap_or(start - increment))
}

pub(super) async fn advance(
    store: &MongoStore,
    table: &TableMap,
    floor: &BTreeMap<String, i64>,
) -> StoreResult<BTreeMap<String, i64>> {
    let database = store.conn.database().await?;
    let counters = database.collection::<Document>(COUNTERS);
    let mut positions = BTreeMap::new();
    for (_, column, sequence) in fed(table) {
        let floor = first_floor(store, column, floor.get(&column.old.name).copied())?;
        let moved = counters
            .find_one_and_update(
                doc! { ID: counter(sequence) },
                doc! { "$max": { VALUE: floor } },
            )
            .upsert(true)
            .return_document(ReturnDocument::After)
            .await
            .map_err(|error| store.conn.error(&error))?;
        let value = moved.and_then(|counter| counter.get_i64(VALUE).ok());
        positions.insert(column.old.name.clone(), value.unwrap_or(floor));
    }
    Ok(positions)
}
