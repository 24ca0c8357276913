//! A shop in the middle of its migration: what most tests of the dual phases start from.

use crossfade_tests::{ConfigBuilder, Proxy, SHOP, SHOP_TABLES, Stores};
use tokio_postgres::Client;

/// The phases in their order.
pub(crate) const PHASES: [&str; 8] = [
    "deploy-new",
    "use-old",
    "dual-write",
    "dual-read",
    "new-primary",
    "new-writes",
    "backfill",
    "new-only",
];

/// Rows that were there before the migration began.
pub(crate) const SEED: &str = "
INSERT INTO orders (customer, total) SELECT 'early ' || n, n FROM generate_series(1, 50) n;
INSERT INTO items (order_id, line, product) SELECT n, 1, 'product ' || n FROM generate_series(1, 50) n;
INSERT INTO counters (name, value) SELECT 'counter ' || n, 0 FROM generate_series(1, 10) n;
INSERT INTO unmapped VALUES (1, 'only in the old');
";

/// Two stores and a proxy in front of them.
pub(crate) struct Shop {
    pub(crate) stores: Stores,
    pub(crate) proxy: Proxy,
}

impl Shop {
    /// The usual shop in `phase`; from 3 on its tables are complete, as after a backfill in 3.
    pub(crate) async fn in_phase(phase: &str) -> Shop {
        Shop::with(phase, SHOP, SHOP, SHOP_TABLES, SEED, |config| config).await
    }

    /// A shop with tables of its own, the same in both stores.
    pub(crate) async fn of(phase: &str, schema: &str, tables: &str, seed: &str) -> Shop {
        Shop::with(phase, schema, schema, tables, seed, |config| config).await
    }

    /// A shop with everything of its own.
    pub(crate) async fn with(
        phase: &str,
        old_schema: &str,
        new_schema: &str,
        tables: &str,
        seed: &str,
        change: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
    ) -> Shop {
        let stores = Stores::create_with(old_schema, new_schema).await;
        Shop::between(stores, phase, tables, seed, change).await
    }

    /// A shop in these stores.
    pub(crate) async fn between(
        stores: Stores,
        phase: &str,
        tables: &str,
        seed: &str,
        change: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
    ) -> Shop {
        stores.old.run(seed).await;
        let proxy = Proxy::start(change(stores.config("use-old", tables))).await;
        let mut shop = Shop { stores, proxy };
        shop.walk_to(phase).await;
        shop
    }

    /// Walks forward from phase 2, copying and verifying everything in 3.
    async fn walk_to(&mut self, phase: &str) {
        let goal = PHASES.iter().position(|one| *one == phase).unwrap();
        for phase in PHASES.iter().take(goal + 1).skip(2) {
            self.proxy.flip(phase).await;
            if *phase == "dual-write" {
                self.complete();
            }
        }
    }

    /// Copies what the new store lacks and proves that nothing is missing.
    pub(crate) fn complete(&self) {
        self.proxy.cli(&["backfill"]).expect(0);
        self.proxy.cli(&["verify"]).expect(0);
    }

    /// As [`Shop::complete`], after a spell in which the new store missed changes and deletions too.
    pub(crate) fn complete_again(&self) {
        self.proxy.cli(&["backfill"]).expect(0);
        // Whether it ends with 0 or with 1 after it repaired what it found is not the point.
        let _ = self.proxy.cli(&["verify", "--repair"]);
        self.proxy.cli(&["verify"]).expect(0);
    }

    /// An application's connection.
    pub(crate) async fn client(&self) -> Client {
        self.proxy.connect(&self.stores.old).await
    }

    /// Runs statements as the application.
    pub(crate) async fn run(&self, sql: &str) {
        self.client()
            .await
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Asserts that the shop's tables are alike in both stores.
    pub(crate) async fn assert_equal(&self) {
        self.stores
            .assert_equal(&["orders", "items", "counters"])
            .await;
    }

    /// Asserts that the journal holds nothing.
    pub(crate) async fn assert_clean(&self) {
        let toggle = self.proxy.toggle("shop").await;
        assert_eq!(toggle["dirty_keys"], 0, "{toggle}");
    }
}

/// One test for each phase that writes both stores: `NAME::dual_write`, `NAME::dual_read`, `NAME::new_primary`. The body
/// gets a [`Shop`]; afterwards the stores must be equal and no key dirty.
macro_rules! in_dual_phases {
    ($(#[$meta:meta])* $name:ident, $body:expr) => {
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn in_phase(phase: &str) {
                let shop = $crate::shop::Shop::in_phase(phase).await;
                let body = $body;
                body(&shop).await;
                shop.assert_equal().await;
                shop.assert_clean().await;
            }

            #[tokio::test]
            async fn dual_write() {
                in_phase("dual-write").await;
            }

            #[tokio::test]
            async fn dual_read() {
                in_phase("dual-read").await;
            }

            #[tokio::test]
            async fn new_primary() {
                in_phase("new-primary").await;
            }
        }
    };
}
