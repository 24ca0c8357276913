//! A proxy that loses touch with the others.

use crossfade_tests::{Proxy, eventually, journal_in_primary, within};

use super::{Pair, SOON, write};

const WRITE: &str = "UPDATE orders SET total = 3 WHERE id = 3";
/// All of it has gone ahead when it commits.
const LARGE: &str =
    "INSERT INTO items SELECT 100000 + n, 1, 'large' FROM generate_series(1, 8192) n";

#[tokio::test]
pub(crate) async fn one_that_loses_touch_refuses_to_write_both_stores_says_so_and_comes_back() {
    let pair = Pair::in_phase("dual-write").await;
    // Clients reach the old store; the control table is out of reach.
    let locker = pair.stores.old.own().connect().await;
    locker
        .batch_execute("BEGIN; LOCK TABLE crossfade.control")
        .await
        .unwrap();
    for proxy in [&pair.a, &pair.b] {
        eventually("it says that it is out of touch", SOON, async || {
            proxy.toggle("shop").await["out_of_touch"].is_string()
        })
        .await;
        for sql in [WRITE, LARGE] {
            let error = write(proxy, &pair.stores, sql).await.unwrap_err();
            let error = error.as_db_error().unwrap();
            assert_eq!(error.code().code(), "58030", "{error}");
            assert!(
                error.message().contains("out of touch") && error.hint().is_some(),
                "{error:?}"
            );
        }
        let (status, why) = proxy.fetch("/readyz").await;
        assert!(
            status == 503 && why.contains("out of touch"),
            "{status} {why}"
        );
        assert_eq!(
            proxy
                .metrics()
                .await
                .sum("crossfade_in_touch", &[("toggle", "shop")]),
            Some(0.0)
        );
        assert!(proxy.log().contains("out of touch with the others"));
        // What writes one store only goes on.
        write(
            proxy,
            &pair.stores,
            "UPDATE unmapped SET note = 'still served'",
        )
        .await
        .unwrap();
    }
    locker.batch_execute("ROLLBACK").await.unwrap();
    for proxy in [&pair.a, &pair.b] {
        eventually("it is back", SOON, async || {
            proxy.fetch("/readyz").await.0 == 200
        })
        .await;
        assert!(proxy.toggle("shop").await.get("out_of_touch").is_none());
        write(proxy, &pair.stores, WRITE).await.unwrap();
    }
    pair.drained().await;
    pair.assert_equal().await;
}

#[tokio::test]
pub(crate) async fn of_two_with_one_state_dir_the_first_lets_nobody_in() {
    if journal_in_primary() {
        // There is no folder to be copied.
        return;
    }
    let mut pair = Pair::in_phase("dual-write").await;
    pair.b.kill9();
    let mut copy = Proxy::new(pair.b.config().clone());
    std::fs::create_dir_all(copy.state_dir()).unwrap();
    for file in std::fs::read_dir(pair.b.state_dir()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.state_dir().join(file.file_name())).unwrap();
    }
    copy.restart().await;
    write(&copy, &pair.stores, WRITE).await.unwrap();
    pair.b.restart().await;
    eventually("it notices", SOON, async || {
        let why = copy.toggle("shop").await["out_of_touch"].clone();
        why.as_str()
            .is_some_and(|why| why.contains("copy of this state_dir"))
    })
    .await;
    // The login is the store's; the session ends with it.
    let client = copy.connect(&pair.stores.old).await;
    within(
        5,
        "an answer of one that lets nobody in",
        client.batch_execute(WRITE),
    )
    .await
    .unwrap_err();
    assert!(copy.log().contains("a session could not go on"));
    write(&pair.b, &pair.stores, WRITE).await.unwrap();
}
