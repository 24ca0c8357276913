//! The wire in phases 1 and 2: whatever a client sends, it gets the bytes that the old server itself would answer.

mod cancel;
mod copy;
mod drivers;
mod ends;
mod extended;
mod functions;
mod large;
mod login;
mod malformed;
mod notify;
mod pipeline;
mod same;
mod simple;
mod startup;
mod tls;
