//! The client's text on the old tables and its rewriting on the new ones, on a real server: the same answers, the same result columns and types, the
//! same parameter types, the same rows afterwards.

mod scratch;

use crossfade_phase::Side;
use crossfade_proxy::sql::Target;
use crossfade_store::{Form, postgres::sql::image_list};
use scratch::shop::{mapping, outcome, rewrite, server};

fn sql(text: &str, target: Target) -> String {
    let rewritten = rewrite(text, target).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
    String::from_utf8_lossy(&rewritten.sql).into_owned()
}

/// Asserts that the client cannot tell the new store from the old.
fn same(texts: &[&str]) {
    let server = server();
    let mut failures = Vec::new();
    for text in texts {
        let describe = !text.starts_with("COPY");
        let rewritten = match rewrite(text, Target::New) {
            Ok(rewritten) => String::from_utf8_lossy(&rewritten.sql).into_owned(),
            Err(refusal) => {
                failures.push(format!("{text}\n{refusal}\n"));
                continue;
            }
        };
        let (old, new) = (
            outcome(&server, text, 0, describe),
            outcome(&server, &rewritten, 1, describe),
        );
        if old != new {
            let only = |these: &str, those: &str| {
                these
                    .lines()
                    .filter(|line| !those.lines().any(|other| other == *line))
                    .map(|line| format!("    {line}\n"))
                    .collect::<String>()
            };
            failures.push(format!(
                "{text}\n{rewritten}\nonly old:\n{}only new:\n{}",
                only(&old, &new),
                only(&new, &old)
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn reads_give_the_same_answers() {
    same(&[
        "SELECT * FROM sales ORDER BY id",
        "SELECT s.*, 1 AS one FROM public.sales AS s WHERE s.id > 5 ORDER BY s.total DESC LIMIT 3",
        "SELECT * FROM sales WHERE id = 5",
        "SELECT code, public.sales.total FROM public.sales WHERE id = '7' AND state = 3",
        "SELECT total FROM sales WHERE id = -99999999999",
        "SELECT * FROM sales WHERE id = 5.5",
        "SELECT ref, label FROM docs JOIN sales ON docs.ref = sales.ref::text WHERE docs.ref = '00000000-0000-0000-0000-000000000003'",
        "SELECT ref FROM docs WHERE ref = 'no uuid at all'",
        "SELECT ref FROM docs WHERE ref = '00000000-0000-0000-0000-000000000003'",
        "SELECT count(*), sum(total), min(label), max(state), avg(total) FROM sales",
        "SELECT state, count(*) FROM sales GROUP BY state HAVING count(*) > 1 ORDER BY state",
        "SELECT id, code, count(i.*) FROM sales s LEFT JOIN items i ON i.order_id = s.id GROUP BY s.id ORDER BY s.code",
        "SELECT s.id, s.total, s.label FROM sales s GROUP BY 1 ORDER BY 1",
        "SELECT DISTINCT ON (state) state, code FROM sales ORDER BY state, id DESC",
        "SELECT id, row_number() OVER (PARTITION BY state ORDER BY id) FROM sales ORDER BY id",
        "SELECT id FROM sales WHERE code IN (SELECT sku FROM items WHERE line = 2) ORDER BY id",
        "SELECT i.line, (SELECT s.total FROM sales s WHERE s.code = i.sku) FROM items i ORDER BY 1, i.order_id",
        "WITH sales AS (SELECT 5 AS id) SELECT * FROM sales",
        "WITH s AS (SELECT * FROM sales WHERE state = 1) SELECT s.code, items.sku FROM s JOIN items ON items.order_id = s.id ORDER BY 1, 2",
        "SELECT id FROM sales WHERE state = 1 UNION SELECT order_id FROM items ORDER BY 1",
        "SELECT row_to_json(s) FROM sales s WHERE id = 2",
        "SELECT s.id FROM sales s, LATERAL (SELECT max(line) AS m FROM items WHERE order_id = s.id) x WHERE x.m = 3 ORDER BY 1",
        "SELECT id, code FROM sales WHERE id < 3 ORDER BY id FOR UPDATE OF sales SKIP LOCKED",
        "SELECT a.id FROM sales a JOIN sales b USING (code) WHERE b.total > 10 ORDER BY 1",
        "SELECT * FROM sales NATURAL JOIN items WHERE false",
        "SELECT length(label), state + 1, id / 2, total * 2, label || 'x' FROM sales ORDER BY id",
        "TABLE items ORDER BY 1, 2",
        "EXPLAIN (COSTS OFF) SELECT 1",
        "COPY sales (id, label, state) TO STDOUT",
        "COPY (SELECT code FROM sales ORDER BY id) TO STDOUT",
        "SELECT nosuch FROM sales",
        "SELECT code FROM sales WHERE ref = '00000000-0000-0000-0000-000000000003'",
    ]);
}

#[test]
fn trap_33_inserts_leave_the_same_rows() {
    same(&[
        "INSERT INTO sales (code) VALUES ('n') RETURNING *",
        "INSERT INTO sales (id, code, total) VALUES (50, 'n', 1.25), (51, 'm', NULL) RETURNING id, total AS t, sales.label, upper(code)",
        "INSERT INTO sales AS s (label, code, state) VALUES (DEFAULT, 'n', 2 + 1), ('l', 'o', '7') RETURNING s.id, s.*",
        "INSERT INTO sales VALUES (60, 'n', 5.00) RETURNING total::text, coalesce(label, 'none')",
        "INSERT INTO items VALUES (9, 9, 'x') RETURNING *",
        "INSERT INTO sales (code) VALUES ('c1')",
        "INSERT INTO sales (id, code) VALUES (3, 'n')",
        "INSERT INTO sales (id, code) VALUES (99999999999, 'n')",
        "INSERT INTO sales (id, code, total) VALUES (3, 'n', 2) ON CONFLICT DO NOTHING RETURNING id",
        "INSERT INTO sales (id, code, total) VALUES (3, 'n', 2), (70, 'o', 3) ON CONFLICT (id) DO UPDATE SET total = sales.total + excluded.total, label = excluded.code WHERE sales.total < 100 RETURNING *",
        "INSERT INTO sales AS s (code, total) VALUES ('c4', 2) ON CONFLICT (code) DO UPDATE SET (total, state) = (s.total * 2, 9) RETURNING s.id, s.total, state",
        "INSERT INTO sales (code, total) VALUES ('c4', 2) ON CONFLICT ON CONSTRAINT sales_code_key DO UPDATE SET total = DEFAULT RETURNING total",
        "INSERT INTO sales (id, code, total) SELECT a + 100, 's' || b, c FROM staging ORDER BY a RETURNING id, code",
        "INSERT INTO sales (id, code, total) SELECT DISTINCT id + 100, 's' || code, total FROM sales RETURNING id > 0",
        "INSERT INTO sales (id, code) SELECT 80, 'x' WHERE NOT EXISTS (SELECT FROM sales WHERE id = 80)",
        "INSERT INTO sales (id, code, total) SELECT a, b, c FROM staging WHERE a > 12 UNION ALL SELECT a + 50, b || 'u', c FROM staging",
        "INSERT INTO staging SELECT id, code, total FROM sales WHERE id < 3 RETURNING a, b",
        "WITH x AS (SELECT * FROM sales WHERE id = 2) INSERT INTO sales (id, code, total) SELECT id + 200, code || 'w', total FROM x RETURNING *",
        "INSERT INTO sales (id, code, ref) VALUES (90, 'n', '00000000-0000-0000-0000-0000000000FF') RETURNING ref",
        "INSERT INTO docs VALUES ('00000000-0000-0000-0000-0000000000aa', '{\"b\":1}') RETURNING ref",
        "INSERT INTO sales (code) VALUES (NULL)",
    ]);
}

#[test]
fn trap_06_updates_and_deletes_leave_the_same_rows() {
    same(&[
        "UPDATE sales SET total = total + 1 WHERE id = 5 RETURNING *",
        "UPDATE public.sales SET label = 'new', at = '2021-05-05 00:00Z' WHERE public.sales.id IN (1, 2) RETURNING id, label, public.sales.at",
        "UPDATE sales AS s SET total = s.total * 2, code = upper(s.code), state = DEFAULT WHERE s.total > 10 AND code IS DISTINCT FROM 'c8' RETURNING s.*, total / 2",
        "UPDATE sales SET (total, label) = (7, lower('X')), state = state + 1 WHERE id = 3",
        "UPDATE sales SET (code, label) = ROW ('r', DEFAULT) WHERE id = 3",
        "UPDATE sales SET total = (SELECT sum(line) FROM items WHERE order_id = sales.id) WHERE id < 4 RETURNING total",
        "UPDATE sales SET label = items.sku FROM items WHERE items.order_id = sales.id AND items.line = 2 RETURNING sales.id, items.sku, label",
        "UPDATE sales s SET label = x.b FROM staging x WHERE x.b = s.code RETURNING *",
        "UPDATE items SET line = line + 100, order_id = 7 WHERE order_id = 1 RETURNING line",
        "UPDATE items SET line = 2 WHERE order_id = 1 AND line = 1",
        "UPDATE sales SET total = 1 WHERE id = 99999999999",
        "UPDATE sales SET label = 'much longer than twenty characters' WHERE id = 7",
        "UPDATE docs SET body = '{\"c\":2}' WHERE ref = '00000000-0000-0000-0000-000000000002'",
        "UPDATE docs SET body = '{}' WHERE ref = 'no uuid'",
        "UPDATE items SET sku = (SELECT label FROM sales WHERE id = order_id) RETURNING *",
        "UPDATE staging SET c = total FROM sales WHERE code = b RETURNING a, c, total",
        "DELETE FROM sales WHERE id = 4 RETURNING *",
        "DELETE FROM sales s WHERE s.total BETWEEN 3 AND 9 OR label LIKE '%11' RETURNING s.id, label",
        "DELETE FROM sales USING items i WHERE i.sku = sales.code AND i.line = 1 RETURNING id, i.line, i.*",
        "DELETE FROM items WHERE order_id IN (SELECT id FROM sales WHERE total > 3) RETURNING order_id",
        "DELETE FROM items WHERE (order_id, line) = (2, 3)",
        "WITH top AS (SELECT id FROM sales ORDER BY total DESC LIMIT 2) DELETE FROM sales WHERE id IN (SELECT id FROM top) RETURNING id",
        "DELETE FROM docs WHERE ref = '00000000-0000-0000-0000-000000000002'",
    ]);
}

#[test]
fn trap_34_parameters_have_the_types_that_the_old_store_gives_them() {
    let server = server();
    for text in [
        "SELECT * FROM sales WHERE id = $1",
        "SELECT id FROM sales WHERE id = $1 AND label = $2 AND state > $3 LIMIT $4",
        "SELECT ref FROM docs WHERE ref = $1",
        "SELECT code FROM sales WHERE ref = $1",
        "INSERT INTO sales (id, code, total, label, state, ref) VALUES ($1, $2, $3, $4, $5, $6)",
        "INSERT INTO sales (id, code) SELECT $1, $2",
        "INSERT INTO sales (id, code) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET total = $3 WHERE sales.state = $4",
        "UPDATE sales SET total = $1, label = $2, state = $3 WHERE id = $4",
        "UPDATE sales SET (label, state) = ($1, $2) WHERE total > $3 RETURNING total + $4",
        "UPDATE items SET line = $1 WHERE order_id = $2 AND line = $3",
        "UPDATE docs SET ref = $1 WHERE ref = $2",
        "DELETE FROM sales WHERE id = $1 AND at < $2",
        "DELETE FROM docs WHERE ref = $1",
    ] {
        let types = |text: &str| {
            let output = server.run(&format!("BEGIN;\nPREPARE p AS {text};\nSELECT parameter_types FROM pg_prepared_statements;\nROLLBACK;\n"));
            assert!(!output.contains("ERROR"), "{text}\n{output}");
            output
        };
        for target in [Target::New, Target::NewCapture, Target::OldCapture] {
            let rewritten =
                rewrite(text, target).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
            let rewritten = String::from_utf8_lossy(&rewritten.sql).into_owned();
            assert_eq!(types(text), types(&rewritten), "{rewritten}");
        }
    }
}

/// Rows of `psql`'s unaligned output, as fields.
fn rows(output: &str) -> Vec<Vec<String>> {
    output
        .lines()
        .filter(|line| line.contains('|'))
        .skip(1)
        .map(|line| line.split('|').map(str::to_owned).collect())
        .collect()
}

#[test]
fn trap_09_images_are_the_rows_and_old_keys_the_keys_as_they_were() {
    let server = server();
    // The statement; its table; which rows it wrote, told by the old and the new columns; how far it moved the key's last column.
    for (text, table, written, moved) in [
        (
            "INSERT INTO sales (id, code, total) VALUES (9001, 'n', 1), (9002, 'm', 2)",
            0,
            ["code IN ('n', 'm')", "sale_code IN ('n', 'm')"],
            None,
        ),
        (
            "UPDATE sales SET total = 5, label = 'x' WHERE state = 1 RETURNING *",
            0,
            ["state = 1", "state = 1"],
            None,
        ),
        (
            "UPDATE items SET line = 40 WHERE order_id = 2 AND line = 4 - 3",
            1,
            ["line = 40", "line = 40"],
            Some(39),
        ),
        (
            "UPDATE items SET line = 40 WHERE line = 1 AND order_id = '2'",
            1,
            ["line = 40", "line = 40"],
            Some(39),
        ),
        (
            "UPDATE items SET line = line + 20 WHERE sku > 'c3' OR sku = 'c2' RETURNING *, sku",
            1,
            ["line > 20", "line > 20"],
            Some(20),
        ),
        (
            "UPDATE items i SET line = line + 20 FROM sales s WHERE i.order_id = s.id AND s.state = 2 RETURNING s.code, i.sku",
            1,
            ["line > 20", "line > 20"],
            Some(20),
        ),
        (
            "UPDATE items SET line = line + 20",
            1,
            ["line > 20", "line > 20"],
            Some(20),
        ),
    ] {
        for (target, side, place) in [
            (Target::OldCapture, Side::Old, 0),
            (Target::NewCapture, Side::New, 1),
        ] {
            let rewritten =
                rewrite(text, target).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
            let sql = String::from_utf8_lossy(&rewritten.sql).into_owned();
            let map = &mapping().tables[table];
            let images = image_list(map, side, "t", Form::Own).join(", ");
            let output = server.run(&format!(
                "BEGIN;\n{sql};\n\\echo ---\nSELECT {images} FROM {} t WHERE {};\nROLLBACK;\n",
                map.on(side).name,
                written[place]
            ));
            assert!(!output.contains("ERROR"), "{sql}\n{output}");
            let (answer, expected) = output.split_once("---\n").unwrap();
            let mut captured = Vec::new();
            for mut row in rows(answer) {
                let keys = row.split_off(row.len() - rewritten.old_keys);
                let image = row.split_off(row.len() - rewritten.images);
                let new: Vec<i64> = map
                    .key
                    .iter()
                    .map(|&index| image[index].parse().unwrap())
                    .collect();
                let old: Vec<i64> = keys.iter().map(|key| key.parse().unwrap()).collect();
                let distance = old.last().map(|last| new[new.len() - 1] - last);
                assert_eq!(distance, moved, "{sql}\n{output}");
                captured.push(image);
            }
            let mut expected = rows(expected);
            captured.sort();
            expected.sort();
            assert!(!expected.is_empty(), "{sql}\n{output}");
            assert_eq!(captured, expected, "{sql}");
        }
    }
}

#[test]
fn a_retyped_key_is_found_by_its_index() {
    let server = server();
    for text in [
        "SELECT * FROM sales WHERE id = 5",
        "UPDATE sales SET total = 1 WHERE id = 5",
        "DELETE FROM sales WHERE id = '5' AND state = 1",
        "SELECT ref FROM docs WHERE ref = '00000000-0000-0000-0000-000000000002'",
        "DELETE FROM docs WHERE ref = '00000000-0000-0000-0000-000000000002'",
    ] {
        let plan = server.run(&format!(
            "SET enable_seqscan = off;\nEXPLAIN (COSTS OFF) {};\n",
            sql(text, Target::New)
        ));
        assert!(plan.contains("Index Cond"), "{text}\n{plan}");
    }
    let lookup = sql(
        "SELECT code FROM sales WHERE id = $1",
        Target::KeyRead(Side::New),
    );
    let plan = server.run(&format!("SET enable_seqscan = off;\nPREPARE p AS {lookup};\nEXPLAIN (COSTS OFF) EXECUTE p(5);\nSET plan_cache_mode = force_generic_plan;\nEXPLAIN (COSTS OFF) EXECUTE p(5);\n"));
    assert_eq!(plan.matches("Index Cond").count(), 2, "{plan}");
}

#[test]
fn a_lookup_by_key_brings_the_same_version_from_both_stores() {
    let server = server();
    let text = "SELECT code FROM sales s WHERE s.id = 5";
    let (old, new) = (
        sql(text, Target::KeyRead(Side::Old)),
        sql(text, Target::KeyRead(Side::New)),
    );
    let (old, new) = (
        server.run(&format!("{old};")),
        server.run(&format!("{new};")),
    );
    assert_eq!(old, new);
    assert!(old.lines().any(|line| line.starts_with("c5|0002")), "{old}");
}
