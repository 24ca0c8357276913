//! The repair of rows that have exchanged their unique values.

use crossfade_crash::Point;

use super::{REACHED, Scene};
use crate::shop::Shop;

pub(super) const POINTS: &[Point] = &[Point::ValuesFree];

/// The points that an exchange comes to, each for the time that is the exchange's where nobody but the command is at work: the attempts before it come to some of them as well.
const INSIDE: [(Point, u64); 5] = [
    (Point::SweepRead, 2),
    (Point::ValuesFree, 1),
    (Point::SweepWritten, 1),
    (Point::BeforeClean, 2),
    (Point::Cleaned, 2),
];

/// In the one there is a seat for a moment, and somebody points to it; in the other there is none, and nobody does.
const SEATS: &str = "
CREATE TABLE seats (id int PRIMARY KEY, seat int NOT NULL UNIQUE CHECK (seat BETWEEN 1 AND 3), name text);
CREATE TABLE guests (id int PRIMARY KEY, seat int NOT NULL REFERENCES seats ON DELETE CASCADE);
CREATE TABLE pairs (id int PRIMARY KEY, seat int NOT NULL UNIQUE CHECK (seat BETWEEN 1 AND 2), name text);
";
const TABLES: &str = "
[toggle.shop.table.seats]
[toggle.shop.table.guests]
[toggle.shop.table.pairs]
";
const SEED: &str = "
INSERT INTO seats VALUES (1, 1, 'a'), (2, 2, 'b');
INSERT INTO guests VALUES (1, 1), (2, 2);
INSERT INTO pairs VALUES (1, 1, 'a'), (2, 2, 'b');
";

/// In the old store alone, and with no record of it.
fn swap(table: &str) -> String {
    format!(
        "ALTER TABLE {table} DROP CONSTRAINT {table}_seat_key; UPDATE {table} SET seat = 3 - seat;
         ALTER TABLE {table} ADD CONSTRAINT {table}_seat_key UNIQUE (seat)"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trap_11_killed_while_rows_exchange_their_unique_values() {
    let mut scene = Scene::of(Shop::of("dual-write", SEATS, TABLES, SEED).await);
    let shop = &mut scene.shop;
    for table in ["seats", "pairs"] {
        for (point, nth) in INSIDE {
            let seats = format!("SELECT string_agg(t::text, ' ' ORDER BY id) FROM {table} t");
            let before = shop.stores.old.value(&seats).await;
            shop.stores.old.run(&swap(table)).await;
            let after = shop.stores.old.value(&seats).await;
            shop.proxy.arm(&format!("{}:{nth}", point.name())).await;
            let name = format!("public.{table}");
            let _ = tokio::task::block_in_place(|| {
                shop.proxy.cli(&["verify", "--repair", "--table", &name])
            });
            assert!(shop.proxy.crashed(REACHED).await, "{table} {point:?}");
            let left = shop.stores.new.value(&seats).await;
            match point {
                Point::ValuesFree => assert_eq!(left, before, "{table}"),
                Point::SweepWritten => assert_eq!(left, after, "{table}"),
                _other => assert!([before, after].contains(&left), "{table} {point:?}: {left}"),
            }
            shop.proxy.restart().await;
            shop.proxy.drained().await;
            shop.stores
                .assert_equal(&["seats", "guests", "pairs"])
                .await;
            assert_eq!(
                shop.stores.new.value("SELECT count(*) FROM guests").await,
                "2"
            );
            shop.proxy.cli(&["verify"]).expect(0);
        }
    }
}
