//! Parents before children, so that a copied row finds what its foreign keys point to.

use std::collections::BTreeSet;

use crossfade_phase::Side;
use crossfade_store::{Mapping, TableId, TableMap};

/// All tables, each after the mapped ones that its foreign keys in the store of `target` point to. Tables in a circle come in the mapping's order.
pub(super) fn parents_first(mapping: &Mapping, target: Side) -> Vec<TableId> {
    let mut order = Vec::with_capacity(mapping.tables.len());
    let mut placed = BTreeSet::new();
    while order.len() < mapping.tables.len() {
        let waiting = || {
            mapping
                .tables
                .iter()
                .filter(|table| !placed.contains(&table.id))
        };
        let free = waiting().find(|table| {
            parents(mapping, table, target)
                .all(|parent| parent == table.id || placed.contains(&parent))
        });
        // In a circle none is free.
        let Some(next) = free.or_else(|| waiting().next()).map(|table| table.id) else {
            break;
        };
        placed.insert(next);
        order.push(next);
    }
    order
}

fn parents<'m>(
    mapping: &'m Mapping,
    table: &'m TableMap,
    target: Side,
) -> impl Iterator<Item = TableId> + 'm {
    table
        .on(target)
        .foreign_keys
        .iter()
        .filter_map(move |key| mapping.named(target, &key.parent))
        .map(|table| table.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossfade_config::QualifiedName;
    use crossfade_store::{FkAction, ForeignKey, Relation};

    fn name(name: &str) -> QualifiedName {
        QualifiedName {
            schema: "public".into(),
            name: name.into(),
        }
    }

    fn mapping(tables: &[(&str, &[&str])]) -> Mapping {
        let table = |(index, (child, parents)): (usize, &(&str, &[&str]))| {
            let key = |parent: &&str| ForeignKey {
                name: "fk".into(),
                child: name(child),
                columns: vec!["x".into()],
                parent: name(parent),
                parent_columns: vec!["id".into()],
                on_delete: FkAction::Refuse,
                on_update: FkAction::Refuse,
                deferrable: false,
                initially_deferred: false,
                match_full: false,
                set_columns: Vec::new(),
            };
            let new = Relation {
                foreign_keys: parents.iter().map(key).collect(),
                ..Relation::named(name(child))
            };
            TableMap {
                id: TableId(index),
                toggle: "shop".into(),
                old: Relation::named(name(child)),
                new,
                columns: Vec::new(),
                key: Vec::new(),
                version: None,
                dropped: Vec::new(),
            }
        };
        Mapping {
            tables: tables.iter().enumerate().map(table).collect(),
            ..Mapping::default()
        }
    }

    fn order(tables: &[(&str, &[&str])]) -> Vec<usize> {
        parents_first(&mapping(tables), Side::New)
            .into_iter()
            .map(|id| id.0)
            .collect()
    }

    #[test]
    fn children_come_after_their_parents() {
        assert_eq!(
            order(&[
                ("items", &["orders", "products"]),
                ("orders", &["customers"]),
                ("customers", &[]),
                ("products", &[])
            ]),
            [2, 1, 3, 0]
        );
    }

    #[test]
    fn a_table_that_points_to_itself_and_a_circle_come_all_the_same() {
        assert_eq!(
            order(&[("tree", &["tree"]), ("a", &["b"]), ("b", &["a"])]),
            [0, 1, 2]
        );
    }
}
