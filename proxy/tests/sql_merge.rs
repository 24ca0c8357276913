//! What a MERGE is sent as leaves the same rows as the MERGE, and counts as many of them.

mod cases;
mod scratch;

use std::{cell::Cell, sync::Arc};

use cases::config;
use crossfade_phase::Side;
use crossfade_proxy::sql::{Analyzer, MergeTexts, Merged, Refusal, Target};
use proptest::{prelude::*, test_runner::TestRunner};
use scratch::{
    Server,
    shop::{mapping, outcome, rewrite, server},
};

type Words = &'static [&'static str];

const SOURCES: Words = &[
    "delta AS s",
    "(SELECT * FROM delta WHERE n <> 3) AS s",
    "(VALUES (1, 5, 'a'), (2, 13, 'b'), (40, 7, NULL)) AS s (id, n, word)",
    "(SELECT g AS id, g * 2 AS n, 'g' || g AS word FROM generate_series(4, 30, 3) AS g) s",
    // Rows that match more than one, or more than one of which match one.
    "(SELECT order_id AS id, line AS n, sku AS word FROM items) AS s",
    "(SELECT order_id AS id, max(line) AS n, min(sku) AS word FROM items GROUP BY order_id) AS s",
    "(SELECT qty AS id, max(id) AS n, min(note) AS word FROM stock GROUP BY qty) AS s",
    "(delta d LEFT JOIN items i ON i.order_id = d.id AND i.line = 1) AS s",
    "seen AS s",
];
const TARGETS: Words = &["stock AS t", "public.stock t", "ONLY stock AS t"];
const JOINS: Words = &[
    "t.id = s.id",
    "t.id = s.id AND s.n > 2",
    "s.id = qty",
    "t.id = s.id OR t.code = word",
    "t.id IN (SELECT i.line + s.id FROM items i WHERE i.order_id = 1)",
    "false",
];
const MATCHED: Words = &[
    "",
    "",
    " AND s.n > qty",
    " AND t.qty % 2 = 0",
    " AND word IS NULL",
    " AND EXISTS (SELECT 1 FROM items i WHERE i.order_id = s.id)",
    " AND CASE WHEN s.n > 3 THEN t.qty > 1 ELSE false END",
    " AND 10 / t.qty > 2",
];
const CHANGES: Words = &[
    "UPDATE SET qty = t.qty + s.n",
    "UPDATE SET qty = n, note = 'x'",
    "UPDATE SET (qty, note) = (s.n, DEFAULT)",
    "UPDATE SET (qty, note) = (SELECT max(i.line), 'sub' FROM items i WHERE i.order_id = s.id)",
    "UPDATE SET note = NULL, qty = DEFAULT",
    "UPDATE SET id = t.id + 100",
    "UPDATE SET code = 'double'",
    "UPDATE SET qty = -1",
    "UPDATE SET qty = 13",
    "UPDATE SET tags[2] = s.word, note = CASE WHEN s.n > 5 THEN 'when' ELSE t.note END",
    "UPDATE SET note = (SELECT string_agg(x.code, ',' ORDER BY x.id) FROM stock x WHERE x.qty = t.qty)",
    "UPDATE SET line = DEFAULT, note = to_jsonb(t)->>'code'",
    "UPDATE SET qty = '4'",
    "DELETE",
    "DELETE",
    "DO NOTHING",
];
const ABSENT: Words = &["", "", " AND s.n < 6", " AND word IS NOT NULL AND id > 2"];
const INSERTS: Words = &[
    "INSERT (id, qty, note) VALUES (s.id, s.n, s.word)",
    "INSERT VALUES (s.id, n, NULL, word)",
    "INSERT (id, note, qty) VALUES (id + 50, DEFAULT, '2')",
    "INSERT DEFAULT VALUES",
    "INSERT (id, line) OVERRIDING SYSTEM VALUE VALUES (s.id, -s.id)",
    "INSERT (note, id, tags[1]) VALUES (upper(s.word), (SELECT max(x.id) + s.id FROM stock x), 'first')",
    "INSERT (id, code) VALUES (s.id, 'double')",
    "INSERT (id, qty) VALUES (7, DEFAULT)",
    "INSERT (qty, twice) VALUES (13, DEFAULT)",
    "DO NOTHING",
];

/// What both schemas hold for it, and what the triggers have seen.
const STATE: &str = "SELECT id, qty, code, note, tags, twice, line < 0 AS own FROM {schema}.stock ORDER BY id; SELECT op, id, count(*) FROM public.log GROUP BY op, id ORDER BY op, id;";

const BEFORE: &str = "CREATE TEMPORARY TABLE delta AS SELECT n AS id, n % 6 AS n, CASE WHEN n % 4 > 0 THEN 'word ' || n END AS word FROM generate_series(3, 18) AS n;";

fn pick(from: Words) -> impl Strategy<Value = &'static str> {
    prop::sample::select(from.to_vec())
}

fn statement() -> impl Strategy<Value = String> {
    let matched = (pick(MATCHED), pick(CHANGES))
        .prop_map(|(condition, action)| format!(" WHEN MATCHED{condition} THEN {action}"));
    let absent = (pick(ABSENT), pick(INSERTS))
        .prop_map(|(condition, action)| format!(" WHEN NOT MATCHED{condition} THEN {action}"));
    let clauses = prop::collection::vec(prop_oneof![3 => matched, 2 => absent], 1..5);
    (pick(TARGETS), pick(SOURCES), pick(JOINS), clauses)
        .prop_map(|(target, source, join, clauses)| {
            let with = if source.starts_with("seen") {
                "WITH seen AS (SELECT id, n, word FROM delta WHERE id % 2 = 0) "
            } else {
                ""
            };
            format!(
                "{with}MERGE INTO {target} USING {source} ON {join}{}",
                clauses.concat()
            )
        })
        // Of two of these in one MERGE PostgreSQL 15 crashes.
        .prop_filter("no server survives it", |text| {
            text.matches(") = (SELECT").count() < 2
        })
}

fn merge(text: &str, side: Side) -> Result<MergeTexts, Refusal> {
    let mut analyzer = Analyzer::new(Arc::new(mapping()), 64);
    let path = analyzer.path(&["public".into()]);
    let facts = analyzer.facts(text.as_bytes(), true, path);
    assert!(facts.problem.is_none(), "{text}: {:?}", facts.problem);
    analyzer.merge(text.as_bytes(), true, &facts, 0, path, side)
}

/// What became of a text.
#[derive(Debug, PartialEq)]
enum Outcome {
    Error(String),
    /// So many rows, and what is left behind.
    Rows(String, String),
}

fn run(server: &Server, text: &str, schema: &str) -> String {
    let state = STATE.replace("{schema}", schema);
    server.run(&format!(
        "\\set VERBOSITY sqlstate\n{BEFORE}BEGIN;\nSELECT setval(pg_get_serial_sequence('{schema}.stock', 'id'), 1000);\n\\echo -- answer\n{text};\n\\echo -- rows\n\\echo :ROW_COUNT\n\\echo -- left behind\n{state}\nROLLBACK;\n"
    ))
}

fn error(output: &str) -> Option<Outcome> {
    let at = output.find("ERROR:")?;
    let state = output[at..].lines().next().unwrap_or_default();
    Some(Outcome::Error(
        state.trim_start_matches("ERROR:").trim().to_owned(),
    ))
}

/// What stands before and behind a line.
fn split<'o>(output: &'o str, line: &str) -> (&'o str, &'o str) {
    output
        .split_once(line)
        .unwrap_or_else(|| panic!("no {line:?} in {output}"))
}

fn plain(server: &Server, text: &str, schema: &str) -> Outcome {
    let output = run(server, text, schema);
    error(&output).unwrap_or_else(|| {
        let (_, behind) = split(&output, "-- rows\n");
        let (rows, left) = split(behind, "-- left behind\n");
        Outcome::Rows(rows.trim().to_owned(), left.to_owned())
    })
}

/// The same of the texts in its place, as the proxy takes their answer.
fn captured(server: &Server, lock: Option<&[u8]>, write: &[u8], schema: &str) -> Outcome {
    let write = String::from_utf8_lossy(write);
    let lock = lock.map_or_else(String::new, |lock| {
        format!("{};\n", String::from_utf8_lossy(lock))
    });
    let output = run(server, &format!("{lock}\\echo -- write\n{write}"), schema);
    if let Some(error) = error(&output) {
        return error;
    }
    let (_, behind) = split(&output, "-- write\n");
    let (answer, left) = split(behind, "-- rows\n");
    let (_, left) = split(left, "-- left behind\n");
    let mut answers = answer
        .lines()
        .skip(1)
        .filter_map(|line| Merged::read(line.split('|').next()?));
    match answers.next() {
        Some(Merged::Twice) => Outcome::Error("21000".to_owned()),
        Some(Merged::Unsure) => Outcome::Error(UNSURE.to_owned()),
        Some(Merged::Done(rows) | Merged::Passed(rows, ..)) => {
            Outcome::Rows(rows.to_string(), left.to_owned())
        }
        other => panic!("{other:?}: {output}"),
    }
}

/// Where triggers leave it open whether two rows of the source wrote one row.
const UNSURE: &str = "unsure";

/// Which of two errors comes first is a question of the order of rows.
fn same(one: &Outcome, other: &Outcome) -> bool {
    match (one, other) {
        // Several rows of the source matched one row.
        (_, Outcome::Error(unsure)) if unsure == UNSURE => true,
        (Outcome::Error(one), Outcome::Error(other)) => {
            let of_rows = ["21000", "22012", "23505", "23514", "23502"];
            one == other
                || [one, other]
                    .iter()
                    .all(|state| of_rows.contains(&state.as_str()))
        }
        _ => one == other,
    }
}

/// MERGEs tried; the variable `CROSSFADE_RANDOM_STATEMENTS` sets another number.
const STATEMENTS: u32 = 40;

#[test]
fn trap_10_what_is_sent_for_a_merge_does_the_same() {
    let server = server();
    let (done, failed) = (Cell::new(0), Cell::new(0));
    let outcome = TestRunner::new(config(STATEMENTS)).run(&statement(), |text| {
        for (side, schema) in [(Side::Old, "public"), (Side::New, "shop")] {
            let texts = merge(&text, side)
                .map_err(|refusal| TestCaseError::fail(format!("{text}: {refusal}")))?;
            let original =
                String::from_utf8_lossy(texts.merge.as_deref().unwrap_or_default()).into_owned();
            let expected = plain(&server, &original, schema);
            let seen = match &expected {
                // What the server says of the MERGE itself is what the client is told.
                Outcome::Error(state) if state.starts_with("42") => return Ok(()),
                _ => captured(&server, texts.lock.as_deref(), &texts.write.sql, schema),
            };
            prop_assert!(
                same(&expected, &seen),
                "{}\n{}\n{:#?}\n{:#?}",
                original,
                String::from_utf8_lossy(&texts.write.sql),
                expected,
                seen
            );
            match expected {
                Outcome::Rows(..) => done.set(done.get() + 1),
                Outcome::Error(_) => failed.set(failed.get() + 1),
            }
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    println!("{} done, {} failed alike", done.get(), failed.get());
    assert!(done.get() > config(STATEMENTS).cases / 3 && failed.get() > 0);
}

/// A table whose columns have other names and types in the new store has no MERGE there, and what is sent does what the MERGE did on the old one.
#[test]
fn trap_06_a_merge_into_a_table_that_differs_does_the_same() {
    let server = server();
    for text in [
        "MERGE INTO sales USING (VALUES (3, 'c3', 5.555), (30, 'c30', 6)) AS v (id, code, total) ON sales.id = v.id \
         WHEN MATCHED THEN UPDATE SET total = v.total, label = 'merged' WHEN NOT MATCHED THEN INSERT (id, code, total) VALUES (v.id, v.code, v.total)",
        "MERGE INTO sales AS s USING items AS i ON i.order_id = s.id AND i.line = 2 WHEN MATCHED AND s.state = 2 THEN DELETE \
         WHEN MATCHED THEN UPDATE SET (state, label) = (i.line, DEFAULT), code = s.code || i.sku",
        "MERGE INTO public.sales s USING staging AS g ON g.b = s.code WHEN MATCHED THEN UPDATE SET code = s.code || g.a, at = '2022-02-02 00:00Z' \
         WHEN NOT MATCHED AND g.c > 12 THEN INSERT VALUES (g.a, g.b, g.c)",
        "MERGE INTO sales s USING sales AS x ON x.id = s.id + 1 WHEN MATCHED AND x.total > 6 THEN UPDATE SET ref = x.ref, label = left(s.label || x.code, 20) WHEN MATCHED THEN DO NOTHING",
        "MERGE INTO items USING (SELECT id, state FROM sales WHERE state > 0) AS s ON items.order_id = s.id AND items.line = s.state \
         WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (order_id, line, sku) VALUES (s.id, s.state, DEFAULT)",
        // Columns without a qualifier, and whole rows.
        "MERGE INTO sales USING (SELECT a AS n, b AS word FROM staging) v ON id = n WHEN MATCHED AND state > 0 THEN UPDATE SET label = word, code = to_jsonb(v) \
         WHEN NOT MATCHED THEN INSERT (id, code) VALUES (n, to_jsonb(v))",
        "MERGE INTO items USING (SELECT id, code, label FROM sales) AS s ON order_id = s.id AND line = 1 WHEN MATCHED THEN UPDATE SET sku = to_jsonb(s) \
         WHEN NOT MATCHED THEN INSERT VALUES (s.id, 7, s::text)",
        "MERGE INTO items USING sales AS s ON order_id = s.id AND line = 1 WHEN MATCHED THEN UPDATE SET sku = to_jsonb(s)",
    ] {
        if text.contains("INTO sales") {
            assert!(rewrite(text, Target::New).is_err(), "{text}");
        }
        let texts = merge(text, Side::New).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
        let write = String::from_utf8(texts.write.sql).unwrap();
        let left = |output: String| {
            let left = output.split_once("\n-- left behind\n");
            left.map(|(_, state)| state.to_owned())
        };
        let lock = String::from_utf8(texts.lock.unwrap()).unwrap();
        let expected = left(outcome(&server, text, 0, false));
        let seen = outcome(&server, &format!("{lock};\n{write}"), 1, false);
        assert_eq!(left(seen.clone()), expected, "{text}\n{write}\n{seen}");
        assert!(expected.is_some_and(|state| !state.is_empty()), "{text}");
    }
}

/// Compares one MERGE into `public` with what is sent for it; both must succeed where `succeeds`.
fn compare(server: &Server, text: &str, succeeds: bool) {
    let texts = merge(text, Side::Old).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
    let expected = plain(server, text, "public");
    let seen = captured(server, texts.lock.as_deref(), &texts.write.sql, "public");
    let write = String::from_utf8_lossy(&texts.write.sql).into_owned();
    assert_eq!(seen, expected, "{text}\n{write}");
    let done = matches!(expected, Outcome::Rows(..));
    assert_eq!(done, succeeds, "{text}: {expected:?}");
}

/// Whole rows of the source are what they are in MERGE: nothing of ours is in them.
#[test]
fn trap_10_whole_rows_of_a_merges_source_are_the_clients() {
    let server = server();
    for text in [
        "MERGE INTO stock t USING jsonb_to_recordset('[{\"id\":90,\"v\":\"a\"}]') AS s (id int, v text) ON s.id = t.id WHEN NOT MATCHED THEN INSERT (id, code) VALUES (s.id, to_jsonb(s))",
        // The table has a column of that name, which is not seen where nothing matches.
        "MERGE INTO stock t USING (SELECT 91 AS k) note ON t.id = note.k WHEN NOT MATCHED THEN INSERT (id, code) VALUES (note.k, (SELECT row_to_json(note)::text))",
        "MERGE INTO stock t USING (SELECT 2 AS k) note ON t.id = note.k WHEN MATCHED THEN UPDATE SET code = note::text",
        "MERGE INTO stock t USING staging s ON t.id = s.a WHEN MATCHED AND s::text = '(11,c11,11)' THEN UPDATE SET code = s.to_jsonb, note = s \
         WHEN NOT MATCHED AND s IS NOT NULL THEN INSERT (id, code) VALUES (s.a, s.row_to_json)",
        "MERGE INTO stock t USING (SELECT a, 2, a AS b, 3 FROM staging) s ON t.id = b WHEN NOT MATCHED THEN INSERT (id, code) VALUES (s.b, row(s.*)::text) \
         WHEN MATCHED THEN UPDATE SET code = s.*::text || (SELECT max(i.sku || to_jsonb(s)::text) FROM items i)",
        "WITH seen AS (SELECT id, n FROM delta) MERGE INTO stock t USING seen ON t.id = seen.id WHEN MATCHED AND seen IN (SELECT x FROM seen x) THEN UPDATE SET note = concat(seen) \
         WHEN NOT MATCHED THEN INSERT VALUES (seen.*)",
        "MERGE INTO stock t USING (SELECT 92 AS id, 3 AS qty) s ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id, qty) VALUES (s.*)",
        "MERGE INTO stock t USING (SELECT) s ON t.id = 3 WHEN MATCHED THEN UPDATE SET code = to_jsonb(s)",
        "MERGE INTO stock t USING (items i JOIN staging g ON g.a > i.line) AS s ON s.line = t.id WHEN MATCHED AND s.a = 11 AND order_id = 1 THEN UPDATE SET note = to_json(s)",
        // Columns with our names.
        "MERGE INTO stock t USING (SELECT 93 AS crossfade_r, 4 AS crossfade_s) s ON t.id = s.crossfade_r WHEN NOT MATCHED THEN INSERT (id, qty, code) VALUES (s.crossfade_r, s.crossfade_s, s)",
        // Functions: their rows are values or rows.
        "MERGE INTO stock t USING generate_series(94, 95) s ON t.id = s WHEN NOT MATCHED THEN INSERT (id, code) VALUES (s, to_jsonb(s))",
        "MERGE INTO stock t USING generate_series(2, 4) AS s (k) ON t.id = k WHEN MATCHED THEN UPDATE SET note = s.k",
        "MERGE INTO stock t USING unnest('{5,6}'::int[]) s ON t.id = s WHEN MATCHED AND s <> 6 THEN UPDATE SET note = s WHEN MATCHED THEN DO NOTHING",
        "MERGE INTO stock t USING unnest(ARRAY[96, 97], ARRAY['a', 'b']) AS s (k, w) ON t.id = k WHEN NOT MATCHED THEN INSERT (id, code) VALUES (k, s)",
        "MERGE INTO stock t USING unnest(ARRAY[98]) WITH ORDINALITY s (k) ON t.id = k WHEN NOT MATCHED AND s::text = '(98,1)' THEN INSERT (id, code) VALUES (k, row_to_json(s))",
        "MERGE INTO stock t USING jsonb_each('{\"a\": 7}') s ON t.id = s.value::int WHEN MATCHED THEN UPDATE SET code = to_jsonb(s), note = s.key",
        "MERGE INTO stock t USING jsonb_array_elements('[8]') s ON t.id = s.value::int WHEN MATCHED THEN UPDATE SET code = s.value",
        "MERGE INTO stock t USING own_numbers(3) s ON t.id = s.number WHEN MATCHED THEN UPDATE SET code = s.number || 'own'",
        "MERGE INTO stock t USING jsonb_array_elements('[1]') note ON t.id = 8 WHEN MATCHED THEN UPDATE SET code = to_jsonb(note)",
    ] {
        compare(&server, text, true);
    }
    // What is no column is a function of the value; what is sent does not pass for it.
    let text = "MERGE INTO stock t USING own_numbers(3) s ON t.id = s.number WHEN MATCHED THEN UPDATE SET code = s.to_jsonb";
    let texts = merge(text, Side::Old).unwrap();
    assert!(matches!(plain(&server, text, "public"), Outcome::Rows(..)));
    let seen = captured(&server, None, &texts.write.sql, "public");
    assert_eq!(seen, Outcome::Error("42703".to_owned()));
}

/// Rows that a trigger keeps as they are have not been written, so another row of the source may write them.
#[test]
fn trap_10_several_source_rows_for_a_row_that_a_trigger_keeps() {
    let server = server();
    let upsert = |rows: &str| {
        format!(
            "MERGE INTO stock t USING (VALUES {rows}) s (k, n) ON t.id = s.k WHEN MATCHED THEN UPDATE SET qty = s.n"
        )
    };
    compare(&server, &upsert("(2, 13), (2, 13)"), true);
    compare(&server, &upsert("(2, 13), (4, 5)"), true);
    compare(&server, &upsert("(2, 5), (2, 13)"), false);
    compare(&server, &upsert("(2, 5), (2, 6)"), false);
    // Whether the first row was kept or came later than the second cannot be told.
    let text = upsert("(2, 13), (2, 5)");
    assert!(matches!(plain(&server, &text, "public"), Outcome::Rows(..)));
    let write = merge(&text, Side::Old).unwrap().write.sql;
    assert_eq!(
        captured(&server, None, &write, "public"),
        Outcome::Error(UNSURE.to_owned())
    );
    // Without such a trigger it can.
    let twice = "MERGE INTO items t USING (VALUES (1, 'a'), (1, 'b')) s (k, w) ON t.order_id = s.k AND t.line = 1 WHEN MATCHED AND s.w = 'b' THEN DELETE WHEN MATCHED THEN UPDATE SET sku = s.w";
    compare(&server, twice, false);
}

#[test]
fn what_cannot_be_written_in_another_way_is_refused() {
    for (text, reason) in [
        (
            "MERGE INTO stock t USING staging s ON t.id = s.a WHEN MATCHED THEN DELETE RETURNING t.id",
            "RETURNING",
        ),
        (
            "MERGE INTO stock t USING staging s ON t.id = s.a WHEN NOT MATCHED BY SOURCE THEN DELETE",
            "BY SOURCE",
        ),
        (
            "WITH w AS (DELETE FROM staging RETURNING *) MERGE INTO stock t USING w ON t.id = w.a WHEN MATCHED THEN DELETE",
            "WITH query that writes",
        ),
        (
            "WITH w AS (DELETE FROM items RETURNING *) MERGE INTO stock t USING w ON t.id = w.line WHEN MATCHED THEN DELETE",
            "WITH query that writes",
        ),
        (
            "MERGE INTO stock t USING items JOIN docs ON true ON t.id = line WHEN MATCHED THEN DELETE",
            "join",
        ),
        (
            "MERGE INTO stock t USING generate_series(1, 3) ON t.id = generate_series WHEN MATCHED THEN DELETE",
            "alias",
        ),
        (
            "MERGE INTO stock t USING staging s ON t.id = s.a WHEN MATCHED THEN UPDATE SET note = described(s)",
            "whole row",
        ),
        (
            "MERGE INTO stock t USING own_numbers(3) s ON t.id = s WHEN MATCHED THEN DELETE",
            "whole row",
        ),
        (
            "MERGE INTO stock t USING generate_series(1, 3) AS s (k) ON t.id = k WHEN MATCHED THEN UPDATE SET note = to_jsonb(s)",
            "whole row",
        ),
        (
            "MERGE INTO stock t USING generate_series(1, 3) AS s (k) ON t.id = k WHEN MATCHED THEN UPDATE SET note = s.to_jsonb",
            "whole row",
        ),
        (
            "MERGE INTO stock t USING jsonb_array_elements('[1]') note ON true WHEN NOT MATCHED THEN INSERT (code) VALUES (to_jsonb(note))",
            "whole row",
        ),
        (
            "MERGE INTO stock t USING own_numbers(3) s ON t.id = s.number WHEN MATCHED THEN UPDATE SET note = (SELECT s.word FROM (SELECT 'x' AS word) s)",
            "another name",
        ),
        (
            "MERGE INTO stock t USING staging s ON t.id = crossfade_r WHEN MATCHED THEN DELETE",
            "crossfade_",
        ),
        (
            "MERGE INTO stock t USING staging AS crossfade_source ON t.id = a WHEN MATCHED THEN DELETE",
            "alias",
        ),
        (
            "MERGE INTO stock t USING staging s ON t.id = s.a WHEN NOT MATCHED THEN INSERT (id, qty) VALUES (DEFAULT, s.*)",
            "name the columns",
        ),
        (
            "MERGE INTO stock t USING staging s ON t.id = s.a WHEN NOT MATCHED THEN INSERT (id, pair) VALUES (s.a, (1, 'y'))",
            "cast",
        ),
        (
            "MERGE INTO stock t USING staging s ON t.id = s.a WHEN NOT MATCHED THEN INSERT (id, pair) VALUES (s.a, s)",
            "cast",
        ),
        (
            "MERGE INTO stock t USING staging ON t.id = public.staging.a WHEN MATCHED THEN DELETE",
            "schema",
        ),
        (
            "MERGE INTO stock t USING staging s ON t.id = s.a WHEN MATCHED THEN UPDATE SET note = s.ctid",
            "system column",
        ),
    ] {
        let refusal = match merge(text, Side::Old) {
            Err(refusal) => refusal.reason,
            Ok(texts) => panic!("{text}: {texts:?}"),
        };
        assert!(refusal.contains(reason), "{text}: {refusal}");
    }
}
