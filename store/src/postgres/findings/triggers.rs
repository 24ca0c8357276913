//! Triggers and rules: what changes rows behind a statement's back, or does it a second time in the secondary (trap 10).

use std::collections::BTreeSet;

use crossfade_config::QualifiedName;
use crossfade_phase::Side;

use super::{Report, assigns::assigned};
use crate::{
    FkAction, Mapping, StoreResult,
    postgres::{adapter::SHORT, pool::Lease, rows::Param},
    words::mentions,
};

/// Triggers that fire in ordinary sessions; those that partitions got from their parent are left out.
const TRIGGERS: &str = "WITH RECURSIVE parts(oid) AS (SELECT $1::oid UNION SELECT h.inhrelid FROM parts JOIN pg_inherits h ON h.inhparent = parts.oid) \
    SELECT t.tgname::text AS name, n.nspname::text AS schema, c.relname::text AS relation, t.tgrelid = $1 AS own, \
    t.tgtype & 3 = 3 AND t.tgrelid IN (SELECT oid FROM parts) AS before_row, t.tgtype & 16 <> 0 AS on_update, p.prosrc AS source, l.lanname = 'plpgsql' AS plpgsql \
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_language l ON l.oid = p.prolang JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND coalesce(to_jsonb(t)->>'tgparentid', '0') = '0' ORDER BY t.tgname";

const RULES: &str = "SELECT rulename::text AS name FROM pg_rewrite WHERE ev_class = $1 AND ev_enabled IN ('O', 'A') AND rulename <> '_RETURN' ORDER BY 1";

struct Trigger {
    name: String,
    on: QualifiedName,
    own: bool,
    /// It is called before rows of the table, or of a part of it, are written.
    before_row: bool,
    /// Also before they are updated.
    on_update: bool,
    /// Columns that its function visibly assigns.
    assigns: BTreeSet<String>,
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
        let plpgsql: bool = lease.read(&row, "plpgsql")?;
        let trigger = Trigger {
            name: lease.read(&row, "name")?,
            on: QualifiedName {
                schema: lease.read(&row, "schema")?,
                name: lease.read(&row, "relation")?,
            },
            own: lease.read(&row, "own")?,
            before_row: lease.read(&row, "before_row")?,
            on_update: lease.read(&row, "on_update")?,
            assigns: if plpgsql {
                assigned(&source)
            } else {
                BTreeSet::new()
            },
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
    if trigger.before_row {
        before_row(report, mapping, trigger, side);
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

fn before_row(report: &mut Report<'_>, mapping: &Mapping, trigger: &Trigger, side: Side) {
    let name = &trigger.name;
    let kept = Kept::of(report, mapping, side);
    let keeps = if trigger.on_update {
        kept.words()
    } else {
        String::new()
    };
    match side {
        // What it makes of a row is in the image that RETURNING gives.
        Side::Old => report.note(
            name,
            format!("the trigger \"{name}\" of the old store may change rows before they are written{keeps}; in phase 5 it does so with rows that come from the new store"),
            format!("before phase 5, create it in the new store, and in the old store {WHEN_OTHERS}"),
        ),
        Side::New => report.blocks_unless(
            name,
            format!("the trigger \"{name}\" of the new store may change rows that come from the old store, so that they differ{keeps}"),
            WHEN_OTHERS,
        ),
    }
    for column in trigger.assigns.iter().filter(|_| trigger.on_update) {
        let Some(why) = kept.why(report, column, side) else {
            continue;
        };
        report.blocks_unless(
            &format!("{name}.{column}"),
            format!("the trigger \"{name}\" of the {side} store assigns NEW.\"{column}\", {why}"),
            "let the application set it, or make sure that the function changes it for INSERT alone",
        );
    }
}

/// The columns that no trigger may change in a row that is there.
struct Kept {
    key: BTreeSet<String>,
    /// Those that acting foreign keys between mapped tables point to.
    referenced: BTreeSet<String>,
}

impl Kept {
    fn of(report: &Report<'_>, mapping: &Mapping, side: Side) -> Kept {
        let table = report.table;
        let name = |&index: &usize| table.columns[index].on(side).name.clone();
        let acting = table.on(side).referenced_by.iter().filter(|key| {
            key.on_update != FkAction::Refuse && mapping.named(side, &key.child).is_some()
        });
        Kept {
            key: table.key.iter().map(name).collect(),
            referenced: acting
                .flat_map(|key| key.parent_columns.iter().cloned())
                .collect(),
        }
    }

    fn words(&self) -> String {
        let list = |columns: &BTreeSet<String>| {
            let names: Vec<String> = columns.iter().map(|name| format!("\"{name}\"")).collect();
            names.join(", ")
        };
        let mut words = format!(
            "; it must not change the key ({}) of a row that is there, which is not always noticed",
            list(&self.key)
        );
        if !self.referenced.is_empty() {
            let names = list(&self.referenced);
            words.push_str(&format!(
                ", nor what foreign keys with ON UPDATE actions point to ({names}), which never is"
            ));
        }
        words
    }

    /// What an assignment of `column` does that nobody would see.
    fn why(&self, report: &Report<'_>, column: &str, side: Side) -> Option<&'static str> {
        let relation = report.table.on(side);
        let changed = relation.changed_by([column.to_owned()].into());
        if !changed.is_disjoint(&self.key) {
            Some(
                "which the key is made of: the other store would keep the row under its former key, too",
            )
        } else if !changed.is_disjoint(&self.referenced) {
            Some(
                "which foreign keys with ON UPDATE actions point to: the other store would hear nothing of what they do",
            )
        } else {
            None
        }
    }
}
