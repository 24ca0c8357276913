//! End-to-end tests: the real binary between real clients and real servers.
//!
//! One program for all of them, because linking is the longest part of a build; nextest runs each test in a process of
//! its own. A test that concerns a trap of `docs/traps.md` carries its number.

// Tests fail by panicking, and say what they expected.
#![allow(clippy::unwrap_used)]

mod wire;
