//! Prints what one pin and unpin cost: `cargo run --release -p crossfade-toggle --example pin_cost`.
//!
//! Each line is the median of several rounds, in nanoseconds a pair: alone, with a second session of another
//! thread at the same gate, and with a relay's look at the generation.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use crossfade_toggle::{Gate, Phase, Snapshot};

const ROUNDS: usize = 15;
const PAIRS: u32 = 2_000_000;

fn main() {
    let gate = Gate::new(Snapshot::first(Phase::DualWrite));
    let mut slot = gate.slot("measured");
    let mut pair = || {
        black_box(slot.try_pin().ok());
        slot.unpin();
    };
    println!(
        "pin + unpin, alone:                  {:6.2} ns",
        median_ns(&mut pair)
    );

    let stop = Arc::new(AtomicBool::new(false));
    let neighbour = thread::spawn({
        let (mut slot, stop) = (gate.slot("neighbour"), Arc::clone(&stop));
        move || {
            while !stop.load(Ordering::Relaxed) {
                black_box(slot.try_pin().ok());
                slot.unpin();
            }
        }
    });
    println!(
        "pin + unpin, beside another thread:  {:6.2} ns",
        median_ns(&mut pair)
    );
    stop.store(true, Ordering::Relaxed);
    if neighbour.join().is_err() {
        eprintln!("the other thread failed");
    }

    let mut look = || {
        black_box(gate.generation());
    };
    println!(
        "generation:                          {:6.2} ns",
        median_ns(&mut look)
    );
}

fn median_ns(work: &mut impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..PAIRS {
                work();
            }
            began.elapsed().as_secs_f64() * 1e9 / f64::from(PAIRS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
