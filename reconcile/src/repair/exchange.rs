//! Rows that hold each other's unique values: two that were swapped, a hundred that moved up by one.
//!
//! None of them can be written before another one has let go of its value, so they are written together: first all of them are brought out of each other's way, then each
//! gets its right values. Each keeps its key, and gets values that nobody has where they clash. Where there are none for the type of a column they are deleted for that moment, if no
//! row points to them and they have no column that is not carried: a delete would act on the ones and lose the others.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
};

use bytes::Bytes;
use crossfade_store::{Column, ColumnMap, Form, Key, Row, Store, StoreError, StoreResult};

use super::{Manner, Repair, Repaired};

/// Dirty keys of the table among which the rows that are in the way are looked for, and so the most that are written together.
const LOOKED_THROUGH: usize = 10_000;

/// Keys looked up at once.
const BATCH: usize = 500;

/// The number of a unique index, and what a row has in its columns.
type Unique = (usize, Vec<Bytes>);

/// `unique_violation`
fn clashes(outcome: &StoreResult<Repaired>) -> bool {
    matches!(outcome, Err(StoreError::Rejected { sqlstate, .. }) if sqlstate == "23505")
}

impl Repair<'_> {
    /// Repairs those of the keys that a unique value keeps out, together with the dirty keys whose rows have it. Those are marked still, and find their rows in
    /// order when their turn comes. What is not mended keeps the error that it had.
    pub(super) async fn exchange(&self, keys: &[Key], outcomes: &mut [StoreResult<Repaired>]) {
        let relation = self.table.on(self.secondary.side());
        let is_clashing = |outcomes: &[StoreResult<Repaired>]| -> Vec<usize> {
            (0..outcomes.len())
                .filter(|&index| clashes(&outcomes[index]))
                .collect()
        };
        if is_clashing(outcomes).is_empty() {
            return;
        }
        // A delete acts on what points to the row, and takes what is not carried along with it.
        let carries_all = relation.columns.iter().all(|column| {
            let mut carried = self.table.columns.iter();
            column.generated || carried.any(|map| map.on(self.secondary.side()).name == column.name)
        });
        let mut manners = vec![Manner::Aside];
        if relation.referenced_by.is_empty() && carries_all {
            manners.push(Manner::Anew);
        }
        for manner in &manners {
            let clashing: Vec<Key> = is_clashing(outcomes)
                .into_iter()
                .map(|index| keys[index].clone())
                .collect();
            if clashing.is_empty() {
                return;
            }
            // A store that does not answer has said so.
            for group in self.in_each_others_way(&clashing).await.unwrap_or_default() {
                self.together(&group, *manner, keys, outcomes).await;
            }
        }
        // Where the values are that clash, no catalog says of every constraint.
        let left: Vec<Key> = is_clashing(outcomes)
            .into_iter()
            .map(|index| keys[index].clone())
            .collect();
        if left.len() > 1 && manners.contains(&Manner::Anew) {
            self.together(&left, Manner::Anew, keys, outcomes).await;
        }
    }

    async fn together(
        &self,
        group: &[Key],
        manner: Manner,
        keys: &[Key],
        outcomes: &mut [StoreResult<Repaired>],
    ) {
        let Ok(swept) = self.sweep(group, manner).await else {
            return;
        };
        let places: HashMap<&Key, usize> = std::iter::zip(keys, 0..).collect();
        let mut others = Vec::new();
        for (key, done) in std::iter::zip(group, swept) {
            match (places.get(key), done) {
                (Some(&index), Some(done)) => outcomes[index] = Ok(done),
                (None, _) => others.push(key.clone()),
                (Some(_), None) => {}
            }
        }
        // They have been refused for as long as this was not done, and would wait.
        for mark in self.ledger.marks(self.table, &others).iter().flatten() {
            self.ledger.give_back(mark);
        }
    }

    /// Groups of two and more: each of these keys with the dirty ones that have a value which its row is to get, and so on.
    async fn in_each_others_way(&self, clashing: &[Key]) -> StoreResult<Vec<Vec<Key>>> {
        let primary = self.primary.side();
        let known: HashSet<&Key> = clashing.iter().collect();
        let mut all: Vec<Key> = clashing.to_vec();
        let dirty = self.ledger.page(self.table, None, LOOKED_THROUGH);
        // What is stale in the primary is not repaired from there.
        let others = dirty.into_iter().filter(|dirty| !dirty.is_stale(primary));
        all.extend(
            others
                .map(|dirty| dirty.key)
                .filter(|key| !known.contains(key)),
        );
        let wanted = self.unique_values(self.primary, &all).await?;
        let held = self.unique_values(self.secondary, &all).await?;
        let mut holders: HashMap<&Unique, usize> = HashMap::new();
        for (holder, values) in held.iter().enumerate() {
            holders.extend(values.iter().map(|value| (value, holder)));
        }
        let mut group_of: Vec<usize> = (0..all.len()).collect();
        let mut reached = vec![false; all.len()];
        let mut open: Vec<usize> = (0..clashing.len()).collect();
        while let Some(at) = open.pop() {
            if std::mem::replace(&mut reached[at], true) {
                continue;
            }
            for &holder in wanted[at].iter().filter_map(|value| holders.get(value)) {
                let (one, other) = (first_of(&mut group_of, at), first_of(&mut group_of, holder));
                group_of[one] = other;
                open.push(holder);
            }
        }
        let mut groups: BTreeMap<usize, Vec<Key>> = BTreeMap::new();
        for (at, key) in all.into_iter().enumerate().filter(|(at, _)| reached[*at]) {
            groups
                .entry(first_of(&mut group_of, at))
                .or_default()
                .push(key);
        }
        Ok(groups
            .into_values()
            .filter(|group| group.len() > 1)
            .collect())
    }

    /// What the rows of the keys have in the columns of the secondary's unique indexes. No more is kept of them: there may be many.
    async fn unique_values(
        &self,
        store: &dyn Store,
        keys: &[Key],
    ) -> StoreResult<Vec<Vec<Unique>>> {
        let secondary = self.secondary.side();
        let place = |name: &String| {
            let mut columns = self.table.columns.iter();
            columns.position(|column| column.on(secondary).name == *name)
        };
        let indexes = self.table.on(secondary).unique.iter();
        let indexes: Vec<Vec<usize>> = indexes
            .filter_map(|index| index.columns.iter().map(place).collect())
            .collect();
        let unique = |row: Row| -> Vec<Unique> {
            let indexes = indexes.iter().enumerate();
            indexes
                .filter_map(|(index, places)| Some((index, values(&row, places)?)))
                .collect()
        };
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(BATCH) {
            let rows = store.fetch(self.table, keys, Form::Comparable).await?;
            found.extend(
                rows.into_iter()
                    .map(|row| row.map(unique).unwrap_or_default()),
            );
        }
        Ok(found)
    }

    /// The row with values in it that clash with nobody's. Only the columns of unique indexes differ, and none that another row may point to.
    pub(super) fn aside(&self, row: &Row) -> Row {
        let secondary = self.secondary.side();
        let relation = self.table.on(secondary);
        let is_pointed_to = |name: &String| {
            let mut keys = relation.referenced_by.iter();
            keys.any(|key| key.parent_columns.contains(name))
        };
        let mut row = row.clone();
        for index in &relation.unique {
            let of_index = |(place, column): &(usize, &ColumnMap)| {
                let column = column.on(secondary);
                index.columns.contains(&column.name)
                    && !self.table.key.contains(place)
                    && !column.generated
                    && !column.identity_always
                    && !is_pointed_to(&column.name)
            };
            let columns: Vec<(usize, &ColumnMap)> = self
                .table
                .columns
                .iter()
                .enumerate()
                .filter(of_index)
                .collect();
            let nullable = |(_, column): &&(usize, &ColumnMap)| {
                let column = column.on(secondary);
                let domain = column.domain.as_ref();
                !column.not_null && domain.is_none_or(|domain| !domain.not_null)
            };
            if let Some((place, _)) = columns
                .iter()
                .find(nullable)
                .filter(|_| !index.nulls_not_distinct)
            {
                row.0[*place] = None;
                continue;
            }
            let valued = columns
                .iter()
                .find_map(|(place, column)| Some((*place, nobodys(&column.old, &column.new)?)));
            if let Some((place, value)) = valued {
                row.0[place] = Some(value);
            }
        }
        row
    }
}

/// The one that stands for a group, by one of its members.
fn first_of(group_of: &mut [usize], mut at: usize) -> usize {
    while group_of[at] != at {
        group_of[at] = group_of[group_of[at]];
        at = group_of[at];
    }
    at
}

/// `None` where one is NULL: such a row is in nobody's way, or in few.
fn values(row: &Row, places: &[usize]) -> Option<Vec<Bytes>> {
    let value = |place: &usize| row.0.get(*place).cloned().flatten();
    places.iter().map(value).collect()
}

/// A value that in all likelihood no row has; one that is there all the same is refused, and another one is tried with the next repair. `None` for types that
/// have too few. Great rather than small: many columns take nothing below zero.
fn nobodys(old: &Column, new: &Column) -> Option<Bytes> {
    let random = RandomState::new().hash_one(0_u8);
    let kinds = [kind(old)?, kind(new)?];
    let text = match kinds {
        [Kind::Number(one), Kind::Number(other)] => {
            let half = one.min(other) / 2;
            (half + random % half).to_string()
        }
        [Kind::Text(one), Kind::Text(other)] => {
            let length = one.min(other);
            let mut text = format!("{random:016x}");
            text.truncate(length);
            text
        }
        [Kind::Uuid, Kind::Uuid] => {
            let more = RandomState::new().hash_one(1_u8);
            format!(
                "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                random >> 32,
                (random >> 16) & 0xffff,
                random & 0xfff,
                more >> 52,
                more & 0xffff_ffff_ffff
            )
        }
        _differ => return None,
    };
    Some(Bytes::from(text))
}

/// What [`nobodys`] knows values of.
enum Kind {
    /// Whole numbers up to this one.
    Number(u64),
    /// Text of up to as many characters.
    Text(usize),
    Uuid,
}

fn kind(column: &Column) -> Option<Kind> {
    /// Characters of 64 bits.
    const ALL: usize = 16;
    // What a domain accepts, only the store knows.
    Some(match column.type_oid {
        21 => Kind::Number(0x7fff),
        23 => Kind::Number(0x7fff_ffff),
        20 => Kind::Number(0x7fff_ffff_ffff_ffff),
        25 => Kind::Text(ALL),
        // The modifier of `varchar(n)` is n + 4, and -1 where it has none.
        1043 => match usize::try_from(column.modifier) {
            Ok(modifier) => Kind::Text(modifier.saturating_sub(4).min(ALL)),
            Err(_unlimited) => Kind::Text(ALL),
        },
        2950 => Kind::Uuid,
        _another => return None,
    })
}
