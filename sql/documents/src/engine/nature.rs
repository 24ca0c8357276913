//! What a statement does, by its plan.

use std::collections::HashMap;

use crate::{
    bind::{Source, Statement},
    catalog::Catalog,
    expr::{Expr, Sequence},
    plan::{From, Query},
};

/// The completion of a statement that wrote `affected` rows and answered with `rows`.
pub(super) fn tag(statement: &Statement, affected: u64, rows: u64) -> String {
    match statement {
        Statement::Query(_) => format!("SELECT {rows}"),
        Statement::Insert(_) => format!("INSERT 0 {affected}"),
        Statement::Update(_) => format!("UPDATE {affected}"),
        Statement::Delete(_) => format!("DELETE {affected}"),
        Statement::Merge(_) => format!("MERGE {affected}"),
        Statement::CopyFrom(_) | Statement::CopyTo(_) | Statement::Images(_) => {
            format!("COPY {affected}")
        }
        Statement::Truncate(_) => "TRUNCATE TABLE".to_owned(),
        Statement::With(with) => tag(&with.main, affected, rows),
    }
}

/// An INSERT of one row, which is one document, and to which no other has to be looked at.
pub(super) fn is_single(statement: &Statement, catalog: &Catalog) -> bool {
    let Statement::Insert(insert) = statement else {
        return false;
    };
    let one = matches!(&insert.source, Source::Rows(rows) if rows.len() == 1);
    let keys = &catalog.tables[insert.table].map.old.foreign_keys;
    one && insert.conflict.is_none() && keys.is_empty()
}

/// A query of one collection, without sub-queries.
pub(super) fn is_simple(statement: &Statement) -> bool {
    let Statement::Query(Query::Select(select)) = statement else {
        return false;
    };
    let mut subs = Vec::new();
    select
        .filter
        .iter()
        .chain(&select.targets)
        .for_each(|expr| expr.subs(&mut subs));
    select.from.each(&mut |expr| expr.subs(&mut subs));
    subs.is_empty() && matches!(select.from, From::Scan(_) | From::Nothing)
}

/// Values of counters that a SELECT without FROM takes.
pub(super) fn counters_of(query: &Query) -> HashMap<Sequence, i64> {
    let mut wanted = HashMap::new();
    let Query::Select(select) = query else {
        return wanted;
    };
    if matches!(select.from, From::Nothing) {
        for target in &select.targets {
            target.walk(&mut |expr| {
                if let Expr::NextVal(sequence) = expr {
                    *wanted.entry(*sequence).or_default() += 1;
                }
            });
        }
    }
    wanted
}

/// Whether a statement writes, or locks what it reads.
pub(super) fn writes(statement: &Statement) -> bool {
    match statement {
        Statement::Query(query) => locks(query),
        Statement::CopyTo(copy) => writes(&copy.statement),
        Statement::Insert(_)
        | Statement::Update(_)
        | Statement::Delete(_)
        | Statement::Merge(_)
        | Statement::CopyFrom(_)
        | Statement::Truncate(_)
        | Statement::With(_) => true,
        Statement::Images(_) => false,
    }
}

/// Whether a query locks what it reads.
fn locks(query: &Query) -> bool {
    match query {
        Query::Select(select) => select.locking.is_some() || from_locks(&select.from),
        Query::Values(_) | Query::Written(_) => false,
        Query::Set(set) => locks(&set.left) || locks(&set.right),
    }
}

fn from_locks(from: &From) -> bool {
    match from {
        From::Query(sub) => locks(&sub.query),
        From::Join(join) => from_locks(&join.left) || from_locks(&join.right),
        From::Nothing | From::Scan(_) | From::System(_) | From::Function(_) => false,
    }
}
