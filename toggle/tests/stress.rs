//! The gate under many sessions on several runtimes, with a flip nearly always under way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use crossfade_toggle::{FlipError, Gate, Move, Phase, Proof, Reason, Snapshot};
use tokio::{runtime::Builder, time::timeout};

const THREADS: u64 = 3;
const SESSIONS: u64 = 12;
const AMPLE: Duration = Duration::from_secs(30);

/// The transactions alive, as they see themselves: counted after the pin, uncounted before the unpin.
struct Ledger {
    by_phase: [AtomicI64; 8],
    by_epoch: Vec<AtomicI64>,
    transactions: AtomicU64,
    waits: AtomicU64,
    stop: AtomicBool,
}

impl Ledger {
    fn new(epochs: usize) -> Ledger {
        Ledger {
            by_phase: Default::default(),
            by_epoch: (0..epochs).map(|_| AtomicI64::new(0)).collect(),
            transactions: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }

    fn count(&self, at: Snapshot, by: i64) {
        let epoch = usize::try_from(at.epoch.number()).unwrap();
        self.by_phase[usize::from(at.phase.number()) - 1].fetch_add(by, Ordering::SeqCst);
        self.by_epoch[epoch].fetch_add(by, Ordering::SeqCst);
    }

    /// Trap 37, as a transaction in `mine` sees it.
    fn assert_no_forbidden_neighbour(&self, mine: Phase) {
        for (other, alive) in Phase::ALL.into_iter().zip(&self.by_phase) {
            let apart = other.primary() != mine.primary()
                || (other == Phase::NewOnly) != (mine == Phase::NewOnly);
            let alive = alive.load(Ordering::SeqCst);
            assert!(
                !apart || alive == 0,
                "{alive} transactions in {other} beside one in {mine}"
            );
        }
    }

    fn alive_before(&self, epoch: u64) -> i64 {
        let epoch = usize::try_from(epoch).unwrap();
        self.by_epoch[..epoch]
            .iter()
            .map(|alive| alive.load(Ordering::SeqCst))
            .sum()
    }
}

/// xorshift: the same choices in every run, up to the scheduling.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

async fn session(gate: Gate, ledger: Arc<Ledger>, mut dice: Dice) {
    let mut slot = gate.slot("session");
    while !ledger.stop.load(Ordering::Relaxed) {
        if dice.roll(50) == 0 {
            slot = gate.slot("another session");
        }
        let entry = match dice.roll(20) {
            0 => match timeout(Duration::from_micros(100), slot.pin()).await {
                Ok(entry) => entry,
                Err(_) => continue,
            },
            _ => slot.pin().await,
        };
        ledger
            .waits
            .fetch_add(u64::from(!entry.waited.is_zero()), Ordering::Relaxed);
        ledger.count(entry.snapshot, 1);
        ledger.assert_no_forbidden_neighbour(entry.snapshot.phase);
        match dice.roll(200) {
            0 => tokio::time::sleep(Duration::from_millis(1)).await,
            1..60 => tokio::task::yield_now().await,
            _ => {}
        }
        assert_eq!(
            slot.try_pin(),
            Ok(entry.snapshot),
            "trap 36: pinned to its end"
        );
        ledger.assert_no_forbidden_neighbour(entry.snapshot.phase);
        ledger.count(entry.snapshot, -1);
        ledger.transactions.fetch_add(1, Ordering::Relaxed);
        slot.unpin();
        if dice.roll(8) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn step_proof(from: Phase, to: Phase) -> Proof {
    Proof::overridden(Move::new(from, to).unwrap(), Reason::new("stress").unwrap())
}

/// Runs the sessions on runtimes of their own while `flips` runs on another; fails when a session does not end.
fn beside_sessions<F: Future<Output = ()>>(
    gate: &Gate,
    ledger: &Arc<Ledger>,
    flips: impl FnOnce(Gate, Arc<Ledger>) -> F,
) {
    let (ended, ends) = mpsc::channel();
    for thread in 0..THREADS {
        let (gate, ledger, ended) = (gate.clone(), Arc::clone(ledger), ended.clone());
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_time().build().unwrap();
            let outcome = runtime.block_on(async {
                let sessions: Vec<_> = (0..SESSIONS)
                    .map(|n| Dice(0x9e37_79b9 + thread * SESSIONS + n))
                    .map(|dice| tokio::spawn(session(gate.clone(), Arc::clone(&ledger), dice)))
                    .collect();
                for session in sessions {
                    session.await?;
                }
                Ok::<(), tokio::task::JoinError>(())
            });
            // The test may have failed and gone by now.
            let _ = ended.send(outcome);
        });
    }
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(flips(gate.clone(), Arc::clone(ledger)));
    ledger.stop.store(true, Ordering::Relaxed);
    for _ in 0..THREADS {
        ends.recv_timeout(AMPLE)
            .expect("a wake-up was lost")
            .unwrap();
    }
    assert!(gate.pinned().is_empty());
    assert_eq!(gate.waiting(), 0);
    assert_eq!(ledger.alive_before(ledger.by_epoch.len() as u64), 0);
}

#[test]
fn trap_37_four_and_five_never_overlap_whatever_becomes_of_the_flips() {
    const FLIPS: usize = 600;
    let gate = Gate::new(Snapshot::first(Phase::DualRead));
    let ledger = Arc::new(Ledger::new(FLIPS + 2));
    beside_sessions(&gate, &ledger, |gate, ledger| async move {
        let mut dice = Dice(7);
        let mut published = 0;
        for _ in 0..FLIPS {
            let before = gate.current();
            let to = if before.phase == Phase::DualRead {
                Phase::NewPrimary
            } else {
                Phase::DualRead
            };
            let proof = step_proof(before.phase, to);
            let nobody = |next: Snapshot| {
                assert_eq!(
                    ledger.alive_before(next.epoch.number()),
                    0,
                    "drained means drained"
                );
                Ok::<(), &str>(())
            };
            let outcome = match dice.roll(6) {
                0 => gate
                    .flip(proof, Duration::from_micros(50), |_| ready(Ok(())), nobody)
                    .await
                    .ok(),
                1 => gate
                    .flip(proof, AMPLE, |_| ready(Err("no")), nobody)
                    .await
                    .ok(),
                2 => {
                    let dropped = gate.flip(proof, AMPLE, |_| pending(), nobody);
                    let bound = Duration::from_micros(dice.roll(3000));
                    timeout(bound, dropped).await.ok().and_then(Result::ok)
                }
                _ => Some(
                    gate.flip(proof, AMPLE, |_| ready(Ok(())), nobody)
                        .await
                        .unwrap(),
                ),
            };
            match outcome {
                Some(flipped) => {
                    published += 1;
                    assert_eq!(flipped.snapshot, before.next(to));
                    assert_eq!(ledger.alive_before(flipped.snapshot.epoch.number()), 0);
                }
                None => assert_eq!((gate.current(), gate.is_closed()), (before, false)),
            }
            if dice.roll(4) == 0 {
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        }
        assert!(published > FLIPS / 4);
    });
    assert!(ledger.waits.load(Ordering::Relaxed) > 0);
    println!(
        "{} transactions, {} waited at the barrier",
        ledger.transactions.load(Ordering::Relaxed),
        ledger.waits.load(Ordering::Relaxed)
    );
}

#[test]
fn trap_36_effective_means_that_no_older_transaction_is_alive_on_any_walk() {
    const FLIPS: usize = 400;
    let gate = Gate::new(Snapshot::first(Phase::DeployNew));
    let ledger = Arc::new(Ledger::new(FLIPS + 2));
    beside_sessions(&gate, &ledger, |gate, ledger| async move {
        let mut dice = Dice(11);
        for _ in 0..FLIPS {
            let at = gate.current().phase;
            let steps: Vec<Move> = Move::all_from(at).collect();
            let choice = usize::try_from(dice.roll(steps.len() as u64)).unwrap();
            let step = steps[choice];
            let proof = step_proof(step.from(), step.to());
            let outcome: Result<_, FlipError<&str>> =
                gate.flip(proof, AMPLE, |_| ready(Ok(())), |_| Ok(())).await;
            match outcome {
                Ok(flipped) => assert_eq!(flipped.effective, step.needs_barrier()),
                Err(FlipError::NotEffective { .. }) => assert!(!step.is_free(), "{step}"),
                Err(other) => panic!("{step}: {other}"),
            }
            if dice.roll(3) > 0 {
                let effective = gate.effective().await;
                assert_eq!(ledger.alive_before(effective.epoch.number()), 0, "{step}");
                assert_eq!(gate.effective_snapshot(), effective);
            }
        }
    });
}
