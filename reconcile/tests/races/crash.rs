//! The process dies at every single step of a job; the next run ends with both stores alike.

use crossfade_phase::{Phase, Side};
use crossfade_reconcile::Direction;

use crate::{
    fake::Op,
    world::{T, World, key},
};

/// Runs the job with a death at step 1, 2, 3 … until it gets through alive.
async fn die_at_every_step(
    prepare: impl Fn(&World),
    phase: Phase,
    job: impl AsyncFn(&World),
    check: impl Fn(&World),
) -> usize {
    for step in 1.. {
        let mut world = World::new(phase);
        prepare(&world);
        world.fate.die_at(step);
        let alive = tokio::select! {
            biased;
            () = world.fate.death() => false,
            () = job(&world) => true,
        };
        // The workers of a dropped job end when the runtime next looks at them.
        tokio::task::yield_now().await;
        world.restart().await;
        job(&world).await;
        check(&world);
        if alive {
            return step;
        }
    }
    unreachable!("a job has an end")
}

fn deletes_while_copying(world: &World, side: Side) {
    world.fill(side, 0..10);
    for (op, n) in [(Op::Scan, 1), (Op::Scan, 6), (Op::Scan, 9)] {
        let client = world.client();
        world
            .on(side)
            .after(op, move || async move { client.delete(n).await });
    }
}

#[tokio::test(start_paused = true)]
async fn trap_08_a_kill_between_insert_and_second_look_brings_no_row_back() {
    let steps = die_at_every_step(
        |world| deletes_while_copying(world, Side::Old),
        Phase::DualWrite,
        async |world| {
            world.backfill(Direction::Forward).await.unwrap();
        },
        World::assert_equal,
    )
    .await;
    assert!(steps > 20, "{steps}");
}

#[tokio::test(start_paused = true)]
async fn trap_08_nor_in_reverse() {
    die_at_every_step(
        |world| deletes_while_copying(world, Side::New),
        Phase::NewPrimary,
        async |world| {
            world.backfill(Direction::Reverse).await.unwrap();
        },
        World::assert_equal,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn trap_27_a_kill_in_phase_7_loses_no_row_and_revives_none() {
    die_at_every_step(
        |world| deletes_while_copying(world, Side::Old),
        Phase::Backfill,
        async |world| {
            world.backfill(Direction::Forward).await.unwrap();
        },
        |world| {
            let deleted = |n: u32| world.new.get(&key(n)).is_none();
            let gone: Vec<u32> = (0..10).filter(|&n| deleted(n)).collect();
            assert!(gone.iter().all(|n| [1, 6, 9].contains(n)), "{gone:?}");
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn verify_with_repair_killed_anywhere_ends_alike() {
    for (phase, direction, from) in [
        (Phase::DualWrite, Direction::Forward, Side::Old),
        (Phase::NewWrites, Direction::Reverse, Side::New),
    ] {
        die_at_every_step(
            |world| {
                world.fill(from, 0..3);
                world.on(from.other()).put(crate::world::row(0, "other", 1));
                if phase == Phase::DualWrite {
                    world.fill(Side::New, 8..9);
                }
            },
            phase,
            async |world| {
                world.verify_and_repair(direction).await.unwrap();
                world.engine().repair(None, true).await.unwrap();
            },
            World::assert_equal,
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn repair_killed_anywhere_ends_alike_in_both_directions() {
    for phase in [Phase::DualRead, Phase::NewPrimary] {
        let secondary = phase.secondary().unwrap();
        let steps = die_at_every_step(
            |world| {
                world.fill(secondary.other(), 0..6);
                world.fill(secondary, 4..9);
                let journal = world.journal().clone();
                // Before the first step: marks are durable.
                futures::executor::block_on(async move {
                    for n in 0..9 {
                        crate::world::mark(&journal, secondary, &key(n)).await;
                    }
                });
            },
            phase,
            async |world| {
                world.engine().repair(None, false).await.unwrap();
            },
            World::assert_equal,
        )
        .await;
        assert!(steps > 4);
    }
}

#[tokio::test(start_paused = true)]
async fn trap_08_a_complete_table_is_in_doubt_once_a_chunk_over_it_did_not_end() {
    let world = World::new(Phase::DualRead);
    world.fill(Side::Old, 0..3);
    world.backfill(Direction::Forward).await.unwrap();
    assert!(world.verify(Direction::Forward).await.unwrap().complete);
    // Read, deleted by a client, inserted: and then there is nobody to look again.
    let client = world.client();
    world
        .old
        .after(Op::Scan, move || async move { client.delete(1).await });
    let old = world.old.clone();
    world
        .new
        .after(Op::Insert, move || async move { old.set_down(true) });
    world.backfill(Direction::Forward).await.unwrap_err();
    world.old.set_down(false);
    assert!(world.new.get(&key(1)).is_some() && !world.is_dirty(1));
    let in_doubt = || world.journal().state().table("public.t").bypassed.is_some();
    assert!(in_doubt(), "the guards of 3 → 4 and 4 → 5 ask for this");
    let is_complete = || world.engine().standing(T, Direction::Forward).is_complete();
    assert!(
        !is_complete(),
        "the deleted row would count in the new store"
    );
    assert!(!world.verify(Direction::Forward).await.unwrap().complete);
    assert!(in_doubt());
    world.backfill(Direction::Forward).await.unwrap();
    assert!(!in_doubt() && !is_complete());
    assert!(world.verify(Direction::Forward).await.unwrap().complete);
    assert!(is_complete());
    world.assert_equal();
}
