//! What is told of jobs, on the admin port and on the command line alike.

use crossfade_reconcile::{Direction, Error, Progress, VerifyReport};
use crossfade_store::TableMap;
use serde::{Deserialize, Serialize};

use super::{Kind, Request};
use crate::failure::Status;

/// One request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct BatchView {
    /// Its number.
    pub(crate) id: u64,
    /// What it does.
    pub(crate) kind: Kind,
    /// From new to old.
    pub(crate) reverse: bool,
    /// Its tables, in order.
    pub(crate) tables: Vec<PartView>,
}

/// The job over one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartView {
    /// What it does.
    pub(crate) kind: Kind,
    /// Toggle of the table.
    pub(crate) toggle: String,
    /// Old name of the table.
    pub(crate) table: String,
    /// Where it is.
    #[serde(rename = "state")]
    pub(crate) stage: Stage,
    /// Rows read.
    pub(crate) rows: u64,
    /// Rows copied, or found to differ.
    pub(crate) changed: u64,
    /// Rows there are to read, by the store's statistics.
    pub(crate) total: u64,
    /// Rows a second.
    pub(crate) rate: f64,
    /// Seconds left at that rate.
    pub(crate) eta_s: Option<u64>,
    /// Whether the brake is on.
    pub(crate) braked: bool,
    /// What came out, or went wrong, in one line.
    pub(crate) outcome: Option<String>,
    /// Differences, a line each, as far as they are listed.
    pub(crate) listed: Vec<String>,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    /// Another table comes first.
    Waiting,
    /// At it.
    Running,
    /// Done, and nothing is left to do.
    Done,
    /// Done, and the answer is no: differences or dirty keys are left, or it makes no sense now.
    No,
    /// Wrong usage.
    Usage,
    /// Something failed half way; the same command goes on from there.
    Failed,
}

impl Stage {
    /// Whether it is over.
    pub(crate) fn has_ended(self) -> bool {
        !matches!(self, Stage::Waiting | Stage::Running)
    }

    /// The exit status it stands for; `None` for success.
    pub(crate) fn status(self) -> Option<Status> {
        match self {
            Stage::Waiting | Stage::Running | Stage::Done => None,
            Stage::No => Some(Status::No),
            Stage::Usage => Some(Status::Usage),
            Stage::Failed => Some(Status::Broken),
        }
    }
}

impl BatchView {
    /// Whether every table is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.tables.iter().all(|part| part.stage.has_ended())
    }

    /// The worst outcome of its tables; `None` when all is well.
    pub(crate) fn status(&self) -> Option<Status> {
        self.tables
            .iter()
            .filter_map(|part| part.stage.status())
            .max_by_key(|status| *status as u8)
    }
}

impl PartView {
    pub(super) fn waiting(table: &TableMap, kind: Kind) -> PartView {
        PartView {
            kind,
            toggle: table.toggle.clone(),
            table: table.old.name.to_string(),
            stage: Stage::Waiting,
            rows: 0,
            changed: 0,
            total: 0,
            rate: 0.0,
            eta_s: None,
            braked: false,
            outcome: None,
            listed: Vec::new(),
        }
    }

    pub(super) fn progress(&mut self, progress: Progress) {
        self.rows = progress.rows_seen;
        self.changed = progress.rows_changed;
        self.total = progress.estimated_rows;
        self.rate = progress.rows_per_s;
        self.eta_s = progress.eta.map(|eta| eta.as_secs());
        self.braked = progress.braked;
    }

    pub(super) fn ended(&mut self, stage: Stage, outcome: String) {
        (self.stage, self.outcome, self.eta_s, self.braked) = (stage, Some(outcome), None, false);
    }

    /// It did not get to its end.
    pub(super) fn broken_off(&mut self, stage: Stage, error: &Error, request: &Request) {
        let mut outcome = error.to_string();
        if let Error::EpochChanged(_) = error {
            outcome.push_str(&format!(
                "; once more, if it still makes sense: `{}`",
                request.command(&self.table)
            ));
        }
        self.ended(stage, outcome);
    }

    pub(super) fn verified(&mut self, report: &VerifyReport, request: &Request) {
        let VerifyReport {
            rows,
            differences,
            repaired,
            pending,
            stale,
            listed,
            complete,
            overtaken,
            into_primary,
        } = report;
        self.listed = listed.iter().map(ToString::to_string).collect();
        (self.rows, self.changed) = (*rows, *differences);
        let mut outcome = format!("{rows} rows compared, {differences} differ");
        if *repaired > 0 {
            outcome.push_str(&format!(", {repaired} of them repaired"));
        }
        if *pending > 0 {
            outcome.push_str(&format!(", {pending} wait for repair (`crossfade status`)"));
        }
        if *stale > 0 {
            outcome.push_str(&format!(
                ", {stale} stale where they would be repaired from and left (`crossfade status`)"
            ));
        }
        if *complete {
            outcome.push_str("; the table is complete");
        }
        if let Some(why) = overtaken {
            outcome.push_str(&format!(
                "; it does not count, as this came about while it ran: {why}; once more: `{}`",
                request.command(&self.table)
            ));
        }
        let alike = report.left() == 0 && *pending == 0 && *stale == 0;
        let clean = alike && overtaken.is_none();
        if report.left() > 0 {
            outcome.push_str(match request.direction() {
                Direction::Reverse => "; `crossfade verify --reverse --repair` repairs them",
                Direction::Forward if *into_primary => {
                    "; the new store's rows count: `crossfade verify --repair` copies what it has lost, `crossfade verify --reverse --repair` makes the old store like it"
                }
                Direction::Forward => "; `crossfade verify --repair` repairs them",
            });
        }
        self.ended(if clean { Stage::Done } else { Stage::No }, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(stages: &[Stage]) -> BatchView {
        let part = |stage: &Stage| PartView {
            kind: Kind::Verify,
            toggle: "shop".into(),
            table: "public.orders".into(),
            stage: *stage,
            rows: 0,
            changed: 0,
            total: 0,
            rate: 0.0,
            eta_s: None,
            braked: false,
            outcome: None,
            listed: Vec::new(),
        };
        BatchView {
            id: 1,
            kind: Kind::Verify,
            reverse: false,
            tables: stages.iter().map(part).collect(),
        }
    }

    fn verify(direction: Direction) -> Request {
        Request {
            kind: Kind::Verify,
            table: None,
            toggle: None,
            reverse: direction == Direction::Reverse,
            repair: true,
            values: false,
        }
    }

    #[test]
    fn the_worst_table_decides_the_exit_status() {
        assert_eq!(view(&[Stage::Done, Stage::Done]).status(), None);
        assert_eq!(view(&[Stage::No, Stage::Done]).status(), Some(Status::No));
        assert_eq!(
            view(&[Stage::No, Stage::Failed]).status(),
            Some(Status::Broken)
        );
        assert!(!view(&[Stage::Done, Stage::Waiting]).has_ended());
    }

    #[test]
    fn a_verify_with_differences_left_is_a_no() {
        let report = VerifyReport {
            rows: 9,
            differences: 3,
            repaired: 2,
            pending: 0,
            stale: 0,
            listed: Vec::new(),
            complete: false,
            overtaken: None,
            into_primary: false,
        };
        let outcome = |report: &VerifyReport, direction| {
            let mut part = view(&[Stage::Running]).tables.remove(0);
            part.verified(report, &verify(direction));
            assert_eq!(part.stage, Stage::No);
            part.outcome.unwrap()
        };
        let forward = outcome(&report, Direction::Forward);
        assert!(
            forward.contains("3 differ, 2 of them repaired")
                && forward.contains("`crossfade verify --repair` repairs them"),
            "{forward}"
        );
        let reverse = outcome(&report, Direction::Reverse);
        assert!(
            reverse.contains("`crossfade verify --reverse --repair` repairs them"),
            "{reverse}"
        );
        let report = VerifyReport {
            into_primary: true,
            ..report
        };
        let choice = outcome(&report, Direction::Forward);
        assert!(
            choice.contains("`crossfade verify --repair` copies")
                && choice.contains("`crossfade verify --reverse --repair`"),
            "{choice}"
        );
        let report = VerifyReport {
            differences: 0,
            repaired: 0,
            overtaken: Some("phase new-writes does not write the old store".into()),
            ..report
        };
        let overtaken = outcome(&report, Direction::Reverse);
        assert!(
            overtaken.contains("0 differ; it does not count")
                && overtaken.contains("phase new-writes does not write the old store")
                && overtaken
                    .contains("`crossfade verify --reverse --repair --table public.orders`"),
            "{overtaken}"
        );
    }
}
