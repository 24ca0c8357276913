//! What rows have to fulfil, and what else happens when they are written.

use crate::{
    Check, StoreResult,
    postgres::{adapter::SHORT, pool::Lease, rows::Param},
};

/// By name, as the server looks at them. Version 18 has some that are not enforced.
const CHECKS: &str = "SELECT k.conname::text AS name, pg_get_expr(k.conbin, k.conrelid) AS expr FROM pg_constraint k \
    WHERE k.conrelid = $1 AND k.contype = 'c' AND coalesce((to_jsonb(k)->>'conenforced')::bool, true) ORDER BY k.conname";

/// The table's CHECK constraints.
pub(super) async fn checks(lease: &Lease, table: u32) -> StoreResult<Vec<Check>> {
    lease
        .rows(CHECKS, &[Param::oid(table)], SHORT)
        .await?
        .iter()
        .map(|row| {
            Ok(Check {
                name: lease.read(row, "name")?,
                expression: lease.read(row, "expr")?,
            })
        })
        .collect()
}

const TRIGGERS: &str = "SELECT t.tgname::text AS name FROM pg_trigger t \
    WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') \
    UNION ALL SELECT r.rulename::text FROM pg_rewrite r WHERE r.ev_class = $1 AND r.ev_enabled IN ('O', 'A') ORDER BY name";

/// Names of the triggers and rules of users.
pub(super) async fn triggers(lease: &Lease, table: u32) -> StoreResult<Vec<String>> {
    names(lease, TRIGGERS, table).await
}

/// BEFORE UPDATE … FOR EACH ROW, on the table, its partitions, and the tables that inherit from it.
const BEFORE_UPDATE: &str = "WITH RECURSIVE parts(oid) AS (SELECT $1::oid \
    UNION SELECT h.inhrelid FROM parts JOIN pg_inherits h ON h.inhparent = parts.oid) \
    SELECT DISTINCT t.tgname::text AS name FROM pg_trigger t JOIN parts ON t.tgrelid = parts.oid \
    WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 19 = 19 ORDER BY name";

/// Names of the users' triggers that may change a row which is being updated.
pub(super) async fn before_update(lease: &Lease, table: u32) -> StoreResult<Vec<String>> {
    names(lease, BEFORE_UPDATE, table).await
}

async fn names(lease: &Lease, sql: &str, table: u32) -> StoreResult<Vec<String>> {
    lease
        .rows(sql, &[Param::oid(table)], SHORT)
        .await?
        .iter()
        .map(|row| lease.read(row, "name"))
        .collect()
}

const ROW_SECURITY: &str = "SELECT c.relrowsecurity AS so FROM pg_class c WHERE c.oid = $1";

/// Whether row-level security is on.
pub(super) async fn row_security(lease: &Lease, table: u32) -> StoreResult<bool> {
    let answers = lease
        .rows(ROW_SECURITY, &[Param::oid(table)], SHORT)
        .await?;
    answers
        .first()
        .map_or(Ok(false), |row| lease.read(row, "so"))
}
