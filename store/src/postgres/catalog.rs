//! What the catalog says of a table.

mod columns;
mod foreign_keys;

use crossfade_config::QualifiedName;

use super::{
    adapter::SHORT,
    pool::{Lease, Pool},
    rows::Param,
    sql::quote_name,
};
use crate::{Relation, ServerFacts, StoreResult, UniqueIndex};

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
    let (unique, partial_unique) = unique_indexes(lease, oid).await?;
    let mut relation = Relation::named(name.clone());
    relation.oid = oid;
    relation.server = server(lease).await?;
    relation.columns = columns::columns(lease, oid, relation.server.version).await?;
    relation.unique = unique;
    relation.partial_unique = partial_unique;
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

/// Valid and immediate ones: those that ON CONFLICT can name.
const UNIQUE: &str = "SELECT i.relname::text AS name, x.indisprimary AS primary, \
    (x.indpred IS NOT NULL OR x.indexprs IS NOT NULL) AS partial, \
    array(SELECT a.attname::text FROM unnest(x.indkey[0:x.indnkeyatts - 1]::int2[]) WITH ORDINALITY AS k(attnum, place) \
        JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum ORDER BY k.place) AS columns \
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid \
    WHERE x.indrelid = $1 AND x.indisunique AND x.indisvalid AND x.indimmediate \
    ORDER BY x.indisprimary DESC, i.relname";

async fn unique_indexes(lease: &Lease, oid: u32) -> StoreResult<(Vec<UniqueIndex>, Vec<String>)> {
    let (mut unique, mut partial) = (Vec::new(), Vec::new());
    for row in lease.rows(UNIQUE, &[Param::oid(oid)], SHORT).await? {
        let name = lease.read(&row, "name")?;
        if lease.read(&row, "partial")? {
            partial.push(name);
        } else {
            unique.push(UniqueIndex {
                name,
                columns: lease.read(&row, "columns")?,
                primary: lease.read(&row, "primary")?,
            });
        }
    }
    Ok((unique, partial))
}

async fn server(lease: &Lease) -> StoreResult<ServerFacts> {
    let question = "SELECT current_setting('server_version_num')::int8 AS version, current_setting('server_encoding') AS encoding";
    let answers = lease.rows(question, &[], SHORT).await?;
    let row = answers
        .first()
        .ok_or_else(|| lease.unexpected("no answer to a question for settings"))?;
    let version: i64 = lease.read(row, "version")?;
    Ok(ServerFacts {
        version: u32::try_from(version).unwrap_or(0),
        encoding: lease.read(row, "encoding")?,
    })
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
