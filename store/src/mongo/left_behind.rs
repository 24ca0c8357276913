//! Transactions of proxies that are gone.
//!
//! MongoDB does not end a transaction with the connection of a proxy that was killed: it stays for a minute, and its documents with it. So whoever meets
//! it ends it. That nothing happens in a transaction for long says nothing by itself, for the application's own may wait for their client: it
//! was left behind when no connection of its process is there any more. Had that process only lost sight of the server, its commit fails, which it takes
//! for what it is.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use mongodb::bson::{Bson, Document, doc, oid::ObjectId};

use super::conn::Conn;

/// How the connections of all our processes are called; behind it stands what tells one process from another.
const APP_NAME: &str = "crossfade ";
/// A process may lose its connections for a moment.
const AGE: Duration = Duration::from_secs(2);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Attempts at a document from which on somebody may have left a transaction behind that has written it.
const PATIENCE: u32 = 5;

/// A name that no other client has. Behind it stands `purpose`: clients of one purpose follow each other.
pub(super) fn app_name(purpose: &str) -> String {
    format!("{APP_NAME}{} {purpose}", ObjectId::new())
}

/// Whether a client of this purpose is called so.
pub(super) fn has_purpose(name: &str, purpose: &str) -> bool {
    let name = name.strip_prefix(APP_NAME);
    name.and_then(|name| name.split_once(' '))
        .is_some_and(|(_, found)| found == purpose)
}

/// When they were last looked for.
#[derive(Debug, Default)]
pub(super) struct LeftBehind(Mutex<Option<Instant>>);

impl LeftBehind {
    fn is_due(&self) -> bool {
        let mut looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        if due {
            *looked = Some(Instant::now());
        }
        due
    }
}

impl Conn {
    /// Waits before a transaction that met another's is tried again.
    pub(super) async fn pause(&self, attempt: u32) {
        if attempt >= PATIENCE {
            self.look_for_left_behind().await;
        }
        // Up to some tens of milliseconds.
        tokio::time::sleep(Duration::from_millis(1 << attempt.min(5))).await;
    }

    /// Ends what was left behind, unless somebody has just looked.
    pub(super) async fn look_for_left_behind(&self) {
        if self.left_behind.is_due()
            && let Err(error) = self.end_what_was_left_behind().await
        {
            tracing::warn!(%error, "transactions of a proxy that is gone cannot be ended; MongoDB ends them after transactionLifetimeLimitSeconds");
        }
    }

    async fn end_what_was_left_behind(&self) -> mongodb::error::Result<()> {
        let Some(client) = self.connected() else {
            return Ok(());
        };
        let admin = client.database("admin");
        let pipeline = [
            doc! { "$currentOp": { "allUsers": self.all_users(), "idleSessions": true, "idleConnections": true } },
            doc! { "$match": { "appName": { "$regex": format!("^{APP_NAME}") } } },
            doc! { "$project": { "type": 1, "appName": 1, "lsid.id": 1, "transaction.timeOpenMicros": 1 } },
        ];
        let mut found = admin.aggregate(pipeline).await?;
        let (mut idle, mut alive) = (Vec::new(), HashSet::from([self.present_name()]));
        while found.advance().await? {
            let operation = found.deserialize_current()?;
            match operation.get_str("type") {
                Ok("idleSession") => idle.push(operation),
                _ => alive.extend(operation.get_str("appName").map(str::to_owned)),
            }
        }
        let sessions: Vec<Bson> = idle
            .iter()
            .filter(|session| {
                session
                    .get_str("appName")
                    .is_ok_and(|name| !alive.contains(name))
            })
            .filter_map(session_of_old)
            .collect();
        if !sessions.is_empty() {
            tracing::warn!(
                transactions = sessions.len(),
                "transactions that a proxy left behind are ended"
            );
            admin.run_command(doc! { "killSessions": sessions }).await?;
        }
        Ok(())
    }
}

/// The session of a transaction that is open for long enough.
fn session_of_old(session: &Document) -> Option<Bson> {
    let open_us = session
        .get_document("transaction")
        .ok()?
        .get_i64("timeOpenMicros")
        .ok()?;
    let old = u64::try_from(open_us).is_ok_and(|us| Duration::from_micros(us) >= AGE);
    session
        .get_document("lsid")
        .ok()
        .filter(|_| old)
        .map(|lsid| lsid.clone().into())
}
