//! Shows a batch while it runs: a line that moves on a terminal, plain lines otherwise.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    time::{Duration, Instant},
};

use super::status::job_text;
use crate::{
    jobs::{BatchView, PartView, Stage},
    text::count,
};

/// Time between two plain lines.
const PLAIN: Duration = Duration::from_secs(5);
/// Columns of the bar.
const BAR: usize = 24;
/// Differences that are shown; all are counted.
const SHOWN: usize = 20;

/// What was shown so far.
pub(super) struct Progress {
    terminal: bool,
    told: Vec<bool>,
    last_line: Instant,
    width: usize,
}

impl Progress {
    /// For standard error.
    pub(super) fn new() -> Progress {
        Progress {
            terminal: stderr().is_terminal(),
            told: Vec::new(),
            last_line: Instant::now(),
            width: 0,
        }
    }

    /// Shows what is new.
    pub(super) fn show(&mut self, view: &BatchView) {
        self.told.resize(view.tables.len(), false);
        for (index, part) in view.tables.iter().enumerate() {
            if part.stage.has_ended() && !self.told[index] {
                self.told[index] = true;
                self.clear();
                say!("{}", ended(part));
            }
        }
        if let Some(part) = view.tables.iter().find(|part| part.stage == Stage::Running) {
            self.running(part);
        }
    }

    fn running(&mut self, part: &PartView) {
        if self.terminal {
            let line = bar(part);
            let width = line.chars().count();
            let blank = " ".repeat(self.width.saturating_sub(width));
            eprint!("\r{line}{blank}");
            // A terminal that is gone shows nothing.
            let _ = stderr().flush();
            self.width = width;
        } else if self.last_line.elapsed() >= PLAIN {
            self.last_line = Instant::now();
            eprintln!("{} of {}: {}", part.kind.name(), part.table, job_text(part));
        }
    }

    fn clear(&mut self) {
        if self.terminal && self.width > 0 {
            eprint!("\r{}\r", " ".repeat(self.width));
            let _ = stderr().flush();
            self.width = 0;
        }
    }
}

/// `backfill of public.orders [######······] 1,200 of about 2,400 rows …`
fn bar(part: &PartView) -> String {
    let total = part.total.max(1);
    let filled = usize::try_from(part.rows.saturating_mul(BAR as u64) / total)
        .unwrap_or(BAR)
        .min(BAR);
    format!(
        "{} of {} [{}{}] {}",
        part.kind.name(),
        part.table,
        "#".repeat(filled),
        "·".repeat(BAR - filled),
        job_text(part)
    )
}

/// The outcome of a table, with what is listed.
fn ended(part: &PartView) -> String {
    let mut text = format!(
        "{} of {}: {}\n",
        part.kind.name(),
        part.table,
        part.outcome.as_deref().unwrap_or_default()
    );
    for line in part.listed.iter().take(SHOWN) {
        text.push_str(&format!("  {line}\n"));
    }
    if let more @ 1.. = part.listed.len().saturating_sub(SHOWN) {
        text.push_str(&format!("  and {} more\n", count(more as u64)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Kind;

    fn part(rows: u64, total: u64) -> PartView {
        PartView {
            kind: Kind::Backfill,
            toggle: "shop".into(),
            table: "public.orders".into(),
            stage: Stage::Running,
            rows,
            changed: 0,
            total,
            rate: 1000.4,
            eta_s: Some(65),
            braked: false,
            outcome: None,
            listed: Vec::new(),
        }
    }

    #[test]
    fn the_bar_fills_with_the_rows() {
        assert!(bar(&part(0, 0)).contains("[························]"));
        let half = bar(&part(1200, 2400));
        assert!(
            half.contains(
                "[############············] 1,200 of about 2,400 rows, 1000 rows/s, 1m 5s left"
            ),
            "{half}"
        );
        assert!(bar(&part(9, 3)).contains("[########################]"));
    }

    #[test]
    fn listed_differences_are_cut() {
        let listed: Vec<String> = (0..25)
            .map(|key| format!("{key}: differs in total"))
            .collect();
        let text = ended(&PartView {
            stage: Stage::No,
            outcome: Some("25 differ".into()),
            listed,
            ..part(9, 9)
        });
        assert!(
            text.starts_with("backfill of public.orders: 25 differ\n  0: differs in total\n"),
            "{text}"
        );
        assert!(text.ends_with("  and 5 more\n"), "{text}");
    }
}
