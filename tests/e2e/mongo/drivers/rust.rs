//! tokio-postgres.

use std::{error::Error, time::Duration};

use bytes::{BufMut, BytesMut};
use futures::future::join_all;
use tokio_postgres::{
    Client, NoTls,
    error::SqlState,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};

use super::Moving;

/// A value of any type, as it travels in binary.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Raw(Option<Vec<u8>>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw, Box<dyn Error + Sync + Send>> {
        Ok(Raw(Some(raw.to_vec())))
    }

    fn from_sql_null(_: &Type) -> Result<Raw, Box<dyn Error + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Some(bytes) = &self.0 else {
            return Ok(IsNull::Yes);
        };
        out.put_slice(bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Columns of every type, apart from key and code.
const COLUMNS: &str = "flag, small, whole, big, single, double, price, label, raw, token, day, clock, moment, instant, span, doc, numbers, words, feeling";

/// A row with a value in each of them, and one with none.
const ROWS: &str = r#"
INSERT INTO things VALUES (101, 'full', true, -7, 70000, 1099511627776, 1.5, 0.1, 1234567.80, 'ünï', '\x00ff',
    '01234567-89ab-cdef-0123-456789abcdef', '2024-02-29', '23:59:59.999999', '2024-02-29 12:30:00.000001', '2024-02-29 12:30:00.000001+05:30',
    '1 mon 2 days 00:00:03.000004', '{"deep": [1, 2.50, null], "empty": {}}', '{1,NULL,-3}', '{a,NULL,"b,c",""}', 'happy');
INSERT INTO things (id, code) VALUES (102, 'empty');
"#;

/// What each statement's columns are called, of which type, and which column of which table they are: (name, type, modifier, table, number).
type Described = Vec<(String, Type, i32, Option<u32>, Option<i16>)>;

const DESCRIBED: [&str; 6] = [
    "SELECT * FROM things",
    "SELECT t.id AS key, upper(t.code), t.price + 1, t.price, c.value FROM things t LEFT JOIN counters c ON c.name = t.code",
    "SELECT count(*), sum(whole), avg(price), max(feeling), array_agg(code) FROM things",
    "INSERT INTO counters VALUES ($1, $2) RETURNING *, value + 1",
    "WITH w AS (SELECT id, feeling FROM things) SELECT w.feeling, x.* FROM w, (SELECT doc, doc->'a' AS a FROM things) x",
    "SELECT $1::numeric(6,2) AS n, now(), CASE WHEN flag THEN 'a' END, 1.5, NULL FROM things",
];

#[tokio::test]
async fn tokio_postgres_is_told_what_postgresql_told_it_and_works() {
    let mut moving = Moving::start().await;
    moving.database.run(ROWS).await;
    let client = moving.endpoint().connect().await;
    let described = descriptions(&client).await;
    let values = read(&client, "full").await;
    assert!(values.iter().all(|value| value.0.is_some()));
    let nulls = read(&client, "empty").await;
    drop(client);
    moving.finish().await;

    let client = moving.endpoint().connect().await;
    for (sql, (before, after)) in DESCRIBED
        .iter()
        .zip(described.iter().zip(descriptions(&client).await))
    {
        assert_eq!(*before, after, "{sql}");
    }
    assert_eq!(read(&client, "full").await, values);
    assert_eq!(read(&client, "empty").await, nulls);
    // The same values as parameters, in a row and in conditions.
    let marks: Vec<String> = (1..=values.len()).map(|n| format!("${}", n + 1)).collect();
    let insert = format!(
        "INSERT INTO things (code, {COLUMNS}) VALUES ($1, {})",
        marks.join(", ")
    );
    for (code, row) in [("again", &values), ("nothing", &nulls)] {
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&code];
        params.extend(row.iter().map(|value| value as &(dyn ToSql + Sync)));
        assert_eq!(client.execute(&insert, &params).await.unwrap(), 1);
        assert_eq!(read(&client, code).await, *row);
    }
    for (column, value) in COLUMNS.split(", ").zip(&values) {
        let find = format!("SELECT count(*) FROM things WHERE {column} = $1 AND code = 'again'");
        let found = client.query_one(&find, &[value]).await.unwrap();
        assert_eq!(found.get::<_, i64>(0), 1, "{column}");
    }
    work(&moving).await;
}

async fn descriptions(client: &Client) -> Vec<Described> {
    let mut all = Vec::new();
    for sql in DESCRIBED {
        let statement = client
            .prepare(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let columns = statement.columns().iter().map(|column| {
            let of = column.type_().clone();
            (
                column.name().to_owned(),
                of,
                column.type_modifier(),
                column.table_oid(),
                column.column_id(),
            )
        });
        all.push(columns.collect());
    }
    all
}

async fn read(client: &Client, code: &str) -> Vec<Raw> {
    let sql = format!("SELECT {COLUMNS} FROM things WHERE code = $1");
    let row = client.query_one(&sql, &[&code]).await.unwrap();
    (0..row.len()).map(|column| row.get(column)).collect()
}

/// One statement after the other, many at once, and what goes wrong.
async fn work(moving: &Moving) {
    let mut client = moving.endpoint().connect().await;
    nested(&mut client).await;
    portals(&mut client).await;
    // All under way at once: the driver pipelines them.
    let statement = client
        .prepare("SELECT code FROM things WHERE id = $1")
        .await
        .unwrap();
    let keys: Vec<i64> = (1..=50).collect();
    let rows = join_all(
        keys.iter()
            .map(async |key| client.query_one(&statement, &[key]).await.unwrap()),
    )
    .await;
    assert_eq!(rows[41].get::<_, String>(0), "seed 42");
    let taken = client
        .execute("INSERT INTO things (code) VALUES ('seed 1')", &[])
        .await
        .unwrap_err();
    let taken = taken.as_db_error().unwrap();
    assert_eq!(*taken.code(), SqlState::UNIQUE_VIOLATION);
    assert_eq!(
        (
            taken.schema(),
            taken.table(),
            taken.constraint(),
            taken.detail()
        ),
        (
            Some("public"),
            Some("things"),
            Some("things_code_key"),
            Some("Key (code)=(seed 1) already exists.")
        )
    );
    let wrong = moving
        .endpoint()
        .password("wrong")
        .try_connect()
        .await
        .unwrap_err();
    assert_eq!(wrong.code(), Some(&SqlState::INVALID_PASSWORD));
    // The other waits for a row that this one has locked.
    let other = moving.endpoint().connect().await;
    let change = "UPDATE counters SET value = 0 WHERE name = 'a'";
    client
        .batch_execute(&format!("BEGIN; {change}"))
        .await
        .unwrap();
    cancelled(&other, change).await;
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(other.execute(change, &[]).await.unwrap(), 1);
}

async fn nested(client: &mut Client) {
    let mut outer = client.transaction().await.unwrap();
    outer
        .execute("INSERT INTO counters VALUES ('a', 1)", &[])
        .await
        .unwrap();
    let inner = outer.savepoint("one").await.unwrap();
    inner
        .execute("UPDATE counters SET value = 2", &[])
        .await
        .unwrap();
    inner.rollback().await.unwrap();
    let inner = outer.transaction().await.unwrap();
    inner
        .execute("INSERT INTO counters VALUES ('b', $1)", &[&7_i64])
        .await
        .unwrap();
    inner.commit().await.unwrap();
    outer.commit().await.unwrap();
    let dropped = client.transaction().await.unwrap();
    dropped.execute("DELETE FROM counters", &[]).await.unwrap();
    drop(dropped);
    let rows = client
        .query("SELECT name, value FROM counters ORDER BY name", &[])
        .await
        .unwrap();
    let rows: Vec<(&str, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [("a", 1), ("b", 7)]);
}

async fn portals(client: &mut Client) {
    let transaction = client.transaction().await.unwrap();
    let of = "SELECT id FROM things WHERE id <= $1 ORDER BY id";
    let portal = transaction.bind(of, &[&20_i64]).await.unwrap();
    for expected in [15, 5, 0] {
        let rows = transaction.query_portal(&portal, 15).await.unwrap();
        assert_eq!(rows.len(), expected);
    }
    // A cursor takes the parameters of the statement that declares it.
    let declare =
        "DECLARE found CURSOR FOR SELECT id FROM things WHERE id > $1 ORDER BY id LIMIT 2";
    transaction.execute(declare, &[&30_i64]).await.unwrap();
    let rows = transaction
        .query("FETCH ALL FROM found", &[])
        .await
        .unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(ids, [31, 32]);
    transaction.rollback().await.unwrap();
}

async fn cancelled(client: &Client, sql: &str) {
    let token = client.cancel_token();
    let running = client.simple_query(sql);
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        token.cancel_query(NoTls).await.unwrap();
    };
    let (outcome, ()) = futures::future::join(running, cancelling).await;
    assert_eq!(
        outcome.unwrap_err().code(),
        Some(&SqlState::QUERY_CANCELED),
        "{sql}"
    );
}
