//! Changes of the record, each by one compare-and-set.

use std::sync::Arc;

use crossfade_phase::Side;

use super::{
    super::record::{Member, Record, Stage},
    Seat, Trouble, View, json, record_of,
};
use crate::app::lock;

/// Attempts at a change that others get ahead of.
const ATTEMPTS: u32 = 20;

impl Seat {
    /// Changes the record as one of its proxies.
    ///
    /// # Errors
    /// [`Trouble`]; after one of the store it is not known whether the change was made.
    pub(crate) async fn change<T>(
        &self,
        mut change: impl FnMut(&mut Record) -> Result<T, String>,
    ) -> Result<T, Trouble> {
        self.change_as_anybody(|record| {
            if !self.is_member(record) {
                return Err(Trouble::NotAMember);
            }
            change(record).map_err(Trouble::No)
        })
        .await
    }

    /// Ends a flip that is not published.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(in crate::control) async fn call_off(&self, number: i64) -> Result<(), Trouble> {
        self.change(|record| {
            record.call_off(number);
            Ok(())
        })
        .await
    }

    /// Counts this proxy in. `let_go` says that its journal holds nothing of a time before it was forgotten, if it was.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(in crate::control) async fn join(&self, let_go: bool) -> Result<(), Trouble> {
        self.change_as_anybody(|record| {
            if record.forgotten.contains(&self.me.id) && !let_go {
                return Err(Trouble::No(
                    "an operator has this proxy forgotten at this moment".to_owned(),
                ));
            }
            let member = Member {
                name: self.me.name.clone(),
                life: self.me.life,
                forgotten: false,
            };
            record.join(&self.me.id, member);
            Ok(())
        })
        .await
    }

    async fn change_as_anybody<T>(
        &self,
        mut change: impl FnMut(&mut Record) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        for _ in 0..ATTEMPTS {
            let View { home, record, .. } = self.read().await?;
            let mut next = Record::clone(&record);
            let out = change(&mut next)?;
            if next == *record {
                return Ok(out);
            }
            next.serial = record.serial + 1;
            if self.swap(home, Some(record.serial), &next).await? {
                self.made(home, next);
                return Ok(out);
            }
        }
        Err(Trouble::No(
            "others change the record all the time".to_owned(),
        ))
    }

    /// Publishes a flip that changes the primary: the record moves to the other store ([`super::place`]).
    ///
    /// # Errors
    /// [`Trouble`]; after one of the store it is not known whether the flip is published, and the record decides.
    pub(in crate::control) async fn depart(
        &self,
        mut publish: impl FnMut(&mut Record) -> Result<(), String>,
    ) -> Result<(), Trouble> {
        for _ in 0..ATTEMPTS {
            let View { home, record, .. } = self.read().await?;
            if !self.is_member(&record) {
                return Err(Trouble::NotAMember);
            }
            let there = self.controls.on(home.other());
            let mut coming = Record::clone(&record);
            publish(&mut coming).map_err(Trouble::No)?;
            coming.serial = record.serial + 1;
            let mut left = coming.clone();
            (coming.stage, left.stage) = (Stage::Arriving, Stage::Gone);
            let known = record_of(&there.entries(&self.toggle).await?)?;
            let seen = known.map(|known| known.serial);
            if !self.swap(home.other(), seen, &coming).await? {
                continue;
            }
            // The point of no return. Should somebody have joined meanwhile, the coming record lacks it: once more.
            if self.swap(home, Some(record.serial), &left).await? {
                return Ok(());
            }
        }
        Err(Trouble::No(
            "others change the record all the time".to_owned(),
        ))
    }

    /// Makes room for the record on a side.
    ///
    /// # Errors
    /// The store's.
    pub(in crate::control) async fn prepare(&self, side: Side) -> Result<(), Trouble> {
        Ok(self.controls.on(side).prepare().await?)
    }

    pub(super) async fn swap(
        &self,
        side: Side,
        seen: Option<i64>,
        record: &Record,
    ) -> Result<bool, Trouble> {
        let entry = json(record.entry())?;
        Ok(self
            .controls
            .on(side)
            .swap(&self.toggle, seen, &entry)
            .await?)
    }

    fn made(&self, home: Side, record: Record) {
        let mut view = lock(&self.view);
        if record.serial > view.record.serial {
            view.home = home;
            view.record = Arc::new(record);
        }
        drop(view);
        self.seen.notify_waiters();
        self.wake.notify_one();
    }
}
