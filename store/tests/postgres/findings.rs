//! What the preflight has to say.

use crossfade_phase::Side;
use crossfade_store::Finding;

use crate::common::Pair;

type Found = Vec<(Side, Finding)>;

/// The one finding that says `what`.
fn the<'a>(found: &'a Found, what: &str) -> &'a (Side, Finding) {
    let said: Vec<_> = found
        .iter()
        .filter(|(_, finding)| finding.what.contains(what))
        .collect();
    assert_eq!(said.len(), 1, "{what}: {found:#?}");
    said[0]
}

fn blocks(found: &Found, what: &str, name: Option<&str>) {
    let (_, finding) = the(found, what);
    assert!(finding.blocks.is_some(), "{finding:?}");
    assert_eq!(finding.name.as_deref(), name);
}

fn notes(found: &Found, what: &str) {
    let (_, finding) = the(found, what);
    assert!(finding.blocks.is_none(), "{finding:?}");
}

#[tokio::test]
async fn two_stores_that_fit_give_no_finding() {
    let schema = "CREATE TYPE mood AS ENUM ('a'); CREATE TABLE p (id serial PRIMARY KEY, n numeric(10,2), m mood, at timestamptz DEFAULT now(), UNIQUE (at));
        CREATE TABLE c (id int PRIMARY KEY, p int NOT NULL REFERENCES p)";
    let pair = Pair::new(
        "fit",
        "",
        schema,
        schema,
        "[toggle.t.table.p]\n[toggle.t.table.c]",
    )
    .await;
    let mapping = pair.mapping().await;
    assert_eq!(pair.findings(&mapping).await, []);
}

#[tokio::test]
async fn what_the_new_store_cannot_take_blocks() {
    let old = "CREATE TABLE t (id int PRIMARY KEY, a int, b varchar(20), c int, d numeric(12,4), e float8, f timestamptz, g int, h int, i int[])";
    let new = "CREATE TABLE t (id int NOT NULL, a uuid, b varchar(10), c int NOT NULL, d numeric(12,2), e int, f date, g regclass, h int, i text[], j int NOT NULL, k int NOT NULL DEFAULT 0, UNIQUE (id) DEFERRABLE);
        CREATE UNIQUE INDEX only_here ON t (h)";
    let pair = Pair::new("unfit", "", old, new, "[toggle.t.table.t]").await;
    let found = pair.findings(&*pair.mapping().await).await;
    blocks(&found, "no unique index over exactly the key", None);
    blocks(&found, "does not take integer of \"a\" as uuid", None);
    blocks(
        &found,
        "the old store cannot compare the column \"a\"",
        None,
    );
    blocks(&found, "\"j\" is NOT NULL", None);
    assert!(
        !found
            .iter()
            .any(|(_, finding)| finding.what.contains("\"k\""))
    );
    notes(
        &found,
        "\"b\" is character varying(20) in the old store and character varying(10) in the new: longer values",
    );
    notes(&found, "\"c\" may be NULL in the old");
    notes(
        &found,
        "\"d\" is numeric(12,4) in the old store and numeric(12,2) in the new: values with more digits",
    );
    notes(
        &found,
        "\"e\" is double precision in the old store and integer",
    );
    notes(
        &found,
        "only the new store has the unique index \"only_here\"",
    );
    assert!(
        found
            .iter()
            .any(|(_, finding)| finding.what.contains("is made in UTC"))
    );
    assert!(
        found
            .iter()
            .any(|(_, finding)| finding.blocks.is_some() && finding.what.contains("\"g\" has type"))
    );
}

#[tokio::test]
async fn trap_10_what_changes_rows_unseen_is_named() {
    let functions = "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.n = 1; RETURN NEW; END';
        CREATE FUNCTION total() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE p SET n = n + 1; RETURN NULL; END';
        CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (1); RETURN NULL; END';
        CREATE TABLE log (n int); CREATE TABLE region (id int PRIMARY KEY);";
    let tables = "CREATE TABLE p (id int PRIMARY KEY, n int, region int); CREATE TABLE c (id int PRIMARY KEY, p int, q int);";
    let old = format!(
        "{functions} {tables} ALTER TABLE p ADD CONSTRAINT p_region FOREIGN KEY (region) REFERENCES region ON DELETE SET NULL;
        ALTER TABLE c ADD CONSTRAINT c_p FOREIGN KEY (p) REFERENCES p ON DELETE CASCADE; ALTER TABLE c ADD CONSTRAINT c_q FOREIGN KEY (q) REFERENCES p ON DELETE CASCADE;
        CREATE TRIGGER p_touch BEFORE UPDATE ON p FOR EACH ROW EXECUTE FUNCTION touch();
        CREATE TRIGGER c_total AFTER INSERT ON c FOR EACH ROW EXECUTE FUNCTION total();
        CREATE TRIGGER region_total AFTER INSERT ON region FOR EACH STATEMENT EXECUTE FUNCTION total();
        CREATE TRIGGER c_audit AFTER INSERT ON c FOR EACH ROW EXECUTE FUNCTION audit();
        CREATE TRIGGER c_off BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION touch(); ALTER TABLE c DISABLE TRIGGER c_off;
        CREATE RULE c_rule AS ON DELETE TO c WHERE OLD.id = 0 DO INSTEAD NOTHING"
    );
    let new = format!(
        "{functions} {tables} ALTER TABLE c ADD CONSTRAINT c_p FOREIGN KEY (p) REFERENCES p ON DELETE CASCADE;
        ALTER TABLE p ADD CONSTRAINT p_region FOREIGN KEY (region) REFERENCES region; ALTER TABLE log ADD CONSTRAINT log_c FOREIGN KEY (n) REFERENCES c;
        CREATE TRIGGER new_touch BEFORE INSERT ON p FOR EACH ROW EXECUTE FUNCTION touch(); CREATE TRIGGER new_audit AFTER INSERT ON c FOR EACH ROW EXECUTE FUNCTION audit()"
    );
    let pair = Pair::new(
        "unseen",
        "",
        &old,
        &new,
        "[toggle.t.table.p]\n[toggle.t.table.c]",
    )
    .await;
    let found = pair.findings(&*pair.mapping().await).await;
    blocks(
        &found,
        "\"p_region\" of the old store (ON DELETE SET NULL",
        Some("p_region"),
    );
    notes(&found, "\"c_p\" of the old store (ON DELETE CASCADE");
    blocks(
        &found,
        "\"c_q\" of the old store (ON DELETE CASCADE",
        Some("c_q"),
    );
    let (_, alone) = the(&found, "\"c_q\" of the old store");
    assert!(alone.what.contains("`crossfade verify --reverse`"));
    blocks(
        &found,
        "the trigger \"c_total\" of the old store writes public.p",
        Some("c_total"),
    );
    blocks(
        &found,
        "the trigger \"region_total\" on public.region of the old store writes this table",
        Some("region_total"),
    );
    notes(
        &found,
        "the trigger \"p_touch\" of the old store may change rows",
    );
    blocks(
        &found,
        "the rule \"c_rule\" of the old store",
        Some("c_rule"),
    );
    blocks(
        &found,
        "the trigger \"new_touch\" of the new store may change rows",
        Some("new_touch"),
    );
    notes(&found, "the trigger \"new_audit\" of the new store fires");
    notes(
        &found,
        "\"p_region\" of the new store points to public.region, which is not mapped",
    );
    notes(
        &found,
        "the table public.log of the new store, which is not mapped, points here",
    );
    assert!(
        !found
            .iter()
            .any(|(_, finding)| finding.what.contains("c_off") || finding.what.contains("c_audit"))
    );
}

#[tokio::test]
async fn trap_09_triggers_that_assign_what_has_to_stay_are_named() {
    let tables = "CREATE TABLE p (id int, kind int, low text, name text, n int, UNIQUE (low, kind), PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE c (id int PRIMARY KEY, low text, kind int);";
    let function = |name: &str, body: &str| {
        format!(
            "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$;"
        )
    };
    let trigger = |name: &str, on: &str, event: &str| {
        format!(
            "CREATE TRIGGER {name} BEFORE {event} ON {on} FOR EACH ROW EXECUTE FUNCTION {name}();"
        )
    };
    let old = [
        tables.to_owned(),
        "ALTER TABLE c ADD CONSTRAINT c_low FOREIGN KEY (low, kind) REFERENCES p (low, kind) ON UPDATE CASCADE;".to_owned(),
        function("stamp", "NEW.id := 5; IF NEW.n = 1 THEN NEW.low = lower(NEW.name); END IF; NEW.n := 1;"),
        trigger("stamp", "p", "INSERT OR UPDATE"),
        function("at_first", "NEW.id := 5;"),
        trigger("at_first", "p", "INSERT"),
        function("part", "NEW.kind := 1;"),
        trigger("part", "p1", "UPDATE"),
        function("harmless", "NEW.n := NEW.n + 1; NEW.id := OLD.id;"),
        trigger("harmless", "c", "UPDATE"),
    ]
    .concat();
    let new = [
        tables.to_owned(),
        function("late", "NEW.id := 5;"),
        trigger("late", "c", "UPDATE"),
    ]
    .concat();
    let sections = "[toggle.t.table.p]\n[toggle.t.table.c]";
    let pair = Pair::new("assigning", "", &old, &new, sections).await;
    let mapping = pair.mapping().await;
    assert_eq!(mapping.tables[0].old.before_update, ["part", "stamp"]);
    let found = pair.findings(&mapping).await;
    blocks(
        &found,
        "\"stamp\" of the old store assigns NEW.\"id\", which the key is made of",
        Some("stamp.id"),
    );
    blocks(
        &found,
        "\"stamp\" of the old store assigns NEW.\"low\", which foreign keys with ON UPDATE actions point to",
        Some("stamp.low"),
    );
    blocks(
        &found,
        "\"part\" of the old store assigns NEW.\"kind\"",
        Some("part.kind"),
    );
    blocks(
        &found,
        "\"late\" of the new store assigns NEW.\"id\"",
        Some("late.id"),
    );
    notes(
        &found,
        "\"stamp\" of the old store may change rows before they are written; it must not change the key (\"id\", \"kind\") of a row that is there, which is not always noticed, \
         nor what foreign keys with ON UPDATE actions point to (\"kind\", \"low\")",
    );
    notes(
        &found,
        "\"at_first\" of the old store may change rows before they are written; in phase 5",
    );
    let assigning = found
        .iter()
        .filter(|(_, finding)| finding.what.contains("assigns"));
    assert_eq!(assigning.count(), 4, "{found:#?}");
}

#[tokio::test]
async fn missing_rights_and_row_security_block() {
    let schema = "CREATE TABLE t (id serial PRIMARY KEY, n int)";
    let pair = Pair::new("rights", "", schema, schema, "[toggle.t.table.t]").await;
    pair.run(
        Side::Old,
        "CREATE ROLE weak LOGIN; GRANT SELECT ON t TO weak",
    )
    .await;
    pair.run(Side::New, "GRANT SELECT, INSERT, UPDATE ON t TO weak; GRANT USAGE, SELECT, UPDATE ON SEQUENCE t_id_seq TO weak; ALTER TABLE t ENABLE ROW LEVEL SECURITY").await;
    let mapping = pair.mapping().await;
    let found = pair
        .with_account("weak", "[toggle.t.table.t]")
        .findings(&mapping)
        .await;
    blocks(&found, "\"weak\" may not UPDATE in the old store", None);
    notes(&found, "\"weak\" may not INSERT in the old store");
    notes(&found, "\"weak\" may not DELETE in the old store");
    blocks(&found, "\"weak\" may not DELETE in the new store", None);
    blocks(&found, "row security of the new store", None);
    notes(
        &found,
        "may not read and move the sequence public.t_id_seq of the old store",
    );
    assert_eq!(found.len(), 6, "{found:#?}");
    assert_eq!(pair.findings(&mapping).await, []);
}

#[tokio::test]
async fn keys_that_two_spellings_would_tell_apart_block() {
    let old = "CREATE TABLE t (a text, b int, c date, d numeric, e varchar(5), PRIMARY KEY (a, b, c, d, e))";
    let new = "CREATE TABLE t (a uuid, b bigint, c timestamp, d numeric, e text, PRIMARY KEY (e, d, c, b, a))";
    let pair = Pair::new("spelling", "", old, new, "[toggle.t.table.t]").await;
    let found = pair.findings(&*pair.mapping().await).await;
    blocks(
        &found,
        "the key column \"a\" is text in the old store and uuid",
        Some("a"),
    );
    blocks(
        &found,
        "the key column \"c\" is date in the old store",
        None,
    );
    blocks(
        &found,
        "\"d\" can hold equal values that are written differently",
        Some("d"),
    );
    notes(&found, "the key sorts differently");
    assert!(
        !found
            .iter()
            .any(|(_, finding)| finding.what.contains("unique index over exactly the key"))
    );
    assert!(
        !found.iter().any(|(_, finding)| finding.blocks.is_some()
            && (finding.what.contains("\"b\"") || finding.what.contains("\"e\""))),
        "{found:#?}"
    );
}

#[tokio::test]
async fn types_of_users_whose_text_depends_on_the_session_block() {
    let schema = "CREATE TYPE event AS (at timestamptz); CREATE DOMAIN day AS date; CREATE TABLE t (id int PRIMARY KEY, e event, d day, days day[])";
    let pair = Pair::new("varies", "", schema, schema, "[toggle.t.table.t]").await;
    let found = pair.findings(&*pair.mapping().await).await;
    blocks(&found, "the column \"e\" has a type of your own", Some("e"));
    blocks(
        &found,
        "the column \"days\" has a type of your own",
        Some("days"),
    );
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[tokio::test]
async fn a_type_that_the_new_store_does_not_know_blocks() {
    let old = "CREATE TYPE mood AS ENUM ('a'); CREATE TYPE size AS ENUM ('s');
        CREATE TABLE t (id int PRIMARY KEY, m mood, gone mood, s size)";
    let new = "CREATE TYPE size AS ENUM ('s'); CREATE TABLE t (id int PRIMARY KEY, m text, s text)";
    let tables = "[toggle.t.table.t]\ncolumn.m = { type = \"text\" }\ncolumn.gone = false\ncolumn.s = { type = \"text\" }";
    let pair = Pair::new("unknown_type", "", old, new, tables).await;
    let found = pair.findings(&*pair.mapping().await).await;
    for column in ["m", "gone"] {
        let what = format!("does not know public.mood, the type of \"{column}\"");
        blocks(&found, &what, Some(column));
    }
    assert!(
        !found
            .iter()
            .any(|(_, finding)| finding.what.contains("\"s\" in the old"))
    );
}
