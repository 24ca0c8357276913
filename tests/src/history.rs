//! Clients whose every acknowledged write is written down, and what the stores must hold because of it.
//!
//! Three kinds of data, each of which shows another way of being wrong:
//! - *registers*, each written by one client with a new value every time: what was acknowledged last, or a later write of unknown outcome, is
//!   what anyone reads;
//! - *lists*, to which all clients append: every acknowledged entry is there once, and whatever was ever read is the beginning of what is
//!   there in the end, so that nothing was read that did not last;
//! - *accounts*, between which all clients move money: the sum never changes.

mod client;
mod findings;
mod random;
mod record;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::Endpoint;
use client::Client;
pub use findings::Findings;
pub use random::Random;
use record::Shared;

/// Accounts of [`HISTORY`].
pub(crate) const ACCOUNTS: u64 = 8;
/// What all accounts hold together.
pub(crate) const SUM: u64 = ACCOUNTS * 100;

/// Tables of a history.
pub const HISTORY: &str = "
CREATE TABLE registers (
    name text PRIMARY KEY,
    value bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE lists (
    name text PRIMARY KEY,
    entries text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE accounts (
    id int PRIMARY KEY,
    balance bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
";

/// Rows of [`HISTORY`] before the first client.
pub const HISTORY_SEED: &str = "
INSERT INTO accounts (id, balance) SELECT n, 100 FROM generate_series(0, 7) n;
INSERT INTO registers (name, value) SELECT 'early ' || n, n FROM generate_series(1, 20) n;
INSERT INTO lists (name, entries) VALUES ('early', 'one;two;');
";

/// The mapping of [`HISTORY`] under the toggle `shop`.
pub const HISTORY_TABLES: &str = "
[toggle.shop.table.registers]
version = \"updated_at\"
[toggle.shop.table.lists]
version = \"updated_at\"
[toggle.shop.table.accounts]
version = \"updated_at\"
";

/// What a client does when its connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// It ends.
    End,
    /// It connects again, until it can.
    Reconnect,
}

/// How a group of clients speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Query messages.
    Simple,
    /// Parse, Bind, Execute, Sync.
    Extended,
}

/// Running clients on the tables of [`HISTORY`]: half of them speak the simple protocol, half the extended one.
#[derive(Debug)]
pub struct History {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

impl History {
    /// Starts `clients` connections, or as many as get through. `seed` decides what they do, and names their rows: each history on the same tables has another one.
    pub async fn start(endpoint: &Endpoint, seed: u64, clients: usize, broken: Broken) -> History {
        let shared = Arc::new(Shared::new(seed));
        let mut running = Vec::new();
        for number in 0..clients {
            let protocol = if number % 2 == 0 {
                Protocol::Simple
            } else {
                Protocol::Extended
            };
            // A proxy that is about to crash may be gone by now.
            running.extend(Client::new(number, endpoint, protocol, broken, &shared).await);
        }
        let running = running.into_iter().map(|client| tokio::spawn(client.run()));
        let running = running.collect();
        History {
            shared,
            clients: running,
        }
    }

    /// Acknowledged transactions so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until at least `more` further transactions were acknowledged.
    pub async fn progress(&self, more: u64) {
        let goal = self.acknowledged() + more;
        crate::eventually("the clients get on", Duration::from_secs(30), async || {
            self.acknowledged() >= goal
        })
        .await;
    }

    /// Lets every client finish what it is at and ends them.
    ///
    /// # Panics
    /// When a client hangs, or panicked.
    pub async fn stop(self) -> Findings {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            crate::within(30, "a client of the history ends", client)
                .await
                .unwrap();
        }
        Findings::of(&self.shared)
    }
}
