//! Triggers and rules: what changes rows behind a statement's back, or does it a second time in the secondary (trap 10).

use crossfade_config::QualifiedName;
use crossfade_phase::Side;

use super::Report;
use crate::{
    Mapping, StoreResult,
    postgres::{adapter::SHORT, pool::Lease, rows::Param},
    words::mentions,
};

/// Triggers that fire in ordinary sessions; those that partitions got from their parent are left out.
const TRIGGERS: &str = "SELECT t.tgname::text AS name, n.nspname::text AS schema, c.relname::text AS relation, t.tgrelid = $1 AS own, \
    (t.tgtype & 2) <> 0 AND (t.tgtype & 1) <> 0 AS before_row, p.prosrc AS source \
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND coalesce(to_jsonb(t)->>'tgparentid', '0') = '0' ORDER BY t.tgname";

const RULES: &str = "SELECT rulename::text AS name FROM pg_rewrite WHERE ev_class = $1 AND ev_enabled IN ('O', 'A') AND rulename <> '_RETURN' ORDER BY 1";

struct Trigger {
    name: String,
    on: QualifiedName,
    own: bool,
    before_row: bool,
    /// Mapped tables that its function names beside a word that writes.
    writes: Vec<QualifiedName>,
}

pub(super) async fn triggers(
    report: &mut Report<'_>,
    lease: &Lease,
    mapping: &Mapping,
    side: Side,
) -> StoreResult<()> {
    let table = Param::oid(report.table.on(side).oid);
    for row in lease
        .rows(TRIGGERS, std::slice::from_ref(&table), SHORT)
        .await?
    {
        let source: String = lease.read(&row, "source")?;
        let trigger = Trigger {
            name: lease.read(&row, "name")?,
            on: QualifiedName {
                schema: lease.read(&row, "schema")?,
                name: lease.read(&row, "relation")?,
            },
            own: lease.read(&row, "own")?,
            before_row: lease.read(&row, "before_row")?,
            writes: written_by(&source, mapping, side),
        };
        weigh(report, mapping, &trigger, side);
    }
    for row in lease.rows(RULES, &[table], SHORT).await? {
        let name: String = lease.read(&row, "name")?;
        let what = format!(
            "the rule \"{name}\" of the {side} store turns statements on this table into others"
        );
        report.blocks_unless(&name, what, "drop it, or replace it by a trigger");
    }
    Ok(())
}

fn written_by(source: &str, mapping: &Mapping, side: Side) -> Vec<QualifiedName> {
    if !["insert", "update", "delete", "merge", "truncate", "copy"]
        .iter()
        .any(|word| mentions(source, word))
    {
        return Vec::new();
    }
    mapping
        .tables
        .iter()
        .map(|table| &table.on(side).name)
        .filter(|name| mentions(source, &name.name))
        .cloned()
        .collect()
}

fn weigh(report: &mut Report<'_>, mapping: &Mapping, trigger: &Trigger, side: Side) {
    let this = &report.table.on(side).name;
    let mapped = mapping
        .tables
        .iter()
        .any(|table| table.on(side).name == trigger.on);
    let name = &trigger.name;
    // Reported once for each table: with the one that it is on where that is mapped, and with the one that it writes otherwise.
    if trigger.own && !trigger.writes.is_empty() {
        let written: Vec<_> = trigger.writes.iter().map(ToString::to_string).collect();
        unseen(
            report,
            name,
            &format!(
                "the trigger \"{name}\" of the {side} store writes {}",
                written.join(", ")
            ),
            side,
        );
    } else if !trigger.own && !mapped && trigger.writes.contains(this) && side == Side::Old {
        unseen(
            report,
            name,
            &format!(
                "the trigger \"{name}\" on {} of the old store writes this table",
                trigger.on
            ),
            side,
        );
    }
    if trigger.own && trigger.before_row {
        before_row(report, name, side);
    } else if trigger.own && trigger.writes.is_empty() && side == Side::New {
        report.note(
            name,
            format!("the trigger \"{name}\" of the new store fires for rows that come from the old store, too"),
            format!("make sure that this is meant, or {WHEN_OTHERS}"),
        );
    }
}

/// How a trigger can leave our own sessions alone.
const WHEN_OTHERS: &str =
    "give it WHEN (current_setting('application_name') NOT LIKE 'crossfade%')";

fn unseen(report: &mut Report<'_>, name: &str, what: &str, side: Side) {
    match side {
        Side::Old => report.blocks_unless(
            name,
            format!("{what}: the new store hears nothing of it"),
            "do it in the application, or by a foreign key with the same actions in both stores",
        ),
        Side::New => report.blocks_unless(
            name,
            format!("{what}: a second time, for rows that come from the old store"),
            WHEN_OTHERS,
        ),
    }
}

fn before_row(report: &mut Report<'_>, name: &str, side: Side) {
    match side {
        // What it makes of a row is in the image that RETURNING gives.
        Side::Old => report.note(
            name,
            format!("the trigger \"{name}\" of the old store may change rows before they are written; in phase 5 it does so with rows that come from the new store"),
            format!("before phase 5, create it in the new store, and in the old store {WHEN_OTHERS}"),
        ),
        Side::New => report.blocks_unless(
            name,
            format!("the trigger \"{name}\" of the new store may change rows that come from the old store, so that they differ"),
            WHEN_OTHERS,
        ),
    }
}
