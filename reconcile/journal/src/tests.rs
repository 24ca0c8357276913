//! Tests that need the inside: a disk that fails.

use std::{collections::BTreeSet, ffi::OsString, thread};

use crossfade_phase::Side;

use crate::{
    Health, Journal, JournalError, JournalKey, Options, Reason,
    disk::{Fault, SLOW},
};

fn key(n: u32) -> JournalKey {
    JournalKey {
        toggle: "shop".into(),
        table: "public.orders".into(),
        key: vec![n.to_string().into_bytes()],
    }
}

fn open(dir: &tempfile::TempDir) -> Journal {
    Journal::open_with(
        dir.path(),
        Options {
            segment_bytes: 8 << 10,
            max_keys: 1000,
        },
    )
    .unwrap()
}

fn is_dirty(journal: &Journal, n: u32) -> bool {
    journal.is_dirty("public.orders", &key(n).key)
}

fn fails_and_recovers(fault: Fault) {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    let open_before = journal.intend(Side::New, &[key(1)]).wait().unwrap();
    let done_while_sick = journal.intend(Side::New, &[key(2)]).wait().unwrap();
    let dirty_while_sick = journal.intend(Side::New, &[key(3)]).wait().unwrap();
    journal
        .mark_dirty(Side::New, &[key(4)], Reason::BreakerOpen)
        .wait()
        .unwrap();
    journal.inject(fault);

    let refused = journal.intend(Side::New, &[key(5)]).wait().unwrap_err();
    assert!(
        matches!(refused, JournalError::Unwritable { .. }),
        "{refused}"
    );
    assert!(matches!(journal.health(), Health::Unwritable(_)));
    done_while_sick.done();
    assert!(
        dirty_while_sick
            .dirty(Reason::SecondaryFailed)
            .wait()
            .is_err()
    );
    assert!(is_dirty(&journal, 3), "in memory the key is dirty at once");
    assert!(journal.try_recover().is_err(), "the disk is still sick");

    journal.inject(Fault::None);
    journal.try_recover().unwrap();
    assert_eq!(journal.health(), Health::Writable);
    let after = journal.intend(Side::New, &[key(6)]).wait().unwrap();
    assert_eq!(journal.open_intents("shop"), 2);
    drop(journal);
    drop((open_before, after));

    let journal = open(&dir);
    let dirty: Vec<_> = (1..8).filter(|n| is_dirty(&journal, *n)).collect();
    assert_eq!(dirty, [1, 3, 4, 6]);
}

#[test]
fn a_full_disk_refuses_intents_and_a_recovery_keeps_everything_alive() {
    fails_and_recovers(Fault::Write);
}

#[test]
fn after_a_failed_flush_everything_is_written_to_a_new_file() {
    fails_and_recovers(Fault::Sync);
}

#[test]
fn trap_03_what_changed_while_the_disk_was_sick_is_there_after_recovery_and_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    let first = journal.intend(Side::New, &[key(1)]).wait().unwrap();
    let second = journal.intend(Side::New, &[key(2)]).wait().unwrap();
    let third = journal.intend(Side::New, &[key(3)]).wait().unwrap();
    journal.inject(Fault::Sync);
    assert!(journal.intend(Side::New, &[key(9)]).wait().is_err());
    first.done();
    drop(second);
    journal.inject(Fault::None);
    journal.try_recover().unwrap();
    drop(journal);
    third.done(); // too late: the journal is closed

    let journal = open(&dir);
    assert!(!is_dirty(&journal, 1) && is_dirty(&journal, 2) && is_dirty(&journal, 3));
    assert!(
        !is_dirty(&journal, 9),
        "nobody was told that this one may commit"
    );
}

#[test]
fn a_sick_disk_without_recovery_loses_nothing_that_was_durable() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    let intent = journal.intend(Side::New, &[key(1)]).wait().unwrap();
    journal.inject(Fault::Write);
    assert!(intent.dirty(Reason::SecondaryFailed).wait().is_err());
    drop(journal);
    assert!(is_dirty(&open(&dir), 1));
}

#[test]
fn a_full_disk_on_start_opens_unwritable_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    journal
        .mark_dirty(Side::New, &[key(1)], Reason::BreakerOpen)
        .wait()
        .unwrap();
    journal.inject(Fault::Write);
    assert!(
        journal
            .mark_dirty(Side::New, &[key(2)], Reason::BreakerOpen)
            .wait()
            .is_err()
    );
    for _ in 0..3 {
        assert!(journal.try_recover().is_err());
    }
    journal.inject(Fault::None);
    journal.try_recover().unwrap();
    drop(journal);
    let journal = open(&dir);
    assert!(is_dirty(&journal, 1) && is_dirty(&journal, 2));
}

#[test]
fn waiters_of_a_failing_flush_all_learn_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    journal.inject(Fault::Sync);
    let waiting: Vec<_> = (0..50)
        .map(|n| journal.intend(Side::New, &[key(n)]))
        .collect();
    for intend in waiting {
        assert!(intend.wait().is_err());
    }
    assert!(journal.backlog("shop").is_drained());
}

/// Whoever opens the folder next may have a file of that name: its segment would be overwritten with zeros.
#[test]
fn trap_03_nobody_makes_a_spare_file_in_the_folder_of_a_closed_journal() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    let marked = journal.mark_dirty(Side::New, &[key(1)], Reason::BreakerOpen);
    marked.wait().unwrap();
    journal.inject(Fault::SlowCreate);
    // Queued for a later batch, which is the last one and passes the middle of the segment.
    journal.assign(&"t".repeat(5 << 10), "shop");
    drop(journal);
    let files = || -> BTreeSet<OsString> {
        let files = std::fs::read_dir(dir.path()).unwrap();
        files.map(|file| file.unwrap().file_name()).collect()
    };
    let closed = files();
    thread::sleep(3 * SLOW);
    assert_eq!(files(), closed);
}
