//! Values come back from documents as the old store printed them.

use super::*;

const SCHEMA: &str = r#"
CREATE TYPE mood AS ENUM ('fine', 'so so'); CREATE DOMAIN price AS numeric(12,2) CHECK (VALUE >= 0); CREATE TYPE pair AS (a int, b text);
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, b boolean, i2 smallint, i4 int, n numeric, nd price, f4 real, f8 float8, m money, t text,
    v varchar(9), c char(5), x bytea, u uuid, d date, ti time, tz timetz, ts timestamp(3), tstz timestamptz, iv interval, j json, jb jsonb, e mood, es mood[], ip inet,
    bits bit(3), ra int4range, tr tstzrange, po point, li int[], lt text[], lf float8[], ld date[], lj jsonb[], co pair, twice int GENERATED ALWAYS AS (i4 * 2) STORED);
INSERT INTO things SELECT;
INSERT INTO things (b, i2, i4, n, nd, f4, f8, m, t, v, c, x, u, d, ti, tz, ts, tstz, iv, j, jb, e, es, ip, bits, ra, tr, po, li, lt, lf, ld, lj, co)
VALUES (true, -32768, 2147483, '1.500', 2.5, '-0', 'NaN', '-12.34', E'a\\ "b"\n,{}', 'abc  ', 'ab', '\x00ff', gen_random_uuid(), 'infinity', '24:00', '12:34:56.789012+05:30',
    '1999-12-31 23:59:59.999', '-infinity', '1 year -3 days 04:05:06.789', '{"b":1,  "a" : [ 1.0 ]}', '{"bb": 1.50, "a": [null, {}], "$set": "x"}', 'so so', '{fine,NULL}', '10.0.0.1/24',
    B'101', '[1,5)', '[2020-01-01 00:00+00,)', '(1.5,-2)', '{{1,2},{3,NULL}}', '{"",NULL,"NULL","a,b"}', '{0.1,NaN,NULL}', '[3:3]={2026-11-21}', '{"{\"a\": 1}",NULL}', '(1,"x y")');
INSERT INTO things (t, n, f8, ts, jb) SELECT repeat('x', n), n / 7.0, n / 7.0, timestamp '2000-01-01' + n * interval '1.001 s', to_jsonb(n) FROM generate_series(1, 500) n;
"#;

#[tokio::test]
async fn every_type_comes_back() {
    let documents = Documents::new(SCHEMA, "[toggle.shop.table.things]").await;
    let text = "SELECT count(*) || md5(string_agg(t::text, E'\\n' ORDER BY id)) FROM things t";
    let before = documents.databases.old.value(text).await;
    let there = documents.job(Phase::DualWrite);
    there.backfill("things", Direction::Forward).await;
    documents
        .databases
        .old
        .run("CREATE TABLE kept AS TABLE things; TRUNCATE things")
        .await;

    let back = documents.job(Phase::NewWrites);
    let report = back.backfill("things", Direction::Reverse).await;
    assert_eq!(
        (report.rows_copied, report.left_dirty),
        (502, 0),
        "{:?}",
        back.journal.failing("shop", 3)
    );
    assert_eq!(documents.databases.old.value(text).await, before);
    assert_eq!(back.verify("things", false).await.differences, 0);

    // One by one, as the repairer writes them.
    documents
        .databases
        .old
        .run("DELETE FROM things WHERE id % 2 = 0; UPDATE things SET t = 'other' WHERE id % 3 = 0")
        .await;
    let report = back.verify("things", true).await;
    assert_eq!((report.differences, report.left()), (335, 0));
    assert_eq!(documents.databases.old.value(text).await, before);
}

#[tokio::test]
async fn keys_at_the_ends_of_time_are_found() {
    let schema = "CREATE TABLE days (d date PRIMARY KEY, n int); INSERT INTO days SELECT '2000-01-01'::date + n, n FROM generate_series(1, 450) n;
        INSERT INTO days VALUES ('infinity', 0), ('-infinity', 0);
        CREATE TABLE times (at timestamp PRIMARY KEY); INSERT INTO times VALUES ('infinity'), ('-infinity'), ('294276-12-31 23:59:59.999999'), ('4713-01-01 BC');
        INSERT INTO times SELECT timestamp '2000-01-01' + n * interval '1 us' FROM generate_series(1, 450) n;";
    let documents = Documents::new(
        schema,
        "[toggle.shop.table.days]\n[toggle.shop.table.times]",
    )
    .await;
    let there = documents.job(Phase::DualWrite);
    for (table, rows) in [("days", 452), ("times", 454)] {
        assert_eq!(
            there.backfill(table, Direction::Forward).await.rows_copied,
            rows
        );
        documents
            .databases
            .old
            .run(&format!("TRUNCATE {table}"))
            .await;
        let back = documents.job(Phase::NewWrites);
        assert_eq!(
            back.backfill(table, Direction::Reverse).await.rows_copied,
            rows
        );
        let report = back.verify(table, false).await;
        assert_eq!((report.rows, report.differences), (rows, 0));
    }
}

#[tokio::test]
async fn sequences_go_back_behind_every_value_that_documents_hold() {
    let schema = "CREATE SEQUENCE shared; CREATE TABLE a (id int PRIMARY KEY DEFAULT nextval('shared')); CREATE TABLE b (id int PRIMARY KEY, n numeric DEFAULT nextval('shared'))";
    let documents = Documents::new(schema, "[toggle.shop.table.a]\n[toggle.shop.table.b]").await;
    let at = |of: BTreeMap<String, i64>| of.values().copied().collect::<Vec<_>>();
    let positions = |table: &'static str| documents.new.sequence_positions(documents.table(table));
    assert_eq!(at(positions("a").await.unwrap()), [0_i64; 0]);
    let floor = BTreeMap::from([("id".to_owned(), 41)]);
    let moved = documents
        .new
        .advance_sequences(documents.table("a"), &floor)
        .await;
    assert_eq!(at(moved.unwrap()), [41]);
    // One sequence, one counter.
    assert_eq!(at(positions("b").await.unwrap()), [41]);
    documents.put("a", &[Row(vec![Some("77".into())])]).await;
    let texts = [Some("1".into()), Some("99.5".into())];
    documents.put("b", &[Row(texts.into())]).await;
    assert_eq!(at(positions("a").await.unwrap()), [77]);
    assert_eq!(at(positions("b").await.unwrap()), [99]);
}
