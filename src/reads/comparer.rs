//! Compares lookups of phase 4 behind the client's back.

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use crossfade_phase::Side;
use crossfade_proxy::{Lookup, metrics::Metrics, shared::Comparer};
use crossfade_reconcile::Comparison;
use crossfade_store::Mapping;
use tokio::sync::{Mutex, mpsc};

use crate::app::App;

/// Lookups that may wait; beyond that they are dropped and counted, so that a slow new store costs clients nothing.
const QUEUE: usize = 1024;
/// Lookups compared at once. Each holds a connection of the reconciler's pools for a moment.
const WORKERS: usize = 4;

/// The sessions' end: takes lookups and never blocks.
#[derive(Debug)]
pub(crate) struct Lookups {
    queue: mpsc::Sender<Lookup>,
    metrics: Metrics,
    mapping: Arc<ArcSwap<Mapping>>,
}

/// The other end.
pub(crate) struct Queue {
    lookups: Mutex<mpsc::Receiver<Lookup>>,
    mapping: Arc<ArcSwap<Mapping>>,
}

impl Lookups {
    /// Both ends.
    pub(crate) fn new(app: &App) -> (Lookups, Queue) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mapping = Arc::new(ArcSwap::new(app.mapping()));
        let lookups = Lookups {
            queue: sender,
            metrics: app.metrics.clone(),
            mapping: mapping.clone(),
        };
        (
            lookups,
            Queue {
                lookups: Mutex::new(receiver),
                mapping,
            },
        )
    }
}

impl Comparer for Lookups {
    fn compare(&self, lookup: Lookup) {
        if let Err(error) = self.queue.try_send(lookup) {
            let (mpsc::error::TrySendError::Full(lookup)
            | mpsc::error::TrySendError::Closed(lookup)) = error;
            let mapping = self.mapping.load();
            let toggle = mapping
                .tables
                .get(lookup.table.0)
                .map_or("", |table| table.toggle.as_str());
            self.metrics
                .reads_not_compared
                .with_label_values(&[toggle, "overloaded"])
                .inc();
        }
    }
}

impl Queue {
    /// Compares lookups for as long as it is polled.
    pub(crate) async fn run(self, app: Arc<App>) {
        let workers = (0..WORKERS).map(|_| self.work(&app));
        futures::future::join_all(workers).await;
    }

    async fn work(&self, app: &Arc<App>) {
        loop {
            let Some(lookup) = self.lookups.lock().await.recv().await else {
                return;
            };
            self.mapping.store(app.mapping());
            compare(app, lookup).await;
        }
    }
}

async fn compare(app: &App, lookup: Lookup) {
    let engine = app.engine.load_full();
    let Some(table) = engine.mapping().tables.get(lookup.table.0) else {
        return;
    };
    let (toggle, name) = (table.toggle.as_str(), table.old.name.to_string());
    let began = Instant::now();
    let outcome = engine.compare_key(lookup.table, &lookup.key, false).await;
    let latency = app
        .metrics
        .store_latency
        .with_label_values(&[Side::New.to_string().as_str(), "compare"]);
    latency.observe(began.elapsed().as_secs_f64());
    match outcome {
        Ok(Comparison::Equal | Comparison::Known) => app
            .metrics
            .reads_compared
            .with_label_values(&[toggle, &name])
            .inc(),
        Ok(Comparison::Differs(difference)) => {
            mismatch(app, toggle, &name);
            // The key and the columns, never the values: they are the application's data.
            tracing::warn!(toggle, table = %name, key = %difference.shown, %difference, "a read of both stores differs; the key goes to repair");
        }
        Ok(Comparison::LeftAlone(difference)) => {
            mismatch(app, toggle, &name);
            tracing::warn!(toggle, table = %name, key = %difference.shown, %difference, "a read of both stores differs; it is not repaired, as the new store's row may be the newer one: another proxy has keys in its journal that the old store is stale for (`crossfade status` there)");
        }
        Err(error) => {
            app.metrics
                .reads_not_compared
                .with_label_values(&[toggle, "failed"])
                .inc();
            tracing::debug!(toggle, table = %name, %error, "a read could not be compared");
        }
    }
}

fn mismatch(app: &App, toggle: &str, table: &str) {
    let metrics = &app.metrics;
    for counter in [&metrics.reads_compared, &metrics.read_mismatches] {
        counter.with_label_values(&[toggle, table]).inc();
    }
    if let Some(toggle) = app.toggles.get(toggle) {
        app.facts(toggle).mismatch();
    }
}
