//! Phases, completeness and checkpoints.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{collections::BTreeMap, fs};

use common::open_small;
use crossfade_journal::{Journal, KeyBounds, KeyText, OpenError, TableState, Verified, Why};
use crossfade_phase::Phase;

#[test]
fn what_several_proxies_share_is_taken_over_whole_and_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let known = TableState {
        backfilled_at_epoch: Some(7),
        ..TableState::default()
    };
    let tables = BTreeMap::from([("public.orders".to_owned(), known.clone())]);
    let shared = {
        let journal = Journal::open(dir.path()).unwrap();
        let state = journal.state();
        state.set_phase("other", Phase::UseOld, Why::First).unwrap();
        state.set_phase("shop", Phase::UseOld, Why::First).unwrap();
        let mut shared = state.toggle("shop").unwrap();
        (shared.phase, shared.epoch) = (Phase::DualRead, 9);
        state.follow("shop", &shared, &tables).unwrap();
        assert_eq!(state.epoch(), 9);
        shared
    };
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.state().toggle("shop"), Some(shared));
    assert_eq!(journal.state().phase("other"), Some(Phase::UseOld));
    assert_eq!(journal.state().table("public.orders"), known);
}

#[test]
fn trap_40_the_effective_phase_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    assert_eq!(journal.state().phase("shop"), None);
    assert_eq!(
        journal
            .state()
            .set_phase("shop", Phase::UseOld, Why::First)
            .unwrap(),
        1
    );
    let why = Why::Override {
        because: "rehearsal".into(),
        refused: "2 dirty keys".into(),
    };
    assert_eq!(
        journal
            .state()
            .set_phase("shop", Phase::DualWrite, why.clone())
            .unwrap(),
        2
    );
    assert_eq!(journal.state().next_epoch().unwrap(), 3);
    drop(journal);
    let journal = open_small(dir.path());
    assert_eq!(journal.state().phase("shop"), Some(Phase::DualWrite));
    assert_eq!(journal.state().epoch(), 3);
    let history = journal.state().toggle("shop").unwrap().history;
    assert_eq!(
        (history[1].from, history[1].to),
        (Some(Phase::UseOld), Phase::DualWrite)
    );
    assert_eq!((history[1].epoch, &history[1].why), (2, &why));
}

#[test]
fn trap_38_a_bypassed_table_is_not_complete() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    let state = journal.state();
    assert!(!state.table("public.orders").is_complete());
    let verified = Verified {
        at_unix_s: 1,
        at_epoch: 4,
        rows: 10,
        differences: 0,
        pending: 0,
    };
    let update = |bypassed: Option<&str>, differences| {
        let table = state.update_table("public.orders", |table| {
            table.backfilled_at_epoch = Some(4);
            table.verified = Some(Verified {
                differences,
                ..verified.clone()
            });
            table.bypassed = bypassed.map(str::to_owned);
        });
        table.unwrap().is_complete()
    };
    assert!(update(None, 0));
    assert!(!update(None, 1));
    assert!(!update(Some("back in use-old"), 0));
}

#[test]
fn a_backfill_goes_on_from_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    let bounds = KeyBounds {
        after: None,
        upto: Some(KeyText(vec![b"17".to_vec(), vec![0xff]])),
    };
    let change = |checkpoint: &mut crossfade_journal::BackfillCheckpoint| {
        checkpoint.epoch = 3;
        checkpoint.rows += 500;
        checkpoint.done.push(bounds.clone());
    };
    journal
        .state()
        .update_backfill("public.orders", change)
        .unwrap();
    drop(journal);
    let journal = open_small(dir.path());
    let checkpoint = journal.state().backfill("public.orders").unwrap();
    assert_eq!(
        (checkpoint.epoch, checkpoint.rows, &checkpoint.done[0]),
        (3, 500, &bounds)
    );
    journal.state().clear_backfill("public.orders").unwrap();
    assert_eq!(journal.state().backfill("public.orders"), None);
}

#[test]
fn an_unknown_future_version_and_damage_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    journal
        .state()
        .set_phase("shop", Phase::DualRead, Why::First)
        .unwrap();
    drop(journal);
    let path = dir.path().join("state.json");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replace("\"version\": 1", "\"version\": 2")).unwrap();
    let error = Journal::open(dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::FutureVersion {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
    fs::write(&path, good.replace("dual-read", "dual-reed")).unwrap();
    let error = Journal::open(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("state.json") && error.contains("dual-reed"),
        "{error}"
    );
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(matches!(
        Journal::open(dir.path()).unwrap_err(),
        OpenError::Corrupt { .. }
    ));
    fs::write(&path, good).unwrap();
    assert_eq!(
        open_small(dir.path()).state().phase("shop"),
        Some(Phase::DualRead)
    );
}

#[test]
fn a_half_written_replacement_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    journal
        .state()
        .set_phase("shop", Phase::UseOld, Why::First)
        .unwrap();
    drop(journal);
    fs::write(dir.path().join("state.tmp"), "{\"version\": 1, \"toggl").unwrap();
    assert_eq!(
        open_small(dir.path()).state().phase("shop"),
        Some(Phase::UseOld)
    );
}
