//! Ends at crash points.

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use super::Proxy;
use crate::look_until;

/// The signal of `abort`.
const SIGABRT: i32 = 6;

impl Proxy {
    /// [`Proxy::restart`] with a crash point armed, as `NAME` or `NAME:NTH`. It may come to that point before it is ready; [`Proxy::crashed`] waits for it.
    ///
    /// # Panics
    /// When it neither gets ready nor ends within 30 seconds.
    pub async fn arm(&mut self, point: &str) {
        let _ended = self.serve(&[("CROSSFADE_CRASH_AT", point)]).await;
    }

    /// Whether it comes to the end that [`Proxy::arm`] has prepared within `patience`. Another end than that is a failure.
    ///
    /// # Panics
    /// When it ended otherwise.
    pub async fn crashed(&mut self, patience: Duration) -> bool {
        let Some(mut process) = self.process.take() else {
            return false;
        };
        let look = async || process.exited();
        let ended = look_until(patience, look, Option::is_some).await;
        match ended {
            Some(status) => {
                let crashed = status.signal() == Some(SIGABRT);
                assert!(crashed, "the proxy ended ({status}):\n{}", self.log());
                true
            }
            None => {
                self.process = Some(process);
                false
            }
        }
    }
}
