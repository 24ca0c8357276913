//! One client of a history.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio_postgres::{Error, SimpleQueryMessage};

use super::{
    ACCOUNTS, Broken, Protocol, Random, SUM,
    record::{Register, Shared},
};
use crate::Endpoint;

/// Registers of each client.
const REGISTERS: u64 = 3;
/// Appends that go to one list before the next is begun.
const ENTRIES: u64 = 120;

/// How a transaction ended.
enum Outcome {
    Done,
    /// The store, or the proxy, said no: nothing of it lasts.
    Refused,
    /// The connection broke.
    Unknown,
}

pub(super) struct Client {
    number: usize,
    endpoint: Endpoint,
    connection: tokio_postgres::Client,
    protocol: Protocol,
    broken: Broken,
    shared: Arc<Shared>,
    random: Random,
    values: i64,
}

impl Client {
    pub(super) async fn new(
        number: usize,
        endpoint: &Endpoint,
        protocol: Protocol,
        broken: Broken,
        shared: &Arc<Shared>,
    ) -> Option<Client> {
        let connection = endpoint.try_connect().await.ok()?;
        Some(Client {
            number,
            endpoint: endpoint.clone(),
            connection,
            protocol,
            broken,
            shared: Arc::clone(shared),
            random: Random::new(shared.run.wrapping_mul(1009).wrapping_add(number as u64)),
            values: 0,
        })
    }

    pub(super) async fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.step().await;
            if self.connection.is_closed() && !self.connect_again().await {
                return;
            }
        }
    }

    async fn connect_again(&mut self) -> bool {
        while self.broken == Broken::Reconnect && !self.shared.stop.load(Ordering::Relaxed) {
            if let Ok(connection) = self.endpoint.try_connect().await {
                self.connection = connection;
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    async fn step(&mut self) {
        match self.random.below(20) {
            0..=4 => self.write().await,
            5 => self.delete().await,
            6..=7 => self.write_two().await,
            8..=11 => self.append().await,
            12..=14 => self.transfer().await,
            15 => self.take_back().await,
            16..=17 => self.read_register().await,
            18 => self.read_list().await,
            _ => self.read_sum().await,
        }
    }

    fn own_register(&mut self) -> String {
        let which = self.random.below(REGISTERS);
        format!("r{}.{}.{which}", self.shared.run, self.number)
    }

    fn value(&mut self) -> i64 {
        self.values += 1;
        self.values
    }

    async fn write(&mut self) {
        let (name, value) = (self.own_register(), self.value());
        let outcome = self.change(&[upsert(&name, value)]).await;
        self.wrote(&[name], Some(value), &outcome);
    }

    async fn delete(&mut self) {
        let name = self.own_register();
        let sql = format!("DELETE FROM registers WHERE name = '{name}'");
        let outcome = self.change(&[sql]).await;
        self.wrote(&[name], None, &outcome);
    }

    async fn write_two(&mut self) {
        let (one, two, value) = (self.own_register(), self.own_register(), self.value());
        let outcome = self
            .change(&[
                "BEGIN".to_owned(),
                upsert(&one, value),
                upsert(&two, value),
                "COMMIT".to_owned(),
            ])
            .await;
        self.wrote(&[one, two], Some(value), &outcome);
    }

    async fn append(&mut self) {
        let number = self.shared.appends.fetch_add(1, Ordering::Relaxed);
        let list = format!("l{}.{}", self.shared.run, number / ENTRIES);
        let value = self.value();
        let entry = format!("{}.{value};", self.number);
        let outcome = self.change(&[append(&list, &entry)]).await;
        let mut record = self.shared.record();
        let list = record.lists.entry(list).or_default();
        match outcome {
            Outcome::Done => list.acknowledged.push(entry),
            Outcome::Unknown => list.open.push(entry),
            Outcome::Refused => {}
        }
    }

    async fn transfer(&mut self) {
        let [less, more] = self.movement();
        let both = ["BEGIN".to_owned(), less, more, "COMMIT".to_owned()];
        self.change(&both).await;
    }

    /// A transaction that nobody may ever see anything of.
    async fn take_back(&mut self) {
        let number = self.shared.appends.load(Ordering::Relaxed);
        let list = format!("l{}.{}", self.shared.run, number / ENTRIES);
        let [less, _] = self.movement();
        let all = [
            "BEGIN".to_owned(),
            append(&list, "void;"),
            less,
            "ROLLBACK".to_owned(),
        ];
        self.change(&all).await;
    }

    /// Two updates in the order of their keys: clients must not wait for each other in a ring.
    fn movement(&mut self) -> [String; 2] {
        let (from, amount) = (self.random.below(ACCOUNTS), self.random.below(9) + 1);
        let to = (from + 1 + self.random.below(ACCOUNTS - 1)) % ACCOUNTS;
        let update = |id: u64, sign: char| {
            format!(
                "UPDATE accounts SET balance = balance {sign} {amount}, updated_at = clock_timestamp() WHERE id = {id}"
            )
        };
        let (first, second) = (update(from, '-'), update(to, '+'));
        if from < to {
            [first, second]
        } else {
            [second, first]
        }
    }

    async fn read_register(&mut self) {
        let name = self.own_register();
        let sql = format!("SELECT value::text FROM registers WHERE name = '{name}'");
        let Ok(found) = self.read(&sql).await else {
            return;
        };
        let value = found.as_deref().and_then(|text| text.parse().ok());
        let mut record = self.shared.record();
        let register = record.registers.entry(name.clone()).or_default();
        let before = register.clone();
        if !register.saw(value) {
            record
                .wrong
                .push(format!("{name} is {value:?}, its client knows {before:?}"));
        }
    }

    async fn read_list(&mut self) {
        let number = self.shared.appends.load(Ordering::Relaxed);
        let name = format!("l{}.{}", self.shared.run, number / ENTRIES);
        let there = self
            .shared
            .record()
            .lists
            .get(&name)
            .map_or(0, |list| list.acknowledged.len());
        let sql = format!("SELECT entries FROM lists WHERE name = '{name}'");
        let Ok(found) = self.read(&sql).await else {
            return;
        };
        let text = found.unwrap_or_default();
        let mut record = self.shared.record();
        let list = record.lists.entry(name.clone()).or_default();
        let lost = list.acknowledged[..there]
            .iter()
            .find(|entry| !has(&text, entry))
            .cloned();
        list.reads.push(text);
        if let Some(lost) = lost {
            record.wrong.push(format!(
                "{name} was read without {lost}, acknowledged before"
            ));
        }
    }

    async fn read_sum(&mut self) {
        if let Ok(found) = self.read("SELECT sum(balance)::text FROM accounts").await {
            let sum = found.unwrap_or_default();
            if sum != SUM.to_string() {
                self.shared.wrong(format!("the accounts hold {sum}"));
            }
        }
    }

    fn wrote(&self, names: &[String], value: Option<i64>, outcome: &Outcome) {
        let mut record = self.shared.record();
        for name in names {
            let register: &mut Register = record.registers.entry(name.clone()).or_default();
            match outcome {
                Outcome::Done => register.wrote(value),
                Outcome::Unknown => register.open.push(value),
                Outcome::Refused => {}
            }
        }
    }

    async fn change(&mut self, statements: &[String]) -> Outcome {
        match self.run_all(statements).await {
            Ok(()) => {
                self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                Outcome::Done
            }
            Err(error) => self.failed(&error).await,
        }
    }

    async fn run_all(&self, statements: &[String]) -> Result<(), Error> {
        if self.protocol == Protocol::Simple {
            return self.connection.batch_execute(&statements.join("; ")).await;
        }
        for statement in statements {
            self.connection.execute(statement, &[]).await?;
        }
        Ok(())
    }

    async fn failed(&self, error: &Error) -> Outcome {
        let code = error.code().map(|code| code.code().to_owned());
        match code {
            // Class 08 and an end by the administrator say nothing of a commit that was under way.
            Some(code) if !code.starts_with("08") && !code.starts_with("57P") => {
                *self.shared.record().refused.entry(code).or_default() += 1;
                if self.connection.batch_execute("ROLLBACK").await.is_err() {
                    // It is closed, and is opened again.
                }
                Outcome::Refused
            }
            _broken => {
                self.shared.unknown.fetch_add(1, Ordering::Relaxed);
                Outcome::Unknown
            }
        }
    }

    /// The only value of a query; `Err` when the connection broke.
    async fn read(&self, sql: &str) -> Result<Option<String>, ()> {
        let outcome = if self.protocol == Protocol::Simple {
            self.connection
                .simple_query(sql)
                .await
                .map(|messages| first(&messages))
        } else {
            let row = self.connection.query_opt(sql, &[]).await;
            row.map(|row| row.and_then(|row| row.get(0)))
        };
        match outcome {
            Ok(found) => Ok(found),
            Err(error) => {
                self.failed(&error).await;
                Err(())
            }
        }
    }
}

fn first(messages: &[SimpleQueryMessage]) -> Option<String> {
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}

fn upsert(name: &str, value: i64) -> String {
    format!(
        "INSERT INTO registers (name, value) VALUES ('{name}', {value}) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = clock_timestamp()"
    )
}

fn append(list: &str, entry: &str) -> String {
    format!(
        "INSERT INTO lists (name, entries) VALUES ('{list}', '{entry}') \
         ON CONFLICT (name) DO UPDATE SET entries = lists.entries || excluded.entries, updated_at = clock_timestamp()"
    )
}

/// Whether the list has the entry; entries end with a semicolon.
pub(super) fn has(text: &str, entry: &str) -> bool {
    times(text, entry) > 0
}

pub(super) fn times(text: &str, entry: &str) -> usize {
    text.split_inclusive(';')
        .filter(|one| *one == entry)
        .count()
}
