//! Random histories against a model that keeps everything in two maps.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{
    intended, key, open_small,
    primary::{in_primary, is_in_primary},
};
use crossfade_journal::{DirtyKey, Horizon, Intent, Journal, Reason};
use crossfade_phase::Side;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Intend(Vec<u32>, Side),
    Done(usize),
    Dirty(usize),
    Drop(usize),
    Committed(usize),
    TakeHorizon(Side),
    Confirm,
    Crashed(Side),
    Mark(Vec<u32>, Side),
    Take(usize),
    Clean(usize),
    Churn(u16),
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let keys = || prop::collection::vec(0..12_u32, 1..4);
    let side = || prop_oneof![Just(Side::Old), Just(Side::New)];
    prop_oneof![
        6 => (keys(), side()).prop_map(|(keys, side)| Op::Intend(keys, side)),
        3 => (0..8_usize).prop_map(Op::Done),
        2 => (0..8_usize).prop_map(Op::Dirty),
        1 => (0..8_usize).prop_map(Op::Drop),
        3 => (0..8_usize).prop_map(Op::Committed),
        1 => side().prop_map(Op::TakeHorizon),
        1 => Just(Op::Confirm),
        1 => side().prop_map(Op::Crashed),
        3 => (keys(), side()).prop_map(|(keys, side)| Op::Mark(keys, side)),
        2 => (1..6_usize).prop_map(Op::Take),
        4 => (0..8_usize).prop_map(Op::Clean),
        2 => (1..50_u16).prop_map(Op::Churn),
        1 => Just(Op::Reopen),
    ]
}

/// What the journal should hold.
#[derive(Debug, Default)]
struct Model {
    /// Number of the last mark of each dirty key.
    dirty: BTreeMap<u32, u64>,
    marks: u64,
    /// Unconfirmed commits in order: when, store, keys.
    unconfirmed: Vec<(u64, Side, Vec<u32>)>,
    commits: u64,
}

impl Model {
    fn mark(&mut self, keys: &[u32]) {
        self.marks += 1;
        self.dirty.extend(keys.iter().map(|key| (*key, self.marks)));
    }

    fn settle_unconfirmed(&mut self, side: Side, upto: u64, dirty: bool) {
        let all = std::mem::take(&mut self.unconfirmed);
        for (at, of, keys) in all {
            if of != side || at > upto {
                self.unconfirmed.push((at, of, keys));
            } else if dirty {
                self.mark(&keys);
            }
        }
    }
}

/// The journal, the model, and what their user holds.
struct World {
    dir: tempfile::TempDir,
    journal: Option<Journal>,
    model: Model,
    open: Vec<(Intent, Side, Vec<u32>)>,
    horizon: Option<(Horizon, Side, u64)>,
    taken: Vec<(DirtyKey, u64)>,
}

impl World {
    fn journal(&self) -> &Journal {
        self.journal.as_ref().unwrap()
    }

    fn pick(&mut self, at: usize) -> Option<(Intent, Side, Vec<u32>)> {
        (at < self.open.len()).then(|| self.open.swap_remove(at))
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Intend(keys, side) => {
                let names: Vec<_> = keys.iter().map(|n| key(*n)).collect();
                let intent = intended(self.journal(), side, &names);
                self.open.push((intent, side, keys));
            }
            Op::Done(at) => {
                if let Some((intent, ..)) = self.pick(at) {
                    intent.done();
                }
            }
            Op::Dirty(at) => {
                if let Some((intent, _, keys)) = self.pick(at) {
                    intent.dirty(Reason::SecondaryFailed).wait().unwrap();
                    self.model.mark(&keys);
                }
            }
            Op::Drop(at) => {
                if let Some((intent, _, keys)) = self.pick(at) {
                    drop(intent);
                    self.model.mark(&keys);
                }
            }
            Op::Committed(at) => {
                if let Some((intent, side, keys)) = self.pick(at) {
                    intent.committed();
                    self.model.commits += 1;
                    self.model
                        .unconfirmed
                        .push((self.model.commits, side, keys));
                }
            }
            Op::TakeHorizon(side) => {
                let horizon = self.journal().confirm_horizon(side);
                self.horizon = Some((horizon, side, self.model.commits));
            }
            Op::Confirm => {
                if let Some((horizon, side, upto)) = self.horizon.take() {
                    self.journal().confirm(horizon);
                    self.model.settle_unconfirmed(side, upto, false);
                }
            }
            Op::Crashed(side) => {
                let reason = Reason::SecondaryCrashed;
                self.journal()
                    .unconfirmed_to_dirty(side, reason)
                    .wait()
                    .unwrap();
                self.model.settle_unconfirmed(side, u64::MAX, true);
            }
            Op::Mark(keys, side) => {
                let names: Vec<_> = keys.iter().map(|n| key(*n)).collect();
                self.journal()
                    .mark_dirty(side, &names, Reason::BreakerOpen)
                    .wait()
                    .unwrap();
                self.model.mark(&keys);
            }
            Op::Take(limit) => {
                for dirty in self.journal().take_dirty("shop", limit) {
                    let n: u32 = String::from_utf8_lossy(&dirty.key.key[0]).parse().unwrap();
                    let mark = self.model.dirty[&n];
                    self.taken.push((dirty, mark));
                }
            }
            Op::Clean(at) if at < self.taken.len() => {
                let (dirty, mark) = self.taken.swap_remove(at);
                let n: u32 = String::from_utf8_lossy(&dirty.key.key[0]).parse().unwrap();
                let expected = self.model.dirty.get(&n) == Some(&mark);
                assert_eq!(self.journal().clean(&dirty.key, dirty.generation), expected);
                if expected {
                    self.model.dirty.remove(&n);
                }
            }
            Op::Clean(_) => {}
            Op::Churn(times) => {
                for n in 0..times {
                    let keys = [key(1000 + u32::from(n))];
                    intended(self.journal(), Side::New, &keys).done();
                }
            }
            Op::Reopen => self.reopen(),
        }
    }

    fn reopen(&mut self) {
        drop(self.journal.take());
        // Handles of a closed journal say nothing any more.
        for (_intent, _, keys) in std::mem::take(&mut self.open) {
            self.model.mark(&keys);
        }
        for side in [Side::Old, Side::New] {
            self.model.settle_unconfirmed(side, u64::MAX, true);
        }
        self.horizon = None;
        if is_in_primary() {
            // There a process counts its marks anew.
            self.taken.clear();
        }
        self.journal = Some(open_small(self.dir.path()));
    }

    fn check(&self) {
        let page = self.journal().dirty_keys(common::TABLE, None, 1000);
        let number = |dirty: &DirtyKey| String::from_utf8_lossy(&dirty.key.key[0]).parse().unwrap();
        let dirty: BTreeSet<u32> = page.iter().map(number).collect();
        assert_eq!(dirty, self.model.dirty.keys().copied().collect());
        let backlog = self.journal().backlog("shop");
        assert_eq!(backlog.dirty, self.model.dirty.len());
        let stale = |side| page.iter().filter(|key| key.stale.contains(side)).count() as u64;
        assert_eq!(
            (
                backlog.stale.stale(Side::Old),
                backlog.stale.stale(Side::New)
            ),
            (stale(Side::Old), stale(Side::New))
        );
        assert_eq!(backlog.stale.all(), backlog.dirty as u64);
        assert_eq!(backlog.open, self.open.len());
        assert_eq!(backlog.unconfirmed, self.model.unconfirmed.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn random_histories_match_the_model(ops in prop::collection::vec(op(), 1..80)) {
        play(ops);
    }

    #[test]
    fn random_histories_in_a_primary_match_the_model(ops in prop::collection::vec(op(), 1..80)) {
        in_primary(|| play(ops));
    }
}

fn play(ops: Vec<Op>) {
    let dir = tempfile::tempdir().unwrap();
    let journal = Some(open_small(dir.path()));
    let (model, open, horizon, taken) = Default::default();
    let mut world = World {
        dir,
        journal,
        model,
        open,
        horizon,
        taken,
    };
    for op in ops {
        world.apply(op);
        world.check();
    }
    world.reopen();
    world.check();
}
