//! What arrives at MongoDB, by its own profiler.

use crossfade_tests::Mongod;
use mongodb::{
    Database,
    bson::{Document, doc},
};

use crate::{peer::Peer, world::World};

/// Rows of `samples`, and five times as many of `movements`.
const ROWS: i64 = 500;

struct Profiled {
    world: World,
    database: Database,
    session: Peer<tokio::io::DuplexStream>,
}

/// One command, as the profiler tells it.
#[derive(Debug)]
struct Seen {
    /// `find`, `aggregate`, `update`, …
    verb: String,
    plan: String,
    docs: i64,
    command: Document,
}

impl Profiled {
    async fn new(mongod: &Mongod) -> Profiled {
        let world = World::new(mongod).await;
        let mut session = world.on_documents().await;
        session
            .ok("INSERT INTO samples (id, c_int4, c_text, c_numeric) SELECT n, n % 50, 'text ' || n, n / 10.0 FROM generate_series(1, 500) n")
            .await;
        session.ok("INSERT INTO people (id, name, nick) SELECT n, 'p', 'n' || n FROM generate_series(1, 500) n").await;
        session
            .ok("INSERT INTO accounts (owner) SELECT n FROM generate_series(1, 500) n")
            .await;
        session
            .ok("INSERT INTO movements (account, line, amount) SELECT a.id, n, n FROM accounts a, generate_series(1, 5) n")
            .await;
        let database = mongod.database(&world.database).await;
        database.run_command(doc! { "profile": 2 }).await.unwrap();
        Profiled {
            world,
            database,
            session,
        }
    }

    /// The commands that a statement became.
    async fn seen(&mut self, sql: &str) -> Vec<Seen> {
        let profile = self.database.collection::<Document>("system.profile");
        let last = profile
            .find_one(doc! {})
            .sort(doc! { "$natural": -1 })
            .await
            .unwrap();
        let after = last.map_or(mongodb::bson::DateTime::MIN, |last| {
            *last.get_datetime("ts").unwrap()
        });
        // The profiler counts milliseconds.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        self.session.ok(sql).await;
        let own = format!("^{}\\.(?!system)", self.world.database);
        let mut found = profile
            .find(doc! { "ts": { "$gt": after }, "ns": { "$regex": own } })
            .await
            .unwrap();
        let mut all = Vec::new();
        while found.advance().await.unwrap() {
            let entry = found.deserialize_current().unwrap();
            let number = |name: &str| {
                entry
                    .get_i32(name)
                    .map(i64::from)
                    .or_else(|_| entry.get_i64(name))
                    .unwrap_or_default()
            };
            let command = entry.get_document("command").unwrap().clone();
            let verb = match entry.get_str("op").unwrap() {
                "command" | "query" => command.keys().next().unwrap().clone(),
                other => other.to_owned(),
            };
            all.push(Seen {
                verb,
                plan: entry.get_str("planSummary").unwrap_or_default().to_owned(),
                docs: number("docsExamined"),
                command,
            });
        }
        all
    }

    /// The one command that a statement became.
    async fn only(&mut self, sql: &str) -> Seen {
        let mut all = self.seen(sql).await;
        assert_eq!(all.len(), 1, "{sql}: {all:#?}");
        all.remove(0)
    }
}

#[tokio::test]
async fn statements_arrive_as_they_should() {
    let mongod = Mongod::start().await;
    let mut on = Profiled::new(&mongod).await;

    // A point read is one find on the key's own index.
    for sql in [
        "SELECT * FROM samples WHERE id = 77",
        "SELECT c_text FROM samples WHERE id = 77 AND c_int4 = 27",
        "SELECT c_text FROM samples WHERE 77 = id",
        "SELECT * FROM movements WHERE account = 3 AND line = 2",
        "SELECT * FROM movements WHERE line = 2 AND amount = 2 AND account = 3",
    ] {
        let seen = on.only(sql).await;
        assert_eq!((&seen.verb[..], seen.docs), ("find", 1), "{sql}: {seen:?}");
        assert!(
            matches!(
                &seen.plan[..],
                "IDHACK" | "EXPRESS_IXSCAN { _id: 1 }" | "IXSCAN { _id: 1 }"
            ),
            "{sql}: {seen:?}"
        );
    }

    // So is one by a unique column.
    let seen = on.only("SELECT id FROM people WHERE nick = 'n5'").await;
    assert_eq!(
        (&seen.plan[..], seen.docs),
        ("IXSCAN { nick: 1 }", 1),
        "{seen:?}"
    );

    // A range of the key fetches what is in it, and nothing else; so does the beginning of a composite key, a list, and a page.
    for (sql, docs) in [
        ("SELECT id FROM samples WHERE id BETWEEN 100 AND 119", 20),
        (
            "SELECT id FROM samples WHERE id > 100 AND id <= 120 AND c_text LIKE 'text%'",
            20,
        ),
        ("SELECT line FROM movements WHERE account = 3", 5),
        (
            "SELECT line FROM movements WHERE account = 3 AND line > 2",
            4,
        ),
        ("SELECT id FROM samples WHERE id IN (5, 6, 7, 1000)", 3),
        ("SELECT id FROM samples WHERE id = ANY ('{5,6}')", 2),
        ("SELECT * FROM samples ORDER BY id LIMIT 10", 10),
        ("SELECT * FROM samples ORDER BY id DESC LIMIT 10", 10),
        (
            "SELECT * FROM samples WHERE id > 100 ORDER BY id LIMIT 10 OFFSET 5",
            15,
        ),
        (
            "SELECT account, line FROM movements ORDER BY account, line LIMIT 10",
            10,
        ),
        (
            "SELECT account, line FROM movements ORDER BY account DESC LIMIT 10",
            10,
        ),
        (
            "SELECT line FROM movements WHERE account = 3 ORDER BY line DESC LIMIT 2",
            2,
        ),
        (
            "SELECT line FROM movements WHERE account = 3 AND line BETWEEN 2 AND 3",
            2,
        ),
        (
            "SELECT line FROM movements WHERE account > 3 AND account < 6",
            10,
        ),
        (
            "SELECT line FROM movements WHERE (account, line) > (3, 2) ORDER BY account, line LIMIT 5",
            7,
        ),
    ] {
        let seen = on.only(sql).await;
        assert_eq!(seen.verb, "find", "{sql}: {seen:?}");
        assert!(seen.docs <= docs, "{sql}: {seen:?}");
        assert!(
            seen.plan.starts_with("IXSCAN { _id: 1 }"),
            "{sql}: {seen:?}"
        );
    }

    // A condition on a field without an index is looked for there, not here.
    let seen = on
        .only("SELECT id FROM samples WHERE c_int4 = 7 AND c_numeric > 20")
        .await;
    let filter = seen.command.get_document("filter").unwrap().to_string();
    assert!(
        filter.contains("c_int4") && filter.contains("c_numeric"),
        "{filter}"
    );
    // Only what the statement names is sent.
    let projection = seen.command.get_document("projection").unwrap();
    assert_eq!(projection, &doc! { "c_int4": 1, "c_numeric": 1, "_id": 1 });

    // Counting is done there.
    let seen = on
        .only("SELECT count(*) FROM samples WHERE c_int4 < 10")
        .await;
    assert_eq!(seen.verb, "aggregate", "{seen:?}");
    let seen = on.only("SELECT count(*) FROM samples WHERE id <= 20").await;
    assert!(seen.verb == "aggregate" && seen.docs <= 20, "{seen:?}");

    // A join asks for what it needs of the other side.
    let all = on.seen("SELECT p.id, a.id FROM people p JOIN accounts a ON a.owner = p.id WHERE p.id IN (3, 4)").await;
    assert_eq!(all.len(), 2, "{all:#?}");
    assert!(all.iter().all(|seen| seen.docs <= 2), "{all:#?}");

    // A write by key reads one document and writes one.
    let all = on
        .seen("UPDATE samples SET c_int4 = c_int4 + 1 WHERE id = 7")
        .await;
    let verbs: Vec<&str> = all.iter().map(|seen| &seen.verb[..]).collect();
    assert_eq!(verbs, ["find", "update"], "{all:#?}");
    assert!(all.iter().all(|seen| seen.docs <= 1), "{all:#?}");

    // A single row is one insert.
    let all = on.seen("INSERT INTO counters VALUES (1, 1)").await;
    let verbs: Vec<&str> = all.iter().map(|seen| &seen.verb[..]).collect();
    assert_eq!(verbs, ["insert"], "{all:#?}");

    // No condition that cannot be true is asked for.
    assert!(
        on.seen("SELECT * FROM samples WHERE id = NULL")
            .await
            .is_empty()
    );
    assert!(on.seen("SELECT * FROM samples LIMIT 0").await.is_empty());
    let count = on.session.ok("SELECT count(*) FROM samples").await;
    assert_eq!(count.value(), ROWS.to_string());
}
