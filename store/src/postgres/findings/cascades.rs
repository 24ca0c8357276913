//! Foreign keys that change rows which no statement names (trap 10), or refuse what the other store let through (trap 11).

use crossfade_phase::Side;

use super::Report;
use crate::{FkAction, ForeignKey, Mapping, TableMap};

pub(super) fn cascades(report: &mut Report<'_>, mapping: &Mapping, side: Side) {
    let table = report.table;
    for key in &table.on(side).foreign_keys {
        let parent = mapping.named(side, &key.parent);
        let twin = mapping.twin(side, key);
        if acts(key) {
            acting(report, key, parent, twin, side);
        }
        if side == Side::New {
            refusing(report, mapping, key, parent, twin);
        }
    }
    if side == Side::New {
        for key in &table.new.referenced_by {
            if mapping.named(Side::New, &key.child).is_none() {
                report.note(
                    &key.name,
                    format!("the table {} of the new store, which is not mapped, points here: a DELETE that the old store lets through {}", key.child, outcome(key)),
                    "make sure that it is empty, map it, or drop the constraint until phase 8",
                );
            }
        }
    }
}

fn acts(key: &ForeignKey) -> bool {
    key.on_delete != FkAction::Refuse || key.on_update != FkAction::Refuse
}

fn outcome(key: &ForeignKey) -> &'static str {
    match key.on_delete {
        FkAction::Refuse => "is refused where it has rows for it, and its key stays dirty",
        FkAction::Cascade => "deletes its rows",
        FkAction::SetNull | FkAction::SetDefault => "changes its rows",
    }
}

fn acting(
    report: &mut Report<'_>,
    key: &ForeignKey,
    parent: Option<&TableMap>,
    twin: Option<&ForeignKey>,
    side: Side,
) {
    let action = format!(
        "the constraint \"{}\" of the {side} store (ON DELETE {}, ON UPDATE {})",
        key.name,
        key.on_delete.words(),
        key.on_update.words()
    );
    let same =
        twin.is_some_and(|twin| twin.on_delete == key.on_delete && twin.on_update == key.on_update);
    match (parent, side) {
        (Some(_), Side::Old) if same => report.note(
            &key.name,
            format!("{action} changes rows that no statement names: they are followed row by row{}", refused(report.table, key)),
            "the application's roles need SELECT and UPDATE on this table, and TEMPORARY on the database",
        ),
        (Some(_), Side::New) if same => {}
        (Some(parent), Side::Old) if report.table.new.shapeless && !is_followed_by_documents(key) => report.blocks_unless(
            &key.name,
            format!(
                "{action} changes rows here when {} changes: in phases 3 and 4 they are followed row by row, from 5 on SQL on documents follows \
                 ON DELETE CASCADE only, and refuses what would need the others",
                parent.old.name
            ),
            "MongoDB has no such constraints: let the application write these rows itself, and drop the actions",
        ),
        (Some(parent), Side::Old) if report.table.new.shapeless => report.note(
            &key.name,
            format!(
                "{action} changes rows here when {} changes: in phases 3 and 4 they are followed row by row, from 5 on SQL on documents does the same by itself",
                parent.old.name
            ),
            "the application's roles need SELECT and UPDATE on this table, and TEMPORARY on the database",
        ),
        (Some(parent), Side::Old) => report.blocks_unless(
            &key.name,
            format!(
                "{action} changes rows here when {} changes: in phases 3 and 4 they are followed row by row{}, but from 5 on the new store does not do so by itself{}",
                parent.old.name,
                refused(report.table, key),
                alone(twin, side)
            ),
            "create the same constraint in the new store, or drop its actions and let the application write these rows itself",
        ),
        (_, Side::Old) => report.blocks_unless(
            &key.name,
            format!("{action} changes rows here when {} changes, and the new store hears nothing of it", key.parent),
            format!("map {} as well and create the same constraint in the new store, or drop its actions", key.parent),
        ),
        (_, Side::New) => report.blocks_unless(
            &key.name,
            format!("{action} changes rows here when {} changes, and the old store's rows stay as they are{}", key.parent, alone(twin, side)),
            "let it have the actions of the old store's constraint until phase 8",
        ),
    }
}

/// What becomes of it where the primary has no such constraint at all.
fn alone(twin: Option<&ForeignKey>, side: Side) -> &'static str {
    match (twin, side) {
        (Some(_), _) => "",
        (None, Side::Old) => {
            ". In phase 5 the old store still does: rows change there alone, and once they may have, the step back to 4 asks for `crossfade verify --reverse` of this table"
        }
        (None, Side::New) => {
            ": once rows may have changed in phases 3 and 4, the next step asks for `crossfade verify` of this table"
        }
    }
}

/// What is said of an UPDATE that changes the key of this table.
fn refused(child: &TableMap, key: &ForeignKey) -> &'static str {
    if key.on_update != FkAction::Refuse && child.sets_key(&key.columns) {
        "; an UPDATE of the columns it points to is refused while both stores are written, as the key here would change"
    } else {
        ""
    }
}

/// SQL on documents does the same as the constraint.
fn is_followed_by_documents(key: &ForeignKey) -> bool {
    key.on_delete == FkAction::Cascade && key.on_update == FkAction::Refuse
}

/// The new store may refuse a row for want of its parent.
fn refusing(
    report: &mut Report<'_>,
    mapping: &Mapping,
    key: &ForeignKey,
    parent: Option<&TableMap>,
    twin: Option<&ForeignKey>,
) {
    let Some(parent) = parent else {
        report.note(
            &key.name,
            format!("the constraint \"{}\" of the new store points to {}, which is not mapped: rows without their parent there are refused and stay dirty", key.name, key.parent),
            "fill that table first, map it, or drop the constraint until phase 8",
        );
        return;
    };
    if twin.is_none() {
        report.note(
            &key.name,
            format!("only the new store has the constraint \"{}\": rows without their parent are refused there and stay dirty", key.name),
            "make sure that the old store's rows keep to it",
        );
    }
    let circular = mapping.write_order(Side::New);
    if !key.deferrable
        && circular.circular().contains(&report.table.id)
        && (parent.id == report.table.id || circular.circular().contains(&parent.id))
    {
        report.note(
            &key.name,
            format!("the constraint \"{}\" of the new store closes a circle and cannot be deferred: rows of one transaction that point to each other may be refused and stay dirty for a while", key.name),
            format!("ALTER TABLE {} ALTER CONSTRAINT \"{}\" DEFERRABLE", key.child, key.name),
        );
    }
    if parent.toggle != report.table.toggle {
        report.note(
            &key.name,
            format!(
                "the constraint \"{}\" ties this table to {}, which is of another toggle",
                key.name, parent.old.name
            ),
            "put both into one toggle (trap 26)",
        );
    }
}
