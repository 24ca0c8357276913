//! The phases that MongoDB is served in.

use std::time::Duration;

use crossfade_tests::Traffic;
use mongodb::bson::{Bson, doc};

use super::{DATABASE, Documents};

#[tokio::test]
async fn traffic_goes_on_through_every_phase_up_to_four_and_back() {
    let mut documents = Documents::shop().await;
    let traffic = Traffic::start(&documents.proxy.endpoint(documents.old()), 4).await;
    for phase in ["dual-read", "dual-write", "use-old", "dual-write"] {
        traffic.progress(50).await;
        documents.proxy.flip(phase).await;
    }
    traffic.progress(50).await;
    // What was written in phase 2 is copied now.
    documents.proxy.cli(&["backfill"]).expect(0);
    documents.proxy.cli(&["verify", "--repair"]).expect(0);
    documents.verify();
    documents.proxy.flip("dual-read").await;
    traffic.progress(100).await;
    let report = traffic.stop().await;
    assert_eq!(report.errors, [""; 0]);
    documents.proxy.drained().await;
    documents.verify();
    let metrics = documents.proxy.metrics().await;
    let mismatches = metrics.sum("crossfade_read_mismatches_total", &[]);
    assert_eq!(mismatches.unwrap_or_default(), 0.0);
}

#[tokio::test]
async fn keys_become_ids_and_columns_fields() {
    let documents = Documents::of(
        crossfade_tests::Mongod::start().await,
        "CREATE TABLE people (id int PRIMARY KEY, name text, city text, zip text, secret text);
         CREATE TABLE seats (room text, number int, holder text, PRIMARY KEY (number, room));",
        "[toggle.shop.table.people]\ntarget = \"persons\"\ncolumn.city = \"address.city\"\ncolumn.zip = \"address.zip\"\ncolumn.secret = false\n\
         [toggle.shop.table.seats]\n",
    )
    .await;
    documents
        .run(
            "INSERT INTO people VALUES (1, 'Ann', 'Bern', NULL, 's'), (2, NULL, NULL, '3000', 's');
             INSERT INTO seats VALUES ('a', 7, 'Ann'); DELETE FROM people WHERE id = 2",
        )
        .await;
    documents.proxy.drained().await;
    let people = documents.server.documents(DATABASE, "persons").await;
    let ann = doc! { "_id": 1, "name": "Ann", "address": { "city": "Bern", "zip": Bson::Null } };
    assert_eq!(people, [ann]);
    let seats = documents.server.documents(DATABASE, "seats").await;
    assert_eq!(
        seats,
        [doc! { "_id": { "number": 7, "room": "a" }, "holder": "Ann" }]
    );
    documents.complete();
}

#[tokio::test]
async fn trap_11_unique_values_that_were_swapped_are_swapped_in_both() {
    let documents = Documents::of(
        crossfade_tests::Mongod::start().await,
        "CREATE TABLE seats (id int PRIMARY KEY, holder int, UNIQUE (holder) DEFERRABLE);
         INSERT INTO seats VALUES (1, 1), (2, 2), (3, NULL)",
        "[toggle.shop.table.seats]\n",
    )
    .await;
    documents.complete();
    let seats = documents.collection("seats").await;
    let unique = mongodb::IndexModel::builder()
        .keys(doc! { "holder": 1 })
        .options(
            mongodb::options::IndexOptions::builder()
                .unique(true)
                .build(),
        )
        .build();
    seats.create_index(unique).await.unwrap();
    documents
        .run("UPDATE seats SET holder = 3 - holder WHERE id < 3")
        .await;
    documents.proxy.drained().await;
    documents.verify();
    documents.run("DELETE FROM seats WHERE id < 3").await;
    documents.proxy.drained().await;
    documents.verify();
}

#[tokio::test]
async fn a_document_that_is_no_row_is_named() {
    let documents = Documents::shop().await;
    let orders = documents.collection("orders").await;
    orders.insert_one(doc! { "_id": 5.5 }).await.unwrap();
    let verify = documents.proxy.cli(&["verify"]);
    let said = format!("{}{}", verify.stdout, verify.stderr);
    assert!(
        verify.status != 0 && said.contains("5.5") && said.contains("no key of the table"),
        "{said}"
    );
}

#[tokio::test]
async fn what_a_document_cannot_hold_is_found_before() {
    let stores = crossfade_tests::Stores::create("").await;
    stores
        .old
        .run("CREATE TABLE t (id numeric PRIMARY KEY, a int, x int)")
        .await;
    let server = crossfade_tests::Mongod::start().await;
    let database = server.database(DATABASE).await;
    database
        .create_collection("t")
        .capped(true)
        .size(4096_u64)
        .await
        .unwrap();
    let config = crossfade_tests::ConfigBuilder::new(stores.old.own(), stores.old.own())
        .new_url(&server.url(DATABASE))
        .toggle(
            "shop",
            "use-old",
            "[toggle.shop.table.t]\ncolumn.x = \"a.y\"\n",
        );
    let mut proxy = crossfade_tests::Proxy::start(config).await;
    let why = proxy.flip_refused("dual-write").await;
    for what in ["lie inside", "capped", "does not sort"] {
        assert!(why.contains(what), "{why}");
    }
}

#[tokio::test]
async fn a_document_that_others_changed_is_found_and_repaired() {
    let documents = Documents::shop().await;
    let orders = documents.collection("orders").await;
    // Another value, a value of another type, one that is gone, and one too many.
    let by = |id: i64| doc! { "_id": id };
    orders
        .update_one(by(1), doc! { "$set": { "customer": "?" } })
        .await
        .unwrap();
    orders
        .update_one(by(2), doc! { "$set": { "total": "2.00" } })
        .await
        .unwrap();
    orders.delete_one(by(3)).await.unwrap();
    orders.insert_one(by(999)).await.unwrap();
    let found = documents.proxy.cli(&["verify"]);
    assert_ne!(found.status, 0, "{}", found.stdout);
    for key in ["1", "2", "3", "999"] {
        assert!(found.stdout.contains(key), "{}", found.stdout);
    }
    documents.proxy.cli(&["verify", "--repair"]).expect(0);
    documents.verify();
}

#[tokio::test]
async fn keys_of_dates_and_times_are_shown_as_such() {
    let documents = Documents::of(
        crossfade_tests::Mongod::start().await,
        "CREATE TABLE visits (day date, at timestamptz, PRIMARY KEY (day, at));
         INSERT INTO visits VALUES ('2026-11-01', '2026-11-01 12:30:00.5+00')",
        "[toggle.shop.table.visits]\n",
    )
    .await;
    documents.complete();
    let visits = documents.collection("visits").await;
    visits.delete_many(doc! {}).await.unwrap();
    let found = documents.proxy.cli(&["verify"]).stdout;
    assert!(
        found.contains("(2026-11-01, 2026-11-01 12:30:00.5+00): missing in the new store"),
        "{found}"
    );
    // What the store refuses is listed as well.
    let refuses = doc! { "collMod": "visits", "validator": { "_id": 0 } };
    let database = documents.server.database(DATABASE).await;
    database.run_command(refuses).await.unwrap();
    documents
        .run("INSERT INTO visits VALUES ('infinity', '-infinity')")
        .await;
    let status = async || documents.proxy.cli(&["status"]).stdout;
    let listed = |status: &String| status.contains("public.visits (infinity, -infinity):");
    let status = crossfade_tests::look_until(Duration::from_secs(5), status, listed).await;
    assert!(listed(&status), "{status}");
}

#[tokio::test]
async fn an_account_that_may_not_write_is_found_before() {
    let server = crossfade_tests::Mongod::start().await;
    let database = server.database(DATABASE).await;
    for (name, role) in [("reader", "read"), ("writer", "readWrite")] {
        let user = doc! { "createUser": name, "pwd": "secret", "roles": [role] };
        database.run_command(user).await.unwrap();
    }
    let stores = crossfade_tests::Stores::create("").await;
    stores.old.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let as_user = |name: &str| {
        let url = server.url(DATABASE);
        let url = url.replace("mongodb://", &format!("mongodb://{name}:secret@"));
        crossfade_tests::ConfigBuilder::new(stores.old.own(), stores.old.own())
            .new_url(&format!("{url}&authSource={DATABASE}"))
            .toggle("shop", "use-old", "[toggle.shop.table.t]\n")
    };
    let mut proxy = crossfade_tests::Proxy::start(as_user("reader")).await;
    let why = proxy.flip_refused("dual-write").await;
    assert!(
        why.contains(
            "\"reader\" may not insert, update, remove, createCollection in the collection \"t\""
        ),
        "{why}"
    );
    let mut proxy = crossfade_tests::Proxy::start(as_user("writer")).await;
    proxy.flip("dual-write").await;
}
