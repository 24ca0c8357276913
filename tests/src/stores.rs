//! The two stores of a test, and the small shop that most tests sell in.

use crate::{
    ConfigBuilder, Database, compare,
    shared::{Role, server},
};

/// Tables of the usual schema: a mutable one with defaults of every kind, an immutable one that refers to it, and a
/// renamed and retyped one (see [`SHOP_TABLES`]).
pub const SHOP: &str = "
CREATE TABLE orders (
    id bigserial PRIMARY KEY,
    customer text NOT NULL,
    total numeric(12,2) NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'new',
    token uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE items (
    order_id bigint NOT NULL,
    line int NOT NULL,
    product text NOT NULL,
    quantity int NOT NULL DEFAULT 1,
    attributes jsonb,
    PRIMARY KEY (order_id, line)
);
CREATE TABLE counters (
    name text PRIMARY KEY,
    value bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE unmapped (id int PRIMARY KEY, note text);
";

/// The mapping of [`SHOP`] under the toggle `shop`.
pub const SHOP_TABLES: &str = "
[toggle.shop.table.orders]
version = \"updated_at\"
[toggle.shop.table.items]
[toggle.shop.table.counters]
version = \"updated_at\"
";

/// An old and a new database on the servers that the whole run shares; dropped with the value.
#[derive(Debug)]
pub struct Stores {
    /// The store the application comes from.
    pub old: Database,
    /// The store the application moves to.
    pub new: Database,
}

impl Stores {
    /// Two databases with the same `schema`.
    pub async fn create(schema: &str) -> Stores {
        Stores::create_with(schema, schema).await
    }

    /// Two databases with different schemas.
    pub async fn create_with(old_schema: &str, new_schema: &str) -> Stores {
        Stores::on(Role::Old, Role::New, old_schema, new_schema).await
    }

    /// The new one is of a later release, as it is for most who move.
    pub async fn to_later(old_schema: &str, new_schema: &str) -> Stores {
        Stores::on(Role::Old, Role::Later, old_schema, new_schema).await
    }

    /// Both are of a later release.
    pub async fn later(old_schema: &str, new_schema: &str) -> Stores {
        Stores::on(Role::Later, Role::Later, old_schema, new_schema).await
    }

    async fn on(old: Role, new: Role, old_schema: &str, new_schema: &str) -> Stores {
        let stores = Stores {
            old: Database::unique(server(old)),
            new: Database::unique(server(new)),
        };
        stores.old.run(old_schema).await;
        stores.new.run(new_schema).await;
        stores
    }

    /// Two databases with the schema [`SHOP`].
    pub async fn shop() -> Stores {
        Stores::create(SHOP).await
    }

    /// A configuration over the two with the toggle `shop` in `phase`, and the tables of `tables`.
    ///
    /// Nothing waits in a test: no time without mismatches is asked for before phase 5.
    #[must_use]
    pub fn config(&self, phase: &str, tables: &str) -> ConfigBuilder {
        ConfigBuilder::new(self.old.own(), self.new.own())
            .section("[flips]\nmismatch_window = \"0s\"")
            .toggle("shop", phase, tables)
    }

    /// [`Stores::config`] with [`SHOP_TABLES`].
    #[must_use]
    pub fn shop_config(&self, phase: &str) -> ConfigBuilder {
        self.config(phase, SHOP_TABLES)
    }

    /// Asserts that `tables` hold the same rows in both stores, and more than none.
    ///
    /// # Panics
    /// With the rows that differ.
    pub async fn assert_equal(&self, tables: &[&str]) {
        for table in tables {
            let rows = compare::tables(&self.old, table, &self.new, table).await;
            assert!(
                rows > 0,
                "{table} is empty in both stores: nothing was compared"
            );
        }
    }
}
