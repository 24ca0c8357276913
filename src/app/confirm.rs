//! Confirms what the secondaries have flushed.
//!
//! Secondary transactions commit with `synchronous_commit = off`: the store acknowledges before its log is on the disk. Their intents stay open in the
//! journal until a later, synchronous commit in the same store was flushed, which covers everything before it. A store that crashed in between may have lost
//! them: then their keys are dirty.

use std::{sync::Arc, time::Duration};

use crossfade_journal::{Journal, Reason};
use crossfade_phase::Side;
use crossfade_store::{StoreError, StoreResult, postgres::conn::Endpoint};
use tokio::{sync::Mutex, task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config, NoTls, config::SslMode};

/// Longest wait for the flush: a store that takes longer is as good as down.
const FLUSH: Duration = Duration::from_secs(5);
/// The message makes the transaction one that is written, so that its commit waits for the log. The time tells one life of the server from the next.
const PROBE: &str = "SELECT pg_catalog.pg_postmaster_start_time()::text AS started, pg_catalog.pg_logical_emit_message(true, 'crossfade', '') AS at";
const SETTINGS: &str = "SET search_path = ''; SET synchronous_commit = 'on'; SET application_name = 'crossfade'; SET TimeZone = 'UTC'; \
    SET default_transaction_read_only = 'off'";

/// One connection to each store, made when there is something to confirm.
pub(crate) struct Confirmer {
    journal: Arc<Journal>,
    old: Session,
    new: Session,
}

struct Session {
    endpoint: Endpoint,
    connection: Mutex<Option<Connection>>,
}

struct Connection {
    client: Client,
    task: JoinHandle<()>,
    started: String,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Confirmer {
    pub(super) fn new((old, new): &(Endpoint, Endpoint), journal: Arc<Journal>) -> Confirmer {
        let session = |endpoint: &Endpoint| Session {
            endpoint: endpoint.clone(),
            connection: Mutex::default(),
        };
        Confirmer {
            journal,
            old: session(old),
            new: session(new),
        }
    }

    fn on(&self, side: Side) -> &Session {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }

    /// Makes the store of `side` flush, and confirms what that covers.
    ///
    /// # Errors
    /// When the store does not answer; nothing is confirmed then.
    pub(crate) async fn confirm(&self, side: Side) -> StoreResult<()> {
        let mut slot = self.connected(side).await?;
        let horizon = self.journal.confirm_horizon(side);
        let Some(connection) = slot.as_ref() else {
            return Ok(());
        };
        match probe(&self.on(side).endpoint, &connection.client).await {
            Ok(started) if started == connection.started => {
                self.journal.confirm(horizon);
                Ok(())
            }
            Ok(_another_life) => {
                *slot = None;
                self.doubt(side).await;
                Ok(())
            }
            Err(error) => {
                // What was committed until the next connection stands is in doubt, and is dealt with there.
                *slot = None;
                Err(error)
            }
        }
    }

    /// Connects ahead of the first write, so that what is committed from then on is known to be of one life of the server.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn connect(&self, side: Side) -> StoreResult<()> {
        self.connected(side).await.map(drop)
    }

    async fn connected(
        &self,
        side: Side,
    ) -> StoreResult<tokio::sync::MutexGuard<'_, Option<Connection>>> {
        let session = self.on(side);
        let mut slot = session.connection.lock().await;
        if slot
            .as_ref()
            .is_none_or(|connection| connection.client.is_closed())
        {
            *slot = None;
            *slot = Some(connect(&session.endpoint).await?);
            // The server may have crashed between those commits and this connection, also where it says that it started long ago: a crashed
            // backend makes it throw away what was not flushed without starting anew.
            self.doubt(side).await;
        }
        Ok(slot)
    }

    async fn doubt(&self, side: Side) {
        if let Err(error) = self
            .journal
            .unconfirmed_to_dirty(side, Reason::SecondaryCrashed)
            .await
        {
            tracing::error!(%error, %side, "keys in doubt are known in memory only");
        }
    }
}

async fn connect(endpoint: &Endpoint) -> StoreResult<Connection> {
    let url = &endpoint.config.url;
    let stream = endpoint.open().await?;
    let mut config = Config::new();
    config
        .user(&url.user)
        .dbname(&url.database)
        .ssl_mode(SslMode::Disable);
    if let Some(password) = &url.password {
        config.password(password);
    }
    let attempt = async {
        let (client, connection) = config.connect_raw(stream, NoTls).await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the confirming connection ended");
            }
        });
        // From here on dropping it ends the task.
        let mut connection = Connection {
            client,
            task,
            started: String::new(),
        };
        connection.client.batch_execute(SETTINGS).await?;
        connection.started = connection
            .client
            .query_one(PROBE, &[])
            .await?
            .try_get("started")?;
        Ok::<_, tokio_postgres::Error>(connection)
    };
    bounded(endpoint, attempt).await
}

async fn probe(endpoint: &Endpoint, client: &Client) -> StoreResult<String> {
    bounded(endpoint, async {
        client.query_one(PROBE, &[]).await?.try_get("started")
    })
    .await
}

async fn bounded<T>(
    endpoint: &Endpoint,
    call: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> StoreResult<T> {
    let store = || endpoint.config.url.to_string();
    match timeout(FLUSH, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(match error.as_db_error() {
            Some(said) => StoreError::Rejected {
                store: store(),
                sqlstate: said.code().code().to_owned(),
                message: said.message().to_owned(),
                constraint: None,
            },
            None => StoreError::Unreachable {
                store: store(),
                reason: error.to_string(),
            },
        }),
        Err(_) => Err(StoreError::TimedOut {
            store: store(),
            after: FLUSH,
        }),
    }
}
