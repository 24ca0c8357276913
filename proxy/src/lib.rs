//! Wire front ends, sessions, statement analysis, relay, dual writes, merged reads.
