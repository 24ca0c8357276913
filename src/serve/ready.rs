//! Whether clients can be served.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crossfade_journal::Health;

use crate::app::{App, lock};

/// For how long a store that answered is taken to be there.
const FRESH: Duration = Duration::from_secs(1);
/// Longest wait for its answer.
const PING: Duration = Duration::from_secs(2);

/// Remembers the last answer of the home store, so that probes cost it nothing.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<Instant>>);

impl Readiness {
    /// Why clients cannot be served now; `None` when they can.
    pub(crate) async fn obstacle(&self, app: &App) -> Option<String> {
        if app.shared.get().is_none() {
            return Some("the listeners are not up yet".to_owned());
        }
        if let Health::Unwritable(error) = app.journal.health() {
            return Some(error.to_string());
        }
        if lock(&self.0).is_some_and(|at| at.elapsed() < FRESH) {
            return None;
        }
        let home = app.home();
        let why = match tokio::time::timeout(PING, app.stores.on(home).ping()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("the {home} store does not answer: {error}")),
            Err(_) => Some(format!(
                "the {home} store does not answer within {} ms",
                PING.as_millis()
            )),
        };
        if why.is_none() {
            *lock(&self.0) = Some(Instant::now());
        }
        why
    }
}
