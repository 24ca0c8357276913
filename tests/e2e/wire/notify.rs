//! LISTEN and NOTIFY.

use super::same::Bench;
use crossfade_tests::wire::{messages::sync, transcript};

#[tokio::test]
async fn a_notification_arrives_while_the_client_is_idle() {
    let bench = Bench::new().await;
    bench
        .same(async |endpoint| {
            let mut listener = endpoint.wire().await;
            let mut frames = listener
                .query("LISTEN news; LISTEN \"Other Channel\"")
                .await;
            let mut other = endpoint.wire().await;
            other
                .query("NOTIFY news, 'first'; SELECT pg_notify('Other Channel', 'second')")
                .await;
            frames.extend([listener.frame().await, listener.frame().await]);
            assert_eq!(transcript(&frames), "CCZAA");
            frames.extend(listener.query("UNLISTEN *").await);
            other.query("NOTIFY news, 'nobody hears'").await;
            frames.extend(listener.ask(&[sync()]).await);
            frames
        })
        .await;
}

#[tokio::test]
async fn notifications_keep_to_the_transaction_of_sender_and_receiver() {
    let bench = Bench::new().await;
    bench
        .same(async |endpoint| {
            let mut both = endpoint.wire().await;
            let mut frames = both.query("LISTEN a").await;
            frames.extend(both.query("BEGIN; NOTIFY a, 'to myself'").await);
            both.silence(50).await;
            frames.extend(both.query("COMMIT").await);
            frames.extend(both.query("BEGIN; NOTIFY a, 'never'; ROLLBACK").await);
            frames
        })
        .await;
}
