//! Waiting for what happens by itself.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Tries `condition` until it holds; panics with `what` after `timeout`.
///
/// # Panics
/// When the time is over.
pub async fn eventually<F, Fut>(what: &str, timeout: Duration, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < timeout, "not within {timeout:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The outcome of `future`; panics with `what` when it takes more than `seconds`.
///
/// # Panics
/// When the time is over.
pub async fn within<T>(seconds: u64, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(seconds), future).await {
        Ok(value) => value,
        Err(_) => panic!("still waiting after {seconds} s: {what}"),
    }
}
