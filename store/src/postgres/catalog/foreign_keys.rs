//! Foreign keys of a table, both ways.

use crossfade_config::QualifiedName;

use crate::{
    FkAction, ForeignKey, StoreResult,
    postgres::{adapter::SHORT, pool::Lease, rows::Param},
};

/// Constraints that partitions inherited from their parents are left out, and those that nobody looks after (NOT ENFORCED, from PostgreSQL 18 on): they have
/// neither checks nor actions.
const FOREIGN_KEYS: &str = "SELECT k.conname::text AS name, k.conrelid = $1 AS outgoing, k.confrelid = $1 AS incoming, \
    k.condeferrable AS deferrable, k.condeferred AS deferred, k.confmatchtype = 'f' AS match_full, k.confdeltype::text AS on_delete, k.confupdtype::text AS on_update, \
    cn.nspname::text AS child_schema, c.relname::text AS child_name, pn.nspname::text AS parent_schema, p.relname::text AS parent_name, \
    array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS n(num, place) \
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.num ORDER BY n.place) AS columns, \
    array(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS n(num, place) \
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = n.num ORDER BY n.place) AS parent_columns, \
    array(SELECT a.attname::text FROM jsonb_array_elements_text(coalesce(nullif(to_jsonb(k)->'confdelsetcols', 'null'), '[]')) WITH ORDINALITY AS n(num, place) \
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.num::int ORDER BY n.place) AS set_columns \
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace \
    JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace \
    WHERE k.contype = 'f' AND k.conparentid = 0 AND coalesce((to_jsonb(k)->>'conenforced')::bool, true) AND $1 IN (k.conrelid, k.confrelid) ORDER BY k.conname, c.relname";

/// The foreign keys of the table, and those that point to it.
pub(super) async fn both_ways(
    lease: &Lease,
    table: u32,
) -> StoreResult<(Vec<ForeignKey>, Vec<ForeignKey>)> {
    let (mut outgoing, mut incoming) = (Vec::new(), Vec::new());
    for row in lease
        .rows(FOREIGN_KEYS, &[Param::oid(table)], SHORT)
        .await?
    {
        let key = ForeignKey {
            name: lease.read(&row, "name")?,
            child: QualifiedName {
                schema: lease.read(&row, "child_schema")?,
                name: lease.read(&row, "child_name")?,
            },
            columns: lease.read(&row, "columns")?,
            parent: QualifiedName {
                schema: lease.read(&row, "parent_schema")?,
                name: lease.read(&row, "parent_name")?,
            },
            parent_columns: lease.read(&row, "parent_columns")?,
            on_delete: action(lease.read(&row, "on_delete")?),
            on_update: action(lease.read(&row, "on_update")?),
            deferrable: lease.read(&row, "deferrable")?,
            initially_deferred: lease.read(&row, "deferred")?,
            match_full: lease.read(&row, "match_full")?,
            set_columns: lease.read(&row, "set_columns")?,
        };
        if lease.read(&row, "outgoing")? {
            outgoing.push(key.clone());
        }
        if lease.read(&row, "incoming")? {
            incoming.push(key);
        }
    }
    Ok((outgoing, incoming))
}

/// `confdeltype` and `confupdtype`; the others are NO ACTION and RESTRICT.
fn action(code: &str) -> FkAction {
    match code {
        "c" => FkAction::Cascade,
        "n" => FkAction::SetNull,
        "d" => FkAction::SetDefault,
        _ => FkAction::Refuse,
    }
}
