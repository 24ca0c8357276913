//! What belongs inside the barrier of a move that changes the primary.

use std::time::Duration;

use crossfade_journal::JournalError;
use crossfade_store::StoreError;
use crossfade_toggle::{Basis, Evidence, Move, Proof, Refusal, Toggle};
use tokio::time::timeout;

use super::{
    super::{evidence, sequences},
    Outcome, is_passing,
};
use crate::app::App;

/// Why the steps inside the barrier did not get to their end.
enum Inside {
    Refused(Box<Refusal>),
    Store(StoreError),
    Journal(JournalError),
    Immovable(Vec<String>),
    TimedOut,
}

/// What belongs inside the barrier of a move that changes the primary, within what is `left` of `drain_timeout`.
///
/// # Errors
/// The outcome of the attempt, which is called off.
pub(super) async fn inside_barrier(
    app: &App,
    toggle: &Toggle,
    proof: &Proof,
    before: Evidence,
    left: Duration,
) -> Result<(), Outcome> {
    let outcome = timeout(left, inside(app, toggle, proof, before)).await;
    outcome
        .unwrap_or(Err(Inside::TimedOut))
        .map_err(|inside| called_off(proof.step(), inside))
}

/// Everything the coming primary has is on its disk, its sequences are past the other's, the facts still hold now that nothing runs any more, and the
/// journal's part of them is durable.
async fn inside(app: &App, toggle: &Toggle, proof: &Proof, before: Evidence) -> Result<(), Inside> {
    let coming = proof.step().to().primary();
    if app.journal.backlog(toggle.name()).unconfirmed > 0 {
        app.confirmer.confirm(coming).await.map_err(Inside::Store)?;
    }
    let tables = app.tables_of(toggle.name());
    let immovable = sequences::advance(app, &tables, coming)
        .await
        .map_err(Inside::Store)?;
    let overridden = matches!(proof.basis(), Basis::Override { .. });
    if !immovable.is_empty() && !overridden {
        return Err(Inside::Immovable(immovable));
    }
    proof
        .still_holds(&evidence::inside_barrier(app, toggle, before))
        .map_err(|refusal| Inside::Refused(Box::new(refusal)))?;
    // Traps 3 and 40: nothing is dirty in the coming primary, but a crash could still bring back intents whose end is in memory only. Their keys would be stale in
    // what is the primary by then, where nothing repairs them.
    app.journal.flushed().await.map_err(Inside::Journal)?;
    // Kept in the primary, what is still dirty moves along: what only the coming secondary is stale for, and what an operator's word leaves.
    app.journal
        .live_in(toggle.name(), coming)
        .await
        .map_err(Inside::Journal)
}

fn called_off(step: Move, inside: Inside) -> Outcome {
    match inside {
        Inside::Refused(refusal) => Outcome::Refused {
            passing: is_passing(&refusal),
            why: refusal.to_string(),
        },
        Inside::Store(error) => Outcome::CalledOff(format!(
            "{step} was called off: {error} (`crossfade check`)"
        )),
        Inside::Journal(error) => Outcome::CalledOff(format!(
            "{step} was called off: {error}; make room on the disk of state_dir, or see to the primary where the journal is kept there (`crossfade status`)"
        )),
        Inside::Immovable(names) => Outcome::CalledOff(format!(
            "{step} was called off: sequences stay behind: {} (`crossfade check`)",
            names.join(", ")
        )),
        Inside::TimedOut => Outcome::CalledOff(format!(
            "{step} was called off: the steps inside the barrier did not end within drain_timeout (`crossfade status`)"
        )),
    }
}
