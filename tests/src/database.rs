//! A database of one test.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio_postgres::SimpleQueryMessage;

use crate::{Endpoint, look_until};

/// A database of this test alone, spoken to directly; dropped with the value.
#[derive(Debug)]
pub struct Database {
    endpoint: Endpoint,
}

impl Database {
    /// Creates an empty database on the server at `addr`.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn create(addr: SocketAddr, name: &str) -> Database {
        let database = Database {
            endpoint: Endpoint {
                addr,
                database: name.to_owned(),
                user: "crossfade".to_owned(),
                password: "proxy secret".to_owned(),
            },
        };
        database.maintenance(&format!("CREATE DATABASE \"{name}\" TEMPLATE template0"));
        database
    }

    /// Creates a database whose name no other test has.
    #[must_use]
    pub fn unique(addr: SocketAddr) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Database::create(addr, &format!("t{}_{count}", std::process::id()))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.endpoint.database
    }

    /// The server's address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.endpoint.addr
    }

    /// The database itself, signed in as the proxy's own account.
    #[must_use]
    pub fn own(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The database itself, signed in as the application.
    #[must_use]
    pub fn direct(&self) -> Endpoint {
        Endpoint {
            user: "app".to_owned(),
            password: "secret".to_owned(),
            ..self.endpoint.clone()
        }
    }

    /// Runs statements on a connection of their own.
    ///
    /// # Panics
    /// When one fails.
    pub async fn run(&self, sql: &str) {
        let client = self.endpoint.connect().await;
        client
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The rows of a query, each value in its text form.
    ///
    /// # Panics
    /// When it fails.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let client = self.endpoint.connect().await;
        let messages = client
            .simple_query(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(
                    (0..row.len())
                        .map(|column| row.get(column).map(str::to_owned))
                        .collect(),
                ),
                _ => None,
            })
            .collect()
    }

    /// The only value of a query, `""` for NULL.
    ///
    /// # Panics
    /// When it fails or has not exactly one row.
    pub async fn value(&self, sql: &str) -> String {
        let rows = self.rows(sql).await;
        assert_eq!(rows.len(), 1, "{sql} gave {rows:?}");
        rows[0][0].clone().unwrap_or_default()
    }

    /// Waits until the only value of the only row of a query is this: a client is answered before the secondary has committed.
    ///
    /// # Panics
    /// When it is another one, or there are other rows, for two seconds.
    pub async fn becomes(&self, sql: &str, expected: &str) {
        let look = async || self.rows(sql).await;
        let is_it = |rows: &Vec<Vec<Option<String>>>| {
            let [row] = &rows[..] else { return false };
            row[0].as_deref().unwrap_or_default() == expected
        };
        let found = look_until(Duration::from_secs(2), look, is_it).await;
        assert!(is_it(&found), "{sql} gave {found:?}, not {expected}");
    }

    fn maintenance(&self, sql: &str) {
        let output = self.endpoint.database("postgres").psql(&["-c", sql]);
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Best effort: a server that the test has stopped takes its databases with it.
        let sql = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name());
        let _ = self.endpoint.database("postgres").psql(&["-c", &sql]);
    }
}
