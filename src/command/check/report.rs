//! The text of a check.

use std::fmt::Write as _;

use crossfade_config::ToggleConfig;
use crossfade_phase::Phase;
use crossfade_store::{ResolveError, TableMap};

use crate::{admin::asks::GuardAnswer, flip::Preflight};

/// What was found about a toggle.
pub(super) fn toggle(
    name: &str,
    typed: &ToggleConfig,
    found: &Preflight,
    at: Option<Phase>,
) -> String {
    let mut text = format!("\ntoggle {name} (the file wants {})\n", typed.phase);
    match &found.mapping {
        Ok(mapping) => {
            for table in &mapping.tables {
                let _ = writeln!(text, "  {}", describe(table));
                findings(&mut text, table, found, at);
            }
            if mapping.tables.is_empty() {
                let _ = writeln!(text, "  it maps no table; add [toggle.{name}.table.NAME]");
            }
        }
        Err(ResolveError::Mistakes(mistakes)) => {
            for mistake in mistakes {
                let _ = writeln!(text, "  blocks dual-write: {mistake}");
            }
        }
        Err(ResolveError::Store(error)) => {
            let _ = writeln!(text, "  cannot be looked at: {error}");
        }
    }
    if let Some(failure) = &found.failure {
        let _ = writeln!(text, "  the look at it did not get to its end: {failure}");
    }
    if let Some(count @ 1..) = found.blocking() {
        let noun = if count == 1 {
            "finding blocks"
        } else {
            "findings block"
        };
        let _ = writeln!(
            text,
            "  {count} {noun} dual-write; clear them up, then `crossfade check` again"
        );
    }
    text
}

fn findings(text: &mut String, table: &TableMap, found: &Preflight, at: Option<Phase>) {
    for weighed in found
        .findings
        .iter()
        .filter(|weighed| weighed.finding.table == table.old.name)
    {
        let label = match (weighed.acknowledged, weighed.finding.blocks) {
            (true, _) => "acknowledged".to_owned(),
            // A later phase than the first that a finding may hold up: nothing is held up once it is behind.
            (false, Some(phase)) if phase > Phase::DualWrite && at >= Some(phase) => {
                "note".to_owned()
            }
            (false, Some(phase)) => format!("blocks {phase}"),
            (false, None) => "note".to_owned(),
        };
        let _ = writeln!(text, "    {label}: {}", weighed.finding.what);
        if !weighed.acknowledged && weighed.finding.remedy != "nothing" {
            let _ = writeln!(text, "      → {}", weighed.finding.remedy);
        }
    }
}

/// `public.orders → sales.orders  key (id), version updated_at, 7 columns, 1 not carried`
fn describe(table: &TableMap) -> String {
    let name = |&column: &usize| table.columns[column].old.name.as_str();
    let key: Vec<&str> = table.key.iter().map(name).collect();
    let version = table
        .version
        .as_ref()
        .map_or("never changes".to_owned(), |column| {
            format!("version {}", name(column))
        });
    let mut text = format!(
        "{} → {}  key ({}), {version}, {} columns",
        table.old.name,
        table.new.name,
        key.join(", "),
        table.columns.len()
    );
    if !table.dropped.is_empty() {
        let _ = write!(text, ", not carried: {}", table.dropped.join(", "));
    }
    text
}

/// What the guard of the running proxy says of the next step.
pub(super) fn next(toggle: &str, next: Phase, answer: &GuardAnswer) -> String {
    if answer.ok {
        return format!("  nothing blocks {next}: `crossfade phase {toggle} {next}`\n");
    }
    let mut text = String::new();
    for unmet in &answer.unmet {
        let _ = writeln!(
            text,
            "  {next} waits: {}\n    → {}",
            unmet.what, unmet.command
        );
    }
    for detail in &answer.details {
        let _ = writeln!(text, "    {detail}");
    }
    text
}
