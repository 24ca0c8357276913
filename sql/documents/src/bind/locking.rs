//! FOR UPDATE and its kin.

use crossfade_values::{Error, Result};
use pg_query::{
    Node, NodeEnum,
    protobuf::{LockClauseStrength, LockWaitPolicy, LockingClause},
};

use super::{Binder, inner, place, select::mark_whole};
use crate::plan::{From, Locking, Wait};

impl Binder<'_> {
    pub(super) fn locking(&mut self, clauses: &[Node], from: &mut From) -> Result<Option<Locking>> {
        let mut made: Option<Locking> = None;
        for clause in clauses {
            let NodeEnum::LockingClause(clause) = inner(clause)? else {
                return Err(Error::unsupported("this form of FOR UPDATE"));
            };
            let bases = self.locked(clause)?;
            mark_whole(from, &bases);
            let wait = match clause.wait_policy() {
                LockWaitPolicy::LockWaitSkip => Wait::Skip,
                LockWaitPolicy::LockWaitError => Wait::Fail,
                _ => Wait::Block,
            };
            match &mut made {
                None => made = Some(Locking { bases, wait }),
                Some(known) if known.wait == wait => known.bases.extend(bases),
                Some(_) => return Err(Error::unsupported("FOR UPDATE with two ways to wait")),
            }
        }
        Ok(made)
    }

    fn locked(&mut self, clause: &LockingClause) -> Result<Vec<usize>> {
        let relations = self.frame().relations.clone();
        let mapped = relations.iter().filter(|relation| relation.table.is_some());
        if clause.locked_rels.is_empty() {
            return Ok(mapped.map(|relation| relation.base).collect());
        }
        let mut bases = Vec::new();
        for node in &clause.locked_rels {
            let NodeEnum::RangeVar(range) = inner(node)? else {
                continue;
            };
            let found = relations
                .iter()
                .find(|relation| relation.name == range.relname);
            match found {
                Some(relation) if relation.table.is_some() => bases.push(relation.base),
                Some(_) => {
                    return Err(Error::unsupported("FOR UPDATE of anything but a table")
                        .at(place(range.location)));
                }
                None => {
                    let word = strength_of(clause);
                    return Err(Error::new(
                        "42P01",
                        format!(
                            "relation \"{}\" in {word} clause not found in FROM clause",
                            range.relname
                        ),
                    )
                    .at(place(range.location)));
                }
            }
        }
        Ok(bases)
    }
}

pub(super) fn strength(clauses: &[Node]) -> &'static str {
    let first = clauses.first().and_then(|clause| clause.node.as_ref());
    match first {
        Some(NodeEnum::LockingClause(clause)) => strength_of(clause),
        _ => "FOR UPDATE",
    }
}

fn strength_of(clause: &LockingClause) -> &'static str {
    match clause.strength() {
        LockClauseStrength::LcsForkeyshare => "FOR KEY SHARE",
        LockClauseStrength::LcsForshare => "FOR SHARE",
        LockClauseStrength::LcsFornokeyupdate => "FOR NO KEY UPDATE",
        _ => "FOR UPDATE",
    }
}
