//! Settings.

use crate::peer::{Peer, world};

async fn show(peer: &mut Peer, name: &str) -> String {
    let answers = peer.ask(&format!("SHOW {name}")).await;
    answers[0].strip_prefix("D ").unwrap().to_owned()
}

#[tokio::test]
async fn what_the_client_is_told_at_the_start() {
    let world = world();
    let mut peer = Peer::new(world.server.connect(true));
    peer.start(&[
        ("application_name", "test"),
        ("options", "-c statement_timeout=5s"),
        ("role", "clerk"),
    ]);
    let answers = peer.go().await;
    for told in [
        "S application_name=test",
        "S TimeZone=Europe/Berlin",
        "S DateStyle=ISO, MDY",
        "S IntervalStyle=postgres",
        "S client_encoding=UTF8",
        "S server_encoding=UTF8",
        "S server_version=17.4",
        "S integer_datetimes=on",
        "S standard_conforming_strings=on",
        "S is_superuser=off",
        "S session_authorization=app",
        "S in_hot_standby=off",
        "S default_transaction_read_only=off",
    ] {
        assert!(answers.contains(&told.to_owned()), "{told} in {answers:?}");
    }
    assert!(!answers.iter().any(|line| line.contains("search_path")));
    assert_eq!(answers[0], "R 0");
    assert_eq!(show(&mut peer, "statement_timeout").await, "5s");
    assert_eq!(show(&mut peer, "role").await, "clerk");
    peer.ask("SET statement_timeout = 0; SET ROLE other").await;
    peer.ask("RESET statement_timeout; RESET ROLE").await;
    assert_eq!(show(&mut peer, "statement_timeout").await, "5s");
    assert_eq!(show(&mut peer, "role").await, "clerk");
}

#[tokio::test]
async fn changes_are_told_before_the_next_ready() {
    let world = world();
    let mut peer = world.peer().await;
    assert_eq!(
        peer.query("SET application_name = 'x'").await,
        ["C SET", "S application_name=x", "Z I"]
    );
    assert_eq!(
        peer.query("BEGIN; SET TIME ZONE 'UTC'").await,
        ["C BEGIN", "C SET", "S TimeZone=UTC", "Z T"]
    );
    assert_eq!(
        peer.query("ROLLBACK").await,
        ["C ROLLBACK", "S TimeZone=Europe/Berlin", "Z I"]
    );
    assert_eq!(peer.query("SET jit = off").await, ["C SET", "Z I"]);
}

#[tokio::test]
async fn transactions_take_settings_back() {
    let world = world();
    let mut peer = world.peer().await;
    peer.ask("BEGIN").await;
    peer.ask("SET my.tenant = '1'").await;
    peer.ask("SAVEPOINT s").await;
    peer.ask("SET my.tenant = '2'").await;
    peer.ask("SET LOCAL statement_timeout = '90000'").await;
    assert_eq!(show(&mut peer, "statement_timeout").await, "90s");
    peer.ask("ROLLBACK TO s").await;
    assert_eq!(show(&mut peer, "my.tenant").await, "1");
    peer.ask("SET LOCAL my.tenant = '3'").await;
    peer.ask("COMMIT").await;
    assert_eq!(show(&mut peer, "my.tenant").await, "1");
    assert_eq!(
        peer.ask("SET LOCAL my.tenant = '4'").await[0],
        "N WARNING | 25P01 | SET LOCAL can only be used in transaction blocks"
    );
    assert_eq!(show(&mut peer, "my.tenant").await, "1");
    // One that fails takes back what came before it in the same Query.
    peer.query("SET my.tenant = '5'; SELECT fail()").await;
    assert_eq!(show(&mut peer, "my.tenant").await, "1");
}

#[tokio::test]
async fn set_config_of_the_engine_takes_effect() {
    let world = world();
    let mut peer = world.peer().await;
    let values = [Some("my.tenant"), Some("7")];
    peer.run("SELECT set_config($1, $2, false)", &values).sync();
    peer.go().await;
    assert_eq!(show(&mut peer, "my.tenant").await, "7");
    peer.run(
        "SELECT set_config($1, $2, false)",
        &[Some("nonsense"), Some("7")],
    )
    .sync();
    let answers = peer.go().await;
    assert_eq!(
        answers[answers.len() - 2],
        "E 42704 | unrecognized configuration parameter \"nonsense\""
    );
    assert_eq!(
        peer.ask("SELECT set_config('statement_timeout', '3000', false)")
            .await[0],
        "D 3s"
    );
    assert_eq!(
        peer.ask("SELECT current_setting('Statement_Timeout')")
            .await[0],
        "D 3s"
    );
}

#[tokio::test]
async fn values_under_which_answers_would_be_wrong_are_refused() {
    let world = world();
    let mut peer = world.peer().await;
    for (sql, told) in [
        ("SET client_encoding = 'latin1'", "E 0A000"),
        ("SET DateStyle = 'German'", "E 0A000"),
        ("SET standard_conforming_strings = off", "E 0A000"),
        ("SET IntervalStyle = 'iso_8601'", "E 0A000"),
        ("SET server_version = '1'", "E 55P02"),
        ("SET nonsense = 1", "E 42704"),
        ("SHOW nonsense", "E 42704"),
        ("SET jit = maybe", "E 22023"),
    ] {
        let answers = peer.query(sql).await;
        assert!(answers[0].starts_with(told), "{sql}: {answers:?}");
    }
    assert_eq!(peer.ask("SET NAMES 'utf-8'").await, ["C SET"]);
}

#[tokio::test]
async fn show_all_and_discard_all() {
    let world = world();
    let mut peer = world.peer().await;
    peer.parse("s", "SELECT 1", &[]).sync();
    peer.go().await;
    peer.ask("SET work_mem = '8MB'").await;
    let all = peer.ask("SHOW ALL").await;
    assert!(all.contains(&"D work_mem,8MB,".to_owned()));
    assert_eq!(peer.ask("DISCARD ALL").await, ["C DISCARD ALL"]);
    assert_eq!(show(&mut peer, "work_mem").await, "4MB");
    peer.bind("", "s", &[]).sync();
    assert!(peer.go().await[0].starts_with("E 26000"));
    assert_eq!(
        peer.query("BEGIN; DISCARD ALL").await[1],
        "E 25001 | DISCARD ALL cannot run inside a transaction block"
    );
}
