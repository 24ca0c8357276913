//! Whether the store takes the values: it is asked to read the very statements that will write them.

use crossfade_phase::Side;

use super::Report;
use crate::{
    ColumnMap, StoreError, StoreResult,
    postgres::{
        adapter::SHORT,
        pool::Lease,
        sql::{comparable, param_expr, quote_ident, quote_name},
    },
};

pub(super) async fn types(report: &mut Report<'_>, lease: &Lease, side: Side) -> StoreResult<()> {
    if side == Side::New {
        missing_types(report, lease).await?;
    }
    let table = report.table;
    let name = quote_name(&table.on(side).name);
    for column in &table.columns {
        if let Some(reason) = refused(lease, &write(&name, column, side)).await? {
            taken_badly(report, column, side, &reason);
        }
        let compare = format!(
            "SELECT {} FROM {name} AS t",
            comparable(
                &format!("t.{}", quote_ident(&column.on(side).name)),
                column,
                side
            )
        );
        if let Some(reason) = refused(lease, &compare).await? {
            report.blocks(
                format!(
                    "the {side} store cannot compare the column \"{}\" as {}: {reason}",
                    column.old.name, column.new.type_name
                ),
                "choose a type in the new store that the old one can be cast to",
            );
        }
        if column.old.type_oid != column.new.type_oid && depends_on_settings(lease, column).await? {
            report.note(
                &column.old.name,
                format!("the cast of \"{}\" from {} to {} depends on the session's time zone: it is made in UTC", column.old.name, column.old.type_name, column.new.type_name),
                "make sure that UTC is meant",
            );
        }
    }
    Ok(())
}

/// From phase 5 on the new store shows the table as it was in the old one, in the types that it had.
async fn missing_types(report: &mut Report<'_>, lease: &Lease) -> StoreResult<()> {
    let table = report.table;
    for old in &table.old.columns {
        let carried = table
            .columns
            .iter()
            .find(|column| column.old.name == old.name);
        if carried.is_some_and(|column| column.new.type_name == old.type_name) {
            continue;
        }
        if let Some(reason) =
            refused(lease, &format!("SELECT CAST(NULL AS {})", old.type_name)).await?
        {
            report.blocks_unless(
                &old.name,
                format!("the new store does not know {}, the type of \"{}\" in the old one ({reason}): from phase 5 on most statements on the table fail there", old.type_name, old.name),
                "create the type in the new store, although no column has it",
            );
        }
    }
    Ok(())
}

/// A write of this column alone, as the server has to read it.
fn write(name: &str, column: &ColumnMap, side: Side) -> String {
    let (from, to) = (column.on(side.other()), column.on(side));
    if to.generated {
        return format!("SELECT {} FROM {name}", quote_ident(&to.name));
    }
    format!(
        "INSERT INTO {name} ({}) OVERRIDING SYSTEM VALUE VALUES ({})",
        quote_ident(&to.name),
        param_expr(1, from, to)
    )
}

fn taken_badly(
    report: &mut Report<'_>,
    ColumnMap { old, new }: &ColumnMap,
    side: Side,
    reason: &str,
) {
    match side {
        Side::New => report.blocks(
            format!("the new store does not take {} of \"{}\" as {}: {reason}", old.type_name, old.name, new.type_name),
            "choose another type in the new store, create a cast, or leave the column out",
        ),
        Side::Old => report.blocks_unless(
            &old.name,
            format!("the old store does not take {} back as {} of \"{}\" ({reason}): from phase 5 on the old store refuses the rows", new.type_name, old.type_name, old.name),
            "create a cast in the old store, or do not plan to stay in phase 5 or to go back from it",
        ),
    }
}

/// Why the server refuses to read a statement; nothing runs.
async fn refused(lease: &Lease, statement: &str) -> StoreResult<Option<String>> {
    match lease.within(SHORT, lease.prepare(statement)).await {
        Ok(_) => Ok(None),
        // A missing right or a row policy is reported as such, and says nothing of types.
        Err(StoreError::Rejected { sqlstate, .. }) if sqlstate == "42501" => Ok(None),
        Err(StoreError::Rejected { message, .. }) => Ok(Some(message)),
        Err(error) => Err(error),
    }
}

const STABLE_CAST: &str = "SELECT EXISTS (SELECT FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc \
    WHERE p.provolatile = 's' AND ((c.castsource = $1 AND c.casttarget = $2) OR (c.castsource = $2 AND c.casttarget = $1))) AS so";

async fn depends_on_settings(lease: &Lease, column: &ColumnMap) -> StoreResult<bool> {
    use crate::postgres::rows::Param;
    let answers = lease
        .rows(
            STABLE_CAST,
            &[
                Param::oid(column.old.type_oid),
                Param::oid(column.new.type_oid),
            ],
            SHORT,
        )
        .await?;
    let by_cast = answers
        .first()
        .map(|row| lease.read(row, "so"))
        .transpose()?
        .unwrap_or(false);
    // To and from text goes by way of input and output, which read the settings for these.
    let timed = |oid| matches!(oid, 1184 | 1266);
    let text = |oid| matches!(oid, 25 | 1042 | 1043);
    let (old, new) = (column.old.type_oid, column.new.type_oid);
    Ok(by_cast || (timed(old) && text(new)) || (text(old) && timed(new)))
}
