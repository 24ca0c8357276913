//! Keys of rows that are read and written.

use std::sync::Arc;

use super::kind;
use crate::sql::{
    Analyzer, ConflictFacts, InsertRows, KeyValue, Kind, Source, TargetItem,
    testing::{ITEMS, mapping},
};

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
            sets: vec!["sku".into()],
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
