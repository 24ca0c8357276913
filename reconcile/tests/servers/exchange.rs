//! Rows that have exchanged unique values, where other rows point to them or they have more than is carried.

use bytes::Bytes;
use crossfade_journal::{KeyRef, Reason};
use crossfade_phase::{Phase, Side};

use crate::pair::Pair;

/// Nothing may be NULL, and the checks leave little room; `note` of the new store is not carried.
const SLOTS: &str = "
CREATE TYPE mood AS ENUM ('bad', 'fair', 'good');
CREATE TABLE slots (
    id int PRIMARY KEY,
    price numeric(6,2) NOT NULL UNIQUE CHECK (price BETWEEN 1 AND 99),
    day date NOT NULL UNIQUE CHECK (day BETWEEN '2026-01-01' AND '2026-12-31'),
    hour timestamptz NOT NULL UNIQUE CHECK (date_trunc('day', hour, 'UTC') = hour),
    seat char(3) NOT NULL UNIQUE CHECK (seat ~ '^[A-Z][0-9]{2}$'),
    code varchar(4) NOT NULL UNIQUE CHECK (code LIKE 'a-%'),
    rank smallint NOT NULL UNIQUE CHECK (rank BETWEEN 1 AND 4),
    mood mood NOT NULL UNIQUE,
    address inet NOT NULL UNIQUE,
    raw bytea NOT NULL UNIQUE CHECK (length(raw) = 2),
    token uuid NOT NULL UNIQUE
);
CREATE TABLE visits (id int PRIMARY KEY, slot int NOT NULL REFERENCES slots ON DELETE CASCADE);
";
const SLOTS_TABLES: &str = "
[toggle.shop]
phase = \"use-old\"
[toggle.shop.table.slots]
";

/// Three rows; with `shift` each has the values of the next one. Of moods there are no more than that.
fn slots(rows: u32, shift: u32) -> String {
    let at = format!("((n + {shift}) % {rows})");
    let mood = format!("(ARRAY['bad', 'fair', 'good']::mood[])[{at} + 1]");
    format!(
        "INSERT INTO slots SELECT n, 10 + {at}, date '2026-03-01' + {at}, timestamptz '2026-03-01 00:00 UTC' + {at} * interval '1 day', 'A0' || {at}, 'a-' || {at},
            {at} + 1, {mood}, inet '10.0.0.1' + {at}, decode('000' || {at}, 'hex'), md5({at}::text)::uuid FROM generate_series(0, {rows} - 1) n"
    )
}

async fn mark(pair: &Pair, table: &str, keys: &[&[&str]]) {
    let parts: Vec<Vec<Bytes>> = keys
        .iter()
        .map(|key| {
            key.iter()
                .map(|part| Bytes::from((*part).to_owned()))
                .collect()
        })
        .collect();
    let keys: Vec<KeyRef<'_, Bytes>> = parts
        .iter()
        .map(|parts| KeyRef {
            toggle: "shop",
            table,
            parts,
        })
        .collect();
    let intent = pair.journal.intend(Side::New, &keys).await.unwrap();
    intent.dirty(Reason::SecondaryFailed).await.unwrap();
}

/// The errors that an operator sees of the keys.
fn told(pair: &Pair) -> String {
    let failing = pair.journal.failing("shop", 10);
    let texts: Vec<String> = failing.into_iter().map(|(_, error)| error).collect();
    texts.join("\n")
}

#[tokio::test]
async fn an_exchange_finds_room_within_what_the_checks_accept() {
    let new = format!("{SLOTS}; ALTER TABLE slots ADD note text");
    let pair = Pair::of(Phase::DualWrite, SLOTS, &new, SLOTS_TABLES).await;
    let (old, new) = (&pair.databases.old, &pair.databases.new);
    for rows in [2, 3] {
        old.run(&format!("TRUNCATE slots, visits; {}", slots(rows, 1)))
            .await;
        // Of the three moods one is free as long as there are two rows.
        let moods = if rows == 3 {
            "ALTER TABLE slots DROP CONSTRAINT IF EXISTS slots_mood_key;"
        } else {
            ""
        };
        new.run(&format!(
            "TRUNCATE slots, visits; {moods} INSERT INTO slots SELECT s.*, 'note' FROM ({}) s;
             INSERT INTO visits SELECT id, id FROM slots",
            slots(rows, 0).replace("INSERT INTO slots ", "")
        ))
        .await;
        let keys: Vec<String> = (0..rows).map(|n| n.to_string()).collect();
        let keys: Vec<[&str; 1]> = keys.iter().map(|key| [&**key]).collect();
        let keys: Vec<&[&str]> = keys.iter().map(|key| &key[..]).collect();
        mark(&pair, "public.slots", &keys).await;
        let report = pair.engine.repair(None, false).await.unwrap();
        assert_eq!(report.left_dirty, 0, "{report:#?}");
        let all = "SELECT string_agg(s::text, ' ' ORDER BY id) FROM slots s";
        let carried = all.replace("FROM slots s", "FROM (SELECT id, price, day, hour, seat, code, rank, mood, address, raw, token FROM slots) s");
        assert_eq!(new.value(&carried).await, old.value(&carried).await);
        let kept = "SELECT (SELECT count(*) FROM visits) || ' ' || (SELECT count(*) FROM slots WHERE note = 'note')";
        assert_eq!(new.value(kept).await, format!("{rows} {rows}"));
    }
}

/// Two rows with the only two ranks that there are.
const FULL: &str = "
CREATE TABLE full_house (id int PRIMARY KEY, rank smallint NOT NULL CONSTRAINT one_each UNIQUE CHECK (rank BETWEEN 1 AND 2), name text);
";
const FULL_TABLES: &str = "
[toggle.shop]
phase = \"use-old\"
[toggle.shop.table.full_house]
";

async fn full(meanwhile: &str) -> Pair {
    let pair = Pair::of(Phase::DualWrite, FULL, FULL, FULL_TABLES).await;
    let (old, new) = (&pair.databases.old, &pair.databases.new);
    old.run("INSERT INTO full_house VALUES (1, 2, 'a'), (2, 1, 'b')")
        .await;
    // Behind the catalogs that the mapping was made from.
    new.run(&format!(
        "INSERT INTO full_house VALUES (1, 1, 'a'), (2, 2, 'b'); {meanwhile}"
    ))
    .await;
    mark(&pair, "public.full_house", &[&["1"], &["2"]]).await;
    pair
}

#[tokio::test]
async fn rows_without_room_are_put_in_anew_where_that_touches_nothing_else() {
    let pair = full("").await;
    let report = pair.engine.repair(None, false).await.unwrap();
    assert_eq!(report.left_dirty, 0, "{report:#?}");
    let rows = "SELECT string_agg(f::text, ' ' ORDER BY id) FROM full_house f";
    assert_eq!(pair.databases.new.value(rows).await, "(1,2,a) (2,1,b)");
}

/// Made since the mapping was: none of it may lose what hangs on the rows.
#[tokio::test]
async fn rows_are_not_deleted_for_a_moment_where_that_touches_more() {
    let log = "CREATE TABLE log (id int); CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.log VALUES (OLD.id); RETURN OLD; END $$;";
    for (meanwhile, named, left) in [
        (
            "CREATE TABLE guests (id int REFERENCES full_house ON DELETE CASCADE); INSERT INTO guests VALUES (1), (2)".to_owned(),
            "the foreign key guests_id_fkey of public.guests points to public.full_house",
            "SELECT count(*) = 2 FROM guests",
        ),
        (
            format!("{log} CREATE TRIGGER log BEFORE DELETE ON full_house FOR EACH ROW EXECUTE FUNCTION log()"),
            "public.full_house has the trigger log",
            "SELECT count(*) = 0 FROM log",
        ),
        (
            "ALTER TABLE full_house ADD note text; UPDATE full_house SET note = 'note'".to_owned(),
            "the column note is not carried",
            "SELECT count(*) = 2 FROM full_house WHERE note = 'note'",
        ),
        (
            "CREATE TABLE annex () INHERITS (full_house)".to_owned(),
            "public.annex inherits from it",
            "SELECT count(*) = 2 FROM ONLY full_house",
        ),
    ] {
        let pair = full(&meanwhile).await;
        let new = &pair.databases.new;
        let report = pair.engine.repair(None, false).await.unwrap();
        assert_eq!(report.left_dirty, 2, "{report:#?}");
        assert_eq!(new.value(left).await, "t", "{meanwhile}");
        let told = told(&pair);
        for part in ["one_each", "2 rows exchange such values", "give one of them, in this store, a value that no row has, or drop the constraint there", "none of", named] {
            assert!(told.contains(part), "{part}: {told}");
        }
        // As it was told.
        new.run("ALTER TABLE full_house DROP CONSTRAINT one_each").await;
        let report = pair.engine.repair(None, false).await.unwrap();
        assert_eq!(report.left_dirty, 0, "{report:#?}");
        assert_eq!(new.value(left).await, "t", "{meanwhile}");
    }
}

/// A foreign key that points to a part alone is none of the table's.
#[tokio::test]
async fn rows_of_a_part_that_others_point_to_are_not_deleted_for_a_moment() {
    let table = "
CREATE TABLE halls (region text NOT NULL, id int NOT NULL, rank smallint NOT NULL CHECK (rank BETWEEN 1 AND 2), PRIMARY KEY (region, id), UNIQUE (region, rank)) PARTITION BY LIST (region);
CREATE TABLE halls_eu PARTITION OF halls FOR VALUES IN ('eu');
CREATE TABLE seats (id int PRIMARY KEY, region text, hall int, FOREIGN KEY (region, hall) REFERENCES halls_eu (region, id) ON DELETE CASCADE);";
    let tables = "[toggle.shop]\nphase = \"use-old\"\n[toggle.shop.table.halls]\n";
    let pair = Pair::of(Phase::DualWrite, table, table, tables).await;
    let (old, new) = (&pair.databases.old, &pair.databases.new);
    old.run("INSERT INTO halls VALUES ('eu', 1, 2), ('eu', 2, 1)")
        .await;
    new.run("INSERT INTO halls VALUES ('eu', 1, 1), ('eu', 2, 2); INSERT INTO seats VALUES (1, 'eu', 1), (2, 'eu', 2)").await;
    mark(&pair, "public.halls", &[&["eu", "1"], &["eu", "2"]]).await;
    let report = pair.engine.repair(None, false).await.unwrap();
    assert_eq!(
        new.value("SELECT count(*) FROM seats").await,
        "2",
        "{report:?}"
    );
    assert_eq!(report.left_dirty, 2, "{report:#?}");
    let told = told(&pair);
    assert!(told.contains("points to public.halls_eu"), "{told}");
}
