//! Segments come and go, and what lives in them stays.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{is_dirty, key, open_small, segments};
use crossfade_journal::{Journal, Options, Reason};
use crossfade_phase::Side;

fn churn(journal: &Journal, times: u32) {
    for n in 0..times {
        journal
            .intend(Side::New, &[key(100_000 + n % 50)])
            .wait()
            .unwrap()
            .done();
    }
}

fn bytes(dir: &std::path::Path) -> u64 {
    segments(dir)
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum()
}

#[test]
fn trap_03_an_intent_that_stays_open_for_long_is_carried_over() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    let first = segments(dir.path());
    let open = journal.intend(Side::New, &[key(1)]).wait().unwrap();
    churn(&journal, 2000);
    let now = segments(dir.path());
    assert!(
        first.iter().all(|segment| !now.contains(segment)),
        "the first segments are gone"
    );
    drop(journal);
    drop(open);
    assert!(is_dirty(&open_small(dir.path()), 1));
}

#[test]
fn dirty_keys_and_cleaned_keys_outlive_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    let keys: Vec<_> = (0..200).map(key).collect();
    for chunk in keys.chunks(20) {
        journal
            .mark_dirty(Side::New, chunk, Reason::BreakerOpen)
            .wait()
            .unwrap();
    }
    churn(&journal, 500);
    for dirty in journal.take_dirty("shop", 1000) {
        let n: u32 = String::from_utf8_lossy(&dirty.key.key[0]).parse().unwrap();
        if n.is_multiple_of(2) {
            assert!(journal.clean(&dirty.key, dirty.generation));
        }
    }
    churn(&journal, 1500);
    let live = 100 * 40;
    assert!(
        bytes(dir.path()) < 2 * live + 8 * 4096,
        "the log does not grow for ever"
    );
    drop(journal);
    let journal = open_small(dir.path());
    let wrong: Vec<_> = (0..200)
        .filter(|n| is_dirty(&journal, *n) == (n % 2 == 0))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_key_marked_again_and_again_does_not_fill_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    for _ in 0..3000 {
        journal
            .mark_dirty(Side::New, &[key(1)], Reason::BreakerOpen)
            .wait()
            .unwrap();
    }
    assert!(bytes(dir.path()) < 10 * 4096);
    assert_eq!(journal.dirty_count("shop"), 1);
}

#[test]
fn a_transaction_larger_than_a_segment_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    let keys: Vec<_> = (0..5000).map(key).collect();
    let intent = journal.intend(Side::New, &keys).wait().unwrap();
    churn(&journal, 600);
    drop(journal);
    drop(intent);
    assert_eq!(open_small(dir.path()).dirty_count("shop"), 5000);
}

#[test]
fn a_hundred_thousand_dirty_keys_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 256 << 10,
        max_keys: 200_000,
    };
    let journal = Journal::open_with(dir.path(), options).unwrap();
    let keys: Vec<_> = (0..100_000).map(key).collect();
    for chunk in keys.chunks(1000) {
        journal
            .mark_dirty(Side::New, chunk, Reason::BreakerOpen)
            .wait()
            .unwrap();
    }
    churn(&journal, 200);
    for _ in 0..2 {
        drop(Journal::open_with(dir.path(), options));
    }
    drop(journal);
    let journal = Journal::open_with(dir.path(), options).unwrap();
    assert_eq!(journal.dirty_count("shop"), 100_000);
    churn(&journal, 200);
}
