//! Sequences and identities of the coming primary, moved past the other store's (trap 33).

use std::collections::BTreeMap;

use crossfade_config::QualifiedName;
use crossfade_phase::Side;
use crossfade_store::{SequenceFacts, StoreError, StoreResult, TableMap};
use futures::future::try_join_all;

use crate::app::App;

/// Names what cannot be moved in the store of `coming`, with the reasons; no names when that could not be found out.
pub(super) async fn immovable(
    app: &App,
    tables: &[TableMap],
    coming: Side,
) -> (Option<Vec<String>>, Vec<String>) {
    let beyond = beyond_counters(tables, coming);
    if !beyond.is_empty() {
        let (names, reasons) = beyond.into_iter().unzip();
        return (Some(names), reasons);
    }
    match advance(app, tables, coming).await {
        Ok(names) => (Some(names), Vec::new()),
        // No right to move it: the store says which.
        Err(StoreError::Rejected {
            sqlstate, message, ..
        }) if sqlstate == "42501" => (Some(vec![message.clone()]), Vec::new()),
        Err(error) => (None, vec![error.to_string()]),
    }
}

/// Sequences of the old store that the counters of a store without any cannot stand for, by name, and why.
fn beyond_counters(tables: &[TableMap], coming: Side) -> BTreeMap<String, String> {
    let counted = tables.iter().filter(|table| table.on(coming).shapeless);
    let columns = counted.flat_map(|table| &table.columns);
    let beyond = columns.filter_map(|column| {
        let name = column.old.sequence.as_ref()?.to_string();
        let (why, end) = column.old.sequence_facts?.beyond_counters()?;
        let reason = format!("\"{name}\" {why}: `ALTER SEQUENCE {name} {end}` in the old store");
        Some((name, reason))
    });
    beyond.collect()
}

/// Whether sequences count as they did.
pub(super) fn count_alike(before: &[TableMap], now: &[TableMap]) -> bool {
    fn counts(
        tables: &[TableMap],
    ) -> impl Iterator<Item = (Option<&QualifiedName>, Option<SequenceFacts>)> {
        let columns = tables.iter().flat_map(|table| &table.columns);
        columns.map(|column| (column.old.sequence.as_ref(), column.old.sequence_facts))
    }
    counts(before).eq(counts(now))
}

/// Moves every sequence of the coming primary that feeds a mapped column past what the other store has handed out or holds. Names those that could
/// not be moved. Harmless at any time, inside the barrier or before it: a sequence may have gaps.
///
/// # Errors
/// What a store said.
pub(super) async fn advance(
    app: &App,
    tables: &[TableMap],
    coming: Side,
) -> StoreResult<Vec<String>> {
    // All at once: clients wait meanwhile, and a toggle may have many tables.
    let advanced = try_join_all(tables.iter().map(|table| advance_table(app, table, coming)));
    Ok(advanced.await?.into_iter().flatten().collect())
}

async fn advance_table(app: &App, table: &TableMap, coming: Side) -> StoreResult<Vec<String>> {
    let (coming, present) = (app.stores.on(coming), app.stores.on(coming.other()));
    let floor = present.sequence_positions(table).await?;
    // A store that keeps counters makes them here, also for sequences that nobody has used yet.
    if floor.is_empty() && !table.on(coming.side()).shapeless {
        return Ok(Vec::new());
    }
    let standing = coming.advance_sequences(table, &floor).await?;
    Ok(left_behind(table, coming.side(), &floor, &standing))
}

/// Columns whose sequence stands below its floor, or that have none although the other store's has and nothing else fills them.
fn left_behind(
    table: &TableMap,
    side: Side,
    floor: &BTreeMap<String, i64>,
    standing: &BTreeMap<String, i64>,
) -> Vec<String> {
    let mut names = Vec::new();
    for (old_name, floor) in floor {
        let Some(column) = table
            .columns
            .iter()
            .find(|column| column.old.name == *old_name)
        else {
            continue;
        };
        let (here, there) = (column.on(side), column.on(side.other()));
        // A store without columns keeps a counter of its own for whatever the old store has a sequence for.
        let sequence = if table.on(side).shapeless {
            &column.old.sequence
        } else {
            &here.sequence
        };
        match (sequence, standing.get(old_name)) {
            (Some(_), Some(standing)) if standing >= floor => {}
            // Its least value is above the floor: nothing was handed out, and nothing needs to be passed.
            (Some(_), None) => {}
            (Some(sequence), Some(_)) => names.push(sequence.to_string()),
            (None, _) if there.sequence.is_none() || here.has_default => {}
            (None, _) => names.push(format!(
                "{}.{} (it has none)",
                table.on(side).name,
                here.name
            )),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossfade_store::{Column, ColumnMap, Relation, TableId};

    fn name(name: &str) -> QualifiedName {
        QualifiedName {
            schema: "public".into(),
            name: name.into(),
        }
    }

    fn table(old: Option<&str>, new: Option<&str>, new_default: bool) -> TableMap {
        let column = |sequence: Option<&str>, has_default| Column {
            name: "id".into(),
            sequence: sequence.map(name),
            has_default,
            ..Column::default()
        };
        TableMap {
            id: TableId(0),
            toggle: "shop".into(),
            old: Relation::named(name("orders")),
            new: Relation::named(name("sales")),
            columns: vec![ColumnMap {
                old: column(old, true),
                new: column(new, new_default),
            }],
            key: vec![0],
            version: None,
            dropped: Vec::new(),
        }
    }

    fn at(position: i64) -> BTreeMap<String, i64> {
        BTreeMap::from([("id".to_owned(), position)])
    }

    #[test]
    fn trap_33_a_sequence_that_stays_behind_is_named() {
        let both = table(Some("orders_id_seq"), Some("sales_id_seq"), true);
        assert!(left_behind(&both, Side::New, &at(7), &at(7)).is_empty());
        assert_eq!(
            left_behind(&both, Side::New, &at(7), &at(6)),
            ["public.sales_id_seq"]
        );
    }

    #[test]
    fn trap_33_a_column_that_nothing_would_fill_is_named() {
        let none = table(Some("orders_id_seq"), None, false);
        assert_eq!(
            left_behind(&none, Side::New, &at(7), &BTreeMap::new()),
            ["public.sales.id (it has none)"]
        );
        let mut documents = none;
        documents.new.shapeless = true;
        assert!(left_behind(&documents, Side::New, &at(7), &at(7)).is_empty());
        let other_default = table(Some("orders_id_seq"), None, true);
        assert!(left_behind(&other_default, Side::New, &at(7), &BTreeMap::new()).is_empty());
    }
}
