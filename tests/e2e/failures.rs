//! Crashes and sick stores: an acknowledged write is in the primary, and in the secondary or its key in the journal.

mod around;
pub(crate) mod crash;
mod disk;
mod ended;
mod failover;
pub(crate) mod histories;
// A release build has no crash points.
#[cfg(debug_assertions)]
pub(crate) mod points;
pub(crate) mod secondary;
mod sick;

use crossfade_tests::{ConfigBuilder, Database, Postgres, Proxy, SHOP, SHOP_TABLES, Stores};

/// What the environment says, where a test can be had longer or otherwise.
pub(crate) fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// A shop in phase 3 whose new store is a server of its own, to be stopped and frozen.
struct Frail {
    server: Postgres,
    new: Database,
    stores: Stores,
    proxy: Proxy,
}

impl Frail {
    async fn start() -> Frail {
        Frail::with("").await
    }

    /// With lines for the section `[writes]`.
    async fn with(writes: &str) -> Frail {
        let server = Postgres::start();
        let new = server.database("new");
        new.run(SHOP).await;
        let stores = Stores::shop().await;
        stores.old.run(crate::shop::SEED).await;
        let config = ConfigBuilder::new(stores.old.own(), new.own())
            .section("[flips]\nmismatch_window = \"0s\"")
            .section(&format!(
                "[writes]\nsecondary_timeout = \"300ms\"\nbreaker_retry = \"200ms\"\n{writes}"
            ))
            .toggle("shop", "use-old", SHOP_TABLES);
        let mut proxy = Proxy::start(config).await;
        proxy.flip("dual-write").await;
        proxy.cli(&["backfill"]).expect(0);
        proxy.cli(&["verify"]).expect(0);
        Frail {
            server,
            new,
            stores,
            proxy,
        }
    }

    async fn assert_equal(&self) {
        for table in ["orders", "items", "counters"] {
            assert!(
                crossfade_tests::compare::tables(&self.stores.old, table, &self.new, table).await
                    > 0,
                "{table}"
            );
        }
    }
}
