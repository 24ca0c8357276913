//! The proxy's way to a server within its own process.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use crossfade_config::{StoreConfig, StoreKind, StoreUrl, TlsMode};
use crossfade_sql_wire::Server;
use crossfade_store::postgres::conn::{BackendKey, Endpoint, LocalServer, Stream};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::peer::{World, world};

#[derive(Debug)]
struct Local(Arc<Server>);

impl LocalServer for Local {
    fn connect(&self, trusted: bool) -> DuplexStream {
        self.0.connect(trusted)
    }
}

fn endpoint(world: &World) -> Endpoint {
    let url = StoreUrl {
        kind: StoreKind::Mongo,
        host: "documents".to_owned(),
        port: 27_017,
        user: "crossfade".to_owned(),
        password: None,
        database: "shop".to_owned(),
        tls: TlsMode::Disable,
        root_cert: None,
        params: Default::default(),
    };
    let config = StoreConfig {
        url,
        schema: String::new(),
        pool_size: 1,
        connect_timeout: Duration::from_secs(5),
    };
    Endpoint::local(config, Arc::new(Local(world.server.clone())))
}

#[tokio::test]
async fn the_proxys_own_account_is_let_in_and_a_client_has_to_prove_itself() {
    let world = world();
    let endpoint = endpoint(&world);
    let login = endpoint
        .login(&[("application_name", "x"), ("role", "clerk")])
        .await
        .unwrap();
    assert!(!login.stream.is_tls());
    let told = ("application_name".to_owned(), "x".to_owned());
    assert!(login.parameters.contains(&told));
    let mut stream = endpoint.open().await.unwrap();
    let mut out = BytesMut::new();
    frontend::startup_message([("user", "app")], &mut out).unwrap();
    stream.write_all(&out).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"E") && answer.windows(5).any(|code| code == b"28000"));
}

#[tokio::test]
async fn a_cancel_reaches_the_session_through_a_connection_of_its_own() {
    let world = world();
    let endpoint = endpoint(&world);
    let mut login = endpoint.login(&[]).await.unwrap();
    let mut out = BytesMut::new();
    frontend::query("SELECT sleep()", &mut out).unwrap();
    login.stream.write_all(&out).await.unwrap();
    while !world.toy.log().contains(&"execute last".to_owned()) {
        tokio::task::yield_now().await;
    }
    let BackendKey { process_id, secret } = login.key;
    endpoint
        .cancel(BackendKey { process_id, secret })
        .await
        .unwrap();
    let mut answer = [0; 200];
    let count = read(&mut login.stream, &mut answer).await;
    assert!(answer[..count].windows(5).any(|code| code == b"57014"));
}

async fn read(stream: &mut Stream, answer: &mut [u8]) -> usize {
    let mut count = 0;
    // Up to `ReadyForQuery`, whose status byte comes last.
    while !answer[..count].ends_with(b"Z\0\0\0\x05I") {
        count += stream.read(&mut answer[count..]).await.unwrap();
    }
    count
}
