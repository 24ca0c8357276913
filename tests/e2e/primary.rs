//! The journal kept in the primary: the most telling of the other tests once more, and what only this form has.

use crossfade_tests::{ConfigBuilder, Database, Endpoint, InPrimary, Proxy, SHOP_TABLES, Stores};

use crate::shop::Shop;

/// Runs tests from elsewhere with the journal in the primary.
macro_rules! again {
    ($($name:ident from $module:path { $($test:ident,)+ })+) => {$(
        mod $name {
            use $module as tests;
            $(
                #[test]
                fn $test() {
                    let _form = crossfade_tests::InPrimary::begin();
                    tests::$test();
                }
            )+
        }
    )+};
}

again! {
    crash from crate::failures::crash {
        trap_03_killed_between_the_two_commits,
        trap_17_a_commit_that_fails_in_the_secondary_only_is_a_success,
        killed_while_the_secondary_is_staging_leaves_no_trace,
        trap_03_killed_again_and_again_under_load,
        trap_43_the_primary_dies_in_the_middle_of_writes,
        trap_43_the_primary_ends_a_session_right_behind_its_commit,
    }
    secondary from crate::failures::secondary {
        down_and_back_again,
        the_journal_survives_kill_9_while_the_secondary_is_down,
        a_flip_waits_for_an_empty_journal,
        trap_11_a_row_that_only_the_secondary_refuses,
        on_secondary_error_fail_is_strict,
    }
    barrier from crate::walk::barrier {
        four_to_five_and_back_under_load_without_an_error,
    }
    back from crate::walk::back {
        trap_38_five_to_four_with_a_dirty_key_in_the_old_is_refused,
    }
    forced from crate::walk::forced {
        trap_38_what_the_new_primary_lacks_comes_on_the_way_back_to_4,
        trap_38_what_the_new_primary_lacks_keeps_the_old_store_and_comes_on_the_way_back_from_7,
        trap_38_what_the_old_primary_lacks_comes_on_the_way_forward_to_5,
        a_key_that_is_stale_in_both_stores_is_an_operators_to_decide,
    }
    whole from crate::walk::whole {
        one_to_eight_under_load_and_the_old_server_switched_off,
    }
    flips_of_several from crate::several::flips {
        one_to_eight_through_one_proxy_while_both_serve,
        trap_37_four_to_five_and_back_drains_both,
        trap_36_a_transaction_at_the_other_proxy_calls_the_flip_off,
        dirty_keys_in_the_other_proxys_journal_hold_up_the_flip,
        trap_38_what_the_new_primary_lacks_comes_on_the_way_back_at_every_proxy,
        trap_38_a_compared_read_undoes_nothing_that_another_proxy_knows_to_be_newer,
        phase_7_completes_the_tables_through_one_proxy_at_a_time,
        documents_in_the_new_store,
    }
    several_gone from crate::several::gone {
        a_frozen_proxy_holds_up_the_flip_and_no_client,
        trap_40_a_restart_with_an_older_file_follows_the_others,
        trap_03_a_killed_proxy_blocks_what_needs_its_journal_until_it_is_back,
        one_that_is_ended_in_order_counts_no_more,
    }
    several_touch from crate::several::touch {
        one_that_loses_touch_refuses_to_write_both_stores_says_so_and_comes_back,
    }
    histories from crate::failures::histories {
        histories_through_two_proxies_lose_and_invent_nothing,
    }
    large from crate::writes::large {
        images_go_ahead_of_the_commit_and_keys_stay_clean,
        trap_12_of_a_transaction_that_went_ahead_nothing_may_be_left,
    }
    random from crate::writes::random {
        trap_14_sessions_in_3,
        trap_14_sessions_in_5,
        trap_34_sessions_in_4_and_5,
    }
    sequences from crate::writes::sequences {
        trap_12_blocks_that_end_and_begin_anywhere_in_3,
        trap_12_blocks_that_end_and_begin_anywhere_in_5,
        trap_14_what_a_server_skips_has_not_happened_in_3,
    }
    documents_failures from crate::mongo::failures {
        trap_03_the_proxy_is_killed_under_load,
        a_store_that_dies_or_freezes_disturbs_no_client_and_loses_nothing,
    }
}

// A release build has no crash points.
#[cfg(debug_assertions)]
again! {
    points from crate::failures::points::sandwich {
        trap_03_killed_at_every_point_of_dual_write,
        trap_03_killed_at_every_point_of_new_primary,
    }
    flippers from crate::several::gone {
        trap_37_a_flipper_that_is_killed_leaves_one_primary,
    }
    large_points from crate::failures::points::large {
        trap_15_a_copy_killed_at_every_point_of_dual_write,
    }
    documents from crate::mongo::points {
        trap_03_killed_at_every_point_with_transactions,
        trap_03_killed_at_points_of_the_sandwich_whose_primary_holds_documents,
    }
}

/// A role that may read and write the tables of a database, and nothing else.
async fn plain(database: &Database, like: &Endpoint) -> Endpoint {
    let user = format!("plain_{}", database.name());
    database
        .run(&format!(
            "CREATE ROLE {user} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {user}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {user}"
        ))
        .await;
    Endpoint {
        user,
        ..like.clone()
    }
}

/// Intents that are still there.
const INTENTS: &str = "SELECT count(*) FROM crossfade.journal_intent";

#[tokio::test]
async fn an_intent_goes_when_the_secondary_has_the_write() {
    let _form = InPrimary::begin();
    let mut shop = Shop::in_phase("dual-write").await;
    let client = shop.client().await;
    for n in 1..=20 {
        let update = format!("UPDATE orders SET total = {n} WHERE id = {n}");
        client.batch_execute(&update).await.unwrap();
    }
    shop.proxy.drained().await;
    shop.stores.old.becomes(INTENTS, "0").await;
    assert!(
        !std::fs::read_dir(shop.proxy.state_dir())
            .unwrap()
            .any(|entry| entry
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with("segment-")),
        "the journal writes nothing to the disk"
    );
    // An orderly end leaves nothing in the primary that has to be looked after: the next start may keep its journal on the disk.
    assert_eq!(shop.proxy.stop(), Some(0));
    let state = std::fs::read_to_string(shop.proxy.state_dir().join("state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["journal_in_primary"], false, "{state}");
    shop.stores
        .old
        .becomes("SELECT count(*) FROM crossfade.journal_owner", "0")
        .await;
}

#[tokio::test]
async fn a_write_whose_intent_is_refused_is_rolled_back_and_told() {
    let _form = InPrimary::begin();
    let shop = Shop::in_phase("dual-write").await;
    let old = &shop.stores.old;
    let client = shop.client().await;
    old.run("ALTER FUNCTION crossfade.intend(bigint, bigint, bytea) RENAME TO gone")
        .await;
    let refused = |error: tokio_postgres::Error| {
        let error = error.as_db_error().unwrap().clone();
        assert_eq!(error.code().code(), "58030", "{error:?}");
        assert!(error.message().contains("intent"), "{error:?}");
    };
    let update = "UPDATE orders SET total = 5 WHERE id = 5";
    refused(client.execute(update, &[]).await.unwrap_err());
    refused(client.batch_execute(update).await.unwrap_err());
    // A block that cannot be committed leaves none behind, in either protocol.
    client.batch_execute("BEGIN").await.unwrap();
    client.execute(update, &[]).await.unwrap();
    refused(client.batch_execute("COMMIT").await.unwrap_err());
    client.batch_execute("BEGIN").await.unwrap();
    client.execute(update, &[]).await.unwrap();
    refused(client.execute("COMMIT", &[]).await.unwrap_err());
    refused(
        client
            .batch_execute(&format!("BEGIN; {update}; COMMIT"))
            .await
            .unwrap_err(),
    );
    client.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(
        old.value("SELECT total FROM orders WHERE id = 5").await,
        "5.00"
    );
    shop.assert_equal().await;
    old.run("ALTER FUNCTION crossfade.gone(bigint, bigint, bytea) RENAME TO intend")
        .await;
    client
        .batch_execute("UPDATE orders SET total = 55 WHERE id = 5")
        .await
        .unwrap();
    // A block that had failed is rolled back by its COMMIT, which is no error.
    client.batch_execute("BEGIN").await.unwrap();
    client
        .execute("UPDATE orders SET total = 6 WHERE id = 6", &[])
        .await
        .unwrap();
    client.batch_execute("SELECT 1 / 0").await.unwrap_err();
    client.batch_execute("COMMIT").await.unwrap();
    // And one that went back to a savepoint is committed.
    client.batch_execute("BEGIN").await.unwrap();
    client
        .execute("UPDATE orders SET total = 66 WHERE id = 6", &[])
        .await
        .unwrap();
    client.batch_execute("SAVEPOINT s").await.unwrap();
    client.batch_execute("SELECT 1 / 0").await.unwrap_err();
    client.batch_execute("ROLLBACK TO s; COMMIT").await.unwrap();
    assert_eq!(
        old.value("SELECT total FROM orders WHERE id = 6").await,
        "66.00"
    );
    shop.proxy.drained().await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn a_client_needs_no_right_on_the_journal_and_has_none() {
    let _form = InPrimary::begin();
    let shop = Shop::in_phase("dual-write").await;
    let endpoint = shop.proxy.endpoint(&shop.stores.old);
    let client = plain(&shop.stores.old, &endpoint).await.connect().await;
    client
        .batch_execute("UPDATE orders SET total = 7 WHERE id = 7")
        .await
        .unwrap();
    let peek = client.batch_execute(INTENTS).await.unwrap_err();
    assert_eq!(
        peek.as_db_error().unwrap().code().code(),
        "42501",
        "{peek:?}"
    );
    shop.proxy.drained().await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn an_account_that_may_not_keep_the_journal_is_found_before() {
    let _form = InPrimary::begin();
    let stores = Stores::shop().await;
    let own = plain(&stores.old, stores.old.own()).await;
    let config = ConfigBuilder::new(&own, stores.new.own()).toggle("shop", "use-old", SHOP_TABLES);
    let mut proxy = Proxy::start(config).await;
    let check = proxy.cli(&["check"]);
    let missing = format!(
        "cannot keep the journal: the account \"{}\" may not make the schema crossfade for the journal: GRANT CREATE ON DATABASE",
        own.user
    );
    assert!(check.stdout.contains(&missing), "{check:?}");
    let why = proxy.flip_refused("dual-write").await;
    assert!(why.contains("permission denied"), "{why}");
}

#[tokio::test]
async fn keys_that_are_dirty_move_along_with_a_forced_move_of_the_primary() {
    let _form = InPrimary::begin();
    let mut shop = Shop::in_phase("dual-read").await;
    let (old, new) = (&shop.stores.old, &shop.stores.new);
    let client = shop.client().await;
    // A row that the new store refuses stays dirty.
    new.run("ALTER TABLE orders ADD CONSTRAINT small CHECK (total < 1000000)")
        .await;
    client
        .batch_execute("UPDATE orders SET total = 2000000 WHERE id = 9")
        .await
        .unwrap();
    old.becomes("SELECT count(*) FROM crossfade.journal_dirty", "1")
        .await;
    shop.proxy.force("new-primary", "a test").await;
    new.becomes("SELECT count(*) FROM crossfade.journal_dirty", "1")
        .await;
    old.becomes("SELECT count(*) FROM crossfade.journal_dirty", "0")
        .await;
    shop.proxy.kill9();
    shop.proxy.restart().await;
    assert_eq!(shop.proxy.dirty_keys().await, 1);
}
