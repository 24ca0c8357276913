//! Transactions of two-phase commit that wait for their COMMIT PREPARED.

use crossfade_phase::Side;

use super::Report;
use crate::{
    StoreResult,
    postgres::{adapter::SHORT, pool::Lease, rows::Param},
};

/// Those that hold a lock on the table. A prepared transaction is listed among the locks without a process; its lock on its own id leads from the
/// one to the other.
const PREPARED: &str = "SELECT DISTINCT p.gid::text AS gid FROM pg_prepared_xacts p \
    JOIN pg_locks own ON own.locktype = 'transactionid' AND own.transactionid = p.transaction AND own.pid IS NULL \
    JOIN pg_locks l ON l.virtualtransaction = own.virtualtransaction AND l.pid IS NULL \
    WHERE l.locktype = 'relation' AND l.relation = $1 AND p.database = current_database() ORDER BY 1";

/// Their rows are in no image: they were written before anybody looked.
pub(super) async fn prepared(
    report: &mut Report<'_>,
    lease: &Lease,
    side: Side,
) -> StoreResult<()> {
    let oid = report.table.on(side).oid;
    for row in lease.rows(PREPARED, &[Param::oid(oid)], SHORT).await? {
        let gid: String = lease.read(&row, "gid")?;
        report.blocks(
            format!("the prepared transaction \"{gid}\" of the {side} store has a lock on the table, and its commit would be missed"),
            format!("COMMIT PREPARED or ROLLBACK PREPARED '{gid}' on the {side} store"),
        );
    }
    Ok(())
}
