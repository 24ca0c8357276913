//! A client that keeps a model of its own rows and reads back what it wrote, at once (trap 30).

mod model;

use tokio_postgres::{Client, Config, Row, Statement};

use super::{Seat, Worker, connect, expect};
use crate::demo::tally::{Kind, Table, Trouble};
pub(in crate::demo) use model::Model;
use model::{Item, Order};

/// Orders that the checker has at once.
const KEPT: usize = 30;

const SIGN_UP: &str = "INSERT INTO customers (email, name, tier, profile) VALUES ('checker@example.org', 'The Checker', 'gold', '{\"visits\": 0}') RETURNING id";
const INSERT: &str =
    "INSERT INTO orders (customer_id, total, note) VALUES ($1, $2::text::numeric, $3) RETURNING id";
const ITEM: &str =
    "INSERT INTO order_items (order_id, line, sku, quantity, price) VALUES ($1, $2, $3, $4, 9.99)";
const PAYMENT: &str =
    "INSERT INTO payments (order_id, method, amount) VALUES ($1, $2, 5) RETURNING id::text";
const UPDATE: &str = "UPDATE orders SET status = $2::text::order_status, total = total + 0.25, updated_at = clock_timestamp() WHERE id = $1";
const READ: &str = "SELECT id, status::text, (total * 100)::bigint, note FROM orders WHERE id = $1";
const ALL: &str = "SELECT id, status::text, (total * 100)::bigint, note FROM orders WHERE customer_id = $1 ORDER BY id";
const ITEMS: &str = "SELECT line, sku, quantity FROM order_items WHERE order_id = $1 ORDER BY line";
const PAYMENTS: &str = "SELECT id::text, method FROM payments WHERE order_id = $1";
const VISIT: &str = "UPDATE customers SET profile = jsonb_set(profile, '{visits}', to_jsonb($2::bigint)), version = version + 1 WHERE id = $1";
const CUSTOMER: &str =
    "SELECT (profile ->> 'visits')::bigint, version FROM customers WHERE id = $1";

#[derive(Debug)]
pub(super) struct Checker {
    client: Client,
    seat: Seat,
    model: Model,
    insert: Statement,
    update: Statement,
    read: Statement,
    all: Statement,
}

impl Checker {
    pub(super) async fn connect(config: &Config, seat: Seat) -> Result<Checker, Trouble> {
        let client = connect(config).await?;
        let customer = client.query_one(SIGN_UP, &[]).await?.try_get(0)?;
        seat.tally.rows(Table::Customers, 1);
        Ok(Checker {
            insert: client.prepare(INSERT).await?,
            update: client.prepare(UPDATE).await?,
            read: client.prepare(READ).await?,
            all: client.prepare(ALL).await?,
            client,
            seat,
            model: Model::new(customer),
        })
    }

    pub(super) fn into_model(self) -> Model {
        self.model
    }

    async fn insert(&mut self) -> Result<Kind, Trouble> {
        let cents = i64::from(self.seat.random.below(50_000));
        let total = format!("{}.{:02}", cents / 100, cents % 100);
        let note = self
            .seat
            .random
            .pick(&[None, Some("ok"), Some("naïve — 'quoted' \\ 漢字")]);
        let id: i64 = self
            .client
            .query_one(&self.insert, &[&self.model.customer, &total, &note])
            .await?
            .try_get(0)?;
        self.seat.tally.rows(Table::Orders, 1);
        let fresh = self
            .model
            .orders
            .insert(id, Order::new(cents, note))
            .is_none();
        expect(fresh, || format!("the id {id} was handed out twice"))?;
        self.look(id).await?;
        Ok(Kind::Insert)
    }

    async fn update(&mut self, id: i64) -> Result<Kind, Trouble> {
        let status = self
            .seat
            .random
            .pick(&["new", "paid", "shipped", "returned"]);
        let changed = self.client.execute(&self.update, &[&id, &status]).await?;
        if let Some(order) = self.model.orders.get_mut(&id) {
            order.status = status.to_owned();
            order.cents += 25;
        }
        expect(changed == 1, || {
            format!("the UPDATE of order {id} changed {changed} rows")
        })?;
        self.look(id).await?;
        Ok(Kind::Update)
    }

    /// The customer's own row: a document that is changed in place, and a version that counts.
    async fn visit(&mut self) -> Result<Kind, Trouble> {
        let visits = self.model.visits + 1;
        let changed = self
            .client
            .execute(VISIT, &[&self.model.customer, &visits])
            .await?;
        self.model.visits = visits;
        expect(changed == 1, || {
            format!("the UPDATE of the checker's own row changed {changed} rows")
        })?;
        let row = self
            .client
            .query_one(CUSTOMER, &[&self.model.customer])
            .await?;
        let found: (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        expect(found == (visits, visits + 1), || {
            format!(
                "after visit {visits} the checker's own row says visits {}, version {}",
                found.0, found.1
            )
        })?;
        Ok(Kind::Update)
    }

    /// Items and a payment below an order, in one transaction that reads what it wrote.
    async fn fill(&mut self, id: i64) -> Result<Kind, Trouble> {
        let line = self
            .model
            .orders
            .get(&id)
            .map_or(1, |order| i32::try_from(order.items.len()).unwrap_or(0) + 1);
        let item = Item {
            sku: format!("CHK-{id}-{line}"),
            quantity: line * 2,
        };
        let transaction = self.client.transaction().await?;
        transaction
            .execute(ITEM, &[&id, &line, &item.sku, &item.quantity])
            .await?;
        let seen = transaction.query(ITEMS, &[&id]).await?.len();
        let payment: String = transaction
            .query_one(PAYMENT, &[&id, &"card"])
            .await?
            .try_get(0)?;
        transaction.commit().await?;
        self.seat.tally.rows(Table::Items, 1);
        self.seat.tally.rows(Table::Payments, 1);
        if let Some(order) = self.model.orders.get_mut(&id) {
            order.items.insert(line, item);
            order.payments.insert(payment);
            let wanted = order.items.len();
            expect(seen == wanted, || {
                format!("inside the transaction order {id} had {seen} items, not {wanted}")
            })?;
        }
        self.look_below(id).await?;
        Ok(Kind::Transaction)
    }

    async fn delete(&mut self, id: i64) -> Result<Kind, Trouble> {
        let transaction = self.client.transaction().await?;
        let payments = transaction
            .execute("DELETE FROM payments WHERE order_id = $1", &[&id])
            .await?;
        let items = transaction
            .execute("DELETE FROM order_items WHERE order_id = $1", &[&id])
            .await?;
        let orders = transaction
            .execute("DELETE FROM orders WHERE id = $1", &[&id])
            .await?;
        transaction.commit().await?;
        self.seat.tally.gone(Table::Payments, payments);
        self.seat.tally.gone(Table::Items, items);
        self.seat.tally.gone(Table::Orders, orders);
        let known = self
            .model
            .orders
            .remove(&id)
            .map(|order| (1, order.items.len() as u64, order.payments.len() as u64));
        let found = (orders, items, payments);
        expect(known == Some(found), || {
            format!(
                "deleting order {id} took {found:?} rows (order, items, payments), the model has {known:?}"
            )
        })?;
        self.look(id).await?;
        Ok(Kind::Transaction)
    }

    /// Reads an order back by its key.
    async fn look(&self, id: i64) -> Result<(), Trouble> {
        let row = self.client.query_opt(&self.read, &[&id]).await?;
        let found = row.as_ref().map(order).transpose()?.map(|(_, found)| found);
        let known = self.model.orders.get(&id);
        let alike = match (&found, known) {
            (Some(found), Some(known)) => found.same_row(known),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        expect(alike, || {
            format!("order {id} reads {found:?}, this client wrote {known:?}")
        })
    }

    /// Reads what is below an order.
    async fn look_below(&self, id: i64) -> Result<(), Trouble> {
        let Some(known) = self.model.orders.get(&id) else {
            return Ok(());
        };
        let mut found = Order::new(0, None);
        for row in self.client.query(ITEMS, &[&id]).await? {
            found.items.insert(
                row.try_get(0)?,
                Item {
                    sku: row.try_get(1)?,
                    quantity: row.try_get(2)?,
                },
            );
        }
        for row in self.client.query(PAYMENTS, &[&id]).await? {
            found.payments.insert(row.try_get(0)?);
        }
        let alike = found.items == known.items && found.payments == known.payments;
        expect(alike, || {
            format!(
                "below order {id} are {:?} and payments {:?}, this client wrote {known:?}",
                found.items, found.payments
            )
        })
    }

    /// Reads all orders by a column that is not the key.
    async fn look_at_all(&self) -> Result<Kind, Trouble> {
        let rows = self
            .client
            .query(&self.all, &[&self.model.customer])
            .await?;
        let found = rows.iter().map(order).collect::<Result<Vec<_>, _>>()?;
        let known = &self.model.orders;
        expect(found.len() == known.len(), || {
            format!(
                "a range read gave {} of this client's {} orders",
                found.len(),
                known.len()
            )
        })?;
        for ((id, row), (known_id, order)) in found.iter().zip(known) {
            let alike = id == known_id && row.same_row(order);
            expect(alike, || {
                format!(
                    "a range read gave order {id} as {row:?}, this client wrote order {known_id} as {order:?}"
                )
            })?;
        }
        Ok(Kind::Query)
    }
}

fn order(row: &Row) -> Result<(i64, Order), tokio_postgres::Error> {
    let note: Option<String> = row.try_get(3)?;
    let mut order = Order::new(row.try_get(2)?, note.as_deref());
    order.status = row.try_get(1)?;
    Ok((row.try_get(0)?, order))
}

impl Worker for Checker {
    async fn step(&mut self) -> Result<Kind, Trouble> {
        let count = self.model.orders.len();
        let at = self
            .seat
            .random
            .below(u32::try_from(count).unwrap_or(0).max(1)) as usize;
        let some = self.model.orders.keys().nth(at).copied();
        match (self.seat.random.below(10), some) {
            (0..3, _) if count < KEPT => self.insert().await,
            (3..5, Some(id)) => self.update(id).await,
            (5..7, Some(id)) => self.fill(id).await,
            (7, _) => self.visit().await,
            (8, Some(id)) if count > KEPT / 2 => self.delete(id).await,
            (_, Some(id)) if count >= KEPT => self.delete(id).await,
            (_, Some(_)) => self.look_at_all().await,
            (_, None) => self.insert().await,
        }
    }

    fn is_gone(&self) -> bool {
        self.client.is_closed()
    }
}
