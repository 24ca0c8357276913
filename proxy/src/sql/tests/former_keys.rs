//! Keys that change without being named in SET: those that the store computes, and those that a trigger assigns.

use std::sync::Arc;

use crossfade_store::{Column, FkAction, ForeignKey, Mapping};

use super::rewrite::rewrite_for;
use crate::sql::{
    Analyzer, Kind, Target,
    testing::{ITEMS, ORDERS, SALES, mapping},
};

/// `orders.id` is computed from `total` in the old store, and what `sale_id` is computed from in the new store is not known.
fn computed() -> Mapping {
    let mut mapping = mapping();
    let computed = |column: &mut Column, expression: Option<&str>| {
        column.generated = true;
        column.generated_as = expression.map(Into::into);
    };
    let twice = Some("(total * (2)::numeric)");
    let orders = &mut mapping.tables[ORDERS.0];
    computed(&mut orders.columns[0].old, twice);
    computed(&mut orders.old.columns[0], twice);
    let sales = &mut mapping.tables[SALES.0];
    computed(&mut sales.columns[0].new, None);
    computed(&mut sales.new.columns[0], None);
    mapping
}

fn kind(text: &str) -> Kind {
    let mut analyzer = Analyzer::new(Arc::new(computed()), 64);
    let path = analyzer.path(&["public".into()]);
    let facts = analyzer.facts(text.as_bytes(), true, path);
    facts.statements[0].kind.clone()
}

#[test]
fn trap_09_a_computed_key_is_set_with_what_it_is_computed_from() {
    let sets_key = |text: &str| match kind(text) {
        Kind::Update(facts) => facts.sets_key,
        Kind::Insert(facts) => facts.conflict.is_some_and(|conflict| conflict.sets_key),
        Kind::Merge(facts) => facts.sets_key,
        other => panic!("{other:?}"),
    };
    for (text, expected) in [
        ("UPDATE orders SET total = 3 WHERE id = 2", true),
        ("UPDATE orders SET (state, total) = ('x', 3)", true),
        ("UPDATE orders SET state = 'total'", false),
        ("UPDATE sales SET note = 'x'", true),
        ("UPDATE items SET sku = 'x'", false),
        (
            "INSERT INTO orders (total) VALUES (1) ON CONFLICT (id) DO UPDATE SET total = 9",
            true,
        ),
        (
            "INSERT INTO orders (total) VALUES (1) ON CONFLICT (id) DO UPDATE SET state = 'x'",
            false,
        ),
        (
            "MERGE INTO orders o USING items i ON o.id = i.line WHEN MATCHED THEN UPDATE SET total = 1",
            true,
        ),
    ] {
        assert_eq!(sets_key(text), expected, "{text}");
    }
    let update = rewrite_for(
        computed(),
        "UPDATE orders SET total = 3",
        Target::OldCapture,
    );
    assert_eq!(update.unwrap().old_keys, 1);
    let insert = "INSERT INTO orders (total) VALUES (1) ON CONFLICT (id) DO UPDATE SET total = 9";
    let refusal = rewrite_for(computed(), insert, Target::OldCapture).unwrap_err();
    assert!(refusal.reason.contains("is computed from"), "{refusal}");
}

/// `items` follow `orders.state`, which is computed from `total`; `sales` follow `items.sku`, which is computed from `line`.
fn followed(version: u32) -> Mapping {
    let mut mapping = mapping();
    let acting = |child: usize, column: &str, parent: usize, points_to: &str| ForeignKey {
        name: format!("{column}_{points_to}"),
        child: mapping.tables[child].old.name.clone(),
        columns: vec![column.into()],
        parent: mapping.tables[parent].old.name.clone(),
        parent_columns: vec![points_to.into()],
        on_delete: FkAction::SetNull,
        on_update: FkAction::Cascade,
        deferrable: false,
        initially_deferred: false,
        match_full: false,
        set_columns: Vec::new(),
    };
    let (first, second) = (
        acting(ITEMS.0, "sku", ORDERS.0, "state"),
        acting(SALES.0, "code", ITEMS.0, "line"),
    );
    let tables = &mut mapping.tables;
    tables[ORDERS.0].old.columns[2].generated = true;
    tables[ORDERS.0].old.columns[2].generated_as = Some("lower(total)".into());
    tables[ITEMS.0].old.columns[1].generated = true;
    tables[ITEMS.0].old.columns[1].generated_as = Some("length(sku)".into());
    // Not of the key here.
    tables[ITEMS.0].key = vec![0];
    tables[ORDERS.0].old.referenced_by = vec![first];
    tables[ITEMS.0].old.referenced_by = vec![second];
    for table in tables {
        table.old.server.version = version;
    }
    mapping
}

#[test]
fn trap_10_foreign_keys_that_point_to_what_is_computed_are_followed() {
    let update = |text: &str| rewrite_for(followed(180_000), text, Target::OldCapture).unwrap();
    let text = |text: &str| String::from_utf8(update(text).sql).unwrap();
    let moved = text("UPDATE orders SET total = 2 WHERE id = 1");
    assert!(
        moved.contains("crossfade_below_") && moved.contains("\"old\".\"state\""),
        "{moved}"
    );
    let function = update("UPDATE orders SET total = 2").functions[0].to_string();
    assert!(
        function.contains("items") && function.contains("sales"),
        "{function}"
    );
    let gone = update("DELETE FROM orders WHERE id = 1").functions[0].to_string();
    assert!(gone.contains("sales"), "{gone}");
    let earlier = "UPDATE orders SET total = 2 WHERE id = 1";
    let refusal = rewrite_for(followed(150_000), earlier, Target::OldCapture).unwrap_err();
    assert!(refusal.reason.contains("PostgreSQL 18"), "{refusal}");
}

/// What a trigger makes of the key is told where the former one is there for nothing.
#[test]
fn trap_09_former_keys_of_rows_that_a_trigger_may_change() {
    let sent = |version, text: &str| {
        let mut mapping = mapping();
        mapping.tables[ORDERS.0].old.before_update = vec!["touch".into()];
        mapping.tables[ORDERS.0].old.server.version = version;
        let sent = rewrite_for(mapping, text, Target::OldCapture);
        let sent = sent.unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
        let sql = String::from_utf8(sent.sql).unwrap();
        assert!(pg_query::parse(&sql, 0).is_ok(), "{sql}");
        (sent.old_keys, sql)
    };
    let by_key = "UPDATE orders SET total = 1 WHERE id = $1 AND state = 'x'";
    let (keys, sql) = sent(150_000, by_key);
    assert!(keys == 1 && sql.ends_with("AS pg_catalog.text)"), "{sql}");
    let all = "UPDATE orders SET total = 1 RETURNING *";
    let (keys, sql) = sent(150_000, all);
    assert!(keys == 0 && !sql.contains("FROM"), "{sql}");
    assert_eq!(
        sent(150_000, "UPDATE orders SET total = 1 WHERE CURRENT OF c").0,
        0
    );
    let (keys, sql) = sent(180_000, all);
    assert!(
        keys == 1 && sql.ends_with("(\"old\".\"id\")::pg_catalog.text"),
        "{sql}"
    );
    assert_eq!(sent(180_000, "DELETE FROM orders").0, 0);
    for (text, former) in [
        (
            "UPDATE orders SET total = 1 RETURNING WITH (OLD AS o, NEW AS n) o.total",
            Some("(\"o\".\"id\")::pg_catalog.text"),
        ),
        ("UPDATE orders old SET total = 1", None),
        ("UPDATE orders SET total = 1 FROM other AS old", None),
        (
            "UPDATE orders SET total = 1 FROM old WHERE old.id = 1",
            None,
        ),
    ] {
        let (keys, sql) = sent(180_000, text);
        assert_eq!(keys, usize::from(former.is_some()), "{sql}");
        assert!(former.is_none_or(|former| sql.ends_with(former)), "{sql}");
    }
    // Of that name, another relation would be asked for the key.
    let (keys, sql) = sent(180_000, "UPDATE orders SET id = old.id FROM other AS old");
    assert!(
        keys == 1 && sql.contains("crossfade_old.crossfade_k0"),
        "{sql}"
    );
}
