//! Which rows are in each other's way, and in which order they can be written.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use crossfade_store::{Form, Key, Row, Store, StoreResult};

use crate::repair::Repair;

/// Dirty keys of the table among which the rows that are in the way are looked for, and so the most that are written together.
const LOOKED_THROUGH: usize = 10_000;

/// Keys looked up at once.
const BATCH: usize = 500;

/// The number of a unique index, and what a row has in its columns.
type Unique = (usize, Vec<Bytes>);

/// Rows that are written together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// Each behind those that have a value which it is to get.
    pub(crate) keys: Vec<Key>,
    /// Where that goes round in a circle: the row that has to let go of its value before, with the number of the unique index. `None` where no catalog says whose values
    /// those are: of an index with a predicate or an expression.
    pub(in crate::repair) asides: Option<Vec<(Key, usize)>>,
}

impl Group {
    /// Rows that are in each other's way for all that anybody knows.
    pub(crate) fn unknown(keys: Vec<Key>) -> Group {
        Group { keys, asides: None }
    }
}

impl Repair<'_> {
    /// Groups of two and more: each of these keys with the dirty ones that have a value which its row is to get, and so on.
    pub(crate) async fn in_each_others_way(&self, clashing: &[Key]) -> StoreResult<Vec<Group>> {
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
        Ok(groups(&all, clashing.len(), &wanted, &held))
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
        let indexes = self.table.on(secondary).unique.iter().enumerate();
        let indexes: Vec<(usize, Vec<usize>)> = indexes
            .filter_map(|(number, index)| {
                let places: Option<Vec<usize>> = index.columns.iter().map(place).collect();
                Some((number, places?))
            })
            .collect();
        let unique = |row: Row| -> Vec<Unique> {
            let indexes = indexes.iter();
            indexes
                .filter_map(|(index, places)| Some((*index, values(&row, places)?)))
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
}

/// NULLs are in nobody's way.
fn values(row: &Row, places: &[usize]) -> Option<Vec<Bytes>> {
    places.iter().map(|&place| row.0[place].clone()).collect()
}

/// What the first `clashing` of `all` come to, from a row to those that have what it is to get.
fn groups(
    all: &[Key],
    clashing: usize,
    wanted: &[Vec<Unique>],
    held: &[Vec<Unique>],
) -> Vec<Group> {
    let mut holders: HashMap<&Unique, usize> = HashMap::new();
    for (holder, values) in held.iter().enumerate() {
        holders.extend(values.iter().map(|value| (value, holder)));
    }
    let mut walk = Walk {
        wanted,
        holders,
        seen: vec![Seen::Not; all.len()],
        group_of: (0..all.len()).collect(),
        order: Vec::new(),
        asides: BTreeSet::new(),
    };
    (0..clashing).for_each(|start| walk.from(start));
    let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
    for at in std::mem::take(&mut walk.order) {
        let group = groups.entry(walk.group_of(at)).or_default();
        group.keys.push(all[at].clone());
    }
    for (at, index) in std::mem::take(&mut walk.asides) {
        let group = groups.entry(walk.group_of(at)).or_default();
        let asides = group.asides.get_or_insert_default();
        asides.push((all[at].clone(), index));
    }
    for group in groups.values_mut() {
        group.asides.get_or_insert_default();
    }
    groups.retain(|_, group| group.keys.len() > 1);
    groups.into_values().collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Not,
    /// It is on the way from where the walk began to where it is.
    OnTheWay,
    /// All that have what it is to get are in the order before it.
    Placed,
}

/// Depth first, without recursion: a circle may be as long as there are rows.
struct Walk<'a> {
    wanted: &'a [Vec<Unique>],
    holders: HashMap<&'a Unique, usize>,
    seen: Vec<Seen>,
    group_of: Vec<usize>,
    order: Vec<usize>,
    asides: BTreeSet<(usize, usize)>,
}

impl Walk<'_> {
    fn from(&mut self, start: usize) {
        if self.seen[start] != Seen::Not {
            return;
        }
        self.seen[start] = Seen::OnTheWay;
        // With the next of its values to look at.
        let mut way = vec![(start, 0)];
        while let Some((at, next)) = way.last_mut() {
            let at = *at;
            let Some(value) = self.wanted[at].get(*next) else {
                self.seen[at] = Seen::Placed;
                self.order.push(at);
                way.pop();
                continue;
            };
            *next += 1;
            let Some(&holder) = self.holders.get(value).filter(|holder| **holder != at) else {
                continue;
            };
            let (one, other) = (self.group_of(at), self.group_of(holder));
            self.group_of[one] = other;
            match self.seen[holder] {
                Seen::Not => {
                    self.seen[holder] = Seen::OnTheWay;
                    way.push((holder, 0));
                }
                Seen::OnTheWay => drop(self.asides.insert((holder, value.0))),
                Seen::Placed => {}
            }
        }
    }

    /// The one that stands for a group, by one of its members.
    fn group_of(&mut self, mut at: usize) -> usize {
        while self.group_of[at] != at {
            self.group_of[at] = self.group_of[self.group_of[at]];
            at = self.group_of[at];
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        Key(vec![Bytes::from(n.to_string())])
    }

    /// Rows that have the first value of each pair in the only index and are to get the second.
    fn grouped(rows: &[(&str, &str)], clashing: usize) -> Vec<(String, String)> {
        let values = |pick: fn(&(&str, &str)) -> String| -> Vec<Vec<Unique>> {
            let values = rows.iter().map(pick);
            values
                .map(|value| vec![(0, vec![Bytes::from(value)])])
                .collect()
        };
        let all: Vec<Key> = (0..rows.len()).map(key).collect();
        let held = values(|(held, _)| (*held).to_owned());
        let wanted = values(|(_, wanted)| (*wanted).to_owned());
        let text = |keys: Vec<&Key>| -> String {
            let keys = keys
                .into_iter()
                .map(|key| String::from_utf8_lossy(&key.0[0]));
            keys.collect::<Vec<_>>().join(" ")
        };
        let groups = groups(&all, clashing, &wanted, &held);
        let told = groups.iter().map(|group| {
            let asides = group.asides.iter().flatten().map(|(key, _)| key).collect();
            (text(group.keys.iter().collect()), text(asides))
        });
        told.collect()
    }

    fn told(groups: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = groups
            .iter()
            .map(|(keys, asides)| ((*keys).into(), (*asides).into()));
        owned.collect()
    }

    #[test]
    fn one_row_of_a_circle_lets_go_first() {
        let circle = [("a", "b"), ("b", "c"), ("c", "a")];
        assert_eq!(grouped(&circle, 1), told(&[("2 1 0", "0")]));
        // The others of it, found again from there, change nothing.
        assert_eq!(grouped(&circle, 3), told(&[("2 1 0", "0")]));
    }

    #[test]
    fn a_row_that_moves_up_needs_none() {
        let chain = [("a", "b"), ("b", "c"), ("c", "d")];
        assert_eq!(grouped(&chain, 1), told(&[("2 1 0", "")]));
        assert_eq!(grouped(&chain[2..], 1), told(&[]));
    }

    #[test]
    fn rows_that_are_in_nobodys_way_are_left_out() {
        let rows = [("a", "b"), ("x", "y"), ("b", "a"), ("q", "q"), ("y", "x")];
        assert_eq!(grouped(&rows, 1), told(&[("2 0", "0")]));
        assert_eq!(grouped(&rows, 2), told(&[("2 0", "0"), ("4 1", "1")]));
    }

    #[test]
    fn a_circle_as_long_as_all_that_is_looked_through() {
        let names: Vec<String> = (0..=LOOKED_THROUGH)
            .map(|n| (n % LOOKED_THROUGH).to_string())
            .collect();
        let rows: Vec<_> = names.windows(2).map(|two| (&*two[0], &*two[1])).collect();
        let found = grouped(&rows, LOOKED_THROUGH);
        assert_eq!((found.len(), &*found[0].1), (1, "0"));
    }
}
