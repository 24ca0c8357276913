//! A client's role on a connection of crossfade's own account.

use crossfade_tests::{Endpoint, wire::messages::query};
use tokio_postgres::{Client, NoTls};

use crate::shop::Shop;

#[tokio::test]
async fn no_statement_brings_our_own_account_to_light() {
    let shop = Shop::in_phase("new-primary").await;
    let client = shop.client().await;
    let who = async || {
        let row = client
            .query_one("SELECT current_user::text", &[])
            .await
            .unwrap();
        row.get::<_, String>(0)
    };
    assert_eq!(who().await, "app");
    for sql in [
        "RESET ROLE",
        "SET ROLE NONE",
        "SET ROLE 'none'",
        "DISCARD ALL",
        "RESET ALL",
        "RESET SESSION AUTHORIZATION",
    ] {
        client.batch_execute(sql).await.unwrap();
        assert_eq!(who().await, "app", "{sql}");
    }
    for sql in [
        "SELECT set_config('role', 'none', false)",
        "SET SESSION AUTHORIZATION crossfade",
    ] {
        let error = client.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("0A000"), "{sql}");
        assert_eq!(who().await, "app", "{sql}");
    }
}

/// A shop in 5 whose application is no superuser: it is a member of `ROLE_team`, and not of `ROLE_other`. With the application's name.
async fn of_a_plain_role() -> (Shop, String) {
    let shop = Shop::in_phase("dual-read").await;
    let name = shop.stores.old.name().to_owned();
    for store in [&shop.stores.old, &shop.stores.new] {
        store
            .run(&format!(
                "DO $$ BEGIN CREATE ROLE {name} LOGIN; CREATE ROLE {name}_team; CREATE ROLE {name}_other; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
                 GRANT {name}_team TO {name};
                 GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}, {name}_team;
                 GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}, {name}_team"
            ))
            .await;
    }
    (shop, name)
}

async fn connect(shop: &Shop, user: &str) -> Client {
    let endpoint = Endpoint {
        user: user.to_owned(),
        ..shop.proxy.endpoint(&shop.stores.old)
    };
    endpoint.connect().await
}

async fn who(client: &Client) -> String {
    let row = client.query_one("SELECT current_user::text", &[]).await;
    row.unwrap().get(0)
}

#[tokio::test]
async fn a_session_becomes_what_its_own_role_may() {
    let (mut shop, user) = of_a_plain_role().await;
    let older = connect(&shop, &user).await;
    shop.proxy.flip("new-primary").await;
    let (team, other) = (format!("{user}_team"), format!("{user}_other"));
    for client in [older, connect(&shop, &user).await] {
        assert_eq!(who(&client).await, user);
        for role in [&other, "crossfade", "app"] {
            for sql in [
                format!("SET ROLE {role}"),
                format!("SET ROLE '{role}'"),
                format!("SET role TO \"{role}\""),
                format!("BEGIN; SET LOCAL ROLE {role}"),
                format!("SET SESSION AUTHORIZATION {role}"),
                format!("SELECT set_config('role', '{role}', false)"),
                format!("DO $$ BEGIN SET ROLE {role}; END $$"),
            ] {
                let error = client.batch_execute(&sql).await.expect_err(&sql);
                let code = error.code().map(|code| code.code().to_owned());
                assert!(
                    matches!(code.as_deref(), Some("42501" | "0A000")),
                    "{sql}: {error:?}"
                );
                client.batch_execute("ROLLBACK").await.unwrap();
                assert_eq!(who(&client).await, user, "{sql}");
            }
            let error = client.prepare(&format!("SET ROLE {role}")).await;
            assert!(error.is_err(), "{role}");
        }
        let set_config = "SELECT set_config($1, $2, false)";
        assert!(client.query(set_config, &[&"role", &"none"]).await.is_err());
        assert_eq!(who(&client).await, user);
        let told = "SELECT set_config('app.role', $1, false)";
        let row = client.query_one(told, &[&"clerk"]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), "clerk");

        client
            .batch_execute(&format!("SET ROLE {team}"))
            .await
            .unwrap();
        assert_eq!(who(&client).await, team);
        for sql in ["SET ROLE NONE", "RESET ROLE"] {
            client.batch_execute(sql).await.unwrap();
            assert_eq!(who(&client).await, user, "{sql}");
        }
    }
}

#[tokio::test]
async fn a_role_that_the_other_store_grants_to_nobody_is_not_carried_there() {
    let (mut shop, user) = of_a_plain_role().await;
    let team = format!("{user}_team");
    let client = connect(&shop, &user).await;
    client
        .batch_execute(&format!("SET ROLE {team}"))
        .await
        .unwrap();
    shop.stores
        .new
        .run(&format!("REVOKE {team} FROM {user}"))
        .await;
    shop.proxy.flip("new-primary").await;
    let error = client.query("SELECT 1", &[]).await.unwrap_err();
    let told = error.as_db_error().and_then(|error| error.detail());
    assert!(
        told.is_some_and(|told| told.contains("permission denied to set role")),
        "{error:?}"
    );
}

/// It signs in as the proxy does, so that a connection to either store is its own.
#[tokio::test]
async fn a_session_authorization_moves_with_its_session() {
    let (mut shop, user) = of_a_plain_role().await;
    let endpoint = Endpoint {
        user: "crossfade".to_owned(),
        password: "proxy secret".to_owned(),
        ..shop.proxy.endpoint(&shop.stores.old)
    };
    let client = endpoint.connect().await;
    let who = async || {
        let told =
            "SELECT session_user || ' ' || current_user || ' ' || current_setting('log_duration')";
        client
            .query_one(told, &[])
            .await
            .unwrap()
            .get::<_, String>(0)
    };
    let team = format!("{user}_team");
    for sql in [
        "SET log_duration = on".to_owned(),
        format!("SET SESSION AUTHORIZATION {user}"),
        format!("SET ROLE {team}"),
    ] {
        client.batch_execute(&sql).await.unwrap();
    }
    for phase in ["new-primary", "dual-read"] {
        shop.proxy.flip(phase).await;
        assert_eq!(who().await, format!("{user} {team} on"), "{phase}");
    }
    client.batch_execute("RESET ROLE").await.unwrap();
    shop.proxy.flip("new-primary").await;
    assert_eq!(who().await, format!("{user} {user} on"));
    client
        .batch_execute("RESET SESSION AUTHORIZATION")
        .await
        .unwrap();
    shop.proxy.flip("dual-read").await;
    assert_eq!(who().await, "crossfade crossfade on");
}

/// Over a connection of the proxy's account there is no such thing, and its RESET ROLE would lead back to the client's own user.
#[tokio::test]
async fn a_session_authorization_is_not_lost_on_a_connection_of_our_account() {
    for from in ["use-old", "dual-read"] {
        let mut shop = Shop::in_phase(from).await;
        let lesser = format!("{}_lesser", shop.stores.old.name());
        for store in [&shop.stores.old, &shop.stores.new] {
            store.run(&format!("DO $$ BEGIN CREATE ROLE {lesser}; EXCEPTION WHEN duplicate_object THEN NULL; END $$")).await;
        }
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        let become_it = format!("SET SESSION AUTHORIZATION {lesser}");
        wire.query(&become_it).await;
        let back = shop.client().await;
        back.batch_execute(&become_it).await.unwrap();
        back.batch_execute("SET SESSION AUTHORIZATION DEFAULT")
            .await
            .unwrap();
        if from == "use-old" {
            shop.proxy.flip("dual-write").await;
            shop.complete();
            shop.proxy.flip("dual-read").await;
        }
        let told = wire.query("SELECT current_user").await;
        assert!(told[1].body.ends_with(lesser.as_bytes()), "{told:?}");
        shop.proxy.flip("new-primary").await;
        assert_eq!(who(&back).await, "app");
        let told = wire.rest().await;
        let [told] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(told.field(b'C').as_deref(), Some("58000"), "{told:?}");
        let why = told.field(b'D').unwrap_or_default();
        assert!(why.contains("SET SESSION AUTHORIZATION"), "{told:?}");
    }
}

/// Its login has gone well, in the store that it came to: what it sends next is answered by the reason.
#[tokio::test]
async fn a_client_that_cannot_come_to_the_other_store_hears_why() {
    let shop = Shop::in_phase("new-primary").await;
    let user = format!("{}_old_only", shop.stores.old.name());
    let make = format!(
        "DO $$ BEGIN CREATE ROLE {user} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    );
    shop.stores.old.run(&make).await;
    let endpoint = Endpoint {
        user,
        ..shop.proxy.endpoint(&shop.stores.old)
    };
    for _ in 0..20 {
        let mut wire = endpoint.wire().await;
        wire.send(&[query("SELECT 1"), query("SELECT 2")]).await;
        let told = wire.rest().await;
        let states: Vec<_> = told.iter().filter_map(|frame| frame.field(b'C')).collect();
        assert_eq!(states, ["08001"], "{told:?}");
    }
}

#[tokio::test]
async fn a_session_goes_back_to_the_role_that_it_began_as() {
    let (mut shop, user) = of_a_plain_role().await;
    shop.proxy.flip("new-primary").await;
    let team = format!("{user}_team");
    let endpoint = Endpoint {
        user: user.clone(),
        ..shop.proxy.endpoint(&shop.stores.old)
    };
    let mut driver = endpoint.driver();
    driver.options(format!("-c jit=off -c role={team}"));
    let (client, connection) = driver.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(who(&client).await, team);
    for sql in ["RESET ROLE", "DISCARD ALL", "SET role TO DEFAULT"] {
        client.batch_execute("SET ROLE NONE").await.unwrap();
        assert_eq!(who(&client).await, user);
        client.batch_execute(sql).await.unwrap();
        assert_eq!(who(&client).await, team, "{sql}");
    }
}
