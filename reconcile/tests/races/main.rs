//! Races of the reconciler against live writes, flips and crashes, on stores in memory. Each is named by its trap or by its order of
//! events.

// A harness may panic: that is how a test fails.
#![allow(clippy::unwrap_used)]

mod backfill;
mod crash;
mod fake;
mod flips;
mod pace;
mod repair;
mod verify;
mod world;
