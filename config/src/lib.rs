//! The configuration file: as typed, then as meant.
//!
//! This crate knows no store and no toggle logic; it turns one TOML file into a checked [`Config`] or into
//! the full list of what is wrong with it.

mod model;

pub use model::*;
