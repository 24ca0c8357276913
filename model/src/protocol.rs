//! Phases 2 to 5, with all that writes in them.
//!
//! | here | in the code |
//! | --- | --- |
//! | [`Action::Begin`] | the rewritten statement, sent with a Flush: `proxy/src/session` |
//! | [`Action::Stage`], [`Action::StageFails`], [`Action::Intend`] | `prepare` in `proxy/src/session/commit.rs`; `Secondary::stage` |
//! | [`Action::Commit`] | the primary's COMMIT, then `Prepared::conclude` |
//! | [`Action::Conclude`] | the secondary's COMMIT, behind the session (docs/decision/14), then `Intent::committed` or `dirty` |
//! | [`Action::Vanished`] | a COMMIT whose connection is gone takes effect, or never will |
//! | [`Action::LandsLate`] | the server comes to the end of a connection that was given up: `store/src/mongo/given_up.rs` |
//! | [`Action::Crash`] | kill -9, and a start with the same `state_dir`: `mark_open` in `reconcile/journal/src/replay.rs` |
//! | [`Action::Take`], [`Action::Repair`] | `drain_unit`, `repair_marked`, `repair_key`, `sweep` in `reconcile/src` |
//! | [`Action::Copy`] | a chunk of one row: `reconcile/src/backfill/chunk.rs` |
//! | [`Action::Confirm`], [`Action::SecondaryDies`] | asynchronous commits (docs/decision/02): `src/app/confirm.rs` |
//! | [`Action::PrimaryDies`] | its COMMITs under way are [`Outcome::Lost`] before it |
//! | [`Action::Close`], [`Action::Publish`], [`Action::CallOff`] | `Gate::prepare`, `Ready::publish`, `Drop for Ready` in `toggle/src/gate/flip.rs` |
//! | [`Action::Verify`] | `crossfade verify --repair`, in one step |
//!
//! # Several proxies
//!
//! The model has two: each with its own journal and repairer. A flip is published to both at once, waits for the pins of both and weighs the journals of both. That what
//! several proxies really do, step by step, amounts to that, [`control`](crate::control) shows; what becomes of two that flip alone, a test.

mod actions;
mod bounds;
mod client;
mod copy;
mod faults;
mod flip;
mod mishap;
mod properties;
mod repair;
mod state;

pub use actions::{Action, Outcome};
pub use bounds::{Bounds, Copies, Kind};
pub use faults::Faults;
pub use state::{
    CLIENTS, Cell, Copying, Gate, KEYS, Lock, Mark, Proxy, Repairing, Staged, State, Transaction,
    Vanishing,
};

use stateright::{Model, Property};

/// The protocol within bounds, with or without faults.
#[derive(Debug, Clone, Default)]
pub struct Protocol {
    /// How much there is of everything.
    pub bounds: Bounds,
    /// What is taken out.
    pub faults: Faults,
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.bounds)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        client::actions(self, state, actions);
        repair::actions(self, state, actions);
        copy::actions(self, state, actions);
        mishap::actions(self, state, actions);
        flip::actions(self, state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Begin { client, key, row } => client::begin(self, &mut state, client, key, row),
            Action::Stage(client) => client::stage(self, &mut state, client),
            Action::StageFails(client, lands_late) => {
                client::stage_fails(&mut state, client, lands_late);
            }
            Action::Intend(client) => client::intend(&mut state, client),
            Action::Commit(client, outcome) => client::commit(self, &mut state, client, outcome),
            Action::Conclude(client, outcome) => {
                client::conclude(self, &mut state, client, outcome)
            }
            Action::Vanished(client, commits) => {
                mishap::vanished(self, &mut state, client, commits)
            }
            Action::LandsLate(client, lands) => mishap::lands_late(&mut state, client, lands),
            Action::Crash(proxy) => mishap::crash(self, &mut state, proxy),
            Action::Confirm => mishap::confirm(self, &mut state),
            Action::PrimaryDies => mishap::primary_dies(self, &mut state),
            Action::SecondaryDies => mishap::secondary_dies(self, &mut state),
            Action::Take { proxy, key, sweeps } => repair::take(&mut state, proxy, key, sweeps),
            Action::Repair(proxy) => repair::step(self, &mut state, proxy),
            Action::Copy => copy::step(self, &mut state),
            Action::Close(proxy, to) => flip::close(self, &mut state, proxy, to),
            Action::Publish(proxy, to) => flip::publish(self, &mut state, proxy, to),
            Action::CallOff(proxy) => flip::call_off(self, &mut state, proxy),
            Action::Verify => flip::verify(self, &mut state),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Protocol>> {
        properties::all()
    }
}
