//! A write that was given up, and that a server without transactions gets later than what was written since.

use std::{net::SocketAddr, time::Duration};

use crossfade_store::Form;
use crossfade_tests::eventually;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::timeout,
};

use super::*;

const LONG: Duration = Duration::from_secs(30);

/// A way to the server that can keep what is on it: connections of before get stuck, later ones pass.
struct Way {
    address: SocketAddr,
    stuck: watch::Sender<bool>,
    accepted: watch::Sender<u64>,
    stuck_upto: watch::Sender<u64>,
}

impl Way {
    async fn to(server: SocketAddr) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = Way {
            address: listener.local_addr().unwrap(),
            stuck: watch::Sender::new(false),
            accepted: watch::Sender::new(0),
            stuck_upto: watch::Sender::new(0),
        };
        let (stuck, accepted) = (way.stuck.clone(), way.accepted.clone());
        let stuck_upto = way.stuck_upto.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server).await else {
                    continue;
                };
                accepted.send_modify(|count| *count += 1);
                let number = *accepted.borrow();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let (stuck, upto) = (stuck.subscribe(), stuck_upto.subscribe());
                let is_stuck = move || *stuck.borrow() && number <= *upto.borrow();
                tokio::spawn(pass(from_client, to_server, is_stuck));
                tokio::spawn(pass(from_server, to_client, || false));
            }
        });
        way
    }

    fn stick(&self) {
        self.stuck_upto.send_replace(*self.accepted.borrow());
        self.stuck.send_replace(true);
    }

    fn release(&self) {
        self.stuck.send_replace(false);
    }
}

/// Passes bytes on, and the end behind them.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_stuck: impl Fn() -> bool) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        while is_stuck() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn trap_16_a_key_is_repaired_when_what_was_given_up_can_not_arrive_any_more() {
    let databases = Databases::create_with(ORDERS, "").await;
    let server = Mongod::standalone().await;
    let way = Way::to(server.addr()).await;
    let url = format!("mongodb://{}/shop?directConnection=true", way.address);
    let documents = Documents::on(databases, server, &url, ORDERS_FILE).await;
    let job = documents.job(Phase::DualWrite);
    let (table, key) = (documents.table("orders"), key(1));
    let mut writer = documents
        .new
        .secondary(documents.mapping.clone())
        .await
        .unwrap();
    let first = [(table.id, Change::Upsert(order(1, "first")))];
    writer.stage(&first).await.unwrap();
    writer.commit().await.unwrap();

    // Given up on its way; meanwhile the row was written once more.
    way.stick();
    let late = [(table.id, Change::Upsert(order(1, "late")))];
    let staged = timeout(Duration::from_millis(300), writer.stage(&late)).await;
    assert!(staged.is_err());
    drop(writer);
    let row = order(1, "newest");
    documents
        .databases
        .old
        .run(&format!(
            "INSERT INTO orders VALUES ('{}', 1, 'newest')",
            region(1)
        ))
        .await;
    let parts = [region(1).to_owned(), "1".to_owned()];
    let named = KeyRef {
        toggle: "shop",
        table: "public.orders",
        parts: &parts,
    };
    let marked = job
        .journal
        .mark_dirty(Side::New, &[named], Reason::SecondaryTimedOut);
    marked.await.unwrap();

    let mut said = String::new();
    for _ in 0..5 {
        let report = job.engine.repair(None, false).await.unwrap();
        said = report
            .failed
            .first()
            .map_or(said, |failed| failed.error.clone());
    }
    way.release();
    // What arrives has arrived.
    tokio::time::sleep(Duration::from_millis(300)).await;
    eventually("the key is clean", LONG, async || {
        job.engine.repair(None, false).await.unwrap();
        !job.journal.is_dirty("public.orders", &parts)
    })
    .await;
    let keys = [key];
    let now = documents.new.fetch(table, &keys, Form::Own).await.unwrap();
    assert_eq!(now, [Some(row)]);
    assert!(said.contains("never answered"), "{said}");
}
