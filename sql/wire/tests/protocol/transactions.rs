//! Blocks, savepoints and modes.

use crate::peer::world;

const ABORTED: &str =
    "E 25P02 | current transaction is aborted, commands ignored until end of transaction block";

#[tokio::test]
async fn a_block_ends_with_commit_or_rollback() {
    let world = world();
    let mut peer = world.peer().await;
    assert_eq!(peer.query("BEGIN").await, ["C BEGIN", "Z T"]);
    peer.ask("INSERT INTO kv VALUES ('a', 1)").await;
    assert_eq!(peer.query("COMMIT").await, ["C COMMIT", "Z I"]);
    assert_eq!(world.toy.log(), ["begin", "execute", "commit"]);
    peer.ask("START TRANSACTION").await;
    peer.ask("INSERT INTO kv VALUES ('b', 1)").await;
    assert_eq!(peer.query("ROLLBACK").await, ["C ROLLBACK", "Z I"]);
    assert_eq!(world.toy.log(), ["begin", "execute", "rollback"]);
    // A block that did nothing costs the engine nothing.
    peer.ask("BEGIN").await;
    peer.ask("END").await;
    assert!(world.toy.log().is_empty());
}

#[tokio::test]
async fn a_failed_block_takes_nothing_but_its_end() {
    let world = world();
    let mut peer = world.peer().await;
    peer.ask("BEGIN").await;
    assert_eq!(peer.query("SELECT fail()").await[2], "Z E");
    assert_eq!(world.toy.log(), ["begin", "execute", "rollback"]);
    assert_eq!(peer.query("SELECT 1").await, [ABORTED, "Z E"]);
    peer.parse("", "SELECT 1", &[]).sync();
    assert_eq!(peer.go().await, [ABORTED, "Z E"]);
    assert_eq!(peer.query("SET jit = off").await, [ABORTED, "Z E"]);
    assert_eq!(peer.query("COMMIT").await, ["C ROLLBACK", "Z I"]);
    assert!(world.toy.log().is_empty());
}

#[tokio::test]
async fn savepoints_go_to_the_engine() {
    let world = world();
    let mut peer = world.peer().await;
    peer.ask("BEGIN").await;
    assert_eq!(peer.ask("SAVEPOINT s").await, ["C SAVEPOINT"]);
    peer.query("SELECT fail()").await;
    assert_eq!(
        peer.query("ROLLBACK TO none").await,
        ["E 3B001 | savepoint \"none\" does not exist", "Z E"]
    );
    assert_eq!(peer.query("ROLLBACK TO s").await, ["C ROLLBACK", "Z T"]);
    assert_eq!(peer.ask("RELEASE s").await, ["C RELEASE"]);
    peer.ask("COMMIT").await;
    assert_eq!(
        world.toy.log(),
        [
            "begin",
            "savepoint s",
            "execute",
            "rollback to s",
            "release s",
            "commit"
        ]
    );
    assert_eq!(
        peer.query("SAVEPOINT s").await[0],
        "E 25P01 | SAVEPOINT can only be used in transaction blocks"
    );
}

#[tokio::test]
async fn what_has_no_block_is_warned_about() {
    let world = world();
    let mut peer = world.peer().await;
    for end in ["COMMIT", "ROLLBACK"] {
        assert_eq!(
            peer.ask(end).await,
            [
                "N WARNING | 25P01 | there is no transaction in progress".to_owned(),
                format!("C {end}")
            ]
        );
    }
    peer.ask("BEGIN").await;
    assert_eq!(
        peer.ask("BEGIN").await,
        [
            "N WARNING | 25001 | there is already a transaction in progress",
            "C BEGIN"
        ]
    );
    peer.ask("ROLLBACK").await;
    assert_eq!(
        peer.query("COMMIT AND CHAIN").await[0],
        "E 25P01 | COMMIT AND CHAIN can only be used in transaction blocks"
    );
}

#[tokio::test]
async fn chains_keep_their_mode() {
    let world = world();
    let mut peer = world.peer().await;
    peer.ask("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .await;
    peer.ask("SELECT 1").await;
    assert_eq!(peer.query("COMMIT AND CHAIN").await, ["C COMMIT", "Z T"]);
    peer.ask("SELECT 1").await;
    assert_eq!(
        peer.query("INSERT INTO kv VALUES ('a', 1)").await[0],
        "E 25006 | cannot execute INSERT in a read-only transaction"
    );
    assert_eq!(
        peer.query("ROLLBACK AND CHAIN").await,
        ["C ROLLBACK", "Z T"]
    );
    assert_eq!(
        peer.ask("SHOW transaction_isolation").await[0],
        "D repeatable read"
    );
    peer.ask("ROLLBACK").await;
    assert_eq!(
        peer.ask("SHOW transaction_isolation").await[0],
        "D read committed"
    );
    assert_eq!(
        world.toy.log(),
        [
            "begin read only repeatable read",
            "execute",
            "commit",
            "begin read only repeatable read",
            "execute",
            "rollback"
        ]
    );
}

#[tokio::test]
async fn modes_are_set_before_the_first_query() {
    let world = world();
    let mut peer = world.peer().await;
    peer.ask("BEGIN").await;
    peer.ask("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await;
    peer.ask("SELECT 1").await;
    assert_eq!(
        peer.query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            .await[0],
        "E 25001 | SET TRANSACTION ISOLATION LEVEL must be called before any query"
    );
    peer.ask("ROLLBACK").await;
    peer.ask("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        .await;
    assert_eq!(
        peer.query("INSERT INTO kv VALUES ('a', 1)").await[0],
        "E 25006 | cannot execute INSERT in a read-only transaction"
    );
    assert_eq!(
        world.toy.log(),
        ["begin repeatable read", "execute", "rollback"]
    );
}

#[tokio::test]
async fn a_block_may_begin_and_end_within_one_query() {
    let world = world();
    let mut peer = world.peer().await;
    assert_eq!(
        peer.query("SELECT 1; BEGIN; SELECT 1").await,
        [
            "T ?column?:23:0",
            "D 1",
            "C SELECT 1",
            "C BEGIN",
            "T ?column?:23:0",
            "D 1",
            "C SELECT 1",
            "Z T"
        ]
    );
    assert_eq!(world.toy.log(), ["begin", "execute", "execute"]);
    let answers = peer.query("COMMIT; SELECT 1").await;
    assert_eq!(answers.last().unwrap(), "Z I");
    assert_eq!(
        world.toy.log(),
        ["commit", "begin", "execute last", "commit"]
    );
    peer.parse("", "BEGIN", &[])
        .bind("", "", &[])
        .execute("", 0)
        .run("SELECT 1", &[])
        .sync();
    assert_eq!(
        peer.go().await,
        ["1", "2", "C BEGIN", "1", "2", "D 1", "C SELECT 1", "Z T"]
    );
    peer.run("COMMIT", &[]).sync();
    assert_eq!(peer.go().await, ["1", "2", "C COMMIT", "Z I"]);
}

#[tokio::test]
async fn a_client_that_goes_takes_its_transaction_along() {
    let world = world();
    let mut peer = world.peer().await;
    peer.ask("BEGIN").await;
    peer.ask("INSERT INTO kv VALUES ('a', 1)").await;
    drop(peer);
    let mut log = world.toy.log();
    while log.last().map(|line| &line[..]) != Some("rollback") {
        tokio::task::yield_now().await;
        log.extend(world.toy.log());
    }
    assert_eq!(log, ["begin", "execute", "rollback"]);
}
