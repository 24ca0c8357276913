//! Gates of several proxies, which move by a common record.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use crossfade_toggle::{Epoch, FlipError, Gate, Move, Phase, Proof, Reason, Snapshot};
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(30);

fn at(epoch: u64, phase: Phase) -> Snapshot {
    Snapshot {
        epoch: Epoch::new(epoch),
        phase,
    }
}

#[tokio::test]
async fn trap_37_a_gate_that_follows_does_not_flip_alone() {
    let gate = Gate::new(at(1, Phase::UseOld));
    let follower = gate.follower().unwrap();
    assert!(gate.follower().is_none());
    let step = Move::new(Phase::UseOld, Phase::DualWrite).unwrap();
    let proof = Proof::overridden(step, Reason::new("a test").unwrap());
    assert!(matches!(
        gate.prepare(proof, SHORT).await,
        Err(FlipError::Busy)
    ));
    drop(follower);
    assert!(gate.follower().is_some());
}

#[tokio::test]
async fn trap_37_what_another_proxy_may_still_run_is_not_effective_here() {
    let gate = Gate::new(at(4, Phase::DualWrite));
    let mut follower = gate.follower().unwrap();
    let mut other = gate.stand_in("proxy b");
    other.pin(at(4, Phase::DualWrite));
    assert!(gate.is_effective());
    assert!(follower.publish(at(5, Phase::DualRead)));
    assert!(!gate.is_effective());
    assert_eq!(gate.effective_phase(), Phase::DualWrite);
    assert_eq!(gate.holders()[0].label.as_ref(), "proxy b");
    // It has nothing of its own that is older.
    assert_eq!(gate.oldest_here(), at(5, Phase::DualRead));
    let waiting = gate.clone();
    let waiting = tokio::spawn(async move { waiting.effective().await });
    other.pin(at(5, Phase::DualRead));
    let effective = timeout(Duration::from_secs(5), waiting).await;
    assert_eq!(effective.unwrap().unwrap(), at(5, Phase::DualRead));
}

#[tokio::test]
async fn one_that_was_never_heard_of_counts_as_older_than_everything() {
    let gate = Gate::new(at(4, Phase::DualWrite));
    let mut follower = gate.follower().unwrap();
    let mut other = gate.stand_in("proxy b");
    other.pin(at(0, Phase::DeployNew));
    follower.publish(at(5, Phase::DualRead));
    assert!(!gate.is_effective());
    other.unpin();
    assert!(gate.is_effective());
}

#[tokio::test]
async fn a_barrier_that_is_called_off_opens_in_the_phase_it_was_closed_in() {
    let gate = Gate::new(at(4, Phase::DualRead));
    let mut follower = gate.follower().unwrap();
    let mut here = gate.slot("here");
    let mut other = gate.stand_in("proxy b");
    other.pin(at(4, Phase::DualRead));
    here.try_pin().unwrap();
    follower.close();
    assert!(follower.is_closed() && gate.is_closed());
    assert!(!follower.is_drained_here());
    here.unpin();
    // The other one is not asked.
    assert!(follower.is_drained_here());
    assert!(here.try_pin().is_err());
    follower.open();
    assert_eq!(here.try_pin().unwrap(), at(4, Phase::DualRead));
}

#[tokio::test]
async fn trap_37_a_barrier_that_ends_in_another_phase_lets_nobody_into_the_old_one() {
    let gate = Gate::new(at(4, Phase::DualRead));
    let mut follower = gate.follower().unwrap();
    let mut here = gate.slot("here");
    follower.close();
    assert!(here.try_pin().is_err());
    assert!(follower.publish(at(5, Phase::NewPrimary)));
    assert!(!gate.is_closed() && !follower.is_closed());
    assert_eq!(here.try_pin().unwrap(), at(5, Phase::NewPrimary));
    assert!(!follower.publish(at(5, Phase::DualRead)), "no later epoch");
    assert!(!follower.publish(at(4, Phase::DualRead)), "an earlier one");
    assert_eq!(gate.current(), at(5, Phase::NewPrimary));
}
