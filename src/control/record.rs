//! The record that the proxies of a migration share of one toggle, and what may be done to it. Every change is one compare-and-set in the store; what is here is
//! what such a change makes of the record.

use std::collections::{BTreeMap, BTreeSet};

use crossfade_journal::{BackfillCheckpoint, PhaseChange, TableState, ToggleState, Why};
use crossfade_phase::Phase;
use crossfade_store::Entry;
use crossfade_toggle::{Epoch, Snapshot};
use serde::{Deserialize, Serialize};

use super::row::Row;

/// Name of the entry that holds the record.
pub(super) const RECORD: &str = "record";
/// Changes of phase kept: every change writes them all.
const HISTORY_KEPT: usize = 100;

/// The record. It lives in the store that is the primary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Grows with every change, also over a move to the other store.
    pub(crate) serial: i64,
    /// Whether a flip is under way, or the record itself.
    pub(crate) stage: Stage,
    /// Phase, epoch, and how it came there.
    pub(crate) state: ToggleState,
    /// The proxy that made the last move, by its id.
    pub(crate) by: String,
    /// The proxies that count, by their ids.
    pub(crate) members: BTreeMap<String, Member>,
    /// How the tables stand, by the names that the state files have them under.
    pub(crate) tables: BTreeMap<String, TableState>,
    /// How far backfills have come.
    pub(crate) checkpoints: BTreeMap<String, BackfillCheckpoint>,
    /// The proxy that has a job over a table.
    pub(crate) jobs: BTreeMap<String, String>,
    /// The mapping of the toggle as every member must have it, a line a table.
    pub(crate) mapping: Vec<String>,
    /// Ids of proxies that were forgotten with the journal on their disk. What that holds, the tables were verified for: should one come back, it lets go of it first.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) forgotten: BTreeSet<String>,
    /// Records of tables, by their names, whose store lacks rows that such a proxy knew of while that store was the primary, and how many there were in the toggle: the rows
    /// of the other store may be the newer ones, and nobody knows which.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) lost: BTreeMap<String, u64>,
}

/// A proxy of the migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Its name in the file.
    pub(crate) name: String,
    /// Which of its runs this is. What an earlier one has said does not count.
    pub(crate) life: u64,
    /// An operator says that it will not come back: it is not to go on, and the others wait for it only until it cannot any more.
    #[serde(default)]
    pub(crate) forgotten: bool,
}

/// What is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub(crate) enum Stage {
    /// Nothing.
    Open,
    /// A flip with a barrier is called: who hears of it says so, and nobody waits yet.
    Calling(Flip),
    /// Every gate is closed, or about to be.
    Barrier(Flip),
    /// A record on its way here. It counts once the one in the other store says that it has gone.
    Arriving,
    /// The record has gone to the other store, in this epoch.
    Gone,
}

/// A flip with a barrier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flip {
    /// Its number, which no other flip has.
    pub(crate) number: i64,
    /// The phase it leads to, by number.
    pub(crate) to: u8,
    /// The name of the proxy that makes it.
    pub(crate) by: String,
}

/// A published move.
pub(crate) struct Published {
    pub(crate) to: Phase,
    pub(crate) why: Why,
    pub(crate) by: String,
    pub(crate) at_unix_s: u64,
}

impl Record {
    /// The record of a toggle that one proxy had for itself.
    pub(super) fn first(
        state: ToggleState,
        tables: BTreeMap<String, TableState>,
        checkpoints: BTreeMap<String, BackfillCheckpoint>,
        mapping: Vec<String>,
    ) -> Record {
        Record {
            serial: 1,
            stage: Stage::Open,
            state,
            by: String::new(),
            members: BTreeMap::new(),
            tables,
            checkpoints,
            jobs: BTreeMap::new(),
            mapping,
            forgotten: BTreeSet::new(),
            lost: BTreeMap::new(),
        }
    }

    /// Its entry in a store.
    ///
    /// # Errors
    /// Never in practice: when it cannot be written as JSON.
    pub(super) fn entry(&self) -> Result<Entry, serde_json::Error> {
        Ok(Entry {
            name: RECORD.to_owned(),
            serial: self.serial,
            body: serde_json::to_string(self)?,
        })
    }

    /// What is published.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            epoch: Epoch::new(self.state.epoch),
            phase: self.state.phase,
        }
    }

    /// The epoch in which the record came to the store that it is in: that of the last move of the primary.
    fn arrived(&self) -> u64 {
        let came = |change: &&PhaseChange| {
            let from = change.from.unwrap_or(change.to);
            from.primary() != change.to.primary()
        };
        let last = self.state.history.iter().rev().find(came);
        last.map_or(0, |change| change.epoch)
    }

    /// Whether a row in the store of the record is what a proxy says now. What it said there before the record went away and came back is not: it knew of no epoch but
    /// earlier ones. One that has ended has nothing to add.
    pub(super) fn is_said_now(&self, member: &Member, row: &Row) -> bool {
        // The first that it says behind a move may be of the epoch before.
        row.life == member.life && (row.ended || row.epoch + 1 >= self.arrived())
    }

    /// Whether this is where the record is.
    pub(super) fn is_live(&self) -> bool {
        match self.stage {
            Stage::Open | Stage::Calling(_) | Stage::Barrier(_) => true,
            Stage::Arriving | Stage::Gone => false,
        }
    }

    /// The flip that is called or holds the barrier.
    pub(crate) fn flip(&self) -> Option<&Flip> {
        match &self.stage {
            Stage::Calling(flip) | Stage::Barrier(flip) => Some(flip),
            Stage::Open | Stage::Arriving | Stage::Gone => None,
        }
    }

    /// A run of a proxy begins to count. What jobs an earlier run of it had, it has no more. One that was forgotten has let go of what its journal held.
    pub(super) fn join(&mut self, id: &str, member: Member) {
        self.forgotten.remove(id);
        self.jobs.retain(|_, holder| holder != id);
        self.members.insert(id.to_owned(), member);
    }

    /// A proxy counts no more.
    pub(super) fn part(&mut self, id: &str) {
        self.jobs.retain(|_, holder| holder != id);
        self.members.remove(id);
    }

    /// Calls a flip, unless one is under way or the toggle has moved since `at`.
    pub(super) fn call(&mut self, at: Snapshot, to: Phase, by: &str) -> Result<i64, String> {
        self.is_still(at)?;
        let number = self.serial + 1;
        self.stage = Stage::Calling(Flip {
            number,
            to: to.number(),
            by: by.to_owned(),
        });
        Ok(number)
    }

    /// Closes the gates for a flip that was called.
    pub(super) fn close(&mut self, number: i64) -> Result<(), String> {
        match &self.stage {
            Stage::Calling(flip) if flip.number == number => {
                self.stage = Stage::Barrier(flip.clone());
                Ok(())
            }
            _other => Err(called_off()),
        }
    }

    /// Ends a flip that was not published. Anybody may.
    pub(super) fn call_off(&mut self, number: i64) {
        if self.flip().is_some_and(|flip| flip.number == number) {
            self.stage = Stage::Open;
        }
    }

    /// Publishes a move that needs no barrier.
    pub(super) fn publish(&mut self, at: Snapshot, published: &Published) -> Result<(), String> {
        self.is_still(at)?;
        self.moved(published);
        Ok(())
    }

    /// Publishes the move of a flip whose barrier has drained.
    pub(super) fn publish_flip(
        &mut self,
        number: i64,
        published: &Published,
    ) -> Result<(), String> {
        match &self.stage {
            Stage::Barrier(flip) if flip.number == number => {
                self.moved(published);
                self.stage = Stage::Open;
                Ok(())
            }
            _other => Err(called_off()),
        }
    }

    fn moved(&mut self, published: &Published) {
        let from = self.state.phase;
        self.state.epoch += 1;
        self.state.phase = published.to;
        self.by.clone_from(&published.by);
        self.state.history.push(PhaseChange {
            at_unix_s: published.at_unix_s,
            epoch: self.state.epoch,
            from: Some(from),
            to: published.to,
            why: published.why.clone(),
        });
        let surplus = self.state.history.len().saturating_sub(HISTORY_KEPT);
        self.state.history.drain(..surplus);
    }

    fn is_still(&self, at: Snapshot) -> Result<(), String> {
        if let Some(flip) = self.flip() {
            return Err(format!(
                "proxy \"{}\" makes another flip of this toggle",
                flip.by
            ));
        }
        if self.snapshot() != at {
            return Err(format!(
                "the toggle is in phase {}, epoch {}, by now",
                self.state.phase, self.state.epoch
            ));
        }
        Ok(())
    }
}

fn called_off() -> String {
    "another proxy has called it off: it took too long".to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::control) fn record(phase: Phase, epoch: u64) -> Record {
        let state = ToggleState {
            phase,
            epoch,
            history: Vec::new(),
        };
        Record::first(state, BTreeMap::new(), BTreeMap::new(), Vec::new())
    }

    fn to(phase: Phase) -> Published {
        Published {
            to: phase,
            why: Why::Guards("a test".into()),
            by: "a".into(),
            at_unix_s: 1,
        }
    }

    #[test]
    fn trap_37_one_flip_at_a_time_and_only_from_where_the_toggle_is() {
        let mut record = record(Phase::DualRead, 4);
        let at = record.snapshot();
        let number = record.call(at, Phase::NewPrimary, "a").unwrap();
        assert!(record.call(at, Phase::NewPrimary, "b").is_err());
        assert!(record.publish(at, &to(Phase::DualWrite)).is_err());
        // Not before the gates were closed.
        assert!(record.publish_flip(number, &to(Phase::NewPrimary)).is_err());
        record.close(number).unwrap();
        record.publish_flip(number, &to(Phase::NewPrimary)).unwrap();
        assert_eq!(
            (record.state.phase, record.state.epoch),
            (Phase::NewPrimary, 5)
        );
        assert!(
            record.publish(at, &to(Phase::DualWrite)).is_err(),
            "outdated"
        );
    }

    #[test]
    fn trap_36_a_flip_that_somebody_called_off_is_published_no_more() {
        let mut record = record(Phase::DualRead, 4);
        let number = record
            .call(record.snapshot(), Phase::NewPrimary, "a")
            .unwrap();
        record.close(number).unwrap();
        record.call_off(number + 1);
        assert!(record.flip().is_some(), "another one");
        record.call_off(number);
        assert!(record.publish_flip(number, &to(Phase::NewPrimary)).is_err());
        assert_eq!(record.snapshot().phase, Phase::DualRead);
    }

    #[test]
    fn what_was_said_before_the_record_went_away_and_came_back_is_of_long_ago() {
        let mut record = record(Phase::DualRead, 4);
        let member = Member {
            name: "b".into(),
            life: 1,
            forgotten: false,
        };
        let says = |epoch, ended| Row {
            life: 1,
            epoch,
            ended,
            ..Row::default()
        };
        assert!(record.is_said_now(&member, &says(3, false)), "never away");
        record.moved(&to(Phase::NewPrimary));
        record.moved(&to(Phase::DualRead));
        record.moved(&to(Phase::DualWrite));
        for (epoch, now) in [(4, false), (5, true), (6, true), (7, true)] {
            assert_eq!(record.is_said_now(&member, &says(epoch, false)), now);
        }
        assert!(record.is_said_now(&member, &says(4, true)), "its last word");
        let again = Member { life: 2, ..member };
        assert!(!record.is_said_now(&again, &says(7, true)), "another run");
    }

    #[test]
    fn a_run_that_joins_anew_has_no_job_of_the_run_before() {
        let mut record = record(Phase::DualWrite, 3);
        let member = |life| Member {
            name: "a".into(),
            life,
            forgotten: false,
        };
        record.join("1", member(7));
        record.jobs.insert("public.orders".into(), "1".into());
        record.join("1", member(8));
        assert!(record.jobs.is_empty());
        assert_eq!(record.members["1"].life, 8);
        record.part("1");
        assert!(record.members.is_empty());
    }

    #[test]
    fn it_comes_back_from_a_store_as_it_went_there() {
        let mut record = record(Phase::DualRead, 4);
        record
            .call(record.snapshot(), Phase::NewPrimary, "a")
            .unwrap();
        let entry = record.entry().unwrap();
        assert_eq!(entry.serial, record.serial);
        assert_eq!(serde_json::from_str::<Record>(&entry.body).unwrap(), record);
    }
}
