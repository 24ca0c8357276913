//! Columns and tables under other names, other types, other schemas.

use crate::shop::Shop;
use crossfade_tests::{ConfigBuilder, Database, Proxy, compare};
use futures::SinkExt as _;
use tokio_postgres::types::Type;

const OLD: &str = "
CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, amount float8, joined text, secret text, touched timestamptz DEFAULT now());";
const NEW: &str = "
CREATE SCHEMA crm;
CREATE TABLE crm.contacts (person_id bigint PRIMARY KEY, full_name varchar(100) NOT NULL, balance numeric(12,2), joined date,
    touched timestamptz, only_here text DEFAULT 'new');";
const TABLES: &str = r#"
[toggle.shop.table.people]
version = "touched"
target = "crm.contacts"
column.id = "person_id"
column.name = "full_name"
column.amount = { to = "balance", type = "numeric(12,2)" }
column.joined = { to = "joined", type = "date" }
column.secret = false
"#;
const SEED: &str = "INSERT INTO people VALUES (1, 'Ada', 1.5, '1815-12-10', 'x'), (2, 'Ben', 2, '2001-02-03', NULL)";

/// Both tables in the new one's terms.
async fn assert_alike(old: &Database, new: &Database) {
    let left = "SELECT id::bigint, name, amount::numeric(12,2), joined::date, touched FROM people";
    let right = "SELECT person_id, full_name, balance, joined, touched FROM crm.contacts";
    assert!(
        compare::queries(old, left, new, right).await > 0,
        "nothing was compared"
    );
}

#[tokio::test]
async fn renamed_retyped_and_dropped_columns_from_old_to_new() {
    let shop = Shop::with("dual-write", OLD, NEW, TABLES, SEED, |config| config).await;
    shop.run("INSERT INTO people (id, name, amount, joined, secret) VALUES (3, 'Eve', 3.999, '1999-01-01', 'not carried')").await;
    shop.run(
        "UPDATE people SET amount = amount * 2, touched = clock_timestamp() WHERE name = 'Ada'",
    )
    .await;
    shop.run("UPDATE people SET id = 20 WHERE id = 2; DELETE FROM people WHERE name = 'Eve'")
        .await;
    assert_alike(&shop.stores.old, &shop.stores.new).await;
    shop.stores
        .new
        .becomes(
            "SELECT only_here FROM crm.contacts WHERE person_id = 1",
            "new",
        )
        .await;
    shop.assert_clean().await;
    shop.proxy.cli(&["verify"]).expect(0);
}

#[tokio::test]
async fn a_column_that_is_not_carried_survives_writes_from_the_new_side() {
    let mut shop = Shop::with("dual-write", OLD, NEW, TABLES, SEED, |config| config).await;
    shop.proxy.walk(&["dual-read", "new-primary"]).await;
    // In 5 a statement in the old names is either served or refused; the old store's own column stays as it was.
    if let Err(error) = shop
        .client()
        .await
        .batch_execute("UPDATE people SET amount = 7 WHERE id = 1")
        .await
    {
        assert_eq!(
            error.code().map(|code| code.code()),
            Some("0A000"),
            "{error:?}"
        );
    }
    shop.stores
        .old
        .becomes("SELECT secret FROM people WHERE id = 1", "x")
        .await;
    assert_alike(&shop.stores.old, &shop.stores.new).await;
}

/// The new store has no MERGE that means the same; what runs there means it.
#[tokio::test]
async fn trap_34_a_prepared_merge_into_a_table_that_differs_on_either_side() {
    let mut shop = Shop::with("dual-write", OLD, NEW, TABLES, SEED, |config| config).await;
    let client = shop.client().await;
    let merge = client
        .prepare(
            "MERGE INTO people p USING (VALUES ($1::int, $2), (7, 'Fay')) AS s (id, name) ON p.id = s.id WHEN MATCHED AND p.amount > $3 THEN DELETE \
             WHEN MATCHED THEN UPDATE SET amount = p.amount + $3, name = s.name || p.name WHEN NOT MATCHED THEN INSERT (id, name, amount, joined) VALUES (s.id, s.name, $3, $4)",
        )
        .await
        .unwrap();
    assert_eq!(
        merge.params(),
        [Type::INT4, Type::TEXT, Type::FLOAT8, Type::TEXT]
    );
    let mut phases = ["dual-read", "new-primary"].iter();
    loop {
        for (id, more) in [(1, 3.25_f64), (5, 4.5), (5, 1.0)] {
            client
                .execute(&merge, &[&id, &"Gil", &more, &"2003-04-05"])
                .await
                .unwrap();
            assert_alike(&shop.stores.old, &shop.stores.new).await;
        }
        let Some(phase) = phases.next() else { break };
        shop.proxy.walk(&[phase]).await;
    }
    let sql = "SELECT string_agg(person_id || full_name || balance, ',' ORDER BY person_id) FROM crm.contacts";
    let left = shop.stores.new.value(sql).await;
    assert!(left.contains("Gil"), "{left}");
    shop.assert_clean().await;
}

#[tokio::test]
async fn trap_11_a_value_that_does_not_fit_the_new_type_stays_dirty_and_the_client_goes_on() {
    let shop = Shop::with("dual-write", OLD, NEW, TABLES, SEED, |config| config).await;
    shop.run("INSERT INTO people (id, name, joined) VALUES (4, 'Max', 'some day')")
        .await;
    shop.proxy.dirty(1).await;
    shop.stores
        .old
        .becomes("SELECT count(*) FROM people WHERE id = 4", "1")
        .await;
    shop.run("UPDATE people SET joined = '2020-02-02' WHERE id = 4")
        .await;
    shop.proxy.drained().await;
    assert_alike(&shop.stores.old, &shop.stores.new).await;
}

#[tokio::test]
async fn two_schemas_of_one_database_are_written_in_one_transaction() {
    let stores = crossfade_tests::Stores::create("").await;
    let database = &stores.old;
    let table = "(id int PRIMARY KEY, a text, at timestamptz DEFAULT clock_timestamp())";
    database.run(&format!("CREATE TABLE public.things {table}; CREATE SCHEMA next; CREATE TABLE next.things {table}")).await;
    database
        .run("INSERT INTO things VALUES (1, 'one'), (2, 'two')")
        .await;
    let config = ConfigBuilder::new(database.own(), database.own())
        .new_line("schema = \"next\"")
        .section("[flips]\nmismatch_window = \"0s\"")
        .toggle(
            "shop",
            "use-old",
            "[toggle.shop.table.things]\nversion = \"at\"\n",
        );
    let mut proxy = Proxy::start(config).await;
    proxy.flip("dual-write").await;
    proxy.cli(&["backfill"]).expect(0);
    proxy.cli(&["verify"]).expect(0);
    // Which transactions write which of the two tables, from here on.
    let note = "CREATE TABLE written (xact xid8, tbl text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO written VALUES (pg_current_xact_id(), TG_TABLE_SCHEMA); RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON public.things FOR EACH ROW EXECUTE FUNCTION note();
        CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON next.things FOR EACH ROW EXECUTE FUNCTION note();";
    database.run(note).await;
    for phase in ["dual-write", "dual-read", "new-primary"] {
        proxy.flip(phase).await;
        let client = proxy.connect(database).await;
        let sql = format!(
            "INSERT INTO things VALUES ({0}1, '{phase}'); UPDATE things SET a = a || '!' WHERE id < 3",
            phase.len()
        );
        client.batch_execute(&sql).await.unwrap();
        client
            .batch_execute("BEGIN; DELETE FROM things; ROLLBACK")
            .await
            .unwrap();
        let rows = compare::tables(database, "public.things", database, "next.things").await;
        assert!(rows >= 2, "{phase}: {rows} rows");
        // Each transaction that wrote one of the tables wrote the other.
        let sql = "SELECT count(*), count(*) FILTER (WHERE tables = 2) \
                   FROM (SELECT count(DISTINCT tbl) AS tables FROM written GROUP BY xact) each";
        let counts = database.rows(sql).await.remove(0);
        assert!(
            counts[0] == counts[1] && counts[0].as_deref() != Some("0"),
            "{phase}: {counts:?}"
        );
        let sink = client
            .copy_in("COPY things (id, a) FROM STDIN")
            .await
            .unwrap();
        let mut sink = std::pin::pin!(sink);
        let rows = (1000..1300)
            .map(|id| format!("{id}\t{phase}\n"))
            .collect::<String>();
        sink.send(bytes::Bytes::from(rows)).await.unwrap();
        assert_eq!(sink.finish().await.unwrap(), 300);
        let rows = compare::tables(database, "public.things", database, "next.things").await;
        assert!(rows >= 300, "{phase}: {rows} rows");
        client
            .batch_execute(
                "BEGIN; TRUNCATE things; INSERT INTO things VALUES (1, 'one'), (2, 'two'); COMMIT",
            )
            .await
            .unwrap();
        let rows = compare::tables(database, "public.things", database, "next.things").await;
        assert_eq!(rows, 2, "{phase}");
        database.run("TRUNCATE written").await;
    }
}
