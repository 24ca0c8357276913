//! Every type comes back byte for byte as PostgreSQL prints it, or is refused.

use crossfade_tests::Mongod;

use super::{DATABASE, Documents};

/// A type and values of it, as SQL constants: the odd ones.
const TYPES: &[(&str, &[&str])] = &[
    ("boolean", &["true", "false"]),
    ("smallint", &["-32768", "0", "32767"]),
    ("int", &["-2147483648", "0", "2147483647"]),
    (
        "bigint",
        &["-9223372036854775808", "0", "9223372036854775807"],
    ),
    (
        "numeric",
        &[
            "0",
            "0.00",
            "1.50",
            "-1.5000",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "0.000000001",
            "12345678901234567890.12345678901234",
            "9999999999999999999999999999999999",
            "-0.0000000000000000000000000000000001",
            "1000000000000000000000",
        ],
    ),
    ("numeric(12,2)", &["0", "1.5", "-9999999999.99"]),
    (
        "real",
        &[
            "0",
            "'-0'",
            "1.1",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "1e-45",
            "3.4028235e38",
        ],
    ),
    (
        "double precision",
        &[
            "0",
            "'-0'",
            "0.1",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "5e-324",
            "1.7976931348623157e308",
        ],
    ),
    ("money", &["'-12.34'", "'92233720368547758.07'"]),
    (
        "text",
        &[
            "''",
            "'NULL'",
            "' a  b '",
            "E'\\\\ \" , ( ) { } \\n \\t'",
            "'Zürich 🦀'",
            "'$where'",
            "repeat('x', 100000)",
        ],
    ),
    ("varchar(9)", &["'abc'", "'abc   '"]),
    ("char(5)", &["'ab'", "''"]),
    ("bytea", &["''", "'\\x00ff10'"]),
    (
        "uuid",
        &[
            "'00000000-0000-0000-0000-000000000000'",
            "'ffffffff-ffff-4fff-bfff-ffffffffffff'",
        ],
    ),
    (
        "date",
        &[
            "'2000-01-01'",
            "'1969-12-31'",
            "'0044-03-15 BC'",
            "'5874897-12-31'",
            "'infinity'",
            "'-infinity'",
        ],
    ),
    ("time", &["'00:00'", "'23:59:59.999999'", "'24:00'"]),
    ("timetz", &["'12:34:56.789012+05:30'", "'00:00-15:59'"]),
    (
        "timestamp",
        &[
            "'2000-01-01'",
            "'1999-12-31 23:59:59.999999'",
            "'4713-01-01 BC'",
            "'294276-12-31 23:59:59.999999'",
            "'infinity'",
            "'-infinity'",
        ],
    ),
    (
        "timestamptz",
        &[
            "'2026-11-21 04:00:00.123456+00'",
            "'infinity'",
            "'-infinity'",
        ],
    ),
    (
        "interval",
        &[
            "'1 year 2 mons -3 days 04:05:06.789'",
            "'0'",
            "'-178000000 years'",
        ],
    ),
    (
        "json",
        &["'{\"b\":1,  \"a\" : [ 1.0 ]}'", "'null'", "'\"x\"'"],
    ),
    (
        "jsonb",
        &[
            "'null'",
            "'true'",
            "'{}'",
            "'[]'",
            "'\"x\"'",
            "'\"\"'",
            "'0'",
            "'-0'",
            "'1.50'",
            "'1e400'",
            "'123456789012345678901234567890123456789'",
            "'{\"\": 1, \"$set\": {\"a.b\": [null, {}]}, \"ünï\": \"\\u0001\\t\\\"\\\\ /\"}'",
            "'9223372036854775808'",
            "(repeat('[', 120) || repeat(']', 120))::jsonb",
            "'{\"_id\": 1}'",
        ],
    ),
    ("mood", &["'fine'", "'so so'"]),
    ("positive", &["1"]),
    ("inet", &["'10.0.0.1/24'", "'::1'"]),
    ("cidr", &["'10.0.0.0/8'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("bit(3)", &["B'101'"]),
    ("tsvector", &["'a fat cat'"]),
    ("point", &["'(1.5,-2)'"]),
    ("int4range", &["'[1,5)'", "'empty'", "'(,)'"]),
    ("tstzrange", &["'[2020-01-01 00:00+00,)'", "'empty'"]),
    (
        "int[]",
        &["'{}'", "'{1,NULL,-3}'", "'{{1,2},{3,4}}'", "'[0:1]={5,6}'"],
    ),
    ("bigint[]", &["'{9223372036854775807}'"]),
    ("numeric[]", &["'{1.50,NaN}'"]),
    ("boolean[]", &["'{t,f,NULL}'"]),
    (
        "text[]",
        &[
            "'{}'",
            "'{\"\",\"NULL\",NULL,\"a,b\",\"{x}\",\"q\\\"\\\\\",\" \"}'",
            "'{{a,b}}'",
        ],
    ),
    ("uuid[]", &["'{00000000-0000-0000-0000-000000000001}'"]),
    ("float8[]", &["'{0.1,NaN,NULL}'", "'{{1},{2}}'"]),
    (
        "timestamptz[]",
        &["'{2026-11-21 04:00:00.123456+00,infinity,NULL}'", "'{}'"],
    ),
    ("date[]", &["'{2026-11-21}'", "'[3:3]={2026-11-21}'"]),
    ("bytea[]", &["'{\"\\\\x00ff\"}'"]),
    ("jsonb[]", &["'{\"{\\\"a\\\": 1}\",NULL}'"]),
    ("point[]", &["'{\"(1,2)\"}'"]),
];

const OWN: &str =
    "CREATE TYPE mood AS ENUM ('fine', 'so so'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);";

#[tokio::test]
async fn every_type_comes_back_byte_for_byte() {
    let mut schema = OWN.to_owned();
    let mut tables = String::new();
    for (number, (ty, _)) in TYPES.iter().enumerate() {
        schema += &format!("CREATE TABLE t{number} (id int PRIMARY KEY, v {ty});");
        tables += &format!("[toggle.shop.table.t{number}]\n");
    }
    let documents = Documents::of(Mongod::start().await, &schema, &tables).await;
    let client = documents.client().await;
    for (number, (ty, values)) in TYPES.iter().enumerate() {
        for (id, value) in values.iter().chain(&["NULL"]).enumerate() {
            // Half of them by a write in both, half by a backfill.
            let sql = format!("INSERT INTO t{number} VALUES ({id}, {value})");
            match id % 2 {
                0 => client
                    .batch_execute(&sql)
                    .await
                    .unwrap_or_else(|error| panic!("{ty}: {sql}: {error:?}")),
                _ => documents.old().run(&sql).await,
            }
        }
    }
    documents.proxy.drained().await;
    documents.complete();
    for (number, (ty, values)) in TYPES.iter().enumerate() {
        let found = documents
            .server
            .documents(DATABASE, &format!("t{number}"))
            .await;
        assert_eq!(found.len(), values.len() + 1, "{ty}");
    }
}

#[tokio::test]
async fn keys_of_every_type_that_sorts_alike() {
    const KEYS: &[(&str, &str)] = &[
        ("bigint", "n - 50"),
        ("text", "md5(n::text) || 'Ä'"),
        ("varchar(40)", "chr(60 + n % 60) || n"),
        ("uuid", "md5(n::text)::uuid"),
        ("numeric(12,2)", "(n - 50) * 1.5"),
        ("date", "'2000-01-01'::date + (n - 50) * 1000"),
        (
            "timestamptz",
            "'2000-01-01'::timestamptz + (n - 50) * interval '1 day 1 us'",
        ),
        ("time", "'00:00'::time + n * interval '1 us'"),
    ];
    let mut schema = String::new();
    let mut tables = String::new();
    for (number, (ty, value)) in KEYS.iter().enumerate() {
        schema += &format!(
            "CREATE TABLE k{number} (k {ty} PRIMARY KEY, n int); INSERT INTO k{number} SELECT {value}, n FROM generate_series(1, 100) n;"
        );
        tables += &format!("[toggle.shop.table.k{number}]\n");
    }
    let documents = Documents::of(Mongod::start().await, &schema, &tables).await;
    documents.complete();
    for number in 0..KEYS.len() {
        documents
            .run(&format!(
                "UPDATE k{number} SET n = n + 1; DELETE FROM k{number} WHERE n % 10 = 0"
            ))
            .await;
    }
    documents.proxy.drained().await;
    documents.verify();
}

#[tokio::test]
async fn what_has_no_exact_form_is_named_before_and_refused_after() {
    let documents = Documents::of(
        Mongod::start().await,
        "CREATE TABLE sums (id int PRIMARY KEY, v numeric, p point);",
        "[toggle.shop.table.sums]\n",
    )
    .await;
    let check = documents.proxy.cli(&["check"]);
    for what in ["34 digits", "point"] {
        assert!(check.stdout.contains(what), "{}", check.stdout);
    }
    documents
        .run("INSERT INTO sums VALUES (1, 1234567890.1234567890123456789012345), (2, 2)")
        .await;
    documents.run("INSERT INTO sums VALUES (3, 3)").await;
    // All of its transaction, for it is all or nothing.
    documents.proxy.dirty(1).await;
    let status = documents.proxy.cli(&["status"]);
    assert!(status.stdout.contains("34 digits"), "{}", status.stdout);
    documents
        .old()
        .run("UPDATE sums SET v = 1 WHERE id = 1")
        .await;
    documents.proxy.drained().await;
    documents.complete();
}

#[tokio::test]
async fn json_that_looks_like_extended_json_is_plain_json() {
    let documents = Documents::of(
        Mongod::start().await,
        "CREATE TABLE notes (id int PRIMARY KEY, v jsonb);",
        "[toggle.shop.table.notes]\n",
    )
    .await;
    for (id, name) in ["$oid", "$numberInt", "$date", "$binary", "$symbol"]
        .iter()
        .enumerate()
    {
        documents
            .run(&format!(
                "INSERT INTO notes VALUES ({id}, '{{\"{name}\": \"nope\"}}')"
            ))
            .await;
    }
    documents.proxy.drained().await;
    documents.complete();
}

#[tokio::test]
async fn a_backfill_goes_on_behind_a_row_that_has_no_document() {
    let documents = Documents::of(
        Mongod::start().await,
        "CREATE TABLE files (id int PRIMARY KEY, content text);
         INSERT INTO files SELECT n, repeat('x', CASE n WHEN 2 THEN 17000000 ELSE 1 END) FROM generate_series(1, 4) n;",
        "[toggle.shop.table.files]\n",
    )
    .await;
    let backfill = documents.proxy.cli(&["backfill"]);
    assert!(
        backfill.stdout.contains("3 copied"),
        "{}{}",
        backfill.stdout,
        backfill.stderr
    );
    documents.proxy.dirty(1).await;
    documents
        .run("UPDATE files SET content = 'small' WHERE id = 2")
        .await;
    documents.proxy.drained().await;
    documents.complete();
}

#[tokio::test]
async fn a_key_that_sorts_otherwise_is_refused_before_anything_is_written() {
    let stores = crossfade_tests::Stores::create("").await;
    stores
        .old
        .run("CREATE TABLE files (k bytea PRIMARY KEY)")
        .await;
    let server = Mongod::start().await;
    let config = crossfade_tests::ConfigBuilder::new(stores.old.own(), stores.old.own())
        .new_url(&server.url(DATABASE))
        .toggle("shop", "use-old", "[toggle.shop.table.files]\n");
    let mut proxy = crossfade_tests::Proxy::start(config).await;
    let why = proxy.flip_refused("dual-write").await;
    assert!(why.contains("does not sort"), "{why}");
}

#[tokio::test]
async fn large_rows_go_through_and_those_beyond_sixteen_megabytes_are_refused() {
    let documents = Documents::of(
        Mongod::start().await,
        "CREATE TABLE files (id int PRIMARY KEY, content text);",
        "[toggle.shop.table.files]\n",
    )
    .await;
    let mb = |id: u32, size: u32| format!("({id}, repeat('x', {size} * 1024 * 1024))");
    // More than one command takes, in one transaction.
    documents
        .run(&format!(
            "INSERT INTO files VALUES {}, {}, {}",
            mb(1, 10),
            mb(2, 10),
            mb(3, 1)
        ))
        .await;
    documents.proxy.drained().await;
    documents.complete();
    documents
        .run(&format!("INSERT INTO files VALUES {}", mb(4, 17)))
        .await;
    documents.proxy.dirty(1).await;
    documents
        .run("UPDATE files SET content = 'small' WHERE id = 1")
        .await;
    documents.run("DELETE FROM files WHERE id = 4").await;
    documents.proxy.drained().await;
    documents.verify();
}
