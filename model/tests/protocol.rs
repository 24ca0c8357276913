//! Every state within these bounds is as it must be. What was looked at is printed: `cargo test -p crossfade-model -- --nocapture`.

use crossfade_model::{
    check,
    control::Control,
    copy_up::{self, CopyUp, Rule},
    protocol::{Bounds, Copies, Faults, Kind, Protocol},
};
use crossfade_phase::Phase;

fn holds(name: &str, bounds: Bounds) {
    let faults = Faults::default();
    check(name, &bounds.clone(), Protocol { bounds, faults });
}

#[test]
fn writes_of_one_row_through_two_proxies() {
    let bounds = Bounds {
        writes: 2,
        mishaps: 3,
        ..Bounds::default()
    };
    holds("writes of one row", bounds);
}

#[test]
fn writes_of_two_rows_through_two_proxies() {
    let bounds = Bounds {
        keys: 2,
        mishaps: 1,
        ..Bounds::default()
    };
    holds("writes of two rows", bounds);
}

#[test]
fn repairs_in_batches_without_locks() {
    let bounds = Bounds {
        mishaps: 2,
        sweeps: true,
        ..Bounds::default()
    };
    holds("repairs without locks", bounds);
}

#[test]
fn a_backfill_beside_writes() {
    let bounds = Bounds {
        mishaps: 1,
        copies: Copies::Everything,
        ..Bounds::default()
    };
    holds("backfill of one row", bounds);
    let bounds = Bounds {
        keys: 2,
        writes: 1,
        mishaps: 2,
        copies: Copies::Everything,
        ..Bounds::default()
    };
    holds("backfill of two rows", bounds);
}

#[test]
fn a_secondary_that_commits_asynchronously() {
    let bounds = Bounds {
        mishaps: 2,
        secondary: Kind::Asynchronous,
        ..Bounds::default()
    };
    holds("asynchronous commits", bounds);
}

#[test]
fn a_secondary_without_transactions() {
    let at_once = Bounds {
        proxies: 1,
        mishaps: 2,
        secondary: Kind::WritesAtOnce,
        ..Bounds::default()
    };
    let sweeps = Bounds {
        sweeps: true,
        ..at_once.clone()
    };
    holds("no transactions", sweeps);
    let copies = Bounds {
        copies: Copies::Everything,
        ..at_once
    };
    holds("no transactions, and a backfill", copies);
}

#[test]
fn flips_between_4_and_5() {
    let bounds = Bounds {
        mishaps: 1,
        flips: 2,
        phase: Phase::DualRead,
        first_phase: Phase::DualRead,
        last_phase: Phase::NewPrimary,
        ..Bounds::default()
    };
    holds("4 to 5 and back", bounds);
}

#[test]
fn flips_between_4_and_5_beside_a_backfill() {
    let bounds = Bounds {
        mishaps: 1,
        flips: 1,
        phase: Phase::DualRead,
        first_phase: Phase::DualRead,
        last_phase: Phase::NewPrimary,
        copies: Copies::Again,
        ..Bounds::default()
    };
    holds("4 to 5 beside a backfill", bounds);
}

#[test]
fn flips_from_2_to_5() {
    let bounds = Bounds {
        mishaps: 1,
        flips: 3,
        phase: Phase::UseOld,
        last_phase: Phase::NewPrimary,
        ..Bounds::default()
    };
    holds("2 to 5", bounds);
}

#[test]
fn flips_back_to_2_and_forward_again() {
    let bounds = Bounds {
        mishaps: 1,
        flips: 3,
        last_phase: Phase::DualRead,
        ..Bounds::default()
    };
    holds("3 to 2 to 3 to 4", bounds);
}

#[test]
fn rows_that_come_over_in_phase_7() {
    for rule in [Rule::Refuse, Rule::CopyUp] {
        let model = CopyUp {
            rule,
            writes: 3,
            crashes: 2,
            faults: copy_up::Faults::default(),
        };
        check("phase 7", &rule, model);
    }
}

#[test]
fn proxies_that_share_the_epoch() {
    let flips = Control {
        flips: 2,
        writes: 1,
        crashes: 1,
        ..Control::default()
    };
    check("two proxies, flips and crashes", &flips.clone(), flips);
    let forgets = Control {
        flips: 1,
        writes: 1,
        forgets: 1,
        ..Control::default()
    };
    check("a forgotten proxy", &forgets.clone(), forgets);
}
