//! The walk through the phases, forward and back.

pub(crate) mod back;
pub(crate) mod barrier;
mod flips;
pub(crate) mod forced;
mod guards;
mod handover;
mod restart;
mod settings;
mod stragglers;
pub(crate) mod whole;
