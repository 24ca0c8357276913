//! What the server counts of row changes (trap 41).

use super::{
    PostgresStore,
    adapter::SHORT,
    catalog::table_oid,
    rows::Param,
    sql::{quote_literal, quote_name},
};
use crate::{RowCounters, StoreResult, TableMap, words::mentions};

/// First version whose sessions report what they have counted also while they are idle: at most 10 seconds after the transaction. In an older one an idle
/// session keeps it for as long as it is idle.
const REPORTS_WHEN_IDLE: i32 = 150_000;

/// Transactions of sessions that this account may not see begin at no time: they are of no role that comes through the proxy.
const STATE: &str = "SELECT current_setting('server_version_num')::int4 AS version, current_setting('track_counts')::bool AS counts, \
    (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS now, \
    (SELECT min((extract(epoch FROM xact_start) * 1000000)::int8) FROM pg_stat_activity \
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()) AS oldest";

/// Row changes by table, those of its partitions included. Rolled-back ones are in it.
fn changes(tables: &[String]) -> String {
    let tables: Vec<String> = tables
        .iter()
        .enumerate()
        .map(|(number, name)| format!("({number}, {})", quote_literal(name)))
        .collect();
    format!(
        "WITH RECURSIVE parts(number, oid) AS (SELECT t.number, to_regclass(t.name)::oid FROM (VALUES {}) AS t(number, name) \
            UNION ALL SELECT parts.number, h.inhrelid FROM parts JOIN pg_inherits h ON h.inhparent = parts.oid) \
         SELECT coalesce(sum(pg_stat_get_tuples_inserted(oid) + pg_stat_get_tuples_updated(oid) + pg_stat_get_tuples_deleted(oid)), 0)::int8 AS changes \
         FROM parts GROUP BY number ORDER BY number",
        tables.join(", ")
    )
}

pub(super) async fn row_counters(
    store: &PostgresStore,
    tables: &[TableMap],
) -> StoreResult<Result<RowCounters, String>> {
    let lease = store.pool.lease().await?;
    let states = lease.rows(STATE, &[], SHORT).await?;
    let state = states
        .first()
        .ok_or_else(|| lease.unexpected("no row for the state of the counters"))?;
    if lease.read::<i32>(state, "version")? < REPORTS_WHEN_IDLE {
        lease.done();
        return Ok(Err(
            "its PostgreSQL is older than 15, and idle sessions keep what they count to themselves"
                .to_owned(),
        ));
    }
    if !lease.read::<bool>(state, "counts")? {
        lease.done();
        return Ok(Err("track_counts is off".to_owned()));
    }
    let names: Vec<String> = tables
        .iter()
        .map(|table| quote_name(&table.on(store.side).name))
        .collect();
    let mut counted = Vec::with_capacity(names.len());
    if !names.is_empty() {
        for row in lease.rows(&changes(&names), &[], SHORT).await? {
            let number: i64 = lease.read(&row, "changes")?;
            counted.push(u64::try_from(number).unwrap_or(0));
        }
    }
    let found = RowCounters {
        now_us: lease.read(state, "now")?,
        oldest_us: lease.read(state, "oldest")?,
        changes: counted,
    };
    lease.done();
    Ok(Ok(found))
}

/// Foreign keys of the table by which a change of the other table changes rows here.
const CASCADES: &str = "SELECT conname::text AS name FROM pg_constraint k WHERE contype = 'f' AND conrelid = $1 \
    AND coalesce((to_jsonb(k)->>'conenforced')::bool, true) AND (confdeltype NOT IN ('a', 'r') OR confupdtype NOT IN ('a', 'r')) ORDER BY 1";

/// Functions of triggers, and rules, that write something.
const WRITERS: &str = "SELECT name, source FROM ( \
        SELECT DISTINCT 'trigger function \"' || p.proname || '\"' AS name, p.prosrc AS source FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid \
            WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') \
        UNION ALL SELECT 'rule \"' || r.rulename || '\"', pg_get_ruledef(r.oid) FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class \
            WHERE c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) AND r.ev_enabled IN ('O', 'A') AND r.rulename <> '_RETURN' \
    ) AS writers WHERE source ~* '\\m(insert|update|delete|merge|truncate|copy)\\M' ORDER BY 1";

pub(super) async fn side_effects(
    store: &PostgresStore,
    table: &TableMap,
) -> StoreResult<Vec<String>> {
    let lease = store.pool.lease().await?;
    let name = &table.on(store.side).name;
    let mut found = Vec::new();
    if let Some(oid) = table_oid(&lease, name).await? {
        for row in lease.rows(CASCADES, &[Param::oid(oid)], SHORT).await? {
            found.push(format!(
                "foreign key \"{}\"",
                lease.read::<&str>(&row, "name")?
            ));
        }
    }
    for row in lease.rows(WRITERS, &[], SHORT).await? {
        if mentions(lease.read(&row, "source")?, &name.name) {
            found.push(lease.read(&row, "name")?);
        }
    }
    lease.done();
    Ok(found)
}
