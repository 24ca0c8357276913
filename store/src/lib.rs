//! What a store can do, and one adapter for each kind of store.

mod mapping;

pub use mapping::*;
