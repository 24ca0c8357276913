//! The PostgreSQL adapter against a real server.

mod common;

#[path = "postgres/catalog.rs"]
mod catalog;
#[path = "postgres/details.rs"]
mod details;
#[path = "postgres/findings.rs"]
mod findings;
#[path = "postgres/mapping.rs"]
mod mapping;
#[path = "postgres/transactions.rs"]
mod transactions;
#[path = "postgres/values.rs"]
mod values;
