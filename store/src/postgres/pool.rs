//! A small pool of connections, made when they are needed.

mod calls;
mod errors;

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crossfade_config::StoreConfig;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{Client, Config, NoTls, config::SslMode};

use super::{conn::Endpoint, settings};
use crate::{StoreError, StoreResult};

/// Most connections of one pool: the reconciler's workers, and a lock held beside each.
const MOST: usize = 16;
/// A connection that has been idle for longer is asked whether it still lives before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(5);
/// Longest wait for that answer.
const HEALTH_CHECK: Duration = Duration::from_secs(2);

/// Connections of the proxy's own account to one store.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct Shared {
    config: StoreConfig,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    conn: Conn,
    since: Instant,
}

/// One connection. Dropping it closes the socket at once, and the server gives up what it was doing.
#[derive(Debug)]
struct Conn {
    client: Client,
    task: JoinHandle<()>,
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection on loan. It goes back to the pool by [`Lease::done`] alone: dropped before, which is what happens when a
/// call fails or is itself dropped half way, it is closed, and its transaction rolls back.
#[derive(Debug)]
pub(super) struct Lease {
    conn: Conn,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Deref for Lease {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.conn.client
    }
}

impl Pool {
    pub(super) fn new(config: StoreConfig) -> Pool {
        Pool {
            shared: Arc::new(Shared {
                config,
                idle: Mutex::default(),
            }),
            permits: Arc::new(Semaphore::new(MOST)),
        }
    }

    /// Lends a connection that answers, an idle one or a new one.
    pub(super) async fn lease(&self) -> StoreResult<Lease> {
        let permit = self
            .permits
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| self.shared.unexpected("the pool is closed"))?;
        let conn = match self.shared.healthy().await {
            Some(conn) => conn,
            None => self.shared.connect().await?,
        };
        Ok(Lease {
            conn,
            shared: self.shared.clone(),
            _permit: permit,
        })
    }
}

impl Shared {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn healthy(&self) -> Option<Conn> {
        loop {
            let Idle { conn, since } = self.idle().pop()?;
            if conn.client.is_closed() {
                continue;
            }
            if since.elapsed() < TRUSTED_IDLE {
                return Some(conn);
            }
            if let Ok(Ok(())) = timeout(HEALTH_CHECK, conn.client.check_connection()).await {
                return Some(conn);
            }
        }
    }

    async fn connect(&self) -> StoreResult<Conn> {
        let within = self.config.connect_timeout;
        timeout(within, self.connect_now())
            .await
            .map_err(|_| StoreError::TimedOut {
                store: self.store(),
                after: within,
            })?
    }

    async fn connect_now(&self) -> StoreResult<Conn> {
        let url = &self.config.url;
        let stream = Endpoint::new(self.config.clone())?.open().await?;
        let mut config = Config::new();
        config
            .user(&url.user)
            .dbname(&url.database)
            .application_name(settings::APPLICATION_NAME);
        // The stream has done its own handshake by now.
        config.ssl_mode(SslMode::Disable);
        if let Some(password) = &url.password {
            config.password(password);
        }
        let (client, connection) = config
            .connect_raw(stream, NoTls)
            .await
            .map_err(|error| self.error(&error))?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection of the pool ended");
            }
        });
        let conn = Conn { client, task };
        conn.client
            .batch_execute(&settings::pin_all())
            .await
            .map_err(|error| self.error(&error))?;
        // Lets the server see that a dropped call closed the socket in the middle of a long query. Servers before 14 and some
        // systems do not know it, and lose nothing but promptness.
        if let Err(error) = conn
            .client
            .batch_execute("SET client_connection_check_interval = '2s'")
            .await
        {
            tracing::trace!(%error, "no client_connection_check_interval");
        }
        Ok(conn)
    }
}
