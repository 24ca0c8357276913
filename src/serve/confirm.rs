//! The journal's confirmations in the background.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crossfade_phase::{Phase, Side};

use crate::app::App;

/// Time between two flushes: short, since keys that were not confirmed are repaired after a crash of the secondary, and long enough that the flush is shared
/// by many transactions.
const PERIOD: Duration = Duration::from_millis(200);
/// Longest pause while a store does not answer.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Confirms for as long as it is polled.
pub(super) async fn run(app: Arc<App>) {
    tokio::join!(side(&app, Side::Old), side(&app, Side::New));
}

async fn side(app: &App, side: Side) {
    let mut pause = PERIOD;
    let mut was_secondary = BTreeSet::new();
    loop {
        tokio::time::sleep(pause).await;
        let written = app
            .toggles
            .iter()
            .filter(|(_, toggle)| toggle.gate().current().phase.secondary() == Some(side));
        was_secondary.extend(written.map(|(name, _)| name.clone()));
        let unconfirmed = was_secondary
            .iter()
            .any(|toggle| app.journal.backlog(toggle).unconfirmed > 0);
        let outcome = match (unconfirmed, is_near(app, side)) {
            (true, _) => app.confirmer.confirm(side).await,
            // Before the first write, so that none is in doubt for want of a connection.
            (false, true) => app.confirmer.connect(side).await,
            (false, false) => Ok(()),
        };
        match outcome {
            Ok(()) => pause = PERIOD,
            Err(error) => {
                if pause == PERIOD && unconfirmed {
                    tracing::warn!(%side, %error, "what the secondary committed cannot be confirmed; it stays in the journal until the store answers");
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Whether a store is the secondary of a toggle, or one move away from it.
fn is_near(app: &App, side: Side) -> bool {
    app.phases().any(|phase| match side {
        Side::Old => matches!(phase, Phase::DualRead | Phase::NewPrimary),
        Side::New => matches!(phase, Phase::UseOld | Phase::DualWrite | Phase::DualRead),
    })
}
