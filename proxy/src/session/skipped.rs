//! What the session knows of its statements and portals when the server skips messages.
//!
//! Behind an error the server skips everything up to the next Sync: a Parse, Bind or Close there has made, replaced or closed nothing. The session has noted them
//! when it sent them on, as the next messages go by them, and takes that back when it hears of the error. Otherwise it would take a statement that the server still
//! has, and whose answers carry images, for another one.

use std::collections::VecDeque;

use bytes::Bytes;
use crossfade_phase::Side;

use super::{
    End,
    backend::{Backend, Expect},
    managed::Managed,
    statements::{Before, Changed},
};
use crate::{
    route::{Deallocated, Plan},
    wire::frontend::{self, Target},
};

impl Managed {
    /// Notes what a message changes whose answer is the next that the server of `side` will owe.
    pub(super) fn changes(&mut self, side: Side, before: Before) -> Result<(), End> {
        let number = self.backend(side)?.next_owed();
        self.changes_with(side, number, before);
        Ok(())
    }

    /// As [`Managed::changes`], of a message that was sent already and whose answer is the last that the server owes.
    pub(super) fn changed(&mut self, side: Side, before: Before) -> Result<(), End> {
        let number = self.backend(side)?.next_owed().saturating_sub(1);
        self.changes_with(side, number, before);
        Ok(())
    }

    fn changes_with(&mut self, side: Side, number: u64, before: Before) {
        let batch = self.prepared.batch;
        self.forget_answered();
        self.prepared.changes.push_back(Changed {
            side,
            number,
            batch,
            before,
        });
    }

    /// What is answered can be skipped no more.
    pub(super) fn forget_answered(&mut self) {
        while let Some(first) = self.prepared.changes.front() {
            let backend = self.backends.get_mut(first.side);
            if backend.is_some_and(|backend| backend.first_owed() <= first.number) {
                return;
            }
            self.prepared.changes.pop_front();
        }
    }

    /// The server of `side` has failed at what it owes first, and skips what it was sent behind that up to the next Sync. What came behind that Sync stands.
    pub(super) fn take_back(&mut self, side: Side) -> Result<(), End> {
        let backend = self.backend(side)?;
        let skipped = backend.skipped();
        let parses = matches!(backend.expect.front(), Some(Expect::Parse { .. }));
        let mut stands: VecDeque<Changed> = VecDeque::new();
        while let Some(change) = self.prepared.changes.pop_back() {
            if change.side != side || !skipped.contains(&change.number) {
                stands.push_front(change);
                continue;
            }
            let mut before = change.before;
            if parses && change.number == skipped.start {
                before.lose_unnamed();
            }
            // A later batch has changed the same again: it has found what was there before.
            let mut later = stands.iter_mut();
            match later.find(|later| later.before.is_of_the_same(&before)) {
                Some(later) => later.before = before,
                None => self.restore(before),
            }
        }
        self.prepared.changes = stands;
        Ok(())
    }

    fn restore(&mut self, before: Before) {
        let prepared = &mut self.prepared;
        match before {
            Before::Statement(name, Some(statement)) => {
                prepared.statements.insert(name, statement);
            }
            Before::Statement(name, None) => {
                prepared.statements.remove(&name);
            }
            Before::Portal(name, Some(portal)) => {
                prepared.portals.insert(name, *portal);
            }
            Before::Portal(name, None) => {
                prepared.portals.remove(&name);
            }
            Before::Fresh(name) => {
                if let Some(portal) = prepared.portals.get_mut(&name) {
                    portal.portioned = false;
                    portal.ran = false;
                }
            }
            Before::Stale(side, there) => {
                if let Some(backend) = self.backends.get_mut(side) {
                    backend.stale.insert(there);
                }
            }
            Before::Text(side, key, there) => {
                if let Some(backend) = self.backends.get_mut(side) {
                    match there {
                        Some(there) => backend.prepared.insert(key, there),
                        None => backend.prepared.remove(&key),
                    };
                }
            }
        }
    }

    /// Waits where an earlier batch has made, replaced or closed what this one names, and may have failed before it came to that. Within a batch nobody needs to
    /// know: what names it is skipped as well.
    pub(super) async fn be_sure_of(&mut self, target: Target, name: &Bytes) -> Result<(), End> {
        self.forget_answered();
        let batch = self.prepared.batch;
        let first = self.prepared.changes.front();
        if first.is_none_or(|change| change.batch == batch) {
            return Ok(());
        }
        let changes = self.prepared.changes.iter().rev();
        let last = changes
            .map(|change| (change.side, change.batch, change.number, &change.before))
            .find(|(.., before)| before.concerns(target, name));
        match last {
            Some((side, made, number, _)) if made != batch => self.answered(side, number).await,
            _ => Ok(()),
        }
    }

    /// Whether a DEALLOCATE names a statement that the server has under another name, or not at all: captured, or prepared in another phase.
    pub(super) fn is_unknown_there(&mut self, plan: &Plan) -> bool {
        let Some(Deallocated::Named(name)) = &plan.deallocates else {
            return false;
        };
        let known = self.prepared.statements.contains_key(name.as_bytes());
        let backend = self.backends.get_mut(plan.side);
        let there = |backend: &mut Backend| {
            let mut names = backend.prepared.values();
            names.any(|there| there[..] == *name.as_bytes())
        };
        known && !backend.is_some_and(there)
    }

    /// Gives the server a statement of that name for the DEALLOCATE to take away.
    pub(super) fn stand_in(&mut self, plan: &Plan) -> Result<(), End> {
        if let Some(Deallocated::Named(name)) = &plan.deallocates {
            let backend = self.backend(plan.side)?;
            frontend::parse(&mut backend.out, name.as_bytes(), b"SELECT", &[]);
            backend.batch = true;
            backend.expect.push_back(Expect::Parse { show: false });
        }
        Ok(())
    }

    /// Forgets what the servers have of the statements that `goes` tells. What they still have goes with the message to the server of `side` that is sent next.
    pub(super) fn forget_texts(
        &mut self,
        side: Side,
        goes: impl Fn(&Bytes) -> bool,
    ) -> Result<(), End> {
        for of in [Side::Old, Side::New] {
            let Some(backend) = self.backends.get_mut(of) else {
                continue;
            };
            let gone: Vec<_> = backend
                .prepared
                .extract_if(|(name, _), _| goes(name))
                .collect();
            if of != side {
                let stale = gone.iter().map(|(_, there)| there.clone());
                backend
                    .stale
                    .extend(stale.filter(|there| !there.is_empty()));
            }
            for (key, there) in gone {
                self.changes(side, Before::Text(of, key, Some(there)))?;
            }
        }
        Ok(())
    }
}
