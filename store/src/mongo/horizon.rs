//! Whether transactions of before have ended.

use std::time::Duration;

use mongodb::{
    Database,
    bson::{DateTime, Document, doc},
};
use tokio::time::sleep;

use super::MongoStore;
use crate::{Horizon, StoreResult};

/// Looks at how far a majority is.
const LOOKS: u32 = 20;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

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

/// Whether no transaction runs that had begun by then, and every commit so far is one that outlives a change of the set's primary: only then do
/// reads see it ([`super::conn::Conn::database`]).
pub(super) async fn has_passed(store: &MongoStore, horizon: Horizon) -> StoreResult<bool> {
    let database = store.conn.database().await?;
    let before = DateTime::from_millis(horizon.0);
    let pipeline = [
        doc! { "$currentOp": { "allUsers": store.conn.all_users(), "idleSessions": true } },
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
    if any.is_some() {
        // A proxy that was killed leaves its own behind, and nobody else may ever meet them.
        store.conn.look_for_left_behind().await;
        return Ok(false);
    }
    is_replicated(store, &database).await
}

/// Whether a majority has everything that was written so far. Where that takes long the caller asks again.
async fn is_replicated(store: &MongoStore, database: &Database) -> StoreResult<bool> {
    let mut written = None;
    for _ in 0..LOOKS {
        let hello = database
            .run_command(doc! { "hello": 1 })
            .await
            .map_err(|error| store.conn.error(&error))?;
        // A router and a server on its own have none.
        let Ok(last) = hello.get_document("lastWrite") else {
            return Ok(true);
        };
        let at = |name| {
            last.get_document(name)
                .and_then(|time| time.get_timestamp("ts"))
                .ok()
        };
        let written = *written.get_or_insert_with(|| at("opTime"));
        if at("majorityOpTime") >= written {
            return Ok(true);
        }
        sleep(PAUSE).await;
    }
    Ok(false)
}
