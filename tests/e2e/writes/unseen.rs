//! What names mean, and how texts are read, changed by what no text tells: in the end both stores hold what a server holds that stands alone.

use crossfade_tests::{
    Stores, Wire,
    wire::{
        Frame,
        messages::{bind, close_statement, execute, function_call, parse, query, sync},
    },
};

use crate::shop::Shop;

const SCHEMA: &str = r"
    CREATE TABLE notes (id int PRIMARY KEY, a text);
    CREATE SCHEMA tenant; CREATE TABLE tenant.notes (id int PRIMARY KEY, a text);
    CREATE SCHEMA hides;
    CREATE TABLE log (line text); CREATE TABLE quiet (line text);
    CREATE FUNCTION become(p text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN set_config('search_path', p, false); END $$;
    CREATE FUNCTION reads_by(name text, value text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN set_config(name, value, false); END $$;
    CREATE PROCEDURE turns_to(p text) LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', p, false); END $$;
    CREATE FUNCTION on_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', NEW.line, false); RETURN NEW; END $$;
    CREATE TRIGGER on_log BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION on_log();";
const TABLES: &str = "[toggle.shop.table.notes]\n";
const SEED: &str = "INSERT INTO notes SELECT n, 'public' FROM generate_series(1, 200) n; INSERT INTO tenant.notes SELECT n, 'tenant' FROM generate_series(1, 200) n";

/// A shop and a server that stands alone, with the same tables.
struct World {
    shop: Shop,
    alone: Stores,
}

impl World {
    async fn in_phase(phase: &str) -> World {
        let shop = Shop::of(phase, SCHEMA, TABLES, SEED).await;
        let alone = Stores::create_with(SCHEMA, "").await;
        alone.old.run(SEED).await;
        World { shop, alone }
    }

    async fn clients(&self) -> [Wire; 2] {
        [
            self.shop.proxy.wire(&self.shop.stores.old).await,
            self.alone.old.direct().wire().await,
        ]
    }

    /// Both stores hold what the server holds that stands alone.
    async fn assert_alike(&self, what: &str) {
        self.shop.proxy.drained().await;
        let rows = |schema: &str| format!("SELECT * FROM {schema}.notes ORDER BY id");
        let expected = self.alone.old.rows(&rows("public")).await;
        for store in [&self.shop.stores.old, &self.shop.stores.new] {
            let found = store.rows(&rows("public")).await;
            let differing = |rows: &[Vec<Option<String>>], others: &[Vec<Option<String>>]| {
                let rows = rows.iter().filter(|row| !others.contains(row));
                rows.cloned().collect::<Vec<_>>()
            };
            let (extra, missing) = (differing(&found, &expected), differing(&expected, &found));
            assert!(
                extra.is_empty() && missing.is_empty(),
                "{what}: {extra:?} should not be there, {missing:?} is missing"
            );
        }
        let tenants = self.alone.old.rows(&rows("tenant")).await;
        let here = self.shop.stores.old.rows(&rows("tenant")).await;
        assert!(here == tenants, "{what}: the tenant's");
    }
}

fn told(frames: &[Frame]) -> Vec<String> {
    let shown = frames.iter().filter(|frame| b"CE".contains(&frame.tag));
    shown
        .map(|frame| match frame.tag {
            b'E' => format!("{:?}", [b'C', b'M'].map(|field| frame.field(field))),
            _ => format!("{frame:?}"),
        })
        .collect()
}

/// A read by which the session learns what the name means.
const LOOK: &str = "SELECT count(*) FROM notes";

/// Statements behind which `notes` is the tenant's.
const TURNS: &[&str] = &[
    "SELECT public.become('tenant')",
    "CALL public.turns_to('tenant')",
    "DO $$ BEGIN PERFORM set_config('search_path', 'tenant', false); END $$",
    "DO $$ BEGIN EXECUTE 'SET search_' || 'path = tenant'; END $$",
    "UPDATE pg_settings SET setting = 'tenant' WHERE name = 'search_path'",
    "SELECT set_config('search' || '_path', 'tenant', false)",
    r"SELECT set_config(E'search\137path', 'tenant', false)",
    "SELECT query_to_xml('select set_' || 'config(''search_path'', ''tenant'', false)', true, true, '')",
    "PREPARE turn AS SELECT set_config('search_path', 'tenant', false); EXECUTE turn; DEALLOCATE turn",
    "PREPARE turn AS SELECT public.become('tenant'); EXECUTE turn; DEALLOCATE turn",
    "BEGIN; DECLARE turn CURSOR FOR SELECT public.become('tenant'); FETCH turn; COMMIT",
    "EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT public.become('tenant')",
    "SELECT x.p FROM (SELECT public . \"become\" ('tenant') AS p) x",
];

#[tokio::test]
async fn trap_13_what_turns_names_unseen_is_asked_about() {
    for phase in ["dual-write", "dual-read", "new-primary"] {
        let world = World::in_phase(phase).await;
        let mut id = 0;
        for turn in TURNS {
            let [mut client, _] = world.clients().await;
            if told(&client.query(turn).await)[0].contains("crossfade refused") {
                // In the store that the client has not signed in to itself.
                assert_eq!(phase, "new-primary", "{turn}");
                continue;
            }
            for form in 0..4 {
                id += 1;
                let write = format!("DELETE FROM notes WHERE id = {id}");
                let both = [parse("", turn, &[]), bind("", "", &[]), execute("", 0)];
                let behind = [parse("", &write, &[]), bind("", "", &[]), execute("", 0)];
                let single = !turn.contains("; ");
                let steps = match form {
                    0 => vec![vec![query(turn)], vec![query(&write)]],
                    1 => vec![
                        vec![query("BEGIN")],
                        vec![query(LOOK)],
                        if single { vec![query(turn)] } else { continue },
                        vec![query(&write)],
                        vec![query("COMMIT")],
                    ],
                    2 if single => vec![[&both[..], &behind, &[sync()]].concat()],
                    3 if single => vec![vec![query(&format!("{turn}; {write}"))]],
                    _ => continue,
                };
                let mut answers = Vec::new();
                for mut client in world.clients().await {
                    client.query(LOOK).await;
                    let mut said = Vec::new();
                    for step in &steps {
                        said.extend(told(&client.ask(step).await));
                    }
                    answers.push(said);
                }
                let what = format!("{phase}, {form}: {turn}");
                // What is refused has changed nothing, and is not compared.
                let refused = answers[0].iter().any(|said| said.contains("crossfade"));
                if refused {
                    let undo = format!(
                        "INSERT INTO tenant.notes VALUES ({id}, 'tenant') ON CONFLICT DO NOTHING"
                    );
                    world.alone.old.run(&undo).await;
                } else {
                    assert_eq!(answers[0], answers[1], "{what}");
                }
                world.assert_alike(&what).await;
                // The tenant's is in the old store alone from phase 5 on: a transaction over both is refused.
                let may_be = form == 3 || form != 0 && phase == "new-primary";
                assert!(!refused || may_be, "{what}: {answers:?}");
            }
        }
    }
}

#[tokio::test]
async fn trap_13_and_back_to_the_mapped_table() {
    let world = World::in_phase("dual-write").await;
    for mut client in world.clients().await {
        for sql in [
            "SET search_path = tenant, public",
            LOOK,
            "SELECT public.become('public')",
            "DELETE FROM notes WHERE id = 1",
            "INSERT INTO notes VALUES (301, 'new')",
            "BEGIN",
            "SELECT public.become('tenant')",
            "UPDATE notes SET a = 'changed' WHERE id = 2",
            "ROLLBACK",
            "UPDATE notes SET a = 'changed' WHERE id = 3",
        ] {
            client.query(sql).await;
        }
    }
    world.assert_alike("back").await;
}

#[tokio::test]
async fn trap_13_what_a_trigger_turns_is_refused_and_lost_in_no_store() {
    for phase in ["dual-write", "dual-read"] {
        let world = World::in_phase(phase).await;
        let [mut client, _] = world.clients().await;
        for write in [
            "DELETE FROM notes WHERE id = 1",
            "UPDATE notes SET a = 'x' WHERE id = 1",
            "INSERT INTO notes VALUES (999, 'x') ON CONFLICT (id) DO UPDATE SET a = 'y' RETURNING a",
            "WITH gone AS (DELETE FROM notes WHERE id = 1 RETURNING *) SELECT count(*) FROM gone",
        ] {
            client.query("SET search_path = public").await;
            client.query(LOOK).await;
            client
                .query("INSERT INTO public.log VALUES ('tenant')")
                .await;
            let refused = told(&client.query(write).await);
            assert!(refused[0].contains("0A000"), "{write}: {refused:?}");
            // Names are looked up anew: it is the tenant's now.
            let again = told(&client.query(LOOK).await);
            assert!(again[0].contains("SELECT 1"), "{again:?}");
            world.assert_alike(write).await;
        }
        for (turn, write) in [
            ("tenant", "TRUNCATE notes"),
            ("public, tenant", "INSERT INTO notes VALUES (401, 'public')"),
        ] {
            for mut client in world.clients().await {
                client.query(LOOK).await;
                client
                    .query(&format!("INSERT INTO public.log VALUES ('{turn}')"))
                    .await;
                client.query(write).await;
            }
            if turn == "tenant" {
                // The one that stands alone has emptied it, and so has the old store.
                world.assert_alike(write).await;
            }
        }
    }
}

#[tokio::test]
async fn trap_13_another_session_makes_a_table_of_the_name() {
    let world = World::in_phase("dual-write").await;
    let others = world.clients().await;
    for (place, mut other) in others.into_iter().enumerate() {
        for (definition, write) in [
            (
                "CREATE TABLE hides.notes AS SELECT 11 AS id, 'h' AS a",
                "DELETE FROM notes WHERE id = 11",
            ),
            (
                "ALTER TABLE hides.notes RENAME TO others",
                "DELETE FROM notes WHERE id = 12",
            ),
            (
                "BEGIN|ALTER TABLE hides.others RENAME TO notes|COMMIT",
                "DELETE FROM notes WHERE id = 13",
            ),
            (
                "DROP SCHEMA hides CASCADE",
                "DELETE FROM notes WHERE id = 14",
            ),
        ] {
            let mut client = world.clients().await.into_iter().nth(place).unwrap();
            client.query("SET search_path = hides, public").await;
            client.query(LOOK).await;
            for definition in definition.split('|') {
                other.query(definition).await;
            }
            client.query(write).await;
        }
    }
    world.assert_alike("definitions").await;
}

#[tokio::test]
async fn trap_34_sql_prepared_under_another_meaning() {
    let world = World::in_phase("dual-write").await;
    let mut proxied = Vec::new();
    let write = "PREPARE p AS DELETE FROM notes WHERE id = 21";
    for before in [
        &[
            "SET search_path = tenant",
            write,
            "SET search_path = public",
        ][..],
        &[
            "CREATE TABLE pg_temp.notes (id int)",
            write,
            "DROP TABLE pg_temp.notes",
        ],
    ] {
        let [mut client, _] = world.clients().await;
        for sql in before {
            assert!(
                !told(&client.query(sql).await)[0].contains("0A000"),
                "{sql}"
            );
        }
        for run in [
            "EXECUTE p",
            "EXPLAIN ANALYZE EXECUTE p",
            "BEGIN; EXECUTE p; COMMIT",
        ] {
            proxied.extend(told(&client.query(run).await).into_iter().take(1));
            client.query("ROLLBACK").await;
        }
        let bound = [bind("", "p", &[]), execute("", 0), sync()];
        proxied.extend(told(&client.ask(&bound).await));
    }
    assert!(
        proxied
            .iter()
            .all(|said| said.contains("0A000") || said.contains("BEGIN")),
        "{proxied:?}"
    );
    world.assert_alike("prepared").await;
}

/// `é` in LATIN1, and as UTF-8.
const LATIN: &[u8] = b"\xe9";

fn raw(sql: &[u8]) -> bytes::Bytes {
    crossfade_tests::wire::messages::message(b'Q', &[sql, b"\0"].concat())
}

#[tokio::test]
async fn trap_13_texts_behind_a_change_of_how_they_are_read() {
    let world = World::in_phase("dual-write").await;
    let insert = |id: u32, text: &[u8]| {
        raw(&[
            format!("INSERT INTO notes VALUES ({id}, '").as_bytes(),
            text,
            b"')",
        ]
        .concat())
    };
    let hidden = |id: u32| {
        format!(
            r"WITH a AS (SELECT 'a\' || '), b AS (DELETE FROM notes WHERE id={id} RETURNING 1) SELECT 1 --'"
        )
    };
    let one = |sql: &str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)];
    let mut id = 500;
    for change in [
        "SET client_encoding = 'LATIN1'",
        "SELECT public.reads_by('client_encoding', 'LATIN1')",
        "DO $$ BEGIN PERFORM set_config('client_encoding', 'LATIN1', false); END $$",
    ] {
        for apart in [true, false] {
            id += 1;
            for (place, mut client) in world.clients().await.into_iter().enumerate() {
                client.query(LOOK).await;
                let write = insert(id, "\u{e9}".as_bytes());
                if apart {
                    client.query(change).await;
                    let said = told(&client.ask(&[insert(id, LATIN)]).await);
                    assert!(
                        place == 1 || said[0].contains("0A000"),
                        "{change}: {said:?}"
                    );
                } else {
                    let batch = [&one(change)[..], &[sync(), write]].concat();
                    client.send(&batch).await;
                    client.ready().await;
                    let said = told(&client.ready().await);
                    assert!(
                        place == 1 || said[0].contains("0A000"),
                        "{change}: {said:?}"
                    );
                }
            }
            // What is refused in the one is there in the other.
            world
                .alone
                .old
                .run(&format!("DELETE FROM notes WHERE id = {id}"))
                .await;
            world.assert_alike(change).await;
        }
    }
    for change in [
        "SET standard_conforming_strings = off",
        "SELECT public.reads_by('standard_conforming_strings', 'off')",
        "DO $$ BEGIN PERFORM set_config('standard_conforming_strings', 'off', false); END $$",
    ] {
        for form in 0..3 {
            id += 1;
            let write = hidden(id - 470);
            for mut client in world.clients().await {
                client.query(LOOK).await;
                match form {
                    0 => {
                        let batch = [&one(change)[..], &one(&write), &[sync()]].concat();
                        client.ask(&batch).await;
                    }
                    1 => {
                        let batch = [&one(change)[..], &[sync()], &one(&write), &[sync()]].concat();
                        client.send(&batch).await;
                        client.ready().await;
                        client.ready().await;
                    }
                    _ => {
                        client.send(&[query(change), query(&write)]).await;
                        client.ready().await;
                        client.ready().await;
                    }
                }
            }
            world.assert_alike(&format!("{form}: {change}")).await;
        }
    }
}

#[tokio::test]
async fn trap_13_a_mapped_name_in_another_encoding_is_refused() {
    let schema = "CREATE TABLE \"n\u{f6}tes\" (id int PRIMARY KEY); CREATE TABLE others (id int PRIMARY KEY)";
    let seed = "INSERT INTO \"n\u{f6}tes\" VALUES (1), (2)";
    let tables = "[toggle.shop.table.\"n\u{f6}tes\"]\n";
    let shop = Shop::of("dual-write", schema, tables, seed).await;
    let mut client = shop.proxy.wire(&shop.stores.old).await;
    client.query("SET client_encoding = 'LATIN1'").await;
    let refused = told(
        &client
            .ask(&[raw(b"DELETE FROM \"n\xf6tes\" WHERE id = 1")])
            .await,
    );
    assert!(refused[0].contains("0A000"), "{refused:?}");
    let told_of_others = told(&client.query("INSERT INTO others VALUES (1)").await);
    assert!(told_of_others[0].contains("INSERT"), "{told_of_others:?}");
    client.query("SET client_encoding = 'UTF8'").await;
    client
        .query("DELETE FROM \"n\u{f6}tes\" WHERE id = 2")
        .await;
    shop.stores.assert_equal(&["n\u{f6}tes"]).await;
}

#[tokio::test]
async fn trap_13_what_gives_nothing_back_is_asked_about_when_it_runs() {
    for phase in ["dual-write", "dual-read"] {
        let world = World::in_phase(phase).await;
        let bound = |sql| [parse("p", sql, &[]), bind("p", "p", &[]), sync()];
        for (turn, write) in [
            ("SET LOCAL search_path = tenant", "TRUNCATE notes"),
            ("SELECT public.become('tenant')", "TRUNCATE notes"),
        ] {
            let [mut client, _] = world.clients().await;
            client.query("BEGIN").await;
            client.ask(&bound(write)).await;
            client.query(turn).await;
            let said = told(&client.ask(&[execute("p", 0), sync()]).await);
            assert!(said[0].contains("0A000"), "{turn}: {said:?}");
            client.query("ROLLBACK").await;
            world.assert_alike(turn).await;
        }
        // And what was to be passed on, as the name meant another table.
        for write in ["TRUNCATE notes", "COPY notes FROM STDIN"] {
            let [mut client, _] = world.clients().await;
            client.query("SET search_path = tenant").await;
            client.query("BEGIN").await;
            client.ask(&bound(write)).await;
            client.query("SET search_path = public").await;
            let said = told(&client.ask(&[execute("p", 0), sync()]).await);
            assert!(said[0].contains("0A000"), "{write}: {said:?}");
            client.query("ROLLBACK").await;
            client.query("SET search_path = tenant").await;
            let both = format!("INSERT INTO public.log VALUES ('public'); {write}");
            let said = told(&client.query(&both).await);
            assert!(said.last().unwrap().contains("0A000"), "{write}: {said:?}");
            world.assert_alike(write).await;
        }
        let [mut client, _] = world.clients().await;
        client.query(LOOK).await;
        let both = "INSERT INTO public.log VALUES ('tenant'); TRUNCATE notes";
        let said = told(&client.query(both).await);
        assert!(said.last().unwrap().contains("0A000"), "{said:?}");
        world.assert_alike(both).await;
        for sql in ["SET search_path = public", "TRUNCATE notes"] {
            for mut client in world.clients().await {
                client.query(sql).await;
            }
        }
        world.assert_alike("TRUNCATE").await;
    }
}

/// From phase 5 on tables that are not mapped are in the old store alone, and names are asked of the new one.
#[tokio::test]
async fn trap_13_a_name_means_what_it_means_in_the_old_store() {
    let only_old = "CREATE SCHEMA gone; CREATE TABLE gone.notes (id int); CREATE SCHEMA olds; CREATE TABLE olds.notes (id int PRIMARY KEY, a text); INSERT INTO olds.notes SELECT n, 'olds' FROM generate_series(1, 20) n;
        CREATE TABLE one AS SELECT 1 AS n; CREATE TABLE others AS SELECT 'public' AS a; CREATE TABLE olds.others AS SELECT 'olds' AS a;
        CREATE SCHEMA \"Odd, one\"; CREATE VIEW \"Odd, one\".notes AS SELECT * FROM olds.notes;";
    let only_new = "CREATE SCHEMA news; CREATE TABLE news.notes (id int PRIMARY KEY, a text); INSERT INTO news.notes SELECT n, 'news' FROM generate_series(1, 20) n;";
    let [old, new] = [only_old, only_new].map(|only| format!("{SCHEMA}{only}"));
    for phase in ["new-primary", "new-writes", "backfill"] {
        let shop = Shop::with(phase, &old, &new, TABLES, SEED, |config| config).await;
        // Of a time that the proxy knows.
        shop.stores.old.run("DROP TABLE gone.notes").await;
        let rows = |schema: &str| format!("SELECT id FROM {schema}.notes ORDER BY id");
        let mut id = 0;
        for (path, means) in [
            ("olds, public", "olds"),
            ("\"Odd, one\", public", "olds"),
            ("news, public", "refused"),
            ("public, olds", "public"),
            ("pg_temp, public, olds", "public"),
            ("gone, public", "public"),
        ] {
            for set in [
                format!("SET search_path = {path}"),
                format!("SELECT public.become('{path}')"),
                // In the one store or the other.
                format!("SELECT public.become('{path}') FROM public.one"),
            ] {
                id += 1;
                let mut client = shop.proxy.wire(&shop.stores.old).await;
                client.query(LOOK).await;
                client.query(&set).await;
                let others = if path.starts_with("olds") {
                    "olds"
                } else {
                    "public"
                };
                if id % 2 == 0 {
                    let found = client.query("SELECT a FROM others").await;
                    assert!(
                        found[1].body.ends_with(others.as_bytes()),
                        "{phase}: {set}: {found:?}"
                    );
                }
                let said = told(
                    &client
                        .query(&format!("DELETE FROM notes WHERE id = {id}"))
                        .await,
                );
                let found = client.query("SELECT a FROM others").await;
                assert!(
                    found[1].body.ends_with(others.as_bytes()),
                    "{phase}: {set}: {found:?}"
                );
                let what = format!("{phase}: {set}: {said:?}");
                shop.proxy.drained().await;
                let deleted = |rows: Vec<Vec<Option<String>>>| {
                    !rows
                        .iter()
                        .flatten()
                        .flatten()
                        .any(|found| *found == id.to_string())
                };
                let in_old = deleted(shop.stores.old.rows(&rows("public")).await);
                let in_new = deleted(shop.stores.new.rows(&rows("public")).await);
                let in_olds = deleted(shop.stores.old.rows(&rows("olds")).await);
                let in_news = deleted(shop.stores.new.rows(&rows("news")).await);
                let is_mapped = means == "public";
                assert_eq!(
                    (in_new, in_olds, in_news),
                    (is_mapped, means == "olds", false),
                    "{what}"
                );
                assert_eq!(in_old, is_mapped && phase == "new-primary", "{what}");
                assert_eq!(said[0].contains("0A000"), means == "refused", "{what}");
            }
        }
    }
}

/// A function that ran in the old store may have set what holds at home as well, whatever message comes next, and never more than was there then.
#[tokio::test]
async fn trap_32_what_a_function_sets_beside_home() {
    let only_old = "CREATE TABLE one AS SELECT 1 AS n; CREATE TABLE others AS SELECT 'public' AS a; CREATE TABLE tenant.others AS SELECT 'tenant' AS a;
        CREATE FUNCTION nothing() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;";
    let shop = Shop::with(
        "new-primary",
        &format!("{SCHEMA}{only_old}"),
        SCHEMA,
        TABLES,
        SEED,
        |config| config,
    )
    .await;
    let alone = Stores::create_with(&format!("{SCHEMA}{only_old}"), "").await;
    alone.old.run(SEED).await;
    let world = World { shop, alone };
    let batch = |sql| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)];
    let turns = "SELECT public.become('tenant') FROM public.one";
    let calls = "SELECT public.nothing() FROM public.one";
    let set = |sql| {
        [
            vec![close_statement("x")],
            batch(sql).to_vec(),
            vec![sync()],
        ]
        .concat()
    };
    let write = || query("DELETE FROM notes WHERE id = 1");
    let look = || query("SELECT a FROM others");
    let put_back = "INSERT INTO notes VALUES (1, 'public') ON CONFLICT DO NOTHING";
    for (what, steps) in [
        (
            "a SET behind a Close",
            vec![
                vec![query("SET search_path = tenant")],
                vec![query(calls)],
                set("SET search_path = public"),
                vec![look()],
                vec![write()],
            ],
        ),
        (
            "a RESET behind a Close",
            vec![
                vec![query("SET search_path = tenant")],
                vec![query(calls)],
                set("RESET search_path"),
                vec![look()],
                vec![write()],
            ],
        ),
        (
            "a write behind a Close",
            vec![
                vec![query(turns)],
                set("DELETE FROM notes WHERE id = 1"),
                vec![look()],
            ],
        ),
        (
            "a Query that is refused",
            vec![
                vec![query(turns)],
                vec![query(
                    "SELECT public.become('public') FROM public.one; SELECT count(*) FROM public.notes",
                )],
                vec![query("SET search_path = public")],
                vec![write()],
                vec![look()],
            ],
        ),
        (
            "a set_config that its batch takes to the other store",
            vec![
                [
                    &batch("SELECT set_config('search_path', 'tenant', true)")[..],
                    &batch("SELECT a FROM others"),
                    &batch("DELETE FROM notes WHERE id = 1"),
                    &[sync()],
                ]
                .concat(),
                vec![look()],
            ],
        ),
        (
            "a set_config of a batch that fails",
            vec![
                [
                    &batch("SELECT set_config('search_path', 'tenant', false)")[..],
                    &batch("SELECT a FROM others"),
                    &batch("SELECT 1/0 FROM one"),
                    &[sync()],
                ]
                .concat(),
                vec![look()],
            ],
        ),
        (
            "a batch that fails",
            vec![
                [
                    &batch("SELECT public.become('tenant')")[..],
                    &batch("SELECT 1/0"),
                    &[sync()],
                ]
                .concat(),
                vec![look()],
                vec![write()],
            ],
        ),
        (
            "a Query whose first statement fails",
            vec![
                vec![query("SET search_path = tenant")],
                vec![query(
                    "SELECT 1/0 FROM others; DELETE FROM notes WHERE id = 1",
                )],
                vec![look()],
            ],
        ),
        (
            "a batch whose first statement fails",
            vec![
                vec![query("SET search_path = tenant")],
                [
                    &batch("SELECT 1/0 FROM others")[..],
                    &batch("SELECT count(*) FROM notes"),
                    &[sync()],
                ]
                .concat(),
                vec![look()],
            ],
        ),
    ] {
        let mut answers = Vec::new();
        for mut client in world.clients().await {
            let mut said = Vec::new();
            for step in &steps {
                said.push(told(&client.ask(step).await));
            }
            answers.push(said);
        }
        let [proxied, alone] = &answers[..] else {
            unreachable!()
        };
        // What is refused is refused whole; what comes behind it is as it would have been.
        let tenants = "INSERT INTO tenant.notes VALUES (1, 'tenant') ON CONFLICT DO NOTHING";
        for (step, (proxied, alone)) in std::iter::zip(proxied, alone).enumerate() {
            let refused = proxied.iter().any(|said| said.contains("crossfade"));
            if refused {
                world.alone.old.run(tenants).await;
            }
            assert!(
                refused || proxied == alone,
                "{what}, {step}: {proxied:?}, and alone {alone:?}"
            );
        }
        world.assert_alike(what).await;
        for mut client in world.clients().await {
            client.query(put_back).await;
            client.query(tenants).await;
        }
    }
}

#[tokio::test]
async fn trap_13_a_function_call_turns_names() {
    for phase in ["dual-write", "new-primary"] {
        let world = World::in_phase(phase).await;
        for mut client in world.clients().await {
            client.query(LOOK).await;
            let oid = client.query("SELECT 'public.become'::regproc::oid").await;
            let oid = String::from_utf8_lossy(&oid[1].body[6..]).parse().unwrap();
            client.ask(&[function_call(oid, &[Some("tenant")])]).await;
            client.query("DELETE FROM notes WHERE id = 1").await;
        }
        world.assert_alike(phase).await;
    }
}

/// As a transaction of several batches may still fail when the next one is looked at.
#[tokio::test]
async fn trap_13_names_of_a_batch_that_is_rolled_back() {
    for phase in ["dual-write", "new-primary"] {
        let world = World::in_phase(phase).await;
        for mut client in world.clients().await {
            client.query("SET search_path = tenant, public").await;
            client.query(LOOK).await;
            let batch = |sql| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)];
            client
                .send(
                    &[
                        &batch("SELECT set_config('search_path', 'public', false)")[..],
                        &batch("SELECT a FROM notes WHERE id = 1"),
                        &batch("SELECT 1/0"),
                        &[sync()],
                        &batch("DELETE FROM notes WHERE id = 2"),
                        &[sync()],
                    ]
                    .concat(),
                )
                .await;
            client.ready().await;
            client.ready().await;
        }
        world.assert_alike(phase).await;
    }
}

/// A connection that holds what ends with it is not made again in silence.
#[tokio::test]
async fn trap_32_a_temporary_table_of_the_old_store_ends_with_its_session() {
    let shop = Shop::with(
        "new-primary",
        &format!("{SCHEMA} CREATE TABLE others (id int); INSERT INTO others VALUES (1)"),
        SCHEMA,
        TABLES,
        SEED,
        |config| config,
    )
    .await;
    let mut client = shop.proxy.wire(&shop.stores.old).await;
    let made = told(
        &client
            .query("CREATE TEMP TABLE others AS SELECT 2 AS id")
            .await,
    );
    assert!(made[0].contains("SELECT 1"), "{made:?}");
    shop.stores
        .old
        .run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE 'CREATE TEMP%'")
        .await;
    client.send(&[query("TRUNCATE others")]).await;
    client.rest().await;
    assert_eq!(
        shop.stores
            .old
            .value("SELECT count(*) FROM public.others")
            .await,
        "1"
    );
}

/// What is not mapped is in the old store alone, also for statements that take it away.
#[tokio::test]
async fn what_is_not_mapped_is_dropped_where_it_is() {
    let shop = Shop::of("new-primary", SCHEMA, TABLES, SEED).await;
    let mut client = shop.proxy.wire(&shop.stores.old).await;
    for (sql, left) in [
        ("CREATE TABLE made (id int)", "1"),
        ("COMMENT ON TABLE made IS 'here'", "1"),
        ("DROP TABLE IF EXISTS made", "0"),
    ] {
        let said = told(&client.query(sql).await);
        assert!(said[0].starts_with('C'), "{sql}: {said:?}");
        let there = "SELECT count(*) FROM pg_tables WHERE tablename = 'made'";
        assert_eq!(shop.stores.old.value(there).await, left, "{sql}");
    }
}
