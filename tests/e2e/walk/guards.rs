//! Moves that are refused: the phase stays, and the reason names the condition and the command that fixes it.

use crate::shop::{PHASES, Shop};
use crossfade_tests::{ConfigBuilder, Endpoint, Port, Proxy, SHOP_TABLES, Stores};
use std::time::Duration;

#[tokio::test]
async fn trap_39_skipped_phases() {
    let mut shop = Shop::in_phase("use-old").await;
    for phase in &PHASES[3..] {
        let reason = shop.proxy.flip_refused(phase).await;
        assert!(!reason.is_empty());
        assert_eq!(shop.proxy.toggle("shop").await["effective"], "use-old");
    }
    shop.run("UPDATE orders SET total = 1").await;
    shop.stores
        .new
        .becomes("SELECT count(*) FROM orders", "0")
        .await;
}

#[tokio::test]
async fn the_new_store_must_answer_before_phase_2_and_have_the_tables_before_phase_3() {
    let stores = Stores::create_with(
        crossfade_tests::SHOP,
        "CREATE TABLE orders (id bigint PRIMARY KEY, customer text)",
    )
    .await;
    let mut proxy = Proxy::start(stores.shop_config("use-old")).await;
    let reason = proxy.flip_refused("dual-write").await;
    assert!(
        reason.contains("items") || reason.contains("orders"),
        "{reason}"
    );
    let check = proxy.cli(&["check"]);
    assert_eq!(check.status, 1, "{check:?}");
    for missing in ["items", "counters", "total"] {
        assert!(
            check.stdout.contains(missing),
            "{missing} is not named: {}",
            check.stdout
        );
    }
    stores.new.run("DROP TABLE orders").await;
    stores.new.run(crossfade_tests::SHOP).await;
    proxy.ask("shop", "use-old");
    // A wish that goes there and back between two looks at the file is never seen, and its old refusal still stands.
    crossfade_tests::eventually(
        "the wish is taken back",
        Duration::from_secs(10),
        async || proxy.toggle("shop").await["wanted"] == "use-old",
    )
    .await;
    proxy.cli(&["check"]).expect(0);
    proxy.flip("dual-write").await;
}

#[tokio::test]
async fn a_new_store_that_is_away_keeps_the_toggle_in_2() {
    let stores = Stores::shop().await;
    let nowhere = Port::reserve();
    let missing = Endpoint {
        addr: nowhere.addr(),
        ..stores.new.own().clone()
    };
    let config =
        ConfigBuilder::new(stores.old.own(), &missing).toggle("shop", "use-old", SHOP_TABLES);
    let mut proxy = Proxy::start(config).await;
    let reason = proxy.flip_refused("dual-write").await;
    assert!(
        !reason.contains("secret"),
        "the password is in the reason: {reason}"
    );
    proxy.cli(&["check"]).expect(3);
    let client = proxy.connect(&stores.old).await;
    client
        .execute("INSERT INTO orders (customer) VALUES ('served')", &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn trap_10_triggers_and_cascades_are_named_until_they_are_acknowledged() {
    const PARENTS: &str =
        "CREATE TABLE parents (id int PRIMARY KEY, name text, children int DEFAULT 0);
        CREATE TABLE children (id int PRIMARY KEY, parent int);";
    // What only the old store does to its rows, the new one hears nothing of.
    let old = format!(
        "{PARENTS}
        ALTER TABLE children ADD CONSTRAINT kin FOREIGN KEY (parent) REFERENCES parents ON DELETE CASCADE;
        CREATE FUNCTION counting() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN UPDATE parents SET children = children + 1 WHERE id = NEW.parent; RETURN NULL; END $$;
        CREATE TRIGGER counting AFTER INSERT ON children FOR EACH ROW EXECUTE FUNCTION counting();"
    );
    let tables = "[toggle.shop.table.parents]\n[toggle.shop.table.children]\n";
    let stores = Stores::create_with(&old, PARENTS).await;
    let mut proxy = Proxy::start(stores.config("use-old", tables)).await;
    proxy.flip_refused("dual-write").await;
    let said = proxy.cli(&["check"]).expect(1).stdout;
    assert!(said.contains("counting") && said.contains("kin"), "{said}");
    drop(proxy);
    let acknowledged = tables.to_owned() + "acknowledge = [\"counting\", \"kin\"]\n";
    let mut proxy = Proxy::start(stores.config("use-old", &acknowledged)).await;
    proxy.flip("dual-write").await;
}

#[tokio::test]
async fn what_a_verify_has_left_in_a_table_that_was_bypassed_is_repaired_by_the_command_that_is_named()
 {
    let mut shop = Shop::in_phase("dual-write").await;
    shop.proxy.flip("use-old").await;
    shop.run("DELETE FROM orders WHERE id = 1; UPDATE orders SET total = 12 WHERE id = 2")
        .await;
    shop.proxy.flip("dual-write").await;
    let said = shop.proxy.cli(&["verify"]).expect(1).stdout;
    assert!(said.contains("2 differ"), "{said}");
    let refusal = shop.proxy.flip_refused("dual-read").await;
    let command = "`crossfade verify --repair --table public.orders`";
    assert!(refusal.contains(command), "{refusal}");
    shop.proxy
        .cli(&["verify", "--repair", "--table", "public.orders"])
        .expect(0);
    shop.proxy.ask("shop", "dual-write");
    shop.proxy.flip("dual-read").await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn trap_38_a_verify_that_a_move_overtakes_says_that_it_does_not_count() {
    let mut shop = Shop::in_phase("new-primary").await;
    let locker = shop.stores.old.own().connect().await;
    locker
        .batch_execute("BEGIN; LOCK TABLE items")
        .await
        .unwrap();
    let (file, binary) = (shop.proxy.config_path(), crossfade_tests::binary());
    let report = tokio::task::spawn_blocking(move || {
        let mut command = std::process::Command::new(binary);
        command.args(["verify", "--reverse", "--table", "public.items", "-c"]);
        command.arg(file).output().unwrap()
    });
    let waits =
        "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'items'::regclass";
    shop.stores.old.becomes(waits, "t").await;
    shop.proxy.flip("new-writes").await;
    locker.batch_execute("ROLLBACK").await.unwrap();
    let report = report.await.unwrap();
    let said = String::from_utf8_lossy(&report.stdout).into_owned();
    assert_eq!(report.status.code(), Some(1), "{said}");
    assert!(
        said.contains("it does not count")
            && said.contains("phase new-writes does not write the old store"),
        "{said}"
    );
    assert!(
        said.contains("`crossfade verify --reverse --table public.items`"),
        "{said}"
    );
    shop.proxy
        .cli(&["verify", "--reverse", "--table", "public.items"])
        .expect(0);
}

#[tokio::test]
async fn a_refused_move_can_be_forced_with_a_reason_that_is_kept() {
    let stores = Stores::shop().await;
    stores.old.run(crate::shop::SEED).await;
    let config = ConfigBuilder::new(stores.old.own(), stores.new.own())
        .section("[flips]\nmismatch_window = \"1h\"")
        .toggle("shop", "use-old", SHOP_TABLES);
    let mut proxy = Proxy::start(config).await;
    proxy.flip("dual-write").await;
    proxy.cli(&["backfill"]).expect(0);
    proxy.cli(&["verify"]).expect(0);
    proxy.flip("dual-read").await;
    let refused = proxy.cli(&["phase", "shop", "new-primary"]);
    assert_eq!(refused.status, 1, "{refused:?}");
    proxy
        .cli(&[
            "phase",
            "shop",
            "new-primary",
            "--because",
            "a test cannot wait an hour",
        ])
        .expect(0);
    crossfade_tests::eventually(
        "the forced flip",
        std::time::Duration::from_secs(20),
        async || proxy.toggle("shop").await["effective"] == "new-primary",
    )
    .await;
    assert!(
        proxy.log().contains("a test cannot wait an hour"),
        "{}",
        proxy.log()
    );
}

/// A shop in phase 2 whose old store knows two-phase commit.
struct TwoPhase {
    _server: crossfade_tests::Postgres,
    old: crossfade_tests::Database,
    new: crossfade_tests::Database,
    proxy: crossfade_tests::Proxy,
}

impl TwoPhase {
    async fn start() -> TwoPhase {
        let server = crossfade_tests::Postgres::builder()
            .setting("max_prepared_transactions = 4")
            .start();
        let (old, new) = (
            server.database("old"),
            crossfade_tests::Stores::shop().await.new,
        );
        old.run(crossfade_tests::SHOP).await;
        let config = crossfade_tests::ConfigBuilder::new(old.own(), new.own())
            .section("[flips]\nmismatch_window = \"0s\"")
            .toggle("shop", "use-old", crossfade_tests::SHOP_TABLES);
        let proxy = crossfade_tests::Proxy::start(config).await;
        TwoPhase {
            _server: server,
            old,
            new,
            proxy,
        }
    }

    /// A client that has written and not said yet what becomes of it.
    async fn writer(&self) -> tokio_postgres::Client {
        let client = self.proxy.connect(&self.old).await;
        client
            .batch_execute("BEGIN; INSERT INTO orders (customer) VALUES ('in doubt')")
            .await
            .unwrap();
        client
    }
}

#[tokio::test]
async fn a_prepared_transaction_from_before_would_be_missed() {
    let mut shop = TwoPhase::start().await;
    let client = shop.writer().await;
    let proxy = &mut shop.proxy;
    client
        .batch_execute("PREPARE TRANSACTION 'g1'")
        .await
        .unwrap();
    let refusal = proxy.flip_refused("dual-write").await;
    assert!(refusal.contains("g1"), "{refusal}");
    client.batch_execute("COMMIT PREPARED 'g1'").await.unwrap();
    crossfade_tests::eventually(
        "the toggle moves by itself",
        Duration::from_secs(20),
        async || proxy.toggle("shop").await["effective"] == "dual-write",
    )
    .await;
    for sql in ["PREPARE TRANSACTION 'g2'", "COMMIT PREPARED 'g2'"] {
        let error = client.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("0A000"), "{sql}");
    }
}

#[tokio::test]
async fn trap_43_phase_3_waits_for_what_was_prepared_during_the_flip() {
    let mut shop = TwoPhase::start().await;
    let client = shop.writer().await;
    let TwoPhase {
        old, new, proxy, ..
    } = &mut shop;
    proxy.ask("shop", "dual-write");
    let proxy = &*proxy;
    let state = async |what: &str| proxy.toggle("shop").await[what].as_str().map(str::to_owned);
    let limit = Duration::from_secs(20);
    crossfade_tests::eventually("it is published", limit, async || {
        state("published").await.as_deref() == Some("dual-write")
    })
    .await;
    client
        .batch_execute("PREPARE TRANSACTION 'late'")
        .await
        .unwrap();
    crossfade_tests::eventually("it is named", limit, async || {
        let holders = proxy.toggle("shop").await["holders"].to_string();
        holders.contains("late") && holders.contains("COMMIT PREPARED")
    })
    .await;
    assert_eq!(state("effective").await.as_deref(), Some("use-old"));
    old.run("COMMIT PREPARED 'late'").await;
    crossfade_tests::eventually("it is effective", limit, async || {
        state("effective").await.as_deref() == Some("dual-write")
    })
    .await;
    proxy.cli(&["backfill"]).expect(0);
    proxy.cli(&["verify"]).expect(0);
    let found = "SELECT count(*) FROM orders WHERE customer = 'in doubt'";
    assert_eq!(new.value(found).await, "1");
}
