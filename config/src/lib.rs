//! The configuration file: as typed, then as meant.
//!
//! This crate knows no store and no toggle logic; it turns one TOML file into a checked [`Config`] or into
//! the full list of what is wrong with it ([`Mistakes`]), watches that file for changes ([`Watcher`]), and
//! edits the phase in it without touching anything else ([`edit`]). `reference.toml` at the root of the
//! repository sets every key and is the documentation of all of them.

mod checks;
pub mod defaults;
pub mod edit;
mod env;
mod keys;
mod live;
mod load;
mod mistake;
mod model;
mod names;
mod parse;
mod reader;
mod suggest;
mod units;
mod url;
pub mod users;
mod watch;

pub use live::{mapping_changes, needs_restart};
pub use load::{Env, Loaded, admin_address, parse};
pub use mistake::{Mistake, Mistakes, Position};
pub use model::*;
pub use names::BadName;
pub use url::BadUrl;
pub use watch::{Change, Watcher};
