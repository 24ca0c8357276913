//! What was written around is not trusted.

use crossfade_journal::TableState;

use super::Watch;
use crate::{app::App, control::Seat, jobs::Kind};

impl Watch {
    /// Takes away the trust in what was written around: the guards ask for a verify then. A verify that was under way at that moment may have passed the row
    /// before, so the mark is made once more when it has ended.
    pub(super) async fn mark(&mut self) {
        for (record, (toggle, reason)) in self.marks.clone() {
            let seat = self.app.control.as_ref();
            let seat = seat.and_then(|shared| shared.seat(&toggle)).cloned();
            let verifying = self.is_verifying(&record, seat.as_deref());
            let marked = match seat {
                Some(seat) => mark_for_all(&seat, &record, &reason).await,
                None => mark_here(&self.app, &record, reason).await,
            };
            match marked {
                Ok(()) if !verifying => drop(self.marks.remove(&record)),
                Ok(()) => {}
                Err(error) => {
                    tracing::error!(
                        record,
                        error,
                        "a table cannot be marked as written around the proxy"
                    )
                }
            }
        }
    }

    /// Whether a verify is at the table; where there are several proxies, any job of any of them.
    fn is_verifying(&self, record: &str, seat: Option<&Seat>) -> bool {
        let table = record.split(' ').next().unwrap_or(record);
        if let Some(seat) = seat {
            return seat.record().jobs.contains_key(table);
        }
        self.app.jobs.all().iter().any(|batch| {
            batch.view().tables.iter().any(|part| {
                part.kind == Kind::Verify && !part.stage.has_ended() && part.table == table
            })
        })
    }
}

async fn mark_for_all(seat: &Seat, record: &str, reason: &str) -> Result<(), String> {
    let marked = seat.change(|all| {
        let known = all.tables.entry(record.to_owned()).or_default();
        known.bypass(reason.to_owned());
        Ok(())
    });
    marked.await.map_err(|trouble| trouble.to_string())
}

async fn mark_here(app: &App, record: &str, reason: String) -> Result<(), String> {
    let (journal, name) = (app.journal.clone(), record.to_owned());
    let marked = tokio::task::spawn_blocking(move || {
        if journal.state().table(&name).bypassed.as_ref() == Some(&reason) {
            return Ok(());
        }
        let change = |known: &mut TableState| known.bypass(reason);
        journal.state().update_table(&name, change).map(drop)
    });
    let marked = marked.await.map_err(|error| error.to_string())?;
    marked.map_err(|error| error.to_string())
}
