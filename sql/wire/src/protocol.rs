//! Messages of PostgreSQL's protocol, version 3.

pub(crate) mod backend;
pub(crate) mod frontend;
pub(crate) mod startup;
