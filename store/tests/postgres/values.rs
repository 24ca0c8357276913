//! Values of every kind on their way from one store to the other.

use bytes::Bytes;
use crossfade_phase::Side;
use crossfade_store::{Change, Form, KeyRange, Row, Store as _, TableMap, postgres::sql};

use crate::common::{HOSTILE, Pair};

const SCHEMA: &str = r#"
    CREATE SCHEMA app; CREATE SCHEMA hostile;
    CREATE TYPE app.mood AS ENUM ('sad', 'so, so', 'It''s "good"');
    CREATE DOMAIN app.short AS varchar(8) CHECK (value <> 'no');
    CREATE DOMAIN app.moment AS timestamptz(3);
    CREATE DOMAIN app.moments AS timestamptz[];
    CREATE TYPE app.spot AS (x int, label text);
    CREATE TABLE public.everything (
        id bigint GENERATED ALWAYS AS IDENTITY, "Part No" text NOT NULL, "select" int2,
        a_bool bool, a_char "char", a_name name, an_int int, an_oid oid, a_float4 float4, a_float8 float8, a_numeric numeric, a_price numeric(12,2),
        a_money money, a_text text, a_varchar varchar(20), a_bpchar char(6), a_bytea bytea, a_bit bit(5), a_varbit varbit(12),
        a_date date, a_time time, a_timetz timetz, a_timestamp timestamp, a_timestamptz timestamptz, an_interval interval, a_second timestamp(0),
        a_uuid uuid, a_json json, a_jsonb jsonb, an_xml xml, an_inet inet, a_cidr cidr, a_mac macaddr, a_tsvector tsvector, a_tsquery tsquery, a_lsn pg_lsn,
        a_point point, a_line line, a_lseg lseg, a_box box, a_path path, a_polygon polygon, a_circle circle,
        ints int[], texts text[], floats float8[], times timestamptz[], blobs bytea[], bits bit(3)[], strings varchar(4)[],
        an_int4range int4range, a_numrange numrange, a_tstzrange tstzrange, a_daterange daterange, a_tsmultirange tsmultirange, ranges tstzrange[],
        a_mood app.mood, moods app.mood[], a_short app.short, a_moment app.moment, some_moments app.moments, a_spot app.spot,
        doubled bigint GENERATED ALWAYS AS (an_int * 2::bigint) STORED,
        PRIMARY KEY (id, "Part No"))
"#;

const ROWS: &str = r#"
    SET search_path = public; SET DateStyle = ISO; SET IntervalStyle = postgres; SET TimeZone = UTC; SET xmloption = content;
    INSERT INTO public.everything OVERRIDING SYSTEM VALUE VALUES
    (1, E'a\tb\\N\n"q''s"', -32768, true, 'x', 'a name', -2147483648, 4294967295, 'NaN', 'Infinity', '123456789012345678901234567890.123450', -0.05,
        '-12.34', E'tab\t, back\\slash, \\., Zürich 日本 😀', E'\\x00', 'ab', '\x00ff5c0a', B'10101', B'1',
        '0044-03-15 BC', '23:59:59.999999', '12:34:56.789+05:45', '4713-01-01 00:00:00 BC', '2024-02-29 23:59:59.999999+14', '1 year -2 mons 3 days -04:05:06.789', '2020-01-01 00:00:01',
        '00112233-4455-6677-8899-AABBCCDDEEFF', '{"b": 1,   "a": [1.0, null]}', '{"b": 1, "a": [1.00, null, "\u00fc"]}', '<a b="c">d</a>rest', '10.1.2.3', '10.0.0.0/8', '08:00:2b:01:02:03', 'fat:1 cat:2A', 'fat & (rat | !cat)', '16/B374D848',
        '(0.1,-1e300)', '{1,2,3.3}', '[(0.1,0),(1,1)]', '((0.1,0),(1,1))', '[(0.1,0),(1,1)]', '((0.1,0),(1,1),(2,0))', '<(0.1,0),3.3>',
        '[0:1]={7,NULL}', ARRAY['', 'NULL', NULL, 'a,b"{}\'], '{NaN,0.1,-Infinity,NULL}', '{"2024-01-01 00:00:00+00",infinity,NULL}', ARRAY['\x00'::bytea, '', NULL], '{101,010}', '{abcd,NULL}',
        '[1,5)', '(0.1,]', '["2024-01-01 00:00:00.000001+00",infinity)', 'empty', '{[2024-01-01,2024-02-01),[2025-01-01,)}', ARRAY['["2024-01-01 00:00:00+00",)'::tstzrange, NULL],
        'It''s "good"', '{sad,"so, so",NULL}', 'yes', '2024-01-01 00:00:00.123+00', '{"2024-01-01 00:00:00+00",-infinity}', '(7,"a,b")'),
    (2, '', 0, false, '', '', 0, 0, '-0', 1e-300, 'NaN', 9999999999.99, '0', '', '', '', '', B'00000', B'',
        'infinity', '24:00:00', '00:00:00-15:59', '-infinity', '0001-12-31 23:59:59 BC', '-178000000 years', '1999-12-31 23:59:59',
        '00000000-0000-0000-0000-000000000000', 'null', 'null', '', '::1', '::/0', '00:00:00:00:00:00', '', '', '0/0',
        '(NaN,0)', '{0,-1,0}', '[(0,0),(0,0)]', '((0,0),(0,0))', '((0,0))', '((0,0))', '<(0,0),0>',
        '{}', '{}', '{}', '{}', '{}', '{}', '{}', 'empty', 'empty', 'empty', '(,)', '{}', '{}',
        'sad', '{}', '', 'infinity', '{}', '(,)');
    INSERT INTO public.everything (id, "Part No") OVERRIDING SYSTEM VALUE VALUES (3, 'nothing but NULL');
    INSERT INTO public.everything (id, "Part No", a_float4, a_float8, a_date, a_time, a_timestamp, a_timestamptz) OVERRIDING SYSTEM VALUE
        SELECT n, 'bulk ' || n, n / 7::float4, exp(n * 7 % 700 - 350) * (1 - 2 * (n % 2)), date '0030-01-01 BC' + n * 400, time '00:00' + n * interval '7.654321 s',
        timestamp '0030-01-01 BC' + n * interval '401 days 7.654321 s', timestamptz '1000-01-01' + n * interval '401 days 7.654321 s' FROM generate_series(100, 500) AS n
"#;

/// What a reader of the table sees, whole rows as text, under settings that lose nothing.
const SEEN: &str = "SELECT e::text FROM everything AS e ORDER BY id";

async fn pair(name: &str) -> (Pair, TableMap) {
    let pair = Pair::new(name, HOSTILE, SCHEMA, SCHEMA, "[toggle.t.table.everything]").await;
    pair.run(Side::Old, ROWS).await;
    let table = pair.mapping().await.tables[0].clone();
    (pair, table)
}

#[tokio::test]
async fn every_value_reaches_the_other_store_as_it_was() {
    let (pair, table) = pair("values").await;
    let rows = pair.all(Side::Old, &table, Form::Own).await;
    assert_eq!(rows.len(), 404);
    let expected = pair.ask(Side::Old, SEEN).await;

    // One by one, as the secondary and the repairer write them; twice, because an upsert may meet its own row.
    for _ in 0..2 {
        let changes: Vec<_> = rows.iter().cloned().map(Change::Upsert).collect();
        pair.new.apply(&table, &changes).await.expect("applied");
        assert_eq!(pair.ask(Side::New, SEEN).await, expected);
    }
    pair.assert_alike(&table).await;

    // By COPY through a staging table, past rows that are there.
    pair.run(Side::New, "DELETE FROM public.everything WHERE id > 1")
        .await;
    assert_eq!(
        pair.new
            .insert_absent(&table, &rows)
            .await
            .expect("inserted"),
        403
    );
    assert_eq!(pair.ask(Side::New, SEEN).await, expected);

    // As one INSERT.
    pair.run(Side::New, "DELETE FROM public.everything WHERE id < 30")
        .await;
    assert_eq!(
        pair.new
            .insert_absent(&table, &rows[..20])
            .await
            .expect("inserted"),
        3
    );
    assert_eq!(pair.ask(Side::New, SEEN).await, expected);

    // And back: the same images out of the new store go into the old.
    let back = pair.all(Side::New, &table, Form::Own).await;
    assert_eq!(back, rows);
    pair.run(
        Side::Old,
        "UPDATE public.everything SET a_float8 = 1, times = NULL, a_text = NULL",
    )
    .await;
    pair.old
        .apply(
            &table,
            &back.into_iter().map(Change::Upsert).collect::<Vec<_>>(),
        )
        .await
        .expect("applied");
    assert_eq!(pair.ask(Side::Old, SEEN).await, expected);
}

#[tokio::test]
async fn trap_35_an_image_does_not_depend_on_the_session_that_wrote_it() {
    let (pair, table) = pair("session").await;
    let expected = pair.all(Side::Old, &table, Form::Own).await;
    // The session has the hostile settings of its database, the proxy's own has not.
    let client = pair.session(Side::Old).await;
    let images = sql::image_list(&table, Side::Old, "everything", Form::Own).join(", ");
    let returning =
        format!("UPDATE public.everything SET \"select\" = \"select\" RETURNING {images}");
    let answers = client.query(&returning, &[]).await.expect("returned");
    let mut found: Vec<_> = answers
        .iter()
        .map(|row| {
            Row((0..row.len())
                .map(|column| {
                    row.get::<_, Option<&str>>(column)
                        .map(|value| Bytes::copy_from_slice(value.as_bytes()))
                })
                .collect())
        })
        .collect();
    let mut expected = expected;
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert!(
        answers[0]
            .columns()
            .iter()
            .all(|column| column.type_().name() == "text")
    );
    assert_eq!(
        client
            .query_one("SHOW DateStyle", &[])
            .await
            .expect("shown")
            .get::<_, &str>(0),
        "SQL, DMY"
    );
}

#[tokio::test]
async fn plain_values_are_copied_straight_into_an_empty_table() {
    let schema = "CREATE TABLE public.plain (id int PRIMARY KEY, flag bool, label text, blob bytea, f4 float4, f8 float8, n numeric(20,4), \
        d date, t time, ts timestamp, tz timestamptz, u uuid, j jsonb, words text[]); CREATE SCHEMA hostile";
    let pair = Pair::new(
        "straight",
        HOSTILE,
        schema,
        schema,
        "[toggle.t.table.plain]",
    )
    .await;
    let rows = "SET search_path = public; SET DateStyle = ISO; SET TimeZone = UTC; INSERT INTO plain VALUES \
        (1, true, E'tab\\tback\\\\slash\\nline\\r', '\\x005c09ff', 'NaN', '-Infinity', 'NaN', 'infinity', '24:00', '-infinity', 'infinity', gen_random_uuid(), '{\"a\": \"\\\\n\"}', '{\"a\\\\b\",NULL}'), \
        (2, false, '', '', '-0', 5e-324, -0.0001, '4714-11-24 BC', '00:00', '4714-11-24 00:00:00 BC', '294276-12-31 23:59:59.999999+00', gen_random_uuid(), '[]', '{}'), \
        (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), \
        (4, true, E'\\\\.', '\\x5c2e', 3.4028235e38, 1.7976931348623157e308, 1, '5874897-12-31', '12:00:00.000001', '0001-01-01', '0001-12-31 BC', gen_random_uuid(), '1', '{x}'); \
        INSERT INTO plain SELECT n, n % 3 = 0, 'row ' || n, decode(lpad(to_hex(n), 8, '0'), 'hex'), n / 3::float4, exp(n % 600 - 300), n / 7::numeric(20,4), \
        date '2000-01-01' - n * 97, time '00:00' + n * interval '3.210987 s', timestamp '1999-12-31' - n * interval '97 days 3.21 s', now() - n * interval '1.1 days', gen_random_uuid(), to_jsonb(n), ARRAY[n::text] \
        FROM generate_series(10, 9000) AS n";
    pair.run(Side::Old, rows).await;
    let table = pair.mapping().await.tables[0].clone();
    let rows = pair.all(Side::Old, &table, Form::Own).await;
    let seen = "SELECT p::text FROM plain AS p ORDER BY id";
    assert_eq!(
        pair.new
            .copy_into_empty(&table, &rows)
            .await
            .expect("copied"),
        rows.len() as u64
    );
    assert_eq!(
        pair.ask(Side::New, seen).await,
        pair.ask(Side::Old, seen).await
    );
    pair.assert_alike(&table).await;
    // Not empty after all: nothing is lost and nothing is there twice.
    pair.run(
        Side::New,
        "DELETE FROM plain WHERE id % 2 = 0; UPDATE plain SET label = 'newer' WHERE id = 11",
    )
    .await;
    let inserted = pair
        .new
        .copy_into_empty(&table, &rows)
        .await
        .expect("inserted");
    assert_eq!(inserted, 4498);
    assert_eq!(
        pair.ask(Side::New, "SELECT label FROM plain WHERE id = 11")
            .await,
        [Some("newer".to_owned())]
    );
}

#[tokio::test]
async fn ranges_of_composite_keys_are_walked_in_chunks() {
    let (pair, table) = pair("chunks").await;
    let rows = pair.all(Side::Old, &table, Form::Own).await;
    for side in [Side::Old, Side::New] {
        if side == Side::New {
            pair.new
                .insert_absent(&table, &rows)
                .await
                .expect("inserted");
        }
        let store = pair.store(side);
        let (mut range, mut seen, mut counted) = (KeyRange::default(), Vec::new(), 0);
        loop {
            let chunk = store
                .scan(&table, &range, 90, Form::Own)
                .await
                .expect("a chunk");
            let Some(last) = chunk.last().and_then(|row| table.key_of(row)) else {
                break;
            };
            let closed = KeyRange {
                after: range.after.clone(),
                upto: Some(last.clone()),
            };
            let digest = store.digest(&table, &closed).await.expect("a digest");
            assert_eq!(digest.last.as_ref(), Some(&last));
            assert_eq!(
                store
                    .nth_key(&table, &range, u32::try_from(chunk.len()).expect("few"))
                    .await
                    .expect("a key"),
                Some(last.clone())
            );
            counted += digest.rows;
            seen.extend(chunk);
            range.after = Some(last);
        }
        assert_eq!(seen, rows);
        assert_eq!(counted, 404);
        assert_eq!(
            store
                .nth_key(&table, &KeyRange::default(), 405)
                .await
                .expect("no key"),
            None
        );
        assert_walks_by_index(
            &pair,
            side,
            &table,
            &KeyRange {
                upto: None,
                after: table.key_of(&rows[1]),
            },
        )
        .await;
        let empty = store.digest(&table, &range).await.expect("a digest");
        assert_eq!((empty.rows, empty.last), (0, None));
    }
}

/// A chunk is read by the key's own index, from its lower end on.
async fn assert_walks_by_index(pair: &Pair, side: Side, table: &TableMap, range: &KeyRange) {
    let client = pair.session(side).await;
    client
        .batch_execute(
            "SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off",
        )
        .await
        .expect("settings");
    let statement = sql::select_range(table, side, range, 100, Form::Own);
    let key: Vec<_> = range
        .after
        .iter()
        .flat_map(|key| &key.0)
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect();
    let params: Vec<_> = key
        .iter()
        .map(|part| part as &(dyn tokio_postgres::types::ToSql + Sync))
        .collect();
    let plan = client
        .query(&format!("EXPLAIN (COSTS OFF) {}", statement.sql), &params)
        .await
        .expect("a plan");
    let plan: Vec<_> = plan.iter().map(|line| line.get::<_, String>(0)).collect();
    assert!(
        plan.iter()
            .any(|line| line.contains("Index Scan using everything_pkey")),
        "{plan:#?}"
    );
    assert!(
        plan.iter().any(|line| line.contains("Index Cond: (ROW(")),
        "{plan:#?}"
    );
    assert!(!plan.iter().any(|line| line.contains("Sort")), "{plan:#?}");
}
