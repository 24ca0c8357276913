//! The simple protocol.

use crate::peer::world;

#[tokio::test]
async fn a_statement_is_described_answered_and_committed() {
    let world = world();
    let mut peer = world.peer().await;
    assert_eq!(
        peer.query("SELECT 1").await,
        ["T ?column?:23:0", "D 1", "C SELECT 1", "Z I"]
    );
    assert_eq!(world.toy.log(), ["begin", "execute last", "commit"]);
    assert_eq!(peer.query("SELECT NULL").await[1], "D NULL");
    for empty in ["", " ", "-- nothing", ";"] {
        assert_eq!(peer.query(empty).await, ["I", "Z I"], "{empty:?}");
    }
}

#[tokio::test]
async fn statements_of_one_query_are_one_transaction() {
    let world = world();
    let mut peer = world.peer().await;
    let sql = "INSERT INTO kv VALUES ('a', 1); INSERT INTO kv VALUES ('b', 2)";
    assert_eq!(
        peer.query(sql).await,
        ["C INSERT 0 1", "C INSERT 0 1", "Z I"]
    );
    assert_eq!(
        world.toy.log(),
        ["begin", "execute", "execute last", "commit"]
    );
    let sql = "INSERT INTO kv VALUES ('c', 3); SELECT fail(); INSERT INTO kv VALUES ('d', 4)";
    assert_eq!(
        peer.query(sql).await,
        [
            "C INSERT 0 1",
            "T fail:23:0",
            "E 22012 | division by zero",
            "Z I"
        ]
    );
    assert_eq!(world.toy.log(), ["begin", "execute", "execute", "rollback"]);
    peer.run("SELECT v FROM kv WHERE k = $1", &[Some("c")])
        .sync();
    assert_eq!(peer.go().await, ["1", "2", "C SELECT 0", "Z I"]);
}

#[tokio::test]
async fn errors_have_their_fields_and_places() {
    let world = world();
    let mut peer = world.peer().await;
    assert_eq!(
        peer.query("SELEC 1").await[0],
        "E 42601 | syntax error at or near \"SELEC\" | P=1"
    );
    assert_eq!(
        peer.query("SELECT 1; SELECT nope").await,
        [
            "T ?column?:23:0",
            "D 1",
            "C SELECT 1",
            "E 42703 | column \"nope\" does not exist | P=18",
            "Z I"
        ]
    );
    assert_eq!(
        peer.query("SELECT 1; SELECT FROM FROM").await,
        ["E 42601 | syntax error at or near \"FROM\" | P=23", "Z I"]
    );
    peer.ask("INSERT INTO kv VALUES ('a', 1)").await;
    assert_eq!(
        peer.query("INSERT INTO kv VALUES ('a', 1)").await[0],
        "E 23505 | duplicate key value violates unique constraint \"kv_pkey\" | D=Key (k)=(a) already exists. | s=public | t=kv | n=kv_pkey"
    );
    assert_eq!(
        peer.query("SELECT $1").await[0],
        "E 42P02 | there is no parameter $1"
    );
}

#[tokio::test]
async fn the_completion_waits_for_the_commit() {
    let world = world();
    let mut peer = world.peer().await;
    assert_eq!(peer.query("DELETE FROM kv").await, ["E 23503 | no", "Z I"]);
    assert_eq!(
        world.toy.log(),
        ["begin", "execute last", "commit", "rollback"]
    );
    // Nobody knows what became of it: the connection ends.
    assert_eq!(
        peer.query("DELETE FROM unknown").await,
        ["E FATAL | 08007 | no"]
    );
    assert!(peer.closed);
}

#[tokio::test]
async fn what_is_not_served_is_said_with_what_to_do() {
    let world = world();
    let mut peer = world.peer().await;
    for (sql, told) in [
        (
            "CREATE TABLE t (a int)",
            "a statement that changes the schema",
        ),
        ("LISTEN x", "LISTEN/NOTIFY"),
        ("NOTIFY x", "LISTEN/NOTIFY"),
        ("LOCK TABLE kv", "LOCK TABLE"),
        ("VACUUM", "VACUUM or ANALYZE"),
        ("DO 'BEGIN END'", "DO"),
        ("PREPARE TRANSACTION 'x'", "two-phase commit"),
    ] {
        let answers = peer.query(sql).await;
        let expected = format!("E 0A000 | {told} is not served on documents");
        assert!(answers[0].starts_with(&expected), "{sql}: {answers:?}");
        assert_eq!(answers[1], "Z I");
    }
    assert_eq!(peer.ask("UNLISTEN *").await, ["C UNLISTEN"]);
}

#[tokio::test]
async fn a_large_answer_comes_whole() {
    let world = world();
    let mut peer = world.peer().await;
    let answers = peer.query("SELECT * FROM series(30000)").await;
    assert_eq!(answers.len(), 30_003);
    assert_eq!(answers[30_000], "D 30000");
}
