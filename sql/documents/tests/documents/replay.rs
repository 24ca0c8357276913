//! Files of SQL with PostgreSQL's own answers beside them.
//!
//! `CROSSFADE_RECORD=1` asks PostgreSQL again and writes its answers down. A line `-- as a set` above a statement says that the order of its rows is nobody's.

use std::{fmt::Write as _, sync::Arc};

use crossfade_documents::Served;
use crossfade_tests::Mongod;
use crossfade_values::Session;

use crate::{
    script::{DATA, FILES, answers, blocks, folder, statements},
    world::World,
};

async fn replay(mongod: &Mongod, name: &str) -> (usize, Vec<String>) {
    let text = std::fs::read_to_string(folder().join(format!("{name}.sql"))).unwrap();
    let statements = statements(&text);
    let world = World::new(mongod).await;
    let out = folder().join(format!("{name}.out"));
    if std::env::var_os("CROSSFADE_RECORD").is_some() {
        let mut postgres = world.on_postgres().await;
        postgres.ok(DATA).await;
        let recorded = answers(&mut postgres, &statements).await;
        std::fs::write(&out, recorded.join("\n")).unwrap();
    }
    let expected = blocks(&std::fs::read_to_string(&out).unwrap());
    let mut documents = world.on_documents().await;
    documents.ok(DATA).await;
    let found = answers(&mut documents, &statements).await;
    assert_eq!(
        expected.len(),
        found.len(),
        "{name}.out is not of this {name}.sql: record it again"
    );
    let differ = expected
        .iter()
        .zip(&found)
        .filter(|(expected, found)| expected != found);
    let differences = differ.map(|(expected, found)| {
        format!("--- {name}: PostgreSQL\n{expected}--- documents\n{found}")
    });
    (statements.len(), differences.collect())
}

/// What the files hold is answered on documents byte for byte as PostgreSQL answered it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn files() {
    let mongod = Arc::new(Mongod::start().await);
    let only = std::env::var("CROSSFADE_FILE").ok();
    let chosen = FILES
        .iter()
        .filter(|name| only.as_ref().is_none_or(|only| only == *name));
    let tasks: Vec<_> = chosen
        .map(|name| {
            let mongod = mongod.clone();
            tokio::spawn(async move { replay(&mongod, name).await })
        })
        .collect();
    let (mut count, mut all) = (0, String::new());
    for task in tasks {
        let (statements, differences) = task.await.unwrap();
        count += statements;
        differences
            .iter()
            .for_each(|difference| writeln!(all, "{difference}").unwrap());
    }
    assert!(all.is_empty(), "{all}");
    assert!(only.is_some() || count >= 300, "{count} statements");
    println!("{count} statements");
}

/// What cannot be answered exactly is refused, and nothing else is said.
#[tokio::test]
async fn refused() {
    let mongod = Mongod::start().await;
    let world = World::new(&mongod).await;
    let mut peer = world.on_documents().await;
    peer.ok(DATA).await;
    let text = std::fs::read_to_string(folder().join("refused.sql")).unwrap();
    let mut wrong = String::new();
    for statement in statements(&text) {
        let answer = peer.run_with(&statement.sql, &statement.data).await;
        if answer.sqlstate.as_deref() != Some("0A000") {
            writeln!(wrong, "{}\n{}", statement.sql, answer.text(false)).unwrap();
        }
        if peer.state != b'I' {
            peer.ok("ROLLBACK").await;
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The same is known without running anything: what the proxy asks before it sends a statement here.
#[tokio::test]
async fn what_would_be_served_is_known_before() {
    let mongod = Mongod::start().await;
    let world = World::new(&mongod).await;
    let session = Session::default();
    let serves = |sql: &str| {
        let parsed = pg_query::parse(sql, pg_query::ParserOptions::DEFAULT).unwrap();
        let statement = parsed.protobuf.stmts[0].stmt.clone().unwrap().node.unwrap();
        world.engine.would_serve(&statement, &session)
    };
    for sql in [
        "SELECT * FROM people WHERE id = $1",
        "INSERT INTO people (name) VALUES ($1)",
        "SELECT nothing FROM people",
        "SELECT $1",
    ] {
        assert_eq!(serves(sql), Served::Yes, "{sql}");
    }
    for sql in [
        "SELECT id, row_number() OVER () FROM people",
        "WITH RECURSIVE t AS (SELECT 1) SELECT * FROM t",
    ] {
        assert!(
            matches!(serves(sql), Served::No(why) if why.contains("is not served")),
            "{sql}"
        );
    }
}
