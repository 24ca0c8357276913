//! Clients that keep working while a test does something to the proxy, and remember what they were told.

mod client;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::Endpoint;

/// Running clients on the tables of [`crate::SHOP`].
#[derive(Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// What the clients saw.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Transactions that were acknowledged.
    pub operations: u64,
    /// Errors, and answers that contradict what the client itself wrote.
    pub errors: Vec<String>,
    /// The longest that any operation took.
    pub longest: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    operations: AtomicU64,
    longest_us: AtomicU64,
    errors: Mutex<Vec<String>>,
}

impl Traffic {
    /// Starts `clients` connections that insert, change, delete and read back orders of their own.
    pub async fn start(endpoint: &Endpoint, clients: usize) -> Traffic {
        let shared = Arc::new(Shared::default());
        let mut running = Vec::new();
        for number in 0..clients {
            let connection = endpoint.connect().await;
            running.push(tokio::spawn(client::run(
                number,
                connection,
                Arc::clone(&shared),
            )));
        }
        Traffic {
            shared,
            clients: running,
        }
    }

    /// Acknowledged transactions so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.shared.operations.load(Ordering::Relaxed)
    }

    /// Waits until at least `more` further transactions were acknowledged.
    pub async fn progress(&self, more: u64) {
        let goal = self.operations() + more;
        crate::eventually("the clients get on", Duration::from_secs(20), async || {
            self.operations() >= goal || !self.errors().is_empty()
        })
        .await;
    }

    /// Lets every client finish what it is at and ends them.
    pub async fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            crate::within(30, "a client of the traffic ends", client)
                .await
                .unwrap();
        }
        let longest = Duration::from_micros(self.shared.longest_us.load(Ordering::Relaxed));
        let operations = self.shared.operations.load(Ordering::Relaxed);
        Report {
            operations,
            errors: self.shared.errors(),
            longest,
        }
    }

    fn errors(&self) -> Vec<String> {
        self.shared.errors()
    }
}

impl Shared {
    fn errors(&self) -> Vec<String> {
        self.errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn failed(&self, what: String) {
        self.errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what);
    }
}

impl Report {
    /// Asserts that the clients worked and saw no error.
    ///
    /// # Panics
    /// With the first errors.
    #[must_use]
    pub fn clean(self) -> Report {
        assert!(
            self.errors.is_empty(),
            "clients saw {} errors: {:#?}",
            self.errors.len(),
            &self.errors[..self.errors.len().min(5)]
        );
        assert!(self.operations > 0, "the clients did nothing");
        self
    }
}
