//! TLS, towards clients and towards stores.

use super::same::Bench;
use crossfade_tests::{Account, ConfigBuilder, Endpoint, Proxy, Tls, Wire, wire::messages};

async fn offering(
    bench: &Bench,
    change: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
) -> (Proxy, Endpoint) {
    let config = bench.stores.shop_config("use-old").client_tls(&Tls::get());
    let proxy = Proxy::start(change(config)).await;
    let endpoint = proxy.endpoint(&bench.stores.old);
    (proxy, endpoint)
}

async fn encrypted(endpoint: &Endpoint) -> Wire {
    let mut wire = Wire::connect(endpoint.addr).await;
    wire.send(&[messages::ssl_request()]).await;
    assert_eq!(wire.byte().await, b'S');
    wire.encrypt().await.unwrap()
}

/// Whether the server sees an encrypted connection.
const ENCRYPTED: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

#[tokio::test]
async fn a_client_may_encrypt_and_sees_the_same_frames() {
    let bench = Bench::new().await;
    let (_proxy, endpoint) = offering(&bench, |config| config).await;
    let direct = bench.stores.old.direct();
    let mut frames = Vec::new();
    for target in [&direct, &endpoint] {
        let mut wire = encrypted(target).await;
        let mut seen = wire.sign_in(target, &[]).await;
        seen.extend(
            wire.query("SELECT n, repeat('x', n) FROM generate_series(1, 2000) n")
                .await,
        );
        frames.push(
            seen.into_iter()
                .map(crossfade_tests::wire::Frame::comparable)
                .collect::<Vec<_>>(),
        );
    }
    assert!(
        frames[0] == frames[1],
        "the encrypted connection sees something else"
    );
    // The offer is not a must.
    assert_eq!(endpoint.wire().await.query("SELECT 1").await.len(), 4);
}

#[tokio::test]
async fn psql_verifies_the_certificate_and_its_name() {
    let bench = Bench::new().await;
    let (_proxy, endpoint) = offering(&bench, |config| config).await;
    let params = format!(
        "sslmode=verify-full sslrootcert={}",
        Tls::get().cert.display()
    );
    let output = endpoint.psql_with(&params, &["-c", "SELECT 'in'"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "in\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn a_proxy_that_requires_tls_says_so_to_others() {
    let bench = Bench::new().await;
    let tls = Tls::get();
    let section = format!(
        "[tls]\ncert = \"{}\"\nkey = \"{}\"\nrequired = true",
        tls.cert.display(),
        tls.key.display()
    );
    let proxy = Proxy::start(bench.stores.shop_config("use-old").section(&section)).await;
    let endpoint = proxy.endpoint(&bench.stores.old);
    let mut wire = Wire::connect(endpoint.addr).await;
    let frames = wire.sign_in(&endpoint, &[]).await;
    let error = frames.last().expect("closed without a word");
    assert_eq!(
        (error.tag, error.field(b'C').as_deref()),
        (b'E', Some("28000")),
        "{error:?}"
    );
    let mut wire = encrypted(&endpoint).await;
    assert_eq!(
        wire.sign_in(&endpoint, &[])
            .await
            .last()
            .map(|frame| frame.tag),
        Some(b'Z')
    );
}

#[tokio::test]
async fn the_stores_side_is_encrypted_as_its_url_says() {
    let bench = Bench::new().await;
    let verify = format!(
        "sslmode=verify-full&sslrootcert={}",
        Tls::get().cert.display()
    );
    for (params, expected) in [
        ("sslmode=disable", "f"),
        ("sslmode=require", "t"),
        (verify.as_str(), "t"),
    ] {
        let proxy = Proxy::start(bench.stores.shop_config("use-old").store_tls(params)).await;
        let output = proxy.endpoint(&bench.stores.old).psql(&["-c", ENCRYPTED]);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            expected,
            "{params}"
        );
    }
}

#[tokio::test]
async fn an_account_that_needs_tls_signs_in_over_an_encrypted_store_side() {
    let bench = Bench::new().await;
    let (_proxy, endpoint) = offering(&bench, |config| config.store_tls("sslmode=require")).await;
    // SCRAM over TLS on both sides is bound to neither channel: a client that could bind and is not told to let it be is
    // refused by the server, as it must be, and hears why.
    let account = endpoint.account(Account::TlsOnly);
    let refused = account.psql_with("sslmode=require", &["-c", ENCRYPTED]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.success() || said.contains("channel binding"),
        "{said}"
    );
    for params in ["sslmode=disable", "sslmode=require channel_binding=disable"] {
        let output = account.psql_with(params, &["-c", ENCRYPTED]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            "t",
            "{params}: {said}"
        );
    }
}

#[tokio::test]
async fn bytes_before_the_handshake_are_not_taken_for_the_clients() {
    // What somebody in between puts behind the SSLRequest must not run as the client (CVE-2021-23214).
    let bench = Bench::new().await;
    let (_proxy, endpoint) = offering(&bench, |config| config).await;
    let mut wire = Wire::connect(endpoint.addr).await;
    let injected = messages::startup(&[("user", &endpoint.user), ("database", &endpoint.database)]);
    wire.send(&[
        messages::ssl_request(),
        injected,
        messages::query("SELECT 'injected'"),
    ])
    .await;
    let answer = wire.raw_rest().await;
    let said = String::from_utf8_lossy(&answer);
    assert!(
        !said.contains("injected") && !said.contains("server_version"),
        "a session began: {said}"
    );
}

#[tokio::test]
async fn cancel_over_tls() {
    let bench = Bench::new().await;
    let (_proxy, endpoint) = offering(&bench, |config| config).await;
    let mut wire = encrypted(&endpoint).await;
    wire.sign_in(&endpoint, &[]).await;
    wire.send(&[messages::query("SELECT pg_sleep(60)")]).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut cancel = encrypted(&endpoint).await;
    cancel
        .send(&[messages::cancel_request(&wire.key_data().clone())])
        .await;
    cancel.rest().await;
    let frames = wire.ready().await;
    assert_eq!(
        frames.iter().find_map(|frame| frame.field(b'C')).as_deref(),
        Some("57014")
    );
}

#[tokio::test]
async fn a_store_with_another_certificate_is_not_trusted() {
    let bench = Bench::new().await;
    // Without sslrootcert the public roots count, and none of them signed the test servers' certificate.
    let proxy = Proxy::new(
        bench
            .stores
            .shop_config("deploy-new")
            .store_tls("sslmode=verify-full"),
    );
    let output = proxy.cli(&["check"]).expect(3);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.to_lowercase().contains("certificate"), "{said}");
}
