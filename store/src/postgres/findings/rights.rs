//! What the proxy's own account may do.

use crossfade_phase::Side;

use super::Report;
use crate::{
    StoreResult,
    postgres::{adapter::SHORT, pool::Lease, rows::Param, sql::quote_name},
};

const TABLE_RIGHTS: &str = "SELECT current_user::text AS account, has_schema_privilege(c.relnamespace, 'USAGE') AS schema, \
    has_table_privilege(c.oid, 'SELECT') AS \"SELECT\", has_table_privilege(c.oid, 'INSERT') AS \"INSERT\", \
    has_table_privilege(c.oid, 'UPDATE') AS \"UPDATE\", has_table_privilege(c.oid, 'DELETE') AS \"DELETE\", \
    row_security_active(c.oid) AS filtered FROM pg_class c WHERE c.oid = $1";
const SEQUENCE_RIGHTS: &str = "SELECT has_sequence_privilege($1::text::regclass, 'SELECT') AS read, has_sequence_privilege($1::text::regclass, 'UPDATE') AS move";

pub(super) async fn rights(report: &mut Report<'_>, lease: &Lease, side: Side) -> StoreResult<()> {
    let relation = report.table.on(side);
    let name = quote_name(&relation.name);
    let answers = lease
        .rows(TABLE_RIGHTS, &[Param::oid(relation.oid)], SHORT)
        .await?;
    let Some(row) = answers.first() else {
        report.blocks(
            format!("the {side} store no longer has the table {}", relation.name),
            "check the mapping again",
        );
        return Ok(());
    };
    let account: String = lease.read(row, "account")?;
    if !lease.read::<bool>(row, "schema")? {
        let grant = format!(
            "GRANT USAGE ON SCHEMA \"{}\" TO \"{account}\"",
            relation.name.schema
        );
        report.blocks(
            format!(
                "\"{account}\" may not use the schema \"{}\" of the {side} store",
                relation.name.schema
            ),
            grant,
        );
        // Without it the names of sequences cannot even be looked up.
        return Ok(());
    }
    for right in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
        if lease.read::<bool>(row, right)? {
            continue;
        }
        let grant = format!("GRANT {right} ON {name} TO \"{account}\"");
        // The old store is read, and its rows are locked, which takes UPDATE, from the start; it is written in phase 5.
        if side == Side::Old && matches!(right, "INSERT" | "DELETE") {
            report.note(
                right,
                format!("\"{account}\" may not {right} in the old store, which phase 5 needs"),
                grant,
            );
        } else {
            report.blocks(
                format!("\"{account}\" may not {right} in the {side} store"),
                grant,
            );
        }
    }
    if lease.read(row, "filtered")? {
        report.blocks(
            format!("row security of the {side} store hides rows from \"{account}\": they would look absent"),
            format!("ALTER ROLE \"{account}\" BYPASSRLS"),
        );
    }
    sequence_rights(report, lease, side, &account).await
}

async fn sequence_rights(
    report: &mut Report<'_>,
    lease: &Lease,
    side: Side,
    account: &str,
) -> StoreResult<()> {
    let table = report.table;
    for sequence in table
        .columns
        .iter()
        .filter_map(|column| column.on(side).sequence.as_ref())
    {
        let answers = lease
            .rows(SEQUENCE_RIGHTS, &[Param::text(quote_name(sequence))], SHORT)
            .await?;
        let Some(row) = answers.first() else { continue };
        if !lease.read::<bool>(row, "read")? || !lease.read::<bool>(row, "move")? {
            report.note(
                &sequence.name,
                format!("\"{account}\" may not read and move the sequence {sequence} of the {side} store, which a move between phases 4 and 5 needs"),
                format!("GRANT SELECT, UPDATE ON SEQUENCE {} TO \"{account}\"", quote_name(sequence)),
            );
        }
    }
    Ok(())
}
