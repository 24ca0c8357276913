//! Which statements the phases ahead would refuse is known before the toggle moves.

use crossfade_tests::Mongod;
use serde_json::{Value, json};

use super::Documents;

const SCHEMA: &str = "CREATE TABLE orders (id int PRIMARY KEY, note text, total numeric(12,2)); CREATE TABLE audit (what text);
     INSERT INTO orders VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)";
const TABLES: &str = "[toggle.shop.table.orders]\n";

const RANKED: &str =
    "SELECT id, rank() OVER (ORDER BY total DESC) FROM orders WHERE note <> 'secret'";
const RANKED_FORM: &str =
    "select id, rank() over (order by total desc) from orders where note <> '?'";
const BY_ID: &str = "SELECT note FROM orders WHERE id = $1";

/// The shop in phase 2 from the start.
async fn shop() -> Documents {
    let mut documents = Documents::of(Mongod::start().await, SCHEMA, TABLES).await;
    documents.proxy.flip("use-old").await;
    documents
}

async fn traffic(documents: &Documents) -> Value {
    documents.proxy.status().await["traffic"].clone()
}

/// What a phase would refuse: statements with their counts.
fn refused(traffic: &Value, phase: &str) -> Vec<(String, u64)> {
    let phases = traffic["phases"].as_array().unwrap();
    let phase = phases.iter().find(|known| known["phase"] == phase).unwrap();
    let refused = phase["refused"].as_array().unwrap().iter();
    refused
        .map(|shape| {
            let statement = shape["statement"].as_str().unwrap().to_owned();
            (statement, shape["count"].as_u64().unwrap())
        })
        .collect()
}

fn served(traffic: &Value, phase: &str) -> f64 {
    let phases = traffic["phases"].as_array().unwrap();
    let phase = phases.iter().find(|known| known["phase"] == phase).unwrap();
    phase["served"].as_f64().unwrap()
}

/// Twelve statements: seven shapes.
async fn run_the_usual(documents: &Documents) {
    let client = documents.client().await;
    for id in 1..=3 {
        let sql = format!("SELECT * FROM orders WHERE id = {id} -- by hand");
        client.simple_query(&sql).await.unwrap();
    }
    let by_id = client.prepare(BY_ID).await.unwrap();
    for id in 1..=3 {
        client.query(&by_id, &[&id]).await.unwrap();
    }
    let ranked = client.prepare(RANKED).await.unwrap();
    client.query(&ranked, &[]).await.unwrap();
    client.query(&ranked, &[]).await.unwrap();
    client
        .simple_query("BEGIN ISOLATION LEVEL SERIALIZABLE")
        .await
        .unwrap();
    client
        .simple_query("INSERT INTO audit VALUES ('secret')")
        .await
        .unwrap();
    client.simple_query("COMMIT").await.unwrap();
    let never = client.prepare("SELECT 'never run' FROM orders").await;
    never.unwrap();
    client
        .simple_query("SELECT count(*) FROM orders")
        .await
        .unwrap();
}

#[tokio::test]
async fn phase_2_counts_every_statement_and_knows_what_each_phase_would_refuse() {
    let documents = shop().await;
    assert_eq!(
        documents
            .proxy
            .cli(&["status"])
            .expect(0)
            .stdout
            .find("traffic"),
        None
    );
    run_the_usual(&documents).await;
    let traffic = traffic(&documents).await;
    assert_eq!(
        (
            &traffic["statements"],
            &traffic["shapes"],
            &traffic["others"]
        ),
        (&json!(12), &json!(7), &json!(0)),
        "{traffic:#}"
    );
    let ranked = (RANKED_FORM.to_owned(), 2);
    let serializable = ("begin isolation level serializable".to_owned(), 1);
    let audit = ("insert into audit values ('?')".to_owned(), 1);
    for phase in ["dual-write", "dual-read"] {
        assert_eq!(refused(&traffic, phase), [], "{phase}: {traffic:#}");
        assert_eq!(served(&traffic, phase), 1.0);
    }
    for phase in ["new-primary", "new-writes", "backfill"] {
        let expected = [ranked.clone(), serializable.clone()];
        assert_eq!(refused(&traffic, phase), expected, "{phase}: {traffic:#}");
        assert_eq!(served(&traffic, phase), 0.75);
    }
    // The table that nobody moved is not there any more.
    let all = [ranked, serializable, audit];
    assert_eq!(refused(&traffic, "new-only"), all, "{traffic:#}");

    let json = documents.proxy.cli(&["status", "--json"]).expect(0).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["traffic"], traffic);
    for command in ["status", "check"] {
        let said = documents.proxy.cli(&[command]).stdout;
        for part in [
            "traffic: 12 statements of 7 shapes\n",
            "dual-write (3), dual-read (4) would serve all of them\n",
            "new-primary (5), new-writes (6), backfill (7) would serve 75.0 %, 2 shapes refused:\n",
            &format!("    2 × {RANKED_FORM}\n      → "),
            "not served on documents",
        ] {
            assert!(said.contains(part), "{part:?} is missing in {said}");
        }
        assert!(!said.contains("secret"), "{said}");
    }
}

#[tokio::test]
async fn sessions_go_on_being_counted_in_phase_3_and_the_refused_are_among_them() {
    const DEFINITION: &str = "ALTER TABLE orders DROP note";
    let mut documents = shop().await;
    let client = documents.client().await;
    let by_id = client.prepare(BY_ID).await.unwrap();
    client.query(&by_id, &[&1]).await.unwrap();
    documents.proxy.flip("dual-write").await;
    for id in 1..=2 {
        client.query(&by_id, &[&id]).await.unwrap();
        let sql = format!("UPDATE orders SET note = 'x' WHERE id = {id}");
        client.simple_query(&sql).await.unwrap();
    }
    for _ in 0..2 {
        let error = client.simple_query(DEFINITION).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "0A000");
    }
    let error = client.prepare(DEFINITION).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "0A000");
    let traffic = traffic(&documents).await;
    assert_eq!(
        (&traffic["statements"], &traffic["shapes"]),
        (&json!(8), &json!(3)),
        "{traffic:#}"
    );
    let definition = [("alter table orders drop note".to_owned(), 3)];
    for phase in ["dual-write", "dual-read", "new-primary", "new-only"] {
        assert_eq!(refused(&traffic, phase), definition, "{phase}: {traffic:#}");
    }
    let said = documents.proxy.cli(&["status"]).expect(0).stdout;
    assert!(!said.contains("dual-write (3)"), "{said}");
    assert!(said.contains("dual-read (4)"), "{said}");
}

#[tokio::test]
async fn what_was_foretold_comes_true() {
    let mut documents = shop().await;
    run_the_usual(&documents).await;
    documents.proxy.flip("dual-write").await;
    documents.complete();
    documents.proxy.flip("dual-read").await;
    let said = documents
        .proxy
        .cli(&["phase", "shop", "new-primary", "--wait"])
        .expect(0)
        .stdout;
    assert!(
        said.contains("new-primary serves 75.0 % of the traffic"),
        "{said}"
    );
    let client = documents.client().await;
    client.query(BY_ID, &[&1]).await.unwrap();
    client
        .simple_query("SELECT count(*) FROM orders")
        .await
        .unwrap();
    client
        .simple_query("INSERT INTO audit VALUES ('x')")
        .await
        .unwrap();
    let error = client.prepare(RANKED).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "0A000", "{error:?}");
    let error = client
        .batch_execute("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1 FROM orders")
        .await
        .unwrap_err();
    assert_eq!(error.code().unwrap().code(), "0A000", "{error:?}");
}

#[tokio::test]
async fn nothing_is_counted_before_a_postgresql_that_takes_everything() {
    let shop = crate::shop::Shop::in_phase("use-old").await;
    let status = shop.proxy.status().await;
    assert_eq!(status.get("traffic"), None);
}

#[tokio::test]
async fn without_a_running_proxy_check_says_who_knows() {
    let mut documents = shop().await;
    documents.proxy.stop();
    let said = documents.proxy.cli(&["check"]).stdout;
    assert!(said.contains("the running proxy alone knows"), "{said}");
}
