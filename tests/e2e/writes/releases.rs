//! PostgreSQL 18: as the store that one moves to from an earlier release, and what its SQL can say.

use crate::shop::Shop;
use crossfade_tests::{Stores, wire::Frame};

const TABLES: &str = "
[toggle.shop.table.things]
[toggle.shop.table.parents]
[toggle.shop.table.children]
";

const SCHEMA: &str = "
    CREATE TABLE things (id int PRIMARY KEY, a int, b text DEFAULT 'd', shown int GENERATED ALWAYS AS (a * 2) VIRTUAL, kept int GENERATED ALWAYS AS (a * 3) STORED);
    CREATE TABLE parents (id int PRIMARY KEY, name text);
    CREATE TABLE children (id uuid PRIMARY KEY DEFAULT uuidv7(), parent int REFERENCES parents ON DELETE CASCADE NOT ENFORCED, note text);";

const SEED: &str = "
    INSERT INTO things (id, a) SELECT n, n FROM generate_series(1, 20) n;
    INSERT INTO parents SELECT n, 'p' FROM generate_series(1, 10) n;
    INSERT INTO children SELECT ('00000000-0000-0000-0000-0000000000' || n)::uuid, n - 10, 'n' FROM generate_series(11, 40) n;";

/// Statements that earlier releases do not know.
const STATEMENTS: &[&str] = &[
    "INSERT INTO things (id, a) VALUES (31, 1), (32, 2) RETURNING old.id, new.id, new.shown, new.kept",
    "UPDATE things SET a = a + 10 WHERE id < 5 RETURNING old.a, new.a, old.shown, new.shown, shown",
    "UPDATE things old SET a = old.a + 10 WHERE id < 5 RETURNING old.a, new.a",
    "UPDATE things x SET a = x.a + 10, id = 100 + id WHERE x.id = 6 RETURNING WITH (OLD AS o, NEW AS n) o.a, n.a, o.id, n.id, x.shown",
    "INSERT INTO things (id, a) VALUES (1, 7), (33, 3) ON CONFLICT (id) DO UPDATE SET a = excluded.a RETURNING old.a, new.a, kept",
    "DELETE FROM things WHERE id = 3 RETURNING old.*, new.id, *",
    "WITH u AS (UPDATE things SET a = a + 1 WHERE id IN (4, 5) RETURNING old.a AS before, new.a AS behind) SELECT * FROM u ORDER BY 1",
    "MERGE INTO things t USING (VALUES (1, 100), (34, 9)) s (i, a) ON t.id = s.i WHEN MATCHED THEN UPDATE SET a = s.a WHEN NOT MATCHED THEN INSERT (id, a) VALUES (s.i, s.a)",
    "UPDATE things SET b = DEFAULT, a = 5 WHERE shown = 16 RETURNING *",
    "UPDATE things SET shown = 5",
    "INSERT INTO children (parent, note) VALUES (99, 'nobody looks') RETURNING parent, uuid_extract_version(id)",
    // The children stay: nobody looks after their key.
    "DELETE FROM parents WHERE id = 1",
    "UPDATE parents SET id = 11 WHERE id = 2",
];

/// What the client is told, but for the settings of a server that changed and the number of a table of its own.
fn said(frames: &[Frame]) -> Vec<String> {
    let told = frames.iter().filter(|frame| !b"ST".contains(&frame.tag));
    told.map(|frame| format!("{frame:?}")).collect()
}

async fn assert_alike(stores: &Stores) {
    stores
        .assert_equal(&["things", "parents", "children"])
        .await;
}

#[tokio::test]
async fn trap_10_what_a_later_release_can_say_is_carried() {
    for phase in ["dual-write", "new-primary"] {
        let stores = Stores::later(SCHEMA, SCHEMA).await;
        let shop = Shop::between(stores, phase, TABLES, SEED, |config| config).await;
        // What the server answers by itself.
        let alone = Stores::later(SCHEMA, "").await.old;
        alone.run(SEED).await;
        let mut direct = alone.direct().wire().await;
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        for sql in STATEMENTS {
            let (expected, answer) = (direct.query(sql).await, wire.query(sql).await);
            assert_eq!(said(&answer), said(&expected), "{phase}: {sql}");
        }
        assert_alike(&shop.stores).await;
        for table in ["things", "parents"] {
            let rows = format!("SELECT * FROM {table} ORDER BY id");
            let (expected, found) = (alone.rows(&rows).await, shop.stores.old.rows(&rows).await);
            assert_eq!(found, expected, "{phase}");
        }
        let orphans = "SELECT count(*) FROM children WHERE parent IN (1, 2)";
        assert_eq!(shop.stores.new.value(orphans).await, "2");
        shop.assert_clean().await;
    }
}

#[tokio::test]
async fn what_a_merge_of_a_later_release_writes_unseen_is_refused() {
    let stores = Stores::later(SCHEMA, SCHEMA).await;
    let shop = Shop::between(stores, "dual-write", TABLES, SEED, |config| config).await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let merge = "MERGE INTO things t USING (VALUES (1)) s (i) ON t.id = s.i";
    for (rest, advice) in [
        (
            "WHEN MATCHED THEN DELETE RETURNING merge_action(), t.*",
            "RETURNING",
        ),
        ("WHEN NOT MATCHED BY SOURCE THEN DELETE", "of its own"),
    ] {
        let frames = wire.query(&format!("{merge} {rest}")).await;
        assert_eq!(frames[0].field(b'C').unwrap(), "0A000", "{frames:?}");
        assert!(
            frames[0].field(b'H').unwrap().contains(advice),
            "{frames:?}"
        );
    }
    assert_alike(&shop.stores).await;
}

/// COPY that leaves out what it cannot read.
#[tokio::test]
async fn trap_15_a_copy_that_passes_over_errors() {
    use crossfade_tests::wire::{
        messages::{copy_data, copy_done, query},
        transcript,
    };
    for phase in ["dual-write", "new-primary"] {
        let stores = Stores::later(SCHEMA, SCHEMA).await;
        let shop = Shop::between(stores, phase, TABLES, SEED, |config| config).await;
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        for (options, outcome) in [("", "NNCZ"), (", REJECT_LIMIT 1", "EZ")] {
            let copy = format!(
                "COPY things (id, a) FROM STDIN WITH (ON_ERROR ignore, LOG_VERBOSITY verbose{options})"
            );
            wire.send(&[query(&copy)]).await;
            let data = b"50\t1\nx\t2\ny\t3\n51\t4\n";
            let frames = wire.ask(&[copy_data(data), copy_done()]).await;
            let shown = transcript(&frames).replace(['S', 'G'], "");
            assert!(shown.ends_with(outcome), "{phase}: {copy}: {frames:?}");
        }
        shop.stores
            .new
            .becomes("SELECT sum(kept) FROM things WHERE id > 20", "15")
            .await;
        assert_alike(&shop.stores).await;
    }
}

#[tokio::test]
async fn trap_16_a_transaction_that_lasts_too_long_is_undone_in_both() {
    let stores = Stores::later(SCHEMA, SCHEMA).await;
    let shop = Shop::between(stores, "dual-write", TABLES, SEED, |config| config).await;
    let client = shop.client().await;
    let slow = "BEGIN; SET LOCAL transaction_timeout = '300ms'; INSERT INTO parents VALUES (50, 'slow'); SELECT pg_sleep(5); COMMIT";
    let error = client.batch_execute(slow).await.unwrap_err();
    // A client may see the end of its connection before it sees why.
    let code = error.code().map(|code| code.code().to_owned());
    assert!(code.is_none_or(|code| code == "25P04"), "{error:?}");
    for store in [&shop.stores.old, &shop.stores.new] {
        store
            .becomes("SELECT count(*) FROM parents WHERE id = 50", "0")
            .await;
    }
    shop.run("INSERT INTO parents VALUES (51, 'in time')").await;
    assert_alike(&shop.stores).await;
    shop.assert_clean().await;
}

/// From a release that computes a column when it is written to one that computes it when it is read, and back.
#[tokio::test]
async fn trap_33_to_a_later_release_and_back() {
    let earlier = SCHEMA
        .replace("VIRTUAL", "STORED")
        .replace(" NOT ENFORCED", "")
        .replace("REFERENCES parents ON DELETE CASCADE", "")
        .replace("uuidv7()", "gen_random_uuid()");
    let stores = Stores::to_later(&earlier, SCHEMA).await;
    let mut shop = Shop::between(stores, "dual-write", TABLES, SEED, |config| config).await;
    let mut next = 100;
    for phase in [
        "dual-read",
        "new-primary",
        "new-writes",
        "new-primary",
        "dual-read",
        "dual-write",
    ] {
        if next == 103 || next == 104 {
            // Of 6, and of the way back from it: the old store lacks writes.
            let _ = shop.proxy.cli(&["verify", "--reverse", "--repair"]);
            shop.proxy.cli(&["verify", "--reverse"]).expect(0);
        }
        shop.proxy.flip(phase).await;
        next += 1;
        shop.run(&format!(
            "INSERT INTO things (id, a) VALUES ({next}, {next}); UPDATE things SET a = a + 1 WHERE shown % 4 = 0; \
             DELETE FROM parents WHERE id = {next} - 100; INSERT INTO children (parent, note) VALUES ({next}, '{phase}')"
        ))
        .await;
    }
    shop.proxy.drained().await;
    shop.proxy.cli(&["verify"]).expect(0);
    assert_alike(&shop.stores).await;
}

#[tokio::test]
async fn a_limit_on_transactions_moves_with_its_session() {
    let stores = Stores::later(SCHEMA, SCHEMA).await;
    let mut shop = Shop::between(stores, "dual-read", TABLES, SEED, |config| config).await;
    let client = shop.client().await;
    client
        .batch_execute("SET transaction_timeout = '40s'; BEGIN READ ONLY; SELECT 1; COMMIT")
        .await
        .unwrap();
    for phase in ["new-primary", "dual-read"] {
        shop.proxy.flip(phase).await;
        let row = client.query_one("SHOW transaction_timeout", &[]).await;
        assert_eq!(row.unwrap().get::<_, String>(0), "40s", "{phase}");
    }
}
