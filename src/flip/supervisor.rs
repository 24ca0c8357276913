//! One supervisor a toggle: brings it to where the file wants it, as far as its guards allow.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossfade_phase::Phase;
use crossfade_toggle::{IllegalMove, Move, Plan, Toggle};

use super::{Outcome, attempt};
use crate::app::App;

/// Pause before a refused move is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Pause while what stands in the way is about to pass.
const SOON: Duration = Duration::from_millis(100);
/// How long something that is about to pass may stand in the way before it is called a refusal.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest pause after flips that were called off: each makes clients wait for up to `drain_timeout`.
const CALLED_OFF_MAX: Duration = Duration::from_secs(300);

/// What a supervisor remembers between two attempts at the same move.
struct Trying {
    step: Move,
    since: Instant,
    called_off: u32,
}

/// Supervises a toggle for as long as it is polled.
pub(crate) async fn supervise(app: Arc<App>, toggle: Arc<Toggle>) {
    let mut trying: Option<Trying> = None;
    loop {
        let pause = look(&app, &toggle, &mut trying).await;
        let facts = app.facts(&toggle);
        match pause {
            // Nothing to do until the file changes.
            None => facts.look.notified().await,
            Some(pause) => {
                tokio::select! {
                    () = facts.look.notified() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

/// Says at once what no guard has to be asked for: that no step leads to where the file wants a toggle (traps 39 and 40).
pub(crate) fn first_look(app: &App, toggle: &Toggle) {
    if let Plan::Refused(illegal) = toggle.plan() {
        no_such_step(app, toggle, &illegal);
    }
}

fn no_such_step(app: &App, toggle: &Toggle, illegal: &IllegalMove) {
    let next = illegal
        .next()
        .map(|phase| format!(" (`crossfade phase {} {phase}`)", toggle.name()));
    refused(
        app,
        toggle,
        &format!("{illegal}{}", next.unwrap_or_default()),
    );
}

/// Does what the plan says; the pause until the next look, `None` when only a change of the file can give a reason for one.
async fn look(
    app: &Arc<App>,
    toggle: &Arc<Toggle>,
    trying: &mut Option<Trying>,
) -> Option<Duration> {
    let facts = app.facts(toggle);
    let step = match toggle.plan() {
        Plan::Stay(_) => {
            *trying = None;
            facts.refused(None);
            return None;
        }
        Plan::Refused(illegal) => {
            *trying = None;
            no_such_step(app, toggle, &illegal);
            return Some(RETRY);
        }
        Plan::Try(step) => step,
    };
    if trying.as_ref().is_none_or(|trying| trying.step != step) {
        *trying = Some(Trying {
            step,
            since: Instant::now(),
            called_off: 0,
        });
    }
    let began = Instant::now();
    let outcome = attempt(app, toggle, step, facts.overriding(step.to())).await;
    // Looking at large catalogs takes its time, and is not done for its own sake.
    let retry = RETRY.max(began.elapsed() * 5);
    let Some(now) = trying.as_mut() else {
        return Some(retry);
    };
    match outcome {
        Outcome::Moved => {
            *trying = None;
            Some(Duration::ZERO)
        }
        Outcome::Refused { why, passing: true } if now.since.elapsed() < PATIENCE => {
            facts.waits_for(&why);
            Some(SOON)
        }
        Outcome::Refused { why, .. } => {
            refused(app, toggle, &why);
            Some(retry)
        }
        Outcome::CalledOff(why) => {
            now.called_off += 1;
            refused(app, toggle, &why);
            Some(pause_after(
                now.called_off,
                app.config.load().flips.drain_timeout,
            ))
        }
    }
}

/// Clients have just waited for nothing: the next attempt comes after several times that wait, and later each time.
fn pause_after(called_off: u32, drain_timeout: Duration) -> Duration {
    let factor = 2_u32.saturating_pow(called_off.min(8));
    drain_timeout
        .saturating_mul(factor)
        .clamp(RETRY, CALLED_OFF_MAX)
}

/// Logged and counted when the answer is another one than before (not each time that it is the same).
fn refused(app: &App, toggle: &Toggle, why: &str) {
    if app.facts(toggle).refused(Some(why)) {
        app.own_metrics
            .refused_flips
            .with_label_values(&[toggle.name()])
            .inc();
        let (at, wanted): (Phase, Phase) = (toggle.gate().current().phase, toggle.wanted());
        tracing::warn!(toggle = toggle.name(), phase = %at, wanted = %wanted, "toggle \"{}\" stays in phase {at}: {why}", toggle.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flip_that_was_called_off_puts_the_next_one_further_off() {
        let drain = Duration::from_secs(5);
        assert_eq!(pause_after(1, drain), Duration::from_secs(10));
        assert_eq!(pause_after(2, drain), Duration::from_secs(20));
        assert_eq!(pause_after(40, drain), CALLED_OFF_MAX);
        assert_eq!(pause_after(1, Duration::from_millis(10)), RETRY);
    }
}
