//! Writers that go around the proxy (trap 41).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossfade_tests::{Endpoint, SHOP, SHOP_TABLES, Stores, Traffic, eventually, look_until};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::shop::Shop;

/// How long the proxy's own traffic goes on: longer than the store's counters may be late.
const OWN: Duration = Duration::from_secs(24);

/// Triggers of the old store that change the row at hand, and write a table that is nobody's.
const TRIGGERS: &str = "
CREATE TABLE log (at timestamptz, what text);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at = clock_timestamp(); RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (now(), TG_OP); RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON counters FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note AFTER INSERT OR DELETE ON items FOR EACH ROW EXECUTE FUNCTION note();
";

/// What a store counts although nothing comes of it, and what comes of less than was sent.
const MISHAPS: &[&str] = &[
    "BEGIN; INSERT INTO counters VALUES ('gone'), ('gone too'); UPDATE counters SET value = 1; ROLLBACK",
    "BEGIN; INSERT INTO counters VALUES ('kept', 1) ON CONFLICT (name) DO UPDATE SET value = counters.value + 1; \
        SAVEPOINT s; DELETE FROM counters WHERE name LIKE 'counter%'; ROLLBACK TO s; COMMIT",
    "INSERT INTO counters VALUES ('fresh'), ('fresher'), ('counter 1')",
    "INSERT INTO counters SELECT 'copy of ' || name FROM counters WHERE name LIKE 'counter%' UNION ALL SELECT 'counter 1'",
    "UPDATE counters SET name = 'counter 2' WHERE name = 'counter 3'",
    "UPDATE counters SET value = value / 0 WHERE name LIKE 'counter%'",
    "INSERT INTO counters VALUES ('contended') ON CONFLICT DO NOTHING",
    "DELETE FROM counters WHERE name = 'contended'",
    "INSERT INTO counters VALUES ('contended', 1) ON CONFLICT (name) DO UPDATE SET value = 2",
    // The new store does not take it, so that the repairer tries again and again.
    "UPDATE counters SET value = 13 WHERE name = 'counter 5'",
    "UPDATE items SET line = line + 1000 WHERE order_id = 3",
    "MERGE INTO counters c USING (VALUES ('contended'), ('counter 6'), ('counter 1')) s (name) ON c.name = s.name AND s.name <> 'counter 1' \
        WHEN MATCHED AND c.value > 2 THEN DELETE WHEN MATCHED THEN UPDATE SET value = c.value + 1 WHEN NOT MATCHED THEN INSERT (name) VALUES (s.name || random()::text)",
    "MERGE INTO items i USING items s ON i.order_id = s.order_id AND s.order_id = 4 WHEN MATCHED THEN UPDATE SET line = i.line + 1000",
    "MERGE INTO counters c USING (VALUES (1), (2)) s (n) ON c.name = 'counter 6' WHEN MATCHED THEN UPDATE SET value = s.n",
];

/// A client that does all of that, and now and then leaves in the middle.
async fn mishaps(endpoint: Endpoint, first: usize, over: Arc<AtomicBool>) {
    let mut client = endpoint.connect().await;
    for round in first.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        // Most of them fail, as they are meant to.
        let _ = client.batch_execute(MISHAPS[round % MISHAPS.len()]).await;
        if round % 50 == 49 {
            let left = "ROLLBACK; BEGIN; UPDATE counters SET value = 7";
            let _ = client.batch_execute(left).await;
            client = endpoint.connect().await;
        }
    }
}

/// A client that writes and goes into a transaction at once, for longer than the counters may be late otherwise: what it has written is counted afterwards.
async fn keeps_back(endpoint: &Endpoint) {
    let client = endpoint.connect().await;
    for number in 0..60 {
        let insert = format!("INSERT INTO counters VALUES ('kept back {number}')");
        client.batch_execute(&insert).await.unwrap();
    }
    client.batch_execute("BEGIN; SELECT 1").await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    client.batch_execute("COMMIT").await.unwrap();
    // A few looks.
    tokio::time::sleep(Duration::from_secs(6)).await;
}

/// The tables' parts of `around`, by table and store.
async fn around(shop: &Shop, table: &str, store: &str) -> Value {
    let toggle = shop.proxy.toggle("shop").await;
    let stores = toggle["tables"][format!("public.{table}")]["around"].clone();
    let found = stores
        .as_array()
        .and_then(|stores| stores.iter().find(|one| one["store"] == store).cloned());
    found.unwrap_or_default()
}

async fn noticed(shop: &Shop) -> f64 {
    let metrics = shop.proxy.metrics().await;
    metrics
        .sum("crossfade_bypassing_writes_total", &[])
        .unwrap_or(0.0)
}

#[tokio::test]
async fn trap_41_own_traffic_is_nobody_elses_and_a_single_foreign_row_is_noticed() {
    let stores = Stores::create_with(&format!("{SHOP}{TRIGGERS}"), SHOP).await;
    stores.old.run(crate::shop::SEED).await;
    let tables = SHOP_TABLES
        .replace(
            "[toggle.shop.table.items]",
            "[toggle.shop.table.items]\nacknowledge = [\"note\"]",
        )
        .replace(
            "[toggle.shop.table.counters]",
            "[toggle.shop.table.counters]\nacknowledge = [\"note\"]",
        )
        .replace(
            "[toggle.shop.table.orders]",
            "[toggle.shop.table.orders]\nacknowledge = [\"touch\"]",
        );
    let config = stores.config("use-old", &tables);
    let mut shop = Shop {
        proxy: crossfade_tests::Proxy::start(config).await,
        stores,
    };
    shop.proxy.flip("dual-write").await;
    shop.complete();
    let refused = "ALTER TABLE counters ADD CONSTRAINT lucky CHECK (value <> 13)";
    shop.stores.new.run(refused).await;

    let endpoint = shop.proxy.endpoint(&shop.stores.old);
    let traffic = Traffic::start(&endpoint, 3).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for first in 0..3 {
        clients.spawn(mishaps(endpoint.clone(), first * 4, over.clone()));
    }
    for _ in 0..3 {
        tokio::time::sleep(OWN / 3).await;
        // Rows that the new store lost are copied and repaired meanwhile, and those count as our own.
        let _ = shop.proxy.cli(&["backfill"]);
        let _ = shop.proxy.cli(&["verify", "--repair"]);
    }
    assert_eq!(
        noticed(&shop).await,
        0.0,
        "{}",
        shop.proxy.toggle("shop").await
    );
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let _ = traffic.stop().await.clean();
    shop.stores
        .new
        .run("ALTER TABLE counters DROP CONSTRAINT lucky")
        .await;
    // The repairer's pauses have become long by now.
    let _ = shop.proxy.cli(&["repair"]);
    shop.proxy.drained().await;
    shop.assert_equal().await;
    shop.proxy.cli(&["verify"]).expect(0);

    keeps_back(&endpoint).await;

    // In a quiet moment nothing hides behind the proxy's own.
    let look = async || {
        let mut seen = Vec::new();
        for (table, store) in [("orders", "old"), ("counters", "old"), ("items", "new")] {
            seen.push(around(&shop, table, store).await);
        }
        seen
    };
    let quiet = |seen: &Vec<Value>| seen.iter().all(|one| one["hidden"] == 0);
    let seen = look_until(Duration::from_secs(60), look, quiet).await;
    assert!(quiet(&seen), "not every table is watched: {seen:?}");
    assert_eq!(
        noticed(&shop).await,
        0.0,
        "{}",
        shop.proxy.toggle("shop").await
    );
    shop.stores
        .old
        .run("INSERT INTO counters VALUES ('foreign')")
        .await;
    shop.stores.new.run("UPDATE items SET quantity = 9 WHERE order_id = 7; DELETE FROM items WHERE order_id = 8").await;
    eventually("both are noticed", Duration::from_secs(60), async || {
        around(&shop, "counters", "old").await["changes"] == 1
            && around(&shop, "items", "new").await["changes"] == 2
    })
    .await;
    assert_eq!(noticed(&shop).await, 3.0);
    assert_eq!(around(&shop, "orders", "old").await["changes"], 0);

    let said = shop.proxy.cli(&["status"]).expect(0).stdout;
    assert!(
        said.contains("around the proxy: at least 1 row change of the old store")
            && said.contains("crossfade verify --table public.counters --repair"),
        "{said}"
    );
    assert!(
        shop.proxy
            .log()
            .contains("rows were changed around the proxy")
    );
    let reason = shop.proxy.flip_refused("dual-read").await;
    assert!(
        reason.contains("counters") && reason.contains("items") && !reason.contains("orders"),
        "{reason}"
    );
    shop.proxy.ask("shop", "dual-write");
    let _ = shop.proxy.cli(&["verify", "--repair"]);
    shop.proxy.cli(&["verify"]).expect(0);
    shop.proxy.flip("dual-read").await;
    shop.assert_equal().await;
}
