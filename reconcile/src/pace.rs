//! How fast a backfill may go: the configured limit, and the brake.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// The slowest that the brake makes it: slow enough to be harmless, fast enough to end some day.
const FLOOR: f64 = 200.0;
/// How much faster it gets with each healthy look.
const RECOVERY: f64 = 1.1;
/// At least this long between two turns of the brake, so that one slow moment is not counted by every worker.
const TURN: Duration = Duration::from_millis(250);

/// Hands out the right to read rows. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Pace {
    limit: Option<f64>,
    brake_latency: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What the brake allows, in rows a second; `None` while it is off.
    braked: Option<f64>,
    /// When the next rows may go.
    next: Instant,
    last_turn: Option<Instant>,
    /// Rows let go since `since`, for a speed to brake from.
    rows: f64,
    since: Instant,
    dirty: u64,
}

/// How two stores and the journal feel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Health {
    /// The slower store's round trip.
    pub(crate) latency: Duration,
    /// Dirty keys of the toggle.
    pub(crate) dirty: u64,
}

/// So many more dirty keys since the last look mean that the secondary does not keep up.
const DIRTY_STEP: u64 = 100;

impl Pace {
    /// At most `limit` rows a second; slower while a store takes longer than `brake_latency`.
    pub(crate) fn new(limit: Option<u32>, brake_latency: Duration) -> Pace {
        let now = Instant::now();
        let state = State {
            braked: None,
            next: now,
            last_turn: None,
            rows: 0.0,
            since: now,
            dirty: u64::MAX,
        };
        Pace {
            limit: limit.map(f64::from),
            brake_latency,
            state: Mutex::new(state),
        }
    }

    /// Waits until `rows` more may be read. Cancel-safe; a dropped call has used its turn up.
    pub(crate) async fn acquire(&self, rows: u32) {
        let until = {
            let mut state = self.lock();
            let now = Instant::now();
            state.rows += f64::from(rows);
            let until = state.next.max(now);
            if let Some(rate) = self.rate(&state) {
                state.next = until + Duration::from_secs_f64(f64::from(rows) / rate);
            }
            until
        };
        sleep_until(until).await;
    }

    /// Whether the brake is on.
    pub(crate) fn is_braked(&self) -> bool {
        self.lock().braked.is_some()
    }

    /// Takes note of how the stores feel: halves the rate while one is slow or the journal grows, recovers slowly.
    pub(crate) fn feel(&self, health: Health) {
        let mut state = self.lock();
        let now = Instant::now();
        if state
            .last_turn
            .is_some_and(|last| now.duration_since(last) < TURN)
        {
            return;
        }
        let grows =
            state.dirty != u64::MAX && health.dirty > state.dirty.saturating_add(DIRTY_STEP);
        let speed = state.rows
            / now
                .duration_since(state.since)
                .as_secs_f64()
                .max(TURN.as_secs_f64());
        if health.latency > self.brake_latency || grows {
            let rate = self.rate(&state).unwrap_or(speed);
            state.braked = Some((rate / 2.0).max(FLOOR));
        } else if let Some(braked) = state.braked {
            let faster = braked * RECOVERY;
            // A brake that is above what the job reaches, or what it may reach, does nothing: let go.
            let useless =
                self.limit.is_some_and(|limit| faster >= limit) || faster > 2.0 * speed.max(FLOOR);
            state.braked = if useless { None } else { Some(faster) };
        }
        (state.last_turn, state.rows, state.since, state.dirty) =
            (Some(now), 0.0, now, health.dirty);
    }

    fn rate(&self, state: &State) -> Option<f64> {
        match (self.limit, state.braked) {
            (Some(limit), Some(braked)) => Some(limit.min(braked)),
            (limit, braked) => limit.or(braked),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);
    const SLOW: Health = Health {
        latency: Duration::from_millis(80),
        dirty: 0,
    };
    const FAST: Health = Health {
        latency: Duration::from_millis(1),
        dirty: 0,
    };

    async fn seconds_for(pace: &Pace, chunks: u32, rows: u32) -> f64 {
        let began = Instant::now();
        for _ in 0..chunks {
            pace.acquire(rows).await;
        }
        began.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_of_1000_rows_a_second_lets_1000_rows_go_a_second() {
        let pace = Pace::new(Some(1000), LIMIT);
        let took = seconds_for(&pace, 101, 100).await;
        assert!((9.9..10.1).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let pace = Pace::new(None, LIMIT);
        assert!(seconds_for(&pace, 100, 1000).await < 0.001);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_store_halves_the_rate_and_a_healthy_one_gets_it_back_slowly() {
        let pace = Pace::new(Some(10_000), LIMIT);
        pace.feel(SLOW);
        assert!(pace.is_braked());
        let took = seconds_for(&pace, 11, 1000).await;
        assert!((1.9..2.1).contains(&took), "5000 rows a second: {took}");
        tokio::time::sleep(TURN).await;
        pace.feel(SLOW);
        pace.acquire(0).await;
        let took = seconds_for(&pace, 6, 500).await;
        assert!((0.9..1.1).contains(&took), "2500 rows a second: {took}");
        let mut turns = 0;
        while pace.is_braked() {
            pace.acquire(500).await;
            tokio::time::sleep(TURN).await;
            pace.feel(FAST);
            turns += 1;
        }
        assert!((5..40).contains(&turns), "{turns} turns");
    }

    #[tokio::test(start_paused = true)]
    async fn one_slow_moment_seen_by_many_workers_brakes_once() {
        let pace = Pace::new(Some(10_000), LIMIT);
        for _ in 0..8 {
            pace.feel(SLOW);
        }
        assert_eq!(pace.lock().braked, Some(5000.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_growing_journal_brakes() {
        let pace = Pace::new(Some(10_000), LIMIT);
        pace.feel(Health {
            dirty: 1_000_000,
            ..FAST
        });
        assert!(
            !pace.is_braked(),
            "a deep journal that does not grow is the repairer's business"
        );
        tokio::time::sleep(TURN).await;
        pace.feel(Health {
            dirty: 1_000_500,
            ..FAST
        });
        assert!(pace.is_braked());
    }

    #[tokio::test(start_paused = true)]
    async fn the_brake_never_stops_a_job_for_good() {
        let pace = Pace::new(None, LIMIT);
        for _ in 0..50 {
            pace.feel(SLOW);
            tokio::time::sleep(TURN).await;
        }
        let took = seconds_for(&pace, 2, 200).await;
        assert!(took <= 1.01, "{took}");
    }
}
