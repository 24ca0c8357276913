//! End-to-end tests: the real binary between real clients and real servers.
//!
//! One program for all of them, because linking is the longest part of a build; nextest runs each test in a process of
//! its own. A test that concerns a known trap of this pattern carries the trap's number in its name.

// Tests fail by panicking, and say what they expected.
#![allow(clippy::unwrap_used)]

#[macro_use]
mod shop;

mod demo;
mod failures;
mod mongo;
mod operator;
#[allow(dead_code, reason = "shared with the engine's own tests")]
#[path = "../../sql/documents/tests/documents/peer.rs"]
mod peer;
mod primary;
mod reads;
#[allow(dead_code, reason = "shared with the engine's own tests")]
#[path = "../../sql/documents/tests/documents/script.rs"]
mod script;
mod several;
mod walk;
mod wire;
mod writes;
