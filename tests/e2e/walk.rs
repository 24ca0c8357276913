//! The walk through the phases, forward and back.

mod back;
mod barrier;
mod flips;
mod guards;
mod restart;
mod stragglers;
mod whole;
