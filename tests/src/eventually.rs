//! Waiting for what happens by itself.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Tries `condition` until it holds; panics with `what` after `timeout`.
///
/// # Panics
/// When the time is over.
pub async fn eventually(what: &str, timeout: Duration, condition: impl AsyncFnMut() -> bool) {
    let held = look_until(timeout, condition, |held| *held).await;
    assert!(held, "not within {timeout:?}: {what}");
}

/// Looks until `content` says that it may stop, `timeout` is over at the latest. What was seen last, for the caller to judge and to show.
pub async fn look_until<T>(
    timeout: Duration,
    mut look: impl AsyncFnMut() -> T,
    content: impl Fn(&T) -> bool,
) -> T {
    let start = Instant::now();
    loop {
        let seen = look().await;
        if content(&seen) || start.elapsed() > timeout {
            return seen;
        }
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
