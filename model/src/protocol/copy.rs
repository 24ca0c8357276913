//! The backfill, from old to new, a row a chunk.

use crossfade_phase::Side;

use super::{Action, Copying, Lock, Protocol, State, repair::is_under_way};
use crate::NONE;

pub(super) fn actions(model: &Protocol, state: &State, actions: &mut Vec<Action>) {
    let goes_on = match state.copying {
        Copying::Done => false,
        Copying::Inserted(..) => true,
        Copying::At { .. } | Copying::Suspect(_) => is_meant(state),
        Copying::Read(key, ..) => {
            let open = state.proxies[0].gate.closed_for.is_none();
            let pins = !model.faults.jobs_outlive_their_epoch;
            (open || !pins) && can_insert(model, state, key)
        }
    };
    if goes_on {
        actions.push(Action::Copy);
    }
}

/// Another's insert of the same key is waited for in any case, a delete of what is not there only by the lock on the key.
fn can_insert(model: &Protocol, state: &State, key: usize) -> bool {
    let cell = state.cell(Side::New, key);
    let deletes = |client: usize| state.open[client].is_some_and(|open| open.row == NONE);
    let unseen = match cell.lock {
        Lock::Client(client) => {
            model.faults.copies_without_key_lock && cell.row == NONE && deletes(client)
        }
        Lock::Vanishing(_) | Lock::Repair(_) => false,
        Lock::Free => true,
    };
    unseen || model.writes_at_once()
}

pub(super) fn step(model: &Protocol, state: &mut State) {
    let copying = state.copying;
    state.copying = match copying {
        Copying::At { key, suspect } => {
            state.copying_in = state.proxies[0].gate.epoch;
            match state.cell(Side::Old, key).row {
                NONE => ended(model, key, suspect),
                row => Copying::Read(key, row, suspect),
            }
        }
        // The job ends. What may be left of an earlier one is still known.
        Copying::Read(key, _, suspect) if !may_go_on(model, state) => Copying::At { key, suspect },
        Copying::Read(key, row, suspect) => {
            let cell = state.cell_mut(Side::New, key);
            if cell.row == NONE {
                (cell.row, cell.flushed) = (row, row);
            }
            if model.faults.no_look_again {
                ended(model, key, suspect)
            } else {
                Copying::Inserted(key, row, suspect)
            }
        }
        Copying::Inserted(key, row, suspect) => {
            if is_under_way(model, state, key) || state.cell(Side::Old, key).row != row {
                state.mark(0, key, false);
            }
            ended(model, key, suspect)
        }
        Copying::Suspect(key) => {
            let gone = state.cell(Side::Old, key).row == NONE;
            if (gone && state.cell(Side::New, key).row != NONE) || is_under_way(model, state, key) {
                state.mark(0, key, false);
            }
            next(model, key)
        }
        Copying::Done => Copying::Done,
    };
}

/// Whether rows go this way in this phase: `Direction::role`.
fn is_meant(state: &State) -> bool {
    let gate = state.proxies[0].gate;
    let open = gate.closed_for.is_none();
    open && gate.phase.secondary() == Some(Side::New)
}

/// A pin on the job's epoch, or the next one if it stands that: `Job::pin`.
fn may_go_on(model: &Protocol, state: &mut State) -> bool {
    let gate = state.proxies[0].gate;
    let stands = gate.phase.secondary() == Some(Side::New);
    let next = gate.epoch == state.copying_in + 1 && stands;
    if next {
        state.copying_in = gate.epoch;
    }
    next || gate.epoch == state.copying_in || model.faults.jobs_outlive_their_epoch
}

fn ended(model: &Protocol, key: usize, suspect: bool) -> Copying {
    if suspect && !model.faults.no_sweep_after_crash {
        Copying::Suspect(key)
    } else {
        next(model, key)
    }
}

fn next(model: &Protocol, key: usize) -> Copying {
    if key + 1 < usize::from(model.bounds.keys) {
        Copying::At {
            key: key + 1,
            suspect: false,
        }
    } else {
        Copying::Done
    }
}
