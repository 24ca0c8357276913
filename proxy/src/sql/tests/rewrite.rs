//! Statements and what the stores are sent in their place. `{sales}` stands for the sub-select that is the new table under its old
//! columns, `{order image}` and the like for the columns of an image.

use std::sync::Arc;

use crossfade_phase::Side;
use crossfade_store::{Mapping, TableId};

use crate::sql::{Analyzer, Refusal, Rewritten, Target, testing::mapping};

const SALES: &str = r#"(SELECT CAST("sale_id" AS integer) AS "id", "sale_code" AS "code", CAST("amount" AS numeric) AS "total", CAST(NULL AS text) AS "note", CAST("label" AS character varying(20)) AS "label", "at" AS "at" FROM "shop"."sale""#;
const STAR: &str = r#"CAST("sales"."sale_id" AS integer) AS "id", "sales"."sale_code" AS "code", CAST("sales"."amount" AS numeric) AS "total", CAST(NULL AS text) AS "note", CAST("sales"."label" AS character varying(20)) AS "label", "sales"."at" AS "at""#;
/// The column of an image by which the server makes sure of what the table's name means.
const SURE: &str = r#"CASE WHEN '"orders"'::pg_catalog.regclass OPERATOR(pg_catalog.=) '"public"."orders"'::pg_catalog.regclass OR 'crossfade_moved_names'::pg_catalog.text::pg_catalog.bool THEN ("orders"."id")::pg_catalog.text END, "#;
const ORDER: &str = r#"("orders"."id")::pg_catalog.text, ("orders"."total")::pg_catalog.text, ("orders"."state")::pg_catalog.text"#;
const SALE: &str = r#"("sales"."sale_id")::pg_catalog.text, ("sales"."sale_code")::pg_catalog.text, ("sales"."amount")::pg_catalog.text, ("sales"."label")::pg_catalog.text, pg_catalog.encode(pg_catalog.timestamptz_send("sales"."at"), 'hex')"#;

fn rewrite(text: &str, target: Target) -> Result<Rewritten, Refusal> {
    rewrite_for(mapping(), text, target)
}

pub(super) fn rewrite_for(
    mapping: Mapping,
    text: &str,
    target: Target,
) -> Result<Rewritten, Refusal> {
    let mut analyzer = Analyzer::new(Arc::new(mapping), 64);
    let path = analyzer.path(&["public".into()]);
    let facts = analyzer.facts(text.as_bytes(), true, path);
    assert!(facts.problem.is_none(), "{text}: {:?}", facts.problem);
    analyzer.rewrite(text.as_bytes(), true, &facts, 0, target)
}

/// The image of a table that is named without its schema.
fn sure() -> String {
    ORDER.replacen("(\"orders\".\"id\")::pg_catalog.text, ", SURE, 1)
}

/// Asserts each rewriting, and that PostgreSQL's grammar takes it.
fn expect(target: Target, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let rewritten = rewrite(text, target).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
        let sql = String::from_utf8(rewritten.sql).unwrap();
        assert!(pg_query::parse(&sql, 0).is_ok(), "{sql}");
        let expected = expected
            .replace("{sales open}", SALES)
            .replace("{sales}", &format!("{SALES})"))
            .replace("{star}", STAR)
            .replace("{order image}", &sure())
            .replace("{sure o image}", &sure().replace("(\"orders\".", "(\"o\"."))
            .replace("{o image}", &ORDER.replace("orders", "o"))
            .replace("{sale image}", SALE);
        let expected = if expected == "same" {
            (*text).to_owned()
        } else {
            expected
        };
        assert_eq!(sql, expected, "\n{text}");
    }
}

fn refused(target: Target, cases: &[(&str, &str)]) {
    for (text, reason) in cases {
        match rewrite(text, target) {
            Ok(rewritten) => panic!("{text}: {}", String::from_utf8_lossy(&rewritten.sql)),
            Err(refusal) => assert!(refusal.reason.contains(reason), "{text}: {refusal}"),
        }
    }
}

#[test]
fn images_come_behind_what_the_client_asked_for() {
    expect(
        Target::OldCapture,
        &[
            (
                "INSERT INTO orders (id) VALUES (1)",
                "INSERT INTO orders (id) VALUES (1) RETURNING {order image}",
            ),
            (
                "INSERT INTO public.orders AS o (id) VALUES (1) RETURNING o.id, * -- c",
                "INSERT INTO public.orders AS o (id) VALUES (1) RETURNING o.id, *, {o image} -- c",
            ),
            (
                "INSERT INTO orders SELECT * FROM staging ON CONFLICT (id) DO UPDATE SET total = 1",
                "INSERT INTO orders SELECT * FROM staging ON CONFLICT (id) DO UPDATE SET total = 1 RETURNING {order image}",
            ),
            (
                "UPDATE orders SET total = total + 1 WHERE id = 5;",
                "UPDATE orders SET total = total + 1 WHERE id = 5 RETURNING {order image}",
            ),
            (
                "DELETE FROM orders WHERE total IS DISTINCT FROM 1",
                "DELETE FROM orders WHERE total IS DISTINCT FROM 1 RETURNING {order image}",
            ),
            (
                "WITH x AS (SELECT 1 AS a) DELETE FROM orders USING x WHERE id = a",
                "WITH x AS (SELECT 1 AS a) DELETE FROM orders USING x WHERE id = a RETURNING {order image}",
            ),
            ("UPDATE customers SET a = 1", "same"),
            ("SELECT * FROM orders", "same"),
            ("EXPLAIN DELETE FROM orders", "same"),
        ],
    );
    let insert = rewrite("INSERT INTO orders (id) VALUES (1)", Target::OldCapture).unwrap();
    assert_eq!((insert.images, insert.old_keys), (3, 0));
}

#[test]
fn trap_09_an_update_of_the_key_brings_the_old_key_back() {
    expect(
        Target::OldCapture,
        &[
            (
                "UPDATE orders SET id = 6 WHERE id = $1::int AND state = 'x'",
                "UPDATE orders SET id = 6 WHERE id = $1::int AND state = 'x' RETURNING {order image}, CAST(CAST($1::int AS pg_catalog.int8) AS pg_catalog.text)",
            ),
            (
                "UPDATE orders SET id = id + 1 WHERE state = 'x' OR state = 'y' RETURNING *",
                r#"UPDATE orders SET id = id + 1 FROM (SELECT "id" AS crossfade_k0 FROM "public"."orders") AS crossfade_old WHERE crossfade_old.crossfade_k0 = "orders"."id" AND (state = 'x' OR state = 'y') RETURNING "orders".*, {order image}, (crossfade_old.crossfade_k0)::pg_catalog.text"#,
            ),
            (
                "UPDATE orders o SET id = id + 1 FROM items i, other x RETURNING *, i.sku",
                r#"UPDATE orders o SET id = id + 1 FROM items i, other x, (SELECT "id" AS crossfade_k0 FROM "public"."orders") AS crossfade_old WHERE crossfade_old.crossfade_k0 = "o"."id" RETURNING "o".*, "i".*, "x".*, i.sku, {sure o image}, (crossfade_old.crossfade_k0)::pg_catalog.text"#,
            ),
            (
                "UPDATE orders SET id = id + 1",
                r#"UPDATE orders SET id = id + 1 FROM (SELECT "id" AS crossfade_k0 FROM "public"."orders") AS crossfade_old WHERE crossfade_old.crossfade_k0 = "orders"."id" RETURNING {order image}, (crossfade_old.crossfade_k0)::pg_catalog.text"#,
            ),
        ],
    );
    let update = rewrite("UPDATE orders SET id = id + 1", Target::OldCapture).unwrap();
    assert_eq!((update.images, update.old_keys), (3, 1));
}

#[test]
fn trap_10_what_cannot_be_captured_is_refused() {
    for target in [Target::OldCapture, Target::NewCapture] {
        refused(
            target,
            &[
                (
                    "WITH d AS (DELETE FROM orders) SELECT * FROM d",
                    "does not have a RETURNING",
                ),
                (
                    "WITH d AS (DELETE FROM items USING unknown RETURNING *) SELECT 1",
                    "name them",
                ),
                (
                    "WITH d AS (DELETE FROM items USING orders JOIN items i ON true RETURNING *) SELECT 1",
                    "name them",
                ),
                (
                    "WITH d AS (UPDATE items SET sku = 'x' RETURNING old.*) SELECT 1",
                    "name them",
                ),
                (
                    "WITH d AS (UPDATE items SET sku = 'x' RETURNING (f(sku)).*) SELECT 1",
                    "name them",
                ),
                (
                    "WITH d AS (DELETE FROM items) SELECT FROM orders",
                    "before this kind of statement",
                ),
                (
                    "WITH d AS (MERGE INTO orders USING items ON true WHEN MATCHED THEN DELETE RETURNING 1) SELECT 1",
                    "cannot be captured",
                ),
                (
                    "(WITH d AS (DELETE FROM items RETURNING 1) SELECT * FROM d)",
                    "told apart",
                ),
                (
                    "MERGE INTO orders USING items ON true WHEN MATCHED THEN DELETE",
                    "MERGE",
                ),
                ("COPY orders FROM STDIN", "COPY"),
                ("TRUNCATE orders", "TRUNCATE"),
                ("ALTER TABLE orders ADD c int", "definition"),
                ("EXPLAIN ANALYZE DELETE FROM orders", "EXPLAIN"),
                ("PREPARE p AS DELETE FROM orders", "PREPARE"),
                ("DO $$ begin delete from orders; end $$", "DO"),
                ("SELECT touch_orders()", "touch_orders"),
                ("UPDATE order_view SET total = 1", "view \"order_view\""),
                ("DELETE FROM orders_2024", "orders_2024"),
                (
                    "INSERT INTO orders (id) VALUES (touch_orders())",
                    "touch_orders",
                ),
                (
                    "INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2",
                    "key",
                ),
                ("UPDATE orders SET id = 1 WHERE CURRENT OF c", "CURRENT OF"),
                ("DELETE FROM U&\"order\\0073\"", "U&"),
            ],
        );
    }
}

#[test]
fn trap_10_with_queries_that_write_give_their_images_back() {
    expect(
        Target::OldCapture,
        &[
            (
                "WITH d AS (DELETE FROM orders WHERE id = 1 RETURNING *) SELECT count(*) FROM d -- c",
                r#"WITH crossfade_w0 (i1, i2, i3, c1, c2, c3) AS (DELETE FROM orders WHERE id = 1 RETURNING {order image}, *), d AS (SELECT c1 AS "id", c2 AS "total", c3 AS "state" FROM crossfade_w0) , crossfade_main AS (SELECT count(*) FROM d) SELECT crossfade_main.*, crossfade_images.* FROM crossfade_main FULL JOIN (SELECT '0'::pg_catalog.text AS crossfade_w, i1, i2, i3 FROM crossfade_w0) AS crossfade_images ON false -- c"#,
            ),
            (
                "WITH x AS (SELECT 1), d (a) AS MATERIALIZED (UPDATE orders SET id = 2 WHERE id = 1 RETURNING state || 'x'), e AS (DELETE FROM orders) INSERT INTO archive SELECT a FROM d",
                r#"WITH x AS (SELECT 1), crossfade_w0 (i1, i2, i3, i4, c1) AS (UPDATE orders SET id = 2 WHERE id = 1 RETURNING {order image}, CAST(CAST(1 AS pg_catalog.int8) AS pg_catalog.text), state || 'x'), d (a) AS MATERIALIZED (SELECT c1 AS "?column?" FROM crossfade_w0), crossfade_w1 (i1, i2, i3) AS (DELETE FROM orders RETURNING {order image}) , crossfade_main AS (INSERT INTO archive SELECT a FROM d RETURNING 1) SELECT crossfade_main.*, crossfade_images.* FROM crossfade_main FULL JOIN (SELECT '1'::pg_catalog.text AS crossfade_w, i1, i2, i3, NULL::pg_catalog.text AS i4 FROM crossfade_w1 UNION ALL SELECT '0'::pg_catalog.text AS crossfade_w, i1, i2, i3, i4 FROM crossfade_w0) AS crossfade_images ON false"#,
            ),
        ],
    );
    let told = rewrite(
        "WITH d AS (DELETE FROM orders RETURNING id) UPDATE orders SET id = 5 WHERE id = 4 RETURNING id",
        Target::OldCapture,
    )
    .unwrap();
    assert_eq!((told.images, told.old_keys), (3, 1));
    let parts = told.parts.unwrap();
    assert_eq!((parts.filler, parts.tag), (0, "UPDATE"));
    assert_eq!(parts.written.len(), 1);
    assert!(parts.written[0].deletes);
}

#[test]
fn the_same_table_gets_the_same_text() {
    expect(
        Target::New,
        &[
            ("SELECT orders FROM ONLY orders /* c */", "same"),
            ("UPDATE orders SET total = 1 RETURNING ctid, *", "same"),
            (
                "INSERT INTO public.orders SELECT * FROM public.orders",
                "same",
            ),
        ],
    );
    expect(
        Target::NewCapture,
        &[(
            "DELETE FROM orders",
            "DELETE FROM orders RETURNING {order image}",
        )],
    );
}

#[test]
fn a_table_of_another_name_keeps_its_old_one_as_an_alias() {
    expect(
        Target::New,
        &[
            (
                "SELECT id, items.line FROM items",
                r#"SELECT id, items.line FROM "shop"."lines" AS "items""#,
            ),
            (
                "SELECT public.items.*, i.sku FROM ONLY public.items, items AS i",
                r#"SELECT items.*, i.sku FROM ONLY "shop"."lines" AS "items", "shop"."lines" AS i"#,
            ),
            (
                "INSERT INTO items VALUES (1, 2, 'x') RETURNING *",
                r#"INSERT INTO "shop"."lines" AS "items" VALUES (1, 2, 'x') RETURNING *"#,
            ),
            (
                "UPDATE items i SET sku = public.orders.state FROM orders",
                r#"UPDATE "shop"."lines" i SET sku = public.orders.state FROM orders"#,
            ),
            (
                "COPY items (sku) FROM STDIN",
                r#"COPY "shop"."lines" (sku) FROM STDIN"#,
            ),
            (
                "TRUNCATE sales, items",
                r#"TRUNCATE "shop"."sale", "shop"."lines""#,
            ),
            ("LOCK items", r#"LOCK "shop"."lines""#),
            (
                "DECLARE c CURSOR FOR SELECT * FROM items",
                r#"DECLARE c CURSOR FOR SELECT * FROM "shop"."lines" AS "items""#,
            ),
            ("WITH items AS (SELECT 1) SELECT * FROM items", "same"),
            ("TABLE items", r#"SELECT * FROM "shop"."lines" AS "items""#),
        ],
    );
}

#[test]
fn a_table_of_other_columns_is_read_through_its_old_ones() {
    expect(
        Target::New,
        &[
            ("SELECT * FROM sales", r#"SELECT * FROM {sales} AS "sales""#),
            ("SELECT * FROM sales * s", "SELECT * FROM {sales} s"),
            (
                "SELECT * FROM sales WHERE id = 5 AND note = 'x'",
                r#"SELECT * FROM {sales open} WHERE "sale_id" = (5)) AS "sales" WHERE id = 5 AND note = 'x'"#,
            ),
            (
                "SELECT public.sales.id, s.id FROM public.sales, sales s FOR UPDATE OF s",
                r#"SELECT sales.id, s.id FROM {sales} AS "sales", {sales} s FOR UPDATE OF s"#,
            ),
            (
                "SELECT row_to_json(s), count(s) FROM sales s",
                "SELECT row_to_json(s), count(s) FROM {sales} s",
            ),
            (
                "COPY sales (id, total) TO STDOUT",
                r#"COPY (SELECT "id", "total" FROM {sales} AS "sales") TO STDOUT"#,
            ),
            (
                "COPY (SELECT id FROM sales) TO STDOUT",
                r#"COPY (SELECT id FROM {sales} AS "sales") TO STDOUT"#,
            ),
            (
                "SELECT (SELECT max(total) FROM sales) FROM orders",
                r#"SELECT (SELECT max(total) FROM {sales} AS "sales") FROM orders"#,
            ),
        ],
    );
}

#[test]
fn trap_25_grouping_by_the_key_groups_by_what_it_stands_for() {
    expect(
        Target::New,
        &[
            (
                "SELECT s.id, s.total, count(*) FROM sales s JOIN orders o ON o.id = s.id GROUP BY s.id ORDER BY s.code",
                r#"SELECT s.id, s.total, count(*) FROM {sales} s JOIN orders o ON o.id = s.id GROUP BY s.id, "s"."code", "s"."total" ORDER BY s.code"#,
            ),
            (
                "SELECT id, code FROM sales GROUP BY 1 HAVING count(*) > 1",
                r#"SELECT id, code FROM {sales} AS "sales" GROUP BY 1, "sales"."code" HAVING count(*) > 1"#,
            ),
            (
                "SELECT code, count(*) FROM sales GROUP BY code",
                r#"SELECT code, count(*) FROM {sales} AS "sales" GROUP BY code"#,
            ),
        ],
    );
}

#[test]
fn a_lookup_by_key_brings_its_version() {
    let at = "pg_catalog.encode(pg_catalog.timestamptz_send(\"s\".\"at\"), 'hex')";
    expect(
        Target::KeyRead(Side::Old),
        &[(
            "SELECT total FROM sales s WHERE id = $1",
            &format!("SELECT total, {at} FROM sales s WHERE id = $1"),
        )],
    );
    let guard = "CASE WHEN ($1) <= CAST(2147483647 AS integer) AND ($1) >= -CAST(2147483647 AS integer) - CAST(1 AS integer) THEN CAST($1 AS integer) END";
    expect(
        Target::KeyRead(Side::New),
        &[(
            "SELECT total FROM sales s WHERE id = $1",
            &format!(
                "SELECT total, {at} FROM {{sales open}} WHERE \"sale_id\" = {guard}) s WHERE id = $1"
            ),
        )],
    );
    // No version: nothing to compare.
    expect(
        Target::KeyRead(Side::Old),
        &[(
            "SELECT sku FROM items WHERE order_id = 1 AND line = 2",
            "same",
        )],
    );
    refused(
        Target::KeyRead(Side::Old),
        &[("SELECT count(*) FROM orders", "key")],
    );
}

#[test]
fn rows_are_inserted_under_their_new_columns() {
    expect(
        Target::NewCapture,
        &[
            (
                "INSERT INTO sales (id, total, label) VALUES ($1, 1.5, 'x'), (DEFAULT, (SELECT 1), DEFAULT) RETURNING id, total::text, *",
                r#"INSERT INTO "shop"."sale" AS "sales" ("sale_id", "amount", "label") VALUES (CAST(CAST($1 AS integer) AS bigint), CAST(CAST(1.5 AS numeric) AS numeric(12,2)), pg_catalog."varchar"(CAST('x' AS pg_catalog.varchar), 24, false)), (DEFAULT, CAST(CAST((SELECT 1) AS numeric) AS numeric(12,2)), DEFAULT) RETURNING CAST("sales"."sale_id" AS integer) AS "id", CAST("sales"."amount" AS numeric)::text AS "total", {star}, {sale image}"#,
            ),
            (
                "INSERT INTO sales DEFAULT VALUES",
                r#"INSERT INTO "shop"."sale" AS "sales" DEFAULT VALUES RETURNING {sale image}"#,
            ),
        ],
    );
    expect(
        Target::New,
        &[
            (
                "INSERT INTO sales VALUES (1, 'a', 2)",
                r#"INSERT INTO "shop"."sale" AS "sales" ("sale_id", "sale_code", "amount") VALUES (CAST(CAST(1 AS integer) AS bigint), 'a', CAST(CAST(2 AS numeric) AS numeric(12,2)))"#,
            ),
            (
                "INSERT INTO sales (id, code) VALUES (1, 'a') ON CONFLICT (code) DO UPDATE SET total = sales.total + excluded.total, code = excluded.code WHERE sales.total > 5",
                r#"INSERT INTO "shop"."sale" AS "sales" ("sale_id", "sale_code") VALUES (CAST(CAST(1 AS integer) AS bigint), 'a') ON CONFLICT ("sale_code") DO UPDATE SET "amount" = CAST(CAST(CAST("sales"."amount" AS numeric) + CAST("excluded"."amount" AS numeric) AS numeric) AS numeric(12,2)), "sale_code" = "excluded"."sale_code" WHERE CAST("sales"."amount" AS numeric) > 5"#,
            ),
            (
                "INSERT INTO sales (code) VALUES ('a') ON CONFLICT ON CONSTRAINT sales_code_key DO NOTHING",
                r#"INSERT INTO "shop"."sale" AS "sales" ("sale_code") VALUES ('a') ON CONFLICT ON CONSTRAINT "sale_code_key" DO NOTHING"#,
            ),
            (
                "INSERT INTO sales (id, total) SELECT $1, sum(total) AS t FROM sales",
                r#"INSERT INTO "shop"."sale" AS "sales" ("sale_id", "amount") SELECT CAST(CAST($1 AS integer) AS bigint), CAST(CAST(sum(total) AS numeric) AS numeric(12,2)) AS t FROM {sales} AS "sales""#,
            ),
            (
                "INSERT INTO sales (id, total) SELECT DISTINCT id, total FROM sales ORDER BY 1 ON CONFLICT DO NOTHING",
                r#"INSERT INTO "shop"."sale" AS "sales" ("sale_id", "amount") SELECT CAST(CAST(crossfade_c0 AS integer) AS bigint), CAST(CAST(crossfade_c1 AS numeric) AS numeric(12,2)) FROM (SELECT DISTINCT id, total FROM {sales} AS "sales" ORDER BY 1) AS crossfade_rows (crossfade_c0, crossfade_c1) ON CONFLICT DO NOTHING"#,
            ),
            (
                "INSERT INTO archive SELECT * FROM sales",
                r#"INSERT INTO archive SELECT * FROM {sales} AS "sales""#,
            ),
        ],
    );
}

#[test]
fn rows_are_updated_under_their_new_columns() {
    expect(
        Target::NewCapture,
        &[
            (
                "UPDATE sales SET total = total * 2, code = upper(code) WHERE id = 5 RETURNING id, total * 2, total AS t, upper(code)",
                r#"UPDATE "shop"."sale" AS "sales" SET "amount" = CAST(CAST(CAST("sales"."amount" AS numeric) * 2 AS numeric) AS numeric(12,2)), "sale_code" = upper("sales"."sale_code") WHERE (CAST("sales"."sale_id" AS integer) = 5) AND "sales"."sale_id" = (5) RETURNING CAST("sales"."sale_id" AS integer) AS "id", CAST("sales"."amount" AS numeric) * 2 AS "?column?", CAST("sales"."amount" AS numeric) AS t, upper("sales"."sale_code") AS "upper", {sale image}"#,
            ),
            (
                "UPDATE sales SET id = $2 WHERE id = $1",
                r#"UPDATE "shop"."sale" AS "sales" SET "sale_id" = CAST(CAST($2 AS integer) AS bigint) WHERE (CAST("sales"."sale_id" AS integer) = $1) AND "sales"."sale_id" = ($1) RETURNING {sale image}, CAST(CAST($1 AS pg_catalog.int8) AS pg_catalog.text)"#,
            ),
            (
                "UPDATE sales SET id = id + 1 WHERE total > 5 RETURNING *",
                r#"UPDATE "shop"."sale" AS "sales" SET "sale_id" = CAST(CAST(CAST("sales"."sale_id" AS integer) + 1 AS integer) AS bigint) FROM (SELECT "sale_id" AS crossfade_k0 FROM "shop"."sale") AS crossfade_old WHERE crossfade_old.crossfade_k0 = "sales"."sale_id" AND (CAST("sales"."amount" AS numeric) > 5) RETURNING {star}, {sale image}, (crossfade_old.crossfade_k0)::pg_catalog.text"#,
            ),
        ],
    );
    expect(
        Target::New,
        &[
            (
                "UPDATE sales SET (total, label) = (1, 'x'), code = DEFAULT, at = now() FROM items i WHERE sales.id = i.order_id RETURNING *",
                r#"UPDATE "shop"."sale" AS "sales" SET ("amount", "label") = (CAST(CAST(1 AS numeric) AS numeric(12,2)), pg_catalog."varchar"(CAST('x' AS pg_catalog.varchar), 24, false)), "sale_code" = DEFAULT, at = now() FROM "shop"."lines" i WHERE CAST("sales"."sale_id" AS integer) = i.order_id RETURNING {star}, "i".*"#,
            ),
            (
                "UPDATE sales SET total = 1 WHERE code IS DISTINCT FROM 'x' AND EXISTS (SELECT FROM items WHERE sku = code)",
                r#"UPDATE "shop"."sale" AS "sales" SET "amount" = CAST(CAST(1 AS numeric) AS numeric(12,2)) WHERE "sales"."sale_code" IS DISTINCT FROM 'x' AND EXISTS (SELECT FROM "shop"."lines" AS "items" WHERE sku = "sales"."sale_code")"#,
            ),
            (
                "UPDATE sales SET total = (SELECT t FROM (SELECT sales.total) q(t))",
                r#"UPDATE "shop"."sale" AS "sales" SET "amount" = CAST(CAST((SELECT t FROM (SELECT CAST("sales"."amount" AS numeric) AS "total") q(t)) AS numeric) AS numeric(12,2))"#,
            ),
        ],
    );
}

#[test]
fn rows_are_deleted_under_their_new_columns() {
    expect(
        Target::NewCapture,
        &[(
            "DELETE FROM sales USING items WHERE sales.id = items.order_id AND sales.total < 5 RETURNING sales.*",
            r#"DELETE FROM "shop"."sale" AS "sales" USING "shop"."lines" AS "items" WHERE CAST("sales"."sale_id" AS integer) = items.order_id AND CAST("sales"."amount" AS numeric) < 5 RETURNING {star}, {sale image}"#,
        )],
    );
    expect(
        Target::New,
        &[(
            "DELETE FROM public.sales WHERE public.sales.total > 1 AND public.sales.at < now()",
            r#"DELETE FROM "shop"."sale" AS "sales" WHERE CAST("sales"."amount" AS numeric) > 1 AND sales.at < now()"#,
        )],
    );
}

#[test]
fn what_would_not_mean_the_same_is_refused() {
    refused(
        Target::New,
        &[
            ("SELECT sales FROM sales", "whole row"),
            ("SELECT ctid FROM sales", "ctid"),
            ("SELECT * FROM ONLY sales", "ONLY"),
            ("SELECT * FROM sales TABLESAMPLE SYSTEM (1)", "TABLESAMPLE"),
            ("INSERT INTO sales (id, note) VALUES (1, 'x')", "note"),
            ("INSERT INTO sales VALUES (1, 'a', 2, 'note')", "note"),
            ("INSERT INTO sales SELECT * FROM staging", "star"),
            ("UPDATE sales SET note = 'x'", "note"),
            ("UPDATE sales SET total = 1 WHERE note = 'x'", "note"),
            (
                "DELETE FROM sales WHERE id IN (SELECT x FROM staging WHERE total = 1)",
                "qualify",
            ),
            (
                "UPDATE sales SET (total, code) = (SELECT 1, 'x')",
                "sub-select",
            ),
            ("UPDATE sales SET amount = 1", "does not exist"),
            ("DELETE FROM sales RETURNING sales", "whole row"),
            ("COPY sales FROM STDIN", "COPY FROM"),
            (
                "MERGE INTO sales USING items ON true WHEN MATCHED THEN DELETE",
                "cannot be sent",
            ),
            ("CREATE TABLE x (a int REFERENCES items)", "cannot be sent"),
            (
                "INSERT INTO sales (code) VALUES ('a') ON CONFLICT ON CONSTRAINT other DO NOTHING",
                "constraint",
            ),
        ],
    );
}

#[test]
fn what_reaches_a_table_that_differs_is_refused() {
    let mut mapping = mapping();
    mapping
        .old_aliases
        .views
        .insert("sale_view".into(), vec![TableId(2)]);
    let mut analyzer = Analyzer::new(Arc::new(mapping), 8);
    let path = analyzer.path(&["public".into()]);
    let mut rewrite = |text: &str| {
        let facts = analyzer.facts(text.as_bytes(), true, path);
        analyzer.rewrite(text.as_bytes(), true, &facts, 0, Target::New)
    };
    assert!(rewrite("SELECT * FROM order_view").is_ok());
    assert!(
        rewrite("SELECT * FROM sale_view")
            .unwrap_err()
            .reason
            .contains("sale_view")
    );
    assert!(rewrite("DO $$ begin update orders set id = 1; end $$").is_err());
    assert!(rewrite("DO $$ begin perform 1; end $$").is_ok());
}

#[test]
fn one_plan_serves_all_constants() {
    let mut analyzer = Analyzer::new(Arc::new(mapping()), 8);
    let path = analyzer.path(&["public".into()]);
    for number in [7, 4567] {
        let text = format!(
            "/* {number} */ UPDATE  orders SET id={number} WHERE id=-{number}; SELECT {number}"
        );
        let facts = analyzer.facts(text.as_bytes(), true, path);
        let sql = analyzer
            .rewrite(text.as_bytes(), true, &facts, 0, Target::OldCapture)
            .unwrap()
            .sql;
        let expected = format!(
            "/* {number} */ UPDATE  orders SET id={number} WHERE id=-{number} RETURNING {}, CAST(CAST(-{number} AS pg_catalog.int8) AS pg_catalog.text)",
            sure()
        );
        assert_eq!(String::from_utf8(sql).unwrap(), expected);
        assert_eq!(
            analyzer
                .rewrite(text.as_bytes(), true, &facts, 1, Target::OldCapture)
                .unwrap()
                .sql,
            format!(" SELECT {number}").into_bytes()
        );
    }
}
