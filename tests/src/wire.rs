//! PostgreSQL's protocol by hand: every frame sent is the test's own, every frame received is seen as it came.

mod client;
mod frame;
mod login;
pub mod messages;
mod tls;

pub use client::{Reader, Wire, Writer};
pub use frame::{Frame, transcript};
