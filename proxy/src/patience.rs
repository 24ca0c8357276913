//! A bound on the time of calls that nearly always end soon.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Bounds one call after the other with a single timer.
///
/// `tokio::time::timeout` sets a timer for each call, and a timer that is the first to ring wakes the thread that sets it: a write to its own eventfd and a
/// turn of its loop, twice a transaction. Here the timer of an earlier call is left to ring, and set anew only then. Belongs to the
/// runtime in which it was first used.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// The call's output, or `None` when it took longer than `within`. Cancel-safe when `call` is.
    pub(crate) async fn within<T>(
        &mut self,
        within: Duration,
        call: impl Future<Output = T>,
    ) -> Option<T> {
        let deadline = Instant::now() + within;
        let mut call = pin!(call);
        poll_fn(|cx| {
            if let Poll::Ready(output) = call.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let alarm = self
                .alarm
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if alarm.deadline() > deadline {
                alarm.as_mut().reset(deadline);
            }
            while alarm.as_mut().poll(cx).is_ready() {
                if Instant::now() >= deadline {
                    return Poll::Ready(None);
                }
                alarm.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn each_call_has_its_own_bound() {
        let mut patience = Patience::default();
        let began = Instant::now();
        assert_eq!(patience.within(SECOND, async { 1 }).await, Some(1));
        assert_eq!(patience.within(SECOND, sleep(SECOND / 2)).await, Some(()));
        // The first call's timer rings in the middle of this one.
        assert_eq!(patience.within(SECOND, pending::<()>()).await, None);
        assert_eq!(began.elapsed().as_millis() / 10, 150);
        // One that was set for longer does not delay a shorter one.
        assert_eq!(patience.within(60 * SECOND, sleep(SECOND)).await, Some(()));
        let began = Instant::now();
        assert_eq!(patience.within(SECOND, pending::<()>()).await, None);
        assert_eq!(began.elapsed().as_millis() / 10, 100);
        assert_eq!(patience.within(SECOND, sleep(SECOND / 2)).await, Some(()));
    }
}
