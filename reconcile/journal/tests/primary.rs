//! What only a journal has that is kept in the primary.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{
    intended, is_dirty, key,
    primary::{Stores, on, open, wait_for},
};
use crossfade_journal::{
    Journal, JournalError, OpenError, Options, Reason, Why, intended_keys, packed_key,
};
use crossfade_phase::Side;

fn opened(dir: &tempfile::TempDir, stores: &Stores) -> Journal {
    open(dir.path(), stores.clone(), Side::Old, Options::default())
}

fn mark(journal: &Journal, n: u32) -> Result<(), JournalError> {
    journal
        .mark_dirty(Side::New, &[key(n)], Reason::SecondaryFailed)
        .wait()
}

fn take_and_clean(journal: &Journal) {
    for dirty in journal.take_dirty("shop", 100) {
        assert!(journal.clean(&dirty.key, dirty.generation));
    }
}

fn is_unwritable(outcome: Result<(), JournalError>) -> bool {
    matches!(outcome, Err(JournalError::Unwritable { .. }))
}

#[test]
fn an_intent_whose_transaction_never_committed_leaves_nothing() {
    let (dir, stores) = (tempfile::tempdir().unwrap(), Stores::default());
    let journal = opened(&dir, &stores);
    let rolled_back = journal.intend(Side::New, &[key(1)]).wait().unwrap();
    assert!(rolled_back.row().is_some());
    let committed = intended(&journal, Side::New, &[key(2)]);
    // As a kill would: nobody settles them.
    std::mem::forget((rolled_back, committed));
    drop(journal);
    let journal = opened(&dir, &stores);
    assert!(!is_dirty(&journal, 1) && is_dirty(&journal, 2));
}

#[test]
fn marks_and_the_end_of_their_intent_are_one_step() {
    let (dir, stores) = (tempfile::tempdir().unwrap(), Stores::default());
    let journal = opened(&dir, &stores);
    let intent = intended(&journal, Side::New, &[key(1), key(2)]);
    assert_eq!(on(&stores, Side::Old).intents.len(), 1);
    intent.dirty(Reason::SecondaryFailed).wait().unwrap();
    let rows = on(&stores, Side::Old);
    assert_eq!((rows.intents.len(), rows.dirty.len()), (0, 2));
}

#[test]
fn a_primary_that_cannot_be_written_refuses_intents_until_it_is_back_and_loses_no_mark() {
    let (dir, stores) = (tempfile::tempdir().unwrap(), Stores::default());
    let journal = opened(&dir, &stores);
    on(&stores, Side::Old).down = true;
    wait_for(|| journal.has_failed(Side::Old));
    let refused = journal.intend(Side::New, &[key(1)]).wait();
    assert!(matches!(refused, Err(JournalError::Unwritable { .. })));
    assert!(is_unwritable(mark(&journal, 2)));
    assert!(is_dirty(&journal, 2), "known in memory at once");
    assert!(is_unwritable(journal.try_recover()));
    on(&stores, Side::Old).down = false;
    wait_for(|| journal.answers(Side::Old).is_ok());
    journal.flushed().wait().unwrap();
    assert_eq!(on(&stores, Side::Old).dirty.len(), 1);
    intended(&journal, Side::New, &[key(1)]).done();
}

#[test]
fn a_move_of_the_primary_carries_what_is_dirty_along() {
    let (dir, stores) = (tempfile::tempdir().unwrap(), Stores::default());
    let journal = opened(&dir, &stores);
    mark(&journal, 1).unwrap();
    journal.need(Side::New);
    wait_for(|| journal.answers(Side::New).is_ok());
    journal.live_in("shop", Side::New).wait().unwrap();
    assert_eq!(on(&stores, Side::New).dirty.len(), 1);
    journal.leave("shop", Side::Old);
    drop(journal);
    assert!(on(&stores, Side::Old).dirty.is_empty());
    let journal = open(dir.path(), stores.clone(), Side::New, Options::default());
    assert!(is_dirty(&journal, 1));
    take_and_clean(&journal);
    drop(journal);
    assert!(on(&stores, Side::New).dirty.is_empty());
}

#[test]
fn two_proxies_on_one_primary_keep_their_rows_apart() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stores = Stores::default();
    let (a, b) = (opened(&one, &stores), opened(&two, &stores));
    let (of_a, of_b) = (
        intended(&a, Side::New, &[key(1)]),
        intended(&b, Side::New, &[key(1)]),
    );
    mark(&a, 2).unwrap();
    mark(&b, 2).unwrap();
    of_a.done();
    take_and_clean(&a);
    a.flushed().wait().unwrap();
    {
        let rows = on(&stores, Side::Old);
        assert_eq!((rows.intents.len(), rows.dirty.len()), (1, 1), "b's own");
    }
    assert!(is_dirty(&b, 2));
    std::mem::forget(of_b);
    drop((a, b));
    let after = opened(&one, &stores);
    assert!(is_dirty(&after, 1) && is_dirty(&after, 2));
}

/// A proxy may think of the wrong store while a flip is made or called off: whichever of the two counts in the end has the key.
#[test]
fn trap_03_what_is_found_away_from_home_is_dirty_and_stays_there_too() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stores = Stores::default();
    let gone = opened(&one, &stores);
    mark(&gone, 1).unwrap();
    std::mem::forget(intended(&gone, Side::New, &[key(2)]));
    drop(gone);
    let journal = open(two.path(), stores.clone(), Side::New, Options::default());
    journal.need(Side::Old);
    wait_for(|| journal.answers(Side::Old).is_ok());
    journal.flushed().wait().unwrap();
    assert!(is_dirty(&journal, 1) && is_dirty(&journal, 2));
    let owner = journal.owner().unwrap();
    for side in [Side::Old, Side::New] {
        let rows = on(&stores, side);
        let owners: Vec<u64> = rows.dirty.keys().map(|(owner, _, _)| *owner).collect();
        assert_eq!(owners, [owner, owner], "in the {side} store");
        assert!(rows.intents.is_empty());
    }
}

#[test]
fn a_process_without_a_folder_keeps_its_rows_all_the_same() {
    let keeper = |feed: crossfade_journal::Feed| {
        while !feed.is_stopping() {
            feed.unsettled(Side::Old, false);
            feed.opened(Side::Old);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    };
    let journal = Journal::open_without_disk(Options::default(), 7, keeper).unwrap();
    let state = journal.state();
    state
        .set_phase("shop", crossfade_phase::Phase::DualWrite, Why::First)
        .unwrap();
    assert_eq!(state.phase("shop"), Some(crossfade_phase::Phase::DualWrite));
    drop(journal.live_in("shop", Side::Old));
    wait_for(|| journal.answers(Side::Old).is_ok());
    assert_eq!(
        (journal.owner(), journal.home_of("shop")),
        (Some(7), Some(Side::Old))
    );
    let intent = journal.intend(Side::New, &[key(1)]).wait().unwrap();
    let row = intent.row().unwrap();
    assert_eq!(row.owner, 7);
    assert_eq!(
        intended_keys(&row.body, "public.orders"),
        [packed_key(&key(1).key)]
    );
    assert!(intended_keys(&row.body, "public.items").is_empty());
    intent.done();
}

#[test]
fn rows_that_make_no_sense_harm_nobody() {
    let (dir, stores) = (tempfile::tempdir().unwrap(), Stores::default());
    on(&stores, Side::Old)
        .intents
        .insert((77, 1), b"whatever".to_vec());
    let journal = opened(&dir, &stores);
    assert_eq!(journal.dirty_count("shop"), 0);
    mark(&journal, 1).unwrap();
    assert!(on(&stores, Side::Old).intents.is_empty());
}

#[test]
fn the_form_changes_only_where_nothing_would_be_forgotten() {
    let (dir, stores) = (tempfile::tempdir().unwrap(), Stores::default());
    let journal = Journal::open(dir.path()).unwrap();
    mark(&journal, 1).unwrap();
    drop(journal);
    let keeper = |_| panic!("there is nothing to keep");
    let refused = Journal::open_in_primary(dir.path(), Options::default(), 1, keeper);
    assert!(matches!(
        refused,
        Err(OpenError::KeptOnDisk { dirty: 1, .. })
    ));
    let journal = Journal::open(dir.path()).unwrap();
    take_and_clean(&journal);
    drop(journal);

    let journal = opened(&dir, &stores);
    mark(&journal, 2).unwrap();
    drop(journal);
    let refused = Journal::open(dir.path());
    assert!(matches!(refused, Err(OpenError::KeptInPrimary { .. })));
    let journal = opened(&dir, &stores);
    assert!(is_dirty(&journal, 2));
    take_and_clean(&journal);
    drop(journal);
    let journal = Journal::open(dir.path()).unwrap();
    assert!(journal.backlog("shop").is_drained());
    mark(&journal, 3).unwrap();
}
