//! Crashes, and what connections leave behind.

use crossfade_phase::Side;

use super::state::{CLIENTS, KEYS};
use super::{Action, Copying, Kind, Lock, Mark, Protocol, Repairing, State, client::unstage};

pub(super) fn actions(model: &Protocol, state: &State, actions: &mut Vec<Action>) {
    for client in 0..CLIENTS {
        if state.vanishing[client].is_some() {
            actions.push(Action::Vanished(client, true));
            actions.push(Action::Vanished(client, false));
        }
        if state.late[client].is_some() {
            actions.push(Action::LandsLate(client, true));
            actions.push(Action::LandsLate(client, false));
        }
    }
    let asynchronous = model.bounds.secondary == Kind::Asynchronous;
    if asynchronous && has_unflushed(state) {
        actions.push(Action::Confirm);
    }
    if state.mishaps_left > 0 {
        actions.extend((0..usize::from(model.bounds.proxies)).map(Action::Crash));
        actions.push(Action::PrimaryDies);
        let new_follows = state.proxies[0].gate.phase.primary() == Side::Old;
        if asynchronous && new_follows && has_unflushed(state) {
            actions.push(Action::SecondaryDies);
        }
    }
}

fn has_unflushed(state: &State) -> bool {
    let unflushed = state
        .stores
        .iter()
        .flatten()
        .any(|cell| cell.row != cell.flushed);
    unflushed
        || state
            .proxies
            .iter()
            .any(|proxy| proxy.unconfirmed.contains(&true))
}

pub(super) fn vanished(model: &Protocol, state: &mut State, client: usize, commits: bool) {
    let Some(gone) = state.vanishing[client].take() else {
        return;
    };
    state.unlock(gone.side, gone.key, Lock::Vanishing(client));
    if !commits {
        return;
    }
    let cell = state.cell_mut(gone.side, gone.key);
    cell.row = gone.row;
    if model.bounds.secondary != Kind::Asynchronous || gone.side == Side::Old {
        cell.flushed = gone.row;
    }
    if gone.side == state.proxies[0].gate.phase.primary() {
        state.truth[gone.key] = gone.row;
    }
}

pub(super) fn lands_late(state: &mut State, client: usize, lands: bool) {
    let late = state.late[client].take();
    if let Some((key, row)) = late.filter(|_| lands) {
        let cell = state.cell_mut(Side::New, key);
        (cell.row, cell.flushed) = (row, row);
    }
}

/// Both stores roll back what was open; on the start, open intents become dirty keys.
pub(super) fn crash(model: &Protocol, state: &mut State, proxy: usize) {
    state.mishaps_left -= 1;
    for client in (0..CLIENTS).filter(|&client| model.proxy_of(client) == proxy) {
        let Some(transaction) = state.open[client].take() else {
            continue;
        };
        state.unlock(
            transaction.phase.primary(),
            transaction.key,
            Lock::Client(client),
        );
        unstage(state, client, &transaction);
        if transaction.intent {
            state.mark(proxy, transaction.key, true);
        }
    }
    for key in 0..KEYS {
        for side in [Side::Old, Side::New] {
            state.unlock(side, key, Lock::Repair(proxy));
        }
        if std::mem::take(&mut state.proxies[proxy].unconfirmed[key]) {
            state.mark(proxy, key, true);
        }
        if let Mark::Dirty { again, .. } = &mut state.proxies[proxy].marks[key] {
            *again = false;
        }
    }
    state.proxies[proxy].repairing = Repairing::Idle;
    for proxy in &mut state.proxies {
        // Whichever proxy led the flip.
        proxy.gate.closed_for = None;
    }
    if proxy == 0 {
        state.copying = resumed(state.copying);
    }
}

/// How far the backfill had got is durable before it writes.
fn resumed(copying: Copying) -> Copying {
    match copying {
        Copying::At { key, suspect } => Copying::At { key, suspect },
        Copying::Read(key, _, suspect) => Copying::At { key, suspect },
        Copying::Inserted(key, _, _) | Copying::Suspect(key) => Copying::At { key, suspect: true },
        Copying::Done => Copying::Done,
    }
}

pub(super) fn confirm(model: &Protocol, state: &mut State) {
    flush(model, state);
    for proxy in &mut state.proxies {
        proxy.unconfirmed = [false; KEYS];
    }
}

/// A log is flushed up to a point, and so all of what was before.
pub(super) fn flush(model: &Protocol, state: &mut State) {
    if model.bounds.secondary == Kind::Asynchronous {
        for cell in state.stores.iter_mut().flatten() {
            cell.flushed = cell.row;
        }
    }
}

/// Sessions hear of it, and their batches in the secondary are rolled back, too.
pub(super) fn primary_dies(model: &Protocol, state: &mut State) {
    state.mishaps_left -= 1;
    let primary = state.proxies[0].gate.phase.primary();
    for client in 0..CLIENTS {
        if state.vanishing[client].is_some_and(|gone| gone.side == primary) {
            state.vanishing[client] = None;
        }
        let Some(open) = state.open[client].filter(|open| !open.committed) else {
            continue;
        };
        unstage(state, client, &open);
        if model.writes_at_once() && open.phase.secondary().is_some() {
            state.mark(model.proxy_of(client), open.key, false);
        }
        state.open[client] = None;
    }
    for key in 0..KEYS {
        state.cell_mut(primary, key).lock = Lock::Free;
    }
}

/// Staged batches are lost, too; their sessions find that out at their next step.
pub(super) fn secondary_dies(model: &Protocol, state: &mut State) {
    state.mishaps_left -= 1;
    for key in 0..KEYS {
        let cell = state.cell_mut(Side::New, key);
        (cell.row, cell.lock) = (cell.flushed, Lock::Free);
    }
    for client in 0..CLIENTS {
        if let Some(transaction) = &mut state.open[client]
            && transaction.staged == super::Staged::Held
        {
            transaction.staged = super::Staged::Failed;
        }
        if state.vanishing[client].is_some_and(|gone| gone.side == Side::New) {
            state.vanishing[client] = None;
        }
    }
    for proxy in 0..usize::from(model.bounds.proxies) {
        for key in 0..KEYS {
            if std::mem::take(&mut state.proxies[proxy].unconfirmed[key]) {
                state.mark(proxy, key, false);
            }
        }
    }
}
