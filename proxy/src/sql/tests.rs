//! Statements and what is made of them.

mod documents;
mod facts;
mod random;
mod rewrite;
