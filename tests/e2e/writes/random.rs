//! Sessions at random: whatever a client sends, in whatever order, the answers are those of a server that stands alone, and both stores hold what that one holds.
//!
//! What is refused (0A000) ends the session there: then only the stores are compared. A session that is answered differently is
//! told in the shortest form that is.

mod messages;
mod statements;

use std::time::Duration;

use bytes::Bytes;
use crossfade_tests::{
    Database, Stores, Wire,
    history::Random,
    journal_in_primary, look_until,
    wire::Frame,
    wire::messages::{close_statement, sync, terminate},
    wire::transcript,
};
use serde_json::Value;

use self::statements::Statements;
use crate::shop::Shop;

const SCHEMA: &str = "
    CREATE TABLE notes (id int PRIMARY KEY, a int);
    CREATE TABLE marks (id int PRIMARY KEY, u int UNIQUE, t text);
    CREATE TABLE firm (id int PRIMARY KEY, u int CONSTRAINT once UNIQUE DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE loose (id int, a int);
    CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;
    CREATE PROCEDURE undoes() LANGUAGE plpgsql AS $$ BEGIN ROLLBACK; END $$;";
const TABLES: &str =
    "[toggle.shop.table.notes]\n[toggle.shop.table.marks]\n[toggle.shop.table.firm]\n";
const MAPPED: [&str; 3] = ["notes", "marks", "firm"];
/// Sessions of a test, unless `CROSSFADE_SESSIONS` says how many.
const SESSIONS: u64 = 80;

/// Messages that are sent at once.
type Step = Vec<Bytes>;
/// The rows of each table, as literals.
type Content = Vec<(&'static str, Vec<Vec<Option<String>>>)>;

/// The proxy with its stores, and a server that stands alone.
struct Pair {
    shop: Shop,
    alone: Stores,
    unmapped: bool,
    /// Between which the toggle moves while a session is under way.
    phases: Vec<&'static str>,
}

/// How a session went.
enum Course {
    Alike,
    Refused,
    Differs(String),
}

impl Pair {
    async fn between(phases: &[&'static str]) -> Pair {
        Pair {
            shop: Shop::of(phases[0], SCHEMA, TABLES, "").await,
            alone: Stores::create(SCHEMA).await,
            // From 5 on they are in the other store than the session is: one transaction cannot write both.
            unmapped: !phases.contains(&"new-primary"),
            phases: phases.to_vec(),
        }
    }

    /// Sends the same to both, step by step, and compares what each says and in the end what each holds.
    async fn run(&mut self, steps: &[Step]) -> Course {
        let mut through = self.shop.proxy.wire(&self.shop.stores.old).await;
        let mut direct = self.alone.old.direct().wire().await;
        for (number, step) in steps.iter().enumerate() {
            let (frames, there) = asked(&mut direct, step).await;
            let expected = told(&frames);
            let (frames, _) = asked(&mut through, step).await;
            if there.is_none() {
                drop((through, direct));
                return self.stores_alike(None).await.unwrap_or(Course::Refused);
            }
            let seen = told(&frames);
            if seen == expected {
                let idle = expected.last().is_some_and(|last| last == r#"Z "I""#);
                if idle && let Some(refusal) = self.flip(number).await {
                    return Course::Differs(format!("behind step {number}: {refusal}"));
                }
                continue;
            }
            if frames.iter().any(is_refusal) {
                drop((through, direct));
                return self.stores_alike(None).await.unwrap_or(Course::Refused);
            }
            return Course::Differs(format!(
                "step {number}:\n  expected {expected:#?}\n  seen {seen:#?}"
            ));
        }
        if through.try_send(&[terminate()]).await.is_ok() {
            let rest = through.rest().await;
            if !rest.is_empty() {
                return Course::Differs(format!("what nobody asked for: {rest:?}"));
            }
        }
        drop(direct);
        self.stores_alike(Some(&self.alone))
            .await
            .unwrap_or(Course::Alike)
    }

    /// To another phase or not, as the number says: the shortest session has to see the same moves. Why it did not come about.
    async fn flip(&mut self, number: usize) -> Option<String> {
        let phase = self.phases[(number + 1) % self.phases.len()];
        if self.shop.proxy.toggle("shop").await["effective"] == phase {
            return None;
        }
        self.shop.proxy.ask("shop", phase);
        let look = async || self.shop.proxy.toggle("shop").await;
        let there = |toggle: &Value| toggle["effective"] == phase;
        let toggle = look_until(Duration::from_secs(4), look, there).await;
        (!there(&toggle)).then(|| format!("the flip to {phase} did not come about: {toggle:#}"))
    }

    /// Compares what the stores hold with each other, and with the one that stands alone.
    async fn stores_alike(&self, alone: Option<&Stores>) -> Option<Course> {
        let tables: &[&str] = match (alone, self.unmapped) {
            (Some(_), true) => &["notes", "marks", "firm", "loose"],
            _ => &MAPPED,
        };
        for table in tables {
            let sql = format!("SELECT r::text FROM {table} r ORDER BY 1");
            for patience in (0..60).rev() {
                let old = self.shop.stores.old.rows(&sql).await;
                // In 2 the new store gets nothing.
                let other = match *table == "loose" || self.phases.contains(&"use-old") {
                    true => old.clone(),
                    false => self.shop.stores.new.rows(&sql).await,
                };
                let expected = match alone {
                    Some(alone) => alone.old.rows(&sql).await,
                    None => old.clone(),
                };
                if old == expected && other == expected {
                    break;
                }
                if patience == 0 {
                    return Some(Course::Differs(format!(
                        "{table}: old {old:?}, new {other:?}, alone {expected:?}"
                    )));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        None
    }

    async fn content(store: &Database) -> Content {
        let mut content = Vec::new();
        for table in ["notes", "marks", "firm", "loose"] {
            let sql = format!("SELECT quote_literal(r::text) FROM {table} r");
            content.push((table, store.rows(&sql).await));
        }
        content
    }

    /// What the server that stands alone holds is what the stores hold.
    async fn follow(&self) {
        self.shop.proxy.drained().await;
        let content = Pair::content(&self.shop.stores.old).await;
        self.alone.old.run(&made(&content)).await;
    }

    /// Every store holds this, and nothing else.
    async fn set(&self, content: &Content) {
        self.shop.proxy.drained().await;
        for store in [
            &self.shop.stores.old,
            &self.shop.stores.new,
            &self.alone.old,
        ] {
            store.run(&made(content)).await;
        }
        if self.phases.contains(&"dual-read") {
            // Nobody told the proxy.
            self.shop.complete_again();
        }
    }

    /// The shortest session that is still answered differently, by leaving out what is not needed.
    async fn shortest(&mut self, mut steps: Vec<Step>, content: &Content) -> (Vec<Step>, String) {
        let mut why = String::new();
        let mut tried = 0;
        loop {
            let before: usize = steps.iter().map(Vec::len).sum();
            let mut at = (steps.len(), 0);
            while let Some(next) = previous(&steps, at) {
                at = next;
                let mut shorter = steps.clone();
                let last = at.1 + 1 == steps[at.0].len();
                if last && at.1 > 0 {
                    // What ends a step has its answers sent; a step goes as a whole.
                    shorter[at.0].clear();
                } else {
                    shorter[at.0].remove(at.1);
                }
                shorter.retain(|step| !step.is_empty());
                tried += 1;
                self.set(content).await;
                if let Course::Differs(how) = self.run(&shorter).await {
                    let gone = shorter.len() < steps.len();
                    (steps, why) = (shorter, how);
                    if gone {
                        at.1 = 0;
                    }
                }
            }
            if steps.iter().map(Vec::len).sum::<usize>() == before || tried > 400 {
                return (steps, why);
            }
        }
    }
}

/// Makes the tables hold it.
fn made(content: &Content) -> String {
    let mut sql = String::new();
    for (table, rows) in content {
        sql.push_str(&format!("TRUNCATE {table};"));
        for row in rows {
            let row = row[0].as_deref().unwrap();
            sql.push_str(&format!("INSERT INTO {table} SELECT ({row}::{table}).*;"));
        }
    }
    sql
}

/// The message before this one.
fn previous(steps: &[Step], at: (usize, usize)) -> Option<(usize, usize)> {
    match at {
        (step, message) if message > 0 => Some((step, message - 1)),
        (0, 0) => None,
        (step, _) => Some((step - 1, steps[step - 1].len() - 1)),
    }
}

/// What ends a step: its answers come in every state of a session, and nowhere else in this order.
fn fence() -> Step {
    let close = || close_statement("no such statement");
    vec![sync(), close(), close(), close(), sync()]
}

/// Sends a step and takes its answers. How many Syncs a COPY swallows is for the server to say, so they cannot be counted. `None` behind what it said last
/// when it has hung up: it does where a COPY waits for data and gets another message.
async fn asked(wire: &mut Wire, step: &Step) -> (Vec<Frame>, Option<()>) {
    // Whether it is gone already the answers tell.
    let _ = wire.try_send(&[step.clone(), fence()].concat()).await;
    let mut frames = Vec::new();
    while !transcript(&frames).ends_with("Z333Z") {
        match tokio::time::timeout(Duration::from_secs(10), wire.try_frame()).await {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(_) => break,
        }
    }
    (frames, Some(()))
}

/// What the client is told, for comparing: rows in any order, of columns names and types.
fn told(frames: &[Frame]) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let mut rows = 0;
    // A Query that was taken apart is no block to the server, which warns of what has no effect then; it has.
    let block = |frame: &Frame| frame.tag == b'N' && frame.field(b'C').as_deref() == Some("25P01");
    let silent = |frame: &Frame| frame.tag == b'S' || block(frame);
    for frame in frames.iter().filter(|frame| !silent(frame)) {
        // Where a write of a Query fails that would return rows, the columns have been told already.
        if frame.tag == b'E' && told.last().is_some_and(|last| last.starts_with('T')) {
            told.pop();
        }
        told.push(match frame.tag {
            b'E' | b'N' => complaint(frame),
            b'T' => format!("T {:?}", columns(&frame.body)),
            _ => format!("{frame:?}"),
        });
        rows = if frame.tag == b'D' { rows + 1 } else { 0 };
        let sorted = told.len() - rows;
        told[sorted..].sort();
    }
    told
}

/// What the proxy refuses before anything of a Query runs: what it cannot do, and from 5 on columns that a mapped table does not have. A transaction that turns read-only
/// behind a write cannot take its intent along.
fn is_refusal(frame: &Frame) -> bool {
    let code = frame.field(b'C');
    let code = code.as_deref().filter(|_| frame.tag == b'E');
    matches!(code, Some("0A000" | "42703")) || code == Some("25006") && journal_in_primary()
}

/// What clients look at.
fn complaint(frame: &Frame) -> String {
    let tag = char::from(frame.tag);
    let code = frame.field(b'C');
    match code.as_deref() {
        // What is captured may be another kind of statement to the server.
        Some("25006") => format!("{tag} read-only"),
        // A portal of a write that has run, or of a transaction that has ended, or a name that is taken, in a block that has failed or in none.
        Some("34000" | "55000" | "25P02" | "42P05") => format!("{tag} not now"),
        _ => format!("{tag} {:?}", b"SCMDH".map(|field| frame.field(field))),
    }
}

/// Names and types of a RowDescription: tables have other numbers elsewhere.
fn columns(body: &[u8]) -> Vec<(String, u32)> {
    let mut columns = Vec::new();
    let mut left = &body[2..];
    while let Some(end) = left.iter().position(|byte| *byte == 0) {
        let name = String::from_utf8_lossy(&left[..end]).into_owned();
        let oid = left[end + 7..end + 11].try_into().unwrap();
        columns.push((name, u32::from_be_bytes(oid)));
        left = &left[end + 19..];
    }
    columns
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// `CROSSFADE_SESSIONS` of them, from the one of `CROSSFADE_SESSIONS_SEED` on.
async fn sessions(phases: &[&'static str], seed: u64) {
    let mut pair = Pair::between(phases).await;
    let seed = seed + if journal_in_primary() { 10_000 } else { 0 };
    let first = number("CROSSFADE_SESSIONS_SEED").unwrap_or(seed);
    // A step takes its time.
    let usual = if phases.len() > 1 {
        SESSIONS / 8
    } else {
        SESSIONS
    };
    let count = number("CROSSFADE_SESSIONS").unwrap_or(usual);
    let mut refused = 0;
    for seed in first..first + count {
        let mut statements = Statements {
            random: Random::new(seed),
            unmapped: pair.unmapped,
        };
        let steps = statements.session();
        let content = Pair::content(&pair.alone.old).await;
        match pair.run(&steps).await {
            Course::Alike => {}
            Course::Refused => {
                refused += 1;
                pair.follow().await;
            }
            Course::Differs(why) => {
                let (shortest, shortly) = pair.shortest(steps, &content).await;
                let journal = journal_in_primary();
                panic!(
                    "{phases:?}, seed {seed}, journal in the primary: {journal}\nwith {content:?}\n{shortest:#?}\n{shortly}\nat first: {why}"
                );
            }
        }
    }
    println!("{count} sessions, {refused} refused");
    assert!(
        refused * 2 < count,
        "{refused} of {count} sessions were refused"
    );
}

#[tokio::test]
pub(crate) async fn trap_14_sessions_in_3() {
    sessions(&["dual-write"], 0).await;
}

#[tokio::test]
pub(crate) async fn trap_14_sessions_in_5() {
    sessions(&["new-primary"], 100_000).await;
}

/// Never in the middle of a block: the step would wait for its end.
#[tokio::test]
pub(crate) async fn trap_34_sessions_in_4_and_5() {
    sessions(&["dual-read", "new-primary"], 200_000).await;
}

#[tokio::test]
async fn trap_34_sessions_in_2_and_3() {
    sessions(&["use-old", "dual-write"], 300_000).await;
}
