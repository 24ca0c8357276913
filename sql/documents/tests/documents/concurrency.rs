//! Sessions that meet on the same documents.

use std::{collections::BTreeSet, time::Duration};

use crossfade_tests::Mongod;
use mongodb::bson::doc;
use tokio::io::DuplexStream;

use crate::{peer::Peer, world::World};

type Session = Peer<DuplexStream>;

/// Steps of each session.
const STEPS: u32 = 200;

async fn world(mongod: &Mongod, sql: &str) -> World {
    let world = World::new(mongod).await;
    world.on_documents().await.ok(sql).await;
    world
}

/// Two sessions count the same row up at once: no step is lost, and nobody sees an error.
#[tokio::test]
async fn steps_of_autocommitted_updates_are_all_counted() {
    let mongod = Mongod::start().await;
    let world = world(&mongod, "INSERT INTO counters VALUES (1, 0)").await;
    let count = async |mut session: Session| {
        for _ in 0..STEPS {
            let answer = session
                .ok("UPDATE counters SET n = n + 1 WHERE id = 1")
                .await;
            assert_eq!(answer.end, "= UPDATE 1\n");
        }
    };
    tokio::join!(
        count(world.on_documents().await),
        count(world.on_documents().await)
    );
    let mut session = world.on_documents().await;
    let sum = session.ok("SELECT n FROM counters").await.value();
    assert_eq!(sum, (2 * STEPS).to_string());
}

/// The same in blocks that lock the row and compute by what they have read.
#[tokio::test]
async fn steps_behind_for_update_are_all_counted() {
    let mongod = Mongod::start().await;
    let world = world(&mongod, "INSERT INTO counters VALUES (1, 0)").await;
    let count = async |mut session: Session| {
        for _ in 0..STEPS / 2 {
            session.ok("BEGIN").await;
            let read = session
                .ok("SELECT n FROM counters WHERE id = 1 FOR UPDATE")
                .await;
            let n: u32 = read.value().parse().unwrap();
            session
                .ok(&format!("UPDATE counters SET n = {} WHERE id = 1", n + 1))
                .await;
            session.ok("COMMIT").await;
        }
    };
    tokio::join!(
        count(world.on_documents().await),
        count(world.on_documents().await)
    );
    let mut session = world.on_documents().await;
    let sum = session.ok("SELECT n FROM counters").await.value();
    assert_eq!(sum, STEPS.to_string());
}

/// Money goes to and fro between accounts that are written in any order. Two that hold each other's document cannot both go on: one of them fails by 40001 and
/// tries again, and no money is made or lost.
#[tokio::test]
async fn transfers_keep_the_sum() {
    let mongod = Mongod::start().await;
    let accounts: Vec<String> = (0..5).map(|id| format!("({id}, 1000)")).collect();
    let world = world(
        &mongod,
        &format!("INSERT INTO counters VALUES {}", accounts.join(", ")),
    )
    .await;
    let transfer = async |mut session: Session, seed: u32| {
        for step in 0..60_u32 {
            let (from, to) = ((step * 7 + seed) % 5, (step * 3 + seed * 2 + 1) % 5);
            loop {
                session.ok("BEGIN").await;
                let take = session
                    .run(&format!("UPDATE counters SET n = n - 10 WHERE id = {from}"))
                    .await;
                let give = session
                    .run(&format!("UPDATE counters SET n = n + 10 WHERE id = {to}"))
                    .await;
                let end = session.run("COMMIT").await;
                let failed = [take, give, end]
                    .into_iter()
                    .find_map(|answer| answer.sqlstate);
                match failed.as_deref() {
                    None => break,
                    Some("40001" | "25P02") => drop(session.run("ROLLBACK").await),
                    Some(other) => panic!("{other}"),
                }
            }
        }
    };
    let watch = async |mut session: Session| {
        for _ in 0..50 {
            let sum = session.ok("SELECT sum(n) FROM counters").await.value();
            assert_eq!(sum, "5000");
        }
    };
    tokio::join!(
        transfer(world.on_documents().await, 1),
        transfer(world.on_documents().await, 2),
        transfer(world.on_documents().await, 4),
        watch(world.on_documents().await),
    );
    let mut session = world.on_documents().await;
    assert_eq!(
        session.ok("SELECT sum(n) FROM counters").await.value(),
        "5000"
    );
}

/// Workers take jobs by SKIP LOCKED: each job goes to one of them.
#[tokio::test]
async fn each_job_of_a_queue_is_handed_out_once() {
    const JOBS: usize = 30;
    let mongod = Mongod::start().await;
    let world = world(
        &mongod,
        "INSERT INTO jobs (state) SELECT 'waiting' FROM generate_series(1, 30)",
    )
    .await;
    let work = async |mut session: Session, worker: u32| {
        let mut taken = Vec::new();
        loop {
            session.ok("BEGIN").await;
            let found = session
                .ok("SELECT id FROM jobs WHERE state = 'waiting' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED")
                .await;
            let Some(id) = found.rows.first().cloned() else {
                session.ok("COMMIT").await;
                return taken;
            };
            session
                .ok(&format!(
                    "UPDATE jobs SET state = 'done', worker = {worker} WHERE id = {id}"
                ))
                .await;
            session.ok("COMMIT").await;
            taken.push(id);
        }
    };
    let (one, two, three) = tokio::join!(
        work(world.on_documents().await, 1),
        work(world.on_documents().await, 2),
        work(world.on_documents().await, 3),
    );
    let all: Vec<String> = [one, two, three].concat();
    let different: BTreeSet<&String> = all.iter().collect();
    assert!(
        different.len() == all.len(),
        "a job was handed out twice: {all:?}"
    );
    // A worker may have ended while another held the last one, and nobody else leaves any.
    assert_eq!(all.len(), JOBS);
}

/// A row that somebody holds: SKIP LOCKED passes it by, NOWAIT fails, and a plain FOR UPDATE waits until the holder has ended.
#[tokio::test]
async fn a_locked_row_is_waited_for() {
    let mongod = Mongod::start().await;
    let world = world(&mongod, "INSERT INTO counters VALUES (1, 1), (2, 2)").await;
    let (mut holder, mut other) = (world.on_documents().await, world.on_documents().await);
    holder.ok("BEGIN").await;
    holder
        .ok("SELECT * FROM counters WHERE id = 1 FOR UPDATE")
        .await;
    let skipped = other
        .ok("SELECT id FROM counters ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED")
        .await;
    assert_eq!(skipped.value(), "2");
    let refused = other
        .run("SELECT * FROM counters WHERE id = 1 FOR UPDATE NOWAIT")
        .await;
    assert_eq!(
        refused.sqlstate.as_deref(),
        Some("55P03"),
        "{}",
        refused.end
    );
    // A reader is in nobody's way.
    assert_eq!(
        other
            .ok("SELECT n FROM counters WHERE id = 1")
            .await
            .value(),
        "1"
    );
    let (waited, ()) = tokio::join!(
        other.ok("UPDATE counters SET n = n * 10 WHERE id = 1 RETURNING n"),
        async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            holder.ok("UPDATE counters SET n = 5 WHERE id = 1").await;
            holder.ok("COMMIT").await;
        }
    );
    assert_eq!(waited.value(), "50");
}

/// A duplicate ends MongoDB's transaction, and not PostgreSQL's: behind a savepoint it goes on with all that was written before.
#[tokio::test]
async fn a_savepoint_outlives_a_duplicate() {
    let mongod = Mongod::start().await;
    let world = world(&mongod, "INSERT INTO counters VALUES (1, 1)").await;
    let mut session = world.on_documents().await;
    session.ok("BEGIN").await;
    session.ok("INSERT INTO counters VALUES (2, 2)").await;
    session.ok("SAVEPOINT s").await;
    for _ in 0..3 {
        let refused = session.run("INSERT INTO counters VALUES (1, 9)").await;
        assert_eq!(refused.sqlstate.as_deref(), Some("23505"));
        session.ok("ROLLBACK TO s").await;
    }
    session
        .ok("UPDATE counters SET n = n + 1 WHERE id = 2")
        .await;
    session.ok("COMMIT").await;
    let left = session.ok("SELECT id, n FROM counters ORDER BY id").await;
    assert_eq!(left.rows, ["1\t1", "2\t3"]);
}

/// What a savepoint's replay finds changed by somebody else is a failure of serialisation: in PostgreSQL nobody could have changed it.
#[tokio::test]
async fn a_document_that_was_lost_is_a_failure_of_serialisation() {
    let mongod = Mongod::start().await;
    let world = world(&mongod, "INSERT INTO counters VALUES (1, 1), (2, 2)").await;
    let mut session = world.on_documents().await;
    let collection = mongod
        .database(&world.database)
        .await
        .collection::<mongodb::bson::Document>("counters");
    session.ok("BEGIN").await;
    session.ok("UPDATE counters SET n = 10 WHERE id = 1").await;
    end_transactions(&mongod).await;
    // Somebody writes the document in the moment in which nobody holds it.
    collection
        .update_one(doc! { "_id": 1 }, doc! { "$set": { "n": 7_i64 } })
        .await
        .unwrap();
    let failed = session.run("UPDATE counters SET n = 20 WHERE id = 2").await;
    assert_eq!(failed.sqlstate.as_deref(), Some("40001"), "{}", failed.end);
    session.ok("ROLLBACK").await;
    let left = session.ok("SELECT n FROM counters ORDER BY id").await;
    assert_eq!(left.rows, ["7", "2"]);
}

/// A transaction that the server has ended is begun anew, where everything is as it was; also at its COMMIT.
#[tokio::test]
async fn a_transaction_that_the_server_has_ended_goes_on() {
    let mongod = Mongod::start().await;
    let world = world(&mongod, "INSERT INTO counters VALUES (1, 1), (2, 2)").await;
    let mut session = world.on_documents().await;
    session.ok("BEGIN").await;
    session
        .ok("UPDATE counters SET n = n + 10 WHERE id = 1")
        .await;
    session.ok("INSERT INTO counters VALUES (3, 3)").await;
    end_transactions(&mongod).await;
    session
        .ok("UPDATE counters SET n = n + 20 WHERE id = 2")
        .await;
    assert_eq!(
        session
            .ok("SELECT n FROM counters WHERE id = 1")
            .await
            .value(),
        "11"
    );
    end_transactions(&mongod).await;
    assert_eq!(
        session.ok("SELECT count(*) FROM counters").await.value(),
        "3"
    );
    end_transactions(&mongod).await;
    session.ok("COMMIT").await;
    let left = session.ok("SELECT id, n FROM counters ORDER BY id").await;
    assert_eq!(left.rows, ["1\t11", "2\t22", "3\t3"]);
}

/// Sessions that insert the same new key: one of them does, the others see a duplicate, or with ON CONFLICT all of them count.
#[tokio::test]
async fn a_key_is_inserted_once() {
    let mongod = Mongod::start().await;
    let world = World::new(&mongod).await;
    let insert = async |mut session: Session| {
        let mut inserted = 0;
        for id in 0..30 {
            let answer = session
                .run(&format!("INSERT INTO counters VALUES ({id}, 0)"))
                .await;
            match answer.sqlstate.as_deref() {
                None => inserted += 1,
                Some("23505") => {}
                Some(other) => panic!("{other}"),
            }
            session
                .ok(&format!("INSERT INTO counters VALUES ({}, 1) ON CONFLICT (id) DO UPDATE SET n = counters.n + 1", id + 100))
                .await;
        }
        inserted
    };
    let (one, other) = tokio::join!(
        insert(world.on_documents().await),
        insert(world.on_documents().await)
    );
    assert_eq!(one + other, 30);
    let mut session = world.on_documents().await;
    let counted = session
        .ok("SELECT count(*), min(n), max(n) FROM counters WHERE id >= 100")
        .await;
    assert_eq!(counted.value(), "30\t2\t2");
}

/// A parent cannot be deleted while somebody gives it a child.
#[tokio::test]
async fn a_child_keeps_its_parent() {
    let mongod = Mongod::start().await;
    let world = world(
        &mongod,
        "INSERT INTO people (id, name) VALUES (1, 'parent')",
    )
    .await;
    let (mut one, mut other) = (world.on_documents().await, world.on_documents().await);
    one.ok("BEGIN").await;
    one.ok("INSERT INTO people (id, name, boss) VALUES (2, 'child', 1)")
        .await;
    let (refused, ()) = tokio::join!(other.run("DELETE FROM people WHERE id = 1"), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        one.ok("COMMIT").await;
    });
    assert_eq!(
        refused.sqlstate.as_deref(),
        Some("23503"),
        "{}",
        refused.end
    );
}

/// READ COMMITTED sees what others have committed since; REPEATABLE READ does not, and fails where it would write over it.
#[tokio::test]
async fn isolation_is_what_was_asked_for() {
    let mongod = Mongod::start().await;
    let world = world(&mongod, "INSERT INTO counters VALUES (1, 1), (2, 2)").await;
    let (mut one, mut other) = (world.on_documents().await, world.on_documents().await);
    let read = "SELECT n FROM counters WHERE id = 1";
    one.ok("BEGIN").await;
    assert_eq!(one.ok(read).await.value(), "1");
    other.ok("UPDATE counters SET n = 2 WHERE id = 1").await;
    assert_eq!(one.ok(read).await.value(), "2");
    one.ok("UPDATE counters SET n = 20 WHERE id = 2").await;
    other.ok("UPDATE counters SET n = 3 WHERE id = 1").await;
    assert_eq!(
        one.ok("UPDATE counters SET n = n + 1 WHERE id = 1 RETURNING n")
            .await
            .value(),
        "4"
    );
    one.ok("COMMIT").await;
    one.ok("BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    assert_eq!(one.ok(read).await.value(), "4");
    other.ok("UPDATE counters SET n = 5 WHERE id = 1").await;
    assert_eq!(one.ok(read).await.value(), "4");
    let failed = one.run("UPDATE counters SET n = 6 WHERE id = 1").await;
    assert_eq!(failed.sqlstate.as_deref(), Some("40001"));
    one.ok("ROLLBACK").await;
    assert_eq!(one.ok(read).await.value(), "5");
}

/// Ends all transactions, as the server itself does with those that last too long.
pub(crate) async fn end_transactions(mongod: &Mongod) {
    let admin = mongod.database("admin").await;
    let pipeline = [
        doc! { "$currentOp": { "allUsers": true, "idleSessions": true } },
        doc! { "$match": { "transaction": { "$exists": true } } },
        doc! { "$project": { "lsid.id": 1 } },
    ];
    let mut found = admin.aggregate(pipeline).await.unwrap();
    let mut sessions = Vec::new();
    while found.advance().await.unwrap() {
        let session = found.deserialize_current().unwrap();
        sessions.push(session.get_document("lsid").unwrap().clone());
    }
    assert!(!sessions.is_empty(), "no transaction to be ended");
    admin
        .run_command(doc! { "killSessions": sessions })
        .await
        .unwrap();
}
