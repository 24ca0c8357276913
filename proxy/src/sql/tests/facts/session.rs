//! Statements on the session and its transaction.

use super::kind;
use crate::sql::{CopyFacts, DiscardTarget, Isolation, Kind, SelectFacts, SetAction, SetTarget};

#[test]
fn statements_on_the_transaction() {
    for (text, expected) in [
        (
            "BEGIN",
            Kind::Begin {
                isolation: None,
                read_only: None,
            },
        ),
        (
            "begin isolation level repeatable read, read only",
            Kind::Begin {
                isolation: Some(Isolation::RepeatableRead),
                read_only: Some(true),
            },
        ),
        (
            "START TRANSACTION READ WRITE",
            Kind::Begin {
                isolation: None,
                read_only: Some(false),
            },
        ),
        ("COMMIT", Kind::Commit { chain: false }),
        ("END AND CHAIN", Kind::Commit { chain: true }),
        ("ABORT", Kind::Rollback { chain: false }),
        ("ROLLBACK AND CHAIN", Kind::Rollback { chain: true }),
        ("SAVEPOINT \"A b\"", Kind::Savepoint("A b".into())),
        ("ROLLBACK TO a", Kind::RollbackTo("a".into())),
        ("RELEASE SAVEPOINT a", Kind::Release("a".into())),
        (
            "PREPARE TRANSACTION 'x'",
            Kind::PrepareTransaction("x".into()),
        ),
        ("COMMIT PREPARED 'x'", Kind::CommitPrepared("x".into())),
        ("ROLLBACK PREPARED 'x'", Kind::RollbackPrepared("x".into())),
        (
            "SET CONSTRAINTS ALL DEFERRED",
            Kind::Constraints { deferred: true },
        ),
        (
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            Kind::SetTransaction {
                isolation: Some(Isolation::Serializable),
                read_only: None,
                session: false,
                snapshot: false,
            },
        ),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            Kind::SetTransaction {
                isolation: None,
                read_only: Some(true),
                session: true,
                snapshot: false,
            },
        ),
        (
            "SET TRANSACTION SNAPSHOT '1-2'",
            Kind::SetTransaction {
                isolation: None,
                read_only: None,
                session: false,
                snapshot: true,
            },
        ),
    ] {
        assert_eq!(kind(text), expected, "{text}");
    }
}

#[test]
fn statements_on_the_session() {
    for (text, expected) in [
        ("DISCARD ALL", Kind::Discard(DiscardTarget::All)),
        ("DISCARD TEMP", Kind::Discard(DiscardTarget::Temp)),
        ("EXECUTE p(1)", Kind::Execute("p".into())),
        ("DEALLOCATE p", Kind::Deallocate(Some("p".into()))),
        ("DEALLOCATE ALL", Kind::Deallocate(None)),
        ("CLOSE ALL", Kind::Close(None)),
        ("LISTEN c", Kind::Listen("c".into())),
        ("UNLISTEN *", Kind::Unlisten(None)),
        ("NOTIFY c, 'x'", Kind::Notify("c".into())),
        ("SHOW search_path", Kind::Show("search_path".into())),
        ("LOCK orders", Kind::Lock),
        ("VALUES (1)", Kind::Values),
        ("CALL p(1)", Kind::Call("p".into())),
        (
            "DO $$ begin update ORDERS set total = 1; end $$",
            Kind::Do { names_mapped: true },
        ),
        (
            "DO $$ begin execute 'update \"Mixed Case\"'; end $$",
            Kind::Do { names_mapped: true },
        ),
        (
            "DO $$ begin null; end $$",
            Kind::Do {
                names_mapped: false,
            },
        ),
        (
            "TRUNCATE orders RESTART IDENTITY CASCADE",
            Kind::Truncate {
                restart: true,
                cascade: true,
                tables: vec![(crossfade_store::TableId(0), false)],
            },
        ),
        (
            "SELECT 1 INTO x",
            Kind::Select(SelectFacts {
                into: true,
                ..Default::default()
            }),
        ),
        (
            "EXPLAIN ANALYZE VALUES (1)",
            Kind::Explain {
                analyze: true,
                inner: Box::new(Kind::Values),
            },
        ),
        (
            "EXPLAIN (ANALYZE off) VALUES (1)",
            Kind::Explain {
                analyze: false,
                inner: Box::new(Kind::Values),
            },
        ),
        (
            "PREPARE p AS VALUES (1)",
            Kind::Prepare {
                name: "p".into(),
                inner: Box::new(Kind::Values),
            },
        ),
        (
            "DECLARE c CURSOR WITH HOLD FOR VALUES (1)",
            Kind::Declare {
                name: "c".into(),
                hold: true,
                inner: Box::new(Kind::Values),
            },
        ),
        ("ALTER TABLE orders ADD c int", Kind::Ddl("AlterTableStmt")),
        ("VACUUM", Kind::Maintenance),
    ] {
        assert_eq!(kind(text), expected, "{text}");
    }
    let Kind::Copy(copy) = kind("COPY orders (id, total) FROM STDIN WITH (FORMAT csv)") else {
        panic!()
    };
    assert_eq!(
        copy,
        CopyFacts {
            from: true,
            streamed: true,
            query: false,
            columns: vec!["id".into(), "total".into()],
            format: "csv".into(),
            filtered: false,
            defaults: false,
        }
    );
    let Kind::Copy(copy) = kind("COPY (SELECT 1) TO '/x'") else {
        panic!()
    };
    assert!(copy.query && !copy.streamed && !copy.from);
}

#[test]
fn settings_keep_their_values() {
    let to =
        |values: &[&str]| SetAction::To(values.iter().map(|&value| value.to_owned()).collect());
    for (text, name, target, action, local) in [
        (
            "SET search_path = app, 'b c', \"$user\"",
            "search_path",
            SetTarget::SearchPath,
            to(&["app", "b c", "$user"]),
            false,
        ),
        (
            "SET LOCAL search_path TO app",
            "search_path",
            SetTarget::SearchPath,
            to(&["app"]),
            true,
        ),
        (
            "SET SCHEMA 'app'",
            "search_path",
            SetTarget::SearchPath,
            to(&["app"]),
            false,
        ),
        ("SET ROLE app", "role", SetTarget::Role, to(&["app"]), false),
        (
            "SET SESSION AUTHORIZATION app",
            "session_authorization",
            SetTarget::SessionAuthorization,
            to(&["app"]),
            false,
        ),
        (
            "SET standard_conforming_strings = off",
            "standard_conforming_strings",
            SetTarget::ConformingStrings,
            to(&["off"]),
            false,
        ),
        (
            "SET NAMES 'latin1'",
            "client_encoding",
            SetTarget::ClientEncoding,
            to(&["latin1"]),
            false,
        ),
        (
            "SET work_mem = 5",
            "work_mem",
            SetTarget::Other,
            to(&["5"]),
            false,
        ),
        (
            "SET work_mem TO DEFAULT",
            "work_mem",
            SetTarget::Other,
            SetAction::Reset,
            false,
        ),
        (
            "SET my.Setting FROM CURRENT",
            "my.setting",
            SetTarget::Other,
            SetAction::FromCurrent,
            false,
        ),
        (
            "RESET ROLE",
            "role",
            SetTarget::Role,
            SetAction::Reset,
            false,
        ),
        ("RESET ALL", "all", SetTarget::All, SetAction::Reset, false),
    ] {
        let Kind::Set(set) = kind(text) else {
            panic!("{text}")
        };
        assert_eq!(
            (set.name.as_str(), set.target, &set.action, set.local),
            (name, target, &action, local),
            "{text}"
        );
    }
    assert!(
        kind("RESET ALL").changes_names()
            && kind("DISCARD ALL").changes_names()
            && !kind("SET work_mem = 5").changes_names()
    );
}
