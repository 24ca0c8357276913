//! One proxy's seat at the control of one toggle: what it has read last, and how it changes the record.

mod change;
mod hear;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crossfade_phase::Side;
use crossfade_store::{Control, Entry, StoreError};
use tokio::sync::{Notify, futures::Notified};

use super::{
    record::{RECORD, Record, Stage},
    row::{Heard, ROW, Row},
};
use crate::app::{Whose, lock};
pub(crate) use hear::Unheard;

/// For how long a proxy may commit what writes both stores after its last sign of life.
pub(crate) const LEASE: Duration = Duration::from_secs(5);
/// How much longer the others wait before they take it for gone: clocks do not run quite alike.
pub(crate) const MARGIN: Duration = Duration::from_secs(2);

/// Looks at a record that moves, or that others here have seen later.
const LOOKS: u32 = 8;

/// Where the entries are, on both sides.
#[derive(Clone)]
pub(crate) struct Controls {
    pub(crate) old: Arc<dyn Control>,
    pub(crate) new: Arc<dyn Control>,
}

impl Controls {
    pub(super) fn on(&self, side: Side) -> &Arc<dyn Control> {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }
}

/// Why the record could not be read, or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change makes no sense any more, or what is there cannot be.
    #[error("{0}")]
    No(String),
    /// The other proxies have not counted this one in, or no longer do.
    #[error("this proxy is not one of the migration's any more")]
    NotAMember,
}

/// This proxy.
#[derive(Debug, Clone)]
pub(crate) struct Me {
    /// Its id, which lasts as long as its `state_dir`; where the journal is in the primary, its name.
    pub(crate) id: String,
    /// Its name in the file.
    pub(crate) name: String,
    /// Which of its runs this is; where the journal is in the primary, the owner of its rows.
    pub(crate) life: u64,
}

/// What was read last.
#[derive(Clone)]
pub(crate) struct View {
    /// The store that the record is in.
    pub(crate) home: Side,
    pub(crate) record: Arc<Record>,
    /// What the proxies say, by their ids.
    pub(crate) rows: BTreeMap<String, Heard>,
}

/// Another proxy of the migration.
pub(crate) struct Other {
    pub(crate) id: String,
    pub(crate) name: String,
    /// What it says; `None` when this run of it has said nothing yet.
    pub(crate) heard: Option<Heard>,
}

impl Other {
    /// Whether what it said last may be of long ago.
    pub(crate) fn is_silent(&self) -> bool {
        match &self.heard {
            None => true,
            Some(heard) => !heard.row.ended && heard.silent_for() > LEASE,
        }
    }

    pub(crate) fn row(&self) -> Option<&Row> {
        self.heard.as_ref().map(|heard| &heard.row)
    }
}

/// See the module.
pub(crate) struct Seat {
    pub(crate) toggle: String,
    pub(crate) me: Me,
    controls: Controls,
    view: Mutex<View>,
    /// Why this proxy is out of touch; `None` while it is not.
    lost: Mutex<Option<String>>,
    /// Something was read.
    pub(super) seen: Notify,
    /// Something is to be said now.
    pub(super) wake: Notify,
}

impl Seat {
    pub(super) fn new(
        toggle: &str,
        me: Me,
        controls: Controls,
        home: Side,
        record: Record,
    ) -> Seat {
        let view = View {
            home,
            record: Arc::new(record),
            rows: BTreeMap::new(),
        };
        Seat {
            toggle: toggle.to_owned(),
            me,
            controls,
            view: Mutex::new(view),
            lost: Mutex::default(),
            seen: Notify::new(),
            wake: Notify::new(),
        }
    }

    /// What was read last.
    pub(crate) fn view(&self) -> View {
        lock(&self.view).clone()
    }

    /// The record as it was read last.
    pub(crate) fn record(&self) -> Arc<Record> {
        Arc::clone(&lock(&self.view).record)
    }

    /// Why this proxy is out of touch, if it is.
    pub(crate) fn lost(&self) -> Option<String> {
        lock(&self.lost).clone()
    }

    /// Notes whether it is; says whether that is news.
    pub(super) fn note_lost(&self, why: Option<String>) -> bool {
        let mut lost = lock(&self.lost);
        let news = lost.is_some() != why.is_some();
        *lost = why;
        news
    }

    /// The other proxies that count.
    pub(crate) fn others(&self) -> Vec<Other> {
        let view = self.view();
        let others = view
            .record
            .members
            .iter()
            .filter(|(id, _)| **id != self.me.id);
        others
            .map(|(id, member)| Other {
                id: id.clone(),
                name: member.name.clone(),
                heard: view
                    .rows
                    .get(id)
                    .filter(|heard| view.record.is_said_now(member, &heard.row))
                    .cloned(),
            })
            .collect()
    }

    /// Whose the rows of a run are.
    pub(super) fn whose(&self, life: u64) -> Whose {
        let record = self.record();
        let found = record
            .members
            .iter()
            .find(|(_, member)| member.life == life);
        match found {
            Some((id, _)) if *id == self.me.id => Whose::Ours,
            Some(_) => Whose::Anothers,
            None => Whose::Nobodys,
        }
    }

    /// Whether this run of this proxy counts, and may go on.
    pub(super) fn is_member(&self, record: &Record) -> bool {
        let member = record.members.get(&self.me.id);
        member.is_some_and(|member| member.life == self.me.life && !member.forgotten)
    }

    /// Says something of this proxy.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn say(&self, row: &Row) -> Result<(), Trouble> {
        let body = json(serde_json::to_string(row))?;
        let home = self.view().home;
        let name = format!("{ROW}{}", self.me.id);
        Ok(self
            .controls
            .on(home)
            .put(&self.toggle, &name, &body)
            .await?)
    }

    /// Takes along to the store of `side`, where the record goes, what proxies have said that have ended: they say it nowhere else.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn carry_last_words(&self, side: Side) -> Result<(), Trouble> {
        for other in self.others() {
            let Some(row) = other.row().filter(|row| row.ended) else {
                continue;
            };
            let body = json(serde_json::to_string(row))?;
            let name = format!("{ROW}{}", other.id);
            let there = self.controls.on(side);
            there.put(&self.toggle, &name, &body).await?;
        }
        Ok(())
    }

    /// The numbers of what the proxies have said last, as it is in the store now.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn serials(&self) -> Result<BTreeMap<String, i64>, Trouble> {
        let view = self.read().await?;
        let serials = view.rows.iter();
        Ok(serials
            .map(|(id, heard)| (id.clone(), heard.serial))
            .collect())
    }

    /// Resolves when something is read from now on.
    pub(crate) fn heard(&self) -> Notified<'_> {
        self.seen.notified()
    }

    /// The number of what a proxy of this one's id has said last.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn last_said(&self) -> Result<Option<i64>, Trouble> {
        let view = self.read().await?;
        Ok(view.rows.get(&self.me.id).map(|heard| heard.serial))
    }

    /// What a proxy has said last, in whichever store that was: it may have ended while the record moved, or before the record came back.
    ///
    /// # Errors
    /// The stores'.
    pub(super) async fn last_row(&self, id: &str) -> Result<Option<Row>, Trouble> {
        let name = format!("{ROW}{id}");
        let home = self.read().await?.home;
        let mut last: Option<Row> = None;
        for side in [home, home.other()] {
            let entries = self.controls.on(side).entries(&self.toggle).await?;
            if let Some(entry) = entries.iter().find(|entry| entry.name == name) {
                let row: Row = json(serde_json::from_str(&entry.body))?;
                last = match last {
                    Some(known) if known.epoch >= row.epoch => Some(known),
                    Some(_) | None => Some(row),
                };
            }
        }
        Ok(last)
    }

    /// Takes what a proxy said away.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn silence(&self, id: &str) -> Result<(), Trouble> {
        let home = self.view().home;
        let name = format!("{ROW}{id}");
        Ok(self.controls.on(home).remove(&self.toggle, &name).await?)
    }

    /// Reads the record and the rows where they are now.
    ///
    /// # Errors
    /// The store's; or that there is no record.
    pub(super) async fn read(&self) -> Result<View, Trouble> {
        let mut home = self.view().home;
        for _ in 0..LOOKS {
            let known = self.record().serial;
            let entries = self.controls.on(home).entries(&self.toggle).await?;
            let Some(record) = record_of(&entries)? else {
                return Err(Trouble::No(format!(
                    "the {home} store has no record of toggle \"{}\" any more: bring its entries crossfade.control (crossfade_control) back from a backup",
                    self.toggle
                )));
            };
            match record.stage {
                Stage::Open | Stage::Calling(_) | Stage::Barrier(_) => {
                    // Two looks of one process may overtake each other.
                    if let Some(view) = self.noted(known, home, record, &entries)? {
                        return Ok(view);
                    }
                }
                Stage::Gone => home = home.other(),
                Stage::Arriving => {
                    if !self.complete(home, &record).await? {
                        home = home.other();
                    }
                }
            }
        }
        Err(Trouble::No(
            "the record changes all the time, or is on its way between the stores".to_owned(),
        ))
    }

    /// The last step of a move of the record, by whoever finds it undone. `false` when the record has not left the other store.
    async fn complete(&self, home: Side, arriving: &Record) -> Result<bool, Trouble> {
        let there = self.controls.on(home.other()).entries(&self.toggle).await?;
        let gone = record_of(&there)?.is_some_and(|left| {
            left.stage == Stage::Gone && left.state.epoch == arriving.state.epoch
        });
        if gone {
            let mut open = arriving.clone();
            open.stage = Stage::Open;
            open.serial += 1;
            // `false`: somebody else has done it.
            self.swap(home, Some(arriving.serial), &open).await?;
        }
        Ok(gone)
    }

    /// Keeps what was read by a look that began when `known` was the last serial number; `None` when this process has read something later meanwhile.
    fn noted(
        &self,
        known: i64,
        home: Side,
        record: Record,
        entries: &[Entry],
    ) -> Result<Option<View>, Trouble> {
        let mut view = lock(&self.view);
        if record.serial < known {
            return Err(Trouble::No(format!(
                "the {home} store has an older record of toggle \"{}\" than this proxy has seen ({} after {known}): it has lost writes, as one with asynchronous replication does when it fails over; \
                 end all proxies, `crossfade verify` every table, and start them again",
                self.toggle, record.serial
            )));
        }
        if record.serial < view.record.serial {
            return Ok(None);
        }
        let rows = entries.iter().filter_map(|entry| {
            let id = entry.name.strip_prefix(ROW)?;
            let row: Row = serde_json::from_str(&entry.body).ok()?;
            let known = view
                .rows
                .get(id)
                .filter(|known| known.serial == entry.serial);
            let since = known.map_or_else(Instant::now, |known| known.since);
            let serial = entry.serial;
            Some((id.to_owned(), Heard { row, serial, since }))
        });
        let rows = rows.collect();
        *view = View {
            home,
            record: Arc::new(record),
            rows,
        };
        let view = view.clone();
        self.seen.notify_waiters();
        Ok(Some(view))
    }
}

/// The record among the entries.
///
/// # Errors
/// When it is of another release.
pub(super) fn record_of(entries: &[Entry]) -> Result<Option<Record>, Trouble> {
    let entry = entries.iter().find(|entry| entry.name == RECORD);
    let record = entry
        .map(|entry| serde_json::from_str(&entry.body))
        .transpose();
    record.map_err(|error| Trouble::No(format!("the record of another release cannot be read ({error}): all proxies of a migration run the same release")))
}

fn json<T>(written: Result<T, serde_json::Error>) -> Result<T, Trouble> {
    written.map_err(|error| Trouble::No(error.to_string()))
}
