//! The order in which the changes of one transaction go into the secondary.

use std::cmp::Ordering;

use crossfade_phase::Side;

use crate::{Change, ForeignKey, Key, Mapping, TableId};

/// The order of a mapping's tables by the foreign keys that one store has between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOrder {
    /// By [`TableId`]: its place, parents before children.
    rank: Vec<usize>,
    /// By [`TableId`]: whether another table or itself points to it.
    referenced: Vec<bool>,
    /// Tables for which no order is right: they point to each other in a circle, or to themselves.
    circular: Vec<TableId>,
}

impl Mapping {
    /// The order for writes into the store of `target`.
    #[must_use]
    pub fn write_order(&self, target: Side) -> WriteOrder {
        let parents: Vec<Vec<usize>> = self
            .tables
            .iter()
            .map(|table| {
                table
                    .on(target)
                    .foreign_keys
                    .iter()
                    .filter_map(|key| self.find(target, key))
                    .collect()
            })
            .collect();
        let mut rank = vec![usize::MAX; self.tables.len()];
        let mut circular = Vec::new();
        for place in 0..self.tables.len() {
            let open = |&table: &usize| rank[table] == usize::MAX;
            let ready = |table: &usize| {
                parents[*table]
                    .iter()
                    .all(|parent| !open(parent) || parent == table)
            };
            // Of those whose parents are placed the first, so that the order does not change from run to run.
            let next = (0..rank.len()).filter(open).find(ready);
            let next = next.or_else(|| {
                let in_a_circle = (0..rank.len()).find(open)?;
                circular.push(TableId(in_a_circle));
                Some(in_a_circle)
            });
            if let Some(next) = next {
                rank[next] = place;
            }
        }
        circular.extend(
            (0..parents.len())
                .filter(|table| parents[*table].contains(table))
                .map(TableId),
        );
        circular.sort_unstable();
        circular.dedup();
        let referenced = (0..rank.len())
            .map(|table| parents.iter().any(|parents| parents.contains(&table)))
            .collect();
        WriteOrder {
            rank,
            referenced,
            circular,
        }
    }

    /// The mapped table that `key` points to in the store of `side`.
    fn find(&self, side: Side, key: &ForeignKey) -> Option<usize> {
        self.tables
            .iter()
            .position(|table| table.on(side).name == key.parent)
    }
}

/// When a change has its turn.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// Nobody points to the row, and what it leaves free (a unique value, say) may be wanted by an upsert.
    DeleteUnreferenced(usize),
    /// Parents first.
    Upsert(usize),
    /// Children first, and after the upserts, which may have turned a child away from its parent.
    DeleteReferenced(std::cmp::Reverse<usize>),
}

impl WriteOrder {
    /// Tables for which no order is right: only a foreign key that is deferrable lets every batch through.
    #[must_use]
    pub fn circular(&self) -> &[TableId] {
        &self.circular
    }

    /// The tables, parents before children.
    #[must_use]
    pub fn tables(&self) -> Vec<TableId> {
        let mut tables: Vec<TableId> = (0..self.rank.len()).map(TableId).collect();
        tables.sort_by_key(|table| self.rank[table.0]);
        tables
    }

    /// Sorts one transaction's changes so that they break no foreign key on their way, whatever the order in which the primary made
    /// them: deletes where nobody points, upserts from parents to children, the other deletes from children to parents; each by key.
    ///
    /// Two transactions that change the same rows are kept apart by the primary's row locks, so that their order here cannot
    /// make them wait for each other (trap 2).
    pub fn sort(&self, mapping: &Mapping, batch: &mut [(TableId, Change)]) {
        let turn = |(table, change): &(TableId, Change)| {
            let rank = self.rank[table.0];
            match change {
                Change::Upsert(_) => Turn::Upsert(rank),
                Change::Delete(_) if self.referenced[table.0] => {
                    Turn::DeleteReferenced(std::cmp::Reverse(rank))
                }
                Change::Delete(_) => Turn::DeleteUnreferenced(rank),
            }
        };
        batch.sort_unstable_by(|left, right| {
            turn(left)
                .cmp(&turn(right))
                .then_with(|| by_key(mapping, left, right))
        });
    }
}

fn by_key(mapping: &Mapping, left: &(TableId, Change), right: &(TableId, Change)) -> Ordering {
    key_parts(mapping, left).cmp(key_parts(mapping, right))
}

/// The key of a change, without a copy of it.
fn key_parts<'a>(
    mapping: &'a Mapping,
    (table, change): &'a (TableId, Change),
) -> impl Iterator<Item = Option<&'a [u8]>> {
    let (row, key) = match change {
        Change::Upsert(row) => (Some(row), None),
        Change::Delete(Key(key)) => (None, Some(key)),
    };
    let of_row = row.into_iter().flat_map(move |row| {
        mapping.tables[table.0]
            .key
            .iter()
            .map(move |&column| row.0[column].as_deref())
    });
    of_row.chain(key.into_iter().flatten().map(|part| Some(&part[..])))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use crossfade_config::QualifiedName;

    use super::*;
    use crate::{FkAction, Relation, Row, TableMap};

    fn name(name: &str) -> QualifiedName {
        QualifiedName {
            schema: "public".into(),
            name: name.into(),
        }
    }

    fn mapping(tables: &[(&str, &[&str])]) -> Mapping {
        let tables = tables.iter().enumerate().map(|(id, (table, parents))| {
            let mut relation = Relation::named(name(table));
            relation.foreign_keys = parents
                .iter()
                .map(|parent| ForeignKey {
                    name: format!("{table}_{parent}"),
                    child: name(table),
                    columns: vec![],
                    parent: name(parent),
                    parent_columns: vec![],
                    on_delete: FkAction::Refuse,
                    on_update: FkAction::Refuse,
                    deferrable: false,
                    initially_deferred: false,
                    match_full: false,
                    set_columns: Vec::new(),
                })
                .collect();
            TableMap {
                id: TableId(id),
                toggle: "t".into(),
                old: relation.clone(),
                new: relation,
                columns: vec![],
                key: vec![0],
                version: None,
                dropped: vec![],
            }
        });
        Mapping {
            tables: tables.collect(),
            ..Mapping::default()
        }
    }

    fn upsert(table: usize, key: &'static str) -> (TableId, Change) {
        (
            TableId(table),
            Change::Upsert(Row(vec![Some(Bytes::from_static(key.as_bytes()))])),
        )
    }

    fn delete(table: usize, key: &'static str) -> (TableId, Change) {
        (
            TableId(table),
            Change::Delete(Key(vec![Bytes::from_static(key.as_bytes())])),
        )
    }

    #[test]
    fn parents_are_written_before_their_children_and_deleted_after_them() {
        let mapping = mapping(&[
            ("item", &["order"]),
            ("order", &["customer"]),
            ("customer", &[]),
        ]);
        let order = mapping.write_order(Side::New);
        let mut batch = vec![
            delete(2, "9"),
            upsert(0, "1"),
            upsert(1, "2"),
            delete(1, "8"),
            upsert(2, "3"),
            delete(0, "7"),
            upsert(2, "2"),
        ];
        order.sort(&mapping, &mut batch);
        assert_eq!(
            batch,
            [
                delete(0, "7"),
                upsert(2, "2"),
                upsert(2, "3"),
                upsert(1, "2"),
                upsert(0, "1"),
                delete(1, "8"),
                delete(2, "9")
            ]
        );
        assert!(order.circular().is_empty());
    }

    #[test]
    fn tables_in_a_circle_are_named() {
        let mapping = mapping(&[
            ("a", &["b"]),
            ("b", &["a"]),
            ("tree", &["tree"]),
            ("leaf", &[]),
        ]);
        assert_eq!(
            mapping.write_order(Side::New).circular(),
            [TableId(0), TableId(2)]
        );
    }
}
