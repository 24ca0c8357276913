//! Indexes that keep rows apart.

use crate::{
    Relation, StoreResult, UniqueIndex,
    postgres::{adapter::SHORT, pool::Lease, rows::Param},
};

/// What later versions added to the catalog is read by way of JSON.
const INDEXES: &str = "SELECT i.relname::text AS name, x.indisprimary AS primary, x.indimmediate AS immediate, x.indisexclusion AS exclusion, \
    (x.indpred IS NOT NULL OR x.indexprs IS NOT NULL) AS partial, \
    k.oid IS NOT NULL AS is_constraint, coalesce(k.condeferred, false) AS deferred, \
    coalesce((to_jsonb(x)->>'indnullsnotdistinct')::bool, false) AS nulls_not_distinct, \
    array(SELECT a.attname::text FROM unnest(x.indkey[0:x.indnkeyatts - 1]::int2[]) WITH ORDINALITY AS n(attnum, place) \
        JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = n.attnum ORDER BY n.place) AS columns \
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid \
    LEFT JOIN pg_constraint k ON k.conrelid = x.indrelid AND k.conindid = x.indexrelid AND k.contype IN ('p', 'u') \
    WHERE x.indrelid = $1 AND (x.indisunique OR x.indisexclusion) AND x.indisvalid \
    ORDER BY x.indisprimary DESC, i.relname";

/// Puts the table's indexes where they belong in `relation`.
pub(super) async fn read(lease: &Lease, oid: u32, relation: &mut Relation) -> StoreResult<()> {
    for row in lease.rows(INDEXES, &[Param::oid(oid)], SHORT).await? {
        let name = lease.read(&row, "name")?;
        if lease.read(&row, "exclusion")? {
            relation.exclusions.push(name);
            continue;
        }
        if lease.read(&row, "partial")? {
            relation.partial_unique.push(name);
            continue;
        }
        let index = UniqueIndex {
            name,
            columns: lease.read(&row, "columns")?,
            primary: lease.read(&row, "primary")?,
            constraint: lease.read(&row, "is_constraint")?,
            nulls_not_distinct: lease.read(&row, "nulls_not_distinct")?,
            initially_deferred: lease.read(&row, "deferred")?,
        };
        if lease.read(&row, "immediate")? {
            relation.unique.push(index);
        } else {
            relation.deferrable_unique.push(index);
        }
    }
    Ok(())
}
