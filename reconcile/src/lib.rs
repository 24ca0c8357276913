//! Backfill, verify, repair.
