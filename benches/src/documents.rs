//! A client that speaks to MongoDB by its own driver, or to a proxy before it by PostgreSQL's: the same work either way.
//!
//!     documents initiate PORT
//!     documents find CLIENTS SECONDS ROWS mongodb://…            one document by its _id
//!     documents select CLIENTS SECONDS ROWS postgres://…         the same row by its key
//!     documents both CLIENTS SECONDS postgres://… mongodb://…    writes a row, then a document, as an application would
//!     documents insert CLIENTS SECONDS postgres://…              writes a row
//!     documents bulk CONNECTIONS ROWS mongodb://…                inserts documents that were made before
//!
//! Prints one line of JSON: transactions and latency in microseconds, or rows and seconds.

use std::{
    env,
    error::Error,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use mongodb::{
    Client, Collection,
    bson::{Document, RawDocumentBuf, doc, rawdoc},
    options::{ClientOptions, WriteConcern},
};
use tokio_postgres::{NoTls, Statement};

type Outcome<T> = Result<T, Box<dyn Error>>;

const SELECT: &str = "SELECT id, client, payload FROM events WHERE id = $1";
const INSERT: &str = "INSERT INTO events (id, client, payload) VALUES ($1, $2, $3)";
/// What every row carries.
const PAYLOAD: &str = "payload of a usual size";
/// Documents of one insert.
const BATCH: usize = 1000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["initiate", port] => initiate(port.parse()?).await,
        ["bulk", connections, rows, url] => bulk(connections.parse()?, rows.parse()?, url).await,
        [what, clients, seconds, ref rest @ ..] => {
            let mut workers = Vec::new();
            for number in 0..clients.parse::<i32>()? {
                workers.push(Worker::connect(what, number, rest).await?);
            }
            let begin = Instant::now();
            let end = begin + Duration::from_secs_f64(seconds.parse()?);
            let all = try_join_all(workers.into_iter().map(|worker| worker.run(end))).await?;
            println!("{}", summary(all.concat(), begin.elapsed()));
            Ok(())
        }
        _ => Err("usage: see the head of src/documents.rs".into()),
    }
}

async fn client(url: &str) -> Outcome<Client> {
    let mut options = ClientOptions::parse(url).await?;
    options.write_concern = Some(WriteConcern::majority());
    Ok(Client::with_options(options)?)
}

/// The collection that the table `events` becomes.
async fn events<T: Send + Sync>(url: &str) -> Outcome<Collection<T>> {
    let client = client(url).await?;
    let database = client
        .default_database()
        .ok_or("the URL names no database")?;
    Ok(database.collection("events"))
}

async fn initiate(port: u16) -> Outcome<()> {
    let url = format!("mongodb://127.0.0.1:{port}/?directConnection=true");
    let admin = client(&url).await?.database("admin");
    let member = doc! { "_id": 0, "host": format!("127.0.0.1:{port}") };
    admin
        .run_command(doc! { "replSetInitiate": { "_id": "rs0", "members": [member] } })
        .await?;
    loop {
        let hello = admin.run_command(doc! { "hello": 1 }).await?;
        if hello.get_bool("isWritablePrimary").unwrap_or(false) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn bulk(connections: usize, rows: usize, url: &str) -> Outcome<()> {
    let mut batches: Vec<Vec<Vec<RawDocumentBuf>>> = vec![Vec::new(); connections];
    for (index, first) in (1..=rows).step_by(BATCH).enumerate() {
        let last = rows.min(first + BATCH - 1);
        let made = (first..=last).map(|id| {
            let id = i64::try_from(id).unwrap_or(i64::MAX);
            rawdoc! { "_id": id, "client": 1_i32, "payload": format!("{PAYLOAD} {id}"), "at": 1_700_000_000_000_000_i64 }
        });
        batches[index % connections].push(made.collect());
    }
    let collection = events::<RawDocumentBuf>(url).await?;
    let begin = Instant::now();
    let inserts = batches.into_iter().map(async |batches| {
        for batch in batches {
            collection.insert_many(batch).ordered(false).await?;
        }
        Ok::<_, mongodb::error::Error>(())
    });
    try_join_all(inserts).await?;
    println!(
        "{}",
        serde_json::json!({ "rows": rows, "seconds": begin.elapsed().as_secs_f64() })
    );
    Ok(())
}

/// One client.
struct Worker {
    random: u64,
    work: Work,
}

enum Work {
    Find(Collection<RawDocumentBuf>, u64),
    Select(tokio_postgres::Client, Statement, u64),
    Insert(
        tokio_postgres::Client,
        Statement,
        Option<Collection<Document>>,
    ),
}

impl Worker {
    async fn connect(what: &str, number: i32, rest: &[&str]) -> Outcome<Worker> {
        let work = match (what, rest) {
            ("find", [rows, url]) => Work::Find(events(url).await?, rows.parse()?),
            ("select", [rows, url]) => {
                let (client, statement) = prepared(url, SELECT).await?;
                Work::Select(client, statement, rows.parse()?)
            }
            ("insert", [url]) => {
                let (client, statement) = prepared(url, INSERT).await?;
                Work::Insert(client, statement, None)
            }
            ("both", [postgres, mongo]) => {
                let (client, statement) = prepared(postgres, INSERT).await?;
                Work::Insert(client, statement, Some(events(mongo).await?))
            }
            _ => return Err("usage: see the head of src/documents.rs".into()),
        };
        // Another key in every run.
        let seed = u64::from(std::process::id()) << 8 | (u64::try_from(number)? + 1);
        let random = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed);
        Ok(Worker { random, work })
    }

    async fn run(mut self, end: Instant) -> Outcome<Vec<u64>> {
        let mut latencies = Vec::new();
        while Instant::now() < end {
            // xorshift64
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let begin = Instant::now();
            self.step().await?;
            latencies.push(u64::try_from(begin.elapsed().as_micros())?);
        }
        Ok(latencies)
    }

    async fn step(&mut self) -> Outcome<()> {
        match &self.work {
            Work::Find(collection, rows) => {
                let id = i64::try_from(self.random % rows + 1)?;
                let fields = doc! { "client": 1, "payload": 1 };
                let found = collection
                    .find_one(doc! { "_id": id })
                    .projection(fields)
                    .await?;
                found.ok_or("a document is missing")?;
            }
            Work::Select(client, statement, rows) => {
                let id = i64::try_from(self.random % rows + 1)?;
                client.query_one(statement, &[&id]).await?;
            }
            Work::Insert(client, statement, documents) => {
                let id = i64::try_from(self.random >> 2)?;
                client.execute(statement, &[&id, &1_i32, &PAYLOAD]).await?;
                if let Some(documents) = documents {
                    let document = doc! { "_id": id, "client": 1_i32, "payload": PAYLOAD };
                    documents.insert_one(document).await?;
                }
            }
        }
        Ok(())
    }
}

async fn prepared(url: &str, sql: &str) -> Outcome<(tokio_postgres::Client, Statement)> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let statement = client.prepare(sql).await?;
    Ok((client, statement))
}

fn summary(mut latencies: Vec<u64>, elapsed: Duration) -> serde_json::Value {
    latencies.sort_unstable();
    let at = |share: usize| latencies.get(latencies.len() * share / 100).copied();
    let count = latencies.len().max(1) as u64;
    serde_json::json!({
        "transactions": latencies.len(),
        "seconds": elapsed.as_secs_f64(),
        "mean_us": latencies.iter().sum::<u64>() / count,
        "median_us": at(50),
        "p99_us": at(99),
    })
}
