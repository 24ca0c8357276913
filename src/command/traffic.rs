//! What live traffic consists of, as text.

use std::fmt::Write as _;

use crossfade_phase::Phase;

use crate::{
    status::{PhaseTraffic, Status, TrafficStatus},
    text::{count, plural},
};

/// What the phases ahead of the toggles would make of live traffic; empty while there has been none.
pub(super) fn traffic_text(status: &Status) -> String {
    let mut text = String::new();
    let Some(traffic) = ran(status) else {
        return text;
    };
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "\ntraffic: {} of {}",
        plural(traffic.statements, "statement", "statements"),
        plural(traffic.shapes, "shape", "shapes")
    );
    if traffic.others > 0 {
        let _ = write!(
            text,
            ", and {} of shapes that are not kept",
            count(traffic.others)
        );
    }
    text.push('\n');
    if traffic.phases.is_empty() {
        text.push_str(
            "  cannot be judged without a mapping; `crossfade check` shows what is missing\n",
        );
    }
    let present = status
        .toggles
        .values()
        .filter_map(|toggle| toggle.published.parse::<Phase>().ok())
        .min();
    let ahead: Vec<(Phase, &PhaseTraffic)> = traffic
        .phases
        .iter()
        .filter_map(|outlook| Some((outlook.phase.parse().ok()?, outlook)))
        .filter(|(phase, _)| present.is_none_or(|present| *phase > present))
        .collect();
    for alike in ahead.chunk_by(|(_, one), (_, next)| is_alike(one, next)) {
        outlook(&mut text, alike);
    }
    text
}

/// A line for whoever moves a toggle into a phase that would refuse some of the traffic.
pub(super) fn warning(status: &Status, toggle: &str, to: Phase) -> Option<String> {
    let published = status
        .toggles
        .get(toggle)?
        .published
        .parse::<Phase>()
        .ok()?;
    let outlook = ran(status)?
        .phases
        .iter()
        .find(|outlook| outlook.phase == to.name())?;
    let refuses = to > published && !outlook.refused.is_empty();
    refuses.then(|| {
        format!(
            "{toggle}: {to} serves {} of the traffic so far and refuses the rest; `crossfade status` lists it",
            share(outlook)
        )
    })
}

fn ran(status: &Status) -> Option<&TrafficStatus> {
    let traffic = status.traffic.as_ref()?;
    (traffic.statements + traffic.others > 0).then_some(traffic)
}

/// Whether two phases refuse the same. Their reasons name the phase.
fn is_alike(one: &PhaseTraffic, other: &PhaseTraffic) -> bool {
    one.more == other.more
        && one.refused.len() == other.refused.len()
        && std::iter::zip(&one.refused, &other.refused)
            .all(|(one, other)| (one.count, &one.statement) == (other.count, &other.statement))
}

/// One line for phases that would do the same, and what they would refuse.
fn outlook(text: &mut String, alike: &[(Phase, &PhaseTraffic)]) {
    let Some((_, first)) = alike.first() else {
        return;
    };
    let names: Vec<String> = alike
        .iter()
        .map(|(phase, _)| format!("{phase} ({})", phase.number()))
        .collect();
    let names = names.join(", ");
    let shapes = (first.refused.len() + first.more) as u64;
    if shapes == 0 {
        let _ = writeln!(text, "  {names} would serve all of them");
        return;
    }
    let _ = writeln!(
        text,
        "  {names} would serve {}, {} refused:",
        share(first),
        plural(shapes, "shape", "shapes")
    );
    for refused in &first.refused {
        let _ = writeln!(
            text,
            "    {} × {}\n      → {}",
            count(refused.count),
            refused.statement,
            refused.why
        );
    }
    if first.more > 0 {
        let _ = writeln!(text, "    and {} more", count(first.more as u64));
    }
}

/// A share in percent, never rounded up to all of it.
fn share(outlook: &PhaseTraffic) -> String {
    let percent = (outlook.served * 1_000.0).floor() / 10.0;
    format!("{percent:.1} %")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::sample;

    #[test]
    fn phases_ahead_that_refuse_the_same_share_a_line() {
        let text = traffic_text(&sample());
        assert_eq!(
            text,
            "\ntraffic: 12,345 statements of 38 shapes, and 7 of shapes that are not kept\n  \
             dual-read (4) would serve all of them\n  \
             new-primary (5), new-writes (6) would serve 99.9 %, 2 shapes refused:\n    \
             12 × select rank() over (order by id) from orders\n      \
             → window functions are not served\n    and 1 more\n"
        );
    }

    #[test]
    fn nothing_is_said_while_nothing_ran() {
        let mut status = sample();
        if let Some(traffic) = &mut status.traffic {
            (traffic.statements, traffic.others) = (0, 0);
        }
        assert_eq!(traffic_text(&status), "");
        assert_eq!(warning(&status, "shop", Phase::NewPrimary), None);
        status.traffic = None;
        assert_eq!(traffic_text(&status), "");
    }

    #[test]
    fn a_move_into_a_phase_that_refuses_some_is_warned_of() {
        let line = warning(&sample(), "shop", Phase::NewPrimary).unwrap();
        assert!(line.contains("new-primary serves 99.9 %"), "{line}");
        assert_eq!(warning(&sample(), "shop", Phase::DualRead), None);
        // Not on the way back.
        assert_eq!(warning(&sample(), "shop", Phase::UseOld), None);
    }
}
