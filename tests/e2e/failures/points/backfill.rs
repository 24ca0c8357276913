//! Backfill beside clients that change, delete and bring back the rows that it copies.

use std::time::Duration;

use crossfade_crash::Point;
use crossfade_tests::{
    Endpoint, eventually,
    history::{HISTORY, HISTORY_SEED, HISTORY_TABLES, Random},
};

use super::Scene;
use crate::shop::Shop;

pub(super) const POINTS: &[Point] = &[
    Point::ChunksReserved,
    Point::ChunkRead,
    Point::ChunkInserted,
    Point::ChunkChecked,
    Point::BeforeCheckpoint,
    Point::Checkpointed,
    Point::BeforeBackfilled,
    Point::Backfilled,
];

const ARCHIVE: &str = "CREATE TABLE archive (id int PRIMARY KEY, note text);";
const SEED: &str = "INSERT INTO archive SELECT n, 'note ' || n FROM generate_series(1, 2000) n;";

async fn shop() -> Shop {
    let schema = format!("{HISTORY}{ARCHIVE}");
    let tables = format!("{HISTORY_TABLES}\n[toggle.shop.table.archive]\n");
    let seed = format!("{HISTORY_SEED}{SEED}");
    Shop::with("dual-write", &schema, &schema, &tables, &seed, |config| {
        config.section("[reconcile]\nchunk_rows = 100")
    })
    .await
}

/// Works on rows of the archive until its connection breaks.
async fn churn(endpoint: Endpoint, seed: u64) {
    let Ok(client) = endpoint.try_connect().await else {
        return;
    };
    let mut random = Random::new(seed);
    while !client.is_closed() {
        let id = 1 + random.below(2000);
        let sql = match random.below(3) {
            0 => format!("DELETE FROM archive WHERE id = {id}"),
            1 => format!("UPDATE archive SET note = 'changed {seed}' WHERE id = {id}"),
            _ => format!(
                "INSERT INTO archive VALUES ({id}, 'back') ON CONFLICT (id) DO UPDATE SET note = 'still'"
            ),
        };
        let _ = client.batch_execute(&sql).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trap_08_killed_at_every_point_of_a_backfill() {
    let mut scene = Scene::of(shop().await);
    for (&point, seed) in POINTS.iter().zip(0..) {
        let lost = format!("DELETE FROM archive WHERE id % 3 = {}", seed % 3);
        scene.shop.stores.new.run(&lost).await;
        let times = match point {
            Point::BeforeBackfilled | Point::Backfilled => 1,
            Point::ChunksReserved | Point::BeforeCheckpoint | Point::Checkpointed => 3,
            _of_chunks => 15,
        };
        scene.arm(point, times).await;
        let endpoint = scene.shop.proxy.endpoint(&scene.shop.stores.old);
        let churn = tokio::spawn(churn(endpoint, seed));
        let clients = scene.clients().await;
        let proxy = &scene.shop.proxy;
        let _ = tokio::task::block_in_place(|| proxy.cli(&["backfill", "--table", "archive"]));
        let findings = scene.crashed(point, clients).await;
        churn.await.unwrap();
        scene.shop.proxy.restart().await;
        let proxy = &scene.shop.proxy;
        proxy.cli(&["backfill", "--table", "archive"]).expect(0);
        scene.holds(&findings).await;
        scene.shop.stores.assert_equal(&["archive"]).await;
    }
}

/// The points of a chunk on the way back, where the new store is the primary and the old one is not written.
const REVERSE: &[Point] = &[
    Point::ChunkRead,
    Point::ChunkInserted,
    Point::ChunkChecked,
    Point::Checkpointed,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trap_08_killed_at_every_point_of_a_reverse_backfill() {
    let mut scene = Scene::of(shop().await);
    let proxy = &mut scene.shop.proxy;
    proxy.cli(&["backfill"]).expect(0);
    proxy.cli(&["verify"]).expect(0);
    proxy
        .walk(&["dual-read", "new-primary", "new-writes"])
        .await;
    for (&point, seed) in REVERSE.iter().zip(0..) {
        let lost = format!("DELETE FROM archive WHERE id % 4 = {seed}");
        scene.shop.stores.old.run(&lost).await;
        scene.arm(point, 3).await;
        let endpoint = scene.shop.proxy.endpoint(&scene.shop.stores.old);
        let churn = tokio::spawn(churn(endpoint, seed));
        let clients = scene.clients().await;
        let reverse = ["backfill", "--reverse", "--table", "archive"];
        let proxy = &scene.shop.proxy;
        let _ = tokio::task::block_in_place(|| proxy.cli(&reverse));
        let findings = scene.crashed(point, clients).await;
        churn.await.unwrap();
        scene.shop.proxy.restart().await;
        scene.holds(&findings).await;
        let proxy = &scene.shop.proxy;
        proxy.cli(&["backfill", "--reverse"]).expect(0);
        // Rows that were changed in the new store alone.
        let _ = proxy.cli(&["verify", "--reverse", "--repair"]);
        proxy.cli(&["repair", "--reverse"]).expect(0);
        proxy.cli(&["verify", "--reverse"]).expect(0);
        scene.shop.stores.assert_equal(&["archive"]).await;
        scene.shop.stores.assert_equal(&super::TABLES).await;
    }
}

/// Tables that phase 3 has left out.
const LATE: i32 = 8;
/// Longest that phase 7 takes for them.
const COPIED: Duration = Duration::from_secs(60);

async fn with_tables_for_phase_7() -> Shop {
    let names: Vec<String> = (0..LATE).map(|n| format!("late_{n}")).collect();
    let made = names
        .iter()
        .map(|name| format!("CREATE TABLE {name} (id int PRIMARY KEY, note text);"));
    let schema = format!("{HISTORY}{}", made.collect::<String>());
    let mapped = names
        .iter()
        .map(|name| format!("\n[toggle.shop.table.{name}]\n"));
    let tables = format!("{HISTORY_TABLES}{}", mapped.collect::<String>());
    let rows = names.iter().map(|name| {
        format!("INSERT INTO {name} SELECT n, 'note ' || n FROM generate_series(1, 600) n;")
    });
    let seed = format!("{HISTORY_SEED}{}", rows.collect::<String>());
    let mut shop = Shop::with("use-old", &schema, &schema, &tables, &seed, |config| {
        config.section("[reconcile]\nchunk_rows = 50\nmax_rows_per_s = 600")
    })
    .await;
    shop.proxy.flip("dual-write").await;
    for table in super::TABLES {
        shop.proxy.cli(&["backfill", "--table", table]).expect(0);
        shop.proxy.cli(&["verify", "--table", table]).expect(0);
    }
    for phase in ["dual-read", "new-primary"] {
        shop.proxy.force(phase, "phase 7 copies the rest").await;
    }
    shop.proxy.flip("new-writes").await;
    shop
}

/// Phase 7 copies by itself, and goes on by itself. What it copies is only read meanwhile (docs/decision/11).
#[tokio::test]
async fn trap_27_killed_at_every_point_of_the_backfill_of_phase_7() {
    let mut scene = Scene::of(with_tables_for_phase_7().await);
    for &point in POINTS {
        let times = match point {
            Point::BeforeBackfilled | Point::Backfilled => 1,
            _of_chunks => 3,
        };
        scene.arm(point, times).await;
        scene.shop.proxy.ask("shop", "backfill");
        let reached = scene.shop.proxy.crashed(super::REACHED).await;
        assert!(reached, "{point:?} was not reached");
    }
    scene.shop.proxy.restart().await;
    let clients = scene.clients().await;
    let proxy = &mut scene.shop.proxy;
    eventually("every table is complete", COPIED, async || {
        let toggle = proxy.toggle("shop").await;
        let complete = |name| toggle["tables"][format!("public.late_{name}")]["complete"] == true;
        (0..LATE).all(complete)
    })
    .await;
    proxy.flip("new-only").await;
    let findings = clients.stop().await;
    scene.holds(&findings).await;
    for n in 0..LATE {
        let table = format!("late_{n}");
        scene.shop.stores.assert_equal(&[&table]).await;
    }
}
