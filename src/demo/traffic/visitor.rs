//! Short-lived connections: signing in must work in every phase, the last included.

use tokio_postgres::{Client, Config};

use super::{Seat, Worker, connect, expect};
use crate::demo::tally::{Kind, Table, Trouble};

/// Operations of one connection.
const STAY: u32 = 12;

#[derive(Debug)]
pub(super) struct Visitor {
    config: Config,
    seat: Seat,
    client: Option<Client>,
    left: u32,
}

impl Visitor {
    pub(super) fn new(config: Config, seat: Seat) -> Visitor {
        Visitor {
            config,
            seat,
            client: None,
            left: 0,
        }
    }

    async fn client(&mut self) -> Result<&Client, Trouble> {
        if self.left == 0 {
            self.client = None;
            self.left = STAY;
        }
        self.left -= 1;
        if self.client.is_none() {
            self.client = Some(connect(&self.config).await?);
        }
        self.client
            .as_ref()
            .ok_or_else(|| Trouble::Wrong("there is no connection".to_owned()))
    }
}

impl Worker for Visitor {
    async fn step(&mut self) -> Result<Kind, Trouble> {
        let (order, customer) = (self.seat.seeded_order(), self.seat.customer());
        let writes = self.seat.random.below(4) == 0;
        let client = self.client().await?;
        if writes {
            let insert = "INSERT INTO payments (order_id, method, amount) VALUES ($1, 'voucher', 1.00) RETURNING amount::text";
            let rows = client.query(insert, &[&order]).await?.len();
            self.seat.tally.rows(Table::Payments, 1);
            expect(rows == 1, || {
                format!("a payment for order {order} made {rows} rows")
            })?;
            return Ok(Kind::Insert);
        }
        let row = client
            .query_opt(
                "SELECT name, tier::text, profile::text FROM customers WHERE id = $1",
                &[&customer],
            )
            .await?;
        expect(row.is_some(), || {
            format!("customer {customer} is not found")
        })?;
        Ok(Kind::Read)
    }

    fn is_gone(&self) -> bool {
        // The next visit opens another; what went wrong with this one was counted.
        false
    }
}
