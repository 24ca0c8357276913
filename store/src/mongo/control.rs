//! [`Control`] in a collection of MongoDB.

use std::sync::Arc;

use crossfade_config::StoreConfig;
use crossfade_phase::Side;
use futures::{FutureExt as _, future::BoxFuture};
use mongodb::{
    Collection,
    bson::{Document, doc},
};

use super::{
    conn::{Conn, DUPLICATE_KEY},
    document::ID,
};
use crate::{Control, Entry, StoreError, StoreResult};

/// The collection of the entries.
const CONTROL: &str = "crossfade_control";
const NAME: &str = "name";
const SERIAL: &str = "serial";
const BODY: &str = "body";
/// Side and toggle.
const OF: &str = "of";

/// See the module. It has connections of its own: the reconciler's load must not make a proxy lose touch. Reads and writes are those of a majority.
#[derive(Debug, Clone)]
pub struct MongoControl {
    conn: Arc<Conn>,
    side: Side,
}

impl MongoControl {
    /// Describes it; connects when it is first used.
    #[must_use]
    pub fn new(config: StoreConfig, side: Side) -> MongoControl {
        MongoControl {
            conn: Arc::new(Conn::new(config, format!("control of the {side} side"))),
            side,
        }
    }

    fn of(&self, toggle: &str) -> String {
        format!("{} {toggle}", self.side)
    }

    /// A toggle's name holds no space.
    fn id(&self, toggle: &str, name: &str) -> String {
        format!("{} {toggle} {name}", self.side)
    }

    async fn collection(&self) -> StoreResult<Collection<Document>> {
        Ok(self.conn.database().await?.collection(CONTROL))
    }

    async fn entries_now(&self, toggle: &str) -> StoreResult<Vec<Entry>> {
        let failed = |error| self.conn.error(&error);
        let collection = self.collection().await?;
        let found = collection.find(doc! { OF: self.of(toggle) }).await;
        let mut found = found.map_err(failed)?;
        let mut entries = Vec::new();
        while found.advance().await.map_err(failed)? {
            let entry = found.deserialize_current().map_err(failed)?;
            entries.push(self.entry(&entry)?);
        }
        Ok(entries)
    }

    fn entry(&self, found: &Document) -> StoreResult<Entry> {
        let malformed = |error| -> StoreError {
            self.conn
                .unexpected(format!("an entry of {CONTROL}: {error}"))
        };
        Ok(Entry {
            name: found.get_str(NAME).map_err(malformed)?.to_owned(),
            serial: found.get_i64(SERIAL).map_err(malformed)?,
            body: found.get_str(BODY).map_err(malformed)?.to_owned(),
        })
    }

    async fn swap_now(&self, toggle: &str, seen: Option<i64>, entry: &Entry) -> StoreResult<bool> {
        let collection = self.collection().await?;
        let id = self.id(toggle, &entry.name);
        let (serial, body) = (entry.serial, entry.body.as_str());
        match seen {
            None => {
                let whole = doc! { ID: id, OF: self.of(toggle), NAME: &entry.name, SERIAL: serial, BODY: body };
                match collection.insert_one(whole).await {
                    Ok(_) => Ok(true),
                    Err(error) if self.conn.code(&error) == Some(DUPLICATE_KEY) => Ok(false),
                    Err(error) => Err(self.conn.error(&error)),
                }
            }
            Some(seen) => {
                let change = doc! { "$set": { SERIAL: serial, BODY: body } };
                let changed = collection
                    .update_one(doc! { ID: id, SERIAL: seen }, change)
                    .await;
                Ok(changed
                    .map_err(|error| self.conn.error(&error))?
                    .matched_count
                    == 1)
            }
        }
    }

    async fn put_now(&self, toggle: &str, name: &str, body: &str) -> StoreResult<()> {
        let change = doc! {
            "$set": { OF: self.of(toggle), NAME: name, BODY: body },
            "$inc": { SERIAL: 1_i64 },
        };
        self.collection()
            .await?
            .update_one(doc! { ID: self.id(toggle, name) }, change)
            .upsert(true)
            .await
            .map(drop)
            .map_err(|error| self.conn.error(&error))
    }

    async fn remove_now(&self, toggle: &str, name: &str) -> StoreResult<()> {
        self.collection()
            .await?
            .delete_one(doc! { ID: self.id(toggle, name) })
            .await
            .map(drop)
            .map_err(|error| self.conn.error(&error))
    }
}

impl Control for MongoControl {
    fn prepare(&self) -> BoxFuture<'_, StoreResult<()>> {
        self.conn.ensure(CONTROL).boxed()
    }

    fn entries<'a>(&'a self, toggle: &'a str) -> BoxFuture<'a, StoreResult<Vec<Entry>>> {
        self.entries_now(toggle).boxed()
    }

    fn swap<'a>(
        &'a self,
        toggle: &'a str,
        seen: Option<i64>,
        entry: &'a Entry,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        self.swap_now(toggle, seen, entry).boxed()
    }

    fn put<'a>(
        &'a self,
        toggle: &'a str,
        name: &'a str,
        body: &'a str,
    ) -> BoxFuture<'a, StoreResult<()>> {
        self.put_now(toggle, name, body).boxed()
    }

    fn remove<'a>(&'a self, toggle: &'a str, name: &'a str) -> BoxFuture<'a, StoreResult<()>> {
        self.remove_now(toggle, name).boxed()
    }
}
