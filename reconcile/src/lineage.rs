//! The order of a table's own rows, where it refers to itself: a row comes after the one that it points to, and goes before it.

use std::collections::HashMap;

use bytes::Bytes;
use crossfade_phase::Side;
use crossfade_store::{Form, Key, Row, Store, StoreResult, TableMap};

/// Keys looked up at once.
const BATCH: usize = 500;

/// A foreign key of a table to itself: places of its columns and of those that it points to.
struct Link {
    child: Vec<usize>,
    parent: Vec<usize>,
}

/// Whether the table refers to itself in the store of `side`.
pub(crate) fn is_linked(table: &TableMap, side: Side) -> bool {
    !links(table, side).is_empty()
}

/// The keys as the secondary can take them one after the other: rows to be written behind those that they point to, then rows to be deleted before those
/// that they point to. `None` where the table does not refer to itself there.
///
/// # Errors
/// The stores' own.
pub(crate) async fn order(
    primary: &dyn Store,
    secondary: &dyn Store,
    table: &TableMap,
    keys: &[Key],
) -> StoreResult<Option<Vec<usize>>> {
    let links = links(table, secondary.side());
    if links.is_empty() || keys.len() < 2 {
        return Ok(None);
    }
    let (mut written, mut gone) = (Vec::new(), Vec::new());
    for keys in keys.chunks(BATCH) {
        let rows = primary.fetch(table, keys, Form::Own).await?;
        written.extend(rows.into_iter().map(|row| linking(&links, row)));
        let rows = secondary.fetch(table, keys, Form::Own).await?;
        gone.extend(rows.into_iter().map(|row| linking(&links, row)));
    }
    for (gone, written) in std::iter::zip(&mut gone, &written) {
        gone.take_if(|_| written.is_some());
    }
    let mut order = parents_first(&links, &written);
    order.retain(|&index| written[index].is_some());
    let goes = parents_first(&links, &gone);
    order.extend(
        goes.into_iter()
            .rev()
            .filter(|&index| written[index].is_none()),
    );
    Ok(Some(order))
}

/// Of a row what the links need: there may be many of them.
fn linking(links: &[Link], row: Option<Row>) -> Option<Row> {
    let needed = |place: usize| {
        let mut links = links.iter();
        links.any(|link| link.child.contains(&place) || link.parent.contains(&place))
    };
    let mut row = row?;
    for (place, value) in row.0.iter_mut().enumerate() {
        value.take_if(|_| !needed(place));
    }
    Some(row)
}

fn links(table: &TableMap, side: Side) -> Vec<Link> {
    let relation = table.on(side);
    let places = |names: &[String]| -> Option<Vec<usize>> {
        let place = |name: &String| {
            let mut columns = table.columns.iter();
            columns.position(|column| column.on(side).name == *name)
        };
        names.iter().map(place).collect()
    };
    let own = relation.foreign_keys.iter();
    own.filter(|key| key.parent == relation.name)
        .filter_map(|key| {
            Some(Link {
                child: places(&key.columns)?,
                parent: places(&key.parent_columns)?,
            })
        })
        .collect()
}

/// All indices, each after those of the rows that its own points to. In a circle somebody has to be first.
fn parents_first(links: &[Link], rows: &[Option<Row>]) -> Vec<usize> {
    let parents = parents(links, rows);
    let mut order = Vec::with_capacity(rows.len());
    let mut seen = vec![false; rows.len()];
    for first in 0..rows.len() {
        // A chain may be longer than a stack: no recursion. With each row, how many of its parents were looked at.
        let mut open = Vec::new();
        if !std::mem::replace(&mut seen[first], true) {
            open.push((first, 0));
        }
        while let Some((index, next)) = open.last_mut() {
            match parents[*index].get(*next) {
                Some(&parent) => {
                    *next += 1;
                    if !std::mem::replace(&mut seen[parent], true) {
                        open.push((parent, 0));
                    }
                }
                None => {
                    order.push(*index);
                    open.pop();
                }
            }
        }
    }
    order
}

/// By row, those among the rows that it points to.
fn parents(links: &[Link], rows: &[Option<Row>]) -> Vec<Vec<usize>> {
    let mut parents = vec![Vec::new(); rows.len()];
    for link in links {
        let mut targets: HashMap<Vec<&Bytes>, usize> = HashMap::new();
        for (index, row) in rows.iter().enumerate() {
            if let Some(values) = row.as_ref().and_then(|row| values(row, &link.parent)) {
                targets.insert(values, index);
            }
        }
        for (index, row) in rows.iter().enumerate() {
            let values = row.as_ref().and_then(|row| values(row, &link.child));
            if let Some(&target) = values.and_then(|values| targets.get(&values)) {
                parents[index].push(target);
            }
        }
    }
    parents
}

/// `None` where one is NULL: such a row points nowhere.
fn values<'r>(row: &'r Row, places: &[usize]) -> Option<Vec<&'r Bytes>> {
    let value = |place: &usize| row.0.get(*place).and_then(Option::as_ref);
    places.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of an id and its parent.
    fn ordered(rows: &[(u32, u32)]) -> Vec<u32> {
        let value = |number: u32| (number > 0).then(|| Bytes::from(number.to_string()));
        let link = Link {
            child: vec![1],
            parent: vec![0],
        };
        let found: Vec<Option<Row>> = rows
            .iter()
            .map(|(id, parent)| Some(Row(vec![value(*id), value(*parent)])))
            .collect();
        let order = parents_first(&[link], &found);
        order.into_iter().map(|index| rows[index].0).collect()
    }

    #[test]
    fn a_row_comes_after_the_one_that_it_points_to() {
        assert_eq!(ordered(&[(1, 2), (2, 3), (3, 0)]), [3, 2, 1]);
        assert_eq!(ordered(&[(3, 0), (2, 3), (1, 2)]), [3, 2, 1]);
        assert_eq!(ordered(&[(1, 7), (2, 1), (4, 3), (3, 2)]), [1, 2, 3, 4]);
        assert_eq!(ordered(&[(1, 1), (2, 1)]), [1, 2]);
        // A circle, and a chain that ends in it.
        assert_eq!(ordered(&[(1, 2), (2, 1), (5, 1)]), [2, 1, 5]);
        let long: Vec<(u32, u32)> = (1..200_000).map(|id| (id, id + 1)).collect();
        assert_eq!(ordered(&long)[0], 199_999);
    }
}
