//! Writers that go around several proxies (trap 41).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossfade_tests::{Endpoint, Proxy, Stores, eventually, look_until};
use serde_json::Value;
use tokio::task::JoinSet;

use super::{Pair, SOON};

/// For how long both write beside the one that judges: longer than the counters may be late, by which much would hide.
const BESIDE: Duration = Duration::from_secs(18);
/// Until everything is counted of which somebody might not be sure.
const QUIET: Duration = Duration::from_secs(60);

/// A client that writes, through thick and thin.
async fn writes(endpoint: Endpoint, number: usize, over: Arc<AtomicBool>) {
    let statements = [
        format!(
            "INSERT INTO counters VALUES ('of {number}', 1) ON CONFLICT (name) DO UPDATE SET value = counters.value + 1"
        ),
        format!(
            "BEGIN; UPDATE orders SET total = total + 1 WHERE id = {number}; INSERT INTO orders (customer) VALUES ('by {number}'); ROLLBACK"
        ),
        format!(
            "BEGIN; UPDATE items SET quantity = 2 WHERE order_id = {number}; DELETE FROM counters WHERE name = 'of {number}'; COMMIT"
        ),
    ];
    while !over.load(Ordering::Relaxed) {
        let Ok(client) = endpoint.try_connect().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        for statement in statements.iter().cycle().take(200) {
            // A proxy that is killed fails them.
            let _ = client.batch_execute(statement).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
            if client.is_closed() || over.load(Ordering::Relaxed) {
                break;
            }
        }
    }
}

async fn around(proxy: &Proxy, table: &str, store: &str) -> Value {
    let toggle = proxy.toggle("shop").await;
    let stores = toggle["tables"][format!("public.{table}")]["around"].clone();
    let found = stores
        .as_array()
        .and_then(|stores| stores.iter().find(|one| one["store"] == store).cloned());
    found.unwrap_or_default()
}

async fn noticed(proxy: &Proxy) -> f64 {
    let metrics = proxy.metrics().await;
    metrics
        .sum("crossfade_bypassing_writes_total", &[])
        .unwrap_or(0.0)
}

/// Waits until nothing could hide there behind the proxies' own.
async fn is_quiet(proxy: &Proxy, table: &str, store: &str) {
    let look = async || around(proxy, table, store).await;
    let quiet = |seen: &Value| seen["hidden"] == 0;
    let seen = look_until(QUIET, look, quiet).await;
    assert!(quiet(&seen), "{table} of the {store} store: {seen}");
}

/// The one of the two that watches, which is the first of them by its id, once nothing could hide there; and the other.
async fn watched(pair: Pair) -> (Proxy, Proxy, Stores) {
    let Pair { stores, a, b } = pair;
    let look = async || {
        let looks = [&a, &b].map(|proxy| around(proxy, "counters", "old"));
        futures::future::join_all(looks).await
    };
    let watches = |seen: &Vec<Value>| seen.iter().any(|one| one["hidden"] == 0);
    let seen = look_until(QUIET, look, watches).await;
    assert!(watches(&seen), "{seen:?}");
    if seen[0]["hidden"] == 0 {
        (a, b, stores)
    } else {
        (b, a, stores)
    }
}

#[tokio::test]
async fn trap_41_what_several_proxies_write_is_nobody_elses() {
    let mut pair = Pair::in_phase("dual-write").await;
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 1..=6 {
        let proxy = if number % 2 == 0 { &pair.a } else { &pair.b };
        let endpoint = proxy.endpoint(&pair.stores.old);
        clients.spawn(writes(endpoint, number, over.clone()));
    }
    // The sum is judged beside the traffic of both, for a while.
    let look = async || {
        let looks = [&pair.a, &pair.b].map(|proxy| around(proxy, "counters", "old"));
        futures::future::join_all(looks).await
    };
    let judged = |seen: &Vec<Value>| seen.iter().any(|one| one["hidden"].is_u64());
    let seen = look_until(QUIET, look, judged).await;
    assert!(judged(&seen), "{seen:?}");
    tokio::time::sleep(BESIDE).await;
    for proxy in [&pair.a, &pair.b] {
        assert_eq!(noticed(proxy).await, 0.0, "{}", proxy.toggle("shop").await);
    }
    // What one had written that is killed nobody knows any more.
    pair.b.kill9();
    pair.b.restart().await;
    tokio::time::sleep(BESIDE / 4).await;
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    pair.drained().await;
    pair.assert_equal().await;

    let (watcher, other, _stores) = watched(pair).await;
    is_quiet(&watcher, "items", "new").await;
    for proxy in [&watcher, &other] {
        assert_eq!(noticed(proxy).await, 0.0, "{}", proxy.toggle("shop").await);
    }
}

#[tokio::test]
async fn trap_41_a_single_foreign_row_is_noticed_by_the_one_that_watches() {
    let pair = Pair::in_phase("dual-write").await;
    for proxy in [&pair.a, &pair.b] {
        let sql = "UPDATE counters SET value = value + 1; UPDATE items SET quantity = 3";
        super::write(proxy, &pair.stores, sql).await.unwrap();
    }
    let (mut watcher, other, stores) = watched(pair).await;
    is_quiet(&watcher, "items", "new").await;
    let said = around(&other, "counters", "old").await;
    let why = said["unseen"].as_str().unwrap_or_default();
    assert!(why.contains("watches it"), "{said}");

    stores
        .old
        .run("INSERT INTO counters VALUES ('foreign')")
        .await;
    stores.new.run("DELETE FROM items WHERE order_id = 8").await;
    eventually("both are noticed", QUIET, async || {
        around(&watcher, "counters", "old").await["changes"] == 1
            && around(&watcher, "items", "new").await["changes"] == 1
    })
    .await;
    assert_eq!(noticed(&watcher).await, 2.0);
    // It is all proxies' business.
    eventually("the other one does not trust them", SOON, async || {
        let tables = other.toggle("shop").await["tables"].clone();
        ["counters", "items"].iter().all(|table| {
            let table = &tables[format!("public.{table}")];
            table["bypassed"].is_string()
        })
    })
    .await;
    assert_eq!(noticed(&other).await, 0.0);
    let _ = other.cli(&["verify", "--repair"]);
    other.cli(&["verify"]).expect(0);

    // Where the one that watches leaves, another does.
    assert_eq!(watcher.stop(), Some(0));
    is_quiet(&other, "counters", "old").await;
    stores
        .old
        .run("UPDATE counters SET value = 5 WHERE name = 'counter 1'")
        .await;
    eventually("it is noticed", QUIET, async || {
        around(&other, "counters", "old").await["changes"] == 1
    })
    .await;
    assert_eq!(noticed(&other).await, 1.0);
}
