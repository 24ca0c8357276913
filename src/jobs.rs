//! Reconciler jobs: asked for over the admin port, by a command, or by phase 7 itself.

mod complete;
mod ending;
mod order;
mod run;
mod view;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use crossfade_reconcile::{Direction, Engine};
use crossfade_store::{TableId, TableMap};
use crossfade_toggle::shell_word;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub(crate) use complete::complete_toggle;
use ending::Ending;
pub(crate) use view::{BatchView, PartView, Stage};

use crate::{
    app::{App, lock},
    failure::Failure,
};

/// Batches kept for the status page after their end.
const KEPT: usize = 32;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Copies what the target does not have.
    Backfill,
    /// Compares.
    Verify,
    /// Repairs dirty keys.
    Repair,
}

impl Kind {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Backfill => "backfill",
            Kind::Verify => "verify",
            Kind::Repair => "repair",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// What to do.
    pub(crate) kind: Kind,
    /// With which table; all of them otherwise.
    pub(crate) table: Option<String>,
    /// Only tables of this toggle.
    pub(crate) toggle: Option<String>,
    /// From new to old.
    pub(crate) reverse: bool,
    /// A verify repairs what it finds.
    pub(crate) repair: bool,
    /// A verify lists values.
    pub(crate) values: bool,
}

impl Request {
    /// The way rows go.
    pub(crate) fn direction(&self) -> Direction {
        if self.reverse {
            Direction::Reverse
        } else {
            Direction::Forward
        }
    }

    /// What to type for the same of one table.
    fn command(&self, table: &str) -> String {
        let mut command = format!("crossfade {}", self.kind.name());
        for (set, flag) in [(self.reverse, " --reverse"), (self.repair, " --repair")] {
            if set {
                command.push_str(flag);
            }
        }
        command + " --table " + &shell_word(table)
    }
}

/// One request: the same job over one table after the other.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Its number, for `/jobs/ID`.
    pub(crate) id: u64,
    /// What was asked for.
    pub(crate) request: Request,
    parts: Vec<Part>,
    ended: Notify,
}

/// The job over one table.
#[derive(Debug)]
struct Part {
    table: TableId,
    view: Mutex<PartView>,
}

impl Part {
    fn waiting(table: &TableMap, kind: Kind) -> Part {
        Part {
            table: table.id,
            view: Mutex::new(PartView::waiting(table, kind)),
        }
    }
}

/// All batches that run and the last ones that ended.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    last: AtomicU64,
    batches: Mutex<VecDeque<Arc<Batch>>>,
}

impl Jobs {
    /// The batch of this number.
    pub(crate) fn get(&self, id: u64) -> Option<Arc<Batch>> {
        lock(&self.batches)
            .iter()
            .find(|batch| batch.id == id)
            .cloned()
    }

    /// Every batch that is kept, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Batch>> {
        lock(&self.batches).iter().cloned().collect()
    }

    /// Takes a request in, or gives the batch that already does what it asks for.
    fn begin(&self, request: &Request, parts: Vec<Part>) -> (Arc<Batch>, bool) {
        let mut batches = lock(&self.batches);
        let same = |batch: &&Arc<Batch>| batch.request == *request && !batch.has_ended();
        if let Some(running) = batches.iter().find(same) {
            return (running.clone(), false);
        }
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let batch = Arc::new(Batch {
            id,
            request: request.clone(),
            parts,
            ended: Notify::new(),
        });
        batches.push_back(batch.clone());
        while batches.len() > KEPT && batches.front().is_some_and(|batch| batch.has_ended()) {
            batches.pop_front();
        }
        (batch, true)
    }
}

/// The tables of a request, parents before their children.
fn parts(engine: &Engine, request: &Request) -> Result<Vec<Part>, Failure> {
    let mapping = engine.mapping();
    let wanted = match &request.table {
        Some(name) => Some(engine.table(name).map_err(|error| {
            let known: Vec<String> = mapping
                .tables
                .iter()
                .map(|table| table.old.name.to_string())
                .collect();
            Failure::usage(format!(
                "{error}; it maps {}",
                if known.is_empty() {
                    "none yet (`crossfade check`)".to_owned()
                } else {
                    known.join(", ")
                }
            ))
        })?),
        None => None,
    };
    let mut tables = order::parents_first(mapping, request.direction().to());
    tables.retain(|id| wanted.is_none_or(|wanted| wanted == *id));
    tables.retain(|id| {
        request
            .toggle
            .as_ref()
            .is_none_or(|toggle| mapping.tables[id.0].toggle == *toggle)
    });
    if tables.is_empty() {
        return Err(Failure::usage(
            "there is no mapped table to work on; `crossfade check` shows what is missing",
        ));
    }
    let part = |table: TableId| Part::waiting(&mapping.tables[table.0], request.kind);
    Ok(tables.into_iter().map(part).collect())
}

/// Starts what is asked for in the background, unless it runs already.
///
/// # Errors
/// When there is no such table.
pub(crate) fn start(app: &Arc<App>, request: &Request) -> Result<Arc<Batch>, Failure> {
    let engine = app.engine.load_full();
    let (batch, is_new) = app.jobs.begin(request, parts(&engine, request)?);
    if is_new {
        let (app, ending) = (app.clone(), Ending::of(batch.clone()));
        tokio::spawn(async move { run::run(&app, &engine, ending.batch()).await });
    }
    Ok(batch)
}

impl Batch {
    /// Whether every part has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.parts
            .iter()
            .all(|part| lock(&part.view).stage.has_ended())
    }

    /// Waits for the end.
    pub(crate) async fn end(&self) {
        loop {
            let ended = self.ended.notified();
            if self.has_ended() {
                return;
            }
            ended.await;
        }
    }

    /// What can be said of it now.
    pub(crate) fn view(&self) -> BatchView {
        let tables = self
            .parts
            .iter()
            .map(|part| lock(&part.view).clone())
            .collect();
        BatchView {
            id: self.id,
            kind: self.request.kind,
            reverse: self.request.reverse,
            tables,
        }
    }
}
