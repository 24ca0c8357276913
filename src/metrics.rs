//! What the composition root counts, in the registry of the proxy's metrics.

use crossfade_journal::Health;
use crossfade_phase::Side;
use crossfade_proxy::metrics::Metrics;
use prometheus::{
    Encoder as _, IntCounterVec, IntGauge, IntGaugeVec, Opts, TextEncoder, core::Collector,
};

use crate::app::App;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct OwnMetrics {
    /// Moves of a toggle that were made, by the phases left and entered.
    pub(crate) flips: IntCounterVec,
    /// Moves that were refused or called off.
    pub(crate) refused_flips: IntCounterVec,
    /// Row changes that somebody made around the proxy, by toggle, table and store.
    pub(crate) bypassing_writes: IntCounterVec,
    wanted_phase: IntGaugeVec,
    open_intents: IntGaugeVec,
    failing_keys: IntGaugeVec,
    oldest_dirty: IntGaugeVec,
    journal_writable: IntGauge,
    breaker_open: IntGaugeVec,
    in_touch: IntGaugeVec,
}

impl OwnMetrics {
    /// Registers them beside the proxy's.
    ///
    /// # Errors
    /// Never in practice: when a name is malformed or used twice.
    pub(crate) fn new(metrics: &Metrics) -> Result<OwnMetrics, prometheus::Error> {
        fn register<C: Collector + Clone + 'static>(
            metrics: &Metrics,
            collector: C,
        ) -> Result<C, prometheus::Error> {
            metrics.registry.register(Box::new(collector.clone()))?;
            Ok(collector)
        }
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register(metrics, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(metrics, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        Ok(OwnMetrics {
            flips: counters(
                "crossfade_flips_total",
                "Moves of a toggle",
                &["toggle", "from", "to"],
            )?,
            refused_flips: counters(
                "crossfade_flips_refused_total",
                "Moves of a toggle that were refused or called off",
                &["toggle"],
            )?,
            bypassing_writes: counters(
                "crossfade_bypassing_writes_total",
                "Row changes that somebody made around the proxy",
                &["toggle", "table", "store"],
            )?,
            wanted_phase: gauges(
                "crossfade_wanted_phase",
                "Phase that the file asks for, 1 to 8",
                &["toggle"],
            )?,
            open_intents: gauges(
                "crossfade_open_intents",
                "Transactions between their intent and the confirmed commit of the secondary",
                &["toggle"],
            )?,
            failing_keys: gauges(
                "crossfade_failing_keys",
                "Dirty keys that a repair has tried in vain",
                &["toggle"],
            )?,
            oldest_dirty: gauges(
                "crossfade_oldest_dirty_key_seconds",
                "For how long the oldest dirty key of a table has been dirty; 0 where none is",
                &["toggle", "table"],
            )?,
            journal_writable: register(
                metrics,
                IntGauge::new(
                    "crossfade_journal_writable",
                    "1 while the journal takes writes",
                )?,
            )?,
            breaker_open: gauges(
                "crossfade_breaker_open",
                "1 while the circuit breaker of the secondary is open",
                &["store"],
            )?,
            in_touch: gauges(
                "crossfade_in_touch",
                "1 while this proxy is in touch with the others that share the toggle",
                &["toggle"],
            )?,
        })
    }
}

/// Everything in Prometheus' text form.
pub(crate) fn render(app: &App) -> Result<Vec<u8>, prometheus::Error> {
    collect(app);
    let mut text = Vec::new();
    TextEncoder::new().encode(&app.metrics.registry.gather(), &mut text)?;
    Ok(text)
}

/// Gauges that are cheaper to read now than to keep.
fn collect(app: &App) {
    let own = &app.own_metrics;
    for (name, toggle) in &app.toggles {
        let backlog = app.journal.backlog(name);
        app.metrics
            .phase
            .with_label_values(&[name])
            .set(toggle.gate().effective_phase().number().into());
        own.wanted_phase
            .with_label_values(&[name])
            .set(toggle.wanted().number().into());
        if app.control.is_some() {
            own.in_touch
                .with_label_values(&[name])
                .set(toggle.lease().holds().into());
        }
        own.open_intents
            .with_label_values(&[name])
            .set(gauge(backlog.open + backlog.unconfirmed));
        own.failing_keys
            .with_label_values(&[name])
            .set(gauge(app.journal.failing_count(name)));
    }
    for dirty in app.journal.dirty_by_table() {
        let labels = [&*dirty.toggle, &*dirty.table];
        app.metrics
            .dirty_keys
            .with_label_values(&labels)
            .set(gauge(dirty.keys));
        let age = dirty.oldest.and_then(|since| since.elapsed().ok());
        let age_s = age.map_or(0, |age| age.as_secs());
        own.oldest_dirty
            .with_label_values(&labels)
            .set(i64::try_from(age_s).unwrap_or(i64::MAX));
    }
    own.journal_writable
        .set((app.journal.health() == Health::Writable).into());
    if let Some(shared) = app.shared.get() {
        app.metrics.clients.set(gauge(shared.clients()));
        for side in [Side::Old, Side::New] {
            own.breaker_open
                .with_label_values(&[side.to_string().as_str()])
                .set(shared.secondaries.on(side).is_open().into());
        }
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
