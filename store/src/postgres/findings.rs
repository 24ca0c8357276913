//! Everything about one table that the preflight has to weigh.
//!
//! Each store reports what is so in it; what takes a look at both ends is reported by the new one.

mod assigns;
mod cascades;
mod columns;
mod keys;
mod prepared;
mod rights;
mod triggers;
mod types;
mod unique;

use crossfade_phase::{Phase, Side};

use super::PostgresStore;
use crate::{Finding, Mapping, StoreResult, TableMap};

/// What is found about one table.
struct Report<'a> {
    table: &'a TableMap,
    found: Vec<Finding>,
}

impl Report<'_> {
    fn add(&mut self, name: Option<&str>, blocks: bool, what: String, remedy: impl Into<String>) {
        self.found.push(Finding {
            table: self.table.old.name.clone(),
            name: name.map(str::to_owned),
            blocks: blocks.then_some(Phase::DualWrite),
            what,
            remedy: remedy.into(),
        });
    }

    /// Stands in the way of phase 3 and cannot be talked away.
    fn blocks(&mut self, what: String, remedy: impl Into<String>) {
        self.add(None, true, what, remedy);
    }

    /// Stands in the way of phase 3 until the operator acknowledges `name`.
    fn blocks_unless(&mut self, name: &str, what: String, remedy: impl Into<String>) {
        self.add(
            Some(name),
            true,
            what,
            format!("{}; or add \"{name}\" to `acknowledge`", remedy.into()),
        );
    }

    /// Good to know.
    fn note(&mut self, name: &str, what: String, remedy: impl Into<String>) {
        self.add(Some(name), false, what, remedy);
    }
}

/// What is so in `store`.
pub(super) async fn findings(
    store: &PostgresStore,
    table: &TableMap,
    mapping: &Mapping,
) -> StoreResult<Vec<Finding>> {
    let side = store.side;
    let mut report = Report {
        table,
        found: Vec::new(),
    };
    let lease = store.pool.lease().await?;
    if side == Side::New {
        keys::keys(&mut report);
        columns::columns(&mut report);
        unique::unique(&mut report);
    }
    types::types(&mut report, &lease, side).await?;
    cascades::cascades(&mut report, mapping, side);
    triggers::triggers(&mut report, &lease, mapping, side).await?;
    rights::rights(&mut report, &lease, side).await?;
    prepared::prepared(&mut report, &lease, side).await?;
    lease.done();
    Ok(report.found)
}
