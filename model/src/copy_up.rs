//! Phases 6 and 7: the old store is read-only, and one of its rows comes over.
//!
//! | here | in the code |
//! | --- | --- |
//! | [`Rule::Refuse`] | `on_new` in `proxy/src/route/decide.rs`: what is written has to be complete (docs/decision/11) |
//! | [`Rule::CopyUp`] | DESIGN 3: copied up before a write, a tombstone for a delete. Not in the code yet |
//! | [`Action::Read`], [`Action::Insert`] | `copy`, `into_primary` in `reconcile/src/backfill/chunk.rs`; `Store::copy_up` |
//! | [`Action::Verify`] | `crossfade verify`: with no difference left the table is complete |
//! | [`State::seen`] | a lookup by key: the new store's row, else the old's unless the table is complete |

use stateright::{Model, Property};

use crate::{FIRST, NONE, Row};

/// Jobs at the most.
const JOBS: usize = 2;

/// One row, its writers, and the jobs that copy it.
#[derive(Debug, Clone)]
pub struct CopyUp {
    /// What is written before the table is complete.
    pub rule: Rule,
    /// Transactions of the client.
    pub writes: u8,
    /// Crashes of the proxy.
    pub crashes: u8,
    /// What is taken out.
    pub faults: Faults,
}

/// How a table that is not complete is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Not at all.
    Refuse,
    /// With copy-up and tombstones.
    CopyUp,
}

/// Cures that can be taken out.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Trap 18: a delete leaves no tombstone.
    pub no_tombstone: bool,
    /// Trap 27: the backfill does not ask for tombstones.
    pub ignores_tombstones: bool,
    /// Trap 27: it asks, and takes the key's lock afterwards.
    pub looks_before_it_locks: bool,
    /// Trap 18: a second job may be under way over the same table.
    pub several_jobs: bool,
}

/// A state of everything. The old store has [`FIRST`] throughout.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    new: Row,
    tombstone: bool,
    complete: bool,
    /// What the client's open transaction will leave. It holds the key's lock.
    open: Option<Row>,
    jobs: [Job; JOBS],
    /// What the client knows to be there.
    truth: Row,
    writes_left: u8,
    crashes_left: u8,
}

/// How far a backfill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Job {
    Idle,
    /// It has the old row.
    Read,
    /// And knows whether there is a tombstone.
    Looked(bool),
    Done,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The client writes the row, or deletes it.
    Begin(Row),
    /// It commits.
    Commit,
    /// A backfill begins, and reads the row.
    Read(usize),
    /// It looks for a tombstone, too early.
    Look(usize),
    /// It inserts the row where there is none.
    Insert(usize),
    /// A verify finds nothing missing.
    Verify,
    /// The proxy is killed, and starts again.
    Crash,
}

impl State {
    /// What a lookup by key answers.
    pub fn seen(&self) -> Row {
        match self.new {
            NONE if self.tombstone || self.complete => NONE,
            NONE => FIRST,
            row => row,
        }
    }

    fn is_running(&self) -> bool {
        let running = |job: &Job| matches!(job, Job::Read | Job::Looked(_));
        self.jobs.iter().any(running)
    }
}

impl CopyUp {
    fn job_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let alone = !state.is_running() || self.faults.several_jobs;
        for (at, job) in state.jobs.iter().enumerate() {
            match job {
                // A complete table is left alone.
                Job::Idle if alone && !state.complete => actions.push(Action::Read(at)),
                Job::Read if self.faults.looks_before_it_locks => actions.push(Action::Look(at)),
                Job::Read | Job::Looked(_) if state.open.is_none() => {
                    actions.push(Action::Insert(at));
                }
                Job::Idle | Job::Read | Job::Looked(_) | Job::Done => {}
            }
        }
        let nothing_missing = state.new != NONE || state.tombstone;
        if !state.complete && nothing_missing && alone {
            actions.push(Action::Verify);
        }
    }

    fn commit(&self, state: &mut State) {
        let Some(row) = state.open.take() else {
            return;
        };
        (state.new, state.truth) = (row, row);
        let leaves = self.rule == Rule::CopyUp && !self.faults.no_tombstone;
        state.tombstone = leaves && (row == NONE);
    }

    fn insert(&self, state: &mut State, at: usize) {
        let hidden = match state.jobs[at] {
            Job::Looked(tombstone) => tombstone,
            Job::Idle | Job::Read | Job::Done => state.tombstone && !self.faults.ignores_tombstones,
        };
        if state.new == NONE && !hidden {
            state.new = FIRST;
        }
        state.jobs[at] = Job::Done;
    }
}

impl Model for CopyUp {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            new: NONE,
            tombstone: false,
            complete: false,
            open: None,
            jobs: [Job::Idle; JOBS],
            truth: FIRST,
            writes_left: self.writes,
            crashes_left: self.crashes,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let may_write = self.rule == Rule::CopyUp || state.complete;
        if state.open.is_some() {
            actions.push(Action::Commit);
        } else if may_write && state.writes_left > 0 {
            actions.push(Action::Begin(FIRST + state.writes_left));
            if state.truth != NONE {
                actions.push(Action::Begin(NONE));
            }
        }
        self.job_actions(state, actions);
        if state.crashes_left > 0 {
            actions.push(Action::Crash);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Begin(row) => {
                state.writes_left -= 1;
                state.open = Some(row);
            }
            Action::Commit => self.commit(&mut state),
            Action::Read(at) => state.jobs[at] = Job::Read,
            Action::Look(at) => state.jobs[at] = Job::Looked(state.tombstone),
            Action::Insert(at) => self.insert(&mut state, at),
            Action::Verify => state.complete = true,
            Action::Crash => {
                state.crashes_left -= 1;
                state.open = None;
                state.jobs = [Job::Idle; JOBS];
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<CopyUp>> {
        vec![
            Property::always("a lookup sees what was written last", |_, state: &State| {
                state.seen() == state.truth
            }),
            Property::sometimes(
                "a deleted row stays deleted to the end",
                |_, state: &State| {
                    let over = state.complete && !state.is_running() && state.open.is_none();
                    over && state.truth == NONE && state.jobs.contains(&Job::Done)
                },
            ),
        ]
    }
}
