//! Are both stores alike? Asked of the stores directly, by the demo's own means.

use std::collections::BTreeMap;

use tokio_postgres::{Client, Error};

use super::tally::{Table, Tally};

/// Differences that are shown in full.
const SHOWN: usize = 5;

/// A table in both stores: its key, and a whole row as text in the new store's types.
struct Both {
    table: Table,
    name: &'static str,
    old: &'static str,
    new: &'static str,
    /// Rows that the old store started with.
    began_with: i64,
}

const TABLES: [Both; 4] = [
    Both {
        table: Table::Customers,
        name: "customers",
        old: "SELECT id::text, ROW(email, name, tier, profile, created_at, version)::text FROM public.customers",
        new: "SELECT id::text, ROW(email, name, tier, profile, created_at, version)::text FROM public.customers",
        began_with: 600,
    },
    Both {
        table: Table::Orders,
        name: "orders",
        old: "SELECT id::text, ROW(customer_id, status, total::numeric(14,4), note, shipping, placed_at, updated_at)::text FROM public.orders",
        new: "SELECT id::text, ROW(customer_id, status, amount, note, shipping, placed_at, updated_at)::text FROM public.orders",
        began_with: 3000,
    },
    Both {
        table: Table::Items,
        name: "order_items",
        old: "SELECT order_id || '-' || line, ROW(sku::text, quantity, price)::text FROM public.order_items",
        new: "SELECT order_id || '-' || line, ROW(sku, quantity, price)::text FROM public.order_items",
        began_with: 6000,
    },
    Both {
        table: Table::Payments,
        name: "payments",
        old: "SELECT id::text, ROW(order_id, method, amount, paid_at)::text FROM public.payments",
        new: "SELECT id::text, ROW(order_id, method, amount, paid_at)::text FROM billing.payment",
        began_with: 1800,
    },
];

/// The outcome of a comparison.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Rows that were compared.
    pub(super) rows: u64,
    /// Rows that differ.
    pub(super) differences: u64,
    /// The first of them, to read.
    pub(super) shown: Vec<String>,
}

impl Compared {
    /// Adds what differs.
    pub(super) fn add(&mut self, rows: u64, differences: Vec<String>) {
        self.rows += rows;
        self.differences += differences.len() as u64;
        let room = SHOWN.saturating_sub(self.shown.len());
        self.shown.extend(differences.into_iter().take(room));
    }
}

/// Compares every row of all tables. Nobody may write meanwhile.
///
/// # Errors
/// When a store refuses a question.
pub(super) async fn stores(old: &Client, new: &Client) -> Result<Compared, Error> {
    let mut compared = Compared::default();
    for both in &TABLES {
        let (left, right) = (rows(old, both.old).await?, rows(new, both.new).await?);
        let found = differences(both.name, &left, &right);
        compared.add(left.len().max(right.len()) as u64, found);
    }
    Ok(compared)
}

/// Rows of each table in the new store.
///
/// # Errors
/// When the store refuses a question.
pub(super) async fn counts(new: &Client) -> Result<BTreeMap<&'static str, i64>, Error> {
    let mut counts = BTreeMap::new();
    for both in &TABLES {
        let sql = format!("SELECT count(*) FROM ({}) AS counted", both.new);
        counts.insert(both.name, new.query_one(&sql, &[]).await?.try_get(0)?);
    }
    Ok(counts)
}

/// Names of the tables in the old store.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|both| both.name)
}

/// Compares the number of rows with what the clients were told: what there was, and every insert and delete since.
pub(super) fn miscounts(counts: &BTreeMap<&'static str, i64>, tally: &Tally) -> Vec<String> {
    let mut differences = Vec::new();
    for both in &TABLES {
        let count = counts.get(both.name).copied().unwrap_or_default();
        let wanted = both.began_with + tally.row_change(both.table);
        if count != wanted {
            differences.push(format!(
                "{} has {count} rows, the clients were told of {wanted}",
                both.name
            ));
        }
    }
    differences
}

async fn rows(store: &Client, sql: &str) -> Result<BTreeMap<String, String>, Error> {
    // Times print alike whatever the server's own setting.
    store.batch_execute("SET TimeZone = 'UTC'").await?;
    let rows = store.query(sql, &[]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

/// What differs between the rows of one table, by key.
pub(super) fn differences(
    table: &str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut found = Vec::new();
    for (key, row) in old {
        match new.get(key) {
            None => found.push(format!("{table} {key}: only in the old store: {row}")),
            Some(other) if other != row => found.push(format!(
                "{table} {key}: {row} in the old store, {other} in the new"
            )),
            Some(_) => {}
        }
    }
    let only_new = new.iter().filter(|(key, _)| !old.contains_key(*key));
    found.extend(only_new.map(|(key, row)| format!("{table} {key}: only in the new store: {row}")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_differ_is_found_and_named() {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(key, row)| (String::from(*key), String::from(*row)))
                .collect()
        };
        let old: BTreeMap<_, _> = map(&[("1", "a"), ("2", "b"), ("3", "c")]);
        assert!(differences("t", &old, &old.clone()).is_empty());
        let found = differences("t", &old, &map(&[("1", "a"), ("2", "x"), ("4", "d")]));
        let expected = [
            "t 2: b in the old store, x in the new",
            "t 3: only in the old store: c",
            "t 4: only in the new store: d",
        ];
        assert_eq!(found, expected);
    }
}
