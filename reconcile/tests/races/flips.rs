use std::{sync::atomic::Ordering, time::Duration};

use crossfade_phase::{Phase, Side};
use crossfade_reconcile::{Direction, Error};

use crate::{
    fake::Op,
    world::{World, flip, key, row},
};

#[tokio::test(start_paused = true)]
async fn trap_28_a_backfill_started_in_4_writes_nothing_once_5_is_published() {
    let world = World::new(Phase::DualRead);
    world.fill(Side::Old, 0..40);
    let (toggle, new) = (world.toggle.clone(), world.new.clone());
    world.old.after(Op::Scan, move || async move {
        flip(&toggle, Phase::NewPrimary).await;
        new.writes.store(0, Ordering::SeqCst);
    });
    let ended = world.backfill(Direction::Forward).await.unwrap_err();
    assert!(
        matches!(ended, Error::EpochChanged(change) if change.now.phase == Phase::NewPrimary),
        "{ended}"
    );
    assert_eq!(world.new.writes.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn trap_28_a_flip_of_the_primary_waits_for_the_chunk_that_is_being_written() {
    let world = World::new(Phase::DualRead);
    world.fill(Side::Old, 0..4);
    let (toggle, client) = (world.toggle.clone(), world.client());
    let (done, flipped) = tokio::sync::oneshot::channel();
    world.new.before(Op::Insert, move || async move {
        client.delete(1).await;
        tokio::spawn(async move {
            flip(&toggle, Phase::NewPrimary).await;
            let _ = done.send(());
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
    });
    // The row that the insert brings back is gone again before the new store becomes the primary.
    drop(world.backfill(Direction::Forward).await);
    flipped.await.unwrap();
    assert_eq!(world.new.get(&key(1)), None);
    assert_eq!(world.new.rows().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn trap_28_a_spell_in_phase_2_ends_the_job_even_if_it_is_over_by_now() {
    let world = World::new(Phase::DualWrite);
    world.fill(Side::Old, 0..40);
    let toggle = world.toggle.clone();
    world.old.after(Op::Scan, move || async move {
        flip(&toggle, Phase::UseOld).await;
        flip(&toggle, Phase::DualWrite).await;
    });
    let ended = world.backfill(Direction::Forward).await.unwrap_err();
    assert!(matches!(ended, Error::EpochChanged(_)), "{ended}");
    // What is behind the checkpoint may have changed unseen: the next run starts over.
    let report = world.backfill(Direction::Forward).await.unwrap();
    assert_eq!(report.rows_seen, 40);
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn a_backfill_goes_on_over_a_flip_that_does_not_concern_it() {
    let world = World::new(Phase::DualWrite);
    world.fill(Side::Old, 0..40);
    let toggle = world.toggle.clone();
    world.old.after(Op::Scan, move || async move {
        flip(&toggle, Phase::DualRead).await
    });
    world.backfill(Direction::Forward).await.unwrap();
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn trap_28_the_repairer_turns_round_with_the_primary() {
    let world = World::new(Phase::DualRead);
    world.old.put(row(1, "old's", 1));
    world.new.put(row(1, "new's", 2));
    world.old.set_down(true);
    world.mark(Side::New, 1).await;
    let engine = world.engine().clone();
    let repairer = tokio::spawn(async move { engine.run_repairer().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.flip(Phase::NewPrimary).await;
    world.old.set_down(false);
    tokio::time::sleep(Duration::from_secs(200)).await;
    repairer.abort();
    assert_eq!(
        world.new.get(&key(1)),
        Some(row(1, "new's", 2)),
        "never overwritten by the old store"
    );
    assert_eq!(
        world.old.get(&key(1)),
        Some(row(1, "old's", 1)),
        "the mark says that the new row is the stale one: an operator decides"
    );
    assert!(world.is_dirty(1));
}

#[tokio::test(start_paused = true)]
async fn trap_28_a_key_that_is_stale_in_the_primary_is_not_repaired_from_it() {
    for phase in [Phase::DualRead, Phase::NewPrimary] {
        let world = World::new(phase);
        world.old.put(row(1, "old's", 1));
        world.new.put(row(1, "new's", 1));
        world.mark(phase.primary(), 1).await;
        let engine = world.engine().clone();
        let repairer = tokio::spawn(async move { engine.run_repairer().await });
        tokio::time::sleep(Duration::from_secs(5)).await;
        repairer.abort();
        assert_eq!(world.old.get(&key(1)), Some(row(1, "old's", 1)));
        assert_eq!(world.new.get(&key(1)), Some(row(1, "new's", 1)));
        assert!(world.is_dirty(1));
    }
}

#[tokio::test(start_paused = true)]
async fn trap_28_a_key_that_is_stale_in_the_primary_only_is_left_by_whoever_is_asked() {
    for (phase, direction, next) in [
        (Phase::DualRead, Direction::Forward, Phase::NewPrimary),
        (Phase::NewPrimary, Direction::Reverse, Phase::DualRead),
        (Phase::Backfill, Direction::Reverse, Phase::NewWrites),
    ] {
        let world = World::new(phase);
        let [right, other] = match phase.primary() {
            Side::Old => [&world.old, &world.new],
            Side::New => [&world.new, &world.old],
        };
        // One that was changed, one that was deleted and one that came, all before a forced move.
        right.put(row(1, "older", 1));
        other.put(row(1, "newer", 2));
        right.put(row(2, "deleted", 1));
        other.put(row(3, "came", 1));
        for n in 1..=3 {
            world.mark(phase.primary(), n).await;
        }
        let before = (world.old.rows(), world.new.rows());
        let report = world.engine().repair(None, true).await.unwrap();
        let stale = report.stale.unwrap();
        assert_eq!((report.left_dirty, stale.keys, stale.next), (3, 3, next));
        let report = world.backfill(direction).await.unwrap();
        assert_eq!((report.rows_copied, report.left_dirty), (0, 2), "{phase}");
        let report = world.verify_and_repair(direction).await.unwrap();
        assert_eq!((report.differences, report.pending), (0, 0), "{phase}");
        assert_eq!((world.old.rows(), world.new.rows()), before, "{phase}");
        assert_eq!(world.journal().dirty_count("shop"), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn trap_28_a_verify_that_the_phase_overtakes_records_nothing() {
    let world = World::new(Phase::DualRead);
    world.fill(Side::Old, 0..10);
    world.fill(Side::New, 0..10);
    let toggle = world.toggle.clone();
    world.old.after(Op::Digest, move || async move {
        flip(&toggle, Phase::NewPrimary).await
    });
    let ended = world.verify(Direction::Forward).await.unwrap_err();
    assert!(matches!(ended, Error::EpochChanged(_)), "{ended}");
    assert_eq!(
        world
            .engine()
            .standing(crate::world::T, Direction::Forward)
            .differences,
        None
    );
}
