//! A document held under its lock: a transaction that has written it.

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use mongodb::{
    Collection,
    bson::{Bson, RawDocumentBuf, doc, oid::ObjectId},
};
use tokio::time::sleep;

use super::{
    MongoStore,
    attended::Attended,
    conn::{Deployment, WRITE_CONFLICT},
    document::{ID, Shape},
    read::document,
};
use crate::{Key, LockedRow, Row, StoreResult, TableMap};

/// A field that is never committed.
const MARK: &str = "crossfade_lock";
/// Attempts at a document that others write.
const ATTEMPTS: u32 = 40;
/// Looks at whether a majority has the document.
const LOOKS: u32 = 50;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

struct Locked {
    row: Option<Row>,
    store: MongoStore,
    session: Option<Attended>,
}

impl Locked {
    async fn end(&mut self) -> StoreResult<()> {
        let Some(attended) = &mut self.session else {
            return Ok(());
        };
        if let Some(session) = attended.session() {
            let ended = session.abort_transaction().await;
            ended.map_err(|error| self.store.conn.error(&error))?;
        }
        attended.settle();
        Ok(())
    }
}

pub(super) async fn lock_row(
    store: &MongoStore,
    table: &TableMap,
    key: &Key,
) -> StoreResult<Box<dyn LockedRow>> {
    let shape = store.shape(table);
    let database = store.conn.database().await?;
    let collection = database.collection::<RawDocumentBuf>(shape.collection());
    let id = shape.id_of(key)?;
    if store.conn.deployment().await? == Deployment::Standalone {
        // Nothing can be held there. Such a server is never a primary, whose locks alone order anything.
        let found = collection.find_one(doc! { ID: id }).await;
        let row = found
            .map_err(|error| store.conn.error(&error))?
            .map(|raw| row(store, &shape, &raw))
            .transpose()?;
        return Ok(Box::new(Locked {
            row,
            store: store.clone(),
            session: None,
        }));
    }
    let mut attended = Attended::new(store, store.conn.session().await?);
    let mut attempt = 0;
    let found = loop {
        let Some(session) = attended.session() else {
            return Err(store.conn.unexpected("a session that is gone"));
        };
        session
            .start_transaction()
            .await
            .map_err(|error| store.conn.error(&error))?;
        let mark = doc! { "$set": { MARK: ObjectId::new() } };
        let found = collection
            .find_one_and_update(doc! { ID: id.clone() }, mark)
            .session(&mut *session)
            .await;
        match found {
            Ok(found) => break found,
            Err(error) => {
                let ended = session.abort_transaction().await;
                let failed = store.conn.write_error(&error);
                if !failed.transient || attempt >= ATTEMPTS {
                    if ended.is_ok() {
                        attended.settle();
                    }
                    return Err(failed.error);
                }
                store.conn.pause(attempt).await;
                attempt += 1;
            }
        }
    };
    let mut locked = Box::new(Locked {
        row: None,
        store: store.clone(),
        session: Some(attended),
    });
    let Some(found) = found else {
        // What is not there cannot be held: whoever repairs it looks again afterwards.
        locked.end().await?;
        locked.session = None;
        return Ok(locked);
    };
    locked.row = Some(row(store, &shape, &found)?);
    until_it_stays(store, &collection, &id, &found).await?;
    Ok(locked)
}

/// Waits until a majority has the document as it is under the lock: what is carried into the other store must not vanish with this set's primary.
async fn until_it_stays(
    store: &MongoStore,
    collection: &Collection<RawDocumentBuf>,
    id: &Bson,
    held: &RawDocumentBuf,
) -> StoreResult<()> {
    for _ in 0..LOOKS {
        let seen = collection.find_one(doc! { ID: id }).await;
        if seen.map_err(|error| store.conn.error(&error))?.as_ref() == Some(held) {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    Err(store.conn.rejected(
        WRITE_CONFLICT,
        "no majority of the set has the document yet".to_owned(),
    ))
}

fn row(store: &MongoStore, shape: &Shape, raw: &RawDocumentBuf) -> StoreResult<Row> {
    Ok(shape.row(&document(store, raw)?))
}

impl LockedRow for Locked {
    fn row(&self) -> Option<&Row> {
        self.row.as_ref()
    }

    fn release(mut self: Box<Self>) -> BoxFuture<'static, StoreResult<()>> {
        async move { self.end().await }.boxed()
    }
}
