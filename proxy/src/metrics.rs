//! What the proxy counts. Names begin with `crossfade_`; they are part of the operator's face and stay as they are.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Upper bounds of latency buckets, in seconds: a fast local trip to a slow timeout.
const LATENCY_BUCKETS: &[f64] = &[
    0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// All metrics of a process.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// For the admin port.
    pub registry: Registry,
    /// Effective phase by toggle, 1 to 8.
    pub phase: IntGaugeVec,
    /// Dirty keys by toggle and table.
    pub dirty_keys: IntGaugeVec,
    /// Secondary writes that went into the journal instead, by toggle and table.
    pub secondary_failures: IntCounterVec,
    /// Transactions that wrote the secondary, by toggle and table.
    pub secondary_writes: IntCounterVec,
    /// Reads of phase 4 that were compared, by toggle and table.
    pub reads_compared: IntCounterVec,
    /// Reads of phase 4 that could not be compared, by reason.
    pub reads_not_compared: IntCounterVec,
    /// Differences found by comparing reads, by toggle and table.
    pub read_mismatches: IntCounterVec,
    /// Latency of calls on a store, by store and operation, in seconds.
    pub store_latency: HistogramVec,
    /// Time clients waited at a barrier, by toggle, in seconds.
    pub barrier_wait: HistogramVec,
    /// Rows copied by backfills, by toggle and table.
    pub backfill_rows: IntCounterVec,
    /// Differences found by the last verify, by toggle and table.
    pub verify_differences: IntGaugeVec,
    /// Reloads of the configuration by result.
    pub config_reloads: IntCounterVec,
    /// Statements refused, by SQLSTATE.
    pub refused: IntCounterVec,
    /// Clients connected.
    pub clients: IntGauge,
    /// Sessions moved to another home store by a flip.
    pub handovers: IntCounter,
}

impl Metrics {
    /// Registers every metric.
    ///
    /// # Errors
    /// Never in practice: when a name is malformed or used twice.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let by_table: &[&str] = &["toggle", "table"];
        let counters =
            |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
                let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
                registry.register(Box::new(metric.clone()))?;
                Ok(metric)
            };
        let gauges =
            |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
                let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
                registry.register(Box::new(metric.clone()))?;
                Ok(metric)
            };
        let latency = HistogramOpts::new(
            "crossfade_store_latency_seconds",
            "Latency of calls on a store",
        )
        .buckets(LATENCY_BUCKETS.to_vec());
        let store_latency = HistogramVec::new(latency, &["store", "op"])?;
        registry.register(Box::new(store_latency.clone()))?;
        let wait = HistogramOpts::new(
            "crossfade_barrier_wait_seconds",
            "Time clients waited at a barrier",
        )
        .buckets(LATENCY_BUCKETS.to_vec());
        let barrier_wait = HistogramVec::new(wait, &["toggle"])?;
        registry.register(Box::new(barrier_wait.clone()))?;
        let clients = IntGauge::new("crossfade_clients", "Clients connected")?;
        registry.register(Box::new(clients.clone()))?;
        let handovers = IntCounter::new(
            "crossfade_session_handovers_total",
            "Sessions moved to another home store by a flip",
        )?;
        registry.register(Box::new(handovers.clone()))?;
        Ok(Metrics {
            phase: gauges("crossfade_phase", "Effective phase, 1 to 8", &["toggle"])?,
            dirty_keys: gauges(
                "crossfade_dirty_keys",
                "Keys whose row in the secondary is known or suspected to differ",
                by_table,
            )?,
            secondary_failures: counters(
                "crossfade_secondary_write_failures_total",
                "Secondary writes that went into the journal instead",
                by_table,
            )?,
            secondary_writes: counters(
                "crossfade_secondary_writes_total",
                "Transactions that wrote the secondary",
                by_table,
            )?,
            reads_compared: counters(
                "crossfade_reads_compared_total",
                "Reads of phase 4 that were compared",
                by_table,
            )?,
            reads_not_compared: counters(
                "crossfade_reads_not_compared_total",
                "Reads of phase 4 that were not compared",
                &["toggle", "reason"],
            )?,
            read_mismatches: counters(
                "crossfade_read_mismatches_total",
                "Differences found by comparing reads",
                by_table,
            )?,
            backfill_rows: counters(
                "crossfade_backfill_rows_total",
                "Rows copied by backfills",
                by_table,
            )?,
            verify_differences: gauges(
                "crossfade_verify_differences",
                "Differences found by the last verify",
                by_table,
            )?,
            config_reloads: counters(
                "crossfade_config_reloads_total",
                "Reloads of the configuration",
                &["result"],
            )?,
            refused: counters(
                "crossfade_refused_statements_total",
                "Statements refused, each before anything of it ran",
                &["sqlstate"],
            )?,
            store_latency,
            barrier_wait,
            clients,
            handovers,
            registry,
        })
    }
}
