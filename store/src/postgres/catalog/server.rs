//! What the server says of itself and of the database.

use std::collections::BTreeSet;

use super::collations;
use crate::{
    ServerFacts, StoreResult,
    postgres::{adapter::SHORT, pool::Lease},
    relation::sorts_by_bytes,
};

/// Until version 15 the operating system's locale was the only one a database could have.
const SERVER: &str = "SELECT current_setting('server_version_num')::int8 AS version, current_setting('server_version') AS version_text, \
    current_setting('server_encoding') AS encoding, p.provider, \
    CASE p.provider WHEN 'c' THEN b.datcollate::text ELSE p.locale END AS coll_name, \
    CASE p.provider WHEN 'c' THEN b.datctype::text ELSE p.locale END AS coll_ctype, \
    (SELECT array_agg(s.name || '=' || s.reset_val) FROM pg_settings s \
        WHERE s.name IN ('TimeZone', 'DateStyle', 'IntervalStyle', 'extra_float_digits', 'bytea_output')) AS settings \
    FROM pg_database b CROSS JOIN LATERAL (SELECT coalesce(to_jsonb(b)->>'datlocprovider', 'c') AS provider, \
        coalesce(to_jsonb(b)->>'datlocale', to_jsonb(b)->>'daticulocale', '') AS locale) AS p WHERE b.datname = current_database()";

/// Where users' own definitions speak of settings with a dot in their names, by constants.
const CUSTOM_SETTINGS: &str = "SELECT DISTINCT lower(coalesce(m[1], m[2])) AS name FROM ( \
        SELECT coalesce(to_jsonb(p)->>'prosqlbody', '') || p.prosrc AS source FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') \
        UNION ALL SELECT concat(pg_get_expr(polqual, polrelid), ' ', pg_get_expr(polwithcheck, polrelid)) FROM pg_policy \
        UNION ALL SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef \
        UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' \
        UNION ALL SELECT pg_get_viewdef(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.relkind IN ('v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')) AS s \
    CROSS JOIN LATERAL regexp_matches(s.source, \
        '(?:current_setting|set_config)\\s*\\(\\s*''([^''.]+\\.[^'']+)''|\\mset\\s+(?:local\\s+|session\\s+)?(\\w+(?:\\.\\w+)+)\\s*(?:=|to\\M)', 'gi') AS m";

/// The facts that do not depend on a table.
pub(super) async fn facts(lease: &Lease) -> StoreResult<ServerFacts> {
    let answers = lease.rows(SERVER, &[], SHORT).await?;
    let row = answers
        .first()
        .ok_or_else(|| lease.unexpected("no answer to a question for settings"))?;
    let version: i64 = lease.read(row, "version")?;
    let provider: &str = lease.read(row, "provider")?;
    // A version matters only to those who compare two stores.
    let order = collations::order(lease.read(row, "coll_name")?, provider, Some(""), true);
    Ok(ServerFacts {
        version: u32::try_from(version).unwrap_or(0),
        version_text: lease.read(row, "version_text")?,
        settings: lease
            .read::<Vec<String>>(row, "settings")?
            .iter()
            .filter_map(|setting| setting.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        encoding: lease.read(row, "encoding")?,
        custom_settings: custom_settings(lease).await?,
        default_sorts_by_bytes: order.as_deref().is_some_and(sorts_by_bytes),
        default_ctype: collations::ctype(lease.read(row, "coll_ctype")?, provider),
    })
}

async fn custom_settings(lease: &Lease) -> StoreResult<BTreeSet<String>> {
    let rows = lease.rows(CUSTOM_SETTINGS, &[], SHORT).await?;
    rows.iter().map(|row| lease.read(row, "name")).collect()
}
