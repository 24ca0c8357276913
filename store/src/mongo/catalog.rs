//! What the store says of itself.

use crossfade_config::QualifiedName;
use futures::{FutureExt as _, future::BoxFuture};
use mongodb::bson::{Document, doc};

use super::MongoStore;
use crate::{Life, Relation, StoreResult, TableMap};

pub(super) async fn ping(store: &MongoStore) -> StoreResult<()> {
    let database = store.conn.database().await?;
    let pong = database.run_command(doc! { "ping": 1 }).await;
    pong.map(drop).map_err(|error| store.conn.error(&error))
}

/// A collection has the shape that the mapping gives it, and is there as soon as something is written.
pub(super) async fn relation(
    store: &MongoStore,
    name: &QualifiedName,
) -> StoreResult<Option<Relation>> {
    ping(store).await?;
    let mut relation = Relation::named(name.clone());
    relation.shapeless = true;
    Ok(Some(relation))
}

pub(super) async fn estimate_rows(store: &MongoStore, table: &TableMap) -> StoreResult<u64> {
    let database = store.conn.database().await?;
    let name = &table.on(store.side).name.name;
    database
        .collection::<Document>(name)
        .estimated_document_count()
        .await
        .map_err(|error| store.conn.error(&error))
}

/// A commit with majority write concern outlives any crash that the set as a whole survives: there is nothing to flush.
pub(super) struct MajorityLife;

impl Life for MajorityLife {
    fn flush(&mut self) -> BoxFuture<'_, StoreResult<bool>> {
        async { Ok(true) }.boxed()
    }
}
