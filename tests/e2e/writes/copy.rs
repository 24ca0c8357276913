//! COPY FROM STDIN into mapped tables.

use std::time::Duration;

use crate::shop::Shop;
use crossfade_tests::{
    Wire,
    wire::{
        Frame,
        messages::{
            bind, copy_data, copy_done, copy_fail, describe_portal, execute, flush, parse, query,
            sync,
        },
        transcript,
    },
};

/// Sends a COPY and its data; the answer up to the end, without the `CopyInResponse`.
async fn copy(wire: &mut Wire, sql: &str, data: &[u8]) -> Vec<Frame> {
    wire.send(&[query(sql)]).await;
    let first = wire.frame().await;
    if first.tag != b'G' {
        let mut frames = vec![first];
        frames.extend(wire.ready().await);
        return frames;
    }
    // A row may be cut anywhere.
    let (begin, end) = data.split_at(data.len() / 2);
    wire.ask(&[copy_data(begin), copy_data(end), copy_done()])
        .await
}

/// As [`copy`], of one that goes through; how many rows it says.
async fn copied(wire: &mut Wire, sql: &str, data: &[u8]) -> usize {
    let frames = copy(wire, sql, data).await;
    assert_eq!(transcript(&frames), "CZ", "{sql}: {frames:?}");
    let tag = String::from_utf8(frames[0].body.to_vec()).unwrap();
    let rows = tag.strip_prefix("COPY ").unwrap_or_else(|| panic!("{tag}"));
    rows.trim_end_matches('\0').parse().unwrap()
}

/// As [`copy`], of one that fails; the error.
async fn failed(wire: &mut Wire, sql: &str, data: &[u8]) -> Frame {
    let mut frames = copy(wire, sql, data).await;
    // A role that ends with its transaction.
    frames.retain(|frame| frame.tag != b'S');
    assert_eq!(transcript(&frames), "EZ", "{sql}: {frames:?}");
    frames[0].clone()
}

async fn wire(shop: &Shop) -> Wire {
    shop.proxy.wire(&shop.stores.old).await
}

/// The primary's rows of a table.
async fn rows(shop: &Shop, sql: &str) -> Vec<Vec<Option<String>>> {
    let phase = shop.proxy.toggle("shop").await["effective"].clone();
    if phase == "new-primary" {
        shop.stores.new.rows(sql).await
    } else {
        shop.stores.old.rows(sql).await
    }
}

in_dual_phases!(trap_15_copy_into_a_mapped_table, async |shop: &Shop| {
    let mut wire = wire(shop).await;
    let wire = &mut wire;
    // Defaults, sequences and clocks of what the data leaves out.
    let sql = "COPY orders (customer, total) FROM STDIN";
    assert_eq!(
        copied(wire, sql, b"text\t1.5\nback\\\\slash\\ttab\t2\n\\.\n").await,
        2
    );
    let sql = "copy public.orders(customer,state)from stdin with(format csv,header,delimiter ';',null 'nil',quote '''')";
    assert_eq!(
        copied(
            wire,
            sql,
            b"customer;state\n'semi;colon';new\n'two\nlines';'nil'\n"
        )
        .await,
        2
    );
    let sql = "COPY counters FROM STDIN (FORMAT csv, HEADER match, FORCE_NULL (updated_at))";
    let error = failed(wire, sql, b"name,amount,updated_at\nx,1,\n").await;
    assert_eq!(error.field(b'C').unwrap(), "22P04", "{error:?}");
    // The option DEFAULT came with version 16.
    if rows(
        shop,
        "SELECT 1 WHERE current_setting('server_version_num')::int >= 160000",
    )
    .await
    .len()
        == 1
    {
        let sql = "COPY counters (name, value) FROM STDIN (FORMAT csv, DEFAULT '<default>', FORCE_NOT_NULL (name))";
        assert_eq!(copied(wire, sql, b",<default>\n\"<default>\",5\n").await, 2);
    }
    let sql = "COPY items (order_id, line, product) FROM STDIN WHERE line > 1 AND quantity = 1 AND product <> 'no'";
    assert_eq!(
        copied(wire, sql, b"1\t1\tno\n1\t2\tyes\n1\t3\tno\n1\t4\tyes\n").await,
        2
    );
    // Old spelling.
    assert_eq!(
        copied(
            wire,
            "COPY counters (name) FROM STDIN DELIMITERS '|' WITH NULL AS 'x'",
            b"old spelling\n"
        )
        .await,
        1
    );
    assert_eq!(copied(wire, "COPY counters FROM STDIN", b"").await, 0);
    let found = rows(
        shop,
        "SELECT product, quantity FROM items WHERE order_id = 1 AND line > 1 ORDER BY line",
    )
    .await;
    assert_eq!(
        found,
        vec![vec![Some("yes".to_owned()), Some("1".to_owned())]; 2]
    );
    let found = rows(shop, "SELECT count(*), count(DISTINCT token), count(DISTINCT created_at) FROM orders WHERE id > 50").await;
    assert_eq!(found, [vec![Some("4".to_owned()); 3]]);
    // Nothing of the way it took is left.
    assert!(
        wire.query("SELECT relname FROM pg_class WHERE relname LIKE 'crossfade%'")
            .await
            .iter()
            .all(|frame| frame.tag != b'D')
    );
    // Reading is another matter.
    assert_eq!(wire.query("COPY (SELECT 1) TO STDOUT").await.len(), 5);
});

in_dual_phases!(copy_in_the_binary_format, async |shop: &Shop| {
    let mut direct = shop.stores.old.direct().wire().await;
    let frames = direct
        .query("COPY (SELECT 'binary ' || n, n * 7::bigint FROM generate_series(1, 300) n) TO STDOUT (FORMAT binary)")
        .await;
    let data: Vec<u8> = frames
        .iter()
        .filter(|frame| frame.tag == b'd')
        .flat_map(|frame| frame.body.to_vec())
        .collect();
    let mut wire = wire(shop).await;
    let sql = "COPY counters (name, value) FROM STDIN (FORMAT binary)";
    assert_eq!(copied(&mut wire, sql, &data).await, 300);
    assert_eq!(
        rows(
            shop,
            "SELECT sum(value) FROM counters WHERE name LIKE 'binary%'"
        )
        .await,
        [[Some("316050".to_owned())]]
    );
});

in_dual_phases!(
    trap_15_a_copy_that_fails_reaches_neither,
    async |shop: &Shop| {
        let mut wire = wire(shop).await;
        let wire = &mut wire;
        let sql = "COPY orders (customer, total) FROM STDIN";
        // In the last line, by the format, by a constraint, by the client's word.
        let error = failed(wire, sql, b"fails\t1\nfails\tnot a number\n").await;
        assert_eq!(error.field(b'C').unwrap(), "22P02");
        assert_eq!(
            error.field(b'W').unwrap(),
            "COPY orders, line 2, column total: \"not a number\""
        );
        assert_eq!(
            failed(wire, sql, b"fails\t1\nfails\n")
                .await
                .field(b'C')
                .unwrap(),
            "22P04"
        );
        assert_eq!(
            failed(wire, sql, b"fails\t1\n\\N\t2\n")
                .await
                .field(b'C')
                .unwrap(),
            "23502"
        );
        let twice = "COPY counters (name) FROM STDIN";
        let error = failed(wire, twice, b"fails\ncounter 1\n").await;
        assert_eq!(error.field(b'C').unwrap(), "23505");
        assert_eq!(error.field(b'n').unwrap(), "counters_pkey");
        wire.send(&[
            query(sql),
            copy_data(b"fails\t1\n"),
            copy_fail("changed my mind"),
        ])
        .await;
        assert_eq!(wire.frame().await.tag, b'G');
        let frames = wire.ready().await;
        assert_eq!(frames[0].field(b'C').unwrap(), "57014", "{frames:?}");
        let error = failed(wire, "COPY orders (nowhere) FROM STDIN", b"").await;
        assert_eq!(error.field(b'C').unwrap(), "42703");
        // Data of a COPY that is over is dropped.
        let frames = wire
            .ask(&[copy_data(b"late\t1\n"), copy_done(), query("SELECT 1")])
            .await;
        assert_eq!(transcript(&frames), "TDCZ");
        // A client that goes in the middle.
        let mut gone = shop.proxy.wire(&shop.stores.old).await;
        gone.send(&[query(sql), copy_data(b"fails\t1\nfails\t")])
            .await;
        assert_eq!(gone.frame().await.tag, b'G');
        drop(gone);
        tokio::time::sleep(Duration::from_millis(200)).await;
        for sql in [
            "SELECT id FROM orders WHERE customer = 'fails'",
            "SELECT name FROM counters WHERE name = 'fails'",
        ] {
            assert_eq!(rows(shop, sql).await, [[]; 0]);
        }
        assert_eq!(copied(wire, sql, b"works\t1\n").await, 1);
    }
);

in_dual_phases!(
    copy_in_transactions_and_among_other_statements,
    async |shop: &Shop| {
        let mut wire = wire(shop).await;
        let wire = &mut wire;
        let sql = "COPY counters (name, value) FROM STDIN";
        wire.query("BEGIN; INSERT INTO counters (name) VALUES ('before')")
            .await;
        assert_eq!(copied(wire, sql, b"in block\t1\n").await, 1);
        wire.query("UPDATE counters SET value = value + 1 WHERE name = 'in block'; SAVEPOINT s")
            .await;
        assert_eq!(copied(wire, sql, b"undone\t1\n").await, 1);
        wire.query("ROLLBACK TO s; COMMIT").await;
        wire.query("BEGIN").await;
        assert_eq!(copied(wire, sql, b"rolled back\t1\n").await, 1);
        wire.query("ROLLBACK").await;
        // One Query is one transaction.
        let several = "INSERT INTO counters (name) VALUES ('several'); COPY counters (name, value) FROM STDIN; SELECT 'between'; \
                       COPY counters (name, value) FROM STDIN; UPDATE counters SET value = 9 WHERE name = 'second'";
        for (data, name) in [(&b"second\t2\n"[..], "CTDCG"), (b"first\t2\n", "CTDCG")] {
            wire.send(&[query(several)]).await;
            wire.until(b'G').await;
            let unique = [b"a ", data].concat();
            wire.send(&[copy_data(&unique), copy_done()]).await;
            let frames = wire.until(b'G').await;
            assert_eq!(transcript(&frames), name);
            let frames = wire.ask(&[copy_data(data), copy_done()]).await;
            let ends = transcript(&frames);
            // The second time the INSERT finds its own row.
            assert_eq!(ends, "CCZ", "{frames:?}");
            wire.query("DELETE FROM counters WHERE name = 'several'")
                .await;
        }
        // In a failed block the server refuses it.
        wire.query("BEGIN; SELECT 1 / 0").await;
        assert_eq!(failed(wire, sql, b"").await.field(b'C').unwrap(), "25P02");
        wire.query("ROLLBACK").await;
        let found = rows(
            shop,
            "SELECT name, value FROM counters WHERE name !~ '^counter' ORDER BY name COLLATE \"C\"",
        )
        .await;
        let found: Vec<String> = found
            .into_iter()
            .map(|row| row.into_iter().flatten().collect::<Vec<_>>().join("="))
            .collect();
        assert_eq!(
            found,
            [
                "a first=2",
                "a second=2",
                "before=0",
                "first=2",
                "in block=2",
                "second=9"
            ]
        );
    }
);

in_dual_phases!(copy_in_the_extended_protocol, async |shop: &Shop| {
    let mut wire = wire(shop).await;
    let wire = &mut wire;
    let sql = "COPY counters (name, value) FROM STDIN";
    // As libpq does it: a Sync before the data, and one behind.
    let start = [
        parse("", sql, &[]),
        bind("", "", &[]),
        describe_portal(""),
        execute("", 0),
        sync(),
    ];
    wire.send(&start).await;
    assert_eq!(transcript(&wire.until(b'G').await), "12nG");
    let frames = wire
        .ask(&[copy_data(b"extended\t6\n"), copy_done(), sync()])
        .await;
    assert_eq!(transcript(&frames), "CZ");
    // A statement that is prepared once, without the early Sync; in one pipeline with others.
    let frames = wire.ask(&[parse("again", sql, &[]), sync()]).await;
    assert_eq!(transcript(&frames), "1Z");
    for name in [&b"again 1\t1\n"[..], b"again 2\t1\n"] {
        let insert = parse(
            "",
            "INSERT INTO orders (customer) VALUES ('pipelined')",
            &[],
        );
        wire.send(&[
            insert,
            bind("", "", &[]),
            execute("", 0),
            bind("", "again", &[]),
            execute("", 0),
            flush(),
        ])
        .await;
        assert_eq!(transcript(&wire.until(b'G').await), "12C2G");
        let frames = wire.ask(&[copy_data(name), copy_done(), sync()]).await;
        assert_eq!(transcript(&frames), "CZ");
    }
    // Refused by the client, and by the server: the rest is skipped up to Sync.
    wire.send(&start).await;
    wire.until(b'G').await;
    assert_eq!(
        transcript(&wire.ask(&[copy_fail("no"), sync()]).await),
        "EZ"
    );
    wire.send(&start).await;
    wire.until(b'G').await;
    let frames = wire
        .ask(&[
            copy_data(b"bad line\n"),
            copy_data(b"more\t1\n"),
            copy_done(),
            sync(),
        ])
        .await;
    assert_eq!(transcript(&frames), "EZ");
    // One message with all of the data.
    let data: String = (0..20_000)
        .map(|n| format!("one message {n}\t{n}\n"))
        .collect();
    wire.send(&start).await;
    wire.until(b'G').await;
    let frames = wire
        .ask(&[copy_data(data.as_bytes()), copy_done(), sync()])
        .await;
    assert_eq!(transcript(&frames), "CZ");
    assert_eq!(
        rows(
            shop,
            "SELECT count(*) FROM counters WHERE name ~ '^(one message|again|extended)'"
        )
        .await,
        [[Some("20003".to_owned())]]
    );
});

in_dual_phases!(copy_by_a_driver, async |shop: &Shop| {
    use futures::SinkExt as _;
    let client = shop.client().await;
    let sink = client
        .copy_in("COPY orders (customer, total) FROM STDIN (FORMAT csv)")
        .await
        .unwrap();
    let mut sink = std::pin::pin!(sink);
    for n in 0..50 {
        sink.send(bytes::Bytes::from(format!("\"driver {n}\",{n}\n")))
            .await
            .unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 50);
});

/// Triggers that change and refuse rows, generated columns, identities, and a table whose new shape is another.
#[tokio::test]
async fn trap_10_and_33_copy_into_tables_that_fill_their_rows() {
    const OLD: &str = "
        CREATE TYPE mood AS ENUM ('sad', 'glad');
        CREATE TABLE always (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text, doubled int GENERATED ALWAYS AS (length(a) * 2) STORED, feels mood DEFAULT 'sad');
        CREATE TABLE filled (id bigserial PRIMARY KEY, name text NOT NULL, code char(4), stamp timestamptz NOT NULL DEFAULT clock_timestamp());
        CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN IF NEW.name = 'skipped' THEN RETURN NULL; END IF; NEW.name = coalesce(NEW.name, 'filled by the trigger'); RETURN NEW; END $$;
        CREATE TRIGGER fill BEFORE INSERT ON filled FOR EACH ROW EXECUTE FUNCTION fill();";
    const NEW: &str = "
        CREATE TYPE mood AS ENUM ('sad', 'glad');
        CREATE TABLE always (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text, doubled int GENERATED ALWAYS AS (length(a) * 2) STORED, feels mood DEFAULT 'sad');
        CREATE TABLE other_name (code text, id bigint PRIMARY KEY DEFAULT 0, title varchar(50) NOT NULL, stamp timestamptz NOT NULL DEFAULT clock_timestamp());";
    const TABLES: &str = "[toggle.shop.table.always]\n[toggle.shop.table.filled]\ntarget = \"other_name\"\n\
        column.name = { to = \"title\", type = \"varchar(50)\" }\ncolumn.code = { to = \"code\", type = \"text\" }\n";
    for phase in ["dual-write", "new-primary"] {
        let seed = "INSERT INTO always (a) VALUES ('x'); INSERT INTO filled (name) VALUES ('y')";
        let shop = Shop::with(phase, OLD, NEW, TABLES, seed, |config| config).await;
        let mut wire = wire(&shop).await;
        let wire = &mut wire;
        let sql = "COPY always (id, a, feels) FROM STDIN";
        assert_eq!(
            copied(wire, sql, b"900\tnine\tglad\n901\t\\N\t\\N\n").await,
            2,
            "{phase}"
        );
        assert_eq!(
            copied(wire, "COPY always (a) FROM STDIN", b"by identity\n").await,
            1,
            "{phase}"
        );
        assert_eq!(
            copied(
                wire,
                "COPY always FROM STDIN (FORMAT csv)",
                b"902,all,glad\n"
            )
            .await,
            1,
            "{phase}"
        );
        if phase == "dual-write" {
            let sql = "COPY filled (name) FROM STDIN";
            assert_eq!(copied(wire, sql, b"kept\nskipped\n\\N\n").await, 2);
            let found = shop
                .stores
                .old
                .rows("SELECT name FROM filled ORDER BY id")
                .await;
            assert_eq!(
                found.last().unwrap()[0].as_deref(),
                Some("filled by the trigger")
            );
        }
        let sql = "COPY filled (id, name, code, stamp) FROM STDIN";
        let data =
            b"70\tseventy\tab\t2020-01-01 00:00:00+00\n71\tmore\t\\N\t2021-01-01 00:00:00+00\n";
        assert_eq!(copied(wire, sql, data).await, 2, "{phase}");
        shop.stores.assert_equal(&["always"]).await;
        let old = "SELECT id, name, code::text, stamp FROM filled";
        let new = "SELECT id, title, code::text, stamp FROM other_name";
        crossfade_tests::compare::queries(&shop.stores.old, old, &shop.stores.new, new).await;
        shop.assert_clean().await;
    }
}

/// What COPY minds and INSERT does not, and what the way over a temporary table needs.
#[tokio::test]
async fn a_copy_that_cannot_be_captured_is_refused_before_anything_ran() {
    let hidden = format!(
        "{}CREATE RULE quiet AS ON INSERT TO items DO ALSO NOTHING;
        CREATE VIEW seen AS SELECT * FROM orders; ALTER TABLE counters ENABLE ROW LEVEL SECURITY;",
        crossfade_tests::SHOP
    );
    let tables = "[toggle.shop.table.orders]\nversion = \"updated_at\"\n[toggle.shop.table.items]\nacknowledge = [\"quiet\"]\n[toggle.shop.table.counters]\n";
    let shop = Shop::with(
        "dual-write",
        &hidden,
        crossfade_tests::SHOP,
        tables,
        "",
        |config| config,
    )
    .await;
    let mut wire = wire(&shop).await;
    for (sql, why) in [
        ("COPY items FROM STDIN", "rules"),
        ("COPY counters FROM STDIN", "row-level security"),
        ("COPY seen FROM STDIN", "mapped table itself"),
    ] {
        for begin in [
            "BEGIN",
            "BEGIN; INSERT INTO orders (customer) VALUES ('before')",
        ] {
            // The table's owner passes over its policies.
            wire.query(&format!("{begin}; SET LOCAL ROLE pg_write_all_data"))
                .await;
            let error = failed(&mut wire, sql, b"").await;
            assert_eq!(error.field(b'C').unwrap(), "0A000", "{sql}: {error:?}");
            assert!(error.field(b'H').unwrap().contains(why), "{sql}: {error:?}");
            wire.query("ROLLBACK").await;
        }
    }
}
