//! A COPY that is larger than what its session may hold, and a TRUNCATE.

use crossfade_crash::Point;
use crossfade_tests::{
    SHOP, SHOP_TABLES,
    wire::messages::{copy_data, copy_done, query},
};

use super::REACHED;
use crate::shop::{SEED, Shop};

/// What only large transactions come to.
pub(crate) const POINTS: &[Point] = &[Point::PortionDeclared, Point::PortionSent];

/// More than a session may hold.
const ROWS: usize = 400;

const ENDS: &[Point] = &[
    Point::PortionDeclared,
    Point::PortionSent,
    Point::Staged,
    Point::PrimaryCommitted,
];

async fn killed_at_every_point(phase: &str) {
    let narrow = "[writes]\nmax_transaction_bytes = \"64KiB\"";
    let mut shop = Shop::with(phase, SHOP, SHOP, SHOP_TABLES, SEED, |config| {
        config.section(narrow)
    })
    .await;
    let primary = match phase {
        "new-primary" => &shop.stores.new,
        _ => &shop.stores.old,
    };
    for (run, &point) in (1001..).zip(ENDS) {
        shop.proxy.arm(&format!("{}:1", point.name())).await;
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        let rows: String = (0..ROWS)
            .map(|row| format!("{run}\t{row}\tcopied\n"))
            .collect();
        let statements = "BEGIN; TRUNCATE counters; INSERT INTO counters (name) VALUES ('run'); COPY items (order_id, line, product) FROM STDIN; COMMIT";
        let messages = [
            query(&statements.replace("'run'", &format!("'run {run}'"))),
            copy_data(rows.as_bytes()),
            copy_done(),
        ];
        let sent = wire.try_send(&messages).await;
        let reached = shop.proxy.crashed(REACHED).await;
        if !reached {
            let frames = wire.ready().await;
            panic!("{point:?} was not reached: {sent:?}, {frames:?}");
        }
        let mut acknowledged = false;
        while let Some(frame) = wire.try_frame().await {
            acknowledged |= frame.tag == b'C' && frame.body.starts_with(b"COMMIT");
        }
        shop.proxy.restart().await;
        shop.proxy.drained().await;
        let found = primary
            .value(&format!(
                "SELECT count(*) + (SELECT count(*) FROM counters WHERE name = 'run {run}') FROM items WHERE order_id = {run} AND product = 'copied'"
            ))
            .await;
        assert!(
            found == (ROWS + 1).to_string() || found == "0" && !acknowledged,
            "{point:?}: {found} rows, acknowledged: {acknowledged}"
        );
        shop.assert_equal().await;
    }
}

#[tokio::test]
pub(crate) async fn trap_15_a_copy_killed_at_every_point_of_dual_write() {
    killed_at_every_point("dual-write").await;
}

#[tokio::test]
async fn trap_15_a_copy_killed_at_every_point_of_new_primary() {
    killed_at_every_point("new-primary").await;
}
