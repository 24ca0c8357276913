//! Messages in whatever order a client may send them: the answers are those of a server that stands alone, and both stores hold what that one holds.

mod steps;

use bytes::Bytes;
use crossfade_tests::{
    Stores, Wire,
    wire::{
        Frame,
        messages::{
            bind, close_portal, close_statement, copy_data, copy_done, execute, function_call,
            message, parse, query, sync,
        },
    },
    within,
};

use crate::shop::Shop;

const SCHEMA: &str = "
    CREATE TABLE notes (id int PRIMARY KEY, a int);
    CREATE TABLE firm (id int PRIMARY KEY, u int CONSTRAINT once UNIQUE DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE loose (id int);
    CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;
    CREATE PROCEDURE undoes() LANGUAGE plpgsql AS $$ BEGIN ROLLBACK; END $$;";
const TABLES: &str = "[toggle.shop.table.notes]\n[toggle.shop.table.firm]\n";
const SEED: &str = "INSERT INTO notes SELECT n, n FROM generate_series(1, 5) n; INSERT INTO firm SELECT n, n FROM generate_series(1, 5) n";

/// Messages that are sent at once.
type Step = Vec<Bytes>;

fn one(sql: &str) -> Step {
    vec![parse("", sql, &[]), bind("", "", &[]), execute("", 0)]
}

/// By a statement and a portal of their own names.
fn named(sql: &str) -> Step {
    vec![parse("e", sql, &[]), bind("e", "e", &[]), execute("e", 0)]
}

fn all(parts: &[Step]) -> Step {
    parts.concat()
}

fn q(sql: &str) -> Step {
    vec![query(sql)]
}

fn insert(id: u32) -> String {
    format!("INSERT INTO notes (id, a) VALUES ({id}, {id})")
}

/// What the client is told, for comparing: of errors not which function of the server raised them.
fn told(frames: &[Frame]) -> Vec<String> {
    let shown = frames.iter().filter(|frame| !b"TS".contains(&frame.tag));
    let error = |frame: &Frame| [b'C', b'M', b'D', b'H'].map(|field| frame.field(field));
    shown
        .map(|frame| match frame.tag {
            b'E' => format!("{:?}", error(frame)),
            _ => format!("{frame:?}"),
        })
        .collect()
}

async fn ask(wire: &mut Wire, step: &Step) -> Vec<Frame> {
    let ends = step.iter().filter(|message| b"QSF".contains(&message[0]));
    let mut left = ends.count();
    let exchange = async {
        wire.send(step).await;
        let mut frames = Vec::new();
        while left > 0 {
            let frame = wire.frame().await;
            left -= usize::from(frame.tag == b'Z');
            frames.push(frame);
        }
        frames
    };
    within(10, "an answer", exchange).await
}

async fn rows(stores: &Stores, old: bool) -> Vec<Vec<Option<String>>> {
    let store = if old { &stores.old } else { &stores.new };
    let mut rows = store.rows("SELECT id, a FROM notes ORDER BY id").await;
    rows.extend(store.rows("SELECT id, u FROM firm ORDER BY id").await);
    rows
}

/// Each sequence in a session of its own, through the proxy and at a server that stands alone.
async fn alike(phase: &str, sequences: &[(&str, Vec<Step>)]) {
    let shop = Shop::of(phase, SCHEMA, TABLES, SEED).await;
    let alone = Stores::create(SCHEMA).await;
    alone.old.run(SEED).await;
    for (what, steps) in sequences {
        let mut through = shop.proxy.wire(&shop.stores.old).await;
        let mut direct = alone.old.direct().wire().await;
        for step in steps {
            let (seen, expected) = (ask(&mut through, step).await, ask(&mut direct, step).await);
            assert_eq!(told(&seen), told(&expected), "{phase}: {what}");
        }
        shop.proxy.drained().await;
        let expected = rows(&alone, true).await;
        for old in [true, false] {
            assert_eq!(rows(&shop.stores, old).await, expected, "{phase}: {what}");
        }
    }
}

#[tokio::test]
pub(crate) async fn trap_14_what_a_server_skips_has_not_happened_in_3() {
    alike("dual-write", &steps::skipped()).await;
}

#[tokio::test]
async fn trap_14_what_a_server_skips_has_not_happened_in_5() {
    alike("new-primary", &steps::skipped()).await;
}

#[tokio::test]
async fn trap_34_statements_are_deallocated_whatever_name_the_server_has_for_them() {
    for phase in ["dual-write", "new-primary"] {
        alike(phase, &steps::deallocated()).await;
    }
}

#[tokio::test]
pub(crate) async fn trap_12_blocks_that_end_and_begin_anywhere_in_3() {
    alike("dual-write", &steps::blocks()).await;
}

#[tokio::test]
pub(crate) async fn trap_12_blocks_that_end_and_begin_anywhere_in_5() {
    alike("new-primary", &steps::blocks()).await;
}

#[tokio::test]
async fn trap_12_what_comes_behind_a_failed_block_in_3() {
    alike("dual-write", &steps::behind()).await;
}

#[tokio::test]
async fn trap_12_what_comes_behind_a_failed_block_in_5() {
    alike("new-primary", &steps::behind()).await;
}

/// Tenants' schemas: what a name means comes back with the end of a block.
#[tokio::test]
async fn trap_32_names_behind_the_end_of_a_block() {
    let shop = Shop::of("dual-write", SCHEMA, TABLES, SEED).await;
    let other = "CREATE SCHEMA other; CREATE TABLE other.notes (id int PRIMARY KEY, a int)";
    shop.stores.old.run(other).await;
    let sequences = [
        vec![
            "BEGIN",
            "SET LOCAL search_path = other",
            "INSERT INTO notes VALUES (1, 1)",
            "COMMIT; INSERT INTO notes VALUES (120, 1)",
        ],
        vec![
            "BEGIN",
            "SAVEPOINT a",
            "SET LOCAL search_path = other",
            "INSERT INTO notes VALUES (2, 1)",
            "SELECT 1/0",
            "ROLLBACK TO a; INSERT INTO notes VALUES (121, 1)",
            "COMMIT",
        ],
        vec![
            "SET search_path = other",
            "SELECT * FROM notes",
            "BEGIN",
            "SET LOCAL search_path = public",
            "SELECT 1/0",
            "ROLLBACK; INSERT INTO notes VALUES (122, 1)",
        ],
        // Nobody has asked before.
        vec![
            "BEGIN",
            "SET LOCAL search_path = other",
            "SELECT 1/0",
            "ROLLBACK; INSERT INTO notes VALUES (123, 1)",
        ],
    ];
    for (number, sequence) in sequences.iter().enumerate() {
        for at_once in [false, true] {
            let mut wire = shop.proxy.wire(&shop.stores.old).await;
            for sql in sequence {
                let parts: Vec<&str> = sql.split("; ").collect();
                let step = match at_once {
                    true => all(&[
                        parts.iter().flat_map(|sql| one(sql)).collect(),
                        vec![sync()],
                    ]),
                    false => q(sql),
                };
                ask(&mut wire, &step).await;
            }
            drop(wire);
            shop.proxy.drained().await;
            let (old, new) = (
                rows(&shop.stores, true).await,
                rows(&shop.stores, false).await,
            );
            assert_eq!(old, new, "sequence {number}, at once: {at_once}");
        }
    }
}

/// The session's own question about names is what a cancel or a timeout hits.
#[tokio::test]
async fn trap_32_a_question_about_names_that_is_not_answered() {
    for phase in ["dual-write", "new-primary"] {
        let shop = Shop::of(phase, SCHEMA, TABLES, SEED).await;
        let home = if phase == "dual-write" {
            &shop.stores.old
        } else {
            &shop.stores.new
        };
        let held = home.direct().connect().await;
        for (number, step) in [
            q(&insert(130)),
            all(&[one(&insert(131)), vec![sync()]]),
            all(&[one("SELECT 1"), one(&insert(132)), vec![sync()]]),
            q(&format!("{}; SELECT 1", insert(133))),
            all(&[one("SELECT 1"), q(&insert(134))]),
        ]
        .iter()
        .enumerate()
        {
            let mut wire = shop.proxy.wire(&shop.stores.old).await;
            wire.query("SET statement_timeout = '200ms'").await;
            // By now the session is at home.
            wire.query("SELECT 1").await;
            held.batch_execute("BEGIN; LOCK TABLE pg_catalog.pg_class IN ACCESS EXCLUSIVE MODE")
                .await
                .unwrap();
            let frames = ask(&mut wire, step).await;
            held.batch_execute("ROLLBACK").await.unwrap();
            let told: String = frames.iter().map(|frame| frame.tag as char).collect();
            let told = told.replace(['1', '2', 'T', 'D', 'S'], "");
            assert!(
                matches!(&told[..], "EZ" | "CEZ"),
                "{phase} {number}: {frames:?}"
            );
            wire.query("SET statement_timeout = 0").await;
            let again = u32::try_from(number).unwrap() + 140;
            wire.query(&insert(again)).await;
            let extended = all(&[one(&insert(again + 10)), vec![sync()]]);
            ask(&mut wire, &extended).await;
        }
        shop.proxy.drained().await;
        let written = "SELECT string_agg(id::text, ',' ORDER BY id) FROM notes WHERE id > 100";
        for store in [&shop.stores.old, &shop.stores.new] {
            assert_eq!(
                store.value(written).await,
                "140,141,142,143,144,150,151,152,153,154",
                "{phase}"
            );
        }
    }
}

/// Behind an error nothing of a batch runs, whichever store it goes to.
#[tokio::test]
async fn trap_14_an_error_of_one_store_ends_the_batch_in_both() {
    let shop = Shop::in_phase("new-primary").await;
    shop.stores.new.run("DROP TABLE unmapped").await;
    let write = "INSERT INTO counters (name) VALUES ('behind')";
    for step in [
        all(&[
            one("SELECT 1/(id-id) FROM unmapped"),
            one(write),
            vec![sync()],
        ]),
        all(&[
            one("SELECT nothing FROM unmapped"),
            one(write),
            vec![sync()],
        ]),
        all(&[
            one("SELECT 1/0"),
            one("SELECT * FROM unmapped"),
            one(write),
            vec![sync()],
        ]),
        all(&[
            one("SELECT 1/(id-id) FROM unmapped"),
            one("BEGIN"),
            one(write),
            one("COMMIT"),
            vec![sync()],
        ]),
    ] {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        let frames = ask(&mut wire, &step).await;
        let told: String = frames.iter().map(|frame| frame.tag as char).collect();
        assert!(told.ends_with("EZ") && !told.contains('C'), "{frames:?}");
    }
    let written = "SELECT count(*) FROM counters WHERE name = 'behind'";
    assert_eq!(shop.stores.new.value(written).await, "0");
    shop.assert_equal().await;
}

/// The old store's part of a lookup that goes to both fails: the transaction is the new store's, and has to fail there.
#[tokio::test]
async fn trap_14_a_lookup_that_fails_in_the_old_store_undoes_what_came_before() {
    // Rows of orders are in the old store alone.
    let mut shop = Shop::in_phase("use-old").await;
    shop.proxy.flip("dual-write").await;
    for job in ["backfill", "verify"] {
        shop.proxy.cli(&[job, "--table", "counters"]).expect(0);
    }
    for phase in ["dual-read", "new-primary"] {
        shop.proxy.force(phase, "a test of incomplete tables").await;
    }
    let write = "INSERT INTO counters (name) VALUES ('undone')";
    let look = "SELECT total FROM orders WHERE id = 7";
    // In the old store it may nothing.
    let role = format!("looks_up_{}", shop.stores.old.name());
    let (old, new) = (&shop.stores.old, &shop.stores.new);
    for store in [old, new] {
        store.run(&format!("DO $$ BEGIN CREATE ROLE \"{role}\"; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT \"{role}\" TO app")).await;
    }
    new.run(&format!("GRANT SELECT, INSERT ON orders, counters TO \"{role}\"; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO \"{role}\"")).await;
    for (what, steps) in [
        ("a batch", vec![all(&[one(write), one(look), vec![sync()]])]),
        (
            "a block in one batch",
            vec![
                all(&[
                    one("BEGIN"),
                    one(write),
                    one(look),
                    one("COMMIT"),
                    vec![sync()],
                ]),
                q("COMMIT"),
            ],
        ),
        ("a Query", vec![q(&format!("{write}; {look}"))]),
        ("a block", vec![q("BEGIN"), q(write), q(look), q("COMMIT")]),
    ] {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        wire.query(&format!("SET ROLE \"{role}\"")).await;
        let mut errors = Vec::new();
        for step in &steps {
            let frames = ask(&mut wire, step).await;
            errors.extend(frames.iter().filter(|frame| frame.tag == b'E').cloned());
        }
        let codes: Vec<_> = errors
            .iter()
            .filter_map(|error| error.field(b'C'))
            .collect();
        assert_eq!(codes, ["42501"], "{what}: {errors:?}");
        let left = "SELECT count(*) FROM counters WHERE name = 'undone'";
        for store in [&shop.stores.old, &shop.stores.new] {
            assert_eq!(store.value(left).await, "0", "{what}");
        }
        wire.query("SELECT 1").await;
    }
}

/// What ends an implicit transaction where nobody looks is refused, and leaves nothing in either store.
#[tokio::test]
async fn trap_14_what_would_commit_without_the_other_store_is_refused() {
    for phase in ["dual-write", "new-primary"] {
        let shop = Shop::of(phase, SCHEMA, TABLES, SEED).await;
        for (what, step) in [
            ("a Query", all(&[one(&insert(50)), q("SELECT 1")])),
            ("an empty Query", all(&[one(&insert(51)), q("")])),
            ("a semicolon", all(&[one(&insert(52)), q(";")])),
            (
                "a function call",
                all(&[one(&insert(53)), vec![function_call(1317, &[Some("abc")])]]),
            ),
            (
                "a procedure",
                all(&[one(&insert(54)), one("CALL commits()"), vec![sync()]]),
            ),
            (
                "one that undoes",
                all(&[one(&insert(55)), one("CALL undoes()"), vec![sync()]]),
            ),
            (
                "a code block",
                all(&[
                    one(&insert(56)),
                    one("DO $$ BEGIN COMMIT; END $$"),
                    vec![sync()],
                ]),
            ),
            (
                "one in disguise",
                all(&[
                    one(&insert(58)),
                    one(r"DO E'BEGIN \x63ommit; END'"),
                    vec![sync()],
                ]),
            ),
            (
                "one in a Query",
                q(&format!("{}; CALL commits(); SELECT 1/0", insert(57))),
            ),
        ] {
            let mut wire = shop.proxy.wire(&shop.stores.old).await;
            let frames = ask(&mut wire, &step).await;
            let errors = frames.iter().filter(|frame| frame.tag == b'E');
            let codes: Vec<_> = errors.filter_map(|frame| frame.field(b'C')).collect();
            assert_eq!(codes, ["0A000"], "{phase}: {what}: {frames:?}");
            let left = "SELECT count(*) FROM notes WHERE id >= 50";
            for store in [&shop.stores.old, &shop.stores.new] {
                assert_eq!(store.value(left).await, "0", "{phase}: {what}");
            }
            wire.query("SELECT 1").await;
        }
        // Where nothing mapped was written, and within a block, they are the server's own affair.
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        for step in [
            all(&[one("SELECT 1"), q("SELECT 2")]),
            all(&[one("CALL commits()"), one(&insert(60)), vec![sync()]]),
            all(&[
                one(&insert(61)),
                one("DO $$ BEGIN PERFORM 1; END $$"),
                vec![sync()],
            ]),
            q(&format!(
                "BEGIN; {}; DO $$ BEGIN PERFORM 1; END $$; COMMIT",
                insert(62)
            )),
        ] {
            let frames = ask(&mut wire, &step).await;
            assert!(
                frames.iter().all(|frame| frame.tag != b'E'),
                "{phase}: {frames:?}"
            );
        }
        shop.proxy.drained().await;
        shop.stores.assert_equal(&["notes"]).await;
        let written = "SELECT count(*) FROM notes WHERE id >= 60";
        assert_eq!(shop.stores.old.value(written).await, "3", "{phase}");
    }
}

#[tokio::test]
async fn trap_14_a_query_in_the_middle_of_a_copy_ends_the_session() {
    let shop = Shop::of("dual-write", SCHEMA, TABLES, SEED).await;
    for copied in ["loose", "notes"] {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        wire.query("BEGIN").await;
        wire.query(&insert(70)).await;
        wire.send(&[query(&format!("COPY {copied} FROM STDIN")), query("COMMIT")])
            .await;
        let frames = within(10, "the end of the session", wire.rest()).await;
        let codes: Vec<_> = frames
            .iter()
            .filter_map(|frame| frame.field(b'C'))
            .collect();
        assert!(codes.contains(&"08P01".to_owned()), "{copied}: {frames:?}");
        // Nothing is left behind that others would wait for.
        let lock = shop
            .stores
            .old
            .run("BEGIN; LOCK TABLE notes IN ACCESS EXCLUSIVE MODE; COMMIT");
        within(10, "a lock", lock).await;
        shop.stores
            .old
            .becomes("SELECT count(*) FROM notes WHERE id = 70", "0")
            .await;
    }
    shop.stores.assert_equal(&["notes"]).await;
}

#[tokio::test]
async fn trap_15_copies_of_others_beside_writes() {
    alike("dual-write", &steps::copies()).await;
}

/// FETCH by the name of a portal would run its write past the capture.
#[tokio::test]
async fn trap_10_a_portal_that_writes_is_not_fetched_from() {
    let shop = Shop::of("dual-write", SCHEMA, TABLES, SEED).await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let write = format!("{} RETURNING a", insert(180));
    for fetch in [
        q("FETCH ALL FROM p"),
        all(&[one("MOVE ALL IN p"), vec![sync()]]),
    ] {
        wire.query("BEGIN").await;
        ask(
            &mut wire,
            &vec![parse("", &write, &[]), bind("p", "", &[]), sync()],
        )
        .await;
        let frames = ask(&mut wire, &fetch).await;
        let codes: Vec<_> = frames
            .iter()
            .filter_map(|frame| (frame.tag == b'E').then(|| frame.field(b'C'))?)
            .collect();
        assert_eq!(codes, ["0A000"], "{frames:?}");
        wire.query("ROLLBACK").await;
    }
    let cursor = q("BEGIN; DECLARE c CURSOR FOR SELECT 1; FETCH ALL FROM c; COMMIT");
    let frames = ask(&mut wire, &cursor).await;
    assert!(frames.iter().all(|frame| frame.tag != b'E'), "{frames:?}");
    shop.stores.assert_equal(&["notes"]).await;
}

/// In the store that is not the session's own, by a statement that was prepared before: the Sync goes before the data.
#[tokio::test]
async fn trap_15_a_copy_into_the_other_store() {
    let shop = Shop::in_phase("new-primary").await;
    shop.stores.new.run("DROP TABLE unmapped").await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let copy = "COPY unmapped (id) FROM STDIN";
    ask(&mut wire, &vec![parse("s", copy, &[]), sync()]).await;
    for (first, waits) in [(10, true), (20, false)] {
        let begin = vec![bind("", "s", &[]), execute("", 0), sync()];
        let data = vec![
            copy_data(format!("{first}\n{}\n", first + 1).as_bytes()),
            copy_done(),
            sync(),
        ];
        let exchange = async {
            if waits {
                wire.send(&begin).await;
                while wire.frame().await.tag != b'G' {}
                wire.ask(&data).await
            } else {
                wire.ask(&all(&[begin, data])).await
            }
        };
        let frames = within(10, "an answer", exchange).await;
        assert!(
            crossfade_tests::wire::transcript(&frames).ends_with("CZ"),
            "{frames:?}"
        );
    }
    shop.stores
        .old
        .becomes("SELECT count(*) FROM unmapped WHERE id >= 10", "4")
        .await;
    wire.query("INSERT INTO counters (name) VALUES ('behind')")
        .await;
    shop.proxy.drained().await;
    shop.assert_equal().await;
}

/// A statement that was closed while the session was busy in the other store is gone when it comes back.
#[tokio::test]
async fn trap_34_what_was_closed_elsewhere_is_not_run() {
    let mut shop = Shop::in_phase("new-primary").await;
    shop.stores.new.run("DROP TABLE unmapped").await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let wrong = "INSERT INTO unmapped VALUES (77, 'wrong') RETURNING note";
    ask(&mut wire, &vec![parse("s", wrong, &[]), sync()]).await;
    wire.query("SELECT 1").await;
    ask(&mut wire, &vec![close_statement("s"), sync()]).await;
    ask(&mut wire, &vec![parse("s", "SELECT 42", &[]), sync()]).await;
    shop.proxy
        .walk(&["dual-read", "dual-write", "use-old"])
        .await;
    let frames = ask(&mut wire, &vec![bind("", "s", &[]), execute("", 0), sync()]).await;
    assert_eq!(
        crossfade_tests::wire::transcript(&frames),
        "2DCZ",
        "{frames:?}"
    );
    let ran = "SELECT count(*) FROM unmapped WHERE id = 77";
    assert_eq!(shop.stores.old.value(ran).await, "0");
}

/// The server of the other store still has it, under the client's own name where it is nothing that is captured: it would commit there unseen.
#[tokio::test]
async fn trap_34_what_was_closed_elsewhere_commits_nothing() {
    let gone: [(&str, Step); 4] = [
        ("Close", vec![close_statement("s"), sync()]),
        ("DEALLOCATE", q("DEALLOCATE s")),
        ("DEALLOCATE ALL", q("DEALLOCATE ALL")),
        ("DISCARD ALL", q("DISCARD ALL")),
    ];
    let execute_s = || vec![bind("", "s", &[]), execute("", 0), sync()];
    // Made anew where the server skips it.
    let skipped = all(&[
        named("SELECT 1/0"),
        vec![
            parse("s", "SELECT 1", &[]),
            sync(),
            close_statement("e"),
            sync(),
        ],
    ]);
    let uses: [(&str, Step, Step); 3] = [
        ("Bind", q(""), execute_s()),
        ("Bind behind a Parse", skipped, execute_s()),
        ("EXECUTE", q(""), q("EXECUTE s")),
    ];
    let mut shop = Shop::of("dual-read", SCHEMA, TABLES, SEED).await;
    for (begin, away) in [("dual-read", "new-primary"), ("new-primary", "dual-read")] {
        shop.proxy.flip(begin).await;
        let mut sessions = Vec::new();
        for (how, gone) in &gone {
            for (used, before, used_by) in &uses {
                let mut wire = shop.proxy.wire(&shop.stores.old).await;
                ask(&mut wire, &vec![parse("s", "COMMIT", &[]), sync()]).await;
                let what = format!("{begin}, {how}, {used}");
                sessions.push((what, wire, gone, before, used_by));
            }
        }
        shop.proxy.flip(away).await;
        for (_, wire, gone, ..) in &mut sessions {
            ask(wire, gone).await;
        }
        shop.proxy.flip(begin).await;
        for (number, (what, wire, _, before, used_by)) in sessions.iter_mut().enumerate() {
            ask(wire, before).await;
            ask(wire, &q("BEGIN")).await;
            ask(wire, &q(&insert(190 + u32::try_from(number).unwrap()))).await;
            let frames = ask(wire, used_by).await;
            let error = frames.iter().find(|frame| frame.tag == b'E');
            let code = error
                .unwrap_or_else(|| panic!("{what}: {frames:?}"))
                .field(b'C');
            assert_eq!(code.as_deref(), Some("26000"), "{what}: {frames:?}");
        }
    }
    shop.proxy.drained().await;
    shop.stores.assert_equal(&["notes"]).await;
    let left = "SELECT count(*) FROM notes WHERE id >= 190";
    assert_eq!(shop.stores.old.value(left).await, "0");
}

/// Names are bytes.
#[tokio::test]
async fn trap_34_a_name_in_another_encoding_is_gone_as_well() {
    let mut shop = Shop::of("dual-read", SCHEMA, TABLES, SEED).await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let (latin, utf8) = (
        "SET client_encoding = 'LATIN1'",
        "SET client_encoding = 'UTF8'",
    );
    let name: &[u8] = b"\xe9\0";
    wire.query(latin).await;
    let made = message(b'P', &[name, b"COMMIT\0\0\0"].concat());
    wire.ask(&[made, sync()]).await;
    shop.proxy.flip("new-primary").await;
    let gone = message(b'C', &[b"S", name].concat());
    wire.ask(&[gone, sync()]).await;
    shop.proxy.flip("dual-read").await;
    for sql in [utf8, "BEGIN", &insert(199), latin] {
        wire.query(sql).await;
    }
    let bound = message(b'B', &[b"\0", name, &[0; 6]].concat());
    let frames = wire.ask(&[bound, execute("", 0), sync()]).await;
    let error = frames.iter().find(|frame| frame.tag == b'E');
    let code = error.and_then(|error| error.field(b'C'));
    assert_eq!(code.as_deref(), Some("26000"), "{frames:?}");
    drop(wire);
    shop.proxy.drained().await;
    shop.stores.assert_equal(&["notes"]).await;
}

/// The server knows it by its first 63 bytes. As drivers make them that name a statement by its text.
#[tokio::test]
async fn trap_34_names_that_are_longer_than_the_server_keeps() {
    let mut shop = Shop::of("use-old", SCHEMA, TABLES, SEED).await;
    let long = |end: &str| format!("{}{end}", "n".repeat(70));
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    ask(
        &mut wire,
        &vec![parse(&long("a"), &insert(210), &[]), sync()],
    )
    .await;
    shop.proxy.flip("dual-write").await;
    shop.complete();
    let run = |name: &str| vec![bind("", name, &[]), execute("", 0), sync()];
    // The same statement, to the server.
    let frames = ask(&mut wire, &run(&long("b"))).await;
    assert_eq!(
        crossfade_tests::wire::transcript(&frames),
        "2CZ",
        "{frames:?}"
    );
    ask(&mut wire, &vec![close_statement(&long("a")), sync()]).await;
    let made = parse(&long("a"), "COMMIT", &[]);
    for step in [vec![made, sync()], q("BEGIN"), q(&insert(211))] {
        ask(&mut wire, &step).await;
    }
    let frames = ask(&mut wire, &q(&format!("EXECUTE {}", long("c")))).await;
    let error = frames.iter().find(|frame| frame.tag == b'E');
    let code = error.and_then(|error| error.field(b'C'));
    assert_eq!(code.as_deref(), Some("0A000"), "{frames:?}");
    ask(&mut wire, &q("ROLLBACK")).await;
    // And portals.
    ask(&mut wire, &q("BEGIN")).await;
    let step = vec![
        parse("", &insert(212), &[]),
        bind(&long("p"), "", &[]),
        execute(&long("q"), 0),
        sync(),
    ];
    let frames = ask(&mut wire, &step).await;
    assert_eq!(
        crossfade_tests::wire::transcript(&frames),
        "12CZ",
        "{frames:?}"
    );
    ask(&mut wire, &q("COMMIT")).await;
    shop.proxy.drained().await;
    shop.stores.assert_equal(&["notes"]).await;
    let written = "SELECT string_agg(id::text, ',' ORDER BY id) FROM notes WHERE id >= 210";
    assert_eq!(shop.stores.new.value(written).await, "210,212");
}

/// Prepared before anything was captured, by SQL or by Parse: the server has the text itself, by that name.
#[tokio::test]
async fn trap_34_what_was_prepared_before_the_dual_phases_is_not_run_past_the_capture() {
    let mut shop = Shop::of("use-old", SCHEMA, TABLES, SEED).await;
    let mut wires = Vec::new();
    for (number, (sql, by_parse, by_bind)) in [
        ("INSERT INTO notes VALUES (200, 1)", true, false),
        ("INSERT INTO notes VALUES (201, 1)", false, true),
        ("INSERT INTO notes VALUES (202, 1)", false, false),
        ("INSERT INTO notes VALUES (203, 1)", true, true),
    ]
    .into_iter()
    .enumerate()
    {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        let prepare = match by_parse {
            true => vec![parse("s", sql, &[]), sync()],
            false => q(&format!("PREPARE s AS {sql}")),
        };
        ask(&mut wire, &prepare).await;
        wires.push((number, wire, by_bind));
    }
    shop.proxy.flip("dual-write").await;
    shop.complete();
    for (number, wire, by_bind) in &mut wires {
        let run = match by_bind {
            true => vec![bind("", "s", &[]), execute("", 0), sync()],
            false => q("EXECUTE s"),
        };
        let frames = ask(wire, &run).await;
        let error = frames.iter().find(|frame| frame.tag == b'E');
        let code = error.and_then(|error| error.field(b'C'));
        // The last one is known, and captured.
        let expected = (*number < 3).then_some("0A000");
        assert_eq!(code.as_deref(), expected, "{number}: {frames:?}");
    }
    shop.proxy.drained().await;
    shop.stores.assert_equal(&["notes"]).await;
    let written = "SELECT string_agg(id::text, ',') FROM notes WHERE id >= 200";
    assert_eq!(shop.stores.new.value(written).await, "203");
}

/// As libpq sends it: the Sync goes before the data, and once more behind it.
#[tokio::test]
async fn trap_15_a_copy_in_a_batch_with_a_write() {
    let shop = Shop::of("dual-write", SCHEMA, TABLES, SEED).await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    wire.send(&all(&[
        one(&insert(170)),
        one("COPY loose FROM STDIN"),
        vec![sync()],
    ]))
    .await;
    let wait = async { while wire.frame().await.tag != b'G' {} };
    within(10, "the server takes data", wait).await;
    let frames = within(
        10,
        "an answer",
        wire.ask(&[copy_data(b"1\n"), copy_done(), sync()]),
    )
    .await;
    assert_eq!(
        crossfade_tests::wire::transcript(&frames),
        "CZ",
        "{frames:?}"
    );
    let count = "SELECT count(*) FROM notes WHERE id = 170";
    for store in [&shop.stores.old, &shop.stores.new] {
        store.becomes(count, "1").await;
    }
}

/// Toggles whose primaries differ: each transaction's images go to the other store than its own.
#[tokio::test]
async fn trap_36_toggles_with_different_primaries_in_one_session() {
    let stores = Stores::create(SCHEMA).await;
    stores.old.run(SEED).await;
    let config = stores
        .config("use-old", "[toggle.shop.table.notes]\n")
        .toggle("firm", "use-old", "[toggle.firm.table.firm]\n");
    let mut shop = Shop {
        proxy: crossfade_tests::Proxy::start(config).await,
        stores,
    };
    for toggle in ["shop", "firm"] {
        shop.proxy.flip_toggle(toggle, "dual-write").await;
    }
    shop.complete();
    for phase in ["dual-read", "new-primary"] {
        shop.proxy.flip_toggle("firm", phase).await;
    }
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let start = std::time::Instant::now();
    for id in 80..84 {
        wire.query(&format!("INSERT INTO firm VALUES ({id}, {id})"))
            .await;
        wire.query(&insert(id)).await;
    }
    assert!(
        start.elapsed() < std::time::Duration::from_secs(3),
        "writes waited for their own primary"
    );
    shop.assert_clean().await;
    assert_eq!(shop.proxy.toggle("firm").await["dirty_keys"], 0);
    // A portal of the other store: one transaction cannot be in both.
    let look = [
        parse("l", "SELECT * FROM firm WHERE id = 1", &[]),
        bind("l", "l", &[]),
    ]
    .to_vec();
    let into = |id| {
        vec![
            parse("", &insert(id), &[]),
            bind("", "", &[]),
            execute("", 0),
        ]
    };
    for behind in [
        execute("l", 0),
        crossfade_tests::wire::messages::describe_portal("l"),
    ] {
        let frames = ask(
            &mut wire,
            &all(&[look.clone(), into(90), vec![behind, sync()]]),
        )
        .await;
        assert!(frames.iter().any(|frame| frame.tag == b'E'), "{frames:?}");
        ask(&mut wire, &vec![close_statement("l"), sync()]).await;
    }
    let frames = ask(
        &mut wire,
        &all(&[look, into(91), vec![close_portal("l"), sync()]]),
    )
    .await;
    assert!(frames.iter().all(|frame| frame.tag != b'E'), "{frames:?}");
    shop.proxy.drained().await;
    let written = "SELECT string_agg(id::text, ',' ORDER BY id) FROM notes WHERE id >= 90";
    for store in [&shop.stores.old, &shop.stores.new] {
        assert_eq!(store.value(written).await, "91");
    }
    shop.stores.assert_equal(&["notes", "firm"]).await;
}

/// Nothing mapped is in them; they are the server's own.
#[tokio::test]
async fn trap_34_statements_of_sql_level_prepare_run_by_their_names() {
    let shop = Shop::of("dual-write", SCHEMA, TABLES, SEED).await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    ask(&mut wire, &q("PREPARE s AS SELECT 5")).await;
    ask(&mut wire, &q("SELECT 1; PREPARE t AS SELECT 5")).await;
    for step in [
        q("EXECUTE s"),
        vec![bind("", "s", &[]), execute("", 0), sync()],
        q("EXECUTE t"),
        vec![bind("", "t", &[]), execute("", 0), sync()],
    ] {
        let frames = ask(&mut wire, &step).await;
        assert!(frames.iter().any(|frame| frame.tag == b'D'), "{frames:?}");
    }
}
