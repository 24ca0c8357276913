//! Several clients at once.

use crate::shop::Shop;
use futures::future::join_all;
use std::time::Duration;

in_dual_phases!(
    trap_01_two_clients_on_one_row_leave_both_stores_alike,
    async |shop: &Shop| {
        let clients = join_all((0..4).map(|_| shop.client())).await;
        join_all(clients.iter().enumerate().map(async |(number, client)| {
            for round in 0..100 {
                let state = format!("{number}/{round}");
                client
                    .execute("UPDATE orders SET state = $1 WHERE id = 1", &[&state])
                    .await
                    .unwrap();
                client
                    .execute(
                        "UPDATE counters SET value = value + 1 WHERE name = 'counter 1'",
                        &[],
                    )
                    .await
                    .unwrap();
            }
        }))
        .await;
        shop.stores
            .new
            .becomes("SELECT value FROM counters WHERE name = 'counter 1'", "400")
            .await;
    }
);

in_dual_phases!(trap_01_insert_and_delete_of_one_key, async |shop: &Shop| {
    let clients = join_all((0..4).map(|_| shop.client())).await;
    join_all(clients.iter().enumerate().map(async |(number, client)| {
        for round in 0..60 {
            let value = i64::try_from(number * 1000 + round).unwrap();
            let insert = "INSERT INTO counters VALUES ('contended', $1) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value";
            client.execute(insert, &[&value]).await.unwrap();
            if round % 3 == 0 {
                client.execute("DELETE FROM counters WHERE name = 'contended'", &[]).await.unwrap();
            }
        }
    }))
    .await;
});

in_dual_phases!(
    trap_02_rows_taken_in_opposite_order_deadlock_at_most_in_the_primary,
    async |shop: &Shop| {
        let clients = join_all((0..4).map(|_| shop.client())).await;
        let work = join_all(clients.iter().enumerate().map(async |(number, client)| {
            let mut names = ["counter 1", "counter 2", "counter 3"];
            if number % 2 == 1 {
                names.reverse();
            }
            for _ in 0..40 {
                let mut sql = "BEGIN;".to_owned();
                for name in names {
                    sql += &format!("UPDATE counters SET value = value + 1 WHERE name = '{name}';");
                }
                if let Err(error) = client.batch_execute(&(sql + "COMMIT")).await {
                    assert_eq!(
                        error.code().map(|code| code.code()),
                        Some("40P01"),
                        "{error:?}"
                    );
                    client.batch_execute("ROLLBACK").await.unwrap();
                }
            }
        }));
        crossfade_tests::within(90, "nobody hangs", work).await;
    }
);

#[tokio::test]
async fn trap_02_pgbench_at_eight_clients_in_every_dual_phase() {
    const TABLES: &str = "[toggle.shop.table.pgbench_accounts]\n[toggle.shop.table.pgbench_tellers]\n\
                          [toggle.shop.table.pgbench_branches]\n";
    let stores = crossfade_tests::Stores::create("").await;
    for store in [&stores.old, &stores.new] {
        let output = store.direct().pgbench(&["-i", "-q", "-s", "1"]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    // Every balance is hot and changes: the tables have no version column, and none is needed for writes.
    let mut proxy = crossfade_tests::Proxy::start(stores.config("use-old", TABLES)).await;
    proxy.flip("dual-write").await;
    proxy.cli(&["backfill"]).expect(0);
    proxy.cli(&["verify"]).expect(0);
    for phase in ["dual-write", "dual-read"] {
        proxy.flip(phase).await;
        for mode in ["simple", "extended", "prepared"] {
            let args = ["-M", mode, "-b", "tpcb-like", "-c", "8", "-T", "2", "-n"];
            let output = proxy.endpoint(&stores.old).pgbench(&args);
            let said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && said.contains("failed transactions: 0"),
                "{phase} {mode}: {said}"
            );
        }
        proxy.drained().await;
        stores
            .assert_equal(&["pgbench_accounts", "pgbench_tellers", "pgbench_branches"])
            .await;
    }
}

in_dual_phases!(
    trap_16_cancelled_writes_end_alike_in_both,
    async |shop: &Shop| {
        let holder = shop.client().await;
        holder
            .batch_execute("BEGIN; UPDATE orders SET total = 1 WHERE id = 1")
            .await
            .unwrap();
        let waiting = shop.client().await;
        let token = waiting.cancel_token();
        let write = waiting.batch_execute("BEGIN; UPDATE orders SET total = 2 WHERE id = 2; UPDATE orders SET total = 2 WHERE id = 1");
        let cancel = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            token.cancel_query(tokio_postgres::NoTls).await.unwrap();
        };
        let (outcome, ()) = futures::future::join(write, cancel).await;
        assert_eq!(
            outcome.unwrap_err().code().map(|code| code.code()),
            Some("57014")
        );
        waiting.batch_execute("ROLLBACK").await.unwrap();
        holder.batch_execute("COMMIT").await.unwrap();
    }
);
