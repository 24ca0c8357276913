//! A client's role on a connection of crossfade's own account.

use crossfade_tests::Endpoint;
use tokio_postgres::Client;

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
