//! Shared by the journal's tests.
#![allow(dead_code, reason = "each test binary uses a part")]

use crossfade_journal::{Journal, JournalKey, Options};

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
    Journal::open_with(
        dir,
        Options {
            segment_bytes: 4 << 10,
            max_keys: 100_000,
        },
    )
    .unwrap()
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
