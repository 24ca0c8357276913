//! The users' own types of a table's columns.

use std::collections::BTreeMap;

use crossfade_config::QualifiedName;

use crate::{
    Check, Domain, EnumType, StoreResult,
    postgres::{adapter::SHORT, pool::Lease, rows::Param},
};

/// Of the columns themselves, of their arrays, and of the domains over either.
const ENUMS: &str = "WITH RECURSIVE part(oid) AS (SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped \
        UNION SELECT q.oid FROM part JOIN pg_type t ON t.oid = part.oid \
        CROSS JOIN LATERAL (SELECT t.typbasetype AS oid WHERE t.typbasetype <> 0 UNION ALL SELECT t.typelem WHERE t.typelem <> 0) AS q) \
    SELECT t.oid AS oid, t.typarray AS array_oid, n.nspname::text AS schema, t.typname::text AS name, \
    array(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels \
    FROM part JOIN pg_type t ON t.oid = part.oid JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e' ORDER BY t.oid";

/// The enums that the table's columns are made of.
pub(super) async fn enums(lease: &Lease, table: u32) -> StoreResult<Vec<EnumType>> {
    lease
        .rows(ENUMS, &[Param::oid(table)], SHORT)
        .await?
        .iter()
        .map(|row| {
            Ok(EnumType {
                oid: lease.read(row, "oid")?,
                array_oid: lease.read(row, "array_oid")?,
                name: name(lease, row)?,
                labels: lease.read(row, "labels")?,
            })
        })
        .collect()
}

/// A domain's checks run after those of the domain that it is made of, each domain's by name.
const DOMAINS: &str = "WITH RECURSIVE d(number, top, oid, depth) AS (SELECT a.attnum, a.atttypid, a.atttypid, 0 \
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND t.typtype = 'd' \
        UNION ALL SELECT d.number, d.top, b.oid, d.depth + 1 \
        FROM d JOIN pg_type t ON t.oid = d.oid JOIN pg_type b ON b.oid = t.typbasetype WHERE b.typtype = 'd') \
    SELECT d.number AS number, n.nspname::text AS schema, top.typname::text AS name, bool_or(t.typnotnull) AS not_null, \
    coalesce(array_agg(k.conname::text ORDER BY d.depth DESC, k.conname) FILTER (WHERE k.oid IS NOT NULL), '{}') AS checks, \
    coalesce(array_agg(pg_get_expr(k.conbin, 0) ORDER BY d.depth DESC, k.conname) FILTER (WHERE k.oid IS NOT NULL), '{}') AS expressions \
    FROM d JOIN pg_type t ON t.oid = d.oid JOIN pg_type top ON top.oid = d.top JOIN pg_namespace n ON n.oid = top.typnamespace \
    LEFT JOIN pg_constraint k ON k.contypid = d.oid AND k.contype = 'c' GROUP BY 1, 2, 3";

/// The domains of the table's columns, by the columns' numbers.
pub(super) async fn domains(lease: &Lease, table: u32) -> StoreResult<BTreeMap<i16, Domain>> {
    lease
        .rows(DOMAINS, &[Param::oid(table)], SHORT)
        .await?
        .iter()
        .map(|row| {
            let names: Vec<String> = lease.read(row, "checks")?;
            let expressions: Vec<String> = lease.read(row, "expressions")?;
            let checks = std::iter::zip(names, expressions);
            let domain = Domain {
                name: name(lease, row)?,
                not_null: lease.read(row, "not_null")?,
                checks: checks
                    .map(|(name, expression)| Check { name, expression })
                    .collect(),
            };
            Ok((lease.read(row, "number")?, domain))
        })
        .collect()
}

fn name(lease: &Lease, row: &tokio_postgres::Row) -> StoreResult<QualifiedName> {
    Ok(QualifiedName {
        schema: lease.read(row, "schema")?,
        name: lease.read(row, "name")?,
    })
}
