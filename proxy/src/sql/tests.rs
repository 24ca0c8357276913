//! Statements and what is made of them.

mod facts;
mod random;
mod rewrite;
