//! What the catalog says of a table.

mod checks;
mod collations;
mod columns;
mod foreign_keys;
mod indexes;
mod server;
mod types;

use crossfade_config::QualifiedName;

use super::{
    adapter::SHORT,
    pool::{Lease, Pool},
    rows::Param,
    sql::quote_name,
};
use crate::{Relation, StoreResult};

/// Everything about the table; `None` where there is no table (partitioned or not) of this name.
pub(super) async fn relation(pool: &Pool, name: &QualifiedName) -> StoreResult<Option<Relation>> {
    let lease = pool.lease().await?;
    let relation = read(&lease, name).await?;
    lease.done();
    Ok(relation)
}

async fn read(lease: &Lease, name: &QualifiedName) -> StoreResult<Option<Relation>> {
    let Some(oid) = table_oid(lease, name).await? else {
        return Ok(None);
    };
    let mut relation = Relation::named(name.clone());
    relation.oid = oid;
    relation.server = server::facts(lease).await?;
    relation.columns = columns::columns(lease, oid, relation.server.version).await?;
    let mut domains = types::domains(lease, oid).await?;
    for column in &mut relation.columns {
        column.domain = domains.remove(&column.number);
    }
    indexes::read(lease, oid, &mut relation).await?;
    relation.checks = checks::checks(lease, oid).await?;
    relation.triggers = checks::triggers(lease, oid).await?;
    relation.before_update = checks::before_update(lease, oid).await?;
    relation.row_security = checks::row_security(lease, oid).await?;
    relation.enums = types::enums(lease, oid).await?;
    (relation.foreign_keys, relation.referenced_by) = foreign_keys::both_ways(lease, oid).await?;
    Ok(Some(relation))
}

const TABLE: &str = "SELECT c.oid AS oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')";

/// OID of the table of this name.
pub(super) async fn table_oid(lease: &Lease, name: &QualifiedName) -> StoreResult<Option<u32>> {
    let answers = lease
        .rows(
            TABLE,
            &[Param::text(&name.schema), Param::text(&name.name)],
            SHORT,
        )
        .await?;
    answers
        .first()
        .map(|row| lease.read(row, "oid"))
        .transpose()
}

/// The planner's estimate, summed over partitions; where the table was never analyzed, small tables are counted and large
/// ones are taken to have rows of 100 bytes.
const ESTIMATE: &str = "WITH RECURSIVE parts(oid) AS (SELECT $1::text::regclass::oid \
    UNION ALL SELECT h.inhrelid FROM parts JOIN pg_inherits h ON h.inhparent = parts.oid) \
    SELECT sum(c.reltuples)::int8 AS rows, bool_or(c.reltuples < 0 OR c.relpages = 0) AS unknown, \
    sum(pg_relation_size(c.oid))::int8 AS bytes FROM parts JOIN pg_class c USING (oid) WHERE c.relkind = 'r'";
const COUNTED_UP_TO_BYTES: i64 = 16 << 20;

/// About how many rows the table has.
pub(super) async fn estimate_rows(pool: &Pool, name: &QualifiedName) -> StoreResult<u64> {
    let lease = pool.lease().await?;
    let table = quote_name(name);
    let answers = lease.rows(ESTIMATE, &[Param::text(&table)], SHORT).await?;
    let row = answers
        .first()
        .ok_or_else(|| lease.unexpected("no estimate"))?;
    let unknown: Option<bool> = lease.read(row, "unknown")?;
    let bytes = lease.read::<Option<i64>>(row, "bytes")?.unwrap_or(0);
    let rows = if unknown != Some(true) {
        lease.read::<Option<i64>>(row, "rows")?.unwrap_or(0)
    } else if bytes <= COUNTED_UP_TO_BYTES {
        let answers = lease
            .rows(&format!("SELECT count(*) AS rows FROM {table}"), &[], SHORT)
            .await?;
        let row = answers
            .first()
            .ok_or_else(|| lease.unexpected("no count"))?;
        lease.read(row, "rows")?
    } else {
        bytes / 100
    };
    lease.done();
    Ok(u64::try_from(rows).unwrap_or(0))
}
