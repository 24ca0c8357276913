//! What an operator types and reads.

mod admin;
mod commands;
mod file;
mod reconcile;
mod users;
