//! The gate, one order of events at a time. Every flip is shown in both directions.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::{pending, ready},
    time::{Duration, Instant},
};

use crossfade_toggle::{
    Basis, Epoch, FlipError, Flipped, Gate, Hold, Move, Outdated, Phase, Proof, Reason, Slot,
    Snapshot,
};
use tokio::{task::JoinHandle, time::timeout};

const AMPLE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(30);

fn phase(number: u8) -> Phase {
    Phase::from_number(number).unwrap()
}

fn gate_in(number: u8) -> Gate {
    Gate::new(Snapshot::first(phase(number)))
}

fn proof(from: u8, to: u8) -> Proof {
    let step = Move::new(phase(from), phase(to)).unwrap();
    Proof::overridden(step, Reason::new("a test of the gate").unwrap())
}

async fn flip(
    gate: &Gate,
    from: u8,
    to: u8,
    drain: Duration,
) -> Result<Flipped, FlipError<String>> {
    gate.flip(proof(from, to), drain, |_| ready(Ok(())), |_| Ok(()))
        .await
}

/// A session that pins and unpins at once, and says in which phase and after how long a wait.
fn visitor(gate: &Gate) -> JoinHandle<(Phase, Duration)> {
    let mut slot = gate.slot("visitor");
    tokio::spawn(async move {
        let entry = slot.pin().await;
        slot.unpin();
        (entry.snapshot.phase, entry.waited)
    })
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < AMPLE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn assert_open_in(gate: &Gate, number: u8) {
    assert!(!gate.is_closed());
    assert_eq!(gate.current().phase, phase(number));
    let mut slot = gate.slot("probe");
    assert_eq!(slot.try_pin().unwrap().phase, phase(number));
}

#[tokio::test]
async fn trap_36_a_transaction_keeps_its_epoch_to_its_end() {
    for (from, to) in [(2, 3), (3, 2)] {
        let gate = gate_in(from);
        let mut old = gate.slot("old");
        let before = old.pin().await.snapshot;
        let generation = gate.generation();
        let flipped = flip(&gate, from, to, AMPLE).await.unwrap();
        assert_ne!(gate.generation(), generation);
        assert!(!flipped.effective);
        assert_eq!(old.pin().await.snapshot, before, "pinned is pinned");
        let mut new = gate.slot("new");
        assert_eq!(new.pin().await.snapshot, flipped.snapshot);
        assert_eq!(flipped.snapshot.epoch, Epoch::FIRST.next());
        old.unpin();
        assert_eq!(old.pin().await.snapshot, flipped.snapshot);
    }
}

#[tokio::test]
async fn trap_36_a_flip_is_effective_when_the_last_older_transaction_ends() {
    for (from, to) in [(3, 4), (4, 3), (5, 6), (6, 5), (6, 7), (7, 6)] {
        let gate = gate_in(from);
        let mut old = gate.slot("4711 app shop");
        old.pin().await;
        flip(&gate, from, to, AMPLE).await.unwrap();
        assert!(!gate.is_effective());
        assert_eq!(gate.effective_phase(), phase(from));
        let holders = gate.holders();
        assert_eq!(holders.len(), 1);
        assert_eq!(&*holders[0].label, "4711 app shop");
        assert_eq!(holders[0].snapshot.phase, phase(from));

        let waiter = tokio::spawn({
            let gate = gate.clone();
            async move { gate.effective().await }
        });
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(!waiter.is_finished());
        old.unpin();
        let effective = timeout(AMPLE, waiter).await.unwrap().unwrap();
        assert_eq!(effective, gate.current());
        assert_eq!(gate.effective_phase(), phase(to));
        assert!(gate.holders().is_empty());
    }
}

#[tokio::test]
async fn trap_37_two_steps_forward_never_overlap_but_the_way_back_is_free() {
    let gate = gate_in(2);
    let mut old = gate.slot("report");
    old.pin().await;
    flip(&gate, 2, 3, AMPLE).await.unwrap();
    let refused = flip(&gate, 3, 4, AMPLE).await.unwrap_err();
    let FlipError::NotEffective { holders, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(&*holders[0].label, "report");
    assert!(
        refused.to_string().contains("\"report\" in phase use-old"),
        "{refused}"
    );
    assert_open_in(&gate, 3);

    flip(&gate, 3, 2, AMPLE).await.unwrap();
    assert_eq!(gate.current().epoch, Epoch::new(3));
    assert!(
        !gate.is_effective(),
        "the transaction of the first epoch still runs"
    );
    old.unpin();
    assert!(gate.is_effective());
}

#[tokio::test]
async fn trap_37_a_barrier_waits_for_the_old_epoch_and_lets_nobody_else_in() {
    for (from, to) in [(4, 5), (5, 4), (4, 6), (7, 8), (8, 7)] {
        let gate = gate_in(from);
        let mut old = gate.slot("old");
        let permit = old.permit().await;
        assert_eq!(
            (permit.snapshot().phase, permit.waited()),
            (phase(from), Duration::ZERO)
        );
        let flipping = tokio::spawn({
            let gate = gate.clone();
            async move { flip(&gate, from, to, AMPLE).await }
        });
        until("closed", || gate.is_closed()).await;
        assert!(gate.slot("new").try_pin().is_err());
        let visitor = visitor(&gate);
        until("a visitor waits", || gate.waiting() == 1).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!flipping.is_finished() && !visitor.is_finished());

        drop(permit);
        let flipped = timeout(AMPLE, flipping).await.unwrap().unwrap().unwrap();
        assert!(flipped.effective && gate.is_effective());
        assert!(flipped.drained_in >= Duration::from_millis(10));
        assert!(flipped.closed_for >= flipped.drained_in);
        let (entered, waited) = timeout(AMPLE, visitor).await.unwrap().unwrap();
        assert_eq!(entered, phase(to));
        assert!(waited >= Duration::from_millis(10));
        assert_eq!(gate.waiting(), 0);
    }
}

#[tokio::test]
async fn past_drain_timeout_the_flip_is_called_off_and_clients_go_on_in_the_old_phase() {
    for (from, to) in [(4, 5), (5, 4), (7, 8), (8, 7)] {
        let gate = gate_in(from);
        let mut old = gate.slot("17");
        old.relabel("17 batch report");
        old.pin().await;
        old.stamp(Instant::now() - Duration::from_secs(90));
        let (error, visited) = tokio::join!(flip(&gate, from, to, SHORT), async {
            until("closed", || gate.is_closed()).await;
            visitor(&gate).await.unwrap()
        });
        let error = error.unwrap_err();
        let FlipError::DrainTimedOut { after, holders } = &error else {
            panic!("{error}");
        };
        assert_eq!((*after, holders.len()), (SHORT, 1));
        assert!(holders[0].open_for.unwrap() >= Duration::from_millis(89_999));
        assert!(holders[0].holding_for >= SHORT);
        assert!(error.to_string().contains("\"17 batch report\""), "{error}");
        assert_eq!(visited.0, phase(from));
        assert_eq!(gate.current().epoch, Epoch::FIRST);
        assert_open_in(&gate, from);

        old.unpin();
        flip(&gate, from, to, AMPLE).await.unwrap();
        assert_open_in(&gate, to);
    }
}

#[tokio::test]
async fn trap_40_the_record_is_written_before_anyone_can_pin_the_new_epoch() {
    for (from, to) in [(4, 5), (5, 4), (2, 3), (3, 2)] {
        let gate = gate_in(from);
        let mut steps = Vec::new();
        let record = |next: Snapshot| {
            assert_eq!(next, gate.current().next(phase(to)));
            steps.push((gate.current().phase, gate.is_closed()));
            Ok::<(), String>(())
        };
        gate.flip(proof(from, to), AMPLE, |_| ready(Ok(())), record)
            .await
            .unwrap();
        let barrier = proof(from, to).step().needs_barrier();
        assert_eq!(steps, [(phase(from), barrier)]);
    }
}

#[tokio::test]
async fn a_failure_inside_reopens_in_the_old_phase() {
    for (from, to) in [(4, 5), (5, 4), (2, 3), (3, 2)] {
        let gate = gate_in(from);
        let no = || Err("the sequence would not move".to_owned());
        let inside = gate
            .flip(
                proof(from, to),
                AMPLE,
                |_| ready(no()),
                |_| panic!("not recorded"),
            )
            .await;
        assert_eq!(
            inside,
            Err(FlipError::Inside("the sequence would not move".to_owned()))
        );
        let record = gate
            .flip(proof(from, to), AMPLE, |_| ready(Ok(())), |_| no())
            .await;
        assert!(matches!(record, Err(FlipError::Inside(_))));
        assert_eq!(gate.current().epoch, Epoch::FIRST);
        assert_open_in(&gate, from);
    }
}

#[tokio::test]
async fn a_step_inside_that_hangs_does_not_keep_clients_waiting() {
    let gate = gate_in(4);
    let hung = gate.flip(
        proof(4, 5),
        SHORT,
        |_| pending::<Result<(), String>>(),
        |_| Ok(()),
    );
    assert_eq!(hung.await, Err(FlipError::InsideTimedOut { after: SHORT }));
    assert_open_in(&gate, 4);
}

#[tokio::test]
async fn a_flip_dropped_while_it_drains_or_works_reopens_in_the_old_phase() {
    for (from, to) in [(4, 5), (5, 4), (7, 8), (8, 7)] {
        for pinned in [true, false] {
            let gate = gate_in(from);
            let mut old = gate.slot("old");
            if pinned {
                old.pin().await;
            }
            let flipping = tokio::spawn({
                let gate = gate.clone();
                async move {
                    gate.flip(
                        proof(from, to),
                        AMPLE,
                        |_| pending::<Result<(), String>>(),
                        |_| Ok(()),
                    )
                    .await
                }
            });
            until("closed", || gate.is_closed()).await;
            let visitor = visitor(&gate);
            until("a visitor waits", || gate.waiting() == 1).await;
            flipping.abort();
            let (entered, _) = timeout(AMPLE, visitor).await.unwrap().unwrap();
            assert_eq!(entered, phase(from));
            assert_open_in(&gate, from);
            old.unpin();
            flip(&gate, from, to, AMPLE).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_panic_inside_reopens_in_the_old_phase() {
    let gate = gate_in(4);
    let flipping = tokio::spawn({
        let gate = gate.clone();
        async move {
            let inside = |_| async { panic!("a test of a panic") };
            gate.flip::<String, _, _, _>(proof(4, 5), AMPLE, inside, |_| Ok(()))
                .await
        }
    });
    assert!(flipping.await.unwrap_err().is_panic());
    assert_open_in(&gate, 4);
}

#[tokio::test]
async fn one_flip_at_a_time() {
    let gate = gate_in(4);
    let ready = gate.prepare(proof(4, 5), AMPLE).await.unwrap();
    assert_eq!(ready.next().phase, Phase::NewPrimary);
    assert_eq!(flip(&gate, 4, 3, AMPLE).await, Err(FlipError::Busy));
    drop(ready);
    assert_open_in(&gate, 4);
    let flipped = gate.prepare(proof(4, 3), AMPLE).await.unwrap().publish();
    assert!(matches!(flipped.basis, Basis::Override { .. }));
    assert_open_in(&gate, 3);
}

#[tokio::test]
async fn a_proof_is_void_once_the_toggle_was_flipped() {
    use crossfade_toggle::{Evidence, guard};
    let gate = gate_in(3);
    let mut evidence = Evidence::unknown(gate.current());
    evidence.effective = true;
    let back = guard(Move::new(phase(3), phase(2)).unwrap(), &evidence).unwrap();
    flip(&gate, 3, 2, AMPLE).await.unwrap();
    flip(&gate, 2, 3, AMPLE).await.unwrap();
    let current = gate.current();
    let stale: Result<_, FlipError<String>> =
        gate.flip(back, AMPLE, |_| ready(Ok(())), |_| Ok(())).await;
    assert_eq!(
        stale,
        Err(FlipError::Stale { current }),
        "same phase, another epoch"
    );
    assert_eq!(
        flip(&gate, 2, 3, AMPLE).await,
        Err(FlipError::Stale { current })
    );
}

#[tokio::test]
async fn a_wait_that_is_dropped_has_pinned_nothing() {
    let gate = gate_in(4);
    let ready = gate.prepare(proof(4, 5), AMPLE).await.unwrap();
    let mut slot = gate.slot("impatient");
    assert!(timeout(SHORT, slot.pin()).await.is_err());
    assert_eq!((slot.held(), gate.waiting()), (None, 0));
    ready.publish();
    assert!(gate.pinned().is_empty());
    flip(&gate, 5, 4, AMPLE).await.unwrap();
}

#[tokio::test]
async fn a_client_gone_mid_transaction_does_not_hold_the_barrier() {
    let gate = gate_in(4);
    let mut slot = gate.slot("gone");
    slot.pin().await;
    let (flipped, ()) = tokio::join!(flip(&gate, 4, 5, AMPLE), async {
        until("closed", || gate.is_closed()).await;
        drop(slot);
    });
    assert_eq!(flipped.unwrap().snapshot.phase, Phase::NewPrimary);
}

#[tokio::test]
async fn trap_28_a_job_ends_with_the_epoch_it_was_bound_to() {
    let gate = gate_in(4);
    let bound = gate.current().epoch;
    let mut job: Slot = gate.slot("backfill orders");
    assert_eq!(
        job.pin_bound(bound).await.unwrap().snapshot.phase,
        Phase::DualRead
    );
    assert!(matches!(
        flip(&gate, 4, 5, SHORT).await,
        Err(FlipError::DrainTimedOut { .. })
    ));
    job.unpin();
    flip(&gate, 4, 5, AMPLE).await.unwrap();
    let current = gate.current();
    assert_eq!(job.pin_bound(bound).await, Err(Outdated { bound, current }));
    assert_eq!(job.held(), None);
    flip(&gate, 5, 4, AMPLE).await.unwrap();
    assert!(
        job.pin_bound(bound).await.is_err(),
        "back in 4, but in another epoch"
    );
}

#[tokio::test]
async fn two_barriers_crossed_by_two_transactions_are_called_off_in_time() {
    let (a, b) = (gate_in(4), gate_in(4));
    let (mut a1, mut b1) = (a.slot("one"), b.slot("one"));
    let (mut a2, mut b2) = (a.slot("two"), b.slot("two"));
    a1.pin().await;
    b2.pin().await;
    let crossed = async {
        until("both closed", || a.is_closed() && b.is_closed()).await;
        tokio::join!(b1.pin(), a2.pin())
    };
    let (flip_a, flip_b, (one, two)) = timeout(AMPLE, async {
        tokio::join!(flip(&a, 4, 5, SHORT), flip(&b, 4, 5, SHORT), crossed)
    })
    .await
    .unwrap();
    for called_off in [flip_a, flip_b] {
        assert!(matches!(called_off, Err(FlipError::DrainTimedOut { .. })));
    }
    assert_eq!(
        (one.snapshot.phase, two.snapshot.phase),
        (phase(4), phase(4))
    );
}

#[tokio::test]
async fn an_idle_transaction_shows_before_it_holds_anything_up() {
    let gate = gate_in(3);
    let mut slot = gate.slot("idle");
    slot.pin().await;
    slot.stamp(Instant::now() - Duration::from_secs(5));
    let pinned = gate.pinned();
    assert_eq!(pinned[0].holding_for, Duration::ZERO);
    assert!(pinned[0].open_for.unwrap() >= Duration::from_millis(4_999));
    assert!(gate.holders().is_empty());
    slot.unpin();
    slot.pin().await;
    assert_eq!(
        gate.pinned()[0].open_for,
        None,
        "a stamp ends with its transaction"
    );
}

#[tokio::test]
async fn trap_43_an_epoch_is_not_effective_while_it_is_held() {
    let gate = gate_in(2);
    let mut session = gate.slot("session");
    session.try_pin().unwrap();
    let hold: Hold = gate.hold("a statement whose client is gone").unwrap();
    flip(&gate, 2, 3, AMPLE).await.unwrap();
    assert!(!hold.is_last());
    assert!(timeout(SHORT, hold.last()).await.is_err());
    session.unpin();
    timeout(AMPLE, hold.last()).await.unwrap();
    assert!(hold.is_last() && !gate.is_effective());
    assert_eq!(gate.effective_phase(), phase(2));
    // Reports name it, and what needs the phase to be effective does not go on.
    hold.relabel("pid 42");
    assert_eq!(&*gate.holders()[0].label, "pid 42");
    assert!(matches!(
        flip(&gate, 3, 4, AMPLE).await,
        Err(FlipError::NotEffective { .. })
    ));
    assert!(timeout(SHORT, gate.effective()).await.is_err());
    drop(hold);
    timeout(AMPLE, gate.effective()).await.unwrap();
    flip(&gate, 3, 4, AMPLE).await.unwrap();
}

#[tokio::test]
async fn trap_43_a_gate_that_starts_held_is_where_it_was_before() {
    let before = Snapshot::first(phase(2));
    let at = before.next(phase(3));
    let (gate, hold) = Gate::held(before, at, "what was left running");
    assert_eq!((gate.current(), gate.effective_snapshot()), (at, before));
    let mut session = gate.slot("session");
    assert_eq!(session.try_pin().unwrap(), at);
    assert!(hold.is_last() && !gate.is_effective());
    drop(hold);
    assert!(gate.is_effective());
}
