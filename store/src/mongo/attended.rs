//! Sessions that are ended also when nobody waits for it any more.
//!
//! A call that is dropped half way, as by a timeout, leaves a transaction behind, which would hold its documents for a minute. The driver sends an abort then. But a server that
//! was frozen meanwhile may read that abort first, and find the command that begins the transaction afterwards, in the connection that was given up. So the session
//! is killed more than once, and kept until then: its id must not come to be another transaction's.

use std::time::Duration;

use mongodb::{ClientSession, bson::doc};
use tokio::{runtime::Handle, time::sleep};

use super::MongoStore;

/// Between the first two times; doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// How often: for about a minute, as long as the server itself would leave the transaction open.
const TIMES: u32 = 8;

/// A session. Dropped without [`Attended::settle`], whatever it has open is ended.
pub(super) struct Attended {
    store: MongoStore,
    session: Option<ClientSession>,
}

impl Attended {
    pub(super) fn new(store: &MongoStore, session: ClientSession) -> Attended {
        Attended {
            store: store.clone(),
            session: Some(session),
        }
    }

    /// `None` once it is settled.
    pub(super) fn session(&mut self) -> Option<&mut ClientSession> {
        self.session.as_mut()
    }

    /// Nothing is open in it any more.
    pub(super) fn settle(&mut self) {
        self.session = None;
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        // Outside of a runtime the proxy is at its end, and the next one ends what it has left.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(end(self.store.clone(), session));
        }
    }
}

async fn end(store: MongoStore, mut session: ClientSession) {
    if let Err(error) = session.abort_transaction().await {
        tracing::debug!(%error, "a transaction that was given up was not aborted");
    }
    let kill = doc! { "killSessions": [session.id().clone()] };
    let mut pause = PAUSE;
    for _ in 0..TIMES {
        sleep(pause).await;
        pause *= 2;
        let Ok(database) = store.conn.database().await else {
            continue;
        };
        if let Err(error) = database.run_command(kill.clone()).await {
            tracing::debug!(%error, "the session of a transaction that was given up was not killed");
        }
    }
}
