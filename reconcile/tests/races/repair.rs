use std::{sync::atomic::Ordering, time::Duration};

use crossfade_journal::Reason;
use crossfade_phase::{Phase, Side};
use crossfade_reconcile::{Error, Repair, Repaired, Settings};

use crate::{
    fake::Op,
    world::{T, World, key, row, settings},
};

const HOLD: Duration = Duration::from_secs(1);

async fn repair(world: &World, primary: Side, n: u32) -> Repaired {
    let (from, to) = (world.on(primary), world.on(primary.other()));
    let table = &world.engine().mapping().tables[T.0];
    let repair = Repair {
        primary: &**from,
        secondary: &**to,
        table,
        ledger: world.journal(),
        hold: HOLD,
    };
    repair.one(&key(n)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn says_what_it_did_and_is_idempotent_in_both_directions() {
    for primary in [Side::Old, Side::New] {
        let world = World::new(Phase::DualWrite);
        world.on(primary).put(row(1, "right", 2));
        world.on(primary.other()).put(row(1, "wrong", 1));
        world.on(primary.other()).put(row(2, "gone", 1));
        assert_eq!(repair(&world, primary, 1).await, Repaired::Upserted);
        assert_eq!(repair(&world, primary, 1).await, Repaired::AlreadyEqual);
        assert_eq!(repair(&world, primary, 2).await, Repaired::Deleted);
        assert_eq!(repair(&world, primary, 2).await, Repaired::AlreadyEqual);
        world.assert_equal();
    }
}

#[tokio::test(start_paused = true)]
async fn no_client_can_write_between_its_read_and_its_write() {
    let world = World::new(Phase::DualWrite);
    world.old.put(row(1, "first", 1));
    let client = world.client();
    let (done, written) = tokio::sync::oneshot::channel();
    world.new.before(Op::Apply, move || async move {
        tokio::spawn(async move {
            client.upsert(1, "second", 2).await;
            let _ = done.send(());
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
    });
    repair(&world, Side::Old, 1).await;
    written.await.unwrap();
    assert_eq!(world.new.get(&key(1)), Some(row(1, "second", 2)));
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn a_row_that_comes_back_while_it_is_deleted_is_written() {
    let world = World::new(Phase::DualWrite);
    world.new.put(row(1, "gone", 1));
    let client = world.client();
    world.new.after(Op::Apply, move || async move {
        client.upsert(1, "back", 2).await;
    });
    repair(&world, Side::Old, 1).await;
    assert_eq!(world.new.get(&key(1)), Some(row(1, "back", 2)));
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn a_repairer_that_is_dropped_gives_its_keys_back() {
    let world = World::new(Phase::DualWrite);
    world.old.put(row(1, "right", 2));
    world.mark(Side::New, 1).await;
    world.new.before(Op::Apply, std::future::pending);
    let engine = world.engine().clone();
    let dropped = tokio::time::timeout(Duration::from_millis(50), engine.run_repairer()).await;
    assert!(dropped.is_err());
    let next = tokio::time::timeout(Duration::from_secs(1), engine.run_repairer()).await;
    assert!(next.is_err());
    assert_eq!(world.new.get(&key(1)), Some(row(1, "right", 2)));
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn the_repairer_drains_what_is_dirty_while_clients_write() {
    for phase in [Phase::DualWrite, Phase::DualRead, Phase::NewPrimary] {
        let world = World::new(phase);
        let secondary = phase.secondary().unwrap();
        world.fill(secondary.other(), 0..50);
        world.fill(secondary, 40..60);
        for n in 0..60 {
            world.mark(secondary, n).await;
        }
        let client = world.client();
        // Between the sweep's write and its second look.
        world.on(secondary).before(Op::Apply, move || async move {
            client.upsert(5, "newer", 2).await
        });
        let engine = world.engine().clone();
        let repairer = tokio::spawn(async move { engine.run_repairer().await });
        while world.journal().dirty_count("shop") > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        repairer.abort();
        world.assert_equal();
        assert_eq!(world.old.get(&key(5)), Some(row(5, "newer", 2)));
    }
}

#[tokio::test(start_paused = true)]
async fn trap_11_a_poison_key_stays_dirty_with_the_stores_error_and_holds_up_nobody() {
    let world = World::new(Phase::DualWrite);
    world.fill(Side::Old, 0..10);
    world.old.put(row(3, "nul", 1));
    world.new.refuse(b"nul");
    for n in 0..10 {
        world.mark(Side::New, n).await;
    }
    let engine = world.engine().clone();
    let repairer = tokio::spawn(async move { engine.run_repairer().await });
    while world.journal().dirty_count("shop") > 1 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    repairer.abort();
    let applies = world.new.applies.load(Ordering::SeqCst);
    assert!(applies < 40, "no hot loop: {applies}");
    let (failing, error) = world.journal().failing("shop", 9).remove(0);
    assert_eq!(failing.key.key, key(3).0);
    assert!(error.contains("22021"), "{error}");
    let report = world.engine().repair(Some(T), false).await.unwrap();
    assert_eq!((report.left_dirty, report.upserted), (1, 0));
    assert!(
        report.failed[0]
            .to_string()
            .contains("crossfade repair --table public.t")
    );
    world.new.accept_all();
    assert_eq!(
        world.engine().repair(None, false).await.unwrap().upserted,
        1
    );
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn trap_43_a_commit_that_was_never_answered_is_waited_for() {
    for phase in [Phase::DualWrite, Phase::NewPrimary] {
        let secondary = phase.secondary().unwrap();
        let primary = secondary.other();
        let world = World::new(phase);
        world.fill(primary, 0..3);
        let transaction = world.on(primary).begin_unseen();
        world.mark_for(secondary, 9, Reason::PrimaryUnknown).await;
        // Neither a later write that failed for a known reason hides it, nor does it hold up others.
        world.mark(secondary, 9).await;
        world.mark(secondary, 1).await;
        let engine = world.engine().clone();
        let repairer = tokio::spawn(async move { engine.run_repairer().await });
        while world.is_dirty(1) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(world.is_dirty(9));
        let (_, error) = world.journal().failing("shop", 9).remove(0);
        assert!(error.contains("never answered"), "{error}");
        let report = world.engine().repair(Some(T), false).await.unwrap();
        assert_eq!(report.left_dirty, 1);
        world
            .on(primary)
            .commit_unseen(transaction, row(9, "late", 1));
        while world.is_dirty(9) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        repairer.abort();
        assert_eq!(world.on(secondary).get(&key(9)), Some(row(9, "late", 1)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_marked_again_during_its_repair_stays_dirty() {
    let world = World::new(Phase::DualWrite);
    world.fill(Side::Old, 0..1);
    world.mark(Side::New, 0).await;
    let journal = world.journal().clone();
    world.new.before(Op::Apply, move || async move {
        crate::world::mark(&journal, Side::New, &key(0)).await
    });
    world.engine().repair(None, false).await.unwrap();
    assert!(world.is_dirty(0));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_loses_no_mark_and_is_asked_ever_more_rarely() {
    let world = World::new(Phase::DualWrite);
    world.fill(Side::Old, 0..10);
    for n in 0..10 {
        world.mark(Side::New, n).await;
    }
    world.new.set_down(true);
    let engine = world.engine().clone();
    let repairer = tokio::spawn(async move { engine.run_repairer().await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.journal().dirty_count("shop"), 10);
    repairer.abort();
    world.new.set_down(false);
    let report = world.engine().repair(None, false).await.unwrap();
    assert_eq!((report.upserted, report.left_dirty), (10, 0));
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn in_phases_6_and_7_dirty_keys_wait_for_the_way_back() {
    for phase in [Phase::NewWrites, Phase::Backfill] {
        let world = World::new(phase);
        world.fill(Side::New, 0..3);
        world.mark(Side::Old, 1).await;
        let engine = world.engine().clone();
        let repairer = tokio::spawn(async move { engine.run_repairer().await });
        tokio::time::sleep(Duration::from_secs(5)).await;
        repairer.abort();
        assert!(world.is_dirty(1));
        assert!(matches!(
            world.engine().repair(None, false).await,
            Err(Error::NoSecondary { .. })
        ));
        let report = world.engine().repair(None, true).await.unwrap();
        assert_eq!(report.upserted, 1);
        assert_eq!(world.old.get(&key(1)), world.new.get(&key(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn trap_08_a_batch_that_is_staged_where_nothing_is_locked_is_waited_for() {
    for several in [false, true] {
        let world = World::new(Phase::DualWrite);
        world.new.keep_what_is_staged();
        // Beside it, so that both are swept.
        let keys = if several { 1..=2 } else { 1..=1 };
        for n in keys {
            world.mark(Side::New, n).await;
        }
        // A client's row is written where nothing holds it, and then deleted by the repair, which knows of no such row.
        let client = world.client();
        let (done, committed) = tokio::sync::oneshot::channel();
        world.new.before(Op::Apply, move || async move {
            let staged = client.stage(1, "back", 2).await;
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                staged.commit();
                let _ = done.send(());
            });
        });
        world.engine().repair(None, false).await.unwrap();
        committed.await.unwrap();
        world.engine().repair(None, false).await.unwrap();
        assert!(!world.is_dirty(1));
        assert_eq!(world.new.get(&key(1)), Some(row(1, "back", 2)));
        world.assert_equal();
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_was_found_alike_survives_a_crash_of_the_secondary() {
    let world = World::new(Phase::DualWrite);
    world.old.put(row(1, "new", 2));
    // Its commit was acknowledged too late to be heard.
    world.new.put_unflushed(row(1, "new", 2));
    world.mark(Side::New, 1).await;
    let report = world.engine().repair(None, false).await.unwrap();
    assert_eq!((report.already_equal, report.left_dirty), (1, 0));
    world.new.crash();
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn a_key_is_not_clean_before_the_secondary_has_flushed() {
    let world = World::new(Phase::DualWrite);
    world.old.put(row(1, "new", 2));
    world.new.put_unflushed(row(1, "new", 2));
    world.mark(Side::New, 1).await;
    // It is gone when it shall flush.
    let new = world.new.clone();
    world
        .new
        .after(Op::Lock, move || async move { new.set_down(true) });
    let report = world.engine().repair(None, false).await.unwrap();
    assert_eq!(report.left_dirty, 1);
    assert!(world.is_dirty(1));
    world.new.crash();
    world.new.set_down(false);
    world.engine().repair(None, false).await.unwrap();
    world.assert_equal();
}

/// Two rows that were swapped, and their keys are dirty.
async fn swapped(settings: Settings) -> World {
    let world = World::with(Phase::DualWrite, settings);
    for (n, old, new) in [(1, "a", "b"), (2, "b", "a")] {
        world.old.put(row(n, old, 2));
        world.new.put(row(n, new, 1));
        world.mark(Side::New, n).await;
    }
    world.new.keep_unique();
    world
}

/// One takes the first key, and comes to the second by its value; the other takes the second.
#[tokio::test(start_paused = true)]
async fn trap_11_a_row_that_is_exchanged_and_repaired_at_the_same_time_stays_dirty() {
    let world = swapped(Settings {
        repair_batch: 1,
        ..settings()
    })
    .await;
    let (client, engine) = (world.client(), world.engine().clone());
    // The values of the rows that may be in the way, and then those that are about to be written.
    world.old.after(Op::Fetch, || async {});
    world.old.after(Op::Fetch, move || async move {
        client.upsert(2, "c", 3).await;
        tokio::spawn(async move { engine.run_repairer().await });
        tokio::time::sleep(Duration::from_millis(100)).await;
    });
    let engine = world.engine().clone();
    let repairer = tokio::spawn(async move { engine.run_repairer().await });
    while world.journal().dirty_count("shop") > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    repairer.abort();
    assert_eq!(world.old.get(&key(2)), Some(row(2, "c", 3)));
    world.assert_equal();
}
