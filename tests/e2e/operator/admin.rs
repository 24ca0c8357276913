//! The admin port.

use crate::shop::{PHASES, Shop};

#[tokio::test]
async fn health_readiness_and_the_page() {
    let shop = Shop::in_phase("use-old").await;
    for path in ["/healthz", "/readyz", "/status", "/metrics", "/"] {
        let (status, body) = shop.proxy.fetch(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        assert!(!body.is_empty(), "{path}");
    }
    assert_eq!(shop.proxy.fetch("/nowhere").await.0, 404);
}

#[tokio::test]
async fn status_and_metrics_tell_the_phase() {
    let mut shop = Shop::in_phase("use-old").await;
    for phase in ["use-old", "dual-write", "use-old"] {
        shop.proxy.flip(phase).await;
        let toggle = shop.proxy.toggle("shop").await;
        assert_eq!(
            (&toggle["wanted"], &toggle["effective"]),
            (&phase.into(), &phase.into())
        );
        assert!(toggle["refusal"].is_null(), "{toggle}");
        let number = PHASES.iter().position(|one| one == &phase).unwrap() + 1;
        let metric = shop
            .proxy
            .metrics()
            .await
            .sum("crossfade_phase", &[("toggle", "shop")]);
        assert_eq!(metric, Some(f64::from(u8::try_from(number).unwrap())));
    }
    let metrics = shop.proxy.metrics().await;
    assert_eq!(
        metrics.sum("crossfade_dirty_keys", &[("toggle", "shop")]),
        Some(0.0)
    );
}

#[tokio::test]
async fn no_password_shows_anywhere() {
    let shop = Shop::in_phase("dual-write").await;
    let mut said = shop.proxy.log();
    for path in ["/status", "/metrics", "/"] {
        said += &shop.proxy.fetch(path).await.1;
    }
    for command in ["check", "status", "phase"] {
        let output = shop.proxy.cli(&[command]);
        said += &(output.stdout + &output.stderr);
    }
    assert!(
        !said.contains("proxy secret") && !said.contains("proxy%20secret"),
        "{said}"
    );
}
