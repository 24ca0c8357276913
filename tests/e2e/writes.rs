//! Writes in phases 3 to 5: after each, both stores hold the same rows.

mod answers;
mod batches;
mod capture;
mod groups;
mod images;
mod keys;
mod mapping;
mod names;
mod prepared;
mod races;
mod transactions;
mod types;
mod with;
