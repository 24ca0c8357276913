//! What the secondary's own foreign keys change in it, and nothing changes in the primary: the other store is given images, and its constraints act on them as
//! they act on any write. Where the primary has the same constraint, whatever it does itself is followed row by row, or it lets no row be left that could be
//! acted on (docs/decision/24).

use crossfade_phase::Side;

use crate::{FkAction, ForeignKey, Mapping, TableId, TableMap};

/// What the secondary is given of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Given {
    /// A delete.
    Delete,
    /// An image, which may be another than the one that is there.
    Image,
}

impl Mapping {
    /// The same foreign key as `key` of the store of `side`, in the other store.
    #[must_use]
    pub fn twin(&self, side: Side, key: &ForeignKey) -> Option<&ForeignKey> {
        let (child, parent) = (
            self.named(side, &key.child)?,
            self.named(side, &key.parent)?,
        );
        let other = side.other();
        let columns = over(child, side, &key.columns)?;
        let parent_columns = over(parent, side, &key.parent_columns)?;
        child.on(other).foreign_keys.iter().find(|twin| {
            twin.parent == parent.on(other).name
                && twin.columns == columns
                && twin.parent_columns == parent_columns
        })
    }

    /// The mapped tables whose rows the store of `secondary` may change by itself when it is given a row of `table` so, and the primary does not.
    #[must_use]
    pub fn changed_alone<'m>(
        &'m self,
        table: &'m TableMap,
        secondary: Side,
        given: Given,
    ) -> Vec<TableId> {
        if table.old.shapeless || table.new.shapeless {
            return Vec::new();
        }
        let first = table.on(secondary).referenced_by.iter();
        let first = first
            .filter(|key| sets_off(table, secondary, key, given))
            .filter(|key| self.twin(secondary, key).is_none());
        self.reached(secondary, first.collect())
    }

    /// The mapped tables that actions of foreign keys of `secondary` reach from rows of `table` where the primary has documents: it deletes their children itself, and
    /// nobody is told which. As long as the secondary gets every delete, its own constraint does the same.
    #[must_use]
    pub fn acted_on<'m>(&'m self, table: &'m TableMap, secondary: Side) -> Vec<TableId> {
        if !table.on(secondary.other()).shapeless {
            return Vec::new();
        }
        let first = table.on(secondary).referenced_by.iter();
        self.reached(secondary, first.filter(|key| acts(key)).collect())
    }

    fn reached<'m>(&'m self, secondary: Side, mut open: Vec<&'m ForeignKey>) -> Vec<TableId> {
        let mut found: Vec<TableId> = Vec::new();
        while let Some(key) = open.pop() {
            let Some(child) = self.named(secondary, &key.child) else {
                continue;
            };
            if !found.contains(&child.id) {
                found.push(child.id);
                // What is deleted or changed there sets off what it may, whatever the primary has: nothing happens to its rows.
                open.extend(
                    child
                        .on(secondary)
                        .referenced_by
                        .iter()
                        .filter(|key| acts(key)),
                );
            }
        }
        found
    }
}

fn acts(key: &ForeignKey) -> bool {
    key.on_delete != FkAction::Refuse || key.on_update != FkAction::Refuse
}

/// An image never changes the key of the row that it is written over.
fn sets_off(parent: &TableMap, side: Side, key: &ForeignKey, given: Given) -> bool {
    let of_key = |column: &String| {
        let mut names = parent
            .key
            .iter()
            .map(|&index| &parent.columns[index].on(side).name);
        names.any(|name| name == column)
    };
    match given {
        Given::Delete => key.on_delete != FkAction::Refuse,
        Given::Image => key.on_update != FkAction::Refuse && !key.parent_columns.iter().all(of_key),
    }
}

/// The names of these columns in the other store; `None` when one is not carried.
fn over(table: &TableMap, side: Side, names: &[String]) -> Option<Vec<String>> {
    let find = |name: &String| {
        let column = table
            .columns
            .iter()
            .find(|column| column.on(side).name == *name);
        column.map(|column| column.on(side.other()).name.clone())
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use crossfade_config::QualifiedName;

    use super::*;
    use crate::{Column, ColumnMap, Relation};

    fn name(name: &str) -> QualifiedName {
        QualifiedName {
            schema: "public".into(),
            name: name.into(),
        }
    }

    /// Tables `a` to `d` with `id` (the key), `up` and `code`; in the new store the columns have a `_` behind them.
    fn mapping(old: &[ForeignKey], new: &[ForeignKey]) -> Mapping {
        let column = |name: String| Column {
            name,
            ..Column::default()
        };
        let relation = |table: &str, keys: &[ForeignKey]| Relation {
            foreign_keys: keys
                .iter()
                .filter(|key| key.child.name == table)
                .cloned()
                .collect(),
            referenced_by: keys
                .iter()
                .filter(|key| key.parent.name == table)
                .cloned()
                .collect(),
            ..Relation::named(name(table))
        };
        let table = |(id, table): (usize, &str)| TableMap {
            id: TableId(id),
            toggle: "shop".into(),
            old: relation(table, old),
            new: relation(table, new),
            columns: ["id", "up", "code"]
                .map(|name| ColumnMap {
                    old: column(name.into()),
                    new: column(format!("{name}_")),
                })
                .into(),
            key: vec![0],
            version: None,
            dropped: Vec::new(),
        };
        Mapping {
            tables: ["a", "b", "c", "d"]
                .into_iter()
                .enumerate()
                .map(table)
                .collect(),
            ..Mapping::default()
        }
    }

    fn key(
        child: &str,
        column: &str,
        parent: &str,
        points_to: &str,
        actions: [FkAction; 2],
    ) -> ForeignKey {
        ForeignKey {
            name: format!("{child}_{column}"),
            child: name(child),
            columns: vec![column.into()],
            parent: name(parent),
            parent_columns: vec![points_to.into()],
            on_delete: actions[0],
            on_update: actions[1],
            deferrable: false,
            initially_deferred: false,
            match_full: false,
            set_columns: Vec::new(),
        }
    }

    fn found(mapping: &Mapping, secondary: Side, given: Given) -> Vec<usize> {
        let found = mapping.changed_alone(&mapping.tables[0], secondary, given);
        found.into_iter().map(|table| table.0).collect()
    }

    #[test]
    fn trap_10_only_what_has_no_twin_acts_alone_and_all_below_it() {
        use FkAction::{Cascade, Refuse, SetNull};
        let below = key("c", "up", "b", "id", [Cascade, Refuse]);
        let below_new = key("c", "up_", "b", "id_", [Cascade, Refuse]);
        let old = [key("b", "up", "a", "id", [SetNull, Cascade]), below.clone()];
        // The twin of what is below stands for what the primary does, and the primary does nothing to `b`.
        let alone = mapping(&old, std::slice::from_ref(&below_new));
        assert_eq!(found(&alone, Side::Old, Given::Delete), [1, 2]);
        // The key that it points to is never changed by an image.
        assert!(found(&alone, Side::Old, Given::Image).is_empty());
        assert!(found(&alone, Side::New, Given::Delete).is_empty());
        // What refuses in the primary leaves nothing to act on.
        for action in [SetNull, Cascade, Refuse] {
            let twin = key("b", "up_", "a", "id_", [action, Refuse]);
            let both = mapping(&old, &[twin, below_new.clone()]);
            assert!(found(&both, Side::Old, Given::Delete).is_empty());
        }
        // The same tables by another column is another constraint.
        let other = key("b", "code_", "a", "id_", [SetNull, Cascade]);
        assert_eq!(
            found(&mapping(&old, &[other]), Side::Old, Given::Delete),
            [1, 2]
        );
        let refuses = mapping(&[key("b", "up", "a", "id", [Refuse, Refuse])], &[]);
        assert!(found(&refuses, Side::Old, Given::Delete).is_empty());
    }

    #[test]
    fn trap_10_an_image_acts_alone_on_what_points_outside_of_the_key() {
        use FkAction::{Cascade, Refuse};
        let new = [
            key("d", "up_", "a", "code_", [Refuse, Cascade]),
            key("d", "code_", "d", "up_", [Cascade, Cascade]),
        ];
        let mapping = mapping(&[], &new);
        assert_eq!(found(&mapping, Side::New, Given::Image), [3]);
        assert!(found(&mapping, Side::New, Given::Delete).is_empty());
        assert!(found(&mapping, Side::Old, Given::Image).is_empty());
    }
}
