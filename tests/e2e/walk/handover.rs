//! A session that moves from store to store with a flip, while nothing goes on in it.

use std::{process::Command, time::Duration};

use crossfade_tests::{
    ConfigBuilder, Database, SHOP, SHOP_TABLES, Wire,
    wire::{
        Frame,
        messages::{bind, cancel_request, execute, message, parse, query, sync},
        transcript,
    },
    within,
};

use crate::shop::{SEED, Shop};

/// A server's end of a session, stopped for as long as this lives.
struct Stopped(String);

impl Stopped {
    /// The one that has run this text last.
    async fn of(store: &Database, sql: &str) -> Stopped {
        let pid = format!(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = '{}' AND pid <> pg_backend_pid()",
            sql.replace('\'', "''")
        );
        let stopped = Stopped(store.value(&pid).await);
        stopped.signal("STOP");
        stopped
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.0]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{}", self.0);
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signal("CONT");
    }
}

fn sqlstates(frames: &[Frame]) -> Vec<String> {
    let errors = frames.iter().filter(|frame| frame.tag == b'E');
    errors.filter_map(|frame| frame.field(b'C')).collect()
}

async fn in_phase(phase: &str) -> Shop {
    let short = |config: ConfigBuilder| config.section("[writes]\nsecondary_timeout = \"500ms\"");
    Shop::with(phase, SHOP, SHOP, SHOP_TABLES, SEED, short).await
}

#[tokio::test]
async fn trap_34_the_unnamed_statement_lives_through_the_flip_to_3() {
    let mut shop = Shop::in_phase("use-old").await;
    let insert = |name| format!("INSERT INTO counters (name) VALUES ('{name}')");
    let mut clients = Vec::new();
    for sql in ["SELECT 5".to_owned(), insert("unnamed")] {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        wire.ask(&[parse("", &sql, &[]), sync()]).await;
        clients.push(wire);
    }
    // What the server has skipped is not taken for what it has.
    let mut skipped = shop.proxy.wire(&shop.stores.old).await;
    skipped
        .ask(&[parse("", &insert("kept"), &[]), sync()])
        .await;
    let fails = [
        parse("e", "SELECT 1/0", &[]),
        bind("", "e", &[]),
        execute("", 0),
        parse("", &insert("skipped"), &[]),
        sync(),
    ];
    assert_eq!(sqlstates(&skipped.ask(&fails).await), ["22012"]);
    shop.proxy.flip("dual-write").await;
    let run = [bind("", "", &[]), execute("", 0), sync()];
    let answers = ["2DCZ", "2CZ"];
    for (wire, answer) in std::iter::zip(&mut clients, answers) {
        let frames = wire.ask(&run).await;
        assert_eq!(transcript(&frames), answer, "{frames:?}");
    }
    // No text is better than another one.
    assert_eq!(sqlstates(&skipped.ask(&run).await), ["26000"]);
    shop.complete();
    let written =
        "SELECT string_agg(name, ',') FROM counters WHERE name IN ('unnamed', 'kept', 'skipped')";
    for store in [&shop.stores.old, &shop.stores.new] {
        store.becomes(written, "unnamed").await;
    }
}

/// The client's timeouts are for its own statements.
#[tokio::test]
async fn trap_32_short_timeouts_of_the_client_do_not_end_its_session() {
    let mut shop = Shop::in_phase("dual-read").await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        wire.query("SET lock_timeout = '70ms'").await;
        wire.query("SET statement_timeout = '1ms'").await;
        clients.push(wire);
    }
    for phase in ["new-primary", "dual-read"] {
        shop.proxy.flip(phase).await;
        for wire in &mut clients {
            // Its own statements may well take too long.
            let mut told = Vec::new();
            for _ in 0..50 {
                told = wire.query("SELECT current_setting('statement_timeout') || current_setting('lock_timeout')").await;
                if sqlstates(&told) != ["57014"] {
                    break;
                }
            }
            assert_eq!(transcript(&told), "TDCZ", "{phase}: {told:?}");
            assert!(told[1].body.ends_with(b"1ms70ms"), "{phase}: {told:?}");
        }
    }
}

/// A cancel that comes late does nothing to an idle session.
#[tokio::test]
async fn trap_16_late_cancels_do_not_end_a_session_that_moves() {
    let mut shop = Shop::in_phase("dual-read").await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(shop.proxy.wire(&shop.stores.old).await);
    }
    let keys: Vec<_> = clients.iter().map(|wire| wire.key_data().clone()).collect();
    let addr = shop.proxy.endpoint(&shop.stores.old).addr;
    let cancels = async {
        loop {
            for key in &keys {
                let mut wire = Wire::connect(addr).await;
                wire.send(&[cancel_request(key)]).await;
                wire.rest().await;
            }
        }
    };
    let flips = async {
        for phase in ["new-primary", "dual-read", "new-primary", "dual-read"] {
            shop.proxy.flip(phase).await;
        }
    };
    tokio::select! {
        () = cancels => {}
        () = flips => {}
    }
    for wire in &mut clients {
        let mut told = wire.query("SELECT 1").await;
        if sqlstates(&told) == ["57014"] {
            told = wire.query("SELECT 1").await;
        }
        assert_eq!(transcript(&told), "TDCZ", "{told:?}");
    }
}

/// The very reason to go back.
#[tokio::test]
async fn trap_16_sessions_leave_a_store_that_does_not_answer() {
    let mut shop = in_phase("dual-read").await;
    let (mark, other) = ("SELECT 'goes back'", "SELECT 'stays'");
    let mut knows = shop.proxy.wire(&shop.stores.old).await;
    knows.query("SET work_mem = '5MB'").await;
    let mut set = shop.proxy.wire(&shop.stores.old).await;
    shop.proxy.flip("new-primary").await;
    knows.query(mark).await;
    set.query("SET work_mem = '6MB'").await;
    set.query(other).await;
    let stopped = [
        Stopped::of(&shop.stores.new, mark).await,
        Stopped::of(&shop.stores.new, other).await,
    ];
    shop.proxy.flip("dual-read").await;
    // What it has set is in the old store already.
    let went = within(3, "a session that goes back", knows.query("SHOW work_mem")).await;
    let warned = went
        .iter()
        .any(|frame| frame.tag == b'N' && frame.field(b'C').as_deref() == Some("01000"));
    assert!(warned, "{went:?}");
    let row = went.iter().find(|frame| frame.tag == b'D');
    assert!(
        row.is_some_and(|row| row.body.ends_with(b"5MB")),
        "{went:?}"
    );
    // What this one has set is in the store that does not answer, and nothing may run without it.
    set.send(&[query("SHOW work_mem")]).await;
    let told = within(10, "a session that cannot be carried", set.rest()).await;
    assert_eq!(sqlstates(&told), ["08006"], "{told:?}");
    drop(stopped);
}

/// In 4 a session keeps the connection to the new store that it had in 5. A SET is no business of that one.
#[tokio::test]
async fn trap_16_a_set_does_not_wait_for_the_store_that_is_not_used() {
    let mut shop = in_phase("dual-read").await;
    let mark = "SELECT 'was here'";
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    shop.proxy.flip("new-primary").await;
    wire.query(mark).await;
    shop.proxy.flip("dual-read").await;
    wire.query("SELECT 1").await;
    let new = &shop.stores.new;
    let left = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND query LIKE 'SELECT %advisory locks%' AND pid <> pg_backend_pid()";
    let left = new.rows(left).await;
    assert!(!left.is_empty());
    let stopped: Vec<_> = left
        .iter()
        .map(|row| Stopped(row[0].clone().unwrap_or_default()))
        .collect();
    stopped.iter().for_each(|one| one.signal("STOP"));
    for sql in ["SET work_mem = '5MB'", "SELECT 1", "RESET ALL", "SELECT 2"] {
        let frames = within(3, sql, wire.query(sql)).await;
        assert_eq!(sqlstates(&frames), Vec::<String>::new(), "{frames:?}");
    }
    drop(wire);
    crossfade_tests::eventually(
        "the session has ended",
        Duration::from_secs(5),
        async || shop.proxy.status().await["clients"] == 0,
    )
    .await;
    drop(stopped);
}

/// What a text means, and what its bytes are, was set while nobody looked at texts.
#[tokio::test]
async fn trap_32_how_texts_are_read_is_known_behind_a_relay() {
    let mut shop = Shop::in_phase("use-old").await;
    let mut escapes = shop.proxy.wire(&shop.stores.old).await;
    escapes.query("SET standard_conforming_strings = off").await;
    let mut latin = shop.proxy.wire(&shop.stores.old).await;
    latin.query("SET client_encoding = 'LATIN1'").await;
    shop.proxy.flip("dual-write").await;
    shop.complete();
    let frames = escapes
        .query(r"INSERT INTO counters (name) VALUES ('it\'s; --')")
        .await;
    assert!(transcript(&frames).ends_with("CZ"), "{frames:?}");
    let write = message(b'Q', b"INSERT INTO counters (name) VALUES ('caf\xe9')\0");
    let frames = latin.ask(&[write]).await;
    let error = frames.iter().find(|frame| frame.tag == b'E');
    let code = error.and_then(|error| error.field(b'C'));
    assert_eq!(code.as_deref(), Some("0A000"), "{frames:?}");
    shop.proxy.drained().await;
    shop.assert_equal().await;
    let written = "SELECT count(*) FROM counters WHERE name LIKE 'it%'";
    assert_eq!(shop.stores.new.value(written).await, "1");
}
