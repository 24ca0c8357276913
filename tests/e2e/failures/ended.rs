//! A store ends a connection that a session has there and does not use, as `idle_session_timeout` or a restart does: the session goes on.

use crate::shop::Shop;
use crossfade_tests::{
    Database, Wire,
    wire::{
        messages::{bind, execute, parse, sync},
        transcript,
    },
};

/// Ends the application's connections to this store. How many there were.
async fn end_connections(store: &Database) -> usize {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'app'";
    let ended = store.rows(sql).await.len();
    let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'app'";
    store.becomes(left, "0").await;
    ended
}

fn insert(name: &str) -> String {
    format!("INSERT INTO counters (name) VALUES ('{name}')")
}

async fn done(wire: &mut Wire, sql: &str) {
    let frames = wire.query(sql).await;
    assert_eq!(transcript(&frames), "CZ", "{sql}: {frames:?}");
}

/// Sessions that have come by way of `walk`, and lose what connections they have to the other store than their own.
async fn outlives(walk: &[&str], other_is_old: bool) {
    let mut shop = Shop::in_phase("dual-read").await;
    let mut idle = shop.proxy.wire(&shop.stores.old).await;
    let mut busy = shop.proxy.wire(&shop.stores.old).await;
    for phase in walk {
        shop.proxy.flip(phase).await;
        for wire in [&mut idle, &mut busy] {
            done(
                wire,
                "UPDATE counters SET value = value + 1 WHERE name = 'counter 1'",
            )
            .await;
        }
    }
    done(&mut busy, "BEGIN").await;
    done(&mut busy, &insert("in a block")).await;
    let (other, expected) = match other_is_old {
        true => (&shop.stores.old, 2),
        // Given up at the step back.
        false => (&shop.stores.new, 0),
    };
    assert_eq!(end_connections(other).await, expected, "{walk:?}");
    done(&mut busy, &insert("in the same block")).await;
    done(&mut busy, "COMMIT").await;
    done(&mut idle, &insert("simple")).await;
    let sql = insert("extended");
    let extended = [
        parse("", &sql, &[]),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    let frames = idle.ask(&extended).await;
    assert_eq!(transcript(&frames), "12CZ", "{walk:?}: {frames:?}");

    let written = "SELECT count(*) FROM counters WHERE name IN ('simple', 'extended', 'in a block', 'in the same block')";
    shop.stores.new.becomes(written, "4").await;
    if walk.last() != Some(&"new-writes") {
        shop.proxy.drained().await;
        assert_eq!(shop.stores.old.value(written).await, "4", "{walk:?}");
        shop.assert_equal().await;
    }
    shop.assert_clean().await;
}

#[tokio::test]
async fn trap_43_sessions_outlive_connections_that_they_do_not_use_in_4() {
    outlives(&["new-primary", "dual-read"], false).await;
}

#[tokio::test]
async fn trap_43_sessions_outlive_connections_that_they_do_not_use_in_5() {
    outlives(&["new-primary"], true).await;
}

#[tokio::test]
async fn trap_43_sessions_outlive_connections_that_they_do_not_use_in_6() {
    outlives(&["new-primary", "new-writes"], true).await;
}

/// The old store, where statements go that name no table as long as one toggle is at home there.
#[tokio::test]
async fn trap_43_a_session_that_loses_its_home_is_told_so_behind_its_answer() {
    let mut shop = Shop::with(
        "use-old",
        crossfade_tests::SHOP,
        crossfade_tests::SHOP,
        crossfade_tests::SHOP_TABLES,
        crate::shop::SEED,
        |config| config.toggle("rest", "use-old", "[toggle.rest.table.unmapped]\n"),
    )
    .await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    shop.proxy.flip("dual-write").await;
    for command in ["backfill", "verify"] {
        for table in ["orders", "items", "counters"] {
            shop.proxy.cli(&[command, "--table", table]).expect(0);
        }
    }
    shop.proxy.walk(&["dual-read", "new-primary"]).await;
    done(&mut wire, &insert("before")).await;
    end_connections(&shop.stores.old).await;
    // Whether the session has heard of it before its next statement or behind it: that one is answered for what became of it.
    wire.send(&[crossfade_tests::wire::messages::query(&insert("behind"))])
        .await;
    let frames = wire.rest().await;
    let answered = frames.iter().any(|frame| frame.tag == b'C');
    let told: Vec<_> = frames
        .iter()
        .filter_map(|frame| frame.field(b'C'))
        .collect();
    assert!(told.contains(&"57P01".to_owned()), "{frames:?}");
    let written = "SELECT count(*) FROM counters WHERE name = 'behind'";
    assert_eq!(
        shop.stores.new.value(written).await,
        if answered { "1" } else { "0" },
        "{frames:?}"
    );
    shop.proxy.drained().await;
    shop.assert_equal().await;
}
