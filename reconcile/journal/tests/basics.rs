//! What a session, a repairer and a guard see.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{collections::HashSet, time::Duration};

use common::{TABLE, intended, is_dirty, key, key_in, open_small, open_with, primary};
use crossfade_journal::{Cause, Journal, JournalError, OpenError, Options, Reason};
use crossfade_phase::{DirtyKeys, Side};

#[test]
fn two_processes_never_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    let error = Journal::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(
        error
            .to_string()
            .contains(&format!("pid {}", std::process::id())),
        "{error}"
    );
    drop(journal);
    open_small(dir.path());
}

#[test]
fn trap_03_an_open_intent_is_dirty_after_a_restart_and_a_closed_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    let open = intended(&journal, Side::New, &[key(1), key(2)]);
    intended(&journal, Side::New, &[key(3)]).done();
    intended(&journal, Side::New, &[key(4)]).committed();
    assert_eq!(journal.open_intents("shop"), 1);
    assert_eq!(journal.backlog("shop").unconfirmed, 1);
    drop(journal);
    drop(open);

    let journal = open_small(dir.path());
    assert!(is_dirty(&journal, 1) && is_dirty(&journal, 2) && is_dirty(&journal, 4));
    assert!(!is_dirty(&journal, 3));
    let taken = journal.take_dirty("shop", 10);
    assert!(
        taken
            .iter()
            .all(|dirty| dirty.reason == Reason::ProxyStopped)
    );
    assert!(taken.iter().all(|dirty| dirty.stale.contains(Side::New)));
    assert!(journal.oldest_dirty("shop").is_some());
    let again = open_again(journal, &dir);
    assert_eq!(
        again.dirty_count("shop"),
        3,
        "dirty keys stay over a second restart"
    );
}

fn open_again(journal: Journal, dir: &tempfile::TempDir) -> Journal {
    drop(journal);
    open_small(dir.path())
}

#[test]
fn trap_16_an_intent_dropped_without_a_verdict_is_dirty() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    drop(intended(&journal, Side::Old, &[key(1)]));
    let taken = journal.take_dirty("shop", 10);
    assert_eq!(taken[0].reason, Reason::NoVerdict);
    assert!(taken[0].stale.contains(Side::Old) && !taken[0].stale.contains(Side::New));
}

#[test]
fn an_intend_that_is_dropped_before_it_resolves_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    drop(journal.intend(Side::New, &[key(1)]));
    assert!(journal.backlog("shop").is_drained());
    assert!(!is_dirty(&open_again(journal, &dir), 1));
}

#[test]
fn a_mark_during_a_repair_outlives_it() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    journal
        .mark_dirty(Side::New, &[key(1)], Reason::SecondaryFailed)
        .wait()
        .unwrap();
    let taken = journal.take_dirty("shop", 1).remove(0);
    journal
        .mark_dirty(Side::New, &[key(1)], Reason::BreakerOpen)
        .wait()
        .unwrap();
    assert!(
        !journal.clean(&taken.key, taken.generation),
        "the repair may have read too early"
    );
    let journal = open_again(journal, &dir);
    let taken = journal.take_dirty("shop", 1).remove(0);
    assert_eq!(taken.reason, Reason::BreakerOpen);
    assert!(journal.clean(&taken.key, taken.generation));
    assert!(
        !journal.clean(&taken.key, taken.generation),
        "it is clean already"
    );
    let journal = open_again(journal, &dir);
    assert!(journal.backlog("shop").is_drained() && journal.oldest_dirty("shop").is_none());
}

#[test]
fn keys_are_counted_by_the_stores_that_they_are_stale_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path());
    for (side, n) in [
        (Side::Old, 1),
        (Side::New, 2),
        (Side::New, 3),
        (Side::Old, 3),
    ] {
        let marked = journal.mark_dirty(side, &[key(n)], Reason::SecondaryFailed);
        marked.wait().unwrap();
    }
    for _start in 0..2 {
        let (old, new, both) = (1, 1, 1);
        assert_eq!(journal.stale_count("shop"), DirtyKeys { old, new, both });
        journal = open_again(journal, &dir);
    }
    let repairable = journal.take_repairable("shop", 9, Side::New);
    assert_eq!(repairable.len(), 1, "what is stale in the primary is not");
    assert!(journal.clean(&repairable[0].key, repairable[0].generation));
    let (old, new, both) = (0, 1, 1);
    assert_eq!(journal.stale_count("shop"), DirtyKeys { old, new, both });
    let all = journal.take_dirty("shop", 9);
    assert_eq!(all.len(), 2, "and was not kept from others");
}

#[test]
fn a_taken_key_is_not_given_out_twice_and_a_failed_one_waits() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    let keys: Vec<_> = (0..10).map(key).collect();
    journal
        .mark_dirty(Side::New, &keys, Reason::BreakerOpen)
        .wait()
        .unwrap();
    let first = journal.take_dirty("shop", 6);
    let second = journal.take_dirty("shop", 6);
    let all: HashSet<_> = first
        .iter()
        .chain(&second)
        .map(|dirty| dirty.key.clone())
        .collect();
    assert_eq!((first.len(), second.len(), all.len()), (6, 4, 10));
    assert!(journal.take_dirty("shop", 6).is_empty());

    let refused = "23514: new row violates check";
    journal.failed(&first[0].key, refused, Cause::Key);
    assert!(journal.take_dirty("shop", 6).is_empty(), "it waits first");
    std::thread::sleep(Duration::from_millis(250));
    let again = journal.take_dirty("shop", 6);
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].attempts, &again[0].key), (1, &first[0].key));
    let failing = journal.failing("shop", 10);
    assert_eq!(failing[0].1, "23514: new row violates check");
    // Trap 11: a later write does not hide that the key fails.
    journal
        .mark_dirty(Side::New, &[first[0].key.clone()], Reason::BreakerOpen)
        .wait()
        .unwrap();
    assert_eq!(journal.failing("shop", 10).len(), 1);
    let now = journal.dirty_keys(TABLE, None, 100);
    let dirty = now.iter().find(|dirty| dirty.key == first[0].key).unwrap();
    assert!(journal.clean(&dirty.key, dirty.generation));
    assert!(journal.failing("shop", 10).is_empty() && journal.failing_count("shop") == 0);
}

#[test]
fn no_table_starves_another() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    let many: Vec<_> = (0..500).map(key).collect();
    journal
        .mark_dirty(Side::New, &many, Reason::BreakerOpen)
        .wait()
        .unwrap();
    let one = [key_in("public.items", 1)];
    journal
        .mark_dirty(Side::New, &one, Reason::BreakerOpen)
        .wait()
        .unwrap();
    let taken = journal.take_dirty("shop", 10);
    assert_eq!(taken.len(), 10);
    assert!(
        taken
            .iter()
            .any(|dirty| &*dirty.key.table == "public.items")
    );
    let by_table = journal.dirty_by_table();
    assert_eq!(by_table.iter().map(|table| table.keys).sum::<usize>(), 501);
    for table in &by_table {
        let age = table
            .oldest
            .map(|since| since.elapsed().unwrap_or_default());
        assert!(age.is_none_or(|age| age.as_secs() < 60), "{table:?}");
        assert_eq!(age.is_some(), table.keys > 0, "{table:?}");
    }
}

#[test]
fn a_horizon_confirms_what_was_committed_before_it_in_its_store_only() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    let intend = |side, n| intended(&journal, side, &[key(n)]);
    intend(Side::New, 1).committed();
    intend(Side::Old, 2).committed();
    let horizon = journal.confirm_horizon(Side::New);
    intend(Side::New, 3).committed();
    assert_eq!(journal.confirm(horizon), 1);
    assert_eq!(journal.backlog("shop").unconfirmed, 2);
    journal
        .unconfirmed_to_dirty(Side::New, Reason::SecondaryCrashed)
        .wait()
        .unwrap();
    assert!(!is_dirty(&journal, 1) && !is_dirty(&journal, 2) && is_dirty(&journal, 3));
    journal
        .unconfirmed_to_dirty(Side::New, Reason::SecondaryCrashed)
        .wait()
        .unwrap();
    let journal = open_again(journal, &dir);
    assert!(!is_dirty(&journal, 1) && is_dirty(&journal, 2) && is_dirty(&journal, 3));
}

#[test]
fn a_full_journal_says_so_and_admitted_intents_still_become_dirty() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 4 << 10,
        max_keys: 3,
    };
    let journal = open_with(dir.path(), options);
    let two = intended(&journal, Side::New, &[key(1), key(2)]);
    journal
        .mark_dirty(Side::New, &[key(3)], Reason::BreakerOpen)
        .wait()
        .unwrap();
    let full = JournalError::Full { keys: 3, limit: 3 };
    assert_eq!(
        journal.intend(Side::New, &[key(4)]).wait().unwrap_err(),
        full
    );
    let marked = journal
        .mark_dirty(Side::New, &[key(4)], Reason::BreakerOpen)
        .wait();
    assert_eq!(marked.unwrap_err(), full);
    two.dirty(Reason::SecondaryFailed).wait().unwrap();
    assert_eq!(journal.dirty_count("shop"), 3);
    let dirty = journal.take_dirty("shop", 1).remove(0);
    assert!(journal.clean(&dirty.key, dirty.generation));
    intended(&journal, Side::New, &[key(4)]).done();
}

#[test]
fn a_renamed_toggle_keeps_the_dirty_keys_of_its_tables() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    journal
        .mark_dirty(Side::New, &[key(1)], Reason::BreakerOpen)
        .wait()
        .unwrap();
    let journal = open_again(journal, &dir);
    journal.assign(TABLE, "store");
    assert_eq!(
        (journal.dirty_count("shop"), journal.dirty_count("store")),
        (0, 1)
    );
    assert_eq!(open_again(journal, &dir).dirty_count("store"), 1);
}

#[test]
fn verdicts_reach_the_disk_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    intended(&journal, Side::New, &[key(1)]).done();
    std::thread::sleep(Duration::from_millis(400));
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    assert!(open_small(copy.path()).backlog("shop").is_drained());
}

#[test]
fn many_runtimes_wait_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let journal = journal.clone();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                let local = tokio::task::LocalSet::new();
                for task in 0..8 {
                    let journal = journal.clone();
                    local.spawn_local(async move {
                        for n in 0..25 {
                            let n = thread * 10_000 + task * 1000 + n;
                            let intent = primary::committed(
                                journal.intend(Side::New, &[key(n)]).await.unwrap(),
                            );
                            match n % 3 {
                                0 => intent.done(),
                                1 => intent.dirty(Reason::SecondaryFailed).await.unwrap(),
                                _ => intent.committed(),
                            }
                        }
                    });
                }
                runtime.block_on(local);
            });
        }
    });
    let before = journal.backlog("shop");
    assert_eq!(
        (before.open, before.dirty + before.unconfirmed > 400),
        (0, true)
    );
    let journal = open_again(journal, &dir);
    assert_eq!(
        journal.dirty_count("shop"),
        before.dirty + before.unconfirmed
    );
}

#[test]
fn a_closed_journal_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    let intent = intended(&journal, Side::New, &[key(1)]);
    drop(journal);
    assert_eq!(
        intent.dirty(Reason::SecondaryFailed).wait(),
        Err(JournalError::Closed)
    );
}

/// The same, where the journal is kept in a primary. There a table's toggle is told before the rows are read: nothing but the file knows of a new name.
mod in_primary {
    use super::primary::in_primary;

    macro_rules! again {
        ($($test:ident,)+) => {$(
            #[test]
            fn $test() {
                in_primary(super::$test);
            }
        )+};
    }

    again! {
        trap_03_an_open_intent_is_dirty_after_a_restart_and_a_closed_one_is_not,
        trap_16_an_intent_dropped_without_a_verdict_is_dirty,
        an_intend_that_is_dropped_before_it_resolves_is_taken_back,
        a_mark_during_a_repair_outlives_it,
        a_taken_key_is_not_given_out_twice_and_a_failed_one_waits,
        no_table_starves_another,
        a_horizon_confirms_what_was_committed_before_it_in_its_store_only,
        a_full_journal_says_so_and_admitted_intents_still_become_dirty,
        many_runtimes_wait_at_once,
        a_closed_journal_says_so,
    }
}
