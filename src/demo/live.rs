//! The line that says how it goes, while it goes.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::MissedTickBehavior};

use super::{proxy::standing, screen::Screen, tally::Tally};

/// How often the line is rewritten on a terminal.
const REWRITE: Duration = Duration::from_millis(250);
/// How often a new one is printed elsewhere.
const REPEAT: Duration = Duration::from_secs(2);
/// Time over which the rate is taken.
const OVER: Duration = Duration::from_secs(2);

/// A task that prints the line; ends when dropped.
#[derive(Debug)]
pub(super) struct Live {
    task: JoinHandle<()>,
}

impl Live {
    /// Begins to print.
    pub(super) fn start(screen: Arc<Screen>, tally: Arc<Tally>, admin: SocketAddr) -> Live {
        Live {
            task: tokio::spawn(print(screen, tally, admin)),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn print(screen: Arc<Screen>, tally: Arc<Tally>, admin: SocketAddr) {
    let began = Instant::now();
    let dirty = Arc::new(AtomicU64::new(0));
    let mut tick = tokio::time::interval(if screen.is_terminal() {
        REWRITE
    } else {
        REPEAT
    });
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let mut past = vec![(began, tally.operations())];
    loop {
        tick.tick().await;
        // Without an answer the last number stands: the walk itself notices a proxy that does not answer.
        if let Ok(now) = standing(admin).await {
            dirty.store(now.dirty_keys, Ordering::Relaxed);
        }
        let now = (Instant::now(), tally.operations());
        past.push(now);
        while past.len() > 2 && now.0 - past[1].0 >= OVER {
            past.remove(0);
        }
        let rate = rate(past[0], now);
        screen.live(line(
            &tally,
            began.elapsed(),
            rate,
            dirty.load(Ordering::Relaxed),
        ));
    }
}

fn rate(from: (Instant, u64), to: (Instant, u64)) -> u64 {
    let millis = u64::try_from((to.0 - from.0).as_millis()).unwrap_or(u64::MAX);
    (to.1 - from.1) * 1000 / millis.max(1)
}

fn line(tally: &Tally, elapsed: Duration, rate: u64, dirty: u64) -> String {
    let phase = tally.phase();
    let (number, name, errors) = (phase.number(), phase.name(), tally.troubles());
    let (minutes, seconds) = (elapsed.as_secs() / 60, elapsed.as_secs() % 60);
    format!(
        "  {minutes}:{seconds:02}  phase {number} {name:<12} {rate:>5} operations/s  {dirty:>5} dirty keys  {errors} errors"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_phase_rate_dirty_keys_and_errors() {
        let line = line(&Tally::new(), Duration::from_secs(65), 412, 3);
        assert_eq!(
            line,
            "  1:05  phase 1 deploy-new     412 operations/s      3 dirty keys  0 errors"
        );
    }
}
