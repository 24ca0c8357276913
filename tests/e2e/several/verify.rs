//! A verify through one proxy of what another has in its journal.

use std::{path::PathBuf, process::Command};

use crossfade_tests::{
    Database, Stores, binary, eventually,
    history::{Broken, HISTORY, HISTORY_SEED, HISTORY_TABLES, History},
    journal_in_primary,
};

use super::{Pair, SOON, config, copied, in_phase, write};

const GONE: &str = "DELETE FROM items WHERE order_id = 7 AND line = 1";
const LEFT: &str = "SELECT count(*) FROM items WHERE order_id = 7 AND line = 1";

/// Whether it found nothing, and what it said.
async fn verify(file: PathBuf, repair: &'static [&'static str]) -> (bool, String) {
    let run = move || {
        let mut command = Command::new(binary());
        command.args(["verify", "--table", "public.items"]);
        let output = command.args(repair).arg("-c").arg(file).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn is_complete(toggle: &serde_json::Value) -> bool {
    let tables = toggle["tables"].as_object().unwrap();
    tables.values().all(|table| table["complete"] == true)
}

/// A row is deleted through one proxy, and stays in the old store, where somebody has locked it. The other one's verify cannot know why it is only there: it neither copies the
/// row into the primary nor calls the table incomplete.
#[tokio::test]
pub(crate) async fn trap_27_what_another_proxy_has_deleted_no_verify_brings_back() {
    if journal_in_primary() {
        // Then each looks it up in the journals of all.
        return;
    }
    for repair in [&[][..], &["--repair"][..]] {
        let stores = Stores::shop().await;
        stores.old.run(crate::shop::SEED).await;
        let file = |name: &str| {
            let writes = "[writes]\nsecondary_timeout = \"300ms\"\nbreaker_retry = \"200ms\"";
            config(&stores, name).section(writes)
        };
        let [mut a, b] = copied(file).await;
        a.flip("dual-read").await;
        a.flip("new-primary").await;
        let pair = Pair { stores, a, b };
        pair.both_in("new-primary").await;
        pair.drained().await;

        let locker = pair.stores.old.own().connect().await;
        let lock = "BEGIN; SELECT FROM items WHERE order_id = 7 AND line = 1 FOR UPDATE; SAVEPOINT table_too; LOCK TABLE items";
        locker.batch_execute(lock).await.unwrap();
        // It has begun, and waits for the table.
        let report = tokio::spawn(verify(pair.a.config_path(), repair));
        eventually("the verify is at work", SOON, async || {
            waits(&pair.stores.old).await
        })
        .await;
        write(&pair.b, &pair.stores, GONE).await.unwrap();
        pair.b.dirty(1).await;
        locker.batch_execute("ROLLBACK TO table_too").await.unwrap();
        let (clean, said) = report.await.unwrap();
        assert!(
            !clean && said.contains("proxy \"b\" may have keys in its journal"),
            "{said}"
        );
        pair.stores.new.becomes(LEFT, "0").await;
        assert!(is_complete(&pair.a.toggle("shop").await), "{said}");

        locker.batch_execute("ROLLBACK").await.unwrap();
        pair.drained().await;
        eventually(
            "the first has heard that the other is done",
            SOON,
            async || verify(pair.a.config_path(), repair).await.0,
        )
        .await;
        pair.stores.old.becomes(LEFT, "0").await;
        pair.assert_equal().await;
    }
}

/// Whether a statement of the proxy waits for the lock on the table.
async fn waits(store: &Database) -> bool {
    let client = store.own().connect().await;
    let sql = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'items'::regclass";
    !client.query(sql, &[]).await.unwrap().is_empty()
}

/// Now and then the secondary refuses what is written, so that there is something to repair.
const REFUSE: &str = "
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF random() < 0.3 THEN RAISE 'not now'; END IF; RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON registers FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE registers ENABLE ALWAYS TRIGGER refuse;";
const TAKE: &str = "DROP TRIGGER refuse ON registers; DROP FUNCTION refuse";

/// Both proxies write, and both verify and repair, whichever store is the primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trap_35_verifies_that_repair_beside_writes_through_both_lose_and_invent_nothing() {
    let stores = Stores::create(HISTORY).await;
    stores.old.run(HISTORY_SEED).await;
    let file = |name: &str| {
        let config = stores
            .config("use-old", HISTORY_TABLES)
            .line(&format!("control = \"database\"\nproxy = \"{name}\""));
        if journal_in_primary() {
            config.without_disk()
        } else {
            config
        }
    };
    let [mut a, b] = copied(file).await;
    let mut clients = Vec::new();
    for (seed, proxy) in [(1, &a), (2, &b)] {
        let endpoint = proxy.endpoint(&stores.old);
        clients.push(History::start(&endpoint, seed, 2, Broken::End).await);
    }
    for phase in ["dual-write", "dual-read", "new-primary", "dual-read"] {
        a.flip(phase).await;
        in_phase(&b, phase).await;
        let (secondary, reverse): (_, &[_]) = match phase {
            "new-primary" => (&stores.old, &["--repair", "--reverse"]),
            _of_the_old => (&stores.new, &["--repair"]),
        };
        for refuses in [true, false] {
            if refuses {
                secondary.run(REFUSE).await;
            }
            let jobs = [&a, &b].map(|proxy| tokio::spawn(repair(proxy.config_path(), reverse)));
            for job in jobs {
                job.await.unwrap();
            }
            if refuses {
                secondary.run(TAKE).await;
            }
        }
        // Forward in 5 only what is missing comes in.
        let said = repair(a.config_path(), &["--repair"]).await;
        assert!(!said.contains("missing in the new store"), "{said}");
        for clients in &clients {
            clients.progress(20).await;
        }
    }
    let mut findings = Vec::new();
    for clients in clients {
        findings.push(clients.stop().await);
    }
    for proxy in [&a, &b] {
        proxy.drained().await;
    }
    for findings in &findings {
        findings.check(&stores.old).await;
        assert!(findings.refused.is_empty(), "{:?}", findings.refused);
    }
    stores
        .assert_equal(&["registers", "lists", "accounts"])
        .await;
}

/// What a verify of all tables says.
async fn repair(file: PathBuf, how: &'static [&'static str]) -> String {
    let run = move || {
        let mut command = Command::new(binary());
        command.arg("verify").args(how).arg("-c").arg(file);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}
