//! Tables, functions, and texts of several statements.

use std::sync::Arc;

use super::facts;
use crate::sql::{
    AliasKind, Analyzer, Kind, Problem, Role,
    testing::{ITEMS, MIXED, ORDERS, SALES, mapping},
};

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
        ("DROP TABLE IF EXISTS public.orders, x", "w0 other"),
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
