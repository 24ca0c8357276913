//! Backfill beside clients that change, delete and bring back the rows that it copies.

use crossfade_crash::Point;
use crossfade_tests::{
    Endpoint,
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
