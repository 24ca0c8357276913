//! A client sees what the primary alone would have answered: nothing of what Crossfade asked for besides.

use crate::shop::Shop;
use crossfade_tests::wire::{
    Frame,
    messages::{bind, bind_formats, describe_portal, describe_statement, execute, parse, sync},
    transcript,
};

/// Frames without what differs between two servers: the OIDs of tables in row descriptions.
fn comparable(frames: Vec<Frame>) -> Vec<String> {
    let shown = |frame: Frame| match frame.tag {
        b'T' => format!(
            "T of {} columns",
            u16::from_be_bytes([frame.body[0], frame.body[1]])
        ),
        _ => format!("{:?}", frame.comparable()),
    };
    frames.into_iter().map(shown).collect()
}

/// Runs statements in a transaction that is rolled back, directly and through the proxy, and compares the answers.
pub(super) async fn same(shop: &Shop, statements: &[&str]) {
    let mut direct = shop.stores.old.direct().wire().await;
    let mut through = shop.proxy.wire(&shop.stores.old).await;
    for sql in statements {
        let mut seen = Vec::new();
        for wire in [&mut direct, &mut through] {
            wire.query("BEGIN").await;
            let mut frames = wire.query(sql).await;
            let extended = [
                parse("", sql, &[]),
                describe_statement(""),
                bind("", "", &[]),
                describe_portal(""),
                execute("", 0),
                sync(),
            ];
            frames.extend(wire.ask(&extended).await);
            wire.query("ROLLBACK").await;
            seen.push(comparable(frames));
        }
        assert_eq!(seen[1], seen[0], "{sql}");
    }
}

in_dual_phases!(tags_rows_and_descriptions, async |shop: &Shop| {
    same(
        shop,
        &[
            "INSERT INTO counters (name, updated_at) VALUES ('x', 'epoch')",
            "INSERT INTO counters (name, updated_at) VALUES ('x', 'epoch'), ('y', 'epoch') RETURNING name",
            "INSERT INTO counters VALUES ('x', 1, 'epoch') RETURNING *",
            "INSERT INTO counters VALUES ('x', 1, 'epoch') RETURNING value + 1 AS more, upper(name), 'constant'",
            "UPDATE counters SET value = 5 WHERE name < 'counter 5'",
            "UPDATE counters SET value = 5, updated_at = 'epoch' WHERE name = 'counter 5' RETURNING *",
            "UPDATE counters c SET value = 6 WHERE c.name = 'counter 5' RETURNING c.value, c.name AS \"name\", c.name",
            "DELETE FROM counters WHERE name = 'counter 1'",
            "DELETE FROM items WHERE order_id < 3 RETURNING order_id, line, product",
            "DELETE FROM items WHERE false RETURNING *",
            "UPDATE counters SET value = value WHERE false",
        ],
    )
    .await;
    shop.run("UPDATE counters SET value = 1").await;
});

in_dual_phases!(errors_are_the_primarys_own, async |shop: &Shop| {
    let mut through = shop.proxy.wire(&shop.stores.old).await;
    for (sql, state) in [
        ("INSERT INTO counters (name) VALUES ('counter 1')", "23505"),
        ("INSERT INTO orders (customer) VALUES (NULL)", "23502"),
        ("INSERT INTO orders (custmer) VALUES ('x')", "42703"),
        ("UPDATE orders SET total = 1/0 WHERE id = 1", "22012"),
        ("UPDATE orders SET total = 'many' WHERE id = 1", "22P02"),
        ("DELETE FROM orders WHERE nothing = 1", "42703"),
    ] {
        let frames = through.query(sql).await;
        let error = frames
            .iter()
            .find(|frame| frame.tag == b'E')
            .unwrap_or_else(|| panic!("{sql}: {frames:?}"));
        assert_eq!(
            error.field(b'C').as_deref(),
            Some(state),
            "{sql}: {error:?}"
        );
    }
    let taken = through
        .query("INSERT INTO counters (name) VALUES ('counter 1')")
        .await;
    assert_eq!(taken[0].field(b'n').as_deref(), Some("counters_pkey"));
    // The position points into the client's own text.
    let wrong = through.query("UPDATE orders SET total = nowhere").await;
    assert_eq!(wrong[0].field(b'P').as_deref(), Some("27"));
});

in_dual_phases!(
    row_limits_and_binary_results_of_returning,
    async |shop: &Shop| {
        let mut direct = shop.stores.old.direct().wire().await;
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        let sql = "UPDATE counters SET value = value + 1 RETURNING value, name";
        let messages = [
            parse("", sql, &[]),
            bind_formats("cut", "", &[], &[], &[1, 0]),
            execute("cut", 4),
            execute("cut", 4),
            execute("cut", 0),
            sync(),
        ];
        direct.query("BEGIN").await;
        let expected = direct.ask(&messages).await;
        direct.query("ROLLBACK").await;
        wire.query("BEGIN").await;
        let frames = wire.ask(&messages).await;
        assert_eq!(transcript(&frames), transcript(&expected));
        assert_eq!(
            &frames[2].body[..14],
            [0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1]
        );
        wire.query("COMMIT").await;
    }
);

in_dual_phases!(trap_13_row_counts_are_the_primarys, async |shop: &Shop| {
    let client = shop.client().await;
    // A row that the secondary already has in its new form still counts as changed.
    assert_eq!(
        client
            .execute("UPDATE counters SET value = value", &[])
            .await
            .unwrap(),
        10
    );
    assert_eq!(
        client
            .execute("DELETE FROM counters WHERE name = 'counter 1'", &[])
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        client
            .execute("DELETE FROM counters WHERE name = 'counter 1'", &[])
            .await
            .unwrap(),
        0
    );
});
