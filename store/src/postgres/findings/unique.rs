//! Unique indexes that only one store has.

use super::Report;
use crate::{Relation, UniqueIndex};

/// Trap 2 and trap 11: one that only the secondary has refuses rows, or makes transactions wait for each other, that the primary let
/// through.
pub(super) fn unique(report: &mut Report<'_>) {
    let table = report.table;
    let to_new = |name: &String| {
        table
            .columns
            .iter()
            .find(|column| column.old.name == *name)
            .map(|column| column.new.name.clone())
    };
    let old: Vec<_> = table
        .old
        .unique
        .iter()
        .map(|index| index.columns.iter().map(to_new).collect::<Option<Vec<_>>>())
        .collect();
    for index in &table.new.unique {
        if !old
            .iter()
            .flatten()
            .any(|columns| same(columns, &index.columns))
        {
            only_new(report, &index.name, &listed(index));
        }
    }
    for (index, columns) in std::iter::zip(&table.old.unique, &old) {
        let there = columns.as_ref().is_some_and(|columns| {
            table
                .new
                .unique
                .iter()
                .any(|other| same(columns, &other.columns))
        });
        if !there {
            only_old(report, &index.name, &listed(index));
        }
    }
    // Nobody can tell whether two conditions or expressions are the same; their number and names are all there is.
    for name in missing(&table.new, &table.old) {
        only_new(report, name, "partial or over an expression");
    }
    for name in missing(&table.old, &table.new) {
        only_old(report, name, "partial or over an expression");
    }
}

fn listed(index: &UniqueIndex) -> String {
    index.columns.join(", ")
}

fn same(left: &[String], right: &[String]) -> bool {
    left.len() == right.len() && left.iter().all(|column| right.contains(column))
}

fn missing<'a>(of: &'a Relation, from: &'a Relation) -> impl Iterator<Item = &'a str> {
    of.partial_unique
        .iter()
        .filter(|name| !from.partial_unique.contains(name))
        .map(String::as_str)
}

fn only_new(report: &mut Report<'_>, name: &str, over: &str) {
    report.note(
        name,
        format!("only the new store has the unique index \"{name}\" ({over}): rows that the old store lets through may be refused there and stay dirty"),
        "make sure that the old store's rows keep to it, or create it there too",
    );
}

fn only_old(report: &mut Report<'_>, name: &str, over: &str) {
    report.note(
        name,
        format!("only the old store has the unique index \"{name}\" ({over}): from phase 5 on duplicates are let through, and the old store refuses them"),
        "create it in the new store before phase 5",
    );
}
