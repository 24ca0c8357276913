//! Prepared statements and portals as the client knows them.

use std::{collections::HashMap, collections::VecDeque, sync::Arc};

use bytes::Bytes;
use crossfade_phase::Side;

use crate::{
    route::{Lookup, Plan, Variant},
    sql::PathId,
    wire::frontend::Target,
};

/// For which phases, which meaning of names and which way to read texts a plan holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(super) phases: u64,
    pub(super) path: Option<PathId>,
    pub(super) conforming: bool,
    pub(super) utf8: bool,
}

/// A prepared statement as the client made it. Which text a server has under which name is the backend's affair: a flip may ask for
/// another one (trap 34).
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// The SQL.
    pub(crate) sql: Bytes,
    /// Parameter types as the client gave them.
    pub(crate) types: Arc<[u32]>,
    /// What it does, with the stamp of the phases and the meaning of names for which that holds.
    pub(crate) planned: Option<(Stamp, Arc<Plan>)>,
    /// Parameter types as the server of a store has told them, where they had to be asked for.
    pub(crate) told: Option<(Side, Arc<[u32]>)>,
}

/// A portal.
#[derive(Debug)]
pub(crate) struct Portal {
    /// Where it is.
    pub(crate) side: Side,
    /// What its statement does.
    pub(crate) plan: Arc<Plan>,
    /// Rows of a captured write that the client has not asked for yet: a write runs to its end at the first Execute, as its images
    /// are needed, whatever the client's row limit says.
    pub(crate) held: VecDeque<Bytes>,
    /// Its rows are handed out in portions.
    pub(crate) portioned: bool,
    /// The completion that goes after the held rows.
    pub(crate) completion: Option<Bytes>,
    /// The Bind that made it, where its parameters are needed once more: for the other store, or for what stands in for a MERGE.
    pub(crate) bind: Option<Bytes>,
    /// The types of those.
    pub(crate) types: Arc<[u32]>,
    /// It has been executed: a write that hands out no rows can be no second time, whatever runs in its place.
    pub(crate) ran: bool,
    /// The lookup it makes, to be compared afterwards.
    pub(crate) compare: Option<Lookup>,
}

/// All of a session's statements and portals.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// By name; the empty name is the unnamed statement.
    pub(crate) statements: HashMap<Bytes, Statement>,
    /// By name; the empty name is the unnamed portal.
    pub(crate) portals: HashMap<Bytes, Portal>,
    /// What was made, replaced and closed by messages that the server may still skip; in their order.
    pub(super) changes: VecDeque<Changed>,
    /// Number of the present batch.
    pub(super) batch: u64,
}

/// A change that a message of the client's makes when it is sent. The server makes it when it comes to it, and not where an error comes first.
#[derive(Debug)]
pub(crate) struct Changed {
    /// Whose answer decides.
    pub(super) side: Side,
    /// Which of its answers: [`Backend::next_owed`](super::backend::Backend::next_owed).
    pub(super) number: u64,
    /// The batch that the message is part of.
    pub(super) batch: u64,
    /// What was there.
    pub(super) before: Before,
}

/// What there was before a message of the client's.
#[derive(Debug)]
pub(crate) enum Before {
    /// A statement of this name, or none.
    Statement(Bytes, Option<Statement>),
    /// A portal of this name, or none.
    Portal(Bytes, Option<Box<Portal>>),
    /// A portal that had not been executed.
    Fresh(Bytes),
    /// What the server of a store has of a statement's variant.
    Text(Side, (Bytes, Variant), Option<Bytes>),
    /// What the server of a store still has of a statement that is gone for the client.
    Stale(Side, Bytes),
}

impl Before {
    /// Whether the two are about the same thing.
    pub(super) fn is_of_the_same(&self, other: &Before) -> bool {
        match (self, other) {
            (Before::Statement(name, _), Before::Statement(same, _))
            | (Before::Portal(name, _), Before::Portal(same, _))
            | (Before::Fresh(name), Before::Fresh(same)) => name == same,
            (Before::Text(side, key, _), Before::Text(same, same_key, _)) => {
                side == same && key == same_key
            }
            _ => false,
        }
    }

    /// A Parse that fails has taken the unnamed statement away all the same.
    pub(super) fn lose_unnamed(&mut self) {
        match self {
            Before::Statement(name, statement) if name.is_empty() => *statement = None,
            Before::Text(_, (name, _), there) if name.is_empty() => *there = None,
            _ => {}
        }
    }

    /// Whether it is about the statement, or portal, of this name.
    pub(super) fn concerns(&self, target: Target, name: &Bytes) -> bool {
        match (target, self) {
            (Target::Statement, Before::Statement(known, _))
            | (Target::Portal, Before::Portal(known, _) | Before::Fresh(known)) => known == name,
            _ => false,
        }
    }
}
