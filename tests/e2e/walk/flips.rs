//! Very many flips under clients of every kind.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossfade_tests::{Endpoint, Wire, within};
use tokio::task::JoinSet;
use tokio_postgres::{Client, types::ToSql};

use crate::shop::Shop;

/// Flips, as many of them as fit into [`WITHIN`]; `CROSSFADE_FLIPS` says another number, and then all of them are made.
const FLIPS: u64 = 1000;
const WITHIN: Duration = Duration::from_secs(60);
/// Those that fit on the slowest of machines.
const AT_LEAST: u64 = 60;
/// The longest that a client of this test keeps a transaction open.
const IDLE: Duration = Duration::from_millis(15);
/// What the barrier may cost beyond the longest transaction, on a machine that does many other things.
const PAUSE: Duration = Duration::from_secs(1);

/// One round over all edges; `use-old` takes the trust away, so it costs a copy and a verify on the way back.
const ROUND: &[&str] = &[
    "new-primary",
    "dual-read",
    "new-primary",
    "dual-read",
    "new-primary",
    "dual-read",
    "new-primary",
    "dual-read",
    "dual-write",
    "dual-read",
    "new-primary",
    "dual-read",
    "new-primary",
    "dual-read",
    "dual-write",
    "dual-read",
];
/// Rounds between two spells in phase 2.
const ROUNDS_IN_DUAL_PHASES: u64 = 6;

/// Accounts whose sum never changes, and what each client has seen.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    done: AtomicU64,
    errors: Mutex<Vec<String>>,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn note(&self, kind: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => drop(self.done.fetch_add(1, Ordering::Relaxed)),
            Err(error) => self.errors.lock().unwrap().push(format!("{kind}: {error}")),
        }
    }
}

fn text(error: &tokio_postgres::Error) -> String {
    format!("{error:?}")
}

/// Statements of the driver, prepared once and for the whole run.
async fn prepared(client: Client, number: i64, shared: Arc<Shared>) {
    let add = client
        .prepare("UPDATE counters SET value = value + 1 WHERE name = $1")
        .await
        .unwrap();
    let read = client
        .prepare("SELECT value FROM counters WHERE name = $1")
        .await
        .unwrap();
    let name = format!("counter {number}");
    let mut value = 0;
    while shared.goes_on() {
        let outcome = async {
            let changed = client.execute(&add, &[&name]).await.map_err(|e| text(&e))?;
            value += 1;
            let row = client
                .query_one(&read, &[&name])
                .await
                .map_err(|e| text(&e))?;
            let seen: i64 = row.get(0);
            match (changed, seen == value) {
                (1, true) => Ok(()),
                _ => Err(format!(
                    "{changed} rows changed, {seen} seen where {value} was written"
                )),
            }
        };
        shared.note("prepared", outcome.await);
    }
}

/// Explicit transactions that move money, with a read of SQL-level PREPARE, and now and then a rollback to a savepoint.
async fn transfers(client: Client, number: i64, shared: Arc<Shared>) {
    let (from, to) = (format!("{}", 10 + number), format!("{}", 11 + number));
    while shared.goes_on() {
        let moves = format!(
            "BEGIN; UPDATE orders SET total = total - 1 WHERE id = {from}; SAVEPOINT s; \
             UPDATE orders SET total = total + 100 WHERE id = {to}; ROLLBACK TO s; \
             UPDATE orders SET total = total + 1 WHERE id = {to}; COMMIT"
        );
        let outcome = client.batch_execute(&moves).await.map_err(|e| text(&e));
        shared.note("transfer", outcome);
    }
}

/// Sits idle in a transaction between its statements.
async fn idle(mut client: Client, number: i64, shared: Arc<Shared>) {
    while shared.goes_on() {
        let outcome = async {
            let transaction = client.transaction().await?;
            let id: i64 = transaction
                .query_one(
                    "INSERT INTO orders (customer) VALUES ($1) RETURNING id",
                    &[&format!("idle {number}")],
                )
                .await?
                .get(0);
            tokio::time::sleep(IDLE).await;
            transaction
                .execute("INSERT INTO items VALUES ($1, 1, 'tea')", &[&id])
                .await?;
            transaction
                .execute("DELETE FROM items WHERE order_id = $1", &[&id])
                .await?;
            transaction
                .execute("DELETE FROM orders WHERE id = $1", &[&id])
                .await?;
            transaction.commit().await
        };
        shared.note("idle", outcome.await.map_err(|e| text(&e)));
    }
}

/// Sends several statements before it reads an answer: the driver pipelines what is polled together.
async fn pipelined(client: Client, number: i64, shared: Arc<Shared>) {
    let insert = client
        .prepare("INSERT INTO items (order_id, line, product) VALUES ($1, $2, 'p')")
        .await
        .unwrap();
    let delete = client
        .prepare("DELETE FROM items WHERE order_id = $1 AND line = $2")
        .await
        .unwrap();
    // Of no order that the sequence will ever name.
    let order = -number;
    while shared.goes_on() {
        let outcome = async {
            let (first, second): ([&(dyn ToSql + Sync); 2], [&(dyn ToSql + Sync); 2]) =
                ([&order, &1_i32], [&order, &2_i32]);
            let (a, b, c, d) = tokio::join!(
                client.execute(&insert, &first),
                client.execute(&insert, &second),
                client.execute(&delete, &first),
                client.execute(&delete, &second),
            );
            let rows = [a, b, c, d].into_iter().collect::<Result<Vec<u64>, _>>();
            match rows.map_err(|e| text(&e))? {
                rows if rows == [1, 1, 1, 1] => Ok(()),
                rows => Err(format!("a pipeline changed {rows:?} rows")),
            }
        };
        shared.note("pipelined", outcome.await);
    }
}

/// Reads by a statement of SQL-level PREPARE, within one transaction: it lives on one server.
async fn sql_level(client: Client, shared: Arc<Shared>) {
    while shared.goes_on() {
        let read = "BEGIN; PREPARE p AS SELECT value FROM counters WHERE name = $1; EXECUTE p('counter 1'); DEALLOCATE p; COMMIT";
        shared.note(
            "SQL-level PREPARE",
            client.batch_execute(read).await.map_err(|e| text(&e)),
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn start(endpoint: &Endpoint, shared: &Arc<Shared>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for number in 1..=2 {
        clients.spawn(prepared(endpoint.connect().await, number, shared.clone()));
        clients.spawn(transfers(
            endpoint.connect().await,
            number * 5,
            shared.clone(),
        ));
        clients.spawn(idle(endpoint.connect().await, number, shared.clone()));
        clients.spawn(pipelined(endpoint.connect().await, number, shared.clone()));
    }
    clients.spawn(sql_level(endpoint.connect().await, shared.clone()));
    clients
}

/// Moves the toggle by hand and waits until that is effective.
async fn flip(shop: &mut Shop, phase: &str) {
    shop.proxy.ask("shop", phase);
    shop.proxy.reload();
    let began = Instant::now();
    loop {
        let toggle = shop.proxy.toggle("shop").await;
        if toggle["effective"] == phase {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "the flip to {phase} did not come about: {toggle}"
        );
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

fn percentile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len() - 1;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    sorted[((last as f64) * part).round() as usize]
}

#[tokio::test]
async fn a_thousand_flips_cost_no_client_an_error() {
    let (flips, limit) = match std::env::var("CROSSFADE_FLIPS") {
        Ok(text) => (text.parse().unwrap(), Duration::MAX),
        Err(_) => (FLIPS, WITHIN),
    };
    let mut shop = Shop::in_phase("dual-read").await;
    let sum = "SELECT sum(total) FROM orders WHERE id <= 50";
    let before = shop.stores.old.value(sum).await;
    let shared = Arc::new(Shared::default());
    let mut clients = start(&shop.proxy.endpoint(&shop.stores.old), &shared).await;
    // A client that only sits there, in the middle of nothing, and one that says something after every round.
    let mut quiet: Wire = shop.proxy.wire(&shop.stores.old).await;
    let (mut made, mut round, mut pauses, mut drains) = (0, 0, Vec::new(), Vec::new());
    let began = Instant::now();
    while made < flips && began.elapsed() < limit {
        for phase in ROUND {
            let from = shop.proxy.config().phase("shop").to_owned();
            flip(&mut shop, phase).await;
            made += 1;
            if *phase == "new-primary" || from == "new-primary" {
                let toggle = shop.proxy.toggle("shop").await;
                pauses.push(toggle["pause_ms"].as_f64().unwrap());
                drains.push(toggle["drain_ms"].as_f64().unwrap());
            }
        }
        round += 1;
        if round % ROUNDS_IN_DUAL_PHASES == 0 {
            for phase in ["dual-write", "use-old", "dual-write"] {
                flip(&mut shop, phase).await;
            }
            shop.complete_again();
            flip(&mut shop, "dual-read").await;
            made += 4;
        }
        quiet.query("SELECT 1").await;
        let errors = shared.errors.lock().unwrap().clone();
        assert!(
            errors.is_empty(),
            "after {made} flips: {:#?}",
            &errors[..errors.len().min(5)]
        );
    }
    let took = began.elapsed();
    assert!(made >= flips.min(AT_LEAST), "only {made} flips in {took:?}");
    shared.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = within(30, "the clients end", clients.join_next()).await {
        ended.unwrap();
    }
    let errors = shared.errors.lock().unwrap().clone();
    assert!(errors.is_empty(), "{:#?}", &errors[..errors.len().min(5)]);
    shop.proxy.drained().await;
    assert_eq!(shop.stores.old.value(sum).await, before);
    assert_eq!(shop.stores.new.value(sum).await, before);
    shop.stores
        .assert_equal(&["orders", "items", "counters"])
        .await;
    report(&shop, made, took, &shared, &pauses, &drains).await;
}

async fn report(
    shop: &Shop,
    made: u64,
    took: Duration,
    shared: &Shared,
    pauses: &[f64],
    drains: &[f64],
) {
    let mut beyond: Vec<f64> = std::iter::zip(pauses, drains)
        .map(|(pause, drain)| pause - drain)
        .collect();
    let mut pauses = pauses.to_vec();
    for list in [&mut beyond, &mut pauses] {
        list.sort_by(f64::total_cmp);
    }
    let done = shared.done.load(Ordering::Relaxed);
    // Trap 41: a spell in phase 2, however short, is no writer around the proxy.
    let around = shop
        .proxy
        .metrics()
        .await
        .sum("crossfade_bypassing_writes_total", &[]);
    assert_eq!(around.unwrap_or(0.0), 0.0, "own writes are somebody else's");
    let waits = shop
        .proxy
        .metrics()
        .await
        .sum("crossfade_barrier_wait_seconds_count", &[]);
    println!(
        "{made} flips in {took:?}, {done} transactions without an error, {} waits of clients at the barrier; {} changes of the primary: \
         closed for {:.1} ms (median), {:.1} ms (p99), of it beyond the last transaction {:.1} ms (median), {:.1} ms (p99)",
        waits.unwrap_or(0.0),
        pauses.len(),
        percentile(&pauses, 0.5),
        percentile(&pauses, 0.99),
        percentile(&beyond, 0.5),
        percentile(&beyond, 0.99),
    );
    assert!(
        waits.unwrap_or(0.0) > 0.0,
        "nobody waited at the barrier, or nobody counted"
    );
    assert!(
        percentile(&beyond, 0.99) < PAUSE.as_secs_f64() * 1000.0,
        "the barrier was closed for {beyond:?} ms beyond the last transaction"
    );
}
