//! A client that writes one row to each of its databases, one after the other, again and again.
//!
//! With two addresses it is the application that writes both databases itself, which phase 3 is measured against; with one
//! it is the same application behind the proxy. pgbench cannot speak to two servers.
//!
//!     both-stores insert|update CLIENTS SECONDS URL [URL]
//!
//! Prints one line of JSON: transactions, and latency in microseconds.

use std::{
    env,
    error::Error,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use tokio_postgres::{Client, NoTls, Statement};

/// The row of `events` that an insert writes; the client makes the key, as one that writes two databases has to.
const INSERT: &str = "INSERT INTO events (id, client, payload) VALUES ($1, $2, $3)";

/// One of the rows that `pgbench -i` makes.
const UPDATE: &str = "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = $1";

/// Rows that updates go to; within every scale of pgbench.
const ACCOUNTS: u64 = 100_000;

#[derive(Debug, Clone, Copy)]
enum Write {
    Insert,
    Update,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [write, clients, seconds, urls @ ..] = args.as_slice() else {
        return Err("usage: both-stores insert|update CLIENTS SECONDS URL [URL]".into());
    };
    let write = match write.as_str() {
        "insert" => Write::Insert,
        "update" => Write::Update,
        other => return Err(format!("\"{other}\" is neither insert nor update").into()),
    };
    let time = Duration::from_secs_f64(seconds.parse()?);
    let mut workers = Vec::new();
    for number in 0..clients.parse::<i32>()? {
        workers.push(Worker::connect(number, write, urls).await?);
    }
    let begin = Instant::now();
    let latencies = try_join_all(workers.into_iter().map(|worker| worker.run(begin + time)))
        .await?
        .concat();
    println!("{}", summary(latencies, begin.elapsed()));
    Ok(())
}

/// One connection to each store.
struct Worker {
    number: i32,
    write: Write,
    stores: Vec<(Client, Statement)>,
}

impl Worker {
    async fn connect(
        number: i32,
        write: Write,
        urls: &[String],
    ) -> Result<Worker, tokio_postgres::Error> {
        let mut stores = Vec::new();
        for url in urls {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            tokio::spawn(connection);
            let statement = client.prepare(match write {
                Write::Insert => INSERT,
                Write::Update => UPDATE,
            });
            let statement = statement.await?;
            stores.push((client, statement));
        }
        Ok(Worker {
            number,
            write,
            stores,
        })
    }

    /// Writes until `end`; gives the time that each write took in microseconds.
    async fn run(self, end: Instant) -> Result<Vec<u64>, tokio_postgres::Error> {
        let mut latencies = Vec::new();
        let mut ids = Ids::new(self.number);
        while Instant::now() < end {
            let id = ids.next();
            let begin = Instant::now();
            for (client, statement) in &self.stores {
                match self.write {
                    Write::Insert => {
                        client
                            .execute(statement, &[&id, &self.number, &"payload of a usual size"])
                            .await?
                    }
                    Write::Update => client.execute(statement, &[&account(id)]).await?,
                };
            }
            latencies.push(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        Ok(latencies)
    }
}

/// Keys that no other worker and no other run hands out.
struct Ids(i64);

impl Ids {
    fn new(worker: i32) -> Ids {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let micros = i64::try_from(since.as_micros()).unwrap_or_default();
        // Fewer than 256 workers; a run takes far less than the 256 microseconds a key that this leaves.
        Ids((micros << 8) + i64::from(worker))
    }

    fn next(&mut self) -> i64 {
        self.0 += 256;
        self.0
    }
}

/// Some account, evenly spread.
fn account(id: i64) -> i32 {
    let mixed = id.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    i32::try_from(mixed % ACCOUNTS + 1).unwrap_or(1)
}

fn summary(mut latencies: Vec<u64>, elapsed: Duration) -> serde_json::Value {
    latencies.sort_unstable();
    let count = latencies.len();
    let total: u64 = latencies.iter().sum();
    let at = |share: usize| {
        latencies
            .get(count * share / 100)
            .copied()
            .unwrap_or_default()
    };
    serde_json::json!({
        "transactions": count,
        "seconds": elapsed.as_secs_f64(),
        "mean_us": total / u64::try_from(count.max(1)).unwrap_or(1),
        "p50_us": at(50),
        "p99_us": at(99),
    })
}
