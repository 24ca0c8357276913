//! What the checker knows of its rows, and how a store is held against it.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{Client, Error};

use crate::demo::traffic::Names;

/// An item of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) sku: String,
    pub(super) quantity: i32,
}

/// An order and what is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) status: String,
    pub(super) cents: i64,
    pub(super) note: Option<String>,
    pub(super) items: BTreeMap<i32, Item>,
    pub(super) payments: BTreeSet<String>,
}

impl Order {
    /// A fresh order.
    pub(super) fn new(cents: i64, note: Option<&str>) -> Order {
        let status = "new".to_owned();
        Order {
            status,
            cents,
            note: note.map(str::to_owned),
            items: BTreeMap::new(),
            payments: BTreeSet::new(),
        }
    }

    /// Whether the rows of the orders themselves are alike.
    pub(super) fn same_row(&self, other: &Order) -> bool {
        (&self.status, self.cents, &self.note) == (&other.status, other.cents, &other.note)
    }
}

/// Every row that the checker wrote and that was acknowledged.
#[derive(Debug)]
pub(in crate::demo) struct Model {
    pub(super) customer: i64,
    pub(super) visits: i64,
    pub(super) orders: BTreeMap<i64, Order>,
}

impl Model {
    pub(super) fn new(customer: i64) -> Model {
        Model {
            customer,
            visits: 0,
            orders: BTreeMap::new(),
        }
    }

    /// Compares with the new store, asked directly and by its own names: how many rows, and what differs.
    ///
    /// # Errors
    /// When the store refuses a question.
    pub(in crate::demo) async fn compare(
        &self,
        new: &Client,
        names: &Names,
    ) -> Result<(u64, Vec<String>), Error> {
        let found = self.read(new, names).await?;
        let mut differences = Vec::new();
        if found.visits != self.visits {
            differences.push(format!(
                "customers {}: visits {}, the checker wrote {}",
                self.customer, found.visits, self.visits
            ));
        }
        let ids: BTreeSet<&i64> = self.orders.keys().chain(found.orders.keys()).collect();
        for id in ids {
            let (known, stored) = (self.orders.get(id), found.orders.get(id));
            if known != stored {
                differences.push(format!(
                    "orders {id}: {stored:?}, the checker wrote {known:?}"
                ));
            }
        }
        Ok((self.rows(), differences))
    }

    fn rows(&self) -> u64 {
        let below = |order: &Order| order.items.len() + order.payments.len();
        let rows: usize = self.orders.values().map(|order| 1 + below(order)).sum();
        rows as u64 + 1
    }

    async fn read(&self, new: &Client, names: &Names) -> Result<Model, Error> {
        let mut found = Model::new(self.customer);
        let customer = "SELECT (profile ->> 'visits')::bigint FROM public.customers WHERE id = $1";
        found.visits = new
            .query_one(customer, &[&self.customer])
            .await?
            .try_get(0)?;
        let orders = format!(
            "SELECT id, status::text, ({} * 100)::bigint, note FROM public.orders WHERE customer_id = $1",
            names.amount
        );
        for row in new.query(&orders, &[&self.customer]).await? {
            let note: Option<String> = row.try_get(3)?;
            let mut order = Order::new(row.try_get(2)?, note.as_deref());
            order.status = row.try_get(1)?;
            found.orders.insert(row.try_get(0)?, order);
        }
        let ids: Vec<i64> = found.orders.keys().copied().collect();
        for row in new.query("SELECT order_id, line, sku, quantity FROM public.order_items WHERE order_id = ANY ($1)", &[&ids]).await? {
            let item = Item { sku: row.try_get(2)?, quantity: row.try_get(3)? };
            if let Some(order) = found.orders.get_mut(&row.try_get::<_, i64>(0)?) {
                order.items.insert(row.try_get(1)?, item);
            }
        }
        let payments = format!(
            "SELECT order_id, id::text FROM {} WHERE order_id = ANY ($1)",
            names.payments
        );
        for row in new.query(&payments, &[&ids]).await? {
            if let Some(order) = found.orders.get_mut(&row.try_get::<_, i64>(0)?) {
                order.payments.insert(row.try_get(1)?);
            }
        }
        Ok(found)
    }
}
