//! One life of a server, as seen by a connection that flushes its log.

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config, NoTls, config::SslMode};

use super::conn::Endpoint;
use crate::{Life, StoreError, StoreResult};

/// Longest wait for the flush: a store that takes longer is as good as down.
const FLUSH: Duration = Duration::from_secs(5);
/// The message makes the transaction one that is written, so that its commit waits for the log. The time tells one life of the server from the next.
const PROBE: &str = "SELECT pg_catalog.pg_postmaster_start_time()::text AS started, pg_catalog.pg_logical_emit_message(true, 'crossfade', '') AS at";
const SETTINGS: &str = "SET search_path = ''; SET synchronous_commit = 'on'; SET application_name = 'crossfade'; SET TimeZone = 'UTC'; \
    SET default_transaction_read_only = 'off'";

/// See the module. Connects past the pool: a crashed backend makes the server throw away what was not flushed without starting anew, and ends
/// every connection with it.
pub(super) struct PostgresLife {
    endpoint: Endpoint,
    client: Client,
    task: JoinHandle<()>,
    started: String,
}

impl Drop for PostgresLife {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PostgresLife {
    pub(super) async fn begin(endpoint: Endpoint) -> StoreResult<PostgresLife> {
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
            let mut life = PostgresLife {
                endpoint: endpoint.clone(),
                client,
                task,
                started: String::new(),
            };
            life.client.batch_execute(SETTINGS).await?;
            life.started = life
                .client
                .query_one(PROBE, &[])
                .await?
                .try_get("started")?;
            Ok::<_, tokio_postgres::Error>(life)
        };
        bounded(&endpoint, attempt).await
    }
}

impl Life for PostgresLife {
    fn flush(&mut self) -> BoxFuture<'_, StoreResult<bool>> {
        async {
            let probe = async { self.client.query_one(PROBE, &[]).await?.try_get("started") };
            let started: String = bounded(&self.endpoint, probe).await?;
            Ok(started == self.started)
        }
        .boxed()
    }

    fn is_over(&self) -> bool {
        self.client.is_closed()
    }
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
