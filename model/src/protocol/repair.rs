//! Repair of dirty keys.

use crossfade_phase::Side;

use super::{
    Action, Lock, Mark, Protocol, Repairing, State,
    mishap::flush,
    state::{CLIENTS, Repair},
};
use crate::NONE;

pub(super) fn actions(model: &Protocol, state: &State, actions: &mut Vec<Action>) {
    for proxy in 0..usize::from(model.bounds.proxies) {
        match state.proxies[proxy].repairing {
            Repairing::Idle => takes(model, state, proxy, actions),
            Repairing::Key(key, _, primary, at) => {
                if can_go_on(model, state, key, primary, at) {
                    actions.push(Action::Repair(proxy));
                }
            }
        }
    }
}

fn takes(model: &Protocol, state: &State, proxy: usize, actions: &mut Vec<Action>) {
    let gate = &state.proxies[proxy].gate;
    if gate.closed_for.is_some() || gate.phase.secondary().is_none() {
        return;
    }
    if !super::flip::is_effective(model, state, proxy) {
        return;
    }
    for key in 0..usize::from(model.bounds.keys) {
        let Mark::Dirty { unanswered, .. } = state.proxies[proxy].marks[key] else {
            continue;
        };
        // Until every transaction has ended that was open at the mark.
        let settled = !unanswered || !may_be_open(model, state, proxy, key, gate.phase.primary());
        // Until what was given up has arrived, or never will.
        let late = state.late.iter().any(Option::is_some);
        if late && !model.faults.repairs_before_the_late {
            continue;
        }
        if settled || model.faults.does_not_settle {
            let sweeps = false;
            actions.push(Action::Take { proxy, key, sweeps });
            if model.bounds.sweeps {
                let sweeps = true;
                actions.push(Action::Take { proxy, key, sweeps });
            }
        }
    }
}

fn may_be_open(model: &Protocol, state: &State, proxy: usize, key: usize, primary: Side) -> bool {
    (0..CLIENTS)
        .filter(|&client| model.proxy_of(client) == proxy)
        .filter_map(|client| state.vanishing[client])
        .any(|gone| gone.key == key && gone.side == primary)
}

/// Whether nobody holds the lock that the next step needs.
fn can_go_on(model: &Protocol, state: &State, key: usize, primary: Side, at: Repair) -> bool {
    let (row, copy) = (state.cell(primary, key), state.cell(primary.other(), key));
    let can_write = copy.lock == Lock::Free || model.writes_at_once();
    match at {
        Repair::Taken => {
            // What is not there cannot be locked.
            row.row == NONE || row.lock == Lock::Free || model.faults.repairs_without_lock
        }
        Repair::Locked(_) | Repair::Absent | Repair::SweepRead(_) => can_write,
        Repair::Deleted
        | Repair::Looking
        | Repair::Sweep
        | Repair::SweepWritten(_)
        | Repair::SweepLooking(_)
        | Repair::Alike => true,
    }
}

pub(super) fn take(state: &mut State, proxy: usize, key: usize, sweeps: bool) {
    let gate = state.proxies[proxy].gate;
    if let Mark::Dirty { again, .. } = &mut state.proxies[proxy].marks[key] {
        *again = false;
    }
    let at = if sweeps { Repair::Sweep } else { Repair::Taken };
    let primary = gate.phase.primary();
    state.proxies[proxy].repairing = Repairing::Key(key, gate.epoch, primary, at);
}

pub(super) fn step(model: &Protocol, state: &mut State, proxy: usize) {
    let Repairing::Key(key, epoch, primary, at) = state.proxies[proxy].repairing else {
        return;
    };
    let copy = primary.other();
    let next = match at {
        Repair::Taken => look(model, state, proxy, key, primary),
        Repair::Locked(row) => {
            write(model, state, copy, key, row);
            release(model, state, proxy, key, primary)
        }
        Repair::Absent => {
            write(model, state, copy, key, NONE);
            if model.faults.deletes_without_second_look {
                Repair::Alike
            } else {
                Repair::Deleted
            }
        }
        // Asked before the second look: who has begun since has staged behind the delete.
        Repair::Deleted if is_under_way(model, state, key) => Repair::Taken,
        Repair::Deleted => Repair::Looking,
        Repair::Looking if is_back(state, key) => Repair::Taken,
        Repair::Looking => Repair::Alike,
        Repair::Sweep => Repair::SweepRead(state.cell(primary, key).row),
        Repair::SweepRead(row) => {
            write(model, state, copy, key, row);
            Repair::SweepWritten(row)
        }
        Repair::SweepWritten(_) if is_under_way(model, state, key) => Repair::Taken,
        Repair::SweepWritten(row) => Repair::SweepLooking(row),
        Repair::SweepLooking(row) if state.cell(primary, key).row != row => Repair::Taken,
        Repair::SweepLooking(_) => Repair::Alike,
        Repair::Alike => return clean(model, state, proxy, key),
    };
    state.proxies[proxy].repairing = Repairing::Key(key, epoch, primary, next);
}

/// A lock that cannot be given back was lost, and a write may have come between.
fn release(model: &Protocol, state: &mut State, proxy: usize, key: usize, primary: Side) -> Repair {
    let lock = Lock::Repair(proxy);
    let held = state.cell(primary, key).lock == lock;
    state.unlock(primary, key, lock);
    if held || model.faults.repairs_without_lock || model.faults.repairs_with_lost_lock {
        Repair::Alike
    } else {
        Repair::Taken
    }
}

fn is_back(state: &State, key: usize) -> bool {
    let is_there = |side| state.cell(side, key).row != NONE;
    is_there(Side::Old) || is_there(Side::New)
}

fn look(model: &Protocol, state: &mut State, proxy: usize, key: usize, primary: Side) -> Repair {
    let cell = state.cell_mut(primary, key);
    if cell.row == NONE {
        return Repair::Absent;
    }
    if !model.faults.repairs_without_lock {
        cell.lock = Lock::Repair(proxy);
    }
    Repair::Locked(cell.row)
}

/// A transaction of its own, whose commit waits for the disk if it wrote something.
fn write(model: &Protocol, state: &mut State, side: Side, key: usize, row: crate::Row) {
    let cell = state.cell_mut(side, key);
    let writes = cell.row != row;
    cell.row = row;
    if writes || !model.faults.trusts_unflushed_rows {
        cell.flushed = row;
        flush(model, state);
    }
}

/// Whether a transaction may have written the secondary that the primary has not committed yet: only where it writes at once.
pub(super) fn is_under_way(model: &Protocol, state: &State, key: usize) -> bool {
    model.writes_at_once() && !model.faults.ignores_open_intents && state.is_intended(key)
}

/// The key is alike, as of the mark it was taken with.
fn clean(model: &Protocol, state: &mut State, proxy: usize, key: usize) {
    state.has_repaired = true;
    state.proxies[proxy].repairing = Repairing::Idle;
    let mark = &mut state.proxies[proxy].marks[key];
    if let Mark::Dirty { again, .. } = mark
        && (!*again || model.faults.cleans_later_marks)
    {
        *mark = Mark::Clean;
    }
}
