//! Very many dirty keys: a secondary that was down for a day.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Instant;

use common::{TABLE, key};
use crossfade_journal::{Journal, Options, Reason};
use crossfade_phase::Side;

/// Keys, unless `CROSSFADE_DIRTY_KEYS` says another number; ten million are what a journal holds at the most by default.
const KEYS: u32 = 200_000;
/// Keys of one transaction.
const BATCH: u32 = 1000;
/// Memory of a key, at the most.
const BYTES_PER_KEY: u64 = 160;
/// Memory of a journal without a key, at the most: its buffers, and what the allocator keeps.
const BYTES: u64 = 48 << 20;
/// Keys of one repair.
const TAKEN: usize = 500;

/// The memory of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

fn check(what: &str, before: u64, keys: u32, began: Instant) {
    let grown = resident().saturating_sub(before);
    println!(
        "{what}: {keys} keys in {:?}, {} MiB, {} bytes a key",
        began.elapsed(),
        grown >> 20,
        grown / u64::from(keys)
    );
    let most = BYTES + u64::from(keys) * BYTES_PER_KEY;
    assert!(
        grown < most,
        "{what} takes {grown} bytes of memory, {most} are allowed"
    );
}

#[test]
fn very_many_dirty_keys_are_marked_opened_again_and_drained_in_bounded_memory() {
    let keys: u32 =
        std::env::var("CROSSFADE_DIRTY_KEYS").map_or(KEYS, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        max_keys: keys as usize + 1,
        ..Options::default()
    };
    let before = resident();
    let began = Instant::now();
    let journal = Journal::open_with(dir.path(), options).unwrap();
    for first in (0..keys).step_by(BATCH as usize) {
        let batch: Vec<_> = (first..keys.min(first + BATCH)).map(key).collect();
        journal
            .mark_dirty(Side::New, &batch, Reason::BreakerOpen)
            .wait()
            .unwrap();
    }
    assert_eq!(journal.dirty_count("shop"), keys as usize);
    check("marked", before, keys, began);
    drop(journal);

    let began = Instant::now();
    let journal = Journal::open_with(dir.path(), options).unwrap();
    assert_eq!(journal.dirty_count("shop"), keys as usize);
    assert!(journal.is_dirty(TABLE, &key(keys - 1).key));
    assert!(journal.oldest_dirty("shop").is_some());
    check("opened again", before, keys, began);

    let began = Instant::now();
    loop {
        let taken = journal.take_dirty("shop", TAKEN);
        if taken.is_empty() {
            break;
        }
        for dirty in &taken {
            assert!(journal.clean(&dirty.key, dirty.generation));
        }
    }
    assert_eq!(journal.dirty_count("shop"), 0);
    check("drained", before, keys, began);
    drop(journal);
    let journal = Journal::open_with(dir.path(), options).unwrap();
    assert_eq!(journal.dirty_count("shop"), 0, "what was drained came back");
}
