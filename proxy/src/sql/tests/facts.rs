//! Statements and the facts of them.

use std::sync::Arc;

use crate::sql::{
    AliasKind, Analyzer, ConflictFacts, CopyFacts, DiscardTarget, Facts, InsertRows, Isolation,
    KeyValue, Kind, Problem, Role, SetAction, SetTarget, Source, TargetItem,
    testing::{ITEMS, MIXED, ORDERS, SALES, mapping},
};

fn facts(text: &str) -> Arc<Facts> {
    let mut analyzer = Analyzer::new(Arc::new(mapping()), 64);
    let path = analyzer.path(&["app".into(), "public".into()]);
    analyzer.facts(text.as_bytes(), true, path)
}

fn kind(text: &str) -> Kind {
    let facts = facts(text);
    assert!(facts.problem.is_none(), "{text}: {:?}", facts.problem);
    assert_eq!(facts.statements.len(), 1, "{text}");
    facts.statements[0].kind.clone()
}

/// `r0 w2`: the tables read and written; `view`, `other`, `catalog` where such are named.
fn uses(text: &str) -> String {
    let facts = facts(text);
    assert!(facts.problem.is_none(), "{text}: {:?}", facts.problem);
    let mut found = Vec::new();
    for statement in &facts.statements {
        let mut mapped: Vec<String> = statement
            .mapped
            .iter()
            .map(|used| {
                format!(
                    "{}{}",
                    if used.role == Role::Write { "w" } else { "r" },
                    used.table.0
                )
            })
            .collect();
        mapped.sort();
        found.extend(mapped);
        found.extend(
            statement
                .aliases
                .iter()
                .map(|alias| format!("{:?}:{}", alias.kind, alias.name)),
        );
        found.extend(statement.other_tables.then(|| "other".to_owned()));
        found.extend(statement.catalog_tables.then(|| "catalog".to_owned()));
    }
    found.join(" ")
}

#[test]
fn tables_are_found_wherever_they_are_named() {
    assert_eq!((ORDERS.0, ITEMS.0, SALES.0, MIXED.0), (0, 1, 2, 3));
    for (text, expected) in [
        ("SELECT 1", ""),
        ("SELECT * FROM orders", "r0"),
        ("SELECT * FROM Public.ORDERS", "r0"),
        ("SELECT * FROM \"orders\"", "r0"),
        ("SELECT * FROM \"Orders\"", "other"),
        ("SELECT * FROM \"Mixed Case\"", "r3"),
        ("SELECT * FROM app.orders", "other"),
        ("SELECT * FROM ONLY orders", "r0"),
        ("TABLE orders", "r0"),
        ("SELECT 'orders', $$orders$$ FROM t -- orders", "other"),
        (
            "SELECT * FROM pg_class, information_schema.tables",
            "catalog",
        ),
        (
            "SELECT * FROM orders o JOIN items USING (order_id), customers",
            "r0 r1 other",
        ),
        (
            "SELECT (SELECT max(id) FROM orders) FROM customers WHERE EXISTS (SELECT FROM items)",
            "r0 r1 other",
        ),
        ("SELECT 1 UNION ALL SELECT id FROM orders", "r0"),
        ("SELECT * FROM orders_2024", "Child:orders_2024"),
        ("SELECT * FROM order_view v", "View:order_view"),
        ("SELECT touch_orders(5)", "WritingFunction:touch_orders"),
        ("INSERT INTO orders SELECT * FROM items", "r1 w0"),
        ("INSERT INTO customers SELECT * FROM orders", "r0 other"),
        (
            "UPDATE orders SET total = (SELECT sum(line) FROM items)",
            "r1 w0",
        ),
        ("UPDATE customers SET a = 1 FROM orders", "r0 other"),
        (
            "DELETE FROM items USING orders WHERE orders.id = order_id",
            "r0 w1",
        ),
        (
            "MERGE INTO orders USING items ON true WHEN MATCHED THEN DELETE",
            "r1 w0",
        ),
        ("TRUNCATE orders, items CASCADE", "w0 w1"),
        ("COPY orders FROM STDIN", "w0"),
        ("COPY orders TO STDOUT", "r0"),
        ("COPY (SELECT * FROM orders) TO STDOUT", "r0"),
        ("LOCK TABLE orders IN EXCLUSIVE MODE", "r0"),
        ("EXPLAIN UPDATE orders SET total = 1", "w0"),
        ("PREPARE p AS DELETE FROM orders", "w0"),
        ("DECLARE c CURSOR FOR SELECT * FROM orders", "r0"),
        ("CREATE TABLE x AS SELECT * FROM orders", "r0 other"),
        ("CREATE VIEW v AS SELECT * FROM orders", "r0 other"),
        ("ALTER TABLE orders ADD c int", "w0"),
        ("ALTER TABLE orders RENAME TO o", "w0"),
        ("DROP TABLE IF EXISTS public.orders, x", "w0"),
        ("CREATE INDEX ON orders (total)", "w0"),
        ("CREATE TABLE c (o int REFERENCES orders)", "r0 other"),
        (
            "CREATE TRIGGER t AFTER INSERT ON orders EXECUTE FUNCTION f()",
            "w0",
        ),
        ("COMMENT ON COLUMN orders.id IS 'x'", "w0"),
        ("VACUUM orders", "r0"),
        ("SELECT * FROM customers FOR UPDATE OF orders", "other"),
    ] {
        assert_eq!(uses(text), expected, "{text}");
    }
}

#[test]
fn a_cte_hides_a_table_where_it_is_seen() {
    for (text, expected) in [
        ("WITH orders AS (SELECT 1) SELECT * FROM orders", ""),
        (
            "WITH orders AS (SELECT * FROM orders) SELECT * FROM orders",
            "r0",
        ),
        (
            "WITH RECURSIVE orders AS (SELECT 1 UNION SELECT * FROM orders) SELECT * FROM orders",
            "",
        ),
        (
            "WITH orders AS (SELECT 1) SELECT * FROM public.orders",
            "r0",
        ),
        (
            "WITH orders AS (SELECT 1) INSERT INTO orders SELECT * FROM orders",
            "w0",
        ),
        (
            "SELECT (WITH orders AS (SELECT 1) SELECT 1 FROM orders), id FROM orders",
            "r0",
        ),
        (
            "WITH a AS (SELECT * FROM orders), orders AS (SELECT 1) SELECT * FROM a, orders",
            "r0",
        ),
        (
            "WITH d AS (DELETE FROM orders RETURNING *) SELECT * FROM d",
            "w0",
        ),
    ] {
        assert_eq!(uses(text), expected, "{text}");
    }
    assert!(
        facts("WITH d AS (DELETE FROM orders RETURNING *) SELECT * FROM d").statements[0]
            .traits
            .modifying_cte
    );
}

#[test]
fn trap_32_an_unqualified_name_means_what_the_search_path_says() {
    let mut analyzer = Analyzer::new(Arc::new(mapping()), 64);
    let (with, without) = (
        analyzer.path(&["public".into()]),
        analyzer.path(&["app".into()]),
    );
    assert_eq!(analyzer.path(&["public".into()]), with);
    for (path, mapped) in [(with, true), (without, false), (with, true)] {
        let facts = analyzer.facts(b"SELECT * FROM orders", true, path);
        assert_eq!(facts.statements[0].touches_mapped(), mapped);
    }
    let facts = analyzer.facts(b"SELECT * FROM public.orders", true, without);
    assert!(facts.statements[0].touches_mapped());
}

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
            },
        ),
        (
            "SELECT 1 INTO x",
            Kind::Select(crate::sql::SelectFacts {
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
            format: "csv".into()
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

#[test]
fn what_binds_a_statement_to_one_store_or_moment() {
    let traits = |text: &str| facts(text).statements[0].traits;
    assert!(
        traits("SELECT nextval('s')").sequences && traits("SELECT pg_catalog.lastval()").sequences
    );
    assert!(traits("SELECT pg_try_advisory_xact_lock(1)").advisory);
    assert!(traits("SELECT set_config('a', 'b', false)").set_config);
    assert!(
        traits("SELECT random()").unstable
            && traits("SELECT current_timestamp").unstable
            && !traits("SELECT lower('x')").unstable
    );
    assert!(traits("SELECT * FROM orders FOR NO KEY UPDATE SKIP LOCKED").locking);
    assert!(traits("SELECT (SELECT 1)").sublink);
    assert!(traits("CREATE TEMP TABLE t (a int)").temporary);
    assert_eq!(facts("SELECT $1, $3").statements[0].params, 3);
    assert_eq!(
        facts("SELECT f(g(1), f(2))").statements[0].functions,
        ["f", "g"]
    );
    assert_eq!(
        facts("SELECT touch_orders()").statements[0].aliases[0].kind,
        AliasKind::WritingFunction
    );
}

/// The key values as the client wrote them.
fn written(text: &str, values: &[KeyValue]) -> Vec<String> {
    let analyzer = Analyzer::new(Arc::new(mapping()), 1);
    values
        .iter()
        .map(|value| {
            String::from_utf8(
                analyzer
                    .tokens_text(text.as_bytes(), true, value.tokens.clone())
                    .to_vec(),
            )
            .unwrap()
        })
        .collect()
}

#[test]
fn a_lookup_by_key_is_recognised() {
    for (text, exact, values) in [
        ("SELECT * FROM orders WHERE id = 5", true, &["5"][..]),
        (
            "select total from public.orders o where $1 = o.id",
            true,
            &["$1"],
        ),
        (
            "SELECT id FROM orders WHERE (id = $1::int) LIMIT 1",
            true,
            &["$1::int"],
        ),
        (
            "SELECT id FROM orders WHERE id = -5 AND state = 'x'",
            false,
            &["-5"],
        ),
        (
            "SELECT id FROM orders WHERE state = 'x' AND orders.id = CAST('7' AS int) ORDER BY total",
            false,
            &["CAST('7' AS int)"],
        ),
        (
            "SELECT * FROM items WHERE line = $2 AND order_id = $1",
            true,
            &["$1", "$2"],
        ),
        (
            "SELECT lower(sku) FROM items WHERE (line = 1 AND order_id = 2)",
            true,
            &["2", "1"],
        ),
        (
            "SELECT id FROM sales WHERE id = int '5'",
            true,
            &["int '5'"],
        ),
        (
            "SELECT id FROM orders WHERE id = 5 AND id = 6",
            false,
            &["5"],
        ),
    ] {
        let Kind::Select(select) = kind(text) else {
            panic!("{text}")
        };
        let lookup = select.by_key.unwrap_or_else(|| panic!("{text}"));
        assert_eq!(
            (lookup.exact, written(text, &lookup.values)),
            (
                exact,
                values.iter().map(|&value| value.to_owned()).collect()
            ),
            "{text}"
        );
    }
    let Kind::Select(select) =
        kind("SELECT *, o.id, total AS t, total + 1 FROM orders o WHERE id = 1")
    else {
        panic!()
    };
    let lookup = select.by_key.unwrap();
    assert_eq!(lookup.qualifier, "o");
    assert_eq!(
        lookup.targets,
        [
            TargetItem::Star,
            TargetItem::Column("id".into()),
            TargetItem::Column("total".into()),
            TargetItem::Expression
        ]
    );
}

#[test]
fn trap_25_anything_but_a_plain_row_is_no_lookup_by_key() {
    for text in [
        "SELECT * FROM orders",
        "SELECT count(*) FROM orders WHERE id = 1",
        "SELECT my_agg(total) FROM orders WHERE id = 1",
        "SELECT lower(state) OVER () FROM orders WHERE id = 1",
        "SELECT DISTINCT id FROM orders WHERE id = 1",
        "SELECT id FROM orders WHERE id = 1 OR total = 2",
        "SELECT id FROM orders WHERE NOT id = 1",
        "SELECT id FROM orders WHERE id > 1",
        "SELECT id FROM orders WHERE id = NULL",
        "SELECT id FROM orders WHERE id = total",
        "SELECT id FROM orders WHERE id = 1 + 1",
        "SELECT id FROM orders WHERE id = (SELECT 1)",
        "SELECT id FROM orders WHERE id = ANY($1)",
        "SELECT id FROM orders WHERE id = 1 GROUP BY id",
        "SELECT id FROM orders WHERE id = 1 OFFSET 1",
        "SELECT id FROM orders WHERE id = 1 FOR UPDATE",
        "SELECT id FROM orders, items WHERE id = 1",
        "SELECT id FROM orders WHERE id = 1 UNION SELECT 2",
        "SELECT id FROM items WHERE order_id = 1",
        "SELECT id FROM ONLY orders WHERE id = 1",
        "WITH x AS (SELECT 1) SELECT id FROM orders WHERE id = 1",
        "SELECT id FROM orders AS o (a, id) WHERE id = 1",
        "SELECT id FROM order_view WHERE id = 1",
    ] {
        let Kind::Select(select) = kind(text) else {
            panic!("{text}")
        };
        assert_eq!(select.by_key, None, "{text}");
    }
}

#[test]
fn inserts_tell_their_keys() {
    let text = "INSERT INTO items AS i (line, sku, order_id) VALUES (1, 'a', $1), (DEFAULT, 'b', f(2)) ON CONFLICT (order_id, line) DO UPDATE SET sku = 'x' RETURNING *";
    let Kind::Insert(insert) = kind(text) else {
        panic!()
    };
    assert_eq!(
        (
            insert.table,
            insert.qualifier.as_str(),
            insert.rows,
            insert.returning
        ),
        (Some(ITEMS), "i", InsertRows::Values(2), true)
    );
    let sources: Vec<Vec<Source>> = insert
        .keys
        .iter()
        .map(|key| key.iter().map(|value| value.source).collect())
        .collect();
    let token = insert.keys[0][1].tokens.start;
    assert_eq!(
        sources,
        [
            vec![
                Source::Param(1),
                Source::Literal {
                    token,
                    negative: false
                }
            ],
            vec![Source::Expression, Source::Default]
        ]
    );
    assert_eq!(written(text, &insert.keys[0]), ["$1", "1"]);
    assert_eq!(
        insert.conflict,
        Some(ConflictFacts {
            update: true,
            sets_key: false,
            columns: vec!["order_id".into(), "line".into()],
            constraint: None
        })
    );

    let Kind::Insert(insert) = kind("INSERT INTO orders VALUES (-7, 1), (8)") else {
        panic!()
    };
    assert_eq!(insert.columns, None);
    assert!(matches!(
        insert.keys[0][0].source,
        Source::Literal { negative: true, .. }
    ));
    let Kind::Insert(insert) =
        kind("INSERT INTO orders (total) VALUES (1) ON CONFLICT ON CONSTRAINT k DO NOTHING")
    else {
        panic!()
    };
    assert_eq!(insert.keys[0][0].source, Source::Default);
    assert_eq!(insert.conflict.unwrap().constraint.as_deref(), Some("k"));
    let Kind::Insert(insert) = kind("INSERT INTO orders DEFAULT VALUES") else {
        panic!()
    };
    assert_eq!((insert.rows, insert.keys.len()), (InsertRows::Defaults, 1));
    let Kind::Insert(insert) = kind("INSERT INTO orders SELECT * FROM staging") else {
        panic!()
    };
    assert_eq!((insert.rows, insert.keys.len()), (InsertRows::Select, 0));
    let Kind::Insert(insert) = kind("INSERT INTO customers VALUES (1)") else {
        panic!()
    };
    assert_eq!((insert.table, insert.keys.len()), (None, 0));
}

#[test]
fn trap_09_updates_tell_whether_they_set_the_key() {
    let update = |text: &str| match kind(text) {
        Kind::Update(update) => update,
        other => panic!("{other:?}"),
    };
    let found = update("UPDATE orders o SET total = 1, id = 2 WHERE o.id = $1");
    assert!(
        found.sets_key && found.exact && found.key.is_some() && !found.joins && !found.returning
    );
    assert_eq!(
        (found.qualifier.as_str(), found.sets.as_slice()),
        ("o", &["total".to_owned(), "id".to_owned()][..])
    );
    assert!(update("UPDATE items SET (sku, line) = (1, 2)").sets_key);
    assert!(!update("UPDATE items SET sku = 'x' WHERE line = 1").sets_key);
    assert!(
        update("UPDATE items SET sku = 'x' WHERE line = 1")
            .key
            .is_none()
    );
    assert_eq!(
        update("UPDATE orders SET total = 1 WHERE CURRENT OF c")
            .current_of
            .as_deref(),
        Some("c")
    );
    let Kind::Delete(delete) = kind(
        "DELETE FROM items i USING orders WHERE i.line = 1 AND order_id = 2 AND id = 3 RETURNING 1",
    ) else {
        panic!()
    };
    assert!(delete.joins && delete.returning && !delete.exact && delete.key.is_some());
}

#[test]
fn trap_14_several_statements_are_told_apart() {
    let text =
        "/* a */ SELECT 1; -- b\n; UPDATE orders SET state = ';' WHERE id = 1 /* c */ ; COMMIT";
    let mut analyzer = Analyzer::new(Arc::new(mapping()), 8);
    let path = analyzer.path(&["public".into()]);
    let facts = analyzer.facts(text.as_bytes(), true, path);
    let split: Vec<&str> = analyzer
        .split(text.as_bytes(), true, &facts)
        .into_iter()
        .map(|part| std::str::from_utf8(part).unwrap())
        .collect();
    assert_eq!(
        split,
        [
            "/* a */ SELECT 1",
            " UPDATE orders SET state = ';' WHERE id = 1 /* c */ ",
            " COMMIT"
        ]
    );
    assert!(matches!(facts.statements[1].kind, Kind::Update(_)));
}

#[test]
fn one_parse_serves_all_constants() {
    let mut analyzer = Analyzer::new(Arc::new(mapping()), 8);
    let path = analyzer.path(&["public".into()]);
    let one = analyzer.facts(
        b"SELECT * FROM orders WHERE id = 1 AND state = 'a'",
        true,
        path,
    );
    let two = analyzer.facts(
        b"select *  from orders\nwhere id = 4567 and state = $$b$$",
        true,
        path,
    );
    assert!(Arc::ptr_eq(&one, &two));
    let other = analyzer.facts(
        b"SELECT * FROM orders WHERE id = 1 AND state = 'a\\'",
        false,
        path,
    );
    assert!(!Arc::ptr_eq(&one, &other));
}

#[test]
fn what_the_grammar_refuses_is_a_problem_and_what_is_beyond_it_another() {
    assert!(matches!(
        facts("SELEC 1").problem,
        Some(Problem::Grammar(_))
    ));
    assert!(matches!(
        facts("SELECT 'x").problem,
        Some(Problem::Grammar(_))
    ));
    let deep = format!("SELECT {}1{}", "(1 + ".repeat(300), ")".repeat(300));
    assert!(
        matches!(facts(&deep).problem, Some(Problem::Beyond(_))),
        "{:?}",
        facts(&deep).problem
    );
    let mut analyzer = Analyzer::new(Arc::new(mapping()), 8);
    let path = analyzer.path(&[]);
    assert!(matches!(
        analyzer
            .facts(b"SELECT \"\xff\" FROM orders", true, path)
            .problem,
        Some(Problem::Beyond(_))
    ));
    assert!(
        analyzer
            .facts(b"SELECT '\xff'", true, path)
            .problem
            .is_none()
    );
    let empty = facts(" ; ");
    assert!(empty.statements.is_empty() && empty.problem.is_none());
}
