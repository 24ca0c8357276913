//! A document held under its lock: a transaction that has written it.

use futures::{FutureExt as _, future::BoxFuture};
use mongodb::{
    ClientSession,
    bson::{RawDocumentBuf, doc, oid::ObjectId},
};

use super::{
    MongoStore,
    conn::Deployment,
    document::{ID, Shape},
    read::document,
};
use crate::{Key, LockedRow, Row, StoreResult, TableMap};

/// A field that is never committed.
const MARK: &str = "crossfade_lock";
/// Attempts at a document that others write.
const ATTEMPTS: u32 = 40;

struct Locked {
    row: Option<Row>,
    store: MongoStore,
    session: Option<ClientSession>,
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
    let mut session = store.conn.session().await?;
    let mut attempt = 0;
    let found = loop {
        session
            .start_transaction()
            .await
            .map_err(|error| store.conn.error(&error))?;
        let mark = doc! { "$set": { MARK: ObjectId::new() } };
        let found = collection
            .find_one_and_update(doc! { ID: id.clone() }, mark)
            .session(&mut session)
            .await;
        match found {
            Ok(found) => break found,
            Err(error) => {
                drop(session.abort_transaction().await);
                let failed = store.conn.write_error(&error);
                if !failed.transient || attempt >= ATTEMPTS {
                    return Err(failed.error);
                }
                store.conn.pause(attempt).await;
                attempt += 1;
            }
        }
    };
    let row = found.map(|raw| row(store, &shape, &raw)).transpose()?;
    if row.is_none() {
        drop(session.abort_transaction().await);
        return Ok(Box::new(Locked {
            row,
            store: store.clone(),
            session: None,
        }));
    }
    Ok(Box::new(Locked {
        row,
        store: store.clone(),
        session: Some(session),
    }))
}

fn row(store: &MongoStore, shape: &Shape, raw: &RawDocumentBuf) -> StoreResult<Row> {
    Ok(shape.row(&document(store, raw)?))
}

impl LockedRow for Locked {
    fn row(&self) -> Option<&Row> {
        self.row.as_ref()
    }

    fn release(mut self: Box<Self>) -> BoxFuture<'static, StoreResult<()>> {
        async move {
            match &mut self.session {
                Some(session) => session
                    .abort_transaction()
                    .await
                    .map_err(|error| self.store.conn.error(&error)),
                None => Ok(()),
            }
        }
        .boxed()
    }
}
