//! What must be true.

use crossfade_phase::Side;
use stateright::Property;

use super::{Copies, Copying, Protocol, State};
use crate::{NONE, Row};

/// What differs is known: a row that is not, or not durably, alike in the secondary is in a journal.
pub(super) const KNOWN: &str = "what differs is known";
/// An acknowledged write is in the primary.
pub(super) const NOT_LOST: &str = "no acknowledged write is lost";
/// A deleted row does not come back.
pub(super) const STAYS_DELETED: &str = "no deleted row comes back";
/// With empty journals both stores are equal.
pub(super) const EQUAL: &str = "both stores are equal when the journals are empty";
/// Never are both stores the primary of somebody.
pub(super) const ONE_PRIMARY: &str = "two primaries are never written at the same time";
/// So that nothing of the above holds for want of events.
pub(super) const DRAINS: &str = "a dirty key was repaired and everything is well";
pub(super) const ENDS: &str = "every write and every mishap took place and everything is well";

pub(super) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(KNOWN, |model, state: &State| {
            keys(model).all(|key| is_known(model, state, key))
        }),
        Property::always(NOT_LOST, |model, state: &State| {
            !state.is_quiet() || keys(model).all(|key| is_there(state, key))
        }),
        Property::always(STAYS_DELETED, |model, state: &State| {
            !is_settled(state) || keys(model).all(|key| stays_deleted(model, state, key))
        }),
        Property::always(EQUAL, |model, state: &State| {
            !(is_settled(state) && state.copying == Copying::Done)
                || keys(model).all(|key| is_equal(state, key))
        }),
        Property::always(ONE_PRIMARY, |_, state: &State| has_one_primary(state)),
        Property::sometimes(DRAINS, |_, state: &State| {
            state.has_repaired && is_settled(state)
        }),
        Property::sometimes(ENDS, |_, state: &State| {
            let over = state.writes_left == [0; 2] && state.mishaps_left == 0;
            over && state.flips_left == 0 && is_settled(state)
        }),
    ]
}

fn keys(model: &Protocol) -> std::ops::Range<usize> {
    0..usize::from(model.bounds.keys)
}

/// Nothing is under way, and the secondary is one that is trusted.
fn is_settled(state: &State) -> bool {
    let phase = state.proxies[0].gate.phase;
    state.is_quiet() && phase.secondary().is_some() && !state.bypassed
}

fn primary(state: &State) -> Side {
    state.proxies[0].gate.phase.primary()
}

fn is_known(model: &Protocol, state: &State, key: usize) -> bool {
    let phase = state.proxies[0].gate.phase;
    let Some(secondary) = phase.secondary() else {
        return true;
    };
    let copy = state.cell(secondary, key);
    let alike = state.cell(phase.primary(), key).row == copy.flushed;
    alike
        || state.bypassed
        || !state.is_undoubted(key)
        || is_being_copied(model, state, key, copy.row)
}

/// A row that is not copied yet may be missing; one that was just copied is looked at once more.
fn is_being_copied(model: &Protocol, state: &State, key: usize, copy: Row) -> bool {
    let missing = model.bounds.copies == Copies::Everything && copy == NONE;
    match state.copying {
        Copying::At { key: at, suspect } | Copying::Read(at, _, suspect) => {
            (key >= at && missing) || (key == at && suspect)
        }
        Copying::Inserted(at, _, _) | Copying::Suspect(at) => key == at || (key > at && missing),
        Copying::Done => false,
    }
}

fn is_there(state: &State, key: usize) -> bool {
    state.cell(primary(state), key).row == state.truth[key]
}

fn stays_deleted(model: &Protocol, state: &State, key: usize) -> bool {
    let primary = primary(state);
    let under_copy = is_being_copied(model, state, key, state.cell(primary.other(), key).row);
    state.cell(primary, key).row != NONE
        || state.cell(primary.other(), key).row == NONE
        || under_copy
}

fn is_equal(state: &State, key: usize) -> bool {
    let primary = primary(state);
    state.cell(primary, key).row == state.cell(primary.other(), key).row
}

fn has_one_primary(state: &State) -> bool {
    let mut primaries = state.open.iter().flatten().map(|open| open.phase.primary());
    let first = primaries.next();
    primaries.all(|primary| Some(primary) == first)
}
