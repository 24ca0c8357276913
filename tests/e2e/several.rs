//! Several proxies over one migration.

mod around;
mod diskless;
mod entries;
pub(crate) mod flips;
mod forgotten;
pub(crate) mod gone;
mod strangers;
pub(crate) mod touch;
mod verify;

use std::time::Duration;

use crossfade_tests::{ConfigBuilder, Proxy, SHOP_TABLES, Stores, eventually, journal_in_primary};

/// Longest wait for what the proxies do by themselves.
const SOON: Duration = Duration::from_secs(20);

/// Makes a store refuse every change of `orders`, as a secondary too.
const REFUSE: &str = "
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE orders ENABLE ALWAYS TRIGGER refuse;";
const TAKE: &str = "DROP TRIGGER refuse ON orders; DROP FUNCTION refuse";

/// A shop in phase 2, and two proxies in front of it.
struct Pair {
    stores: Stores,
    a: Proxy,
    b: Proxy,
}

impl Pair {
    async fn new() -> Pair {
        let stores = Stores::shop().await;
        stores.old.run(crate::shop::SEED).await;
        let [a, b] = start(|name| config(&stores, name)).await;
        Pair { stores, a, b }
    }

    /// In phase 3 or 4, with everything copied.
    async fn in_phase(phase: &str) -> Pair {
        let mut pair = Pair::new().await;
        pair.a.flip("dual-write").await;
        pair.a.cli(&["backfill"]).expect(0);
        pair.a.cli(&["verify"]).expect(0);
        if phase == "dual-read" {
            // What is under way at this moment passes by itself.
            pair.a.ask("shop", "dual-read");
        }
        pair.both_in(phase).await;
        pair
    }

    /// Waits until both proxies say that the toggle is effectively in `phase`.
    async fn both_in(&self, phase: &str) {
        for proxy in [&self.a, &self.b] {
            in_phase(proxy, phase).await;
        }
    }

    async fn drained(&self) {
        self.a.drained().await;
        self.b.drained().await;
    }

    /// Waits until the first proxy has heard that the second one has two dirty keys.
    async fn two_keys_are_heard_of(&self) {
        eventually("two keys are heard of", SOON, async || {
            let toggle = self.a.toggle("shop").await;
            let proxies = toggle["proxies"].as_array().cloned().unwrap_or_default();
            let mut proxies = proxies.iter();
            proxies.any(|proxy| proxy["name"] == "b" && proxy["dirty_keys"] == 2)
        })
        .await;
    }

    async fn assert_equal(&self) {
        self.stores
            .assert_equal(&["orders", "items", "counters"])
            .await;
    }
}

async fn start(config: impl Fn(&str) -> ConfigBuilder) -> [Proxy; 2] {
    [
        Proxy::start(config("a")).await,
        Proxy::start(config("b")).await,
    ]
}

/// Two proxies in phase 3, with everything copied.
async fn copied(config: impl Fn(&str) -> ConfigBuilder) -> [Proxy; 2] {
    let [mut a, b] = start(config).await;
    a.flip("dual-write").await;
    a.cli(&["backfill"]).expect(0);
    a.cli(&["verify"]).expect(0);
    [a, b]
}

/// The file of one of several. With their journals in the primary they have no disk.
fn config(stores: &Stores, name: &str) -> ConfigBuilder {
    let config = stores
        .config("use-old", SHOP_TABLES)
        .line(&format!("control = \"database\"\nproxy = \"{name}\""));
    if journal_in_primary() {
        config.without_disk()
    } else {
        config
    }
}

async fn in_phase(proxy: &Proxy, phase: &str) {
    eventually(&format!("a proxy is in {phase}"), SOON, async || {
        let toggle = proxy.toggle("shop").await;
        toggle["effective"] == phase && toggle["published"] == phase
    })
    .await;
}

/// A write through a proxy.
async fn write(proxy: &Proxy, stores: &Stores, sql: &str) -> Result<(), tokio_postgres::Error> {
    proxy.connect(&stores.old).await.batch_execute(sql).await
}
