//! Three targets: what comes from the network, what comes from a client's code, what comes from an operator's hand.

// Tests fail by panicking, and say what they expected.
#![allow(clippy::unwrap_used)]

mod config;
mod frames;
mod statements;

/// The mapping that the analyser's own tests use.
#[path = "../../../proxy/src/sql/testing.rs"]
#[allow(dead_code, unreachable_pub, reason = "each user needs a part of it")]
mod testing;

/// Where failing inputs go.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");
