//! What the catalog says, and mappings that do not fit it.

use crossfade_config::QualifiedName;
use crossfade_phase::Side;
use crossfade_store::{FkAction, Store as _, resolve};

use crate::common::Pair;

pub(crate) fn name(schema: &str, name: &str) -> QualifiedName {
    QualifiedName {
        schema: schema.into(),
        name: name.into(),
    }
}

#[tokio::test]
async fn a_relation_is_read_as_it_is() {
    let schema = r#"
        CREATE SCHEMA "My App"; CREATE TYPE "My App"."Mood" AS ENUM ('a'); CREATE DOMAIN "My App".price AS numeric(10,2) NOT NULL DEFAULT 0;
        CREATE TYPE "My App".event AS (at timestamptz, what text); CREATE TYPE "My App".plain AS (a int, b text);
        CREATE SEQUENCE "My App".numbers;
        CREATE TABLE "My App"."Parent" (id int PRIMARY KEY);
        CREATE TABLE "My App"."T" ("A" int, gone int, b bigserial, c int GENERATED ALWAYS AS IDENTITY, d int DEFAULT nextval('"My App".numbers'), e "My App"."Mood"[],
            f "My App".price, g timestamptz(3)[], h "My App".event, i "My App".plain, j text COLLATE "C", k int GENERATED ALWAYS AS ("A" + 1) STORED,
            parent int REFERENCES "My App"."Parent" ON DELETE CASCADE ON UPDATE SET NULL DEFERRABLE, PRIMARY KEY (b, "A"), UNIQUE (j) , UNIQUE (d) DEFERRABLE);
        ALTER TABLE "My App"."T" DROP COLUMN gone;
        CREATE UNIQUE INDEX partial ON "My App"."T" (d) WHERE d > 0; CREATE UNIQUE INDEX expressed ON "My App"."T" (lower(j)); CREATE UNIQUE INDEX including ON "My App"."T" (d, c) INCLUDE (j);
        INSERT INTO "My App"."Parent" SELECT generate_series(1, 500)
    "#;
    let pair = Pair::new(
        "catalog",
        "search_path = 'My App', public",
        schema,
        "",
        "[toggle.t.table.x]",
    )
    .await;
    let relation = pair
        .old
        .relation(&name("My App", "T"))
        .await
        .expect("read")
        .expect("there");
    assert!(relation.server.version >= 120_000 && relation.server.encoding == "UTF8");
    let columns: Vec<_> = relation
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.type_name.as_str()))
        .collect();
    assert_eq!(
        columns,
        [
            ("A", "integer"),
            ("b", "bigint"),
            ("c", "integer"),
            ("d", "integer"),
            ("e", "\"My App\".\"Mood\"[]"),
            ("f", "\"My App\".price"),
            ("g", "timestamp(3) with time zone[]"),
            ("h", "\"My App\".event"),
            ("i", "\"My App\".plain"),
            ("j", "text"),
            ("k", "integer"),
            ("parent", "integer"),
        ]
    );
    let column = |name: &str| relation.column(name).expect("there");
    assert_eq!(column("f").base_type, "numeric(10,2)");
    assert_eq!(column("f").type_oid, 1700);
    assert!(column("f").not_null && column("f").has_default);
    assert_eq!(column("b").sequence, Some(name("My App", "T_b_seq")));
    assert_eq!(column("c").sequence, Some(name("My App", "T_c_seq")));
    assert_eq!(column("d").sequence, Some(name("My App", "numbers")));
    assert!(column("c").identity_always && column("k").generated && !column("k").identity_always);
    assert!(
        column("h").text_varies
            && !column("i").text_varies
            && !column("g").text_varies
            && !column("e").text_varies
    );
    assert_eq!(column("j").collation.as_deref(), Some("C"));
    let unique: Vec<_> = relation
        .unique
        .iter()
        .map(|index| (index.primary, index.columns.join(" ")))
        .collect();
    assert_eq!(
        unique,
        [
            (true, "b A".to_owned()),
            (false, "j".to_owned()),
            (false, "d c".to_owned())
        ]
    );
    assert_eq!(relation.partial_unique, ["expressed", "partial"]);
    let key = &relation.foreign_keys[0];
    assert_eq!(
        (key.on_delete, key.on_update, key.deferrable),
        (FkAction::Cascade, FkAction::SetNull, true)
    );
    assert_eq!(
        (
            &key.parent,
            key.columns.as_slice(),
            key.parent_columns.as_slice()
        ),
        (
            &name("My App", "Parent"),
            &["parent".to_owned()][..],
            &["id".to_owned()][..]
        )
    );
    let parent = pair
        .old
        .relation(&name("My App", "Parent"))
        .await
        .expect("read")
        .expect("there");
    assert_eq!(parent.referenced_by, relation.foreign_keys);
    assert!(
        pair.old
            .relation(&name("My App", "t"))
            .await
            .expect("read")
            .is_none()
    );
}

const REACHED: &str = r#"
    CREATE TABLE public.orders (id int PRIMARY KEY, at date); CREATE TABLE public.other (id int);
    CREATE VIEW public.open_orders AS SELECT * FROM public.orders; CREATE MATERIALIZED VIEW public.daily AS SELECT count(*) FROM public.open_orders;
    CREATE VIEW public.both_of_them AS SELECT o.id FROM public.other o WHERE EXISTS (SELECT FROM public.daily);
    CREATE VIEW public.others AS SELECT * FROM public.other;
    CREATE SCHEMA elsewhere; CREATE VIEW elsewhere.orders AS SELECT * FROM public.other;
    CREATE TABLE public.child (extra int) INHERITS (public.orders);
    CREATE TABLE public.parted (id int, at date) PARTITION BY RANGE (id); CREATE TABLE public.part_1 PARTITION OF public.parted FOR VALUES FROM (0) TO (10);
    CREATE FUNCTION public.add_order() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO Orders VALUES (1); END $$;
    CREATE FUNCTION public.count_orders() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM orders';
    CREATE FUNCTION public.add_through_view() RETURNS void LANGUAGE sql AS 'INSERT INTO open_orders VALUES (1)';
    CREATE PROCEDURE public.clear_orders() LANGUAGE sql BEGIN ATOMIC DELETE FROM public.orders; END;
    CREATE FUNCTION public.add_orders_archive() RETURNS void LANGUAGE sql AS 'INSERT INTO other SELECT 1 /* orders_archive */';
"#;

#[tokio::test]
async fn names_that_reach_a_mapped_table_are_found() {
    let pair = Pair::new(
        "aliases",
        "",
        REACHED,
        REACHED,
        "[toggle.t.table.orders]\n[toggle.t.table.parted]\nkey = [\"id\"]",
    )
    .await;
    pair.run(Side::Old, "ALTER TABLE parted ADD PRIMARY KEY (id)")
        .await;
    let mapping = pair.mapping().await;
    let aliases = &mapping.old_aliases;
    let names =
        |map: &std::collections::BTreeMap<String, _>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&aliases.views),
        ["both_of_them", "daily", "open_orders"]
    );
    assert_eq!(names(&aliases.children), ["child", "part_1"]);
    assert_eq!(
        names(&aliases.writing_functions),
        ["add_order", "add_through_view", "clear_orders"]
    );
    assert_eq!(names(&aliases.namesakes), ["elsewhere"]);
    let orders = mapping
        .tables
        .iter()
        .find(|table| table.old.name.name == "orders")
        .expect("mapped");
    assert_eq!(aliases.views["daily"], [orders.id]);
    assert_eq!(mapping.new_aliases.views, aliases.views);
}

#[tokio::test]
async fn every_mistake_of_a_mapping_is_reported_at_once() {
    let old = "CREATE TABLE a (id int PRIMARY KEY, v int, w int); CREATE TABLE b (id int, v int); CREATE TABLE c (id int PRIMARY KEY, v int UNIQUE); CREATE TABLE d (id int PRIMARY KEY)";
    let new = "CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE b (id int, v int); CREATE TABLE c (id int PRIMARY KEY, v int)";
    let file = "[toggle.t.table.a]\nversion = \"nope\"\n[toggle.t.table.b]\n[toggle.t.table.c]\nkey = [\"v\"]\ncolumn.x = \"y\"\n[toggle.t.table.d]\n[toggle.t.table.missing]\ntarget = \"missing_too\"";
    let pair = Pair::new("mistakes", "", old, new, file).await;
    let said: Vec<_> = pair
        .mistakes()
        .await
        .iter()
        .map(ToString::to_string)
        .collect();
    for expected in [
        "no version column \"nope\"; it has id, v, w",
        "has no column \"w\" for \"w\"",
        "\"public.b\" of toggle \"t\": the old table has no primary key",
        "no column \"x\"",
        "the key column \"v\" may be NULL",
        "the new store has no table \"public.d\"",
        "the old store has no table \"public.missing\"",
        "the new store has no table \"public.missing_too\"",
    ] {
        assert_eq!(
            said.iter().filter(|said| said.contains(expected)).count(),
            1,
            "{expected}: {said:#?}"
        );
    }
    assert_eq!(said.len(), 8, "{said:#?}");
}

#[tokio::test]
async fn phase_1_takes_the_new_store_from_the_file() {
    let old =
        "CREATE TABLE a (id serial PRIMARY KEY, total int NOT NULL, note text, at timestamptz)";
    let file = "[toggle.t.table.a]\ntarget = \"sales.b\"\ncolumn.id = \"ident\"\ncolumn.total = { to = \"amount\", type = \"numeric(12,2)\" }\ncolumn.note = false";
    let pair = Pair::new("phase_one", "", old, "", file).await;
    let mapping = resolve(&pair.config, &pair.old, None)
        .await
        .expect("a mapping");
    let table = &mapping.tables[0];
    assert_eq!(table.new.name, name("sales", "b"));
    let columns: Vec<_> = table
        .new
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.type_name.as_str()))
        .collect();
    assert_eq!(
        columns,
        [
            ("ident", "integer"),
            ("amount", "numeric(12,2)"),
            ("at", "timestamp with time zone")
        ]
    );
    assert_eq!(
        (table.key.as_slice(), table.dropped.as_slice()),
        (&[0][..], &["note".to_owned()][..])
    );
    assert_eq!(table.new.unique[0].columns, ["ident"]);
}

#[tokio::test]
async fn rows_are_estimated_before_and_after_statistics() {
    let schema =
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1234)";
    let pair = Pair::new("estimate", "", schema, schema, "[toggle.t.table.t]").await;
    let table = pair.mapping().await.tables[0].clone();
    assert_eq!(
        pair.old.estimate_rows(&table).await.expect("an estimate"),
        1234
    );
    pair.run(Side::Old, "ANALYZE t").await;
    assert_eq!(
        pair.old.estimate_rows(&table).await.expect("an estimate"),
        1234
    );
}
