//! Statements and what is made of them.

mod documents;
mod facts;
mod former_keys;
mod random;
mod rewrite;
