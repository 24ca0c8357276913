//! Shared by the journal's tests.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod primary;

use crossfade_journal::{Intent, Journal, JournalKey, Options};
use crossfade_phase::Side;

pub(crate) const TABLE: &str = "public.orders";

pub(crate) fn key_in(table: &str, n: u32) -> JournalKey {
    let key = vec![n.to_string().into_bytes()];
    JournalKey {
        toggle: "shop".into(),
        table: table.into(),
        key,
    }
}

pub(crate) fn key(n: u32) -> JournalKey {
    key_in(TABLE, n)
}

pub(crate) fn open_small(dir: &std::path::Path) -> Journal {
    open_with(
        dir,
        Options {
            segment_bytes: 4 << 10,
            max_keys: 100_000,
        },
    )
}

/// In the form that the test is about.
pub(crate) fn open_with(dir: &std::path::Path, options: Options) -> Journal {
    if primary::is_in_primary() {
        primary::open(dir, primary::stores_of(dir), Side::Old, options)
    } else {
        Journal::open_with(dir, options).unwrap()
    }
}

/// A durable intent: kept in a primary, with that transaction committed.
pub(crate) fn intended(journal: &Journal, target: Side, keys: &[JournalKey]) -> Intent {
    primary::committed(journal.intend(target, keys).wait().unwrap())
}

pub(crate) fn is_dirty(journal: &Journal, n: u32) -> bool {
    journal.is_dirty(TABLE, &key(n).key)
}

/// The segment files, oldest first.
pub(crate) fn segments(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_segment = |path: &std::path::PathBuf| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("segment-")
    };
    let mut paths: Vec<_> = entries.filter(is_segment).collect();
    paths.sort();
    paths
}
