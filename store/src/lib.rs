//! What a store can do, and one adapter for each kind of store.

mod alone;
mod calendar;
mod control;
mod error;
mod exchange;
pub mod hex;
pub mod journal;
mod mapping;
pub mod mongo;
mod order;
mod own;
pub mod postgres;
mod relation;
mod resolve;
mod store;
mod words;

pub use alone::Given;
pub use calendar::date_of;
pub use control::{Control, Entry};
pub use error::StoreError;
pub use exchange::{Aside, Exchanged, LetGo};
pub use mapping::*;
pub use order::WriteOrder;
pub use own::*;
pub use relation::*;
pub use resolve::{MappingMistake, ResolveError, resolve};
pub use store::*;
