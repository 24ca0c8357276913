//! The table at the end.

use std::fmt::Write as _;

use crossfade_phase::Phase;

use super::tally::{Kind, PhaseTally};

const HEAD: &str = concat!(
    "                          operations through the proxy                              read, added: ms  write: ms       rows\n",
    "  phase             s     reads queries inserts updates deletes   trans.  errors  wrong   median      p99    median   compared  differ\n",
);
const FOOT: &str = concat!(
    "  read: the same read by key, straight to the store and through the proxy; write: a statement through the proxy.\n",
    "  Servers, proxy and clients share this machine.\n",
);

/// What the operator reads at the end: one line a phase, and their sum.
pub(super) fn table(phases: &[PhaseTally]) -> String {
    let mut text = String::new();
    text.push_str(HEAD);
    for (phase, tally) in Phase::ALL.iter().zip(phases) {
        let name = format!("{} {phase}", phase.number());
        text.push_str(&line(&name, tally, &latency(tally)));
    }
    // Phases differ in what they add: a median over all would say nothing.
    text.push_str(&line("all", &sum(phases), &Latency::default()));
    text.push_str(FOOT);
    text
}

/// Errors, wrong answers and differences of all phases.
pub(super) fn faults(phases: &[PhaseTally]) -> (u64, u64, u64) {
    let sum = sum(phases);
    (sum.errors, sum.wrong, sum.differences)
}

fn sum(phases: &[PhaseTally]) -> PhaseTally {
    let mut sum = PhaseTally::default();
    for tally in phases {
        for (total, more) in sum.operations.iter_mut().zip(tally.operations) {
            *total += more;
        }
        sum.errors += tally.errors;
        sum.wrong += tally.wrong;
        sum.lasted += tally.lasted;
        sum.rows_compared += tally.rows_compared;
        sum.differences += tally.differences;
    }
    sum
}

fn line(name: &str, tally: &PhaseTally, latency: &Latency) -> String {
    let mut line = format!("  {name:<14} {:>5.1}", tally.lasted.as_secs_f64());
    for kind in Kind::ALL {
        let width = if kind == Kind::Read { 9 } else { 7 };
        let _ = write!(line, " {:>width$}", tally.operations[kind as usize]);
    }
    let compared = if tally.rows_compared == 0 {
        "-".to_owned()
    } else {
        tally.rows_compared.to_string()
    };
    let differ = if tally.rows_compared == 0 {
        "-".to_owned()
    } else {
        tally.differences.to_string()
    };
    let text = |micros: Option<i64>| micros.map_or("-".to_owned(), millis);
    let [median, p99, write] = [latency.added_median, latency.added_p99, latency.write].map(text);
    let _ = writeln!(
        line,
        " {:>7} {:>6} {median:>8} {p99:>8} {write:>9} {compared:>10} {differ:>7}",
        tally.errors, tally.wrong
    );
    line
}

/// Latencies in microseconds, where there were any.
#[derive(Default)]
struct Latency {
    /// What the proxy adds to the median of a read by key, and to its 99th percentile.
    added_median: Option<i64>,
    added_p99: Option<i64>,
    /// Median of a write of one statement through the proxy.
    write: Option<i64>,
}

fn latency(tally: &PhaseTally) -> Latency {
    let added =
        |share| Some(quantile(&tally.proxied_us, share)? - quantile(&tally.direct_us, share)?);
    Latency {
        added_median: added(0.5),
        added_p99: added(0.99),
        write: quantile(&tally.write_us, 0.5),
    }
}

/// Two digits behind the point: `-0.15`.
fn millis(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    format!(
        "{sign}{}.{:02}",
        micros.abs() / 1000,
        micros.abs() % 1000 / 10
    )
}

/// The value below which `share` of them lie.
fn quantile(values: &[u64], share: f64) -> Option<i64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )] // A rank among some thousands.
    let rank = (sorted.len() as f64 * share) as usize;
    let value = sorted.get(rank.min(sorted.len().checked_sub(1)?))?;
    Some(i64::try_from(*value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn quantiles_are_ranks() {
        let values: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(
            (quantile(&values, 0.5), quantile(&values, 0.99)),
            (Some(51), Some(100))
        );
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn every_phase_has_its_line_and_the_columns_stand_under_their_heads() {
        let mut phases: Vec<PhaseTally> = vec![PhaseTally::default(); 8];
        phases[4] = PhaseTally {
            operations: [1, 2, 3, 4, 5, 6],
            lasted: Duration::from_millis(7300),
            direct_us: vec![200],
            proxied_us: vec![350],
            rows_compared: 12_000,
            ..PhaseTally::default()
        };
        let text = table(&phases);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 13);
        assert!(
            lines[6].starts_with("  5 new-primary    7.3         1       2"),
            "{text}"
        );
        assert!(
            lines[6].contains("    0.15     0.15 ")
                && lines[6].trim_end().ends_with("12000       0"),
            "{text}"
        );
        assert!(
            lines[1..11]
                .iter()
                .all(|line| line.chars().count() == lines[1].chars().count()),
            "{text}"
        );
        assert_eq!(faults(&phases), (0, 0, 0));
    }
}
