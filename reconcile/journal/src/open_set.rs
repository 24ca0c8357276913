//! The open intents: those that run, and those that are committed and not yet confirmed.

use std::collections::{HashMap, VecDeque};

use crossfade_phase::Side;

use crate::{Reason, registry::Toggles};

/// How an intent ends, or moves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Both stores have the transaction, or neither.
    Done,
    /// The secondary acknowledged a commit that it may not have flushed.
    Committed,
    /// The secondary may lack it.
    Dirty(Reason),
}

/// An open intent.
#[derive(Debug)]
pub(crate) struct OpenIntent {
    pub(crate) target: Side,
    /// Where its row is, if it has one.
    pub(crate) home: Side,
    pub(crate) count: u32,
    pub(crate) section: Vec<u8>,
    toggles: Toggles,
    committed: bool,
}

/// Open intents of one toggle.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    running: usize,
    unconfirmed: usize,
}

/// All open intents.
#[derive(Debug, Default)]
pub(crate) struct OpenSet {
    intents: HashMap<u64, OpenIntent>,
    last_id: u64,
    /// (commit number, intent) in the order of the commits, one queue a store.
    unconfirmed: [VecDeque<(u64, u64)>; 2],
    commits: u64,
    keys: usize,
    bytes: u64,
    /// By toggle number.
    counts: Vec<Counts>,
}

impl OpenSet {
    /// Continues after this identity.
    pub(crate) fn start_after(&mut self, id: u64) {
        self.last_id = self.last_id.max(id);
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// An identity that none so far has.
    pub(crate) fn unused_id(&self) -> u64 {
        self.last_id + 1
    }

    /// Keys in all open intents.
    pub(crate) fn keys(&self) -> usize {
        self.keys
    }

    /// Bytes they take in the log.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.intents.contains_key(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &OpenIntent)> {
        self.intents.iter().map(|(id, intent)| (*id, intent))
    }

    /// The intents without a verdict.
    pub(crate) fn running(&self) -> impl Iterator<Item = &OpenIntent> {
        self.intents.values().filter(|intent| !intent.committed)
    }

    pub(crate) fn insert(
        &mut self,
        id: u64,
        target: Side,
        home: Side,
        count: u32,
        section: Vec<u8>,
        toggles: Toggles,
    ) {
        for toggle in toggles.iter() {
            self.count(toggle).running += 1;
        }
        self.keys += count as usize;
        self.bytes += section.len() as u64;
        self.intents.insert(
            id,
            OpenIntent {
                target,
                home,
                count,
                section,
                toggles,
                committed: false,
            },
        );
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<OpenIntent> {
        let intent = self.intents.remove(&id)?;
        for toggle in intent.toggles.iter() {
            let count = self.count(toggle);
            *(if intent.committed {
                &mut count.unconfirmed
            } else {
                &mut count.running
            }) -= 1;
        }
        self.keys -= intent.count as usize;
        self.bytes -= intent.section.len() as u64;
        Some(intent)
    }

    /// Moves a running intent to the unconfirmed.
    pub(crate) fn commit(&mut self, id: u64) {
        let Some(intent) = self.intents.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut intent.committed, true) {
            return;
        }
        let (target, toggles) = (intent.target, intent.toggles.clone());
        for toggle in toggles.iter() {
            let count = self.count(toggle);
            count.running -= 1;
            count.unconfirmed += 1;
        }
        self.commits += 1;
        self.unconfirmed[queue(target)].push_back((self.commits, id));
    }

    /// Number of the last commit so far.
    pub(crate) fn commits(&self) -> u64 {
        self.commits
    }

    /// Takes the next unconfirmed intent of this store whose commit is not after `upto`.
    pub(crate) fn next_unconfirmed(&mut self, target: Side, upto: u64) -> Option<u64> {
        let queue = &mut self.unconfirmed[queue(target)];
        if queue.front()?.0 > upto {
            return None;
        }
        queue.pop_front().map(|(_, id)| id)
    }

    /// (running, unconfirmed) intents of a toggle.
    pub(crate) fn counts(&self, toggle: u32) -> (usize, usize) {
        let counts = self
            .counts
            .get(toggle as usize)
            .copied()
            .unwrap_or_default();
        (counts.running, counts.unconfirmed)
    }

    fn count(&mut self, toggle: u32) -> &mut Counts {
        let at = toggle as usize;
        if self.counts.len() <= at {
            self.counts.resize(at + 1, Counts::default());
        }
        &mut self.counts[at]
    }
}

fn queue(side: Side) -> usize {
    match side {
        Side::Old => 0,
        Side::New => 1,
    }
}
