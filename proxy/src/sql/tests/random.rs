//! Statements put together at random: nothing panics, and what is rewritten is still SQL.

use std::sync::Arc;

use crossfade_phase::Side;
use proptest::prelude::*;

use crate::sql::{Analyzer, Target, testing::mapping};

const EXPRESSIONS: [&str; 34] = [
    "id",
    "sales.id",
    "s.total",
    "public.sales.code",
    "total",
    "5",
    "-5",
    "$1",
    "$2::int",
    "'x'",
    "NULL",
    "*",
    "s.*",
    "(SELECT max(total) FROM sales)",
    "upper(code)",
    "CASE WHEN id = 1 THEN total END",
    "ROW(id, total)",
    "ARRAY[id, 2]",
    "sales",
    "EXISTS (SELECT FROM items WHERE line = id)",
    "count(*) OVER (PARTITION BY code ORDER BY total)",
    "extract(year FROM at)",
    "at IS DISTINCT FROM now()",
    "(id, total) = (1, 2)",
    "label::text",
    "CAST(id AS bigint)",
    "coalesce(note, 'n')",
    "id BETWEEN 1 AND 2",
    "code IN ('a', 'b')",
    "DEFAULT",
    "x.y",
    "(s).id",
    "id = 5",
    "interval '1 day'",
];
const RELATIONS: [&str; 14] = [
    "sales",
    "public.sales s",
    "orders",
    "items AS i",
    "ONLY sales",
    "staging",
    "(SELECT id, total FROM sales) AS x",
    "sales s JOIN items USING (id)",
    "sales CROSS JOIN orders o",
    "LATERAL (SELECT 1 AS id) l",
    "generate_series(1, 2) g",
    "c",
    "order_view",
    "sales s (a, b)",
];
const TARGETS: [&str; 6] = [
    "sales",
    "public.sales AS s",
    "orders",
    "items i",
    "staging",
    "\"Mixed Case\"",
];
const COLUMNS: [&str; 8] = [
    "id", "code", "total", "note", "label", "at", "sku", "nosuch",
];

fn pick(from: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(from.to_vec()).prop_map(str::to_owned)
}

fn list(from: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(pick(from), 1..=most).prop_map(|items| items.join(", "))
}

fn clause(
    word: &'static str,
    body: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    prop::option::of(body)
        .prop_map(move |body| body.map_or_else(String::new, |body| format!(" {word} {body}")))
}

fn select() -> impl Strategy<Value = String> {
    (
        list(&EXPRESSIONS, 3),
        clause("FROM", list(&RELATIONS, 2)),
        clause("WHERE", pick(&EXPRESSIONS)),
        clause("GROUP BY", list(&EXPRESSIONS, 2)),
        clause(
            "ORDER BY",
            prop_oneof![Just("1".to_owned()), pick(&EXPRESSIONS)],
        ),
        pick(&["", " FOR UPDATE", " LIMIT 1", " -- c", " UNION SELECT 1"]),
    )
        .prop_map(|(items, from, condition, group, order, rest)| {
            format!("SELECT {items}{from}{condition}{group}{order}{rest}")
        })
}

fn assignments() -> impl Strategy<Value = String> {
    let single = (pick(&COLUMNS), pick(&EXPRESSIONS))
        .prop_map(|(column, value)| format!("{column} = {value}"));
    let several = (pick(&COLUMNS), pick(&COLUMNS), list(&EXPRESSIONS, 2))
        .prop_map(|(one, two, values)| format!("({one}, {two}) = ({values})"));
    prop::collection::vec(prop_oneof![3 => single, 1 => several], 1..3)
        .prop_map(|items| items.join(", "))
}

fn write() -> impl Strategy<Value = String> {
    let values = prop::collection::vec(list(&EXPRESSIONS, 3), 1..3)
        .prop_map(|rows| format!("VALUES ({})", rows.join("), (")));
    let conflict = prop_oneof![
        Just(String::new()),
        Just(" ON CONFLICT DO NOTHING".to_owned()),
        (pick(&COLUMNS), assignments())
            .prop_map(|(column, set)| format!(" ON CONFLICT ({column}) DO UPDATE SET {set}")),
    ];
    let insert = (
        pick(&TARGETS),
        prop::option::of(list(&COLUMNS, 3)),
        prop_oneof![values, select(), Just("DEFAULT VALUES".to_owned())],
        conflict,
        clause("RETURNING", list(&EXPRESSIONS, 2)),
    )
        .prop_map(|(target, columns, rows, conflict, returning)| {
            let columns = columns.map_or_else(String::new, |columns| format!(" ({columns})"));
            format!("INSERT INTO {target}{columns} {rows}{conflict}{returning}")
        });
    let update = (
        pick(&TARGETS),
        assignments(),
        clause("FROM", list(&RELATIONS, 2)),
        clause("WHERE", pick(&EXPRESSIONS)),
        clause("RETURNING", list(&EXPRESSIONS, 2)),
    )
        .prop_map(|(target, set, from, condition, returning)| {
            format!("UPDATE {target} SET {set}{from}{condition}{returning}")
        });
    let delete = (
        pick(&TARGETS),
        clause("USING", list(&RELATIONS, 2)),
        clause("WHERE", pick(&EXPRESSIONS)),
        clause("RETURNING", list(&EXPRESSIONS, 2)),
    )
        .prop_map(|(target, from, condition, returning)| {
            format!("DELETE FROM {target}{from}{condition}{returning}")
        });
    prop_oneof![insert, update, delete]
}

fn statement() -> impl Strategy<Value = String> {
    let plain = prop_oneof![select(), write()];
    (
        prop::option::of(prop_oneof![select(), write()]),
        plain,
        pick(&["", "; ", "; SELECT 1", " /* x */"]),
    )
        .prop_map(|(cte, statement, rest)| match cte {
            Some(cte) => format!("WITH c AS ({}) {statement}{rest}", cte.replace(" -- c", "")),
            None => format!("{statement}{rest}"),
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_rewritten_is_sql(text in statement()) {
        let mut analyzer = Analyzer::new(Arc::new(mapping()), 16);
        let path = analyzer.path(&["public".into()]);
        let facts = analyzer.facts(text.as_bytes(), true, path);
        for index in 0..facts.statements.len() {
            for target in [Target::OldCapture, Target::New, Target::NewCapture, Target::KeyRead(Side::Old), Target::KeyRead(Side::New)] {
                if let Ok(rewritten) = analyzer.rewrite(text.as_bytes(), true, &facts, index, target) {
                    let sql = String::from_utf8(rewritten.sql).unwrap();
                    prop_assert!(pg_query::parse(&sql, 0).is_ok(), "{}\n{:?}\n{}", text, target, sql);
                }
            }
        }
    }

    #[test]
    fn no_text_makes_the_analysis_panic(words in prop::collection::vec(prop_oneof![
        pick(&EXPRESSIONS), pick(&RELATIONS), pick(&COLUMNS),
        pick(&["SELECT", "FROM", "UPDATE", "SET", "WHERE", "INSERT", "INTO", "VALUES", "(", ")", ",", ";", "=", "DELETE", "WITH", "AS", "RETURNING", "'", "\"", "$$", "/*", "--", "\n"]),
    ], 0..12), conforming: bool) {
        let text = words.join(" ");
        let mut analyzer = Analyzer::new(Arc::new(mapping()), 16);
        let path = analyzer.path(&["public".into()]);
        let _ = analyzer.glance(text.as_bytes(), conforming);
        let facts = analyzer.facts(text.as_bytes(), conforming, path);
        for index in 0..facts.statements.len() {
            let _ = analyzer.rewrite(text.as_bytes(), conforming, &facts, index, Target::NewCapture);
        }
    }
}
