//! Whether transactions of before have ended.

use mongodb::bson::{DateTime, Document, doc};

use super::MongoStore;
use crate::{Horizon, StoreResult};

/// The server's clock, in milliseconds since 1970.
pub(super) async fn horizon(store: &MongoStore) -> StoreResult<Horizon> {
    let database = store.conn.database().await?;
    let hello = database
        .run_command(doc! { "hello": 1 })
        .await
        .map_err(|error| store.conn.error(&error))?;
    let now = hello
        .get_datetime("localTime")
        .map(|now| now.timestamp_millis());
    Ok(Horizon(now.unwrap_or(i64::MAX)))
}

/// Whether no transaction runs that had begun by then.
pub(super) async fn has_passed(store: &MongoStore, horizon: Horizon) -> StoreResult<bool> {
    let database = store.conn.database().await?;
    let before = DateTime::from_millis(horizon.0);
    let pipeline = [
        doc! { "$currentOp": { "allUsers": true, "idleSessions": true } },
        doc! { "$match": { "transaction.startWallClockTime": { "$exists": true } } },
        doc! { "$match": { "$expr": { "$lte": [{ "$toDate": "$transaction.startWallClockTime" }, before] } } },
        doc! { "$limit": 1 },
    ];
    let admin = database.client().database("admin");
    let mut found = admin
        .aggregate(pipeline)
        .await
        .map_err(|error| store.conn.error(&error))?;
    let any: Option<Document> = match found.advance().await {
        Ok(true) => found.deserialize_current().ok(),
        Ok(false) => None,
        Err(error) => return Err(store.conn.error(&error)),
    };
    Ok(any.is_none())
}
