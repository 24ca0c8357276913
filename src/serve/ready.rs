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
        if let Some(why) = out_of_touch(app) {
            return Some(why);
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

/// A proxy that refuses the writes of a toggle should get no clients while others take them.
fn out_of_touch(app: &App) -> Option<String> {
    let writes_both = |toggle: &&std::sync::Arc<crossfade_toggle::Toggle>| {
        toggle.gate().current().phase.secondary().is_some()
    };
    let mut toggles = app.toggles.values().filter(writes_both);
    let out = toggles.find(|toggle| !toggle.lease().holds())?;
    let why = app
        .seat(out)
        .and_then(|seat| seat.lost())
        .unwrap_or_default();
    Some(format!(
        "toggle \"{}\": out of touch with the other proxies: {why}",
        out.name()
    ))
}
