//! Writes that a server without transactions was sent and that nobody waits for any more.
//!
//! Such a write may begin long after it was given up: a server that is frozen, or a network that is, has its bytes still. It then lands on whatever was written
//! since. No message takes it back. But it came over a connection, and the server ends a connection behind everything that came over it. So once a write was given up,
//! the client and its connections are replaced by new ones, and what was given up has ended when the server has no connection of an earlier client's any more.

use std::sync::atomic::{AtomicU64, Ordering};

use mongodb::bson::{Document, doc};
use tokio::sync::Mutex;

use super::conn::{Conn, Deployment};
use crate::StoreResult;

/// How much was given up, and how much of it has ended.
#[derive(Debug)]
pub(super) struct GivenUp {
    /// Writes given up so far. The first stands for all that an earlier process was at.
    count: AtomicU64,
    /// Of so many none goes over a connection of the present client.
    replaced: AtomicU64,
    /// So many have ended.
    ended: AtomicU64,
    /// One look at a time.
    looking: Mutex<()>,
}

impl Default for GivenUp {
    fn default() -> GivenUp {
        GivenUp {
            count: AtomicU64::new(1),
            replaced: AtomicU64::new(1),
            ended: AtomicU64::new(0),
            looking: Mutex::default(),
        }
    }
}

/// A write that is under way. Dropped before it is answered, it is given up.
pub(super) struct UnderWay<'a> {
    conn: &'a Conn,
    answered: bool,
}

impl UnderWay<'_> {
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.conn.given_up.count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Conn {
    /// A write is about to be sent.
    pub(super) fn under_way(&self) -> UnderWay<'_> {
        UnderWay {
            conn: self,
            answered: false,
        }
    }

    /// Whether every write that was given up before the call has ended.
    ///
    /// # Errors
    /// When no server answers.
    pub(super) async fn given_up_has_ended(&self) -> StoreResult<bool> {
        if self.deployment().await? == Deployment::Transactions {
            return Ok(true);
        }
        let given_up = &self.given_up;
        let count = given_up.count.load(Ordering::SeqCst);
        if given_up.ended.load(Ordering::SeqCst) >= count {
            return Ok(true);
        }
        let _turn = given_up.looking.lock().await;
        if given_up.replaced.load(Ordering::SeqCst) < count {
            self.replace_client();
            given_up.replaced.fetch_max(count, Ordering::SeqCst);
        }
        let ended = !self.has_earlier_connections().await?;
        if ended {
            given_up.ended.fetch_max(count, Ordering::SeqCst);
        }
        Ok(ended)
    }

    /// Whether the server has a connection by the name of an earlier client for this database, of this process or of one before it.
    async fn has_earlier_connections(&self) -> StoreResult<bool> {
        let database = self.database().await?;
        let present = self.present_name();
        let pipeline = [
            doc! { "$currentOp": { "allUsers": self.all_users(), "idleConnections": true } },
            // A driver's look at the server may wait there for a while, and writes nothing.
            doc! { "$match": { "appName": { "$exists": true, "$ne": &present }, "command.maxAwaitTimeMS": { "$exists": false } } },
            doc! { "$project": { "appName": 1 } },
        ];
        let failed = |error| self.error(&error);
        let admin = database.client().database("admin");
        let mut found = admin.aggregate(pipeline).await.map_err(failed)?;
        while found.advance().await.map_err(failed)? {
            let one: Document = found.deserialize_current().map_err(failed)?;
            if one.get_str("appName").is_ok_and(|name| self.is_ours(name)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
