use std::{sync::atomic::Ordering, time::Duration};

use crossfade_phase::{Phase, Side};
use crossfade_reconcile::{Direction, Error, NotNow, VerifyOptions};

use crate::{
    fake::Op,
    world::{T, World, key, row},
};

#[tokio::test(start_paused = true)]
async fn copies_every_row_and_says_so() {
    let world = World::new(Phase::DualWrite);
    world.fill(Side::Old, 0..50);
    let report = world.backfill(Direction::Forward).await.unwrap();
    assert_eq!(
        (report.rows_seen, report.rows_copied, report.resumed),
        (50, 50, false)
    );
    world.assert_equal();
    let last = *world.progress.lock().unwrap().last().unwrap();
    assert_eq!(
        (last.rows_seen, last.rows_changed, last.estimated_rows),
        (50, 50, 50)
    );
    assert!(
        world
            .engine()
            .standing(crate::world::T, Direction::Forward)
            .backfilled
    );
    let again = world.backfill(Direction::Forward).await.unwrap();
    assert_eq!((again.rows_seen, again.rows_copied), (50, 0));
}

#[tokio::test(start_paused = true)]
async fn an_empty_table_is_done_at_once() {
    let world = World::new(Phase::DualWrite);
    let report = world.backfill(Direction::Forward).await.unwrap();
    assert_eq!(report.rows_seen, 0);
    assert!(
        world
            .engine()
            .standing(crate::world::T, Direction::Forward)
            .backfilled
    );
}

#[tokio::test(start_paused = true)]
async fn trap_07_rows_that_are_there_are_never_overwritten() {
    let world = World::new(Phase::DualWrite);
    world.fill(Side::Old, 0..3);
    let client = world.client();
    // Read by the backfill, then written by a client on both sides, then inserted by the backfill.
    world.old.after(Op::Scan, move || async move {
        client.upsert(2, "newer", 2).await
    });
    world.backfill(Direction::Forward).await.unwrap();
    assert_eq!(world.new.get(&key(2)), Some(row(2, "newer", 2)));
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn trap_07_waits_until_no_session_is_left_in_the_phase_before() {
    let world = World::new(Phase::UseOld);
    world.fill(Side::Old, 0..10);
    let mut slot = world.toggle.gate().slot("a transaction of phase 2");
    slot.try_pin().unwrap();
    world.flip(Phase::DualWrite).await;
    let refused = world.backfill(Direction::Forward).await.unwrap_err();
    assert!(matches!(refused, Error::NotEffective { .. }), "{refused}");
    assert_eq!(world.new.writes.load(Ordering::SeqCst), 0);
    slot.unpin();
    world.backfill(Direction::Forward).await.unwrap();
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn trap_07_a_stale_row_from_the_phase_before_is_found_and_repaired() {
    let world = World::new(Phase::DualWrite);
    world.fill(Side::Old, 0..3);
    // A session still in phase 2 writes the old store only, between read and insert.
    let old = world.old.clone();
    world.old.after(
        Op::Scan,
        move || async move { old.put(row(1, "phase 2", 2)) },
    );
    let report = world.backfill(Direction::Forward).await.unwrap();
    assert_eq!(world.new.rows(), world.old.rows());
    assert_eq!(report.repaired, 1, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn trap_08_a_row_deleted_between_read_and_insert_stays_deleted() {
    for when in [Op::Scan, Op::Insert] {
        let world = World::new(Phase::DualRead);
        world.fill(Side::Old, 0..3);
        let client = world.client();
        match when {
            Op::Scan => world
                .old
                .after(Op::Scan, move || async move { client.delete(2).await }),
            _ => world
                .new
                .before(Op::Insert, move || async move { client.delete(2).await }),
        }
        let report = world.backfill(Direction::Forward).await.unwrap();
        assert_eq!(world.new.get(&key(2)), None);
        assert_eq!(report.repaired, 1);
        world.assert_equal();
        assert_eq!(world.journal().dirty_count("shop"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn trap_08_in_reverse_a_row_deleted_in_the_new_store_stays_deleted_in_the_old() {
    let world = World::new(Phase::NewPrimary);
    world.fill(Side::New, 0..3);
    let client = world.client();
    world
        .new
        .after(Op::Scan, move || async move { client.delete(2).await });
    let report = world.backfill(Direction::Reverse).await.unwrap();
    assert_eq!((world.old.get(&key(2)), report.repaired), (None, 1));
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn trap_27_a_row_deleted_in_the_new_store_is_not_copied_back() {
    for phase in [Phase::NewWrites, Phase::Backfill] {
        let world = World::new(phase);
        world.fill(Side::Old, 0..10);
        let client = world.client();
        world
            .old
            .after(Op::Scan, move || async move { client.delete(2).await });
        let client = world.client();
        world
            .new
            .before(Op::Insert, move || async move { client.delete(6).await });
        world.backfill(Direction::Forward).await.unwrap();
        assert_eq!(
            (world.new.get(&key(2)), world.new.get(&key(6))),
            (None, None)
        );
        assert_eq!(world.new.rows().len(), 8);
    }
}

#[tokio::test(start_paused = true)]
async fn trap_27_a_row_updated_in_the_new_store_is_not_overwritten() {
    let world = World::new(Phase::Backfill);
    world.fill(Side::Old, 0..10);
    let client = world.client();
    world.old.after(Op::Scan, move || async move {
        client.upsert(2, "newer", 2).await
    });
    world.backfill(Direction::Forward).await.unwrap();
    assert_eq!(world.new.get(&key(2)), Some(row(2, "newer", 2)));
}

#[tokio::test(start_paused = true)]
async fn trap_18_a_key_that_is_stale_in_the_old_store_is_not_copied() {
    let world = World::new(Phase::Backfill);
    world.fill(Side::Old, 0..10);
    world.mark(Side::Old, 4).await;
    world.backfill(Direction::Forward).await.unwrap();
    assert_eq!(
        world.new.get(&key(4)),
        None,
        "deleted in the new store, and the old never heard of it"
    );
    assert_eq!(world.new.rows().len(), 9);
    assert!(world.is_dirty(4));
}

#[tokio::test(start_paused = true)]
async fn trap_18_a_complete_table_is_left_alone_in_phase_7() {
    let world = World::new(Phase::DualRead);
    world.fill(Side::Old, 0..10);
    world.backfill(Direction::Forward).await.unwrap();
    assert!(world.verify(Direction::Forward).await.unwrap().complete);
    for phase in [Phase::NewPrimary, Phase::NewWrites, Phase::Backfill] {
        world.flip(phase).await;
    }
    world.new.remove(&key(5));
    let report = world.backfill(Direction::Forward).await.unwrap();
    assert!(report.already_complete);
    assert_eq!(world.new.get(&key(5)), None);
    assert!(
        world.verify(Direction::Forward).await.unwrap().complete,
        "what is gone was deleted"
    );
}

#[tokio::test(start_paused = true)]
async fn trap_11_a_row_that_the_target_refuses_is_left_dirty_and_the_rest_is_copied() {
    let world = World::new(Phase::DualWrite);
    world.fill(Side::Old, 0..20);
    world.old.put(row(7, "nul", 1));
    world.new.refuse(b"nul");
    let report = world.backfill(Direction::Forward).await.unwrap();
    assert_eq!(
        (report.rows_seen, report.rows_copied, report.left_dirty),
        (20, 19, 1)
    );
    assert!(world.is_dirty(7));
    let (_, error) = &world.journal().failing("shop", 9)[0];
    assert!(error.contains("22021"), "{error}");
    let verified = world.verify(Direction::Forward).await.unwrap();
    assert_eq!(
        (verified.differences, verified.pending, verified.complete),
        (0, 1, false)
    );
}

#[tokio::test(start_paused = true)]
async fn trap_11_a_refused_row_is_never_marked_where_dirty_means_hidden() {
    let world = World::new(Phase::Backfill);
    world.fill(Side::Old, 0..20);
    world.old.put(row(7, "nul", 1));
    world.new.refuse(b"nul");
    let refused = world.backfill(Direction::Forward).await.unwrap_err();
    assert!(
        matches!(refused, Error::Refused { refused: 1, .. }),
        "{refused}"
    );
    assert!(!world.is_dirty(7));
    assert!(
        !world
            .engine()
            .standing(crate::world::T, Direction::Forward)
            .backfilled
    );
    world.new.accept_all();
    let report = world.backfill(Direction::Forward).await.unwrap();
    assert!(report.resumed);
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn a_target_that_refuses_everything_stops_the_copy_and_marks_nothing() {
    let mut settings = crate::world::settings();
    settings.chunk_rows = 200;
    let world = World::with(Phase::DualWrite, settings);
    (0..1000).for_each(|n| world.old.put(row(n, "orphan", 1)));
    world.new.refuse(b"orphan");
    let refused = world.backfill(Direction::Forward).await.unwrap_err();
    assert!(
        refused.to_string().contains("copy that one first"),
        "{refused}"
    );
    assert_eq!(world.journal().dirty_count("shop"), 0);
}

#[tokio::test(start_paused = true)]
async fn directions_that_would_harm_are_refused_with_the_phase() {
    for (phase, direction, expected) in [
        (
            Phase::DeployNew,
            Direction::Forward,
            NotNow::TooEarly(Phase::DeployNew),
        ),
        (
            Phase::UseOld,
            Direction::Forward,
            NotNow::TooEarly(Phase::UseOld),
        ),
        (
            Phase::DualRead,
            Direction::Reverse,
            NotNow::NothingToReverse(Phase::DualRead),
        ),
        (
            Phase::NewOnly,
            Direction::Forward,
            NotNow::OldGone(Phase::NewOnly),
        ),
    ] {
        let world = World::new(phase);
        match world.backfill(direction).await {
            Err(Error::NotNow(found)) => assert_eq!(found, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn trap_18_one_job_at_a_time_over_a_table() {
    let world = World::new(Phase::Backfill);
    world.fill(Side::Old, 0..3);
    let (engine, progress, new) = (
        world.engine().clone(),
        world.on_progress(),
        world.new.clone(),
    );
    let (said, complete) = tokio::sync::oneshot::channel();
    world.old.after(Op::Scan, move || async move {
        tokio::spawn(async move {
            engine
                .backfill(T, Direction::Forward, progress.clone())
                .await
                .unwrap();
            let options = VerifyOptions::default();
            let report = engine
                .verify(T, Direction::Forward, options, progress)
                .await;
            // A client's delete: over a complete table it leaves no tombstone.
            new.remove(&key(1));
            said.send(report.unwrap().complete).unwrap();
        });
        // Long enough for all of that, were it let in.
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    world.backfill(Direction::Forward).await.unwrap();
    assert!(complete.await.unwrap());
    assert_eq!(world.new.get(&key(1)), None, "a deleted row is back");
}

#[tokio::test(start_paused = true)]
async fn trap_08_a_delete_that_is_staged_where_nothing_is_locked_is_waited_for() {
    let world = World::new(Phase::DualWrite);
    world.new.keep_what_is_staged();
    world.fill(Side::Old, 0..3);
    // Written in the secondary ahead of the copied row, committed in the primary behind the second look.
    let client = world.client();
    let (done, committed) = tokio::sync::oneshot::channel();
    world.new.before(Op::Insert, move || async move {
        let staged = client.stage_delete(1).await;
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            staged.commit();
            let _ = done.send(());
        });
    });
    world.backfill(Direction::Forward).await.unwrap();
    committed.await.unwrap();
    world.engine().repair(None, false).await.unwrap();
    assert!(world.new.get(&key(1)).is_none(), "it was deleted");
    world.assert_equal();
}
