//! Rows that hold each other's unique values: two that were swapped, a hundred that moved up by one.
//!
//! None of them can be written before another one has let go of its value, so they are written together, each behind those that have what it is to get. Where that goes
//! round in a circle, one row of it has another value for that moment. Where none is found they are deleted for that moment, if nothing else is touched by that: the store
//! looks that up itself, and refuses.

mod groups;
mod spare;

use std::collections::HashMap;

use crossfade_store::{Aside, ColumnMap, Key, Row, StoreError, StoreResult};

use super::{Manner, Repair, Repaired, Unswept};
pub(crate) use groups::Group;

/// `unique_violation`
fn clashes(error: &StoreError) -> bool {
    matches!(error, StoreError::Rejected { sqlstate, .. } if sqlstate == "23505")
}

/// Those of the keys that a unique value keeps out.
pub(crate) fn clashing(keys: &[Key], outcomes: &[StoreResult<Repaired>]) -> Vec<Key> {
    let clashing =
        std::iter::zip(keys, outcomes).filter(|(_, outcome)| outcome.as_ref().is_err_and(clashes));
    clashing.map(|(key, _)| key.clone()).collect()
}

impl Repair<'_> {
    /// Repairs the rows of a group in one write, as [`Repair::many`] does; the same holds for its keys.
    ///
    /// # Errors
    /// What has kept them from being written together, where no row of them was; otherwise the outcome of each key, in the order of the group.
    pub(crate) async fn together(
        &self,
        group: &Group,
    ) -> Result<Vec<StoreResult<Repaired>>, String> {
        let aside = group.asides.is_some().then_some(Manner::Aside(group));
        let mut why = Vec::new();
        for manner in aside.into_iter().chain([Manner::Anew]) {
            match self.sweep(&group.keys, manner).await {
                Ok(swept) => {
                    let mut outcomes = Vec::with_capacity(swept.len());
                    for (key, done) in std::iter::zip(&group.keys, swept) {
                        outcomes.push(match done {
                            Some(done) => Ok(done),
                            None => self.one(key).await,
                        });
                    }
                    return Ok(outcomes);
                }
                Err(Unswept::Refused(refusal)) => why.push(refusal),
                // Another row than those has the value, which may let go of it yet.
                Err(Unswept::Store(error)) if clashes(&error) => {}
                Err(Unswept::Store(error)) => {
                    why.push(error.to_string());
                    if error.outcome_unknown() {
                        break;
                    }
                }
            }
        }
        Err(why.join("; "))
    }

    /// The values that the rows of a group may take meanwhile, best first. Only columns of the index are among them that no other row points to.
    pub(super) fn asides(&self, group: &Group, rows: &[Option<Row>]) -> Vec<Aside> {
        let rows: HashMap<&Key, &Row> = std::iter::zip(&group.keys, rows)
            .filter_map(|(key, row)| Some((key, row.as_ref()?)))
            .collect();
        let aside = |(key, index): &(Key, usize)| {
            let row = (*rows.get(key)?).clone();
            let tries = self.tries(*index, &row);
            Some(Aside { row, tries })
        };
        group.asides.iter().flatten().filter_map(aside).collect()
    }

    fn tries(&self, index: usize, row: &Row) -> Vec<(usize, Option<bytes::Bytes>)> {
        let (primary, secondary) = (self.primary.side(), self.secondary.side());
        let relation = self.table.on(secondary);
        let Some(index) = relation.unique.get(index) else {
            return Vec::new();
        };
        let is_pointed_to = |name: &String| {
            let mut keys = relation.referenced_by.iter();
            keys.any(|key| key.parent_columns.contains(name))
        };
        let may_change = |(place, column): &(usize, &ColumnMap)| {
            let column = column.on(secondary);
            index.columns.contains(&column.name)
                && !self.table.key.contains(place)
                && !column.generated
                && !column.identity_always
                && !is_pointed_to(&column.name)
        };
        let columns = self.table.columns.iter().enumerate().filter(may_change);
        let (mut nulls, mut values) = (Vec::new(), Vec::new());
        for (place, column) in columns {
            if !column.on(secondary).not_null {
                nulls.push((place, None));
            }
            if let Some(own) = &row.0[place] {
                let enums = &self.table.on(primary).enums;
                let spare = spare::values(column.on(primary), enums, own);
                values.extend(spare.into_iter().map(|value| (place, Some(value))));
            }
        }
        nulls.extend(values);
        nulls
    }
}

/// Adds to a clash what has kept the rows of a group from being written together, and what an operator can do about it.
pub(crate) fn explain(error: &mut StoreError, group: &Group, why: &str) {
    if let StoreError::Rejected { message, .. } = error
        && !why.is_empty()
        && !message.contains(why)
    {
        let rows = group.keys.len();
        *message = format!("{message}; {rows} rows exchange such values, {ADVICE}: {why}");
    }
}

/// Dropping the constraint is the way where the values themselves leave no room.
const ADVICE: &str = "and the proxy could not bring them out of each other's way; give one of them, in this store, a value that no row has, or drop the constraint there \
    until they are repaired";
