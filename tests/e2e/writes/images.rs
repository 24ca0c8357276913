//! What the primary made of a row is what the secondary gets.

use crate::shop::Shop;

in_dual_phases!(
    defaults_sequences_and_clocks_are_not_evaluated_twice,
    async |shop: &Shop| {
        shop.run("INSERT INTO orders (customer) VALUES ('defaults')")
            .await;
        shop.run("INSERT INTO orders (customer, total, updated_at) VALUES ('clock', random() * 100, clock_timestamp())").await;
        shop.run("UPDATE orders SET token = gen_random_uuid(), updated_at = clock_timestamp() WHERE customer = 'clock'").await;
    }
);

in_dual_phases!(rows_of_one_statement, async |shop: &Shop| {
    shop.run("INSERT INTO orders (customer, total) VALUES ('a', 1), ('b', 2), ('c', DEFAULT)")
        .await;
    shop.run(
        "INSERT INTO orders (customer) SELECT 'generated ' || n FROM generate_series(1, 300) n",
    )
    .await;
    shop.run("UPDATE orders SET state = 'old' WHERE customer LIKE 'generated%'")
        .await;
    shop.run("DELETE FROM orders WHERE customer LIKE 'generated 1%'")
        .await;
});

in_dual_phases!(
    trap_06_relative_and_predicate_writes,
    async |shop: &Shop| {
        shop.run(
            "UPDATE orders SET total = total * 1.1 + 1 WHERE total > 10 AND created_at < now()",
        )
        .await;
        shop.run("UPDATE orders SET state = 'picked' WHERE id IN (SELECT id FROM orders ORDER BY random() LIMIT 7)").await;
        shop.run(
            "DELETE FROM orders WHERE id IN (SELECT id FROM orders ORDER BY total DESC LIMIT 5)",
        )
        .await;
        shop.run("UPDATE counters SET value = value + 1").await;
        shop.run("DELETE FROM items WHERE order_id % 3 = 0").await;
    }
);

in_dual_phases!(on_conflict, async |shop: &Shop| {
    for _ in 0..3 {
        shop.run(
            "INSERT INTO counters (name, value) VALUES ('hits', 1), ('counter 1', 5)
             ON CONFLICT (name) DO UPDATE SET value = counters.value + EXCLUDED.value, updated_at = clock_timestamp()",
        )
        .await;
    }
    shop.run("INSERT INTO counters (name) VALUES ('counter 2'), ('fresh') ON CONFLICT DO NOTHING")
        .await;
    shop.run(
        "INSERT INTO counters (name) VALUES ('counter 3') ON CONFLICT (name) DO UPDATE SET value = 9 WHERE false",
    )
    .await;
    shop.stores
        .new
        .becomes("SELECT value FROM counters WHERE name = 'hits'", "3")
        .await;
});

in_dual_phases!(statements_that_touch_nothing, async |shop: &Shop| {
    let client = shop.client().await;
    assert_eq!(
        client
            .execute("UPDATE orders SET total = 0 WHERE id = -1", &[])
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        client
            .execute("DELETE FROM orders WHERE false", &[])
            .await
            .unwrap(),
        0
    );
});

in_dual_phases!(names_written_in_every_way, async |shop: &Shop| {
    shop.run("INSERT INTO public.orders (customer) VALUES ('qualified')")
        .await;
    shop.run("INSERT INTO \"orders\" AS o (\"customer\") VALUES ('quoted') RETURNING o.id")
        .await;
    shop.run("insert /* orders */ into ORDERS (CUSTOMER) values ('upper case') -- done")
        .await;
    shop.run("UPDATE ONLY orders o SET total = o.total + 1 WHERE o.customer = 'quoted'")
        .await;
    shop.run("DELETE FROM orders AS gone WHERE gone.customer = 'upper case'")
        .await;
    let client = shop.client().await;
    for sql in [
        "SET search_path = pg_catalog, public",
        "UPDATE orders SET total = 3 WHERE id = 1",
    ] {
        client.batch_execute(sql).await.unwrap();
    }
});

in_dual_phases!(text_that_looks_like_sql, async |shop: &Shop| {
    let client = shop.client().await;
    let nasty = "'; DROP TABLE orders; -- \\ \" \n\t \u{1f600} $1 $$ grün";
    client
        .execute("INSERT INTO orders (customer) VALUES ($1)", &[&nasty])
        .await
        .unwrap();
    shop.run("INSERT INTO orders (customer) VALUES (E'back\\\\slash\\n'), ($q$dollar $$ quoted$q$), ('')").await;
    shop.stores
        .new
        .becomes("SELECT count(*) FROM orders WHERE customer = ''", "1")
        .await;
});

in_dual_phases!(
    tables_that_are_not_mapped_stay_in_the_old_store,
    async |shop: &Shop| {
        if shop.proxy.toggle("shop").await["effective"] != "new-primary" {
            shop.run("BEGIN; INSERT INTO unmapped VALUES (2, 'x'); UPDATE orders SET total = 1 WHERE id = 2; COMMIT").await;
            shop.stores
                .old
                .becomes("SELECT count(*) FROM unmapped", "2")
                .await;
        }
        shop.run("INSERT INTO unmapped VALUES (3, 'y')").await;
        shop.stores
            .old
            .becomes("SELECT count(*) FROM unmapped WHERE id = 3", "1")
            .await;
        shop.stores
            .new
            .becomes("SELECT count(*) FROM unmapped", "0")
            .await;
    }
);

#[tokio::test]
async fn trap_05_an_update_of_a_row_that_the_new_store_never_got() {
    let shop = Shop::in_phase("dual-write").await;
    // As if the backfill had not come this far yet.
    shop.stores
        .new
        .run("DELETE FROM orders WHERE id IN (7, 8)")
        .await;
    shop.run("UPDATE orders SET total = 777 WHERE id = 7; DELETE FROM orders WHERE id = 8")
        .await;
    shop.assert_equal().await;
    shop.assert_clean().await;
}

#[tokio::test]
async fn trap_10_what_a_trigger_of_the_primary_does_to_a_row_is_carried() {
    const SCHEMA: &str = "
        CREATE TABLE notes (id int PRIMARY KEY, body text, edits int DEFAULT 0, updated_at timestamptz);
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.body = upper(NEW.body); NEW.edits = NEW.edits + 1; NEW.updated_at = clock_timestamp(); RETURN NEW; END $$;";
    const TRIGGER: &str = "CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON notes FOR EACH ROW";
    let old = format!("{SCHEMA}{TRIGGER} EXECUTE FUNCTION touch();");
    // The new store has the trigger for later, and images do not go through it a second time.
    let others = "WHEN (current_setting('application_name') NOT LIKE 'crossfade%')";
    let later = format!("{SCHEMA}{TRIGGER} {others} EXECUTE FUNCTION touch();");
    let tables = "[toggle.shop.table.notes]\nversion = \"updated_at\"\nacknowledge = [\"touch\"]\n";
    for new in [SCHEMA, later.as_str()] {
        let seed = "INSERT INTO notes VALUES (1, 'a')";
        let shop = Shop::with("dual-write", &old, new, tables, seed, |config| config).await;
        shop.run(
            "INSERT INTO notes VALUES (2, 'b'); UPDATE notes SET body = 'changed' WHERE id = 1",
        )
        .await;
        shop.stores.assert_equal(&["notes"]).await;
        let edits = shop
            .stores
            .new
            .value("SELECT edits FROM notes WHERE id = 1")
            .await;
        assert_eq!(edits, "2");
    }
}

#[tokio::test]
async fn trap_10_cascades_that_both_stores_have() {
    const SCHEMA: &str = "
        CREATE TABLE parents (id int PRIMARY KEY, name text);
        CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE ON UPDATE CASCADE);
        CREATE TABLE guests (id int PRIMARY KEY, host int REFERENCES parents ON DELETE SET NULL);";
    const TABLES: &str =
        "[toggle.shop.table.parents]\n[toggle.shop.table.children]\n[toggle.shop.table.guests]\n";
    const SEED: &str = "INSERT INTO parents SELECT n, 'p' FROM generate_series(1, 9) n;
        INSERT INTO children SELECT n, n % 9 + 1 FROM generate_series(1, 40) n;
        INSERT INTO guests SELECT n, n % 9 + 1 FROM generate_series(1, 20) n WHERE n % 9 <> 4;";
    for phase in ["dual-write", "new-primary"] {
        let shop = Shop::of(phase, SCHEMA, TABLES, SEED).await;
        shop.run("DELETE FROM parents WHERE id < 4; DELETE FROM children WHERE id = 20")
            .await;
        shop.run("UPDATE parents SET id = 50 WHERE id = 5").await;
        shop.run(
            "BEGIN; INSERT INTO parents VALUES (60); INSERT INTO children VALUES (61, 60); COMMIT",
        )
        .await;
        shop.proxy.drained().await;
        shop.stores
            .assert_equal(&["parents", "children", "guests"])
            .await;
        let alone = shop
            .stores
            .old
            .value("SELECT count(*) FROM guests WHERE host IS NULL")
            .await;
        assert_ne!(alone, "0");
    }
}

#[tokio::test]
async fn generated_columns_are_generated_on_both_sides() {
    const SCHEMA: &str = "CREATE TABLE boxes (id int PRIMARY KEY, w int, h int, area int GENERATED ALWAYS AS (w * h) STORED);";
    let shop = Shop::of(
        "dual-write",
        SCHEMA,
        "[toggle.shop.table.boxes]\n",
        "INSERT INTO boxes VALUES (1, 2, 3)",
    )
    .await;
    shop.run("INSERT INTO boxes (id, w, h) VALUES (2, 4, 5); UPDATE boxes SET w = 10")
        .await;
    shop.stores.assert_equal(&["boxes"]).await;
}
