//! Referential actions: the rows of other tables that a DELETE or UPDATE changes by foreign keys, and the function that finds them in the primary
//! while the statement runs (docs/decision/24).

mod function;

use std::collections::BTreeSet;

use crossfade_phase::Side;
use crossfade_store::{FkAction, ForeignKey, Mapping, Relation, TableId, TableMap};

use super::facts::Kind;

/// What happens to a row that others point to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    /// It is deleted.
    Gone,
    /// These of its columns may change, by their names in the store: also what the store computes.
    Changed(BTreeSet<String>),
}

/// A foreign key that acts.
#[derive(Debug)]
struct Edge<'m> {
    /// The parent, as an index of [`Actions::nodes`].
    from: usize,
    key: &'m ForeignKey,
    /// The child.
    to: usize,
}

/// An UPDATE of the key reaches the secondary as a new row and a deleted one. Should that fail there and be repaired in any order, its own foreign keys act as for
/// a DELETE: what that may take along is then written anew.
fn moves(map: &TableMap, side: Side, event: &Event) -> bool {
    let name = |&index: &usize| &map.columns[index].on(side).name;
    matches!(event, Event::Changed(columns) if map.key.iter().map(name).any(|name| columns.contains(name)))
}

/// Everything that the actions of foreign keys may do to mapped tables on account of one statement in one store. Tables that are not mapped are left out.
#[derive(Debug)]
pub(crate) struct Actions<'m> {
    mapping: &'m Mapping,
    side: Side,
    /// What may happen to which table; first what the statement itself does.
    nodes: Vec<(TableId, Event)>,
    edges: Vec<Edge<'m>>,
}

impl<'m> Actions<'m> {
    /// What follows from a statement of `kind` that writes `table`; `None` when nothing does.
    ///
    /// # Errors
    /// Why it cannot be followed exactly, and what to do instead.
    pub(crate) fn of(
        mapping: &'m Mapping,
        side: Side,
        table: TableId,
        kind: &Kind,
    ) -> Result<Option<Actions<'m>>, String> {
        let map = &mapping.tables[table.0];
        if map.on(side).shapeless || map.on(side).referenced_by.is_empty() {
            return Ok(None);
        }
        let event = match kind {
            Kind::Delete(_) => Event::Gone,
            Kind::Update(facts) => changed(map, side, &facts.sets),
            Kind::Insert(facts) => match &facts.conflict {
                Some(conflict) if conflict.update => changed(map, side, &conflict.sets),
                _ => return Ok(None),
            },
            _ => return other(map, side),
        };
        let mut actions = Actions {
            mapping,
            side,
            nodes: vec![(table, event)],
            edges: Vec::new(),
        };
        actions.close()?;
        if actions.edges.is_empty() {
            return Ok(None);
        }
        if matches!(kind, Kind::Insert(_)) {
            return Err(format!(
                "ON CONFLICT DO UPDATE sets a column of \"{}\" that the foreign key \"{}\" points to, or one that it is computed from, and the value before it is not known; use UPDATE",
                map.old.name, actions.edges[0].key.name
            ));
        }
        Ok(Some(actions))
    }

    /// The tables whose rows may change, each once.
    pub(crate) fn tables(&self) -> BTreeSet<TableId> {
        self.edges
            .iter()
            .map(|edge| self.nodes[edge.to].0)
            .collect()
    }

    /// The columns of the statement's own table that foreign keys with an action point to, by their names in the store.
    pub(crate) fn columns(&self) -> Vec<&'m str> {
        let mut columns: Vec<&str> = Vec::new();
        for edge in self.edges.iter().filter(|edge| edge.from == 0) {
            for column in &edge.key.parent_columns {
                if !columns.contains(&column.as_str()) {
                    columns.push(column);
                }
            }
        }
        columns
    }

    /// Follows what is known so far to its end. Circles end where nothing new is found.
    fn close(&mut self) -> Result<(), String> {
        let mut from = 0;
        while let Some((table, event)) = self.nodes.get(from).cloned() {
            let parent = &self.mapping.tables[table.0];
            let moved = (from == 0 && moves(parent, self.side, &event)).then_some(Event::Gone);
            let events: Vec<Event> = std::iter::once(event).chain(moved).collect();
            for key in &parent.on(self.side).referenced_by {
                let Some(child) = self.mapping.named(self.side, &key.child) else {
                    continue;
                };
                let native = child.on(self.side);
                for happens in events
                    .iter()
                    .filter_map(|event| happens(native, key, event))
                {
                    followable(self.side, parent, child, key, &happens)?;
                    let to = self.node(child.id, happens);
                    self.edges.push(Edge { from, key, to });
                }
            }
            from += 1;
        }
        Ok(())
    }

    fn node(&mut self, table: TableId, event: Event) -> usize {
        let node = (table, event);
        let known = self.nodes.iter().position(|known| *known == node);
        known.unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        })
    }
}

/// MERGE and whatever else may write in more ways than one: which rows it deletes and which it changes is not known before.
fn other<'m>(map: &TableMap, side: Side) -> Result<Option<Actions<'m>>, String> {
    let acts =
        |key: &&ForeignKey| key.on_delete != FkAction::Refuse || key.on_update != FkAction::Refuse;
    match map.on(side).referenced_by.iter().find(acts) {
        None => Ok(None),
        Some(key) => Err(format!(
            "the foreign key \"{}\" may change rows of other tables on account of it; use INSERT, UPDATE or DELETE on \"{}\"",
            key.name, map.old.name
        )),
    }
}

fn changed(map: &TableMap, side: Side, sets: &[String]) -> Event {
    Event::Changed(map.changed(side, sets))
}

/// What becomes of the rows of `child` that point to a row.
fn happens(child: &Relation, key: &ForeignKey, event: &Event) -> Option<Event> {
    let some =
        |columns: &[String]| Event::Changed(child.changed_by(columns.iter().cloned().collect()));
    let all = || some(&key.columns);
    match event {
        Event::Gone => match key.on_delete {
            FkAction::Refuse => None,
            FkAction::Cascade => Some(Event::Gone),
            FkAction::SetNull | FkAction::SetDefault if key.set_columns.is_empty() => Some(all()),
            FkAction::SetNull | FkAction::SetDefault => Some(some(&key.set_columns)),
        },
        Event::Changed(columns) => {
            let hit = key
                .parent_columns
                .iter()
                .any(|column| columns.contains(column));
            (hit && key.on_update != FkAction::Refuse).then(all)
        }
    }
}

/// Children are known again by their keys, and found by equality.
fn followable(
    side: Side,
    parent: &TableMap,
    child: &TableMap,
    key: &ForeignKey,
    happens: &Event,
) -> Result<(), String> {
    if let Event::Changed(columns) = happens
        && child
            .key
            .iter()
            .any(|&index| columns.contains(&child.columns[index].on(side).name))
    {
        return Err(format!(
            "the foreign key \"{}\" changes the key of \"{}\"; insert the row that is pointed to under its new value, turn the rows that point to it, and delete the old one",
            key.name, child.old.name
        ));
    }
    let schema = |map: &TableMap, name: &String| {
        let column = map.on(side).column(name);
        column.map(|column| column.operator_schema.clone())
    };
    let alike = std::iter::zip(&key.columns, &key.parent_columns).all(|(column, points_to)| {
        let schema = (schema(child, column), schema(parent, points_to));
        matches!(schema, (Some(one), Some(other)) if one == other)
    });
    if alike {
        Ok(())
    } else {
        Err(format!(
            "the foreign key \"{}\" compares columns of \"{}\" in a way that is not known; change the rows that point here by statements of their own first",
            key.name, child.old.name
        ))
    }
}
