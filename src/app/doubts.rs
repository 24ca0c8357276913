//! Notes for the sessions which tables have to be verified before a step is made.

use std::{fmt, sync::Arc};

use crossfade_phase::Side;
use crossfade_proxy::shared::Doubts;
use crossfade_reconcile::{ALONE, Direction, Ledger};
use crossfade_store::TableMap;
use futures::future::BoxFuture;

use super::App;

/// See the module.
pub(crate) struct Doubter(Arc<dyn Ledger>);

impl Doubter {
    pub(crate) fn of(app: &App) -> Doubter {
        let (control, others) = (app.control.as_ref(), app.others.as_ref());
        Doubter(super::ledger(&app.journal, control, others))
    }
}

impl fmt::Debug for Doubter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Doubter")
    }
}

impl Doubts for Doubter {
    fn note(
        &self,
        table: &TableMap,
        secondary: Side,
    ) -> Option<BoxFuture<'static, Result<(), String>>> {
        let direction = match secondary {
            Side::New => Direction::Forward,
            Side::Old => Direction::Reverse,
        };
        if self.0.is_doubted(table, direction) {
            return None;
        }
        let (ledger, table) = (self.0.clone(), table.clone());
        Some(Box::pin(async move {
            tracing::warn!(table = %table.old.name, store = %secondary, "{ALONE}: it has to be verified");
            let noted = ledger.doubt(&table, direction, ALONE).await;
            noted.map_err(|error| error.to_string())
        }))
    }
}
