//! What a transaction held before MongoDB ended it: begun anew, it has that still, or it fails.

use std::time::Duration;

use crossfade_tests::Mongod;
use tokio::io::DuplexStream;

use crate::{concurrency::end_transactions, peer::Peer, world::World};

type Session = Peer<DuplexStream>;

const ROWS: &str = "INSERT INTO people (id, name) VALUES (101, 'parent'), (102, 'other'); INSERT INTO counters VALUES (1, 1), (2, 2)";

/// Ways to come to point to the person 101.
const CHILDREN: [&str; 3] = [
    "INSERT INTO accounts (owner) VALUES (101)",
    "INSERT INTO people (id, name, boss) VALUES (103, 'child', 101)",
    "UPDATE people SET boss = 101 WHERE id = 102",
];

async fn world(mongod: &Mongod) -> World {
    let world = World::new(mongod).await;
    world.on_documents().await.ok(ROWS).await;
    world
}

/// Has `session` run this while another one holds the counter 1, which costs it MongoDB's transaction, and in the meantime `third` something else. How it fails.
async fn waiting(
    world: &World,
    session: &mut Session,
    sql: &str,
    third: impl AsyncFnOnce(),
) -> Option<String> {
    let mut holder = world.on_documents().await;
    holder.ok("BEGIN").await;
    holder
        .ok("UPDATE counters SET n = n + 10 WHERE id = 1")
        .await;
    let (answer, ()) = tokio::join!(session.run(sql), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        third().await;
        holder.ok("COMMIT").await;
    });
    answer.sqlstate
}

async fn no_orphans(session: &mut Session) {
    let orphans = "SELECT (SELECT count(*) FROM accounts a WHERE NOT EXISTS (SELECT FROM people p WHERE p.id = a.owner))
        + (SELECT count(*) FROM people c WHERE boss IS NOT NULL AND NOT EXISTS (SELECT FROM people p WHERE p.id = c.boss))";
    assert_eq!(session.ok(orphans).await.value(), "0");
}

/// A parent's DELETE waits elsewhere, a child comes meanwhile: the DELETE is not made again.
#[tokio::test]
async fn a_child_that_comes_while_its_parents_delete_waits_keeps_the_parent() {
    let mongod = Mongod::start().await;
    for child in CHILDREN {
        let world = world(&mongod).await;
        let (mut session, mut third) = (world.on_documents().await, world.on_documents().await);
        session.ok("BEGIN").await;
        session.ok("DELETE FROM people WHERE id = 101").await;
        let counts = "UPDATE counters SET n = n + 1 WHERE id = 1";
        let failed = waiting(&world, &mut session, counts, async || {
            third.ok(child).await;
        })
        .await;
        assert_eq!(failed.as_deref(), Some("40001"), "{child}");
        session.ok("ROLLBACK").await;
        no_orphans(&mut session).await;
    }
}

/// The same on the way back to a savepoint.
#[tokio::test]
async fn a_child_that_comes_before_the_way_back_to_a_savepoint_keeps_the_parent() {
    let mongod = Mongod::start().await;
    for child in CHILDREN {
        let world = world(&mongod).await;
        let mut session = world.on_documents().await;
        session.ok("BEGIN").await;
        session.ok("DELETE FROM people WHERE id = 101").await;
        session.ok("SAVEPOINT s").await;
        let refused = session.run("INSERT INTO counters VALUES (1, 9)").await;
        assert_eq!(refused.sqlstate.as_deref(), Some("23505"));
        world.on_documents().await.ok(child).await;
        let failed = session.run("ROLLBACK TO s").await;
        assert_eq!(failed.sqlstate.as_deref(), Some("40001"), "{child}");
        session.ok("ROLLBACK").await;
        no_orphans(&mut session).await;
    }
}

/// And behind the end that the server itself makes of a transaction that lasts too long.
#[tokio::test]
async fn a_child_that_comes_before_the_commit_of_an_ended_transaction_keeps_the_parent() {
    let mongod = Mongod::start().await;
    for child in CHILDREN {
        let world = world(&mongod).await;
        let mut session = world.on_documents().await;
        session.ok("BEGIN").await;
        session.ok("DELETE FROM people WHERE id = 101").await;
        end_transactions(&mongod).await;
        world.on_documents().await.ok(child).await;
        let failed = session.run("COMMIT").await;
        assert_eq!(failed.sqlstate.as_deref(), Some("40001"), "{child}");
        no_orphans(&mut session).await;
    }
}

/// Whoever has locked a row learns that somebody else had it meanwhile, though it looks as it did.
#[tokio::test]
async fn a_row_lock_that_somebody_else_had_meanwhile_is_a_failure_of_serialisation() {
    let mongod = Mongod::start().await;
    let others: [&[&str]; 4] = [
        &["SELECT * FROM counters WHERE id = 2 FOR UPDATE"],
        &["UPDATE counters SET n = n WHERE id = 2"],
        &[
            "UPDATE counters SET n = 0 WHERE id = 2",
            "UPDATE counters SET n = 2 WHERE id = 2",
        ],
        &[
            "BEGIN",
            "UPDATE counters SET n = 0 WHERE id = 2",
            "UPDATE counters SET n = 2 WHERE id = 2",
            "COMMIT",
        ],
    ];
    for lock in [
        "SELECT * FROM counters WHERE id = 2 FOR UPDATE",
        "UPDATE counters SET n = 5 WHERE id = 2",
    ] {
        for other in others {
            let world = world(&mongod).await;
            let (mut session, mut third) = (world.on_documents().await, world.on_documents().await);
            // While it waits.
            session.ok("BEGIN").await;
            session.ok(lock).await;
            let counts = "UPDATE counters SET n = n + 1 WHERE id = 1";
            let failed = waiting(&world, &mut session, counts, async || {
                for sql in other {
                    third.ok(sql).await;
                }
            })
            .await;
            assert_eq!(failed.as_deref(), Some("40001"), "{lock}, {other:?}");
            session.ok("ROLLBACK").await;
            // And when the server has ended it.
            session.ok("BEGIN").await;
            session.ok(lock).await;
            end_transactions(&mongod).await;
            for sql in other {
                third.ok(sql).await;
            }
            let failed = session.run("COMMIT").await;
            assert_eq!(
                failed.sqlstate.as_deref(),
                Some("40001"),
                "{lock}, {other:?}"
            );
        }
    }
}

/// Nobody fails for a lock that PostgreSQL shares: children below one parent, and children below a parent whose other columns are being changed.
#[tokio::test]
async fn what_was_held_in_common_is_held_still() {
    let mongod = Mongod::start().await;
    for held in [
        "INSERT INTO people (id, name, boss) VALUES (110, 'mine', 101)",
        "UPDATE people SET name = 'changed' WHERE id = 101",
        "SELECT * FROM counters WHERE id = 2 FOR UPDATE",
    ] {
        let world = world(&mongod).await;
        let (mut session, mut third) = (world.on_documents().await, world.on_documents().await);
        session.ok("BEGIN").await;
        session.ok(held).await;
        let counts = "UPDATE counters SET n = n + 1 WHERE id = 1";
        let failed = waiting(&world, &mut session, counts, async || {
            third.ok("INSERT INTO accounts (owner) VALUES (101)").await;
        })
        .await;
        assert_eq!(failed, None, "{held}");
        session.ok("COMMIT").await;
        let counted = session.ok("SELECT n FROM counters WHERE id = 1").await;
        assert_eq!(counted.value(), "12");
        no_orphans(&mut session).await;
    }
}

/// The server dies under an open transaction, before its journal has what was last taken from a counter: nobody gets a value that the transaction has.
#[tokio::test]
async fn a_value_of_a_sequence_is_handed_out_once_though_the_server_dies() {
    let mut mongod = Mongod::start().await;
    let world = world(&mongod).await;
    let (mut session, mut other) = (world.on_documents().await, world.on_documents().await);
    for round in 0..4 {
        let id = round * 10;
        let insert = |id: i32| format!("INSERT INTO refunds (id) VALUES ({id})");
        other.ok(&insert(id)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        session.ok("BEGIN").await;
        session.ok(&insert(id + 1)).await;
        mongod.kill9();
        mongod.restart().await;
        let counted = other.run(&insert(id + 2)).await;
        let again = session.run(&insert(id + 3)).await;
        let ended = session.run("COMMIT").await;
        for answer in [counted, again, ended] {
            assert!(
                matches!(answer.sqlstate.as_deref(), None | Some("40001" | "08006")),
                "{}",
                answer.end
            );
        }
        session.run("ROLLBACK").await;
        let twice = other
            .ok("SELECT number FROM refunds GROUP BY number HAVING count(*) > 1")
            .await;
        assert!(twice.rows.is_empty(), "handed out twice: {:?}", twice.rows);
    }
}
