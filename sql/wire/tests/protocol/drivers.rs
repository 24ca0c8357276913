//! A driver.

use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, error::SqlState};

use crate::peer::{World, world};

async fn connect(world: &World) -> Client {
    let (client, connection) = Config::new()
        .user("app")
        .dbname("shop")
        .connect_raw(world.server.connect(true), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn statements_with_parameters_in_binary() {
    let world = world();
    let client = connect(&world).await;
    for (key, value) in [("a", 1_i64), ("b", 2)] {
        let count = client
            .execute("INSERT INTO kv VALUES ($1, $2)", &[&key, &value])
            .await
            .unwrap();
        assert_eq!(count, 1);
    }
    let get = client
        .prepare("SELECT v FROM kv WHERE k = $1")
        .await
        .unwrap();
    let row = client.query_one(&get, &[&"b"]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 2);
    let error = client
        .execute("INSERT INTO kv VALUES ($1, $2)", &[&"a", &1_i64])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION));
    assert_eq!(error.as_db_error().unwrap().constraint(), Some("kv_pkey"));
}

#[tokio::test]
async fn transactions_and_pipelines() {
    let world = world();
    let mut client = connect(&world).await;
    let transaction = client.transaction().await.unwrap();
    let insert = "INSERT INTO kv VALUES ($1, $2)";
    let (one, two) = futures::join!(
        transaction.execute(insert, &[&"a", &1_i64]),
        transaction.execute(insert, &[&"b", &2_i64])
    );
    assert_eq!((one.unwrap(), two.unwrap()), (1, 1));
    transaction.commit().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let portal = transaction
        .bind("SELECT * FROM series(5)", &[])
        .await
        .unwrap();
    assert_eq!(transaction.query_portal(&portal, 3).await.unwrap().len(), 3);
    assert_eq!(transaction.query_portal(&portal, 3).await.unwrap().len(), 2);
    drop(transaction);
    let row = client
        .query_one("SELECT v FROM kv WHERE k = $1", &[&"b"])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>("v"), 2);
}

#[tokio::test]
async fn simple_queries_and_cancel() {
    let world = world();
    let client = connect(&world).await;
    let messages = client
        .simple_query("SELECT 1; SELECT * FROM series(2)")
        .await
        .unwrap();
    let rows = messages
        .iter()
        .filter(|message| matches!(message, SimpleQueryMessage::Row(_)));
    assert_eq!(rows.count(), 3);
    world.toy.log();
    let cancel = client.cancel_token();
    let stop = async {
        while !world.toy.log().contains(&"execute last".to_owned()) {
            tokio::task::yield_now().await;
        }
        let stream = world.server.connect(false);
        cancel.cancel_query_raw(stream, NoTls).await.unwrap();
    };
    let (stopped, ()) = futures::join!(client.simple_query("SELECT sleep()"), stop);
    assert_eq!(stopped.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    assert!(client.query("SELECT 1", &[]).await.is_ok());
}
