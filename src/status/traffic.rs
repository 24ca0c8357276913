//! What live traffic consists of, and what each phase would make of it.

use crossfade_proxy::shapes::{Outlook, RefusedShape, Traffic};
use serde::{Deserialize, Serialize};

/// Refused shapes that are listed of a phase; all are counted.
const LISTED: usize = 20;
/// Most characters of a statement that are shown.
const SHOWN: usize = 200;

/// Statements since the process began, from phase 2 on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrafficStatus {
    /// Executions of statements whose shapes are known.
    pub(crate) statements: u64,
    /// Shapes: statements that differ in more than values.
    pub(crate) shapes: u64,
    /// Executions of statements whose shapes are not kept.
    pub(crate) others: u64,
    /// Each phase from dual-write on, were all toggles in it.
    pub(crate) phases: Vec<PhaseTraffic>,
}

/// What a phase would make of the statements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PhaseTraffic {
    /// Name of the phase.
    pub(crate) phase: String,
    /// Share of the statements that it would serve, 0 to 1.
    pub(crate) served: f64,
    /// Shapes that it would refuse, most frequent first, at most a few.
    pub(crate) refused: Vec<RefusedStatus>,
    /// How many more there are.
    pub(crate) more: usize,
}

/// A shape that a phase would refuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefusedStatus {
    /// The statement, with `?` and `$n` in place of its values.
    pub(crate) statement: String,
    /// How often it ran.
    pub(crate) count: u64,
    /// Why.
    pub(crate) why: String,
}

impl From<Traffic> for TrafficStatus {
    fn from(traffic: Traffic) -> TrafficStatus {
        let statements = traffic.statements;
        TrafficStatus {
            statements,
            shapes: traffic.shapes as u64,
            others: traffic.others,
            phases: traffic
                .phases
                .into_iter()
                .map(|outlook| phase(outlook, statements))
                .collect(),
        }
    }
}

fn phase(outlook: Outlook, statements: u64) -> PhaseTraffic {
    let refused = outlook.refused_statements();
    PhaseTraffic {
        phase: outlook.phase.name().to_owned(),
        served: if statements == 0 {
            1.0
        } else {
            (statements - refused) as f64 / statements as f64
        },
        more: outlook.refused.len().saturating_sub(LISTED),
        refused: outlook
            .refused
            .into_iter()
            .take(LISTED)
            .map(|RefusedShape { form, count, why }| RefusedStatus {
                statement: cut(form),
                count,
                why,
            })
            .collect(),
    }
}

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossfade_phase::Phase;

    #[test]
    fn a_few_refused_shapes_are_listed_and_all_are_counted() {
        let refused = (0..LISTED as u64 + 5).rev().map(|count| RefusedShape {
            form: "ä".repeat(SHOWN + 1),
            count,
            why: "it is new".to_owned(),
        });
        let refused: Vec<RefusedShape> = refused.collect();
        let traffic = TrafficStatus::from(Traffic {
            statements: 1_200,
            shapes: 30,
            others: 2,
            phases: vec![Outlook {
                phase: Phase::NewPrimary,
                refused,
            }],
        });
        let phase = &traffic.phases[0];
        assert_eq!((phase.refused.len(), phase.more), (LISTED, 5));
        assert_eq!(phase.refused[0].count, LISTED as u64 + 4);
        assert_eq!(phase.served, 0.75);
        assert!(phase.refused[0].statement.ends_with("ä…"));
        assert_eq!(phase.refused[0].statement.chars().count(), SHOWN + 1);
    }
}
