//! The journal's rows in a MongoDB primary.

use futures::{FutureExt as _, future::BoxFuture};
use mongodb::{
    Collection, Database, IndexModel,
    bson::{Binary, Bson, Document, doc, spec::BinarySubtype},
    error::Error,
};

use super::{MongoStore, conn::Deployment};
use crate::{
    StoreResult,
    journal::{CleanRow, DirtyRow, IntentRow, JournalChanges, JournalRows},
};

/// The collection of the intents: `_id` is `{o: owner, i: number}`, `o` the owner again, for the index, and `b` the body.
pub const INTENTS: &str = "crossfade_journal_intent";
/// The collection of the dirty keys: `_id` is `{o: owner, t: table, k: key}`.
const DIRTY: &str = "crossfade_journal_dirty";
/// The collection of the owners: `_id`, and `beat`.
const OWNERS: &str = "crossfade_journal_owner";
/// Documents of one command.
const BATCH: usize = 1000;

impl JournalRows for MongoStore {
    fn prepare(&self) -> BoxFuture<'_, StoreResult<()>> {
        async move {
            for collection in [INTENTS, DIRTY, OWNERS] {
                self.conn.ensure(collection).await?;
            }
            for collection in [INTENTS, DIRTY] {
                let index = IndexModel::builder().keys(doc! { "o": 1 }).build();
                self.collection(collection)
                    .await?
                    .create_index(index)
                    .await
                    .map_err(|error| self.conn.error(&error))?;
            }
            Ok(())
        }
        .boxed()
    }

    fn obstacle(&self) -> BoxFuture<'_, StoreResult<Option<String>>> {
        async move {
            Ok((self.conn.deployment().await? == Deployment::Standalone).then(|| {
                "this MongoDB server runs without a replica set, so it has no transactions, and a write cannot carry its intent: make it a replica set of one, or set journal = \"state_dir\"".to_owned()
            }))
        }
        .boxed()
    }

    fn beat(&self, owner: i64) -> BoxFuture<'_, StoreResult<Vec<(i64, i64)>>> {
        async move {
            let owners = self.collection(OWNERS).await?;
            owners
                .update_one(doc! { "_id": owner }, doc! { "$inc": { "beat": 1_i64 } })
                .upsert(true)
                .await
                .map_err(|error| self.conn.error(&error))?;
            let all = self.find(OWNERS, doc! {}, i64::MAX).await?;
            let beat = |owner: &Document| {
                let owner_id = owner.get_i64("_id").ok()?;
                Some((owner_id, owner.get_i64("beat").ok()?))
            };
            Ok(all.iter().filter_map(beat).collect())
        }
        .boxed()
    }

    fn owners(&self) -> BoxFuture<'_, StoreResult<Vec<i64>>> {
        async move {
            let mut owners = Vec::new();
            for (collection, field) in [(INTENTS, "o"), (DIRTY, "o"), (OWNERS, "_id")] {
                let found = self
                    .collection(collection)
                    .await?
                    .distinct(field, doc! {})
                    .await;
                let found = found.map_err(|error| self.conn.error(&error))?;
                owners.extend(found.iter().filter_map(Bson::as_i64));
            }
            owners.sort_unstable();
            owners.dedup();
            Ok(owners)
        }
        .boxed()
    }

    fn dirty_of(&self, owner: i64, limit: u32) -> BoxFuture<'_, StoreResult<Vec<DirtyRow>>> {
        async move {
            let found = self.find(DIRTY, doc! { "o": owner }, limit.into()).await?;
            Ok(found.iter().filter_map(dirty_row).collect())
        }
        .boxed()
    }

    fn dirty_among<'a>(
        &'a self,
        owners: &'a [i64],
        table: &'a str,
        keys: &'a [Vec<u8>],
    ) -> BoxFuture<'a, StoreResult<Vec<DirtyRow>>> {
        async move {
            let mut found = Vec::new();
            for owner in owners {
                for keys in keys.chunks(BATCH) {
                    let ids: Vec<Document> = keys
                        .iter()
                        .map(|key| dirty_id(*owner, table, key))
                        .collect();
                    let rows = self
                        .find(DIRTY, doc! { "_id": { "$in": ids } }, i64::MAX)
                        .await?;
                    found.extend(rows.iter().filter_map(dirty_row));
                }
            }
            Ok(found)
        }
        .boxed()
    }

    fn intents_of(&self, owner: i64, limit: u32) -> BoxFuture<'_, StoreResult<Vec<IntentRow>>> {
        async move {
            let found = self
                .find(INTENTS, doc! { "o": owner }, limit.into())
                .await?;
            Ok(found.iter().filter_map(intent_row).collect())
        }
        .boxed()
    }

    fn write<'a>(&'a self, changes: &'a JournalChanges) -> BoxFuture<'a, StoreResult<()>> {
        async move {
            let database = self.conn.database().await?;
            let puts = changes.dirty.iter().map(|row| {
                doc! { "q": { "_id": dirty_id(row.owner, &row.table, &row.key) }, "u": dirty_document(row), "upsert": true }
            });
            self.command(&database, "update", DIRTY, "updates", puts.collect())
                .await?;
            let takes = changes.clean.iter().map(|row: &CleanRow| {
                let id = dirty_id(row.owner, &row.table, &row.key);
                doc! { "q": { "_id": id, "generation": { "$lte": row.generation } }, "limit": 1 }
            });
            self.command(&database, "delete", DIRTY, "deletes", takes.collect())
                .await?;
            let closes = changes.closed.iter().map(|(owner, id)| {
                doc! { "q": { "_id": { "o": *owner, "i": *id } }, "limit": 1 }
            });
            self.command(&database, "delete", INTENTS, "deletes", closes.collect())
                .await
        }
        .boxed()
    }

    fn forget(&self, owner: i64) -> BoxFuture<'_, StoreResult<()>> {
        async move {
            let owners = self.collection(OWNERS).await?;
            let gone = owners.delete_one(doc! { "_id": owner }).await;
            gone.map(drop).map_err(|error| self.conn.error(&error))
        }
        .boxed()
    }
}

impl MongoStore {
    async fn collection(&self, name: &str) -> StoreResult<Collection<Document>> {
        Ok(self.conn.database().await?.collection(name))
    }

    async fn find(
        &self,
        collection: &str,
        filter: Document,
        limit: i64,
    ) -> StoreResult<Vec<Document>> {
        let failed = |error: Error| self.conn.error(&error);
        let collection = self.collection(collection).await?;
        let find = collection.find(filter).sort(doc! { "_id": 1 });
        let find = if limit < i64::MAX {
            find.limit(limit)
        } else {
            find
        };
        let mut cursor = find.await.map_err(failed)?;
        let mut found = Vec::new();
        while cursor.advance().await.map_err(failed)? {
            found.push(cursor.deserialize_current().map_err(failed)?);
        }
        Ok(found)
    }

    async fn command(
        &self,
        database: &Database,
        verb: &str,
        collection: &str,
        list: &str,
        items: Vec<Document>,
    ) -> StoreResult<()> {
        for items in items.chunks(BATCH) {
            let command =
                doc! { verb: collection, list: items, "writeConcern": { "w": "majority" } };
            let command = mongodb::bson::RawDocumentBuf::try_from(&command)
                .map_err(|error| self.conn.rejected(0, error.to_string()))?;
            self.conn
                .write(database, command, None)
                .await
                .map_err(|failed| failed.error)?;
        }
        Ok(())
    }
}

fn binary(bytes: &[u8]) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    }
}

fn bytes_of(document: &Document, field: &str) -> Option<Vec<u8>> {
    document.get_binary_generic(field).ok().cloned()
}

fn dirty_id(owner: i64, table: &str, key: &[u8]) -> Document {
    doc! { "o": owner, "t": table, "k": binary(key) }
}

fn dirty_document(row: &DirtyRow) -> Document {
    doc! {
        "o": row.owner, "toggle": &row.toggle, "generation": row.generation,
        "reason": i32::from(row.reason), "stale": i32::from(row.stale), "since_s": row.since_s,
    }
}

fn dirty_row(document: &Document) -> Option<DirtyRow> {
    let id = document.get_document("_id").ok()?;
    let small = |field| i16::try_from(document.get_i32(field).ok()?).ok();
    Some(DirtyRow {
        owner: id.get_i64("o").ok()?,
        table: id.get_str("t").ok()?.to_owned(),
        key: bytes_of(id, "k")?,
        toggle: document.get_str("toggle").ok()?.to_owned(),
        generation: document.get_i64("generation").ok()?,
        reason: small("reason")?,
        stale: small("stale")?,
        since_s: document.get_i64("since_s").ok()?,
    })
}

fn intent_row(document: &Document) -> Option<IntentRow> {
    let id = document.get_document("_id").ok()?;
    Some(IntentRow {
        owner: id.get_i64("o").ok()?,
        id: id.get_i64("i").ok()?,
        body: bytes_of(document, "b")?,
    })
}
