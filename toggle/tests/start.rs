//! What a start does with the recorded phase and the file's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crossfade_toggle::{Move, Phase, Plan, Side, Snapshot, Start, Toggle, start};

#[test]
fn trap_40_the_recorded_phase_is_effective_whatever_the_file_says() {
    for durable in Phase::ALL {
        for wanted in Phase::ALL {
            let start = start(Some(durable), wanted);
            assert_eq!(start.phase(), Some(durable), "{durable}, {wanted}");
            let plan = match Move::new(durable, wanted) {
                _ if durable == wanted => Plan::Stay(durable),
                Ok(step) => Plan::Try(step),
                Err(illegal) => Plan::Refused(illegal),
            };
            assert_eq!(start.plan(), Some(plan));
            if durable != wanted {
                assert!(start.to_string().contains(durable.name()), "{start}");
                assert!(start.to_string().contains(wanted.name()), "{start}");
            }
        }
    }
}

#[test]
fn trap_40_a_first_start_enters_only_phases_that_need_no_proof() {
    for wanted in Phase::ALL {
        let start = start(None, wanted);
        match wanted.primary() {
            Side::Old => {
                let phase = start.phase().unwrap();
                assert!(phase <= Phase::UseOld && phase <= wanted);
                assert_eq!(phase == wanted, wanted <= Phase::UseOld);
                assert_eq!(start.plan(), Some(Plan::new(phase, wanted)));
            }
            Side::New => {
                assert_eq!(start, Start::StateMissing { wanted });
                assert_eq!((start.phase(), start.plan()), (None, None));
            }
        }
    }
}

#[test]
fn trap_40_a_restart_with_an_older_file_says_what_becomes_of_it() {
    assert_eq!(
        start(Some(Phase::NewPrimary), Phase::DualRead).to_string(),
        "goes on in phase new-primary (5), the last effective one; the file wants dual-read (4), which its guard will decide"
    );
    assert_eq!(
        start(Some(Phase::NewWrites), Phase::UseOld).to_string(),
        "goes on in phase new-writes (6), the last effective one; the file's phase is refused: no step leads from new-writes (6) to \
         use-old (2): the next step is new-primary (5), the way is 6 → 5 → 4 → 2"
    );
}

#[test]
fn trap_40_lost_state_never_brings_the_old_primary_back_in_silence() {
    assert_eq!(
        start(None, Phase::NewWrites).to_string(),
        "does not start: the file says new-writes (6) but no phase is recorded in state_dir; bring the recorded state back, or, if \
         this is the first start, set the phase to use-old and move step by step"
    );
}

#[test]
fn trap_39_a_first_start_ahead_of_itself_names_the_next_step() {
    assert_eq!(
        start(None, Phase::DualRead).to_string(),
        "starts for the first time, in phase use-old (2); the file's phase is refused: no step leads from use-old (2) to dual-read (4): \
         the next step is dual-write (3), the way is 2 → 3 → 4"
    );
    assert_eq!(
        start(None, Phase::DualWrite).plan(),
        Some(Plan::Try(
            Move::new(Phase::UseOld, Phase::DualWrite).unwrap()
        ))
    );
}

#[test]
fn a_changed_file_moves_nothing_by_itself_forwards_or_backwards() {
    let toggle = Toggle::new("shop", Snapshot::first(Phase::DualWrite), Phase::DualWrite);
    assert_eq!(toggle.plan(), Plan::Stay(Phase::DualWrite));
    for wanted in [Phase::DualRead, Phase::UseOld] {
        let step = Move::new(Phase::DualWrite, wanted).unwrap();
        assert_eq!(toggle.want(wanted), Plan::Try(step));
        assert_eq!(toggle.gate().current().phase, Phase::DualWrite);
        assert_eq!((toggle.name(), toggle.wanted()), ("shop", wanted));
    }
}
