//! Reports over the shop: ranges, joins, aggregates, sub-queries, and a cursor-like page through the orders.

use tokio_postgres::{Client, Config};

use super::{CUSTOMERS, Seat, Worker, connect, expect};
use crate::demo::tally::{Kind, Trouble};

const RANGE: &str = "SELECT id, status::text, (total * 100)::bigint, placed_at::text FROM orders WHERE customer_id BETWEEN $1 AND $2 \
     ORDER BY placed_at DESC, id LIMIT 20";
const JOIN: &str = "SELECT c.id, c.tier::text, count(o.id), (coalesce(sum(o.total), 0) * 100)::bigint AS cents FROM customers AS c \
     LEFT JOIN orders AS o ON o.customer_id = c.id WHERE c.id BETWEEN $1 AND $2 GROUP BY c.id, c.tier ORDER BY c.id";
const STATUS: &str = "SELECT status::text, count(*), min(placed_at)::text, (avg(total) * 100)::bigint FROM orders GROUP BY status ORDER BY status";
const UNPAID: &str = "SELECT count(*) FROM orders AS o WHERE o.customer_id BETWEEN $1 AND $2 AND NOT EXISTS (SELECT FROM payments AS p WHERE p.order_id = o.id)";
const BEST: &str = "WITH sold AS (SELECT i.sku, sum(i.quantity) AS pieces FROM order_items AS i JOIN orders AS o ON o.id = i.order_id \
     WHERE o.customer_id BETWEEN $1 AND $2 GROUP BY i.sku) SELECT sku, pieces::bigint, rank() OVER (ORDER BY pieces DESC) FROM sold ORDER BY pieces DESC, sku LIMIT 5";
const LETTERS: &str =
    "SELECT count(*) FROM customers WHERE profile @> '{\"newsletter\": true}' AND id <= $1";

/// The same without a window function, which is not served on documents.
const BEST_PLAIN: &str = "WITH sold AS (SELECT i.sku, sum(i.quantity) AS pieces FROM order_items AS i JOIN orders AS o ON o.id = i.order_id \
     WHERE o.customer_id BETWEEN $1 AND $2 GROUP BY i.sku) SELECT sku, pieces::bigint FROM sold ORDER BY pieces DESC, sku LIMIT 5";

#[derive(Debug)]
pub(super) struct Analyst {
    client: Client,
    seat: Seat,
    best: &'static str,
}

impl Analyst {
    pub(super) async fn connect(
        config: &Config,
        seat: Seat,
        windows: bool,
    ) -> Result<Analyst, Trouble> {
        Ok(Analyst {
            client: connect(config).await?,
            seat,
            best: if windows { BEST } else { BEST_PLAIN },
        })
    }

    /// Orders are in order, and no page is longer than it may be.
    async fn range(&self, from: i64, to: i64) -> Result<(), Trouble> {
        let rows = self.client.query(RANGE, &[&from, &to]).await?;
        let days = rows
            .iter()
            .map(|row| row.try_get::<_, String>(3))
            .collect::<Result<Vec<_>, _>>()?;
        let sorted = days.windows(2).all(|pair| pair[0] >= pair[1]);
        expect(sorted && rows.len() <= 20, || {
            format!("the newest orders of customers {from} to {to} come out of order")
        })
    }

    /// No customer of the first days is ever deleted, so each has its line.
    async fn join(&self, from: i64, to: i64) -> Result<(), Trouble> {
        let rows = self.client.query(JOIN, &[&from, &to]).await?;
        let lines = i64::try_from(rows.len()).unwrap_or(0);
        expect(lines == to - from + 1, || {
            format!("a join over customers {from} to {to} has {lines} lines")
        })
    }

    async fn letters(&self) -> Result<(), Trouble> {
        let row = self
            .client
            .query_one(LETTERS, &[&i64::from(CUSTOMERS)])
            .await?;
        let count: i64 = row.try_get(0)?;
        expect(count == i64::from(CUSTOMERS / 4), || {
            format!("{count} customers want the newsletter, a quarter of {CUSTOMERS} do")
        })
    }
}

impl Worker for Analyst {
    async fn step(&mut self) -> Result<Kind, Trouble> {
        let from = i64::from(self.seat.random.below(CUSTOMERS - 30) + 1);
        let to = from + 20;
        match self.seat.random.below(7) {
            0 | 1 => self.range(from, to).await?,
            2 => self.join(from, to).await?,
            3 => {
                let rows = self.client.query(STATUS, &[]).await?.len();
                expect((1..=4).contains(&rows), || {
                    format!("orders have {rows} kinds of status")
                })?;
            }
            4 => drop(self.client.query_one(UNPAID, &[&from, &to]).await?),
            5 => {
                let rows = self.client.query(self.best, &[&from, &to]).await?.len();
                expect(rows == 5, || {
                    format!("the best five products of customers {from} to {to} are {rows}")
                })?;
            }
            _ => self.letters().await?,
        }
        Ok(Kind::Query)
    }

    fn is_gone(&self) -> bool {
        self.client.is_closed()
    }
}
