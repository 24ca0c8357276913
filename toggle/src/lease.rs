//! For how long a proxy may go on without hearing from the others.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Never ends.
const UNBOUNDED: u64 = u64::MAX;

/// The right to commit what writes both stores, until a point of this process's own monotonic clock (trap 44). A proxy that is alone has it for ever; one of several has
/// it from each sign of life that it gave, for a while.
///
/// It is asked for at each commit rather than taken away by a task: a process that was frozen and goes on must not commit before that task runs.
#[derive(Debug)]
pub struct Lease {
    born: Instant,
    /// Microseconds since `born`; 0 has ended.
    until_us: AtomicU64,
}

impl Default for Lease {
    /// One that does not end.
    fn default() -> Lease {
        Lease {
            born: Instant::now(),
            until_us: AtomicU64::new(UNBOUNDED),
        }
    }
}

impl Lease {
    /// Ends it, until it is renewed.
    pub fn end(&self) {
        self.until_us.store(0, Ordering::SeqCst);
    }

    /// It holds until `term` after `from`, which is when the sign of life *began* to be given.
    pub fn renew(&self, from: Instant, term: Duration) {
        let until = (from + term).saturating_duration_since(self.born);
        let until_us = u64::try_from(until.as_micros()).unwrap_or(UNBOUNDED - 1);
        self.until_us.store(until_us, Ordering::SeqCst);
    }

    /// Whether it holds now. Reads the clock only where it can end.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.until_us.load(Ordering::SeqCst) {
            UNBOUNDED => true,
            until_us => self.born.elapsed() < Duration::from_micros(until_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_secs(60);

    #[test]
    fn one_that_is_alone_never_ends_and_one_of_several_begins_without() {
        let lease = Lease::default();
        assert!(lease.holds());
        lease.end();
        assert!(!lease.holds());
        lease.renew(Instant::now(), TERM);
        assert!(lease.holds());
        lease.end();
        assert!(!lease.holds());
    }

    #[test]
    fn trap_44_it_is_counted_from_the_beginning_of_the_sign_of_life() {
        let lease = Lease::default();
        let before = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
        lease.renew(before, Duration::from_millis(15));
        assert!(!lease.holds());
        lease.renew(Instant::now(), Duration::from_millis(30));
        assert!(lease.holds());
        std::thread::sleep(Duration::from_millis(35));
        assert!(!lease.holds());
    }
}
