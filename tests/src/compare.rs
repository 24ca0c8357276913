//! Are two stores alike?

use std::{collections::BTreeSet, time::Duration};

use crate::{Database, look_until};

/// How long two stores with traffic at its end may differ.
const MOMENT: Duration = Duration::from_secs(2);

/// Asserts that two tables hold the same rows, in whatever order; says how many.
///
/// # Panics
/// With the rows that only one has.
pub async fn tables(old: &Database, old_table: &str, new: &Database, new_table: &str) -> usize {
    let every = |table: &str| format!("SELECT * FROM {table}");
    queries(old, &every(old_table), new, &every(new_table)).await
}

/// Asserts that two queries give the same rows, in whatever order; says how many. A client is answered before the secondary has committed
/// (docs/decision/14), so they get a moment to become alike.
///
/// # Panics
/// With the rows that only one gives.
pub async fn queries(old: &Database, old_sql: &str, new: &Database, new_sql: &str) -> usize {
    let look = async || {
        let (left, right) = (old.rows(old_sql).await, new.rows(new_sql).await);
        (left.len(), differences(&left, &right))
    };
    let (rows, differing) = look_until(MOMENT, look, |(_, found)| found.is_empty()).await;
    assert!(
        differing.is_empty(),
        "the stores differ for {old_sql}:\n{}",
        differing.join("\n")
    );
    rows
}

/// The rows that only one side has, as lines to read; empty when both are alike.
#[must_use]
pub fn differences(old: &[Vec<Option<String>>], new: &[Vec<Option<String>>]) -> Vec<String> {
    let left: BTreeSet<_> = old.iter().collect();
    let right: BTreeSet<_> = new.iter().collect();
    let mut lines: Vec<String> = left
        .difference(&right)
        .map(|row| format!("only old: {row:?}"))
        .collect();
    lines.extend(
        right
            .difference(&left)
            .map(|row| format!("only new: {row:?}")),
    );
    if lines.is_empty() && old.len() != new.len() {
        lines.push(format!(
            "{} rows in the old, {} in the new",
            old.len(),
            new.len()
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::differences;

    fn row(text: &str) -> Vec<Option<String>> {
        vec![Some(text.to_owned())]
    }

    #[test]
    fn rows_of_one_side_are_named_and_order_does_not_matter() {
        assert!(differences(&[row("a"), row("b")], &[row("b"), row("a")]).is_empty());
        let lines = differences(&[row("a")], &[row("a"), row("c")]);
        assert_eq!(lines, ["only new: [Some(\"c\")]"]);
    }

    #[test]
    fn a_row_that_one_side_has_twice_is_a_difference() {
        assert_eq!(differences(&[row("a"), row("a")], &[row("a")]).len(), 1);
    }
}
