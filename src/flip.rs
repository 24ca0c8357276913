//! Moves of toggles: the file is a wish, the guards decide, the gate makes it so.

mod attempt;
mod evidence;
mod preflight;
mod record;
mod sequences;
pub(crate) mod stragglers;
mod supervisor;

pub(crate) use attempt::{Outcome, announce, attempt, is_passing, settled};
pub(crate) use evidence::gather;
pub(crate) use preflight::{Preflight, preflight};
pub(crate) use record::apply;
pub(crate) use supervisor::{first_look, supervise};

use crossfade_toggle::{Move, Refusal, Toggle, guard};

use crate::app::App;

/// What the guard says of a move, with nothing done.
pub(crate) async fn dry_run(
    app: &App,
    toggle: &Toggle,
    step: Move,
) -> Result<(), (Refusal, Vec<String>)> {
    let gathered = gather(app, toggle, step).await;
    match guard(step, &gathered.evidence) {
        // Nothing is flipped with this proof.
        Ok(_proof) => Ok(()),
        Err(refusal) => Err((refusal, gathered.details)),
    }
}

/// A refusal with what is behind its conditions, in one text.
pub(crate) fn refusal_text(refusal: &Refusal, details: &[String]) -> String {
    let mut text = refusal.to_string();
    for detail in details {
        text.push_str("; ");
        text.push_str(detail);
    }
    text
}
