//! What a store can do, and one adapter for each kind of store.

mod error;
mod mapping;
mod store;

pub use error::StoreError;
pub use mapping::*;
pub use store::*;
