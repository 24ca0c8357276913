//! What a client has set in its session holds in whichever store its statements run.

use bytes::Bytes;
use crossfade_tests::{
    Wire,
    wire::{
        Frame,
        messages::{bind, execute, parse, sync},
        transcript,
    },
};

use crate::shop::Shop;

/// In 5, with a role that may not touch the table that is in the old store alone, and a tenant's table of the same name.
async fn shop() -> (Shop, String) {
    let shop = Shop::in_phase("new-primary").await;
    let role = format!("limited_{}", shop.stores.old.name());
    for store in [&shop.stores.old, &shop.stores.new] {
        store.run(&format!("DO $$ BEGIN CREATE ROLE \"{role}\"; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT \"{role}\" TO app")).await;
    }
    let tenant =
        "CREATE SCHEMA tenant; CREATE TABLE tenant.unmapped (id int PRIMARY KEY, note text)";
    shop.stores.old.run(tenant).await;
    (shop, role)
}

/// Ends the connections to the old store over which a statement on its own table has come last.
async fn end_old(shop: &Shop) {
    let sessions = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%unmapped%' AND pid <> pg_backend_pid()";
    let end = format!("SELECT pg_terminate_backend(pid) {sessions}");
    assert!(!shop.stores.old.rows(&end).await.is_empty());
    let left = format!("SELECT count(*) {sessions}");
    shop.stores.old.becomes(&left, "0").await;
}

async fn done(wire: &mut Wire, sql: &str) {
    let frames = wire.query(sql).await;
    assert!(
        frames.iter().all(|frame| frame.tag != b'E'),
        "{sql}: {frames:?}"
    );
}

fn sqlstates(frames: &[Frame]) -> Vec<String> {
    let errors = frames.iter().filter(|frame| frame.tag == b'E');
    errors.filter_map(|frame| frame.field(b'C')).collect()
}

fn one(sql: &str) -> Vec<Bytes> {
    vec![
        parse("", sql, &[]),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ]
}

/// The texts of the rows.
fn rows(frames: &[Frame]) -> Vec<String> {
    let rows = frames.iter().filter(|frame| frame.tag == b'D');
    rows.map(|row| String::from_utf8_lossy(&row.body).into_owned())
        .collect()
}

#[tokio::test]
async fn trap_32_settings_are_in_a_connection_that_was_made_again() {
    let (shop, role) = shop().await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    for sql in [
        "SET search_path = tenant, public",
        "SET TimeZone = 'Asia/Tokyo'",
        "SET my.tenant = 'seven'",
        "SET standard_conforming_strings = off",
    ] {
        done(&mut wire, sql).await;
    }
    done(&mut wire, "INSERT INTO unmapped VALUES (2, 'first')").await;
    end_old(&shop).await;
    done(&mut wire, "INSERT INTO unmapped VALUES (3, 'again')").await;
    let told = "SELECT current_setting('TimeZone') || ' ' || current_setting('my.tenant') || ' ' || current_setting('standard_conforming_strings') FROM unmapped";
    let frames = wire.query(told).await;
    assert!(
        rows(&frames)
            .iter()
            .all(|row| row.contains("Asia/Tokyo seven off")),
        "{frames:?}"
    );
    // The client knows of no other values than it has set.
    end_old(&shop).await;
    let frames = wire.query(told).await;
    assert_eq!(transcript(&frames), "TDDCZ", "{frames:?}");
    let tenant = "SELECT count(*) FROM tenant.unmapped";
    assert_eq!(shop.stores.old.value(tenant).await, "2");

    done(&mut wire, "SET search_path = public").await;
    done(&mut wire, &format!("SET ROLE \"{role}\"")).await;
    let insert = "INSERT INTO unmapped VALUES (4, 'not allowed')";
    assert_eq!(sqlstates(&wire.query(insert).await), ["42501"]);
    end_old(&shop).await;
    assert_eq!(sqlstates(&wire.query(insert).await), ["42501"]);
    done(&mut wire, "RESET ROLE").await;
    done(&mut wire, insert).await;
    assert_eq!(
        shop.stores.old.value("SELECT count(*) FROM unmapped").await,
        "2"
    );
}

#[tokio::test]
async fn trap_32_settings_and_what_depends_on_them_in_one_pipeline() {
    let (shop, role) = shop().await;
    // Whether there is a connection already or not.
    for (number, connected) in [(10, false), (20, true)] {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        if connected {
            done(&mut wire, "SELECT FROM unmapped").await;
        }
        let insert = |id| format!("INSERT INTO unmapped VALUES ({id}, 'x')");
        let pipeline = [
            one("SET search_path = tenant, public"),
            one(&insert(number)),
            one("SET search_path = public"),
            one(&insert(number + 1)),
            one("BEGIN"),
            one("SET search_path = tenant"),
            one("ROLLBACK"),
            one(&insert(number + 2)),
            one(&format!("SET ROLE \"{role}\"")),
            one(&insert(number + 3)),
            one("RESET ROLE"),
            one(&insert(number + 4)),
        ];
        wire.send(&pipeline.concat()).await;
        let mut told = Vec::new();
        for _ in &pipeline {
            told.extend(wire.ready().await);
        }
        assert_eq!(sqlstates(&told), ["42501"], "{told:?}");
        let ids = |schema| {
            format!(
                "SELECT string_agg(id::text, ',' ORDER BY id) FROM {schema}.unmapped WHERE id BETWEEN {number} AND {number} + 9"
            )
        };
        let old = &shop.stores.old;
        assert_eq!(old.value(&ids("tenant")).await, number.to_string());
        let public = [1, 2, 4].map(|more| (number + more).to_string());
        assert_eq!(old.value(&ids("public")).await, public.join(","));
    }
}

/// Set by a statement that runs in the store that is not home.
#[tokio::test]
async fn trap_32_settings_that_are_made_beside_home_hold_at_home() {
    let (shop, _) = shop().await;
    let set = "SELECT set_config('TimeZone', 'Asia/Tokyo', false) FROM unmapped";
    let ask = "SELECT current_setting('TimeZone')";
    for at_once in [false, true] {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        let told = if at_once {
            wire.send(&[one(set), one(ask)].concat()).await;
            wire.ready().await;
            wire.ready().await
        } else {
            done(&mut wire, set).await;
            wire.query(ask).await
        };
        assert!(rows(&told)[0].contains("Asia/Tokyo"), "{told:?}");
        let there = wire
            .query("SELECT current_setting('TimeZone') FROM unmapped")
            .await;
        assert!(rows(&there)[0].contains("Asia/Tokyo"), "{there:?}");
    }
}

/// No list of a server names them; the definitions that speak of them do.
#[tokio::test]
async fn trap_32_settings_that_functions_and_policies_speak_of() {
    const SCHEMA: &str = "CREATE TABLE notes (id int PRIMARY KEY, tenant text); CREATE TABLE unmapped (id int PRIMARY KEY);
        CREATE FUNCTION become(t text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config ( 'app.Tenant', t, false); SET app.plan = 'small'; END $$;
        ALTER TABLE notes ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON notes USING (current_setting('app.person', true) = 'ann')";
    let seed = "INSERT INTO notes VALUES (1, 'a'), (2, 'b'); INSERT INTO unmapped VALUES (1)";
    let mut shop = Shop::of("use-old", SCHEMA, "[toggle.shop.table.notes]\n", seed).await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    // In a relay, where nobody looks.
    for sql in ["SELECT become('a')", "SET app.person = 'ann'"] {
        done(&mut wire, sql).await;
    }
    shop.proxy.flip("dual-write").await;
    shop.complete();
    shop.proxy.walk(&["dual-read", "new-primary"]).await;
    for (tenant, stores) in [
        ("a", ["", " FROM unmapped"]),
        ("b", [" FROM unmapped", ""]),
        ("c", ["", " FROM unmapped"]),
    ] {
        let call = format!("SELECT become('{tenant}')");
        // In the one store or the other.
        match tenant {
            "a" => {}
            "b" => done(&mut wire, &call).await,
            _ => done(&mut wire, &format!("{call} FROM unmapped")).await,
        }
        for from in stores {
            let told = ["tenant", "plan", "person"]
                .map(|name| format!("current_setting('app.{name}', true)"));
            let told = format!("SELECT concat_ws(' ', {}){from}", told.join(", "));
            let frames = wire.query(&told).await;
            assert!(
                rows(&frames)[0].ends_with(&format!("{tenant} small ann")),
                "{tenant}{from}: {frames:?}"
            );
        }
    }
}

/// Nothing runs without them.
#[tokio::test]
async fn trap_32_settings_that_the_other_store_does_not_know_are_an_error_there() {
    let (shop, _) = shop().await;
    let only = "CREATE TEXT SEARCH CONFIGURATION only_here (COPY = simple)";
    shop.stores.new.run(only).await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    done(
        &mut wire,
        "SET default_text_search_config = 'public.only_here'",
    )
    .await;
    let insert = "INSERT INTO unmapped VALUES (30, 'x')";
    for _ in 0..2 {
        let frames = wire.query(insert).await;
        assert_eq!(
            (transcript(&frames), sqlstates(&frames)),
            ("EZ".into(), vec!["58000".into()])
        );
        let frames = wire.ask(&one(insert)).await;
        assert_eq!(
            (transcript(&frames), sqlstates(&frames)),
            ("EZ".into(), vec!["58000".into()])
        );
    }
    done(&mut wire, "RESET default_text_search_config").await;
    done(&mut wire, insert).await;
}

/// In 5, and never backfilled.
async fn incomplete() -> Shop {
    let mut shop = Shop::in_phase("use-old").await;
    shop.proxy.flip("dual-write").await;
    for phase in ["dual-read", "new-primary"] {
        shop.proxy.force(phase, "a test of incomplete tables").await;
    }
    shop
}

/// A lookup in both stores, in the middle of the transaction that has set something.
#[tokio::test]
async fn trap_32_settings_in_a_lookup_in_both_stores() {
    let shop = incomplete().await;
    let role = format!("looks_up_{}", shop.stores.old.name());
    let make = format!("CREATE ROLE \"{role}\"; GRANT \"{role}\" TO app");
    shop.stores.old.run(&make).await;
    let new = &shop.stores.new;
    new.run(&format!("DO $$ BEGIN CREATE ROLE \"{role}\"; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT \"{role}\" TO app; GRANT SELECT ON orders TO \"{role}\"")).await;
    let set = format!("SET ROLE \"{role}\"");
    let look = "SELECT total FROM orders WHERE id = 7";
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    for _ in 0..2 {
        done(&mut wire, "BEGIN").await;
        done(&mut wire, &set).await;
        assert_eq!(sqlstates(&wire.query(look).await), ["42501"]);
        done(&mut wire, "ROLLBACK").await;
        let frames = wire.query(look).await;
        assert_eq!(transcript(&frames), "TDCZ", "{frames:?}");
        // One implicit transaction.
        let batch = [&one(&set)[..3], &one(look)].concat();
        assert_eq!(sqlstates(&wire.ask(&batch).await), ["42501"]);
        let frames = wire.query(look).await;
        assert_eq!(transcript(&frames), "TDCZ", "{frames:?}");
    }
}

/// What is set until the transaction ends holds in both stores as well, and in neither behind its end.
#[tokio::test]
async fn trap_32_local_settings_in_a_lookup_in_both_stores() {
    let shop = incomplete().await;
    let tenant = format!("tenant_{}", shop.stores.old.name());
    let nobody = format!("nobody_{}", shop.stores.old.name());
    for store in [&shop.stores.old, &shop.stores.new] {
        store.run(&format!(
            "DO $$ BEGIN CREATE ROLE \"{tenant}\"; CREATE ROLE \"{nobody}\"; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
             GRANT SELECT ON orders TO \"{tenant}\", \"{nobody}\";
             ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
             CREATE POLICY hides ON orders TO \"{tenant}\" USING (customer IS DISTINCT FROM current_setting('my.hide', true))"
        )).await;
    }
    let moment = "UPDATE orders SET created_at = '2026-01-01 00:00+00'";
    shop.stores.old.run(moment).await;
    let look = "SELECT total FROM orders WHERE id = 7";
    let hide = "SET LOCAL my.hide = 'early 7'";
    let nobody = format!("SET LOCAL ROLE \"{nobody}\"");
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    done(&mut wire, &format!("SET ROLE \"{tenant}\"")).await;
    let (shown, hidden) = ("TDCZ", "TCZ");
    for (before, after) in [
        (&["BEGIN", hide][..], "COMMIT"),
        (&["BEGIN", &nobody], "ROLLBACK"),
        (&["BEGIN", "SAVEPOINT s", hide], "ROLLBACK TO s; COMMIT"),
        (
            &["BEGIN", "SELECT set_config('my.hide', 'early 7', true)"],
            "COMMIT",
        ),
        (
            &[
                "BEGIN",
                "SELECT set_config('my.late', '', true), set_config ('My.Hide', 'early ' || 7, true)",
            ],
            "COMMIT",
        ),
    ] {
        assert_eq!(transcript(&wire.query(look).await), shown);
        for sql in before {
            done(&mut wire, sql).await;
        }
        assert_eq!(transcript(&wire.query(look).await), hidden, "{before:?}");
        done(&mut wire, after).await;
        assert_eq!(transcript(&wire.query(look).await), shown, "{before:?}");
    }
    // Back at a savepoint it is as it was there, in both.
    for (sql, answer) in [
        ("BEGIN", "CZ"),
        ("SAVEPOINT s", "CZ"),
        (hide, "CZ"),
        (look, hidden),
        ("ROLLBACK TO s", "CZ"),
        (look, shown),
        ("COMMIT", "CZ"),
    ] {
        assert_eq!(transcript(&wire.query(sql).await), answer, "{sql}");
    }
    let at_once = format!("BEGIN; {hide}; {look}; COMMIT");
    assert_eq!(transcript(&wire.query(&at_once).await), "CCTCCZ");
    // One implicit transaction; the server may warn of that.
    let told = |frames: &[Frame]| transcript(frames).replace('N', "");
    let at_once = format!("{hide}; {look}");
    assert_eq!(told(&wire.query(&at_once).await), "CTCZ");
    let batch = [&one(hide)[..3], &one(look)].concat();
    assert_eq!(told(&wire.ask(&batch).await), "12C12CZ");
    assert_eq!(transcript(&wire.query(look).await), shown);

    let at = "SELECT created_at FROM orders WHERE id = 7";
    done(&mut wire, "BEGIN").await;
    done(&mut wire, "SET LOCAL TimeZone = 'Asia/Tokyo'").await;
    let told = rows(&wire.query(at).await);
    assert!(told[0].ends_with("2026-01-01 09:00:00+09"), "{told:?}");
    done(&mut wire, "COMMIT").await;
    let told = rows(&wire.query(at).await);
    assert!(!told[0].ends_with("+09"), "{told:?}");
}

/// Nothing is carried on account of what has ended with its transaction.
#[tokio::test]
async fn trap_16_a_store_that_is_not_used_hears_nothing_of_local_settings() {
    let (shop, _) = shop().await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let first = "SELECT note FROM unmapped WHERE id = 1";
    done(&mut wire, first).await;
    done(&mut wire, first).await;
    let last = "SELECT query || ' ' || state_change FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%unmapped%' AND pid <> pg_backend_pid()";
    let before = shop.stores.old.value(last).await;
    for end in ["COMMIT", "ROLLBACK"] {
        done(&mut wire, "BEGIN").await;
        done(&mut wire, "SET LOCAL TimeZone = 'Asia/Tokyo'").await;
        done(&mut wire, "SELECT count(*) FROM orders").await;
        done(&mut wire, end).await;
    }
    assert_eq!(shop.stores.old.value(last).await, before);
    let told = "SELECT note || current_setting('TimeZone') FROM unmapped WHERE id = 1";
    let told = rows(&wire.query(told).await);
    assert!(!told[0].contains("Tokyo"), "{told:?}");
    let sent = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%note || current_setting%' AND pid <> pg_backend_pid()";
    assert_eq!(shop.stores.old.value(sent).await, "1");
}

/// What the session's own user may set, the role at work there need not.
#[tokio::test]
async fn trap_32_settings_of_a_superuser_beside_a_role() {
    let (mut shop, role) = shop().await;
    for store in [&shop.stores.old, &shop.stores.new] {
        let grant = format!("GRANT SELECT ON unmapped, orders TO \"{role}\"");
        store.run(&grant).await;
    }
    let mut here = shop.proxy.wire(&shop.stores.old).await;
    shop.proxy.flip("dual-read").await;
    let mut moves = shop.proxy.wire(&shop.stores.old).await;
    let become_it = format!("SET ROLE \"{role}\"");
    for sql in ["SET log_duration = on", &become_it] {
        done(&mut moves, sql).await;
    }
    let told = "SELECT current_user || ' ' || current_setting('log_duration') || ' ' || current_setting('TimeZone')";
    for (phase, zone) in [
        ("new-primary", "UTC"),
        ("dual-read", "Asia/Tokyo"),
        ("new-primary", "Europe/Rome"),
    ] {
        done(&mut moves, &format!("SET TimeZone = '{zone}'")).await;
        shop.proxy.flip(phase).await;
        let frames = moves.query(told).await;
        let expected = format!("{role} on {zone}");
        assert!(rows(&frames).concat().ends_with(&expected), "{frames:?}");
    }
    for sql in ["SET log_duration = on", &become_it] {
        done(&mut here, sql).await;
    }
    for zone in ["UTC", "Asia/Tokyo"] {
        done(&mut here, &format!("SET TimeZone = '{zone}'")).await;
        let frames = here.query(&format!("{told} FROM unmapped")).await;
        let expected = format!("{role} on {zone}");
        assert!(rows(&frames).concat().ends_with(&expected), "{frames:?}");
    }
}

/// A pool gives its connection to somebody else behind it: what was in either store is gone.
#[tokio::test]
async fn trap_32_discard_all_is_of_both_stores() {
    let (mut shop, _) = shop().await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let locks = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND objid = 5 AND datname = current_database()";
    for at_once in [false, true] {
        for sql in [
            "SET my.tenant = 'seven'",
            "CREATE TEMP TABLE pool (a text)",
            "INSERT INTO pool VALUES ('private')",
            "SELECT pg_advisory_lock(5) FROM unmapped LIMIT 1",
        ] {
            done(&mut wire, sql).await;
        }
        assert_eq!(shop.stores.old.value(locks).await, "1");
        // In a block it fails, and nothing goes.
        done(&mut wire, "BEGIN").await;
        assert_eq!(sqlstates(&wire.query("DISCARD ALL").await), ["25001"]);
        done(&mut wire, "ROLLBACK").await;
        for several in ["DISCARD ALL; SELECT 1", "SELECT 1; DISCARD ALL"] {
            assert_eq!(sqlstates(&wire.query(several).await), ["25001"]);
        }
        assert_eq!(transcript(&wire.query("SELECT * FROM pool").await), "TDCZ");
        let look = "SELECT * FROM pool";
        let told = if at_once {
            wire.send(&[one("DISCARD ALL"), one(look)].concat()).await;
            wire.ready().await;
            wire.ready().await
        } else {
            done(&mut wire, "DISCARD ALL").await;
            wire.query(look).await
        };
        assert_eq!(sqlstates(&told), ["42P01"], "{told:?}");
        shop.stores.old.becomes(locks, "0").await;
        let told = "SELECT 'set: ' || coalesce(current_setting('my.tenant', true), '') FROM unmapped LIMIT 1";
        let told = rows(&wire.query(told).await);
        assert!(told[0].ends_with("set: "), "{told:?}");
    }
    done(&mut wire, "DISCARD ALL").await;

    // What stayed behind with a flip is gone as well, and does not come back with the next one.
    shop.proxy.flip("dual-read").await;
    let made = [
        "LISTEN discarded",
        "CREATE TEMP TABLE pool (a text)",
        "PREPARE mine AS SELECT 1",
    ];
    for sql in made {
        done(&mut wire, sql).await;
    }
    shop.proxy.flip("new-primary").await;
    wire.query("SELECT 1").await;
    done(&mut wire, "DISCARD ALL").await;
    shop.stores.old.run("NOTIFY discarded").await;
    shop.proxy.flip("dual-read").await;
    shop.stores.old.run("NOTIFY discarded").await;
    for sql in [
        "CREATE TEMP TABLE pool (a text)",
        "PREPARE mine AS SELECT 1",
        "SELECT pg_listening_channels()",
    ] {
        let frames = wire.query(sql).await;
        let answer = transcript(&frames);
        assert!(["CZ", "TCZ"].contains(&&answer[..]), "{sql}: {frames:?}");
    }
}

/// What a session no longer listens to, it hears of no store.
#[tokio::test]
async fn trap_32_unlisten_is_of_both_stores() {
    let mut shop = Shop::in_phase("dual-read").await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    for sql in ["LISTEN first", "LISTEN \"Second\"", "LISTEN third"] {
        done(&mut wire, sql).await;
    }
    shop.proxy.flip("new-primary").await;
    done(&mut wire, "SELECT 1").await;
    let notify = "NOTIFY first; NOTIFY \"Second\"; NOTIFY third";
    let heard = async |wire: &mut Wire| {
        let frames = [
            wire.query("SELECT 1").await,
            wire.query("SELECT pg_sleep(0.3)").await,
        ]
        .concat();
        let frames = frames.iter().filter(|frame| frame.tag == b'A');
        let heard = frames.map(|frame| String::from_utf8_lossy(&frame.body[4..]).into_owned());
        let mut heard: Vec<String> = heard.collect();
        heard.sort();
        heard.join(" ").replace('\0', "")
    };
    shop.stores.old.run(notify).await;
    assert_eq!(heard(&mut wire).await, "Second first third");
    // In a block that is rolled back it is none.
    for sql in ["BEGIN", "UNLISTEN *", "ROLLBACK"] {
        done(&mut wire, sql).await;
    }
    shop.stores.old.run(notify).await;
    assert_eq!(heard(&mut wire).await, "Second first third");
    // The other store is told before the next statement runs.
    done(&mut wire, "UNLISTEN first").await;
    done(&mut wire, "SELECT 1").await;
    shop.stores.old.run(notify).await;
    assert_eq!(heard(&mut wire).await, "Second third");
    done(&mut wire, "UNLISTEN *").await;
    done(&mut wire, "SELECT 1").await;
    shop.stores.old.run(notify).await;
    assert_eq!(heard(&mut wire).await, "");
    shop.proxy.flip("dual-read").await;
    done(&mut wire, "SELECT 1").await;
    shop.stores.old.run(notify).await;
    assert_eq!(heard(&mut wire).await, "");
}

/// The servers speak another encoding with the client than with each other.
#[tokio::test]
async fn trap_32_settings_in_another_encoding_than_utf_8() {
    let (mut shop, _) = shop().await;
    let schema = "CREATE SCHEMA \"sché\"; CREATE TABLE \"sché\".unmapped (id int PRIMARY KEY, note text); GRANT ALL ON SCHEMA \"sché\" TO app; GRANT ALL ON \"sché\".unmapped TO app";
    shop.stores.old.run(schema).await;
    let mut wires = Vec::new();
    for _ in 0..2 {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        done(&mut wire, "SET my.tenant = 'café'").await;
        done(&mut wire, "SET client_encoding = 'LATIN1'").await;
        done(&mut wire, r#"SET search_path = U&"sch\00e9", public"#).await;
        wires.push(wire);
    }
    let [moves, stays] = &mut wires[..] else {
        unreachable!()
    };
    done(stays, "INSERT INTO unmapped VALUES (71, 'x')").await;
    shop.proxy.flip("dual-read").await;
    done(moves, "INSERT INTO unmapped VALUES (72, 'x')").await;
    let told =
        "SELECT current_setting('my.tenant') = U&'caf\\00e9', current_setting('client_encoding')";
    for wire in [moves, stays] {
        let frames = wire.query(told).await;
        assert!(format!("{frames:?}").contains("LATIN1"), "{frames:?}");
        assert!(
            frames[1].body.ends_with(b"\x06LATIN1") && frames[1].body.contains(&b't'),
            "{frames:?}"
        );
    }
    let written = "SELECT string_agg(id::text, ',' ORDER BY id) FROM \"sché\".unmapped";
    assert_eq!(shop.stores.old.value(written).await, "71,72");
}

/// A connection that was made again, or to the new store, is one of the proxy's own account, whose rights the client has not.
#[tokio::test]
async fn a_session_that_comes_back_into_a_relay_stays_under_its_role() {
    let (mut shop, _) = shop().await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    done(&mut wire, "INSERT INTO unmapped VALUES (81, 'x')").await;
    end_old(&shop).await;
    shop.proxy
        .walk(&["dual-read", "dual-write", "use-old"])
        .await;
    for sql in ["SET ROLE NONE", "RESET ROLE", "SET LOCAL ROLE NONE"] {
        done(&mut wire, sql).await;
        let frames = wire.query("SELECT current_user").await;
        assert!(frames[1].body.ends_with(b"app"), "{sql}: {frames:?}");
    }
    // As any other session of that phase.
    done(&mut wire, "INSERT INTO counters (name) VALUES ('back')").await;
    let written = "SELECT count(*) FROM counters WHERE name = 'back'";
    assert_eq!(shop.stores.old.value(written).await, "1");
    assert_eq!(shop.stores.new.value(written).await, "0");
}

/// Made beside home, and the store that alone has them ends the connection: nothing goes on with others.
#[tokio::test]
async fn trap_32_settings_that_are_lost_beside_home_end_the_session() {
    let (shop, _) = shop().await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    done(&mut wire, "INSERT INTO unmapped VALUES (91, 'x')").await;
    let frames = wire
        .query("SELECT set_config('search_path', 'tenant', false) FROM unmapped LIMIT 1")
        .await;
    assert!(transcript(&frames).ends_with("DCZ"), "{frames:?}");
    end_old(&shop).await;
    let rest = crossfade_tests::within(10, "the end of the session", wire.rest()).await;
    assert_eq!(sqlstates(&rest), ["57P01"], "{rest:?}");
}
