//! In which store the record is.
//!
//! It is in the store that is the primary. A flip that changes the primary moves it, with every gate closed:
//!
//! 1. the coming store gets the record of the new epoch, as *arriving*: it does not count;
//! 2. the present one says *gone*: from this one step on, the record is in the other store. Until then anybody may call the flip off, and what arrived is void;
//! 3. the coming store's record becomes *open*. Whoever finds it arriving, and the other one gone, does this.
//!
//! So one store decides as long as it says anything else than these two words; they name the other.

use crossfade_phase::Side;

use super::record::{Record, Stage};

/// What a store answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// It was not asked.
    NotAsked,
    /// It did not answer.
    Silent(String),
    /// It has no record.
    Nothing,
    /// It has one.
    Record(Box<Record>),
}

/// What follows from both answers.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The record is there.
    At(Side, Box<Record>),
    /// There never was one.
    Never,
    /// What answers cannot tell.
    Undecided(String),
}

/// Whether one store's answer is enough.
pub(super) fn decides(answer: &Answer) -> bool {
    matches!(answer, Answer::Record(record) if record.is_live())
}

/// Where the record is.
pub(super) fn decide(old: Answer, new: Answer) -> Verdict {
    use Answer::{NotAsked, Nothing, Record, Silent};
    match (old, new) {
        (Record(old), Record(new)) => both(old, new),
        (Record(record), other) => one(Side::Old, record, &other),
        (other, Record(record)) => one(Side::New, record, &other),
        (Nothing | NotAsked, Nothing | NotAsked) => Verdict::Never,
        (Silent(why), _) | (_, Silent(why)) => Verdict::Undecided(format!(
            "it is not known in which phase the other proxies are: {why}; start again when both stores answer"
        )),
    }
}

fn one(side: Side, record: Box<Record>, other: &Answer) -> Verdict {
    if record.is_live() {
        return Verdict::At(side, record);
    }
    let there = side.other();
    Verdict::Undecided(match other {
        Answer::Silent(why) => format!(
            "the {side} store says that the phases are kept in the {there} one, which has to answer first: {why}"
        ),
        Answer::Nothing | Answer::NotAsked | Answer::Record(_) => format!(
            "the {side} store says that the phases are kept in the {there} one, which has none: bring its entries crossfade.control (crossfade_control) back from a backup"
        ),
    })
}

fn both(old: Box<Record>, new: Box<Record>) -> Verdict {
    let has_gone_to = |from: &Record, to: &Record| {
        from.stage == Stage::Gone
            && to.stage == Stage::Arriving
            && from.state.epoch == to.state.epoch
    };
    match (old.is_live(), new.is_live()) {
        (true, true) => {
            // One of the stores has lost its last word, as one with asynchronous replication does when it fails over.
            tracing::error!(old = old.state.epoch, new = new.state.epoch, "both stores say that the phases are kept there: the later epoch counts");
            if new.state.epoch > old.state.epoch {
                Verdict::At(Side::New, new)
            } else {
                Verdict::At(Side::Old, old)
            }
        }
        (true, false) => Verdict::At(Side::Old, old),
        (false, true) => Verdict::At(Side::New, new),
        (false, false) if has_gone_to(&old, &new) => Verdict::At(Side::New, new),
        (false, false) if has_gone_to(&new, &old) => Verdict::At(Side::Old, old),
        (false, false) => Verdict::Undecided(
            "each store says that the phases are kept in the other: bring their entries crossfade.control (crossfade_control) back from a backup".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::record::tests::record;
    use crossfade_phase::Phase;

    fn with(stage: Stage, epoch: u64) -> Answer {
        let mut record = record(Phase::DualRead, epoch);
        record.stage = stage;
        Answer::Record(Box::new(record))
    }

    fn side(old: Answer, new: Answer) -> Option<Side> {
        match decide(old, new) {
            Verdict::At(side, _) => Some(side),
            Verdict::Never | Verdict::Undecided(_) => None,
        }
    }

    #[test]
    fn a_store_that_has_the_record_decides_alone() {
        assert_eq!(
            side(with(Stage::Open, 4), Answer::Silent("down".into())),
            Some(Side::Old)
        );
        assert_eq!(
            side(Answer::Silent("off".into()), with(Stage::Open, 9)),
            Some(Side::New)
        );
        assert_eq!(side(Answer::Nothing, with(Stage::Open, 9)), Some(Side::New));
    }

    /// Every crash between two steps of a move, in both directions.
    #[test]
    fn trap_37_at_every_step_of_a_move_it_is_in_one_place() {
        let void = || with(Stage::Arriving, 5);
        assert_eq!(side(with(Stage::Open, 4), void()), Some(Side::Old));
        assert_eq!(
            side(with(Stage::Gone, 5), with(Stage::Arriving, 5)),
            Some(Side::New)
        );
        assert_eq!(
            side(with(Stage::Gone, 5), with(Stage::Open, 5)),
            Some(Side::New)
        );
        assert_eq!(
            side(with(Stage::Arriving, 6), with(Stage::Open, 5)),
            Some(Side::New)
        );
        assert_eq!(
            side(with(Stage::Arriving, 6), with(Stage::Gone, 6)),
            Some(Side::Old)
        );
        assert_eq!(
            side(with(Stage::Open, 6), with(Stage::Gone, 6)),
            Some(Side::Old)
        );
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed() {
        let down = || Answer::Silent("down".into());
        assert_eq!(side(with(Stage::Gone, 5), down()), None);
        assert_eq!(side(down(), with(Stage::Arriving, 5)), None);
        assert_eq!(side(with(Stage::Gone, 5), with(Stage::Arriving, 4)), None);
        assert!(matches!(
            decide(Answer::Nothing, down()),
            Verdict::Undecided(_)
        ));
        assert!(matches!(
            decide(down(), Answer::Nothing),
            Verdict::Undecided(_)
        ));
        assert!(matches!(
            decide(Answer::Nothing, Answer::NotAsked),
            Verdict::Never
        ));
    }
}
