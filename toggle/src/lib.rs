//! The toggle: legal moves, guards, epochs and the drain barrier. No I/O.

pub use crossfade_phase::{Phase, Side};
