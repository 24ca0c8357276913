//! Conditions, put as near to the rows as they may go.

use std::ops::Range;

use crate::{
    expr::Expr,
    plan::{From, Join, JoinKind},
};

/// Cuts a condition at its ANDs.
pub(super) fn split(condition: Expr, out: &mut Vec<Expr>) {
    match condition {
        Expr::And(items) => items.into_iter().for_each(|item| split(item, out)),
        other => out.push(other),
    }
}

/// Puts a condition of WHERE as near to the rows as it may go; gives it back where it has to stay.
pub(super) fn offer(from: &mut From, condition: Expr) -> Option<Expr> {
    let mut slots = Vec::new();
    condition.columns(&mut |slot| slots.push(slot));
    let mut subs = Vec::new();
    condition.subs(&mut subs);
    if slots.is_empty() || subs.iter().any(|sub| sub.correlated) {
        return Some(condition);
    }
    offer_slots(from, condition, &slots)
}

fn within(slots: &[usize], range: &Range<usize>) -> bool {
    slots.iter().all(|slot| range.contains(slot))
}

fn offer_slots(from: &mut From, condition: Expr, slots: &[usize]) -> Option<Expr> {
    match from {
        From::Nothing => Some(condition),
        From::Scan(scan) => {
            scan.filters.push(condition);
            None
        }
        From::System(scan) => {
            scan.filters.push(condition);
            None
        }
        From::Query(sub) => {
            sub.filters.push(condition);
            None
        }
        From::Function(function) => {
            function.filters.push(condition);
            None
        }
        From::Join(join) => match join.kind {
            JoinKind::Inner => {
                offer_on(join, condition);
                None
            }
            JoinKind::Left if within(slots, &join.left_slots) => {
                offer_slots(&mut join.left, condition, slots)
            }
            JoinKind::Right if within(slots, &join.right_slots) => {
                offer_slots(&mut join.right, condition, slots)
            }
            JoinKind::Left | JoinKind::Right | JoinKind::Full => Some(condition),
        },
    }
}

/// Puts a condition of ON, or one that means the same, where it belongs.
pub(super) fn offer_on(join: &mut Join, condition: Expr) {
    let mut slots = Vec::new();
    condition.columns(&mut |slot| slots.push(slot));
    let mut subs = Vec::new();
    condition.subs(&mut subs);
    if slots.is_empty() || subs.iter().any(|sub| sub.correlated) {
        join.on.push(condition);
        return;
    }
    // A side whose rows appear without a partner keeps what ON refuses.
    let left_keeps = matches!(join.kind, JoinKind::Left | JoinKind::Full);
    let right_keeps = matches!(join.kind, JoinKind::Right | JoinKind::Full);
    let refused = if within(&slots, &join.left_slots) && !left_keeps {
        offer_slots(&mut join.left, condition, &slots)
    } else if within(&slots, &join.right_slots) && !right_keeps {
        offer_slots(&mut join.right, condition, &slots)
    } else {
        Some(condition)
    };
    if let Some(condition) = refused {
        pair(join, condition);
    }
}

/// `left = right`, where each side is of one side of the join.
fn pair(join: &mut Join, condition: Expr) {
    if let Expr::Call(callable, args) = &condition
        && callable.name == "="
        && let [one, other] = &args[..]
        && callable.args.first() == callable.args.get(1)
    {
        let of = |expr: &Expr, range: &Range<usize>| {
            let mut slots = Vec::new();
            expr.columns(&mut |slot| slots.push(slot));
            !slots.is_empty() && within(&slots, range)
        };
        let ty = callable.args[0];
        if of(one, &join.left_slots) && of(other, &join.right_slots) {
            join.equal.push((one.clone(), other.clone(), ty));
            return;
        }
        if of(other, &join.left_slots) && of(one, &join.right_slots) {
            join.equal.push((other.clone(), one.clone(), ty));
            return;
        }
    }
    join.on.push(condition);
}

/// Says of every scan which columns are needed.
pub(super) fn need(
    from: &mut From,
    slots: &std::collections::BTreeSet<usize>,
    widths: &dyn Fn(usize) -> usize,
) {
    match from {
        From::Scan(scan) => {
            let width = widths(scan.table);
            scan.needed = (0..width)
                .filter(|column| slots.contains(&(scan.base + column)))
                .collect();
        }
        From::Join(join) => {
            need(&mut join.left, slots, widths);
            need(&mut join.right, slots, widths);
        }
        From::Nothing | From::System(_) | From::Query(_) | From::Function(_) => {}
    }
}
