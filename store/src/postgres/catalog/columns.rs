//! Columns of a table.

use crossfade_config::QualifiedName;

use super::collations;
use crate::{
    Column, OwnedSequence, SequenceFacts, StoreResult,
    postgres::{adapter::SHORT, pool::Lease, rows::Param, sql},
};

/// `base` follows a domain down to what it is made of; `varies` says whether a part of a user's own type has a text that depends on
/// the session (`$2` lists the built-in types that do); `seq` is the sequence in the default, or else the one the column owns;
/// `owned` are all that it owns.
const COLUMNS: &str = "SELECT a.attname::text AS name, a.attnum AS number, a.atttypid AS declared_oid, base.oid AS type_oid, base.typmod AS modifier, \
    (SELECT t.typlen FROM pg_type t WHERE t.oid = base.oid) AS length, \
    format_type(a.atttypid, a.atttypmod) AS type_name, format_type(base.oid, base.typmod) AS base_type, \
    a.attcollation <> 0 AS collatable, \
    opns.nspname::text AS operator_schema, base.oid >= 16384 AND varies.so AS text_varies, \
    a.attnotnull OR base.not_null AS not_null, a.attgenerated <> '' AS generated, a.attidentity = 'a' AS identity_always, \
    a.attidentity <> '' OR a.atthasdef OR EXISTS (SELECT FROM pg_type t WHERE t.oid = a.atttypid AND t.typdefault IS NOT NULL) AS has_default, \
    CASE WHEN a.attgenerated = '' AND a.attidentity = '' THEN coalesce(pg_get_expr(own.adbin, own.adrelid), of_type.expr) END AS default_expr, \
    CASE WHEN a.attgenerated <> '' THEN pg_get_expr(own.adbin, own.adrelid) END AS generated_as, \
    seq.schema AS seq_schema, seq.name AS seq_name, seq.start AS seq_start, seq.increment AS seq_increment, seq.min AS seq_min, seq.max AS seq_max, \
    seq.cycle AS seq_cycle, \
    owned.schemas AS owned_schemas, owned.names AS owned_names, owned.starts AS owned_starts, owned.increments AS owned_increments, \
    CASE WHEN a.attcollation <> 0 THEN coll.collcollate END AS coll_name, CASE WHEN a.attcollation <> 0 THEN coll.ctype END AS coll_ctype, \
    coll.provider AS coll_provider, \
    coll.deterministic AS coll_deterministic, coll.version AS coll_version \
    FROM pg_attribute a \
    CROSS JOIN LATERAL (WITH RECURSIVE d(oid, typmod, not_null, typtype) AS ( \
        SELECT t.oid, a.atttypmod, false, t.typtype FROM pg_type t WHERE t.oid = a.atttypid \
        UNION ALL SELECT b.oid, t.typtypmod, d.not_null OR t.typnotnull, b.typtype \
        FROM d JOIN pg_type t ON t.oid = d.oid JOIN pg_type b ON b.oid = t.typbasetype WHERE d.typtype = 'd') \
        SELECT oid, typmod, not_null FROM d WHERE typtype <> 'd') AS base \
    CROSS JOIN LATERAL (WITH RECURSIVE p(oid) AS (SELECT base.oid UNION SELECT part.oid FROM p JOIN pg_type t ON t.oid = p.oid \
        CROSS JOIN LATERAL (SELECT t.typelem AS oid WHERE t.typelem <> 0 UNION ALL SELECT t.typbasetype WHERE t.typbasetype <> 0 \
            UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, nullif(to_jsonb(r)->>'rngmultitypid', '')::oid) \
            UNION ALL SELECT f.atttypid FROM pg_attribute f WHERE f.attrelid = t.typrelid AND t.typrelid <> 0 AND f.attnum > 0 AND NOT f.attisdropped) AS part) \
        SELECT coalesce(bool_or(p.oid::int8 = ANY ($2::text::int8[])), false) AS so FROM p) AS varies \
    LEFT JOIN LATERAL (SELECT c.collcollate, c.collprovider::text AS provider, c.collisdeterministic AS deterministic, c.version, c.ctype FROM ( \
        SELECT coalesce(to_jsonb(k)->>'collcollate', to_jsonb(k)->>'colliculocale', to_jsonb(k)->>'colllocale', '') AS collcollate, \
            k.collprovider, k.collisdeterministic, pg_collation_actual_version(k.oid) AS version, \
            coalesce(to_jsonb(k)->>'collctype', to_jsonb(k)->>'colliculocale', to_jsonb(k)->>'colllocale', '') AS ctype FROM pg_collation k WHERE k.oid = a.attcollation AND k.collprovider <> 'd' \
        UNION ALL SELECT CASE coalesce(to_jsonb(b)->>'datlocprovider', 'c') WHEN 'c' THEN b.datcollate::text \
            ELSE coalesce(to_jsonb(b)->>'datlocale', to_jsonb(b)->>'daticulocale', '') END, \
            coalesce(to_jsonb(b)->>'datlocprovider', 'c')::\"char\", true, DATABASE_VERSION, \
            CASE coalesce(to_jsonb(b)->>'datlocprovider', 'c') WHEN 'c' THEN b.datctype::text \
            ELSE coalesce(to_jsonb(b)->>'datlocale', to_jsonb(b)->>'daticulocale', '') END \
        FROM pg_database b, pg_collation k WHERE b.datname = current_database() AND k.oid = a.attcollation AND k.collprovider = 'd') AS c \
        LIMIT 1) AS coll ON true \
    LEFT JOIN LATERAL (SELECT o.opcnamespace FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod \
        WHERE o.opcintype = base.oid AND o.opcdefault AND m.amname = 'btree' AND o.opcnamespace <> 'pg_catalog'::regnamespace LIMIT 1) AS op ON true \
    LEFT JOIN pg_namespace opns ON opns.oid = op.opcnamespace \
    LEFT JOIN pg_attrdef own ON own.adrelid = a.attrelid AND own.adnum = a.attnum \
    LEFT JOIN LATERAL (SELECT coalesce(pg_get_expr(t.typdefaultbin, 0), quote_literal(t.typdefault) || '::' || format_type(t.oid, NULL)) AS expr \
        FROM pg_type t WHERE t.oid = a.atttypid) AS of_type ON true \
    LEFT JOIN LATERAL (SELECT n.nspname::text AS schema, s.relname::text AS name, ps.seqstart AS start, ps.seqincrement AS increment, \
            ps.seqmin AS min, ps.seqmax AS max, ps.seqcycle AS cycle FROM ( \
            SELECT dep.refobjid AS oid, 1 AS rank FROM pg_attrdef ad JOIN pg_depend dep \
                ON dep.classid = 'pg_attrdef'::regclass AND dep.objid = ad.oid AND dep.refclassid = 'pg_class'::regclass \
            WHERE ad.adrelid = a.attrelid AND ad.adnum = a.attnum AND a.attgenerated = '' \
            UNION ALL SELECT dep.objid, 2 FROM pg_depend dep WHERE dep.classid = 'pg_class'::regclass \
                AND dep.refclassid = 'pg_class'::regclass AND dep.refobjid = a.attrelid AND dep.refobjsubid = a.attnum AND dep.deptype IN ('a', 'i')) AS q \
        JOIN pg_class s ON s.oid = q.oid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace \
        JOIN pg_sequence ps ON ps.seqrelid = s.oid ORDER BY q.rank LIMIT 1) AS seq ON true \
    CROSS JOIN LATERAL (SELECT coalesce(array_agg(n.nspname::text ORDER BY s.oid), '{}') AS schemas, coalesce(array_agg(s.relname::text ORDER BY s.oid), '{}') AS names, \
            coalesce(array_agg(ps.seqstart ORDER BY s.oid), '{}') AS starts, coalesce(array_agg(ps.seqincrement ORDER BY s.oid), '{}') AS increments \
        FROM pg_depend dep JOIN pg_class s ON s.oid = dep.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace \
        JOIN pg_sequence ps ON ps.seqrelid = s.oid WHERE dep.classid = 'pg_class'::regclass AND dep.refclassid = 'pg_class'::regclass \
            AND dep.refobjid = a.attrelid AND dep.refobjsubid = a.attnum AND dep.deptype IN ('a', 'i')) AS owned \
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// The columns of the table, in order.
pub(super) async fn columns(lease: &Lease, table: u32, version: u32) -> StoreResult<Vec<Column>> {
    // Before version 15 nobody can tell the version of a database's own collation.
    let database_version = if version >= 150_000 {
        "pg_database_collation_actual_version(b.oid)"
    } else {
        "NULL::text"
    };
    let columns = COLUMNS.replace("DATABASE_VERSION", database_version);
    let session_types: Vec<_> = sql::binary_oids().map(|oid| oid.to_string()).collect();
    let params = [
        Param::oid(table),
        Param::text(format!("{{{}}}", session_types.join(","))),
    ];
    lease
        .rows(&columns, &params, SHORT)
        .await?
        .iter()
        .map(|row| column(lease, row))
        .collect()
}

fn column(lease: &Lease, row: &tokio_postgres::Row) -> StoreResult<Column> {
    let (sequence, sequence_facts) = sequence(lease, row)?;
    Ok(Column {
        name: lease.read(row, "name")?,
        number: lease.read(row, "number")?,
        declared_oid: lease.read(row, "declared_oid")?,
        type_oid: lease.read(row, "type_oid")?,
        type_name: lease.read(row, "type_name")?,
        base_type: lease.read(row, "base_type")?,
        modifier: lease.read(row, "modifier")?,
        length: lease.read(row, "length")?,
        // Of all columns together: see `types::domains`.
        domain: None,
        collation: collation(lease, row)?,
        ctype: ctype(lease, row)?,
        collatable: lease.read(row, "collatable")?,
        operator_schema: lease.read(row, "operator_schema")?,
        text_varies: lease.read(row, "text_varies")?,
        not_null: lease.read(row, "not_null")?,
        generated: lease.read(row, "generated")?,
        generated_as: lease.read(row, "generated_as")?,
        identity_always: lease.read(row, "identity_always")?,
        sequence,
        sequence_facts,
        owns: owned(lease, row)?,
        default: lease.read(row, "default_expr")?,
        has_default: lease.read(row, "has_default")?,
    })
}

fn sequence(
    lease: &Lease,
    row: &tokio_postgres::Row,
) -> StoreResult<(Option<QualifiedName>, Option<SequenceFacts>)> {
    let (schema, name) = (lease.read(row, "seq_schema")?, lease.read(row, "seq_name")?);
    let (Some(schema), Some(name)) = (schema, name) else {
        return Ok((None, None));
    };
    let facts = SequenceFacts {
        start: lease.read(row, "seq_start")?,
        increment: lease.read(row, "seq_increment")?,
        min: lease.read(row, "seq_min")?,
        max: lease.read(row, "seq_max")?,
        cycle: lease.read(row, "seq_cycle")?,
    };
    Ok((Some(QualifiedName { schema, name }), Some(facts)))
}

fn owned(lease: &Lease, row: &tokio_postgres::Row) -> StoreResult<Vec<OwnedSequence>> {
    let schemas: Vec<String> = lease.read(row, "owned_schemas")?;
    let names: Vec<String> = lease.read(row, "owned_names")?;
    let starts: Vec<i64> = lease.read(row, "owned_starts")?;
    let increments: Vec<i64> = lease.read(row, "owned_increments")?;
    let names = schemas.into_iter().zip(names);
    let owned = names.zip(starts.into_iter().zip(increments));
    Ok(owned
        .map(|((schema, name), (start, increment))| OwnedSequence {
            name: QualifiedName { schema, name },
            start,
            increment,
        })
        .collect())
}

fn collation(lease: &Lease, row: &tokio_postgres::Row) -> StoreResult<Option<String>> {
    let name: Option<String> = lease.read(row, "coll_name")?;
    let provider: Option<String> = lease.read(row, "coll_provider")?;
    let version: Option<String> = lease.read(row, "coll_version")?;
    let deterministic: Option<bool> = lease.read(row, "coll_deterministic")?;
    let (Some(name), Some(provider)) = (name, provider) else {
        return Ok(None);
    };
    Ok(collations::order(
        &name,
        &provider,
        version.as_deref(),
        deterministic != Some(false),
    ))
}

fn ctype(lease: &Lease, row: &tokio_postgres::Row) -> StoreResult<Option<String>> {
    let locale: Option<String> = lease.read(row, "coll_ctype")?;
    let provider: Option<String> = lease.read(row, "coll_provider")?;
    Ok(locale
        .zip(provider)
        .map(|(locale, provider)| collations::ctype(&locale, &provider)))
}
