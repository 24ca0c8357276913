//! Rows that actions of foreign keys change (trap 10): the secondary gets them whatever constraints it has itself.

use std::time::{Duration, Instant};

use crossfade_tests::{ConfigBuilder, Postgres, Proxy, Stores};
use tokio_postgres::{Client, error::SqlState};

use crate::shop::Shop;

const ACTING: &str = "
    CREATE TABLE parents (id int PRIMARY KEY, code text NOT NULL UNIQUE, name text, UNIQUE (id, code));
    CREATE TABLE children (id int PRIMARY KEY, parent int CONSTRAINT kin REFERENCES parents ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED, note text);
    CREATE TABLE grandchildren (id date PRIMARY KEY, child int CONSTRAINT grand REFERENCES children ON DELETE CASCADE);
    CREATE TABLE guests (id int PRIMARY KEY, host int CONSTRAINT host REFERENCES parents ON DELETE SET NULL, room int DEFAULT 9 CONSTRAINT room REFERENCES parents ON DELETE SET DEFAULT);
    CREATE TABLE pairs (id int PRIMARY KEY, one int, two text, CONSTRAINT pair FOREIGN KEY (one, two) REFERENCES parents (id, code) MATCH FULL ON DELETE CASCADE);
    CREATE TABLE lines (parent int CONSTRAINT of REFERENCES parents ON DELETE CASCADE, line int, PRIMARY KEY (parent, line));
    CREATE TABLE nodes (id int PRIMARY KEY, above int CONSTRAINT above REFERENCES nodes ON DELETE CASCADE ON UPDATE CASCADE);";
const BARE: &str = "
    CREATE TABLE parents (id int PRIMARY KEY, code text NOT NULL, name text);
    CREATE TABLE children (id int PRIMARY KEY, parent int, note text);
    CREATE TABLE grandchildren (id date PRIMARY KEY, child int);
    CREATE TABLE guests (id int PRIMARY KEY, host int, room int DEFAULT 9);
    CREATE TABLE pairs (id int PRIMARY KEY, one int, two text);
    CREATE TABLE lines (parent int, line int, PRIMARY KEY (parent, line));
    CREATE TABLE nodes (id int PRIMARY KEY, above int);";
const NAMES: [&str; 7] = [
    "parents",
    "children",
    "grandchildren",
    "guests",
    "pairs",
    "lines",
    "nodes",
];
const SEED: &str = "
    INSERT INTO parents SELECT n, 'c' || n, 'p' FROM generate_series(1, 20) n;
    INSERT INTO children SELECT n, n % 20 + 1, 'n' FROM generate_series(1, 60) n;
    INSERT INTO grandchildren SELECT date '2020-01-01' + n, n % 60 + 1 FROM generate_series(1, 90) n;
    INSERT INTO guests SELECT n, n % 20 + 1, (n + 3) % 20 + 1 FROM generate_series(1, 40) n;
    INSERT INTO pairs SELECT n, n % 20 + 1, 'c' || n % 20 + 1 FROM generate_series(1, 40) n;
    INSERT INTO lines SELECT n % 20 + 1, n FROM generate_series(1, 40) n;
    INSERT INTO nodes SELECT n, nullif(n / 2, 0) FROM generate_series(1, 40) n; INSERT INTO nodes VALUES (50, 51), (51, 50), (52, 52);";

/// The tables, with what only one store has acknowledged.
fn tables(acknowledged: bool) -> String {
    let acknowledge = |table: &str| match table {
        "children" => "acknowledge = [\"kin\"]\n",
        "grandchildren" => "acknowledge = [\"grand\"]\n",
        "guests" => "acknowledge = [\"host\", \"room\"]\n",
        "pairs" => "acknowledge = [\"pair\"]\n",
        "lines" => "acknowledge = [\"of\"]\n",
        "nodes" => "acknowledge = [\"above\"]\n",
        _ => "",
    };
    let section = |table: &&str| {
        let lines = if acknowledged { acknowledge(table) } else { "" };
        format!("[toggle.shop.table.{table}]\n{lines}")
    };
    NAMES.iter().map(section).collect()
}

/// A shop whose tables act, in both stores or in the primary alone.
async fn acting(phase: &str, both: bool) -> Shop {
    let new = if both { ACTING } else { BARE };
    Shop::with(phase, ACTING, new, &tables(!both), SEED, |config| config).await
}

async fn assert_alike(shop: &Shop) {
    shop.proxy.drained().await;
    shop.stores.assert_equal(&NAMES).await;
}

/// The phases, each with constraints in both stores, and where the old one is the primary also without any in the new.
const KINDS: [(&str, bool); 4] = [
    ("dual-write", false),
    ("dual-write", true),
    ("dual-read", false),
    ("new-primary", true),
];

fn code(error: &tokio_postgres::Error) -> Option<&SqlState> {
    error.code()
}

#[tokio::test]
async fn trap_10_what_foreign_keys_change_is_carried() {
    for (phase, both) in KINDS {
        let shop = acting(phase, both).await;
        let client = shop.client().await;
        // One level, many levels, SET NULL, SET DEFAULT, composite, all at once.
        let gone = client
            .simple_query("DELETE FROM parents WHERE id < 3 RETURNING id")
            .await
            .unwrap();
        assert_eq!(gone.len(), 4, "{gone:?}");
        let delete = client
            .prepare("DELETE FROM parents WHERE id = $1 RETURNING name")
            .await
            .unwrap();
        for id in 3..6 {
            let names = client.query(&delete, &[&id]).await.unwrap();
            assert_eq!((names.len(), names[0].len()), (1, 1));
        }
        assert_eq!(client.execute("DELETE FROM parents USING children c WHERE c.parent = parents.id AND c.id = 46", &[]).await.unwrap(), 1);
        shop.stores
            .new
            .becomes("SELECT count(*) FROM guests WHERE host IS NULL", "12")
            .await;
        shop.assert_clean().await;
        // Trees and circles.
        client
            .batch_execute("DELETE FROM nodes WHERE id IN (2, 50, 52)")
            .await
            .unwrap();
        // A WITH query, and one that writes the rows that another's action changes.
        client.batch_execute("WITH gone AS (DELETE FROM parents WHERE id = 8 RETURNING id) SELECT count(*) FROM gone").await.unwrap();
        client.batch_execute("WITH gone AS (DELETE FROM parents WHERE id = 10 RETURNING id) UPDATE guests SET room = 11 FROM gone WHERE host = gone.id").await.unwrap();
        shop.assert_clean().await;
        assert_alike(&shop).await;
        for table in ["children", "grandchildren", "guests", "pairs", "nodes"] {
            let left: u32 = shop
                .stores
                .old
                .value(&format!("SELECT count(*) FROM {table}"))
                .await
                .parse()
                .unwrap();
            assert!(left > 0 && left < 90, "{table} {left}");
        }
    }
}

#[tokio::test]
async fn trap_10_a_parent_that_is_deleted_and_put_in_again_has_no_children() {
    for (phase, both) in KINDS {
        let shop = acting(phase, both).await;
        shop.run("BEGIN; DELETE FROM parents WHERE id = 7; INSERT INTO parents VALUES (7, 'c7', 'again'); COMMIT").await;
        shop.run("BEGIN; DELETE FROM parents WHERE id = 8; INSERT INTO parents VALUES (8, 'c8', 'again'); INSERT INTO children VALUES (7, 8, 'back'); COMMIT").await;
        shop.run("BEGIN; DELETE FROM children WHERE parent = 11; DELETE FROM parents WHERE id = 11; INSERT INTO parents VALUES (11, 'c11', 'again'); COMMIT").await;
        // One message, one transaction.
        shop.run(
            "DELETE FROM parents WHERE id = 12; INSERT INTO parents VALUES (12, 'c12', 'again')",
        )
        .await;
        shop.stores
            .new
            .becomes(
                "SELECT count(*) FROM children WHERE parent IN (7, 8, 11, 12)",
                "1",
            )
            .await;
        shop.assert_clean().await;
        assert_alike(&shop).await;
    }
}

#[tokio::test]
async fn trap_12_what_is_undone_has_changed_nothing_below() {
    for (phase, both) in [("dual-write", false), ("new-primary", true)] {
        let shop = acting(phase, both).await;
        let client = shop.client().await;
        client
            .batch_execute("BEGIN; DELETE FROM parents WHERE id = 1; ROLLBACK")
            .await
            .unwrap();
        client.batch_execute("BEGIN; UPDATE parents SET name = 'x' WHERE id = 2; SAVEPOINT s; DELETE FROM parents WHERE id < 5; ROLLBACK TO s; DELETE FROM parents WHERE id = 6; COMMIT").await.unwrap();
        client.batch_execute("DISCARD ALL").await.unwrap();
        client
            .batch_execute("DELETE FROM parents WHERE id = 7")
            .await
            .unwrap();
        // An error in the middle undoes the whole message.
        client
            .batch_execute("DELETE FROM parents WHERE id = 8; SELECT 1 / 0")
            .await
            .unwrap_err();
        let delete = client
            .prepare("DELETE FROM parents WHERE id = $1")
            .await
            .unwrap();
        client.batch_execute("BEGIN").await.unwrap();
        client.execute(&delete, &[&11]).await.unwrap();
        client.batch_execute("ROLLBACK").await.unwrap();
        client.execute(&delete, &[&10]).await.unwrap();
        client
            .batch_execute("BEGIN; SELECT 1 / 0")
            .await
            .unwrap_err();
        client.batch_execute("COMMIT").await.unwrap();
        assert_eq!(
            shop.stores.old.value("SELECT count(*) FROM parents").await,
            "17"
        );
        shop.assert_clean().await;
        assert_alike(&shop).await;
    }
}

/// What points to a key that changes goes along.
#[tokio::test]
async fn trap_09_a_key_that_others_point_to_changes() {
    const SCHEMA: &str = "
        CREATE TABLE parents (id int PRIMARY KEY, name text);
        CREATE TABLE children (id int PRIMARY KEY, parent int CONSTRAINT kin REFERENCES parents ON DELETE CASCADE ON UPDATE CASCADE);
        CREATE TABLE grandchildren (id int PRIMARY KEY, child int CONSTRAINT grand REFERENCES children ON DELETE CASCADE);
        CREATE TABLE guests (id int PRIMARY KEY, host int CONSTRAINT host REFERENCES parents ON DELETE SET NULL ON UPDATE SET NULL);
        CREATE TABLE nodes (id int PRIMARY KEY, above int CONSTRAINT above REFERENCES nodes ON DELETE CASCADE ON UPDATE CASCADE);";
    const TABLES: &str = "[toggle.shop.table.parents]\n[toggle.shop.table.children]\n[toggle.shop.table.grandchildren]\n[toggle.shop.table.guests]\n[toggle.shop.table.nodes]\n";
    const SEED: &str = "INSERT INTO parents SELECT n, 'p' FROM generate_series(1, 9) n;
        INSERT INTO children SELECT n, n % 9 + 1 FROM generate_series(1, 40) n;
        INSERT INTO grandchildren SELECT n, n % 40 + 1 FROM generate_series(1, 80) n;
        INSERT INTO guests SELECT n, n % 9 + 1 FROM generate_series(1, 20) n;
        INSERT INTO nodes SELECT n, nullif(n / 2, 0) FROM generate_series(1, 20) n;";
    for phase in ["dual-write", "new-primary"] {
        let shop = Shop::of(phase, SCHEMA, TABLES, SEED).await;
        let client = shop.client().await;
        client
            .batch_execute("UPDATE parents SET id = 50 WHERE id = 5")
            .await
            .unwrap();
        assert_eq!(
            client
                .execute("UPDATE parents SET id = $1 WHERE id = $2", &[&60, &6])
                .await
                .unwrap(),
            1
        );
        client
            .batch_execute("UPDATE parents SET id = id + 100 WHERE id < 4")
            .await
            .unwrap();
        client
            .batch_execute("UPDATE nodes SET id = id + 100 WHERE id < 11")
            .await
            .unwrap();
        shop.stores
            .new
            .becomes("SELECT count(*) FROM grandchildren", "80")
            .await;
        shop.stores
            .new
            .becomes("SELECT count(*) FROM children WHERE parent > 40", "23")
            .await;
        shop.proxy.drained().await;
        shop.stores
            .assert_equal(&["parents", "children", "grandchildren", "guests", "nodes"])
            .await;
    }
}

/// More than a session holds: what goes ahead, and what is read again.
#[tokio::test]
async fn trap_12_more_rows_below_than_a_transaction_holds() {
    const MORE: &str = "INSERT INTO children SELECT n, 20, repeat('x', 50) FROM generate_series(1000, 14000) n; INSERT INTO children SELECT n, 19, 'few' FROM generate_series(20000, 20900) n;";
    for portion in ["1MB", "64KB"] {
        let config = |config: ConfigBuilder| {
            config.section(&format!("[writes]\nmax_transaction_bytes = \"{portion}\""))
        };
        let shop = Shop::with(
            "dual-write",
            ACTING,
            BARE,
            &tables(true),
            &format!("{SEED}{MORE}"),
            config,
        )
        .await;
        shop.run("BEGIN; INSERT INTO nodes SELECT n FROM generate_series(1000, 11000) n; DELETE FROM parents WHERE id IN (19, 20); INSERT INTO nodes SELECT n FROM generate_series(12000, 13000) n; INSERT INTO parents VALUES (20, 'c20', 'again'); COMMIT").await;
        assert_alike(&shop).await;
        assert_eq!(
            shop.stores
                .old
                .value("SELECT count(*) FROM children WHERE id >= 1000")
                .await,
            "0"
        );
    }
}

#[tokio::test]
async fn trap_10_what_happens_below_while_the_secondary_is_away_is_made_good() {
    let mut server = Postgres::start();
    let new = server.database("new");
    new.run(ACTING).await;
    let stores = Stores::create(ACTING).await;
    stores.old.run(SEED).await;
    let config = ConfigBuilder::new(stores.old.own(), new.own())
        .section("[writes]\nsecondary_timeout = \"300ms\"\nbreaker_retry = \"200ms\"")
        .toggle("shop", "use-old", &tables(false));
    let mut proxy = Proxy::start(config).await;
    proxy.flip("dual-write").await;
    proxy.cli(&["backfill"]).expect(0);
    let client = proxy.connect(&stores.old).await;
    server.stop();
    client
        .batch_execute("DELETE FROM parents WHERE id = 7")
        .await
        .unwrap();
    client
        .batch_execute("INSERT INTO parents VALUES (7, 'c7', 'again')")
        .await
        .unwrap();
    client.batch_execute("BEGIN; DELETE FROM parents WHERE id = 8; INSERT INTO parents VALUES (8, 'c8', 'again'); COMMIT; DELETE FROM nodes WHERE id = 3").await.unwrap();
    server.restart();
    proxy.drained().await;
    for table in NAMES {
        assert!(
            crossfade_tests::compare::tables(&stores.old, table, &new, table).await > 0,
            "{table}"
        );
    }
    assert_eq!(
        new.value("SELECT count(*) FROM children WHERE parent IN (7, 8)")
            .await,
        "0"
    );
}

/// Adds children, moves them, and deletes parents and puts them in again.
async fn family(client: Client, worker: i32, until: Instant) -> u32 {
    let mut rounds = 0;
    while Instant::now() < until {
        let round = i32::try_from(rounds).unwrap();
        let (parent, child) = ((round + worker) % 5 + 1, 1000 * (worker + 1) + round % 20);
        let sql = match (worker + round) % 6 {
            0 => format!(
                "BEGIN; DELETE FROM parents WHERE id = {parent}; INSERT INTO parents VALUES ({parent}, 'c{parent}', 'w{worker}'); COMMIT"
            ),
            1 => format!("DELETE FROM parents WHERE id = {parent}"),
            2 => format!(
                "INSERT INTO parents VALUES ({parent}, 'c{parent}', 'r{round}') ON CONFLICT DO NOTHING"
            ),
            3 => format!("UPDATE children SET parent = {parent} WHERE id % 5 = {worker}"),
            4 => format!(
                "INSERT INTO guests VALUES ({child}, {parent}, 9) ON CONFLICT (id) DO UPDATE SET host = {parent}"
            ),
            _ => format!(
                "INSERT INTO children VALUES ({child}, {parent}, 'w{worker}') ON CONFLICT (id) DO UPDATE SET parent = {parent}; \
                INSERT INTO grandchildren VALUES (date '2030-01-01' + {child}, {child}) ON CONFLICT (id) DO NOTHING"
            ),
        };
        if let Err(error) = client.batch_execute(&sql).await {
            let known = [
                SqlState::FOREIGN_KEY_VIOLATION,
                SqlState::UNIQUE_VIOLATION,
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::T_R_SERIALIZATION_FAILURE,
            ];
            assert!(
                code(&error).is_some_and(|code| known.contains(code)),
                "{sql}: {error:?}"
            );
            let _ = client.batch_execute("ROLLBACK").await;
        }
        rounds += 1;
    }
    rounds
}

/// The secondary has no constraints here: what its own would do to rows that hang on a dirty one is not promised (docs/guarantees.md).
#[tokio::test]
async fn trap_01_children_come_while_their_parents_go() {
    for (phase, old, new) in [("dual-write", ACTING, BARE), ("new-primary", BARE, ACTING)] {
        let shop = Shop::with(phase, old, new, &tables(true), SEED, |config| config).await;
        let until = Instant::now() + Duration::from_secs(3);
        let mut workers = Vec::new();
        for worker in 0..5 {
            workers.push(tokio::spawn(family(shop.client().await, worker, until)));
        }
        let mut rounds = 0;
        for worker in workers {
            rounds += worker.await.unwrap();
        }
        println!("{phase}: {rounds} rounds");
        // A deadlock costs its second.
        assert!(rounds > 50, "{rounds}");
        assert_alike(&shop).await;
    }
}

/// A snapshot that does not see a child cannot follow it, and PostgreSQL says so itself.
#[tokio::test]
async fn trap_31_children_that_a_snapshot_does_not_see_end_its_transaction() {
    let shop = acting("dual-write", false).await;
    let client = shop.client().await;
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM parents")
        .await
        .unwrap();
    shop.run("INSERT INTO children VALUES (700, 4, 'unseen')")
        .await;
    let error = client
        .batch_execute("DELETE FROM parents WHERE id = 4")
        .await
        .unwrap_err();
    assert_eq!(code(&error), Some(&SqlState::T_R_SERIALIZATION_FAILURE));
    client.batch_execute("ROLLBACK; BEGIN ISOLATION LEVEL SERIALIZABLE; DELETE FROM parents WHERE id = 4; COMMIT").await.unwrap();
    assert_alike(&shop).await;
    shop.assert_clean().await;
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused_and_says_what_to_do() {
    let shop = acting("dual-write", false).await;
    let client = shop.client().await;
    for (sql, hint) in [
        (
            "INSERT INTO nodes VALUES (1, NULL) ON CONFLICT (id) DO UPDATE SET id = 99",
            "use UPDATE",
        ),
        (
            "UPDATE nodes SET id = 77 WHERE id = 1; INSERT INTO parents VALUES (90, 'c90'); UPDATE parents SET code = 'new' WHERE id = 90",
            "",
        ),
    ] {
        match client.batch_execute(sql).await {
            Ok(()) => assert_eq!(hint, "", "{sql}"),
            Err(error) => {
                let error = error.as_db_error().unwrap();
                assert_eq!(
                    error.code(),
                    &SqlState::FEATURE_NOT_SUPPORTED,
                    "{sql}: {error:?}"
                );
                assert!(
                    !hint.is_empty() && error.hint().unwrap_or_default().contains(hint),
                    "{sql}: {error:?}"
                );
            }
        }
    }
    assert_alike(&shop).await;
}

/// The child's key is made of its parent's.
#[tokio::test]
async fn a_key_below_that_would_change_is_refused() {
    const SCHEMA: &str = "CREATE TABLE parents (id int PRIMARY KEY, code int UNIQUE);
        CREATE TABLE lines (parent int CONSTRAINT of REFERENCES parents ON UPDATE CASCADE, line int, PRIMARY KEY (parent, line));
        CREATE TABLE by_code (id int PRIMARY KEY, code int CONSTRAINT code REFERENCES parents (code) ON UPDATE CASCADE);";
    let shop = Shop::of(
        "dual-write",
        SCHEMA,
        "[toggle.shop.table.parents]\n[toggle.shop.table.lines]\n[toggle.shop.table.by_code]\n",
        "INSERT INTO parents VALUES (1, 10), (2, 20); INSERT INTO lines VALUES (1, 1); INSERT INTO by_code VALUES (1, 10)",
    )
    .await;
    let client = shop.client().await;
    let error = client
        .batch_execute("UPDATE parents SET id = 3 WHERE id = 1")
        .await
        .unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code(), &SqlState::FEATURE_NOT_SUPPORTED);
    assert!(
        error
            .hint()
            .unwrap_or_default()
            .contains("changes the key of \"public.lines\""),
        "{error:?}"
    );
    // Followed where the server tells the value before, from PostgreSQL 18 on.
    if let Err(error) = client
        .batch_execute("UPDATE parents SET code = 30 WHERE id = 1")
        .await
    {
        let error = error.as_db_error().unwrap();
        assert!(
            error.code() == &SqlState::FEATURE_NOT_SUPPORTED
                && error.hint().unwrap_or_default().contains("PostgreSQL 18"),
            "{error:?}"
        );
    }
    client
        .batch_execute(
            "UPDATE parents SET id = id, code = code WHERE false; DELETE FROM parents WHERE id = 2",
        )
        .await
        .unwrap_err();
    client
        .batch_execute("DELETE FROM parents WHERE id = 2")
        .await
        .unwrap();
    shop.proxy.drained().await;
    shop.stores
        .assert_equal(&["parents", "lines", "by_code"])
        .await;
}

#[tokio::test]
async fn children_in_another_phase_are_not_reached() {
    const SCHEMA: &str = "CREATE TABLE parents (id int PRIMARY KEY); \
        CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE);";
    let stores = Stores::create(SCHEMA).await;
    stores
        .old
        .run("INSERT INTO parents VALUES (1); INSERT INTO children VALUES (1, 1)")
        .await;
    let config = ConfigBuilder::new(stores.old.own(), stores.new.own())
        .toggle("shop", "use-old", "[toggle.shop.table.parents]\n")
        .toggle("other", "use-old", "[toggle.other.table.children]\n");
    let mut proxy = Proxy::start(config).await;
    proxy.flip("dual-write").await;
    let client = proxy.connect(&stores.old).await;
    let error = client
        .batch_execute("DELETE FROM parents WHERE id = 1")
        .await
        .unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code(), &SqlState::FEATURE_NOT_SUPPORTED);
    assert!(
        error.hint().unwrap_or_default().contains("one toggle"),
        "{error:?}"
    );
    assert!(
        error.detail().unwrap_or_default().contains("children"),
        "{error:?}"
    );
    assert_eq!(stores.old.value("SELECT count(*) FROM children").await, "1");
}

/// Other names and types in the new store, whose own constraints are followed once it is the primary.
#[tokio::test]
async fn trap_10_what_is_changed_below_goes_by_the_mapping() {
    const OLD: &str = "CREATE TABLE parents (id int PRIMARY KEY, name text); \
        CREATE TABLE children (id timestamptz PRIMARY KEY, parent int CONSTRAINT kin REFERENCES parents ON DELETE CASCADE ON UPDATE CASCADE); \
        CREATE TABLE guests (id int PRIMARY KEY, host int CONSTRAINT host REFERENCES parents ON DELETE SET NULL);";
    const NEW: &str = "CREATE TABLE people (pid bigint PRIMARY KEY, name text); \
        CREATE TABLE \"Kids\" (kid timestamptz PRIMARY KEY, \"of\" bigint CONSTRAINT kin REFERENCES people ON DELETE CASCADE ON UPDATE CASCADE); \
        CREATE TABLE guests (id int PRIMARY KEY, host bigint CONSTRAINT host REFERENCES people ON DELETE SET NULL);";
    const TABLES: &str = "[toggle.shop.table.parents]\ntarget = \"people\"\ncolumn.id = { to = \"pid\", type = \"bigint\" }\n\
        [toggle.shop.table.children]\ntarget = \"Kids\"\ncolumn.id = \"kid\"\ncolumn.parent = { to = \"of\", type = \"bigint\" }\n\
        [toggle.shop.table.guests]\ncolumn.host = { to = \"host\", type = \"bigint\" }\n";
    const SEED: &str = "INSERT INTO parents SELECT n, 'p' FROM generate_series(1, 9) n;
        INSERT INTO children SELECT timestamptz '2020-01-01 00:00:00.123+00' + n * interval '1 day', n % 9 + 1 FROM generate_series(1, 30) n;
        INSERT INTO guests SELECT n, n % 5 + 1 FROM generate_series(1, 20) n;";
    for phase in ["dual-write", "new-primary"] {
        let shop = Shop::with(phase, OLD, NEW, TABLES, SEED, |config| config).await;
        let client = shop.client().await;
        client.batch_execute("SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; BEGIN; DELETE FROM parents AS p WHERE p.id = 1 RETURNING *; INSERT INTO parents VALUES (1, 'again'); COMMIT").await.unwrap();
        let delete = client
            .prepare("DELETE FROM parents WHERE id = $1")
            .await
            .unwrap();
        assert_eq!(client.execute(&delete, &[&2]).await.unwrap(), 1);
        client
            .batch_execute("UPDATE parents SET id = 70 WHERE id = 7")
            .await
            .unwrap();
        shop.proxy.drained().await;
        shop.assert_clean().await;
        let (old, new) = (&shop.stores.old, &shop.stores.new);
        let texts = async |sql: &str| (old.rows(sql).await, new.rows(sql).await);
        let (left, right) = texts("SELECT id, host FROM guests ORDER BY 1").await;
        assert_eq!(left, right);
        let left = old.rows("SELECT id, parent FROM children ORDER BY 1").await;
        assert_eq!(
            left,
            new.rows("SELECT kid, \"of\" FROM \"Kids\" ORDER BY 1")
                .await
        );
        assert!(left.len() > 15 && left.len() < 27, "{left:?}");
        assert_eq!(
            old.rows("SELECT id, name FROM parents ORDER BY 1").await,
            new.rows("SELECT pid, name FROM people ORDER BY 1").await
        );
    }
}

/// Both writes are in one transaction.
#[tokio::test]
async fn trap_10_what_is_changed_below_in_schemas_of_one_database() {
    const SCHEMA: &str = "CREATE TABLE parents (id int PRIMARY KEY, name text); \
        CREATE TABLE children (id int PRIMARY KEY, parent int CONSTRAINT kin REFERENCES parents ON DELETE CASCADE);";
    let stores = Stores::create(SCHEMA).await;
    let database = &stores.old;
    database
        .run(&format!(
            "CREATE SCHEMA next; SET search_path = next; {SCHEMA}"
        ))
        .await;
    database
        .run("INSERT INTO parents VALUES (1), (2), (3); INSERT INTO children SELECT n, n % 3 + 1 FROM generate_series(1, 12) n")
        .await;
    let config = ConfigBuilder::new(database.own(), database.own())
        .new_line("schema = \"next\"")
        .section("[flips]\nmismatch_window = \"0s\"")
        .toggle(
            "shop",
            "use-old",
            "[toggle.shop.table.parents]\n[toggle.shop.table.children]\n",
        );
    let mut proxy = Proxy::start(config).await;
    proxy.flip("dual-write").await;
    proxy.cli(&["backfill"]).expect(0);
    let client = proxy.connect(database).await;
    client.batch_execute("BEGIN; DELETE FROM parents WHERE id = 1; INSERT INTO parents VALUES (1, 'again'); COMMIT; DELETE FROM parents WHERE id = 2").await.unwrap();
    for table in ["parents", "children"] {
        let (old, new) = (format!("public.{table}"), format!("next.{table}"));
        crossfade_tests::compare::tables(database, &old, database, &new).await;
    }
    let left = database.value("SELECT count(*) FROM next.children").await;
    assert_eq!(left, "4");
}

/// The secondary's own constraint deletes a row that has moved away in the primary, and what hangs on it.
#[tokio::test]
async fn trap_10_what_hung_on_a_dirty_row_is_verified_before_the_next_step() {
    for (phase, next, reverse) in [
        ("dual-write", "dual-read", false),
        ("new-primary", "dual-read", true),
    ] {
        let mut shop = acting(phase, true).await;
        let secondary = if reverse {
            &shop.stores.old
        } else {
            &shop.stores.new
        };
        secondary
            .run("ALTER TABLE children ADD CONSTRAINT stays CHECK (parent <> 2) NOT VALID")
            .await;
        // Child 20 has parent 1, and a grandchild.
        shop.run("UPDATE children SET parent = 2 WHERE id = 20")
            .await;
        shop.proxy.dirty(1).await;
        shop.run("DELETE FROM parents WHERE id = 1").await;
        let grandchild = "SELECT count(*) FROM grandchildren WHERE child = 20";
        secondary.becomes(grandchild, "0").await;
        secondary
            .run("ALTER TABLE children DROP CONSTRAINT stays")
            .await;
        shop.proxy.drained().await;
        let reason = shop.proxy.flip_refused(next).await;
        assert!(
            reason.contains("grandchildren") && reason.contains("crossfade verify"),
            "{reason}"
        );
        let mut repair = vec!["verify", "--repair"];
        repair.extend(reverse.then_some("--reverse"));
        let _ = shop.proxy.cli(&repair);
        crossfade_tests::eventually("the step is made", Duration::from_secs(30), async || {
            shop.proxy.toggle("shop").await["effective"] == next
        })
        .await;
        shop.stores.assert_equal(&NAMES).await;
    }
}

/// `u` and `g` are computed, and foreign keys point to them.
const COMPUTED: &str = "
    CREATE TABLE folk (id int PRIMARY KEY, n text, u text GENERATED ALWAYS AS (lower(n)) STORED UNIQUE);
    CREATE TABLE pets (id int PRIMARY KEY, owner text CONSTRAINT owner REFERENCES folk (u) ON UPDATE CASCADE ON DELETE CASCADE, note text);
    CREATE TABLE roots (id int PRIMARY KEY);
    CREATE TABLE twigs (id int PRIMARY KEY, root int CONSTRAINT root REFERENCES roots ON DELETE SET NULL ON UPDATE SET NULL, g int GENERATED ALWAYS AS (coalesce(root, 0) * 2 + id * 100) STORED UNIQUE);
    CREATE TABLE leaves (id int PRIMARY KEY, twig int CONSTRAINT twig REFERENCES twigs (g) ON UPDATE CASCADE);
    CREATE TABLE doubles (n int, id int GENERATED ALWAYS AS (n * 2) STORED PRIMARY KEY);
    CREATE TABLE halves (id int PRIMARY KEY, double int CONSTRAINT double REFERENCES doubles ON UPDATE SET NULL ON DELETE CASCADE);";
const COMPUTED_NEW: &str = "
    CREATE TABLE folk (id int PRIMARY KEY, n text, u text);
    CREATE TABLE pets (id int PRIMARY KEY, owner text, note text);
    CREATE TABLE roots (id int PRIMARY KEY);
    CREATE TABLE twigs (id int PRIMARY KEY, root int, g int);
    CREATE TABLE leaves (id int PRIMARY KEY, twig int);
    CREATE TABLE doubles (n int, id int PRIMARY KEY);
    CREATE TABLE halves (id int PRIMARY KEY, double int);";
const COMPUTED_TABLES: &str = "
[toggle.shop.table.folk]
[toggle.shop.table.pets]
acknowledge = [\"owner\"]
[toggle.shop.table.roots]
[toggle.shop.table.twigs]
acknowledge = [\"root\"]
[toggle.shop.table.leaves]
acknowledge = [\"twig\"]
[toggle.shop.table.doubles]
[toggle.shop.table.halves]
acknowledge = [\"double\"]
";
const COMPUTED_NAMES: [&str; 7] = [
    "folk", "pets", "roots", "twigs", "leaves", "doubles", "halves",
];

#[tokio::test]
async fn trap_10_what_points_to_a_computed_column_is_followed() {
    const SEED: &str = "
        INSERT INTO folk (id, n) SELECT n, 'Name' || n FROM generate_series(1, 9) n;
        INSERT INTO pets SELECT n, 'name' || n % 9 + 1, 'n' FROM generate_series(1, 30) n;
        INSERT INTO roots SELECT generate_series(1, 9);
        INSERT INTO twigs (id, root) SELECT n, n % 9 + 1 FROM generate_series(1, 20) n;
        INSERT INTO leaves SELECT id, g FROM twigs;
        INSERT INTO doubles (n) SELECT generate_series(1, 9);
        INSERT INTO halves SELECT n, n % 9 * 2 + 2 FROM generate_series(1, 20) n";
    for later in [false, true] {
        let stores = if later {
            Stores::later(COMPUTED, COMPUTED_NEW).await
        } else {
            Stores::create_with(COMPUTED, COMPUTED_NEW).await
        };
        let shop =
            Shop::between(stores, "dual-write", COMPUTED_TABLES, SEED, |config| config).await;
        let client = shop.client().await;
        // Where the server tells the value before, it is followed, and refused otherwise.
        for sql in [
            "UPDATE folk SET n = 'Other' WHERE id = 1",
            "BEGIN; UPDATE folk SET n = 'Brief' WHERE id = 2; UPDATE pets SET note = 'x' WHERE owner = 'brief'; UPDATE folk SET n = 'Name2' WHERE id = 2; COMMIT",
            "UPDATE twigs SET root = 9 WHERE id = 3",
        ] {
            match client.batch_execute(sql).await {
                Ok(()) => assert!(later, "{sql}"),
                Err(error) => {
                    assert_eq!(
                        error.code(),
                        Some(&SqlState::FEATURE_NOT_SUPPORTED),
                        "{sql}"
                    );
                    assert!(!later, "{sql}: {error:?}");
                    let _ = client.batch_execute("ROLLBACK").await;
                }
            }
        }
        let error = client
            .batch_execute(
                "INSERT INTO folk VALUES (3, 'q') ON CONFLICT (id) DO UPDATE SET n = 'Q'",
            )
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED));
        shop.run("DELETE FROM roots WHERE id IN (2, 5)").await;
        shop.run("UPDATE doubles SET n = 50 WHERE n = 2; UPDATE doubles SET n = 51 WHERE id = 6")
            .await;
        shop.proxy.drained().await;
        shop.stores.assert_equal(&COMPUTED_NAMES).await;
        let followed = "SELECT (SELECT count(*) FROM leaves WHERE twig < 100 * id + 4) || ' ' || (SELECT count(*) FROM halves WHERE double IS NULL)";
        let found = shop.stores.new.value(followed).await;
        assert_eq!(found, shop.stores.old.value(followed).await);
        assert_ne!(found, "0 0");
    }
}

/// In one store the children's parent is set to NULL by a constraint that the other does not have.
#[tokio::test]
async fn trap_38_what_only_the_secondarys_foreign_keys_change_is_verified_before_the_next_step() {
    const BARE: &str = "CREATE TABLE parents (id int PRIMARY KEY, name text); CREATE TABLE children (id int PRIMARY KEY, parent int);";
    const SEED: &str = "INSERT INTO parents SELECT n, 'p' FROM generate_series(1, 9) n; INSERT INTO children SELECT n, n FROM generate_series(1, 9) n";
    const TABLES: &str =
        "[toggle.shop.table.parents]\n[toggle.shop.table.children]\nacknowledge = [\"alone\"]\n";
    let acting = format!(
        "{BARE} ALTER TABLE children ADD CONSTRAINT alone FOREIGN KEY (parent) REFERENCES parents ON DELETE SET NULL;"
    );
    for (phase, next, reverse) in [
        ("dual-write", "dual-read", false),
        ("new-primary", "dual-read", true),
    ] {
        let (old, new) = if reverse {
            (acting.as_str(), BARE)
        } else {
            (BARE, acting.as_str())
        };
        let mut shop = Shop::with(phase, old, new, TABLES, SEED, |config| config).await;
        let secondary = if reverse {
            &shop.stores.old
        } else {
            &shop.stores.new
        };
        // Nothing yet that could have set it off.
        shop.run("INSERT INTO parents VALUES (20, 'p'); UPDATE parents SET name = 'q'; DELETE FROM children WHERE id = 9").await;
        shop.proxy.drained().await;
        let mut verify = vec!["verify", "--table", "children"];
        verify.extend(reverse.then_some("--reverse"));
        assert!(bypassed(&shop, reverse).await.is_null());
        shop.run("DELETE FROM parents WHERE id = 1").await;
        secondary
            .becomes("SELECT count(*) FROM children WHERE parent IS NULL", "1")
            .await;
        shop.proxy.drained().await;
        let reason = shop.proxy.flip_refused(next).await;
        assert!(
            reason.contains("children") && reason.contains("crossfade verify"),
            "{reason}"
        );
        shop.proxy.ask("shop", phase);
        // It stays so over a restart, and until a verify finds nothing.
        shop.proxy.kill9();
        shop.proxy.restart().await;
        shop.proxy.cli(&verify).expect(1);
        secondary
            .run("ALTER TABLE children DROP CONSTRAINT alone")
            .await;
        let mut repair = verify.clone();
        repair.push("--repair");
        shop.proxy.cli(&repair).expect(0);
        assert!(bypassed(&shop, reverse).await.is_null());
        shop.proxy.flip(next).await;
        shop.stores.assert_equal(&["parents", "children"]).await;
    }
}

/// Why the children have to be verified.
async fn bypassed(shop: &Shop, reverse: bool) -> serde_json::Value {
    let toggle = shop.proxy.toggle("shop").await;
    let field = if reverse { "old_bypassed" } else { "bypassed" };
    let table = &toggle["tables"]["public.children"];
    assert!(table.is_object(), "{toggle}");
    table[field].clone()
}
