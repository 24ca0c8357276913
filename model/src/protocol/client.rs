//! The commit sandwich, as a session sees it.

use super::{
    Action, Kind, Lock, Outcome, Protocol, Staged, State, Transaction, Vanishing,
    state::{CLIENTS, Cell},
};
use crate::{FIRST, NONE, Row};

impl Protocol {
    /// The proxy that a client is connected to.
    pub(super) fn proxy_of(&self, client: usize) -> usize {
        client % usize::from(self.bounds.proxies)
    }

    pub(super) fn writes_at_once(&self) -> bool {
        self.bounds.secondary == Kind::WritesAtOnce
    }

    /// A row that no other write leaves.
    fn row_of(&self, state: &State, client: usize) -> Row {
        let number = u8::try_from(client).unwrap_or(0) * self.bounds.writes;
        FIRST + number + state.writes_left[client]
    }
}

pub(super) fn actions(model: &Protocol, state: &State, actions: &mut Vec<Action>) {
    for client in 0..CLIENTS {
        match &state.open[client] {
            None => begins(model, state, client, actions),
            Some(transaction) => goes_on(model, state, client, transaction, actions),
        }
    }
}

fn begins(model: &Protocol, state: &State, client: usize, actions: &mut Vec<Action>) {
    let gate = &state.proxies[model.proxy_of(client)].gate;
    if state.writes_left[client] == 0 || gate.closed_for.is_some() {
        return;
    }
    let primary = gate.phase.primary();
    for key in 0..usize::from(model.bounds.keys) {
        let cell = state.cell(primary, key);
        if cell.lock != Lock::Free {
            continue;
        }
        let row = model.row_of(state, client);
        actions.push(Action::Begin { client, key, row });
        // One that matches nothing leaves no image.
        if cell.row != NONE {
            let row = NONE;
            actions.push(Action::Begin { client, key, row });
        }
    }
}

fn goes_on(
    model: &Protocol,
    state: &State,
    client: usize,
    transaction: &Transaction,
    actions: &mut Vec<Action>,
) {
    let may_fail = state.mishaps_left > 0;
    let Some(secondary) = transaction.phase.secondary() else {
        return commits(state, client, actions);
    };
    let in_time = transaction.committed == model.faults.row_lock_is_gone;
    // What such a secondary is given it keeps: the intent comes first.
    let in_turn = !model.writes_at_once() || transaction.intent;
    if transaction.staged == Staged::NotYet && in_time && in_turn {
        if can_stage(model, state.cell(secondary, transaction.key), transaction) {
            actions.push(Action::Stage(client));
        }
        if may_fail {
            actions.push(Action::StageFails(client, false));
            if model.writes_at_once() && state.late[client].is_none() {
                actions.push(Action::StageFails(client, true));
            }
        }
    }
    let declared = transaction.intent || model.faults.no_intent;
    if !declared {
        actions.push(Action::Intend(client));
    }
    let staged = transaction.staged != Staged::NotYet;
    if declared && !transaction.committed && (staged || model.faults.row_lock_is_gone) {
        commits(state, client, actions);
    }
    if transaction.committed && staged {
        actions.push(Action::Conclude(client, Outcome::Done));
        if may_fail {
            actions.push(Action::Conclude(client, Outcome::Failed));
            if state.vanishing[client].is_none() && !model.writes_at_once() {
                actions.push(Action::Conclude(client, Outcome::Lost));
            }
        }
    }
}

fn commits(state: &State, client: usize, actions: &mut Vec<Action>) {
    actions.push(Action::Commit(client, Outcome::Done));
    if state.mishaps_left > 0 {
        actions.push(Action::Commit(client, Outcome::Failed));
        if state.vanishing[client].is_none() {
            actions.push(Action::Commit(client, Outcome::Lost));
        }
    }
}

fn can_stage(model: &Protocol, cell: &Cell, transaction: &Transaction) -> bool {
    let blind = model.faults.no_key_locks && is_blind(cell, transaction);
    model.writes_at_once() || cell.lock == Lock::Free || blind
}

/// A delete that sees no row: there is no row to lock, only the key.
fn is_blind(cell: &Cell, transaction: &Transaction) -> bool {
    transaction.row == NONE && cell.row == NONE
}

pub(super) fn begin(model: &Protocol, state: &mut State, client: usize, key: usize, row: Row) {
    let gate = state.proxies[model.proxy_of(client)].gate;
    state.cell_mut(gate.phase.primary(), key).lock = Lock::Client(client);
    state.writes_left[client] -= 1;
    state.open[client] = Some(Transaction {
        epoch: gate.epoch,
        phase: gate.phase,
        key,
        row,
        staged: Staged::NotYet,
        intent: false,
        committed: false,
    });
}

pub(super) fn stage(model: &Protocol, state: &mut State, client: usize) {
    let Some(mut transaction) = state.open[client] else {
        return;
    };
    let Some(secondary) = transaction.phase.secondary() else {
        return;
    };
    let at_once = model.writes_at_once();
    let cell = state.cell_mut(secondary, transaction.key);
    let blind = is_blind(cell, &transaction);
    if at_once {
        (cell.row, cell.flushed) = (transaction.row, transaction.row);
    } else if !(blind && model.faults.no_key_locks) {
        cell.lock = Lock::Client(client);
    }
    transaction.staged = if at_once || blind {
        Staged::Blind
    } else {
        Staged::Held
    };
    state.open[client] = Some(transaction);
}

pub(super) fn stage_fails(state: &mut State, client: usize, lands_late: bool) {
    state.mishaps_left -= 1;
    if let Some(transaction) = &mut state.open[client] {
        transaction.staged = Staged::Failed;
        if lands_late {
            state.late[client] = Some((transaction.key, transaction.row));
        }
    }
}

pub(super) fn intend(state: &mut State, client: usize) {
    if let Some(transaction) = &mut state.open[client] {
        transaction.intent = true;
    }
}

pub(super) fn commit(model: &Protocol, state: &mut State, client: usize, outcome: Outcome) {
    let Some(transaction) = state.open[client] else {
        return;
    };
    let (primary, key) = (transaction.phase.primary(), transaction.key);
    let proxy = model.proxy_of(client);
    let is_dual = transaction.phase.secondary().is_some();
    match outcome {
        Outcome::Done => {
            let cell = state.cell_mut(primary, key);
            (cell.row, cell.flushed) = (transaction.row, transaction.row);
            state.unlock(primary, key, Lock::Client(client));
            state.truth[key] = transaction.row;
            match transaction.staged {
                Staged::Failed => {
                    state.mark(proxy, key, false);
                    state.open[client] = None;
                }
                Staged::NotYet if !is_dual => state.open[client] = None,
                Staged::NotYet | Staged::Held | Staged::Blind => {
                    state.open[client] = Some(Transaction {
                        committed: true,
                        ..transaction
                    });
                }
            }
        }
        Outcome::Failed => {
            state.mishaps_left -= 1;
            state.unlock(primary, key, Lock::Client(client));
            unstage(state, client, &transaction);
            if is_dual && model.writes_at_once() {
                state.mark(proxy, key, false);
            }
            state.open[client] = None;
        }
        Outcome::Lost => {
            state.mishaps_left -= 1;
            vanish(state, client, primary, &transaction);
            unstage(state, client, &transaction);
            if is_dual {
                state.mark(proxy, key, true);
            }
            state.open[client] = None;
        }
    }
}

pub(super) fn conclude(model: &Protocol, state: &mut State, client: usize, outcome: Outcome) {
    let Some(transaction) = state.open[client] else {
        return;
    };
    let Some(secondary) = transaction.phase.secondary() else {
        return;
    };
    let (proxy, key) = (model.proxy_of(client), transaction.key);
    let asynchronous = model.bounds.secondary == Kind::Asynchronous;
    match (outcome, transaction.staged) {
        (Outcome::Done, Staged::Held) => {
            let cell = state.cell_mut(secondary, key);
            cell.row = transaction.row;
            if asynchronous {
                state.proxies[proxy].unconfirmed[key] = true;
            } else {
                cell.flushed = transaction.row;
            }
        }
        (Outcome::Done, Staged::Blind) => {}
        (Outcome::Done, Staged::NotYet | Staged::Failed) => state.mark(proxy, key, false),
        (Outcome::Failed, _) => {
            state.mishaps_left -= 1;
            state.mark(proxy, key, false);
        }
        (Outcome::Lost, staged) => {
            state.mishaps_left -= 1;
            if staged == Staged::Held {
                vanish(state, client, secondary, &transaction);
            }
            state.mark(proxy, key, false);
        }
    }
    unstage(state, client, &transaction);
    state.open[client] = None;
}

/// The secondary's lock goes, and what was staged under it.
pub(super) fn unstage(state: &mut State, client: usize, transaction: &Transaction) {
    if let Some(secondary) = transaction.phase.secondary() {
        state.unlock(secondary, transaction.key, Lock::Client(client));
    }
}

/// The connection is gone, with a COMMIT under way.
fn vanish(
    state: &mut State,
    client: usize,
    side: crossfade_phase::Side,
    transaction: &Transaction,
) {
    state.cell_mut(side, transaction.key).lock = Lock::Vanishing(client);
    state.vanishing[client] = Some(Vanishing {
        side,
        key: transaction.key,
        row: transaction.row,
        epoch: transaction.epoch,
    });
}
