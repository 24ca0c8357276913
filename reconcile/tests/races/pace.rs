use std::time::Duration;

use crossfade_phase::{Phase, Side};
use crossfade_reconcile::Direction;
use tokio::time::Instant;

use crate::world::{World, settings};

async fn seconds(world: &World) -> f64 {
    let began = Instant::now();
    world.backfill(Direction::Forward).await.unwrap();
    began.elapsed().as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn max_rows_per_s_holds_whatever_the_number_of_workers() {
    for workers in [1, 4] {
        let world = World::with(
            Phase::DualWrite,
            crossfade_reconcile::Settings {
                max_rows_per_s: Some(100),
                workers,
                ..settings()
            },
        );
        world.fill(Side::Old, 0..400);
        let took = seconds(&world).await;
        assert!((3.5..5.0).contains(&took), "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_slows_the_backfill_down_and_progress_says_so() {
    let world = World::with(
        Phase::DualWrite,
        crossfade_reconcile::Settings {
            max_rows_per_s: Some(2000),
            chunk_rows: 100,
            ..settings()
        },
    );
    world.fill(Side::Old, 0..4000);
    world.new.set_ping(Duration::from_millis(200));
    let took = seconds(&world).await;
    assert!(took > 6.0, "2 s without the brake, {took} s with it");
    assert!(
        world
            .progress
            .lock()
            .unwrap()
            .iter()
            .any(|progress| progress.braked)
    );
}
