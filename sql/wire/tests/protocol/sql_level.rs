//! PREPARE, EXECUTE and cursors by SQL.

use crate::peer::world;

#[tokio::test]
async fn prepare_execute_and_deallocate() {
    let world = world();
    let mut peer = world.peer().await;
    assert_eq!(peer.ask("PREPARE p(int) AS SELECT $1").await, ["C PREPARE"]);
    assert_eq!(
        peer.query("EXECUTE p('5')").await,
        ["T ?column?:23:0", "D 5", "C SELECT 1", "Z I"]
    );
    assert_eq!(peer.ask("EXECUTE p(3 + 4)").await[0], "D 7");
    assert_eq!(peer.ask("EXECUTE p(NULL)").await[0], "D NULL");
    assert_eq!(
        peer.query("EXECUTE p").await[0],
        "E 42601 | wrong number of parameters for prepared statement \"p\" | D=Expected 1 parameters but got 0."
    );
    assert_eq!(
        peer.query("EXECUTE p('x')").await[0],
        "E 22P02 | invalid input syntax for type integer: \"x\""
    );
    peer.parse("", "EXECUTE p('1')", &[])
        .describe(b'S', "")
        .sync();
    assert_eq!(peer.go().await, ["1", "t ", "T ?column?:23:0", "Z I"]);
    assert_eq!(
        peer.query("PREPARE p AS SELECT 1").await[0],
        "E 42P05 | prepared statement \"p\" already exists"
    );
    assert_eq!(peer.ask("DEALLOCATE p").await, ["C DEALLOCATE"]);
    assert_eq!(
        peer.query("EXECUTE p('1')").await[0],
        "E 26000 | prepared statement \"p\" does not exist"
    );
    assert_eq!(peer.ask("DEALLOCATE ALL").await, ["C DEALLOCATE ALL"]);
}

#[tokio::test]
async fn cursors_live_within_their_block() {
    let world = world();
    let mut peer = world.peer().await;
    assert_eq!(
        peer.query("DECLARE c CURSOR FOR SELECT * FROM series(4)")
            .await[0],
        "E 25P01 | DECLARE CURSOR can only be used in transaction blocks"
    );
    peer.ask("BEGIN").await;
    assert_eq!(
        peer.ask("DECLARE c CURSOR FOR SELECT * FROM series(4)")
            .await,
        ["C DECLARE CURSOR"]
    );
    assert_eq!(
        peer.query("FETCH 2 FROM c").await,
        ["T n:23:0", "D 1", "D 2", "C FETCH 2", "Z T"]
    );
    assert_eq!(peer.ask("MOVE NEXT IN c").await, ["C MOVE 1"]);
    assert_eq!(peer.ask("FETCH ALL FROM c").await, ["D 4", "C FETCH 1"]);
    assert_eq!(peer.ask("FETCH PRIOR FROM c").await, ["D 4", "C FETCH 1"]);
    assert_eq!(peer.ask("CLOSE c").await, ["C CLOSE CURSOR"]);
    assert_eq!(
        peer.query("FETCH c").await,
        ["E 34000 | cursor \"c\" does not exist", "Z E"]
    );
}

#[tokio::test]
async fn cursors_take_the_parameters_of_their_declaration() {
    let world = world();
    let mut peer = world.peer().await;
    peer.ask("INSERT INTO kv VALUES ('a', 1)").await;
    peer.ask("BEGIN").await;
    let declare = "DECLARE c CURSOR FOR SELECT v FROM kv WHERE k = $1";
    peer.parse("", declare, &[])
        .describe(b'S', "")
        .bind("", "", &[Some("a")])
        .execute("", 0)
        .sync();
    assert_eq!(
        peer.go().await,
        ["1", "t 25", "n", "2", "C DECLARE CURSOR", "Z T"]
    );
    assert_eq!(peer.ask("FETCH ALL FROM c").await, ["D 1", "C FETCH 1"]);
    assert_eq!(
        peer.query(&declare.replace(" c ", " d ")).await,
        ["E 42P02 | there is no parameter $1", "Z E"]
    );
}
