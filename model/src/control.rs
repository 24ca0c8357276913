//! Several proxies that move between two primaries by a record that they share, and that moves along (docs/decision/19).
//!
//! | here | in the code |
//! | --- | --- |
//! | [`Record`], [`Stage`] | `src/control/record.rs` |
//! | [`Action::Say`], [`Action::Read`] | the two halves of `Member::beat` in `src/control/member.rs` |
//! | [`Action::Join`] | `Seat::join`; a proxy that starts asks both stores where the record is: `src/control/place.rs` |
//! | [`Action::Call`], [`Action::Close`], [`Action::Arrive`], [`Action::Leave`] | `together` in `src/control/flip.rs`, `Seat::depart` |
//! | [`Action::CallOff`] | `Member::overdue`: anybody, at any time |
//! | [`Action::Begin`], [`Action::Check`], [`Action::Land`] | a client's transaction; `check_lease` in `proxy/src/session/managed.rs`; the primary's COMMIT |
//! | [`Action::LeaseEnds`] | time: a proxy that is frozen, or cannot reach the store |
//! | [`Action::Mark`], [`Action::Remove`] | the two steps of `src/control/forget.rs` |
//!
//! What a transaction writes, and journals, are [`protocol`](crate::protocol)'s business: there a flip closes all gates, drains them and is published in one step each. That several proxies
//! amount to that is shown here.

mod steps;

use crossfade_phase::Side;
use stateright::{Model, Property};

/// Proxies.
pub const PROXIES: usize = 2;

/// The control of several proxies, within bounds.
#[derive(Debug, Clone, Default)]
pub struct Control {
    /// Flips that are called.
    pub flips: u8,
    /// Transactions of each proxy.
    pub writes: u8,
    /// Crashes of proxies.
    pub crashes: u8,
    /// Proxies that an operator has forgotten.
    pub forgets: u8,
    /// What is taken out.
    pub faults: Faults,
}

/// Cures that can be taken out.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// A proxy counts in as soon as it says something, not by a change of the record.
    pub joins_beside_the_record: bool,
    /// An answer to an earlier flip counts.
    pub any_answer_counts: bool,
    /// A flip is published without a look at whether it was called off.
    pub publishes_blindly: bool,
    /// A proxy whose barrier takes long opens it by itself.
    pub opens_alone: bool,
    /// A proxy that finds the next flip called has not followed the one before.
    pub answers_before_it_follows: bool,
    /// A record counts as soon as it has arrived.
    pub arriving_counts: bool,
    /// A proxy that is out of touch commits all the same.
    pub commits_without_lease: bool,
    /// A forgotten proxy counts no more at once.
    pub forgets_at_once: bool,
    /// A forgotten proxy's COMMIT that is on its way is not waited for.
    pub forgets_in_flight: bool,
}

/// A state of everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The records of the old store and the new.
    pub records: [Option<Record>; 2],
    /// What proxies say, in each store.
    pub rows: [[Row; PROXIES]; 2],
    /// The proxies.
    pub proxies: [Proxy; PROXIES],
    /// The flips that are being made, by their makers, and how far they are.
    pub flipping: [Option<Flipping>; PROXIES],
    flips_left: u8,
    crashes_left: u8,
    forgets_left: u8,
    called_off: bool,
    came_back: bool,
}

/// The record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record {
    /// Grows with every change.
    pub serial: u8,
    /// What is under way.
    pub stage: Stage,
    /// The epoch; the primary is the old store in every second one.
    pub epoch: u8,
    /// Which proxies count.
    pub members: [Option<Member>; PROXIES],
}

/// A proxy that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its run.
    pub life: u8,
    /// An operator says that it will not come back.
    pub marked: bool,
}

/// What is under way. Flips have numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Nothing.
    Open,
    /// A flip is called.
    Calling(u8),
    /// The gates are to be closed.
    Barrier(u8),
    /// The record is on its way here.
    Arriving,
    /// It has gone to the other store.
    Gone,
}

/// What a proxy says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Row {
    /// Which run of it.
    pub life: u8,
    /// The flip that it has heard of.
    pub heard: Option<u8>,
    /// The flip whose barrier is drained there.
    pub drained: Option<u8>,
}

/// A proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// Whether it runs.
    pub alive: bool,
    /// Which run it is.
    pub life: u8,
    /// Where it takes the record to be.
    pub home: Side,
    /// The epoch it has published.
    pub epoch: u8,
    /// Whether its gate is closed.
    pub closed: bool,
    /// Whether its lease holds.
    pub lease: bool,
    /// The flip it has heard of.
    pub heard: Option<u8>,
    /// The flip whose barrier it has drained.
    pub drained: Option<u8>,
    /// Its client's transaction.
    pub open: Option<Transaction>,
    writes_left: u8,
}

/// A client's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// The epoch it is pinned to.
    pub epoch: u8,
    /// Whether its COMMIT is sent off.
    pub sent: bool,
}

/// A flip as its maker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flipping {
    /// Its number.
    pub number: u8,
    /// The serial number of the record that the other store was given.
    pub arrived: Option<u8>,
}

/// What can happen. Proxies are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A client begins a transaction.
    Begin(usize),
    /// It is about to be committed.
    Check(usize),
    /// Its COMMIT takes effect.
    Land(usize),
    /// A proxy says how it is.
    Say(usize),
    /// It reads the record, and does what follows.
    Read(usize),
    /// It has not said anything for too long.
    LeaseEnds(usize),
    /// It opens its barrier by itself.
    OpenAlone(usize),
    /// It is killed.
    Crash(usize),
    /// It starts again.
    Start(usize),
    /// It counts itself in.
    Join(usize),
    /// It calls a flip.
    Call(usize),
    /// All have heard: it closes the gates.
    Close(usize),
    /// All are drained: it gives the other store the record.
    Arrive(usize),
    /// It lets this one say that the record has gone.
    Leave(usize),
    /// Some proxy calls the flip off.
    CallOff,
    /// An operator says that a proxy will not come back.
    Mark(usize),
    /// Its lease is over, and nothing of it is on its way.
    Remove(usize),
}

/// The store that is the primary in an epoch.
pub fn primary(epoch: u8) -> Side {
    if epoch.is_multiple_of(2) {
        Side::Old
    } else {
        Side::New
    }
}

fn index(side: Side) -> usize {
    match side {
        Side::Old => 0,
        Side::New => 1,
    }
}

impl Record {
    fn is_live(&self) -> bool {
        !matches!(self.stage, Stage::Arriving | Stage::Gone)
    }
}

impl State {
    /// Where the record is, by what both stores say: `decide` in `src/control/place.rs`.
    pub fn place(&self, faults: &Faults) -> Option<Side> {
        let there = |side: Side| self.records[index(side)];
        let sides = [Side::Old, Side::New];
        if faults.arriving_counts
            && let Some(side) = sides
                .into_iter()
                .find(|side| there(*side).is_some_and(|record| record.stage == Stage::Arriving))
        {
            return Some(side);
        }
        let live = sides
            .into_iter()
            .find(|side| there(*side).is_some_and(|record| record.is_live()));
        live.or_else(|| sides.into_iter().find(|side| self.has_arrived(*side)))
    }

    /// Whether the other store says that the record, which has arrived here, has gone.
    fn has_arrived(&self, side: Side) -> bool {
        let (here, there) = (self.records[index(side)], self.records[index(side.other())]);
        let arriving = here.filter(|record| record.stage == Stage::Arriving);
        let gone = there.filter(|record| record.stage == Stage::Gone);
        matches!((arriving, gone), (Some(arriving), Some(gone)) if arriving.epoch == gone.epoch)
    }

    fn record(&self, faults: &Faults) -> Option<Record> {
        self.place(faults)
            .and_then(|side| self.records[index(side)])
    }
}

impl Model for Control {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let member = Some(Member {
            life: 0,
            marked: false,
        });
        let record = Record {
            serial: 1,
            stage: Stage::Open,
            epoch: 0,
            members: [member; PROXIES],
        };
        let proxy = Proxy {
            alive: true,
            life: 0,
            home: Side::Old,
            epoch: 0,
            closed: false,
            lease: true,
            heard: None,
            drained: None,
            open: None,
            writes_left: self.writes,
        };
        vec![State {
            records: [Some(record), None],
            rows: [[Row::default(); PROXIES]; 2],
            proxies: [proxy; PROXIES],
            flipping: [None; PROXIES],
            flips_left: self.flips,
            crashes_left: self.crashes,
            forgets_left: self.forgets,
            called_off: false,
            came_back: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        steps::actions(self, state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        steps::take(self, &mut state, action);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Control>> {
        vec![
            Property::always(
                "two primaries are never written at the same time",
                |model: &Control, state: &State| {
                    let may_commit = |proxy: &Proxy| {
                        let open = proxy.open.filter(|open| {
                            open.sent
                                || proxy.alive
                                    && (proxy.lease || model.faults.commits_without_lease)
                        });
                        open.map(|open| primary(open.epoch))
                    };
                    let mut primaries = state.proxies.iter().filter_map(may_commit);
                    let first = primaries.next();
                    primaries.all(|primary| Some(primary) == first)
                },
            ),
            Property::always(
                "the record is in one place",
                |model: &Control, state: &State| {
                    let live = state
                        .records
                        .iter()
                        .flatten()
                        .filter(|record| record.is_live())
                        .count();
                    live <= 1 && state.place(&model.faults).is_some()
                },
            ),
            Property::always(
                "no proxy is ahead of the record",
                |model: &Control, state: &State| {
                    let record = state.record(&model.faults);
                    record.is_some_and(|record| {
                        state
                            .proxies
                            .iter()
                            .all(|proxy| proxy.epoch <= record.epoch)
                    })
                },
            ),
            Property::sometimes(
                "all proxies are in the last epoch",
                |model: &Control, state: &State| {
                    let there =
                        |proxy: &Proxy| proxy.epoch == model.flips && !proxy.closed && proxy.lease;
                    state.crashes_left == 0 && state.proxies.iter().all(there)
                },
            ),
            Property::sometimes(
                "a flip is called off, and the next one comes about",
                |model: &Control, state: &State| {
                    let next = state.proxies.iter().all(|proxy| proxy.epoch > 0);
                    model.flips < 2 || state.called_off && next
                },
            ),
            Property::sometimes(
                "a forgotten proxy comes back",
                |model: &Control, state: &State| model.forgets == 0 || state.came_back,
            ),
        ]
    }
}
