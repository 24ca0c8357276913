//! Sequences that feed carried columns.

use std::collections::BTreeMap;

use crossfade_config::QualifiedName;

use super::{
    PostgresStore,
    adapter::{CHUNK, SHORT},
    pool::Lease,
    rows::Param,
    sql::{quote_ident, quote_name},
};
use crate::{ColumnMap, StoreResult, TableMap};

/// Carried columns that a sequence feeds in either store.
fn fed(table: &TableMap) -> impl Iterator<Item = &ColumnMap> {
    table
        .columns
        .iter()
        .filter(|column| column.old.sequence.is_some() || column.new.sequence.is_some())
}

/// The greatest value that was handed out or is stored, by the column's old name; columns that have neither are left out.
pub(super) async fn positions(
    store: &PostgresStore,
    table: &TableMap,
) -> StoreResult<BTreeMap<String, i64>> {
    let lease = store.pool.lease().await?;
    let mut positions = BTreeMap::new();
    for map in fed(table) {
        let column = map.on(store.side);
        let mut position = match &column.sequence {
            Some(sequence) => last_value(&lease, sequence).await?,
            None => None,
        };
        // A sequence may feed text, as in 'A-' || nextval(…), whose greatest value says nothing.
        if matches!(column.type_oid, 20 | 21 | 23 | 1700) {
            let name = quote_ident(&column.name);
            // Infinity and NaN are numeric and no numbers; beyond bigint no sequence goes.
            let question = format!(
                "SELECT max({name})::text AS position FROM {} WHERE {name} <= 9223372036854775807",
                quote_name(&table.on(store.side).name)
            );
            let answers = lease.rows(&question, &[], CHUNK).await?;
            let greatest: Option<String> = answers
                .first()
                .map(|row| lease.read(row, "position"))
                .transpose()?
                .flatten();
            let greatest = greatest.and_then(|text| text.split('.').next()?.parse().ok());
            position = position.max(greatest);
        }
        if let Some(position) = position {
            positions.insert(map.old.name.clone(), position);
        }
    }
    lease.done();
    Ok(positions)
}

/// What the sequence handed out last; `None` when it has handed out nothing.
async fn last_value(lease: &Lease, sequence: &QualifiedName) -> StoreResult<Option<i64>> {
    let question = format!(
        "SELECT CASE WHEN is_called THEN last_value END AS last FROM {}",
        quote_name(sequence)
    );
    let answers = lease.rows(&question, &[], SHORT).await?;
    Ok(answers
        .first()
        .map(|row| lease.read(row, "last"))
        .transpose()?
        .flatten())
}

/// Moves each sequence of this store to its floor where it stands below; the caller's barrier keeps writers away (trap 33). Returns where each stands afterwards.
pub(super) async fn advance(
    store: &PostgresStore,
    table: &TableMap,
    floor: &BTreeMap<String, i64>,
) -> StoreResult<BTreeMap<String, i64>> {
    let lease = store.pool.lease().await?;
    let mut now = BTreeMap::new();
    for map in fed(table) {
        let (Some(sequence), Some(&floor)) =
            (&map.on(store.side).sequence, floor.get(&map.old.name))
        else {
            continue;
        };
        let standing = last_value(&lease, sequence).await?;
        if standing.is_none_or(|standing| standing < floor) {
            let least = least_value(&lease, sequence).await?;
            if floor >= least {
                let move_on = "SELECT pg_catalog.setval($1::text::regclass, $2, true)";
                lease
                    .rows(
                        move_on,
                        &[Param::text(quote_name(sequence)), Param::int8(floor)],
                        SHORT,
                    )
                    .await?;
            }
        }
        if let Some(last) = last_value(&lease, sequence).await? {
            now.insert(map.old.name.clone(), last);
        }
    }
    lease.done();
    Ok(now)
}

async fn least_value(lease: &Lease, sequence: &QualifiedName) -> StoreResult<i64> {
    let question = "SELECT seqmin FROM pg_catalog.pg_sequence WHERE seqrelid = $1::text::regclass";
    let answers = lease
        .rows(question, &[Param::text(quote_name(sequence))], SHORT)
        .await?;
    let row = answers
        .first()
        .ok_or_else(|| lease.unexpected(format!("no sequence {sequence}")))?;
    lease.read(row, "seqmin")
}
