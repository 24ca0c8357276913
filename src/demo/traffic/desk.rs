//! An old back-office program: the simple protocol, values in the text, several rows and several statements at once.

use std::collections::BTreeSet;

use tokio_postgres::{Client, Config, SimpleQueryMessage};

use super::{Seat, Worker, connect, expect};
use crate::demo::tally::{Kind, Table, Trouble};

/// Customers that the desk signs up before it only changes them.
const SIGNED_UP: u32 = 80;

#[derive(Debug)]
pub(super) struct Desk {
    client: Client,
    seat: Seat,
    emails: BTreeSet<u32>,
}

/// The rows of an answer, and the counts of its commands.
#[derive(Debug, Default)]
struct Answer {
    rows: Vec<Vec<Option<String>>>,
    counts: Vec<u64>,
}

impl Desk {
    pub(super) async fn connect(config: &Config, seat: Seat) -> Result<Desk, Trouble> {
        Ok(Desk {
            client: connect(config).await?,
            seat,
            emails: BTreeSet::new(),
        })
    }

    async fn run(&self, sql: &str) -> Result<Answer, Trouble> {
        let mut answer = Answer::default();
        for message in self.client.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::Row(row) => {
                    let values = (0..row.len())
                        .map(|index| row.try_get(index).map(|value| value.map(str::to_owned)));
                    answer.rows.push(values.collect::<Result<_, _>>()?);
                }
                SimpleQueryMessage::CommandComplete(count) => answer.counts.push(count),
                // RowDescription, and whatever a later driver may add: nothing that the desk looks at.
                _ => {}
            }
        }
        Ok(answer)
    }

    /// Signs a customer up, or changes the one who has that address.
    async fn sign_up(&mut self) -> Result<Kind, Trouble> {
        let number = self.seat.random.below(SIGNED_UP);
        let sql = format!(
            "INSERT INTO customers (email, name, tier, profile) VALUES ('desk{number}@example.org', 'D''Arcy {number}', 'silver', '{{\"desk\": true}}') \
             ON CONFLICT (email) DO UPDATE SET tier = EXCLUDED.tier, version = customers.version + 1 RETURNING version"
        );
        let answer = self.run(&sql).await?;
        let version = answer.rows.first().and_then(|row| row[0].clone());
        let fresh = self.emails.insert(number);
        self.seat.tally.rows(Table::Customers, i64::from(fresh));
        let right = fresh == (version.as_deref() == Some("1"));
        expect(right, || {
            format!(
                "the customer desk{number} has version {version:?}; signed up just now: {fresh}"
            )
        })?;
        Ok(Kind::Insert)
    }

    /// A predicate that is no key: whatever it hits has to be hit in both stores.
    async fn ship(&mut self) -> Result<Kind, Trouble> {
        let customer = self.seat.customer();
        let wanted = self
            .run(&format!(
                "SELECT count(*) FROM orders WHERE customer_id = {customer} AND status <> 'shipped'"
            ))
            .await?;
        let answer = self
            .run(&format!("UPDATE orders SET status = 'shipped', updated_at = clock_timestamp() WHERE customer_id = {customer} AND status <> 'shipped'"))
            .await?;
        let (wanted, changed) = (wanted.rows[0][0].clone(), answer.counts[0].to_string());
        expect(wanted.as_deref() == Some(&changed), || {
            format!("customer {customer} had {wanted:?} orders to ship, and {changed} were changed")
        })?;
        Ok(Kind::Update)
    }

    /// Three orders in one INSERT, gone again by a range.
    async fn bulk(&mut self) -> Result<Kind, Trouble> {
        let customer = self.seat.customer();
        let sql = format!(
            "INSERT INTO orders (customer_id, total, note) VALUES ({customer}, 1, 'bulk'), ({customer}, 2.5, 'bulk'), ({customer}, 3, 'bulk')"
        );
        let inserted = self.run(&sql).await?.counts[0];
        self.seat.tally.rows(Table::Orders, 3);
        let gone = self
            .run(&format!(
                "DELETE FROM orders WHERE customer_id = {customer} AND note = 'bulk'"
            ))
            .await?
            .counts[0];
        self.seat.tally.rows(Table::Orders, -3);
        expect((inserted, gone) == (3, 3), || {
            format!("of 3 orders {inserted} were inserted and {gone} deleted")
        })?;
        Ok(Kind::Delete)
    }

    /// Several statements in one message are one transaction.
    async fn script(&mut self) -> Result<Kind, Trouble> {
        let customer = self.seat.customer();
        let sql = format!(
            "UPDATE customers SET tier = 'gold', version = version + 1 WHERE id = {customer}; \
             UPDATE orders SET status = 'paid', updated_at = clock_timestamp() WHERE customer_id = {customer} AND status = 'shipped'; \
             SELECT count(*) FROM orders WHERE customer_id = {customer} AND status = 'shipped'"
        );
        let answer = self.run(&sql).await?;
        let left = answer.rows.first().and_then(|row| row[0].clone());
        expect(left.as_deref() == Some("0"), || {
            format!("customer {customer} has {left:?} shipped orders after all were set to paid")
        })?;
        Ok(Kind::Transaction)
    }

    /// The same, with the transaction spelled out.
    async fn block(&mut self) -> Result<Kind, Trouble> {
        let customer = self.seat.customer();
        self.run("BEGIN").await?;
        let sql = format!(
            "UPDATE customers SET name = name, version = version + 1 WHERE id = {customer} RETURNING version"
        );
        let first = self.run(&sql).await?;
        let second = self.run(&sql).await?;
        self.run("COMMIT").await?;
        let number = |answer: &Answer| {
            answer
                .rows
                .first()
                .and_then(|row| row[0].as_deref()?.parse::<i64>().ok())
        };
        let (first, second) = (number(&first), number(&second));
        let right = first.is_some() && first.map(|version| version + 1) == second;
        expect(right, || {
            format!(
                "customer {customer} went from version {first:?} to {second:?} in one transaction"
            )
        })?;
        Ok(Kind::Transaction)
    }
}

impl Worker for Desk {
    async fn step(&mut self) -> Result<Kind, Trouble> {
        match self.seat.random.below(10) {
            0..3 => self.sign_up().await,
            3..5 => self.ship().await,
            5..7 => self.bulk().await,
            7 | 8 => self.script().await,
            _ => self.block().await,
        }
    }

    fn is_gone(&self) -> bool {
        self.client.is_closed()
    }
}
