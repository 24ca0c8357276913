//! Statements put together at random do the same on the old tables as their rewriting on the new ones.

mod cases;
mod scratch;

use std::cell::Cell;

use cases::config;
use crossfade_proxy::sql::Target;
use proptest::{prelude::*, test_runner::TestRunner};
use scratch::shop::{outcome, rewrite, server};

type Words = &'static [&'static str];

/// Expressions over `sales` by themselves, qualified by the name that the statement gives to it.
const NUMBERS: Words = &[
    "{s}id",
    "{s}total",
    "{s}state",
    "{s}id + 1",
    "{s}total * 2",
    "5",
    "-3",
    "1.5",
    "(SELECT max(line) FROM items)",
    "(SELECT sum(x.total) FROM sales x)",
    "coalesce({s}total, 0)",
    "CASE WHEN {s}state = 1 THEN {s}id ELSE 0 END",
    "(SELECT count(*) FROM items i WHERE i.order_id = {s}id)",
    "length({s}code)",
];
const TEXTS: Words = &[
    "{s}code",
    "{s}label",
    "'c4'",
    "upper({s}code)",
    "{s}label || '!'",
    "{s}ref::text",
    "{s}code COLLATE \"C\"",
    "(SELECT min(sku) FROM items WHERE line = {s}state)",
    "'00000000-0000-0000-0000-000000000003'",
];
const TESTS: Words = &[
    "{s}id = 4",
    "{s}id = '7'",
    "{s}total > 7",
    "{s}state IN (1, 2)",
    "{s}label IS NULL",
    "{s}label LIKE '%1%'",
    "{s}code IS DISTINCT FROM 'c2'",
    "{s}at < now()",
    "EXISTS (SELECT FROM items WHERE order_id = {s}id AND sku = {s}code)",
    "{s}id IN (SELECT order_id FROM items WHERE line > 2)",
    "NOT {s}state = 3",
    "{s}id BETWEEN 2 AND 9",
    "{s}code = ANY (ARRAY['c1', 'c5'])",
    "{s}ref = '00000000-0000-0000-0000-000000000006'",
    "{s}id = 5 AND {s}state = 1",
    "({s}id, {s}state) = (6, 2)",
    "{s}code IN (SELECT b FROM staging)",
    "{s}id IN (WITH q AS (SELECT id AS k FROM sales WHERE total > 9) SELECT k FROM q)",
    "true",
];
const SETTERS: Words = &[
    "total = {n}",
    "label = left({t}, 15)",
    "state = 7",
    "code = {s}code || 'x'",
    "(total, label) = ({n}, 'y')",
    "at = '2022-02-02 00:00Z'",
    "state = DEFAULT",
    "label = NULL",
    "ref = '00000000-0000-0000-0000-0000000000ab'",
    "total = {s}total + 1, state = {s}state + 1",
    "(state, label) = ROW (3, DEFAULT)",
];

fn pick(from: Words) -> impl Strategy<Value = &'static str> {
    prop::sample::select(from.to_vec())
}

/// Fills in `{n}`, `{t}` and the qualifier.
fn filled(pattern: &str, number: &str, text: &str, qualifier: &str) -> String {
    pattern
        .replace("{n}", number)
        .replace("{t}", text)
        .replace("{s}", qualifier)
}

/// A table reference and the qualifier of its columns.
fn name() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(vec![
        ("sales", ""),
        ("sales", "sales."),
        ("public.sales", "public.sales."),
        ("sales AS s", "s."),
        ("public.sales s", "s."),
        ("sales s", ""),
    ])
}

fn parts() -> impl Strategy<Value = (&'static str, &'static str, &'static str, &'static str)> {
    (pick(NUMBERS), pick(TEXTS), pick(TESTS), pick(TESTS))
}

fn select() -> impl Strategy<Value = String> {
    const SHAPES: Words = &[
        "SELECT {n}, {t} FROM {r} WHERE {1} AND {2}",
        "SELECT * FROM {r} WHERE {1} OR {2}",
        "SELECT {n} AS a, {t} AS b, {s}id FROM {r} WHERE {1} ORDER BY 3 LIMIT 4",
        "SELECT {s}id, {s}code, {n}, count(*) FROM {r} WHERE {1} GROUP BY {s}id",
        "SELECT {s}state, count(*), sum({s}total), min({t}) FROM {r} WHERE {1} GROUP BY {s}state HAVING count(*) > 1",
        "SELECT DISTINCT {t} FROM {r} WHERE {1}",
        "SELECT {n}, i.sku FROM {r} JOIN items i ON i.order_id = {s}id WHERE {1}",
        "SELECT {t} FROM {r} LEFT JOIN staging g ON g.b = {s}code AND {1} WHERE {2}",
        "SELECT {s}id FROM {r} WHERE {1} UNION ALL SELECT order_id FROM items WHERE line = 1",
        "WITH c AS (SELECT {n} AS n, {t} AS t FROM {r} WHERE {1}) SELECT * FROM c",
        "SELECT {n}, {t} FROM {r} WHERE {1} FOR UPDATE",
        "SELECT sum({n}) OVER (ORDER BY {s}id), {s}id FROM {r} WHERE {1}",
    ];
    (pick(SHAPES), parts(), name()).prop_map(fill)
}

/// A shape with what it is filled with: two values, two conditions, a table with its qualifier.
type Filling<'a> = (
    &'a str,
    (&'a str, &'a str, &'a str, &'a str),
    (&'a str, &'a str),
);

fn fill((shape, (number, text, one, two), (table, qualifier)): Filling<'_>) -> String {
    let shape = shape
        .replace("{1}", one)
        .replace("{2}", two)
        .replace("{r}", table);
    filled(&shape, number, text, qualifier)
}

fn write() -> impl Strategy<Value = String> {
    const SHAPES: Words = &[
        "UPDATE {r} SET {set} WHERE {1}",
        "UPDATE {r} SET {set} WHERE {1} AND {2} RETURNING *",
        "UPDATE {r} SET {set} WHERE {1} RETURNING {n}, {t}, {s}total AS was",
        "UPDATE {r} SET {set} FROM items i WHERE i.order_id = {s}id AND i.line = 1 AND {1} RETURNING i.sku, {n}",
        "DELETE FROM {r} WHERE {1}",
        "DELETE FROM {r} WHERE {1} OR {2} RETURNING *",
        "DELETE FROM {r} USING items i WHERE i.sku = {s}code AND {1} RETURNING {t}, i.line",
        "WITH c AS (SELECT a, b FROM staging) DELETE FROM {r} WHERE {s}code IN (SELECT b FROM c) OR {1} RETURNING {n}",
        "WITH w AS (DELETE FROM {r} WHERE {1} RETURNING *) SELECT count(*), sum(total), min(label) FROM w",
        "WITH w AS (UPDATE {r} SET {set} WHERE {1} RETURNING {n} AS n, {s}code) INSERT INTO items SELECT 900 + row_number() OVER (ORDER BY code), 1, code FROM w RETURNING *",
        "WITH w AS (DELETE FROM items i WHERE i.line = 2 RETURNING i.*) UPDATE {r} SET {set} FROM w WHERE w.order_id = {s}id AND {1} RETURNING w.sku, {n}",
        "WITH w (k) AS (UPDATE {r} SET {set} WHERE {1} RETURNING {t}), v AS (DELETE FROM items WHERE line = 3) SELECT k FROM w ORDER BY k",
    ];
    let existing = (pick(SHAPES), pick(SETTERS), parts(), name())
        .prop_map(|(shape, set, parts, name)| fill((&shape.replace("{set}", set), parts, name)));
    const INSERTS: Words = &[
        "INSERT INTO sales (code, total, label) VALUES ('n1', 1.25, 'a'), ('c3', DEFAULT, 'b')",
        "INSERT INTO sales AS s (id, code, state) VALUES (4, 'n', 2), (77, 'm', 3)",
        "INSERT INTO sales VALUES (3, 'n', 7), (50, 'c9', 8)",
        "INSERT INTO sales (id, code, total) SELECT a, b, c FROM staging WHERE a > 10",
        "INSERT INTO sales (id, code, label) SELECT x.id + 100, x.code || 'z', x.label FROM sales x WHERE x.state = 1",
        "INSERT INTO sales (code) VALUES ('fresh')",
        "INSERT INTO sales (id, code, ref) VALUES (5, 'c5', '00000000-0000-0000-0000-0000000000cd')",
    ];
    const CONFLICTS: Words = &[
        "",
        " ON CONFLICT DO NOTHING",
        " ON CONFLICT (id) DO NOTHING",
        " ON CONFLICT (code) DO UPDATE SET total = excluded.total, label = excluded.label",
        " ON CONFLICT (id) DO UPDATE SET code = excluded.code || 'u', state = DEFAULT",
        " ON CONFLICT ON CONSTRAINT sales_code_key DO UPDATE SET label = excluded.code WHERE excluded.total > 1",
    ];
    const RETURNS: Words = &[
        "",
        " RETURNING *",
        " RETURNING id, total, label AS l",
        " RETURNING id::text, upper(code), state + 1, at",
    ];
    let insert = (pick(INSERTS), pick(CONFLICTS), pick(RETURNS))
        .prop_map(|(insert, conflict, returns)| format!("{insert}{conflict}{returns}"));
    prop_oneof![3 => existing, 1 => insert]
}

/// Lines in no particular order: neither store promises one.
fn unordered(output: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = output.lines().collect();
    lines.sort_unstable();
    lines
}

/// Statements tried; the variable `CROSSFADE_RANDOM_STATEMENTS` sets another number.
const STATEMENTS: u32 = 100;

#[test]
fn trap_06_what_a_statement_does_is_the_same_in_both_stores() {
    let server = server();
    let cases = config(STATEMENTS).cases;
    let answered = Cell::new(0);
    let outcome =
        TestRunner::new(config(STATEMENTS)).run(&prop_oneof![select(), write()], |text| {
            // A refusal is not wrong, and what is refused is tested by name.
            let Ok(rewritten) = rewrite(&text, Target::New) else {
                return Ok(());
            };
            let rewritten = String::from_utf8_lossy(&rewritten.sql).into_owned();
            let (old, new) = (
                outcome(&server, &text, 0, true),
                outcome(&server, &rewritten, 1, true),
            );
            answered.set(answered.get() + u32::from(!old.contains("ERROR")));
            prop_assert_eq!(unordered(&old), unordered(&new), "{}\n{}", text, rewritten);
            Ok(())
        });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    assert!(
        answered.get() > cases / 2,
        "only {} of {cases} statements were answered at all",
        answered.get()
    );
}

/// What a statement leaves behind.
fn left(output: &str) -> Option<&str> {
    output
        .split_once("\n-- left behind\n")
        .map(|(_, state)| state)
}

#[test]
fn trap_10_what_is_captured_changes_the_same_rows() {
    let server = server();
    let captured = Cell::new(0);
    let outcome = TestRunner::new(config(STATEMENTS)).run(&write(), |text| {
        let plain = match rewrite(&text, Target::New) {
            Ok(rewritten) => String::from_utf8_lossy(&rewritten.sql).into_owned(),
            Err(_) => return Ok(()),
        };
        for (plain, target, side) in [
            (&text, Target::OldCapture, 0),
            (&plain, Target::NewCapture, 1),
        ] {
            let Ok(rewritten) = rewrite(&text, target) else {
                continue;
            };
            let rewritten = String::from_utf8_lossy(&rewritten.sql).into_owned();
            let (expected, seen) = (
                outcome(&server, plain, side, false),
                outcome(&server, &rewritten, side, false),
            );
            captured.set(captured.get() + u32::from(!expected.contains("ERROR")));
            prop_assert_eq!(
                left(&expected),
                left(&seen),
                "{}\n{}\n{}",
                text,
                rewritten,
                seen
            );
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    assert!(
        captured.get() > config(STATEMENTS).cases / 2,
        "hardly any was captured"
    );
}
