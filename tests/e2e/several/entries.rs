//! The entries that proxies share, in each kind of store.

use std::sync::Arc;

use crossfade_config::parse;
use crossfade_phase::Side;
use crossfade_store::{Control, Entry, mongo::MongoControl, postgres::PostgresControl};
use crossfade_tests::{Mongod, Stores};

fn entry(name: &str, serial: i64, body: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        serial,
        body: body.to_owned(),
    }
}

async fn found(control: &dyn Control, toggle: &str) -> Vec<Entry> {
    let mut entries = control.entries(toggle).await.unwrap();
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    entries
}

/// What both must do alike. `there` is the other side, in the same database.
async fn keeps_its_word(here: Arc<dyn Control>, there: Arc<dyn Control>) {
    assert_eq!(found(&*here, "shop").await, [], "never prepared");
    // Whoever comes first makes room, and all of them may be.
    let (one, other) = tokio::join!(here.prepare(), there.prepare());
    one.and(other).unwrap();
    here.prepare().await.unwrap();
    assert!(
        here.swap("shop", None, &entry("record", 1, "a"))
            .await
            .unwrap()
    );
    assert!(
        !here
            .swap("shop", None, &entry("record", 1, "b"))
            .await
            .unwrap(),
        "there is one"
    );
    assert!(
        here.swap("shop", Some(1), &entry("record", 2, "c"))
            .await
            .unwrap()
    );
    assert!(
        !here
            .swap("shop", Some(1), &entry("record", 2, "d"))
            .await
            .unwrap(),
        "another by now"
    );
    assert!(
        !here
            .swap("shop", Some(9), &entry("nobody", 10, "e"))
            .await
            .unwrap()
    );
    here.put("shop", "proxy/1", "alive").await.unwrap();
    here.put("shop", "proxy/1", "alive").await.unwrap();
    assert_eq!(
        found(&*here, "shop").await,
        [entry("proxy/1", 2, "alive"), entry("record", 2, "c")]
    );
    here.remove("shop", "proxy/1").await.unwrap();
    here.remove("shop", "proxy/1").await.unwrap();
    assert_eq!(found(&*here, "shop").await, [entry("record", 2, "c")]);
    assert_eq!(found(&*here, "shop2").await, [], "another toggle");
    assert_eq!(found(&*there, "shop").await, [], "the other side");
    // Of many that change it at once, each gets through once, and no change is lost.
    let many = (0..8).map(|number| add(here.clone(), number));
    futures::future::join_all(many).await;
    let last = found(&*here, "shop").await;
    assert_eq!((last[0].serial, last[0].body.len()), (10, 9), "{last:?}");
}

async fn add(control: Arc<dyn Control>, number: u32) {
    loop {
        let before = found(&*control, "shop").await.remove(0);
        let next = entry(
            "record",
            before.serial + 1,
            &format!("{}{number}", before.body),
        );
        if control
            .swap("shop", Some(before.serial), &next)
            .await
            .unwrap()
        {
            return;
        }
    }
}

fn config(old: &str, new: &str) -> crossfade_config::Config {
    let text = format!("[old]\nurl = \"{old}\"\n[new]\nurl = \"{new}\"\n");
    parse(&text, "test.toml", &|_| None, "").unwrap().config
}

#[tokio::test]
async fn in_postgresql() {
    let stores = Stores::create("").await;
    let url = format!("{}?sslmode=disable", stores.old.own().url());
    let config = config(&url, &url);
    let side = |side| Arc::new(PostgresControl::new(config.old.clone(), side));
    keeps_its_word(side(Side::Old), side(Side::New)).await;
}

#[tokio::test]
async fn in_mongodb() {
    for server in [Mongod::start().await, Mongod::standalone().await] {
        let config = config("postgres://nobody@127.0.0.1/none", &server.url("shop"));
        let side = |side| Arc::new(MongoControl::new(config.new.clone(), side));
        keeps_its_word(side(Side::New), side(Side::Old)).await;
    }
}
