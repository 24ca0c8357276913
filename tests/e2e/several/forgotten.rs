//! What a proxy takes along that is gone for good, or that nobody has heard of.

use std::time::Duration;

use crossfade_tests::{eventually, journal_in_primary};

use super::{Pair, REFUSE, SOON, TAKE, write};

/// Until a proxy that says nothing may be forgotten.
const SILENT: Duration = Duration::from_secs(8);

/// Two proxies in 5.
async fn in_five() -> Pair {
    let mut pair = Pair::in_phase("dual-read").await;
    pair.a.flip("new-primary").await;
    pair.both_in("new-primary").await;
    pair.drained().await;
    pair
}

fn is_complete(toggle: &serde_json::Value) -> bool {
    let tables = toggle["tables"].as_object().unwrap();
    tables.values().all(|table| table["complete"] == true)
}

/// Wishes for no more than there is.
async fn given_up(pair: &mut Pair, phase: &str) {
    pair.a.ask("shop", phase);
    eventually("the wish is given up", SOON, async || {
        pair.a.toggle("shop").await["refusal"].is_null()
    })
    .await;
}

/// The wish was there before, and is looked at all the time.
#[tokio::test]
async fn trap_38_a_wish_that_waits_for_a_proxy_is_not_granted_because_it_is_forgotten() {
    if journal_in_primary() {
        return;
    }
    let mut pair = Pair::in_phase("dual-write").await;
    pair.stores.new.run(REFUSE).await;
    let change = "UPDATE orders SET total = 13 WHERE id = 1";
    write(&pair.b, &pair.stores, change).await.unwrap();
    pair.b.dirty(1).await;
    let refusal = pair.a.flip_refused("dual-read").await;
    assert!(refusal.contains("1 dirty key"), "{refusal}");
    pair.b.kill9();
    pair.stores.new.run(TAKE).await;
    tokio::time::sleep(SILENT).await;
    pair.a
        .cli(&["forget", "b", "--because", "its machine is gone"])
        .expect(0);
    let status = pair.a.cli(&["status"]).expect(0).stdout;
    assert!(
        status.contains("was forgotten with its journal"),
        "{status}"
    );
    eventually("the refusal is another one", SOON, async || {
        let toggle = pair.a.toggle("shop").await;
        assert_eq!(toggle["published"], "dual-write", "{toggle}");
        let refusal = toggle["refusal"].as_str().unwrap_or_default();
        refusal.contains("`crossfade verify --table public.orders`")
    })
    .await;
    let _ = pair.a.cli(&["verify", "--repair"]);
    eventually("the wish is granted", SOON, async || {
        pair.a.toggle("shop").await["effective"] == "dual-read"
    })
    .await;
    pair.assert_equal().await;
}

/// A row that was deleted in the new store is still in the old one, and only the journal that is gone knew why.
#[tokio::test]
async fn trap_27_what_a_forgotten_proxy_has_deleted_comes_back_by_nothing() {
    if journal_in_primary() {
        return;
    }
    let mut pair = in_five().await;
    pair.stores.old.run(REFUSE).await;
    write(&pair.b, &pair.stores, "DELETE FROM orders WHERE id = 2")
        .await
        .unwrap();
    pair.b.dirty(1).await;
    pair.b.kill9();
    tokio::time::sleep(SILENT).await;
    pair.a
        .cli(&["forget", "b", "--because", "its machine is gone"])
        .expect(0);
    pair.stores.old.run(TAKE).await;
    let gone = "SELECT count(*) FROM orders WHERE id = 2";
    for command in [&["verify"][..], &["verify", "--repair"], &["backfill"]] {
        let said = pair.a.cli(command);
        assert_eq!(pair.stores.new.value(gone).await, "0", "{said:?}");
        assert!(is_complete(&pair.a.toggle("shop").await), "{said:?}");
    }
    let client = pair.a.connect(&pair.stores.old).await;
    let seen = client.query("SELECT FROM orders WHERE id = 2", &[]).await;
    assert!(seen.unwrap().is_empty());
    let refusal = pair.a.flip_refused("dual-read").await;
    let named = "`crossfade verify --reverse --repair --table public.orders`";
    assert!(refusal.contains(named), "{refusal}");
    pair.a.ask("shop", "new-primary");
    pair.a.cli(&["verify", "--reverse", "--repair"]).expect(0);
    pair.assert_equal().await;
    assert_eq!(pair.stores.old.value(gone).await, "0");
    pair.a
        .walk(&["dual-read", "new-primary", "new-writes"])
        .await;
}

/// The verify has begun when every row of the old store had to be in the new one, and waits for a word of that proxy when it is forgotten.
#[tokio::test]
async fn trap_27_what_is_forgotten_while_a_verify_runs_comes_back_by_nothing() {
    if journal_in_primary() {
        return;
    }
    let mut pair = in_five().await;
    pair.stores.old.run(REFUSE).await;
    write(&pair.b, &pair.stores, "DELETE FROM orders WHERE id = 2")
        .await
        .unwrap();
    pair.b.dirty(1).await;
    pair.b.kill9();
    pair.stores.old.run(TAKE).await;
    tokio::time::sleep(SILENT).await;
    let file = pair.a.config_path();
    let forget = tokio::task::spawn_blocking(move || {
        let mut command = std::process::Command::new(crossfade_tests::binary());
        command.args(["forget", "b", "--because", "its machine is gone", "-c"]);
        command.arg(file).output().unwrap()
    });
    let mut said = String::new();
    while !forget.is_finished() {
        said += &pair.a.cli(&["verify", "--table", "public.orders"]).stdout;
    }
    let forget = forget.await.unwrap();
    assert!(forget.status.success(), "{forget:?}");
    assert!(!said.contains("1 differ"), "{said}");
    assert!(is_complete(&pair.a.toggle("shop").await), "{said}");
    pair.a.cli(&["verify", "--repair"]).expect(0);
    let gone = "SELECT count(*) FROM orders WHERE id = 2";
    assert_eq!(pair.stores.new.value(gone).await, "0");
    pair.a.cli(&["verify", "--reverse", "--repair"]).expect(0);
    pair.assert_equal().await;
}

/// It ended in the phase before, and said in the other store what its journal holds: newer rows that nobody else knows of.
#[tokio::test]
async fn trap_38_what_a_proxy_has_taken_along_is_asked_for_before_its_rows_are_left_beside() {
    if journal_in_primary() {
        return;
    }
    for (from, to, on) in [
        ("dual-read", "new-primary", "new-writes"),
        ("new-primary", "dual-read", "use-old"),
    ] {
        let mut pair = match from {
            "dual-read" => Pair::in_phase("dual-read").await,
            _new_primary => in_five().await,
        };
        let missed = match from {
            "dual-read" => &pair.stores.new,
            _new_primary => &pair.stores.old,
        };
        missed.run(REFUSE).await;
        for change in [
            "UPDATE orders SET total = 13 WHERE id = 1",
            "DELETE FROM orders WHERE id = 2",
        ] {
            write(&pair.b, &pair.stores, change).await.unwrap();
        }
        pair.b.dirty(2).await;
        assert_eq!(pair.b.stop(), Some(0));
        missed.run(TAKE).await;
        let refusal = pair.a.flip_refused(to).await;
        assert!(refusal.contains("2 dirty keys"), "{refusal}");
        pair.a.ask("shop", from);
        pair.a.force(to, "nobody sleeps tonight").await;
        let refusal = pair.a.flip_refused(on).await;
        assert!(
            refusal.contains("2 dirty keys")
                && refusal.contains("which this move leaves beside")
                && refusal.contains("proxy \"b\", which has ended: start it again"),
            "{refusal}"
        );
        given_up(&mut pair, to).await;
        pair.b.restart().await;
        pair.both_in(to).await;
        pair.two_keys_are_heard_of().await;
        let refusal = pair.a.flip_refused(on).await;
        assert!(
            refusal.contains("2 dirty keys")
                && refusal.contains("which this move leaves beside")
                && !refusal.contains("crossfade repair"),
            "{refusal}"
        );
        given_up(&mut pair, to).await;
        pair.a.flip(from).await;
        pair.both_in(from).await;
        pair.drained().await;
        pair.assert_equal().await;
    }
}

/// The same, and then it is forgotten: what it said in the store that the record has left again is its last word, not what it had said here before.
#[tokio::test]
async fn trap_38_the_last_word_of_a_forgotten_proxy_may_be_in_the_other_store() {
    if journal_in_primary() {
        return;
    }
    let mut pair = in_five().await;
    pair.stores.old.run(REFUSE).await;
    for change in [
        "UPDATE orders SET total = 13 WHERE id = 1",
        "UPDATE orders SET total = 14 WHERE id = 2",
        "DELETE FROM orders WHERE id = 3",
    ] {
        write(&pair.b, &pair.stores, change).await.unwrap();
    }
    pair.b.dirty(3).await;
    assert_eq!(pair.b.stop(), Some(0));
    pair.stores.old.run(TAKE).await;
    let refusal = pair.a.flip_refused("dual-read").await;
    assert!(refusal.contains("3 dirty keys"), "{refusal}");
    given_up(&mut pair, "new-primary").await;
    pair.a.force("dual-read", "nobody sleeps").await;
    pair.a
        .cli(&["forget", "b", "--because", "its machine is gone"])
        .expect(0);
    let status = pair.a.cli(&["status"]).expect(0).stdout;
    let said = "which had 3 keys that the old store is stale for";
    assert!(status.contains(said), "{status}");
    let said = pair.a.cli(&["verify", "--repair"]);
    let text = format!("{}{}", said.stdout, said.stderr);
    assert!(
        said.status != 0 && text.contains("forgotten with 3 keys"),
        "{said:?}"
    );
    let seen = "SELECT string_agg(total::text, ' ' ORDER BY id) FROM orders WHERE id < 3";
    assert_eq!(pair.stores.new.value(seen).await, "13.00 14.00");
    pair.a.force("new-primary", "the new store has them").await;
    pair.a.cli(&["verify", "--reverse", "--repair"]).expect(0);
    assert_eq!(pair.stores.old.value(seen).await, "13.00 14.00");
    // Deleted through that one, or not copied yet: nobody knows.
    let said = pair.a.cli(&["verify", "--table", "public.orders"]);
    assert!(
        said.status == 1 && said.stdout.contains("3: missing in the new store"),
        "{said:?}"
    );
}

/// Its disk was lost, and it was started again with an empty one under the same name.
#[tokio::test]
async fn one_that_has_lost_its_disk_is_forgotten_beside_its_namesake() {
    if journal_in_primary() {
        return;
    }
    let mut pair = Pair::in_phase("dual-write").await;
    pair.stores.new.run(REFUSE).await;
    let change = "UPDATE orders SET total = 13 WHERE id = 1";
    write(&pair.b, &pair.stores, change).await.unwrap();
    pair.b.dirty(1).await;
    pair.b.kill9();
    std::fs::remove_dir_all(pair.b.state_dir()).unwrap();
    pair.stores.new.run(TAKE).await;
    pair.b.restart().await;
    tokio::time::sleep(SILENT).await;
    let refusal = pair.a.flip_refused("dual-read").await;
    assert!(
        refusal.contains("`crossfade forget b --because …`"),
        "{refusal}"
    );
    pair.a.ask("shop", "dual-write");
    pair.a
        .cli(&["forget", "b", "--because", "its disk is gone"])
        .expect(0);
    let proxies = pair.a.toggle("shop").await["proxies"].clone();
    assert_eq!(proxies.as_array().map(Vec::len), Some(2), "{proxies}");
    let again = pair
        .a
        .cli(&["forget", "b", "--because", "its disk is gone"]);
    assert!(again.stderr.contains("was heard of"), "{again:?}");
    let refusal = pair.a.flip_refused("dual-read").await;
    assert!(refusal.contains("crossfade verify"), "{refusal}");
    given_up(&mut pair, "dual-write").await;
    let _ = pair.b.cli(&["verify", "--repair"]);
    eventually("the other one has read of it", SOON, async || {
        is_complete(&pair.a.toggle("shop").await)
    })
    .await;
    pair.a.flip("dual-read").await;
    pair.both_in("dual-read").await;
    pair.assert_equal().await;
}

/// To one that is out of touch everybody is silent.
#[tokio::test]
async fn who_is_out_of_touch_has_nobody_forgotten_that_lives() {
    let pair = Pair::in_phase("dual-write").await;
    let locker = pair.stores.old.own().connect().await;
    locker
        .batch_execute("BEGIN; LOCK TABLE crossfade.control")
        .await
        .unwrap();
    tokio::time::sleep(SILENT).await;
    let said = pair.a.cli(&["forget", "b", "--because", "it seems dead"]);
    assert!(
        said.status == 3 && said.stderr.contains("run the command again"),
        "{said:?}"
    );
    locker.batch_execute("ROLLBACK").await.unwrap();
    let said = pair.a.cli(&["forget", "b", "--because", "it seems dead"]);
    assert!(
        said.status != 0 && said.stderr.contains("was heard of"),
        "{said:?}"
    );
    pair.both_in("dual-write").await;
    let change = "UPDATE orders SET total = 3 WHERE id = 3";
    write(&pair.b, &pair.stores, change).await.unwrap();
    pair.drained().await;
    pair.assert_equal().await;
}
