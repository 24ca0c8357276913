//! A shop's own code: prepared statements of the extended protocol, kept over all phases, and transactions.

use std::collections::VecDeque;

use tokio_postgres::{Client, Config, Statement};

use super::{Seat, Worker, connect, expect};
use crate::demo::tally::{Kind, Table, Trouble};

/// Orders that a shopper keeps before it deletes the oldest.
const KEPT: usize = 40;

const READ: &str =
    "SELECT customer_id, status::text, (total * 100)::bigint FROM orders WHERE id = $1";
const ORDER: &str = "INSERT INTO orders (customer_id, total, note, shipping) VALUES ($1, $2::text::numeric, $3, jsonb_build_object('city', $4::text)) RETURNING id";
const STATUS: &str = "UPDATE orders SET status = $2::text::order_status, total = total + 1, updated_at = clock_timestamp() WHERE id = $1";
const CUSTOMER: &str = "UPDATE customers SET profile = profile || jsonb_build_object('seen', $2::bigint), version = version + 1 WHERE id = $1 RETURNING version";
const ITEMS: &str = "INSERT INTO order_items (order_id, line, sku, quantity, price) VALUES ($1, 1, $2, 2, 12.50), ($1, 2, 'SKU-0-2', 1, 3.75)";
const PAYMENT: &str =
    "INSERT INTO payments (order_id, method, amount) VALUES ($1, $2, 28.75) RETURNING id::text";
const TOTAL: &str = "UPDATE orders SET total = (SELECT sum(quantity * price) FROM order_items WHERE order_id = $1), updated_at = clock_timestamp() \
     WHERE id = $1 RETURNING (total * 100)::bigint";
const LOCK: &str = "SELECT status::text FROM orders WHERE id = $1 FOR UPDATE";

/// An order of this client's own.
#[derive(Debug, Clone, Copy)]
struct Own {
    id: i64,
    items: u64,
    payments: u64,
}

#[derive(Debug)]
pub(super) struct Shopper {
    client: Client,
    seat: Seat,
    own: VecDeque<Own>,
    steps: i64,
    read: Statement,
    order: Statement,
    status: Statement,
    customer: Statement,
    items: Statement,
    payment: Statement,
    total: Statement,
    lock: Statement,
}

impl Shopper {
    pub(super) async fn connect(config: &Config, seat: Seat) -> Result<Shopper, Trouble> {
        let client = connect(config).await?;
        Ok(Shopper {
            read: client.prepare(READ).await?,
            order: client.prepare(ORDER).await?,
            status: client.prepare(STATUS).await?,
            customer: client.prepare(CUSTOMER).await?,
            items: client.prepare(ITEMS).await?,
            payment: client.prepare(PAYMENT).await?,
            total: client.prepare(TOTAL).await?,
            lock: client.prepare(LOCK).await?,
            client,
            seat,
            own: VecDeque::new(),
            steps: 0,
        })
    }

    async fn read(&mut self) -> Result<Kind, Trouble> {
        let id = self.seat.seeded_order();
        let row = self.client.query_opt(&self.read, &[&id]).await?;
        expect(row.is_some(), || format!("order {id} is not found"))?;
        Ok(Kind::Read)
    }

    async fn order(&mut self) -> Result<Kind, Trouble> {
        let (customer, cents) = (self.seat.customer(), self.seat.random.below(90_000));
        let total = format!("{}.{:02}", cents / 100, cents % 100);
        let note =
            self.seat
                .random
                .pick(&[None, Some(""), Some("ring twice, it's late: \\ \" ünï 🎈")]);
        let row = self
            .client
            .query_one(&self.order, &[&customer, &total, &note, &"Göteborg"])
            .await?;
        self.keep(Own {
            id: row.try_get(0)?,
            items: 0,
            payments: 0,
        });
        Ok(Kind::Insert)
    }

    async fn change(&mut self) -> Result<Kind, Trouble> {
        let changed = match self.own.back().copied() {
            Some(Own { id, .. }) if self.steps % 3 != 0 => {
                let status = self.seat.random.pick(&["paid", "shipped", "returned"]);
                self.client.execute(&self.status, &[&id, &status]).await?
            }
            _ => {
                let customer = self.seat.customer();
                self.client
                    .query(&self.customer, &[&customer, &self.steps])
                    .await?
                    .len() as u64
            }
        };
        expect(changed == 1, || {
            format!("an UPDATE by key changed {changed} rows")
        })?;
        Ok(Kind::Update)
    }

    /// The oldest order that has nothing below it.
    async fn delete(&mut self) -> Result<Kind, Trouble> {
        let Some(at) = self.own.iter().position(|own| own.items == 0) else {
            return self.order().await;
        };
        let Some(own) = self.own.remove(at) else {
            return self.order().await;
        };
        let gone = self
            .client
            .execute("DELETE FROM orders WHERE id = $1", &[&own.id])
            .await?;
        self.seat.tally.rows(Table::Orders, -1);
        expect(gone == 1, || {
            format!("the DELETE of order {} took {gone} rows", own.id)
        })?;
        Ok(Kind::Delete)
    }

    /// An order with items and a payment; every other time the payment is taken back to a savepoint.
    async fn checkout(&mut self) -> Result<Kind, Trouble> {
        let customer = self.seat.customer();
        let paid = self.steps % 2 == 0;
        let mut transaction = self.client.transaction().await?;
        let row = transaction
            .query_one(&self.order, &[&customer, &"0", &None::<&str>, &"Malmö"])
            .await?;
        let id: i64 = row.try_get(0)?;
        let items = transaction
            .execute(&self.items, &[&id, &format!("SKU-{customer}")])
            .await?;
        let savepoint = transaction.savepoint("payment").await?;
        savepoint.query_one(&self.payment, &[&id, &"card"]).await?;
        if paid {
            savepoint.commit().await?;
        } else {
            savepoint.rollback().await?;
        }
        let cents: i64 = transaction
            .query_one(&self.total, &[&id])
            .await?
            .try_get(0)?;
        transaction.commit().await?;
        self.seat.tally.rows(Table::Items, 2);
        self.seat.tally.rows(Table::Payments, i64::from(paid));
        self.keep(Own {
            id,
            items,
            payments: u64::from(paid),
        });
        expect((items, cents) == (2, 2875), || {
            format!("order {id} got {items} items and a total of {cents} cents")
        })?;
        Ok(Kind::Transaction)
    }

    /// An order goes with everything below it, from the leaves up.
    async fn cancel(&mut self) -> Result<Kind, Trouble> {
        let Some(at) = self.own.iter().position(|own| own.items > 0) else {
            return self.checkout().await;
        };
        let Some(own) = self.own.remove(at) else {
            return self.checkout().await;
        };
        let transaction = self.client.transaction().await?;
        transaction.query(&self.lock, &[&own.id]).await?;
        let payments = transaction
            .execute("DELETE FROM payments WHERE order_id = $1", &[&own.id])
            .await?;
        let items = transaction
            .execute("DELETE FROM order_items WHERE order_id = $1", &[&own.id])
            .await?;
        let orders = transaction
            .execute("DELETE FROM orders WHERE id = $1", &[&own.id])
            .await?;
        transaction.commit().await?;
        self.seat.tally.gone(Table::Payments, payments);
        self.seat.tally.gone(Table::Items, items);
        self.seat.tally.rows(Table::Orders, -1);
        let right = (orders, items, payments) == (1, own.items, own.payments);
        expect(right, || {
            format!(
                "cancelling {own:?} deleted {orders} orders, {items} items and {payments} payments"
            )
        })?;
        Ok(Kind::Transaction)
    }

    /// A change of mind: nothing of it may be seen.
    async fn roll_back(&mut self) -> Result<Kind, Trouble> {
        let Some(Own { id, .. }) = self.own.back().copied() else {
            return self.checkout().await;
        };
        let transaction = self.client.transaction().await?;
        let before: String = transaction
            .query_one(&self.lock, &[&id])
            .await?
            .try_get(0)?;
        transaction
            .execute(&self.status, &[&id, &"returned"])
            .await?;
        transaction.rollback().await?;
        let row = self.client.query_one(&self.read, &[&id]).await?;
        let after: String = row.try_get(1)?;
        expect(before == after, || {
            format!("order {id} was {before} and is {after} after a ROLLBACK")
        })?;
        Ok(Kind::Transaction)
    }

    fn keep(&mut self, own: Own) {
        self.seat.tally.rows(Table::Orders, 1);
        self.own.push_back(own);
    }
}

impl Worker for Shopper {
    async fn step(&mut self) -> Result<Kind, Trouble> {
        self.steps += 1;
        let full = self.own.len() >= KEPT;
        match self.seat.random.below(100) {
            0..40 => self.read().await,
            40..52 if !full => self.order().await,
            52..72 => self.change().await,
            72..80 if !full => self.checkout().await,
            80..84 => self.roll_back().await,
            84..92 => self.cancel().await,
            _ => self.delete().await,
        }
    }

    fn is_gone(&self) -> bool {
        self.client.is_closed()
    }
}
