//! The end of a batch that did not get to its own.

use std::{sync::Arc, thread, time::Instant};

use super::{Batch, Stage, run};
use crate::app::lock;

/// Lives as long as the task of a batch. Whatever ends that, a panic too, ends the batch: who asks for the same waits for one that runs.
pub(super) struct Ending {
    batch: Arc<Batch>,
    began: Instant,
}

impl Ending {
    pub(super) fn of(batch: Arc<Batch>) -> Ending {
        let began = Instant::now();
        Ending { batch, began }
    }

    pub(super) fn batch(&self) -> &Arc<Batch> {
        &self.batch
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let why = if thread::panicking() {
            "ended by a defect of the proxy, whose standard error says where; the same command begins anew"
        } else {
            "broken off, as the proxy ended; the same command begins anew"
        };
        for (index, part) in self.batch.parts.iter().enumerate() {
            let mut view = lock(&part.view);
            if !view.stage.has_ended() {
                view.ended(Stage::Failed, why.to_owned());
                drop(view);
                run::ended(&self.batch, index, self.began);
            }
        }
        self.batch.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossfade_config::QualifiedName;
    use crossfade_store::{Relation, TableId, TableMap};
    use tokio::time::timeout;

    use super::*;
    use crate::{
        failure::Status,
        jobs::{Jobs, Kind, Part, PartView, Request},
    };

    fn parts() -> Vec<Part> {
        let part = |at: usize, name: &str| {
            let name = QualifiedName {
                schema: "public".into(),
                name: name.into(),
            };
            let table = TableMap {
                id: TableId(at),
                toggle: "shop".into(),
                old: Relation::named(name.clone()),
                new: Relation::named(name),
                columns: Vec::new(),
                key: Vec::new(),
                version: None,
                dropped: Vec::new(),
            };
            Part::waiting(&table, Kind::Verify)
        };
        vec![part(0, "done"), part(1, "half"), part(2, "later")]
    }

    fn request() -> Request {
        Request {
            kind: Kind::Verify,
            table: None,
            toggle: None,
            reverse: false,
            repair: true,
            values: false,
        }
    }

    fn set(batch: &Batch, at: usize, change: impl FnOnce(&mut PartView)) {
        change(&mut lock(&batch.parts[at].view));
    }

    #[tokio::test]
    async fn a_job_that_panics_has_failed_and_the_next_one_begins_anew() {
        let jobs = Jobs::default();
        let (batch, is_new) = jobs.begin(&request(), parts());
        assert!(is_new);
        assert!(!jobs.begin(&request(), parts()).1, "attached to");
        let waiter = tokio::spawn({
            let batch = batch.clone();
            async move { batch.end().await }
        });
        let ending = Ending::of(batch.clone());
        let task = tokio::spawn(async move {
            set(ending.batch(), 0, |view| {
                view.ended(Stage::Done, "as it should".into())
            });
            tokio::task::yield_now().await;
            set(ending.batch(), 1, |view| {
                view.stage = Stage::Running;
                panic!("a defect, and in the middle of its work");
            });
        });
        assert!(task.await.unwrap_err().is_panic());
        timeout(Duration::from_secs(9), waiter)
            .await
            .expect("who waited is told")
            .unwrap();
        let view = batch.view();
        assert_eq!(view.status(), Some(Status::Broken));
        let stages: Vec<Stage> = view.tables.iter().map(|part| part.stage).collect();
        assert_eq!(stages, [Stage::Done, Stage::Failed, Stage::Failed]);
        let outcome = view.tables[1].outcome.as_deref().unwrap();
        assert!(outcome.contains("a defect of the proxy"), "{outcome}");
        let (again, is_new) = jobs.begin(&request(), parts());
        assert!(is_new && again.id != batch.id);
    }
}
