//! Structured logs: text where a person reads along, JSON lines otherwise.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::{EnvFilter, fmt};

/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT: &str = "info";

/// Sends logs to standard error from now on. `RUST_LOG` filters them, as in `RUST_LOG=crossfade=debug,info`.
pub(crate) fn start() {
    let asked = std::env::var(EnvFilter::DEFAULT_ENV)
        .ok()
        .filter(|text| !text.trim().is_empty());
    let (filter, mistake) = match asked.as_deref().map(EnvFilter::try_new) {
        None => (EnvFilter::new(DEFAULT), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(DEFAULT), Some(error)),
    };
    let builder = fmt().with_env_filter(filter).with_writer(stderr);
    if stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).with_target(true).init();
    }
    if let Some(error) = mistake {
        tracing::warn!(%error, "RUST_LOG is not understood; logging at level {DEFAULT}");
    }
}
