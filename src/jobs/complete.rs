//! Phase 7 by itself: backfill, then verify, until every table of the toggle is complete.

use std::{sync::Arc, time::Duration};

use crossfade_phase::Phase;
use crossfade_toggle::{Snapshot, Toggle};
use tokio::time::sleep;

use super::{Kind, Request, start};
use crate::app::{App, table_record};

/// Pause before what failed is tried again; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Makes every table of the toggle complete, in the background, as long as the toggle stays in this epoch.
pub(crate) fn complete_toggle(app: Arc<App>, toggle: Arc<Toggle>, at: Snapshot) {
    tokio::spawn(async move {
        let mut pause = PAUSE;
        while toggle.gate().current() == at && at.phase == Phase::Backfill {
            if round(&app, &toggle).await {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    });
}

/// One go over the tables that are not complete; says whether all are now.
async fn round(app: &Arc<App>, toggle: &Toggle) -> bool {
    let tables = app.tables_of(toggle.name());
    let is_complete =
        |table: &&crossfade_store::TableMap| table_record(&app.journal, table).is_complete();
    if !tables.is_empty() && tables.iter().all(|table| is_complete(&table)) {
        tracing::info!(
            toggle = toggle.name(),
            "every table is complete; the toggle may move on to new-only"
        );
        return true;
    }
    // All in one go, parents first; what is complete is over at once.
    if !run(app, toggle, Kind::Backfill).await {
        return false;
    }
    // Only gaps are filled here: in this phase the new store is the primary.
    run(app, toggle, Kind::Verify).await && tables.iter().all(|table| is_complete(&table))
}

async fn run(app: &Arc<App>, toggle: &Toggle, kind: Kind) -> bool {
    let request = Request {
        kind,
        table: None,
        toggle: Some(toggle.name().to_owned()),
        reverse: false,
        repair: kind == Kind::Verify,
        values: false,
    };
    match start(app, &request) {
        Ok(batch) => {
            batch.end().await;
            batch.view().status().is_none()
        }
        Err(error) => {
            tracing::warn!(toggle = toggle.name(), %error, "phase backfill cannot begin yet");
            false
        }
    }
}
