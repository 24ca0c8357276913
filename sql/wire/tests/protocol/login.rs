//! Who gets in.

use crossfade_sql_wire::Users;
use tokio_postgres::{Config, NoTls};

use crate::peer::{Peer, World, world, world_with};

fn with_users() -> World {
    let text = postgres_protocol::password::scram_sha_256(b"secret");
    world_with(Some(Users::new([("app".to_owned(), text)]).unwrap()))
}

async fn login(world: &World, user: &str, password: &str) -> Result<(), (String, String)> {
    let stream = world.server.connect(false);
    let connected = Config::new()
        .user(user)
        .password(password)
        .dbname("shop")
        .connect_raw(stream, NoTls)
        .await;
    match connected {
        Ok(_) => Ok(()),
        Err(error) => {
            let error = error.as_db_error().unwrap();
            Err((error.code().code().to_owned(), error.message().to_owned()))
        }
    }
}

#[tokio::test]
async fn the_right_password_gets_in_and_no_other() {
    let world = with_users();
    assert_eq!(login(&world, "app", "secret").await, Ok(()));
    for (user, password) in [("app", "wrong"), ("nobody", "secret")] {
        let told = format!("password authentication failed for user \"{user}\"");
        assert_eq!(
            login(&world, user, password).await,
            Err(("28P01".to_owned(), told))
        );
    }
}

#[tokio::test]
async fn without_a_list_of_users_nobody_gets_in_but_the_proxy() {
    let world = world();
    let (sqlstate, _) = login(&world, "app", "secret").await.unwrap_err();
    assert_eq!(sqlstate, "28000");
    world.peer().await;
}

#[tokio::test]
async fn encryption_is_declined_and_the_client_goes_on() {
    let world = world();
    let mut peer = Peer::new(world.server.connect(true));
    peer.out.extend_from_slice(b"\0\0\0\x08\x04\xd2\x16\x2f");
    peer.send().await;
    let mut answer = [0];
    tokio::io::AsyncReadExt::read_exact(&mut peer.stream, &mut answer)
        .await
        .unwrap();
    assert_eq!(&answer, b"N");
    peer.start(&[]);
    assert_eq!(peer.go().await.last().unwrap(), "Z I");
}

#[tokio::test]
async fn a_startup_packet_that_cannot_be_used_is_refused() {
    let world = world();
    for (settings, told) in [
        (("nonsense", "1"), "E FATAL | 42704"),
        (("client_encoding", "latin1"), "E FATAL | 0A000"),
        (("options", "--jit"), "E FATAL | 42601"),
        (("replication", "database"), "E FATAL | 0A000"),
    ] {
        let mut peer = Peer::new(world.server.connect(true));
        peer.start(&[settings]);
        let answers = peer.go().await;
        assert!(answers[0].starts_with(told), "{answers:?}");
        assert!(peer.closed);
    }
    let mut peer = Peer::new(world.server.connect(true));
    peer.out.extend_from_slice(b"\0\0\0\x04");
    assert_eq!(
        peer.go().await,
        ["E FATAL | 08P01 | invalid length of startup packet"]
    );
}
