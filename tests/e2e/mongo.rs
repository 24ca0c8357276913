//! MongoDB as the new store.

mod bulk;
mod cascades;
mod drivers;
pub(crate) mod failures;
mod merge;
mod phases;
// A release build has no crash points.
#[cfg(debug_assertions)]
pub(crate) mod points;
mod races;
mod shapes;
mod sql;
mod types;
mod walk;
mod with;

use crossfade_tests::{ConfigBuilder, Database, Mongod, Proxy, SHOP_TABLES, Stores};
use mongodb::{Collection, bson::Document};

/// The database of the documents.
const DATABASE: &str = "shop";

/// An old PostgreSQL, a new MongoDB, and a proxy in front of them.
struct Documents {
    server: Mongod,
    stores: Stores,
    proxy: Proxy,
}

impl Documents {
    /// The usual shop in phase 3, copied and verified.
    async fn shop() -> Documents {
        Documents::shop_on(Mongod::start().await).await
    }

    async fn shop_on(server: Mongod) -> Documents {
        let documents = Documents::of(
            server,
            &format!("{}{}", crossfade_tests::SHOP, crate::shop::SEED),
            SHOP_TABLES,
        )
        .await;
        documents.complete();
        documents
    }

    /// A schema of one's own in phase 3, with nothing copied yet.
    async fn of(server: Mongod, schema: &str, tables: &str) -> Documents {
        Documents::with(server, schema, tables, "").await
    }

    /// As [`Documents::of`], with lines for the section `[writes]`.
    async fn with(server: Mongod, schema: &str, tables: &str, writes: &str) -> Documents {
        let stores = Stores::create("").await;
        stores.old.run(schema).await;
        let config = ConfigBuilder::new(stores.old.own(), stores.old.own())
            .new_url(&server.url(DATABASE))
            .section("[flips]\nmismatch_window = \"0s\"")
            .section("[users]\nfile = \"users.txt\"")
            .section(&format!(
                "[writes]\nsecondary_timeout = \"500ms\"\nbreaker_retry = \"200ms\"\n{writes}"
            ))
            .toggle("shop", "use-old", tables);
        let mut proxy = Proxy::start(config).await;
        proxy.flip("dual-write").await;
        Documents {
            server,
            stores,
            proxy,
        }
    }

    /// Copies what is missing and proves that nothing is.
    fn complete(&self) {
        self.proxy.cli(&["backfill"]).expect(0);
        self.verify();
    }

    /// Goes through these phases; before the last, the users are listed.
    async fn walk(&mut self, phases: &[&str]) {
        for phase in phases {
            if *phase == "new-only" {
                self.proxy.cli(&["users", "import"]).expect(0);
            }
            self.proxy.flip(phase).await;
        }
    }

    /// Compares every row with its document.
    fn verify(&self) {
        self.proxy.cli(&["verify"]).expect(0);
    }

    /// A collection of the new store, by the driver.
    async fn collection(&self, name: &str) -> Collection<Document> {
        self.server.database(DATABASE).await.collection(name)
    }

    fn old(&self) -> &Database {
        &self.stores.old
    }

    async fn client(&self) -> tokio_postgres::Client {
        self.proxy.connect(&self.stores.old).await
    }

    async fn run(&self, sql: &str) {
        self.client().await.batch_execute(sql).await.unwrap();
    }
}
