//! The SQL files of the engine, through the proxy in every phase that has two stores: byte for byte what a PostgreSQL of one's own answers.

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, sync::Arc};

use crossfade_tests::{Database, Mongod};
use tokio::net::TcpStream;

use super::Documents;
use crate::{
    peer::{Answer, Peer},
    script::{DATA, Statement, folder, statements},
};

const SCHEMA: &str = include_str!("../../../sql/documents/tests/sql/schema.sql");

/// Files that change nothing: one pair of stores serves them all.
const READS: &[&str] = &[
    "select",
    "expressions",
    "text",
    "numbers",
    "times",
    "aggregates",
    "joins",
    "subqueries",
];

/// Files that write, each on stores of its own.
const WRITES: &[&str] = &[
    "insert",
    "conflict",
    "update",
    "delete",
    "constraints",
    "transactions",
    "with_writes",
];

/// Files that write as well. What PostgreSQL itself is sent in phase 3 goes by way of another table or statement, and tells of other lines.
const BULK: &[&str] = &["copy", "truncate", "merge"];

async fn pair(phase: &str) -> Documents {
    let tables: String = SCHEMA
        .lines()
        .filter_map(|line| line.strip_prefix("CREATE TABLE "))
        .filter_map(|line| line.split_whitespace().next())
        .map(|table| {
            let acknowledged = match table {
                "accounts" => "acknowledge = [\"accounts_owner_fkey\"]\n",
                "movements" => "acknowledge = [\"movements_account_fkey\"]\n",
                _ => "",
            };
            format!("[toggle.shop.table.{table}]\n{acknowledged}")
        })
        .collect();
    let mut documents = Documents::of(Mongod::start().await, SCHEMA, &tables).await;
    documents.complete();
    let walk = ["dual-read", "new-primary", "new-writes", "backfill"];
    let steps = walk
        .iter()
        .position(|step| *step == phase)
        .map_or(0, |at| at + 1);
    documents.walk(&walk[..steps]).await;
    documents
}

/// A session on this server, where the tables are those of `database`.
async fn peer(addr: SocketAddr, database: &Database) -> Peer<TcpStream> {
    let types = "SELECT oid::text, typname::text FROM pg_type WHERE oid < 16384 OR typtype <> 'c'";
    let tables =
        "SELECT oid::text, relname::text FROM pg_class WHERE oid >= 16384 AND relkind = 'r'";
    let mut names = BTreeMap::new();
    for sql in [types, tables] {
        for row in database.rows(sql).await {
            let oid = row[0].as_deref().unwrap().parse().unwrap();
            names.insert(oid, row[1].clone().unwrap());
        }
    }
    let stream = TcpStream::connect(addr).await.unwrap();
    let mut peer = Peer::start(stream, "app", database.name(), Arc::new(names)).await;
    peer.ok(DATA).await;
    peer
}

/// The application behind the proxy, and another one with a PostgreSQL of its own.
struct Pair {
    documents: Documents,
    here: Peer<TcpStream>,
    alone: Peer<TcpStream>,
}

impl Pair {
    async fn new(phase: &str) -> Pair {
        let documents = pair(phase).await;
        documents.stores.new.run(SCHEMA).await;
        let proxy = documents.proxy.endpoint(documents.old()).addr;
        Pair {
            here: peer(proxy, documents.old()).await,
            alone: peer(documents.stores.new.addr(), &documents.stores.new).await,
            documents,
        }
    }

    /// Statements of a file whose answers differ. What a phase with two stores refuses, the other application does not ask for.
    async fn differences(&mut self, name: &str) -> String {
        let text = std::fs::read_to_string(folder().join(format!("{name}.sql"))).unwrap();
        let mut all = String::new();
        for statement in statements(&text) {
            // Whose connection it is that a session works on, both stores say differently.
            if statement.sql.contains("session_user") {
                continue;
            }
            let block = self.here.state == b'T';
            let here = self.here.run_with(&statement.sql, &statement.data).await;
            let refused = here.end.contains("crossfade refused");
            if refused && here.sqlstate.as_deref() == Some("0A000") {
                if block {
                    // The block has failed.
                    self.alone.run("SELECT 1 / 0").await;
                }
                continue;
            }
            let alone = self.alone.run_with(&statement.sql, &statement.data).await;
            let told = here.sqlstate.is_some() && (refused || here.end.contains("crossfade reads"));
            let alike = match told {
                // In words of its own.
                true => here.sqlstate == alone.sqlstate,
                false => plain(&here, &statement) == plain(&alone, &statement),
            };
            if !alike || self.here.state != self.alone.state {
                let (here, alone) = (here.text(false), alone.text(false));
                writeln!(
                    all,
                    "--- {name}\n{}\n{alone}--- here\n{here}",
                    statement.sql
                )
                .unwrap();
            }
        }
        all
    }
}

/// Positions count from another text where a statement was rewritten.
fn plain(answer: &Answer, statement: &Statement) -> String {
    let text = answer.text(statement.as_set);
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("!   position:"));
    lines.collect::<Vec<_>>().join("\n")
}

async fn reads_in(phase: &str) {
    let mut pair = Pair::new(phase).await;
    let mut all = String::new();
    for name in READS {
        all += &pair.differences(name).await;
    }
    assert!(all.is_empty(), "{all}");
}

async fn writes_in(phase: &str) {
    let mut all = String::new();
    let bulk = BULK.iter().filter(|_| phase != "dual-write");
    for name in WRITES.iter().chain(bulk) {
        let mut pair = Pair::new(phase).await;
        all += &pair.differences(name).await;
        if matches!(phase, "dual-write" | "new-primary") {
            pair.documents.proxy.drained().await;
            pair.documents.verify();
        }
    }
    assert!(all.is_empty(), "{all}");
}

#[tokio::test]
async fn reads_in_phase_3() {
    reads_in("dual-write").await;
}

#[tokio::test]
async fn reads_in_phase_4() {
    reads_in("dual-read").await;
}

#[tokio::test]
async fn reads_in_phase_5() {
    reads_in("new-primary").await;
}

#[tokio::test]
async fn reads_in_phase_6() {
    reads_in("new-writes").await;
}

#[tokio::test]
async fn reads_in_phase_7() {
    reads_in("backfill").await;
}

#[tokio::test]
async fn writes_in_phase_3() {
    writes_in("dual-write").await;
}

#[tokio::test]
async fn writes_in_phase_5() {
    writes_in("new-primary").await;
}

#[tokio::test]
async fn writes_in_phase_7() {
    writes_in("backfill").await;
}
