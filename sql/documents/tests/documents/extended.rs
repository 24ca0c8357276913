//! Through a driver: prepared statements, parameters and answers in binary and in text.

use std::error::Error;

use bytes::BytesMut;
use crossfade_tests::Mongod;
use tokio_postgres::{
    Client, SimpleQueryMessage,
    types::{Format, FromSql, IsNull, ToSql, Type, to_sql_checked},
};

use crate::{script::DATA, world::World};

/// Columns of `samples`, values for them, and whether a value is to be found again by `=`.
const VALUES: &[(&str, &str, &[&str], bool)] = &[
    ("c_bool", "boolean", &["true", "false"], true),
    ("c_int2", "smallint", &["-32768", "32767"], true),
    ("c_int4", "integer", &["-2147483648", "0"], true),
    (
        "c_int8",
        "bigint",
        &["-9223372036854775808", "9223372036854775807"],
        true,
    ),
    (
        "c_numeric",
        "numeric",
        &[
            "0",
            "0.00",
            "-12345678.90120",
            "NaN",
            "1e20",
            "0.000001",
            "Infinity",
        ],
        true,
    ),
    (
        "c_money_like",
        "numeric(10,2)",
        &["1.50", "-99999999.99"],
        true,
    ),
    (
        "c_float4",
        "real",
        &["0.1", "NaN", "-Infinity", "3.4028235e38"],
        true,
    ),
    (
        "c_float8",
        "double precision",
        &["0.1", "NaN", "-0", "1.7976931348623157e308"],
        true,
    ),
    ("c_text", "text", &["", "a'b\\c", "日本"], true),
    ("c_varchar", "varchar(20)", &["", "vär"], true),
    ("c_char", "char(6)", &["", "ab", "äöüßé!"], true),
    ("c_bytea", "bytea", &["\\x", "\\x00ff"], true),
    (
        "c_uuid",
        "uuid",
        &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
        true,
    ),
    (
        "c_date",
        "date",
        &[
            "2024-02-29",
            "infinity",
            "-infinity",
            "0001-01-01",
            "4713-01-01 BC",
        ],
        true,
    ),
    (
        "c_time",
        "time",
        &["00:00", "23:59:59.999999", "24:00"],
        true,
    ),
    ("c_timetz", "timetz", &["12:34:56.7+05:30"], true),
    (
        "c_timestamp",
        "timestamp",
        &[
            "2024-02-29 12:34:56.789012",
            "infinity",
            "-infinity",
            "0001-01-01 00:00:00",
        ],
        true,
    ),
    (
        "c_timestamptz",
        "timestamptz",
        &["2024-02-29 12:34:56.789012+00", "infinity"],
        true,
    ),
    (
        "c_interval",
        "interval",
        &["1 year 2 mons -3 days 04:05:06.7", "0"],
        true,
    ),
    ("c_json", "json", &["{\"b\" : 1, \"a\":[]}"], false),
    (
        "c_jsonb",
        "jsonb",
        &["{\"b\": 1, \"a\": [1.50, null]}", "null", "\"x\""],
        true,
    ),
    ("c_mood", "mood", &["sad", "happy"], true),
    ("c_email", "text", &["x@y"], true),
    (
        "c_ints",
        "int[]",
        &["{}", "{1,NULL,-3}", "{{1,2},{3,4}}"],
        true,
    ),
    ("c_texts", "text[]", &["{a,NULL,\"b c\"}"], true),
    ("c_numerics", "numeric[]", &["{1.50,NaN}"], true),
    (
        "c_uuids",
        "uuid[]",
        &["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"],
        true,
    ),
    (
        "c_timestamps",
        "timestamp[]",
        &["{2024-01-01,infinity}"],
        true,
    ),
    ("c_moods", "mood[]", &["{sad,happy}"], true),
];

/// A value of any type as it is on the wire.
#[derive(Debug, PartialEq)]
struct Raw(Option<Vec<u8>>, bool);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw, Box<dyn Error + Sync + Send>> {
        Ok(Raw(Some(raw.to_vec()), true))
    }

    fn from_sql_null(_: &Type) -> Result<Raw, Box<dyn Error + Sync + Send>> {
        Ok(Raw(None, true))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match &self.0 {
            Some(bytes) => out.extend_from_slice(bytes),
            None => return Ok(IsNull::Yes),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        if self.1 { Format::Binary } else { Format::Text }
    }

    to_sql_checked!();
}

async fn text_of(client: &Client, sql: &str) -> Option<String> {
    let messages = client
        .simple_query(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
        _ => None,
    });
    row.unwrap_or_else(|| panic!("{sql}: no row"))
}

/// A value of every type goes in as a binary and as a text parameter, comes out in binary and in text, and is found by itself.
#[tokio::test]
async fn parameters_of_every_type_in_both_formats() {
    let mongod = Mongod::start().await;
    let world = World::new(&mongod).await;
    let documents = world.driver().await;
    let postgres = world.postgres().connect().await;
    let mut id = 0_i32;
    for (column, ty, values, comparable) in VALUES {
        let insert = documents
            .prepare(&format!(
                "INSERT INTO samples (id, {column}) VALUES ($1, $2) RETURNING {column}"
            ))
            .await
            .unwrap();
        let select = documents
            .prepare(&format!("SELECT {column} FROM samples WHERE id = $1"))
            .await
            .unwrap();
        let find = format!("SELECT count(*) FROM samples WHERE id = $1 AND {column} = $2");
        for value in *values {
            let literal = format!("SELECT '{}'::{ty}", value.replace('\'', "''"));
            let expected: Raw = postgres.query_one(&literal, &[]).await.unwrap().get(0);
            let text = text_of(&postgres, &literal).await;
            for binary in [true, false] {
                id += 1;
                let given = if binary {
                    Raw(expected.0.clone(), true)
                } else {
                    Raw(text.clone().map(String::into_bytes), false)
                };
                let told = |what: &str| format!("{column} = {value:?}, {what}, binary: {binary}");
                let returned = documents.query_one(&insert, &[&id, &given]).await;
                let returned: Raw = returned
                    .unwrap_or_else(|error| panic!("{}: {error:?}", told("insert")))
                    .get(0);
                assert_eq!(returned, expected, "{}", told("returned"));
                let read: Raw = documents.query_one(&select, &[&id]).await.unwrap().get(0);
                assert_eq!(read, expected, "{}", told("read"));
                let read = text_of(
                    &documents,
                    &format!("SELECT {column} FROM samples WHERE id = {id}"),
                )
                .await;
                assert_eq!(read, text, "{}", told("text"));
                if *comparable {
                    let found = documents.query_one(&find, &[&id, &given]).await;
                    let found: i64 = found
                        .unwrap_or_else(|error| panic!("{}: {error:?}", told("found")))
                        .get(0);
                    assert_eq!(found, 1, "{}", told("found"));
                }
            }
        }
        id += 1;
        documents
            .execute(&insert, &[&id, &Raw(None, true)])
            .await
            .unwrap();
        let read: Raw = documents.query_one(&select, &[&id]).await.unwrap().get(0);
        assert_eq!(read, Raw(None, true), "{column}");
    }
}

/// What `Describe` says of parameters and columns is what PostgreSQL says.
#[tokio::test]
async fn statements_are_described_as_postgresql_does() {
    let mongod = Mongod::start().await;
    let world = World::new(&mongod).await;
    let documents = world.driver().await;
    let postgres = world.postgres().connect().await;
    for sql in [
        "SELECT * FROM people WHERE id = $1",
        "SELECT id FROM people WHERE name = $1 AND age > $2 AND born < $3 AND score = $4 AND feeling = $5 AND active = $6",
        "SELECT $1::int + $2, $3 || 'x', coalesce($4, 1.5), $5 = ANY ('{1,2}'::bigint[])",
        "SELECT id FROM people WHERE id = ANY ($1) ORDER BY id LIMIT $2 OFFSET $3",
        "SELECT id FROM people WHERE id IN ($1, $2) AND name LIKE $3 AND age BETWEEN $4 AND $5",
        "INSERT INTO people (name, nick, code, age, born) VALUES ($1, $2, $3, $4, $5) RETURNING *",
        "INSERT INTO accounts (owner, balance, opened) VALUES ($1, $2, $3) ON CONFLICT (owner, currency) DO UPDATE SET balance = accounts.balance + $4 RETURNING id, balance",
        "INSERT INTO counters (id, n) SELECT $1, $2 WHERE NOT EXISTS (SELECT 1 FROM counters WHERE id = $1)",
        "UPDATE people SET age = $1, name = $2, height = $3 WHERE id = $4",
        "UPDATE people SET age = age + $1, feeling = $2 WHERE id = $3 RETURNING age AS now, feeling",
        "DELETE FROM movements WHERE account = $1 AND amount > $2",
        "SELECT p.name, sum(a.balance), count(*), max(a.opened) FROM people p JOIN accounts a ON a.owner = p.id WHERE a.currency = $1 GROUP BY p.name HAVING sum(a.balance) > $2",
        "SELECT attributes -> $1, attributes ->> $2, tags[$3] FROM products WHERE attributes @> $4",
        "SELECT CASE WHEN $1 THEN 1 ELSE 2 END, $2::text, $3::numeric(10,2), now(), current_date",
        "SELECT opened + $1, opened - $2 FROM accounts WHERE opened > $3",
        "SELECT lower($1), length($2), substr($3, $4), round($5, 2), abs($6::int)",
        "SELECT 'x', NULL, 1, 1.5, true, $1",
        "VALUES ($1, $2)",
        "SELECT $1 UNION SELECT name FROM people",
    ] {
        let expected = postgres.prepare(sql).await;
        let found = documents.prepare(sql).await;
        match (expected, found) {
            (Ok(expected), Ok(found)) => {
                assert_eq!(found.params(), expected.params(), "{sql}");
                let columns = |statement: &tokio_postgres::Statement| {
                    let columns = statement.columns().iter();
                    columns
                        .map(|column| {
                            format!(
                                "{} {:?} {:?} {:?}",
                                column.name(),
                                column.type_(),
                                column.table_oid(),
                                column.column_id()
                            )
                        })
                        .collect::<Vec<_>>()
                };
                assert_eq!(columns(&found), columns(&expected), "{sql}");
            }
            (Err(expected), Err(found)) => assert_eq!(found.code(), expected.code(), "{sql}"),
            (expected, found) => panic!("{sql}: {expected:?} and {found:?}"),
        }
    }
}

/// Prepared statements run again and again, in transactions of the driver's, with portals that give a few rows at a time.
#[tokio::test]
async fn a_driver_works_as_usual() {
    let mongod = Mongod::start().await;
    let world = World::new(&mongod).await;
    let mut client = world.driver().await;
    client.batch_execute(DATA).await.unwrap();
    let select = client
        .prepare("SELECT name FROM people WHERE id = $1")
        .await
        .unwrap();
    for (id, name) in [(1, "Ada"), (2, "Bob"), (1, "Ada")] {
        assert_eq!(
            client
                .query_one(&select, &[&id])
                .await
                .unwrap()
                .get::<_, &str>(0),
            name
        );
    }
    assert!(client.query_opt(&select, &[&99]).await.unwrap().is_none());
    let transaction = client.transaction().await.unwrap();
    let changed = transaction
        .execute("UPDATE people SET age = $1 WHERE active", &[&50])
        .await
        .unwrap();
    assert_eq!(changed, 5);
    let all = transaction
        .bind("SELECT id FROM people ORDER BY id", &[])
        .await
        .unwrap();
    let mut ids = Vec::new();
    loop {
        let some = transaction.query_portal(&all, 3).await.unwrap();
        if some.is_empty() {
            break;
        }
        assert!(some.len() <= 3);
        ids.extend(some.iter().map(|row| row.get::<_, i32>(0)));
    }
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7]);
    transaction.rollback().await.unwrap();
    let old: Option<i32> = client
        .query_one("SELECT age FROM people WHERE id = 1", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(old, Some(36));
    let error = client
        .execute(
            "INSERT INTO people (name, nick) VALUES ($1, $2)",
            &[&"x", &"ada"],
        )
        .await
        .unwrap_err();
    let told = error.as_db_error().unwrap();
    assert_eq!(
        (told.code().code(), told.constraint()),
        ("23505", Some("people_nick_key"))
    );
    // Many statements in one batch of messages.
    let more = client.prepare("INSERT INTO counters VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = counters.n + excluded.n").await.unwrap();
    let parameters: Vec<(i32, i64)> = (0..40).map(|n| (n % 4, 1)).collect();
    let calls = parameters
        .iter()
        .map(|(id, n)| client.execute_raw(&more, [id as &(dyn ToSql + Sync), n]));
    for outcome in futures::future::join_all(calls).await {
        assert_eq!(outcome.unwrap(), 1);
    }
    let sums = client
        .query("SELECT n FROM counters ORDER BY id", &[])
        .await
        .unwrap();
    assert!(sums.iter().all(|row| row.get::<_, i64>(0) == 10));
}
