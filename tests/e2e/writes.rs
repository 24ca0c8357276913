//! Writes in phases 3 to 5: after each, both stores hold the same rows.

mod answers;
mod batches;
mod capture;
mod cascades;
mod copy;
mod groups;
mod images;
mod keys;
pub(crate) mod large;
mod mapping;
mod merge;
mod names;
mod prepared;
mod races;
pub(crate) mod random;
mod releases;
mod roles;
pub(crate) mod sequences;
mod transactions;
mod truncate;
mod types;
mod unseen;
mod with;
