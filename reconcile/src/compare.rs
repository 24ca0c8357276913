//! The comparison of one row, for the reads of phase 4.

use crossfade_store::{Key, TableId};

use crate::{Difference, Direction, Engine, Error, Why, verify::Scope};

/// What a comparison of one row found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// Both stores have the same row, or none.
    Equal,
    /// They differ, and the journal knows the key already: nothing new to report.
    Known,
    /// They differ, stably. The key is dirty now.
    Differs(Difference),
    /// They differ, stably, and another proxy may know of the key that the primary's row is the older one: nothing is marked, and nothing is repaired.
    LeftAlone(Difference),
}

impl Engine {
    /// Compares the row of `key` in both stores and reads it again until the answer is certain, which takes some hundred milliseconds when
    /// they seem to differ: for a background task, not for the path of a client. A difference is marked dirty for the repairer (trap 35: a
    /// reported difference is a real one), where it is known that the primary's row counts (trap 38). May be dropped at any point.
    ///
    /// # Errors
    /// [`Error`]; nothing is marked then.
    pub async fn compare_key(
        &self,
        table: TableId,
        key: &Key,
        values: bool,
    ) -> Result<Comparison, Error> {
        let map = self.map(table);
        let published = self.published(map).await?;
        let standing = self.ledger.standing(map, Direction::Forward);
        let scope = Scope::of(Direction::Forward, published.phase, standing)?;
        let mut settled = self.settle(map, scope, vec![key.clone()], values).await?;
        let Some(difference) = settled.differences.pop() else {
            return Ok(if settled.pending.is_empty() {
                Comparison::Equal
            } else {
                Comparison::Known
            });
        };
        if let Some(secondary) = published.phase.secondary() {
            if let Err(why) = self.ledger.knows_all_stale(map, secondary.other()) {
                tracing::debug!(table = %map.old.name, %why, "a difference is left alone");
                return Ok(Comparison::LeftAlone(difference));
            }
            self.ledger
                .mark(map, std::slice::from_ref(key), secondary, Why::Read)
                .await?;
        }
        Ok(Comparison::Differs(difference))
    }
}
