//! Renamed, retyped and dropped columns, other tables, other orders.

use bytes::Bytes;
use crossfade_phase::Side;
use crossfade_store::{Change, Form, Key, KeyRange, Row, Store as _, StoreError};

use crate::common::{HOSTILE, Pair};

const OLD: &str = r#"
    CREATE SCHEMA hostile;
    CREATE TABLE public."Order" (id int PRIMARY KEY, total int, note text, state text, ref text, ratio float8, placed timestamptz, day date,
        code varchar(10), payload json, version int NOT NULL DEFAULT 0);
"#;
const NEW: &str = r#"
    CREATE SCHEMA hostile; CREATE SCHEMA sales;
    CREATE TYPE sales.state AS ENUM ('open', 'shipped');
    CREATE TABLE sales."user" ("from" bigint PRIMARY KEY, amount numeric(12,2), state sales.state, ref uuid, ratio text, placed timestamp, day text,
        code varchar(4), payload jsonb, version int NOT NULL, extra text DEFAULT 'own');
"#;
const FILE: &str = r#"
[toggle.t.table.Order]
target = "sales.user"
version = "version"
column.id = "from"
column.total = { to = "amount", type = "numeric(12,2)" }
column.note = false
"#;
const ROWS: &str = r#"
    SET TimeZone = UTC; SET DateStyle = ISO;
    INSERT INTO public."Order" VALUES
    (1, 100, 'dropped', 'open', '00112233-4455-6677-8899-aabbccddeeff', 0.1, '2024-05-06 07:08:09.123456+00', '2024-05-06', 'abcd', '{"b":1, "a": 2}', 1),
    (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2),
    (-3, -7, '', 'shipped', '00112233-4455-6677-8899-aabbccddeef0', 1e21, '1969-01-01 00:00:00+00', '0044-03-15 BC', '', '[]', 3);
"#;

#[tokio::test]
async fn columns_change_their_names_and_types_on_the_way() {
    let pair = Pair::new("retyped", HOSTILE, OLD, NEW, FILE).await;
    pair.run(Side::Old, ROWS).await;
    let table = pair.mapping().await.tables[0].clone();
    assert_eq!(table.dropped, ["note"]);
    assert!(!table.is_identity());
    let rows = pair.all(Side::Old, &table, Form::Own).await;
    pair.new
        .apply(
            &table,
            &rows.iter().cloned().map(Change::Upsert).collect::<Vec<_>>(),
        )
        .await
        .expect("applied");
    let expected = [
        r#"(-3,-7.00,shipped,00112233-4455-6677-8899-aabbccddeef0,1e+21,"1969-01-01 00:00:00","0044-03-15 BC","",[],3,own)"#,
        r#"(1,100.00,open,00112233-4455-6677-8899-aabbccddeeff,0.1,"2024-05-06 07:08:09.123456",2024-05-06,abcd,"{""a"": 2, ""b"": 1}",1,own)"#,
        "(2,,,,,,,,,2,own)",
    ];
    let seen = r#"SELECT u::text FROM sales."user" AS u ORDER BY "from""#;
    let read = || async {
        pair.ask(Side::New, seen)
            .await
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    };
    assert_eq!(read().await, expected);
    pair.assert_alike(&table).await;

    // The same through the staging table, and from parameters of an INSERT.
    pair.run(Side::New, r#"DELETE FROM sales."user""#).await;
    let many: Vec<_> = rows.iter().cycle().take(rows.len() * 30).cloned().collect();
    assert_eq!(
        pair.new
            .insert_absent(&table, &many)
            .await
            .expect("inserted"),
        3
    );
    assert_eq!(read().await, expected);
    pair.run(Side::New, r#"DELETE FROM sales."user""#).await;
    assert_eq!(
        pair.new
            .copy_into_empty(&table, &rows)
            .await
            .expect("inserted"),
        3
    );
    assert_eq!(read().await, expected);

    // Backwards, into rows that have become stale; what is not carried stays as it is.
    let back = pair.all(Side::New, &table, Form::Own).await;
    pair.run(Side::Old, r#"UPDATE public."Order" SET total = 5, ratio = 5, placed = now(), state = 'open', day = now() WHERE id = 1; DELETE FROM public."Order" WHERE id = 2"#).await;
    pair.old
        .apply(
            &table,
            &back.into_iter().map(Change::Upsert).collect::<Vec<_>>(),
        )
        .await
        .expect("applied");
    pair.assert_alike(&table).await;
    assert_eq!(
        pair.ask(Side::Old, r#"SELECT note FROM public."Order" WHERE id = 1"#)
            .await,
        [Some("dropped".to_owned())]
    );
    let stored = pair
        .ask(
            Side::Old,
            r#"SELECT placed::text FROM public."Order" WHERE id = 1"#,
        )
        .await;
    assert_eq!(stored, [Some("2024-05-06 07:08:09.123456+00".to_owned())]);
}

#[tokio::test]
async fn a_difference_is_seen_and_its_rows_are_found() {
    let pair = Pair::new("differ", HOSTILE, OLD, NEW, FILE).await;
    pair.run(Side::Old, ROWS).await;
    let table = pair.mapping().await.tables[0].clone();
    let rows = pair.all(Side::Old, &table, Form::Own).await;
    pair.new
        .insert_absent(&table, &rows)
        .await
        .expect("inserted");
    let whole = KeyRange::default();
    let before = pair.new.digest(&table, &whole).await.expect("a digest");
    for change in [
        r#"UPDATE sales."user" SET version = 9 WHERE "from" = 1"#,
        r#"UPDATE sales."user" SET code = '' WHERE "from" = 2"#,
        r#"UPDATE sales."user" SET ref = NULL WHERE "from" = -3"#,
    ] {
        pair.run(Side::New, &format!("BEGIN; {change}; COMMIT"))
            .await;
        assert_ne!(
            pair.new.digest(&table, &whole).await.expect("a digest"),
            before,
            "{change}"
        );
        pair.new
            .apply(
                &table,
                &rows.iter().cloned().map(Change::Upsert).collect::<Vec<_>>(),
            )
            .await
            .expect("applied");
        assert_eq!(
            pair.new.digest(&table, &whole).await.expect("a digest"),
            before
        );
    }
    // A column that only the new store has makes no difference.
    pair.run(Side::New, r#"UPDATE sales."user" SET extra = 'changed'"#)
        .await;
    assert_eq!(
        pair.new.digest(&table, &whole).await.expect("a digest"),
        before
    );

    let keys: Vec<_> = ["2", "77", "-3", "2"]
        .map(|key| Key(vec![Bytes::from_static(key.as_bytes())]))
        .into();
    let found = pair
        .new
        .fetch(&table, &keys, Form::Comparable)
        .await
        .expect("rows");
    let expected = pair
        .old
        .fetch(&table, &keys, Form::Comparable)
        .await
        .expect("rows");
    assert_eq!(found, expected);
    let present: Vec<_> = found
        .iter()
        .map(|row| row.as_ref().and_then(|row| table.key_of(row)))
        .collect();
    assert_eq!(
        present,
        [
            Some(keys[0].clone()),
            None,
            Some(keys[2].clone()),
            Some(keys[0].clone())
        ]
    );
}

#[tokio::test]
async fn trap_11_what_the_new_store_cannot_hold_is_refused_and_not_cut() {
    let pair = Pair::new("refused", "", OLD, NEW, FILE).await;
    pair.run(Side::Old, ROWS).await;
    let table = pair.mapping().await.tables[0].clone();
    pair.run(
        Side::Old,
        r#"UPDATE public."Order" SET code = 'abcdefgh' WHERE id = 1"#,
    )
    .await;
    let rows = pair.all(Side::Old, &table, Form::Own).await;
    for many in [
        rows.clone(),
        rows.iter().cycle().take(300).cloned().collect(),
    ] {
        let refused = pair.new.insert_absent(&table, &many).await;
        assert!(
            matches!(&refused, Err(StoreError::Rejected { sqlstate, .. }) if sqlstate == "22001"),
            "{refused:?}"
        );
    }
    let refused = pair
        .new
        .apply(
            &table,
            &rows.into_iter().map(Change::Upsert).collect::<Vec<_>>(),
        )
        .await;
    assert!(
        matches!(&refused, Err(StoreError::Rejected { sqlstate, .. }) if sqlstate == "22001"),
        "{refused:?}"
    );
    assert_eq!(
        pair.ask(Side::New, r#"SELECT count(*) FROM sales."user""#)
            .await,
        [Some("0".to_owned())]
    );
    // A value that is in no canonical text gets no further than this.
    let nonsense = Row(vec![Some(Bytes::from_static(b"xyz")); table.columns.len()]);
    assert!(pair.new.insert_absent(&table, &[nonsense]).await.is_err());
}

#[tokio::test]
async fn trap_35_keys_come_in_one_order_whatever_the_collations() {
    let schema = "CREATE TABLE public.words (word text PRIMARY KEY, n int)";
    let icu = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C.UTF-8'";
    let rows = "INSERT INTO public.words SELECT w, 1 FROM unnest(ARRAY['a','B','b','Z','_','ä','z','A b','Ab','a-b','aa', '', 'ß', 'ss']) AS w";
    for (name, create, native) in [
        ("mixed", ["", icu], false),
        ("both_icu", [icu, icu], true),
        ("both_c", ["", ""], true),
    ] {
        let pair =
            Pair::with_databases(name, create, "", [schema, schema], "[toggle.t.table.words]")
                .await;
        pair.run(Side::Old, rows).await;
        let table = pair.mapping().await.tables[0].clone();
        let order = crossfade_store::postgres::sql::key_order(&table, Side::Old, "t").remove(0);
        assert_eq!(
            !order.contains("COLLATE"),
            native,
            "{name}: {:?}",
            table.columns[0]
        );
        let rows = pair.all(Side::Old, &table, Form::Own).await;
        pair.new
            .insert_absent(&table, &rows)
            .await
            .expect("inserted");
        pair.assert_alike(&table).await;
        let (mut range, mut walked) = (KeyRange::default(), 0);
        while let Some(last) = pair
            .old
            .scan(&table, &range, 3, Form::Own)
            .await
            .expect("a chunk")
            .last()
            .and_then(|row| table.key_of(row))
        {
            let chunk = KeyRange {
                after: range.after.replace(last.clone()),
                upto: Some(last),
            };
            let digest = pair.old.digest(&table, &chunk).await.expect("a digest");
            assert_eq!(
                digest,
                pair.new.digest(&table, &chunk).await.expect("a digest")
            );
            walked += digest.rows;
        }
        assert_eq!(walked, 14);
    }
}

#[tokio::test]
async fn keys_of_types_that_live_in_other_schemas_find_their_rows() {
    let schema = "CREATE SCHEMA app; CREATE TYPE app.kind AS ENUM ('z', 'a'); CREATE DOMAIN app.name AS varchar(10);
        CREATE TABLE public.kinds (kind app.kind, name app.name, code char(4), at timestamptz, n int, PRIMARY KEY (kind, name, code, at))";
    // The order of an enum's labels is each store's own.
    let new = &schema.replace("'z', 'a'", "'a', 'z'");
    let pair = Pair::new(
        "kinds",
        HOSTILE,
        &format!("CREATE SCHEMA hostile; {schema}"),
        new,
        "[toggle.t.table.kinds]",
    )
    .await;
    pair.run(
        Side::Old,
        "INSERT INTO public.kinds VALUES ('z', 'one', 'ab', '2024-01-01', 1), ('a', 'one', 'abcd', 'infinity', 2), ('a', 'two', '', '-infinity', 3), ('z', 'two', 'x', 'infinity', 4)",
    )
    .await;
    let table = pair.mapping().await.tables[0].clone();
    let rows = pair.all(Side::Old, &table, Form::Own).await;
    pair.new
        .apply(
            &table,
            &rows.iter().cloned().map(Change::Upsert).collect::<Vec<_>>(),
        )
        .await
        .expect("applied");
    pair.assert_alike(&table).await;
    let keys: Vec<_> = rows.iter().filter_map(|row| table.key_of(row)).collect();
    let found = pair
        .new
        .fetch(&table, &keys, Form::Own)
        .await
        .expect("rows");
    assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), rows);
    let range = KeyRange {
        after: Some(keys[0].clone()),
        upto: Some(keys[2].clone()),
    };
    assert_eq!(
        pair.new
            .scan(&table, &range, 10, Form::Own)
            .await
            .expect("rows"),
        rows[1..3]
    );
    let guard = pair.new.lock_row(&table, &keys[1]).await.expect("locked");
    assert_eq!(guard.row(), Some(&rows[1]));
    guard.release().await.expect("released");
    pair.new
        .apply(
            &table,
            &keys[..3]
                .iter()
                .cloned()
                .map(Change::Delete)
                .collect::<Vec<_>>(),
        )
        .await
        .expect("applied");
    assert_eq!(pair.all(Side::New, &table, Form::Own).await, rows[3..]);
}
