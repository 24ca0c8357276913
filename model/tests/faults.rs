//! Every cure is needed: without it the checker finds a state in which something is not true that must be.

use crossfade_model::{
    control::{self, Control},
    copy_up::{self, CopyUp, Rule},
    is_needed,
    protocol::{Bounds, Copies, Faults, Kind, Protocol},
};
use crossfade_phase::Phase;

fn is_found(bounds: Bounds, take_out: impl FnOnce(&mut Faults)) {
    let mut faults = Faults::default();
    let model = |faults| Protocol {
        bounds: bounds.clone(),
        faults,
    };
    let whole = model(faults.clone());
    take_out(&mut faults);
    is_needed(whole, model(faults));
}

fn comes_back(rule: Rule, take_out: impl FnOnce(&mut copy_up::Faults)) {
    let mut faults = copy_up::Faults::default();
    let model = |faults| CopyUp {
        rule,
        writes: 2,
        crashes: 1,
        faults,
    };
    let whole = model(faults.clone());
    take_out(&mut faults);
    is_needed(whole, model(faults));
}

fn writes() -> Bounds {
    Bounds::default()
}

fn copies() -> Bounds {
    Bounds {
        writes: 1,
        copies: Copies::Everything,
        ..Bounds::default()
    }
}

fn without_transactions() -> Bounds {
    Bounds {
        proxies: 1,
        writes: 1,
        mishaps: 2,
        secondary: Kind::WritesAtOnce,
        ..Bounds::default()
    }
}

fn flips() -> Bounds {
    Bounds {
        writes: 1,
        mishaps: 2,
        flips: 2,
        phase: Phase::DualRead,
        first_phase: Phase::DualRead,
        last_phase: Phase::NewPrimary,
        ..Bounds::default()
    }
}

#[test]
fn trap_01_the_row_lock_over_the_stage() {
    is_found(writes(), |faults| faults.row_lock_is_gone = true);
}

#[test]
fn trap_01_the_lock_on_keys() {
    is_found(writes(), |faults| faults.no_key_locks = true);
}

#[test]
fn trap_03_the_intent() {
    is_found(writes(), |faults| faults.no_intent = true);
}

#[test]
fn trap_08_the_second_look_of_the_backfill() {
    is_found(copies(), |faults| faults.no_look_again = true);
}

#[test]
fn trap_08_the_lock_on_keys_that_are_copied() {
    is_found(copies(), |faults| faults.copies_without_key_lock = true);
}

#[test]
fn trap_08_the_sweep_over_what_a_killed_run_has_left() {
    is_found(copies(), |faults| faults.no_sweep_after_crash = true);
}

#[test]
fn trap_08_the_doubt_that_an_unfinished_chunk_leaves() {
    let bounds = Bounds {
        mishaps: 1,
        flips: 1,
        copies: Copies::Again,
        ..flips()
    };
    is_found(bounds, |faults| faults.forgets_unfinished_chunks = true);
}

#[test]
fn trap_11_a_later_mark_outlives_a_repair() {
    let bounds = Bounds {
        mishaps: 2,
        ..writes()
    };
    is_found(bounds, |faults| faults.cleans_later_marks = true);
}

#[test]
fn trap_01_the_row_lock_of_a_repair() {
    is_found(writes(), |faults| faults.repairs_without_lock = true);
}

#[test]
fn trap_43_a_repair_whose_lock_went_with_the_primary() {
    let bounds = Bounds {
        mishaps: 2,
        ..writes()
    };
    is_found(bounds, |faults| faults.repairs_with_lost_lock = true);
}

#[test]
fn trap_08_the_second_look_of_a_repair_that_deletes() {
    let bounds = Bounds {
        writes: 2,
        ..writes()
    };
    is_found(bounds, |faults| faults.deletes_without_second_look = true);
}

#[test]
fn trap_28_the_pins_of_jobs() {
    let bounds = Bounds {
        mishaps: 0,
        flips: 1,
        copies: Copies::Again,
        ..flips()
    };
    is_found(bounds, |faults| faults.jobs_outlive_their_epoch = true);
}

#[test]
fn trap_37_the_barrier() {
    is_found(flips(), |faults| faults.no_barrier = true);
}

#[test]
fn trap_37_the_epoch_that_proxies_share() {
    is_found(flips(), |faults| faults.proxies_flip_alone = true);
}

#[test]
fn trap_38_the_empty_journal_before_the_primary_changes() {
    is_found(flips(), |faults| faults.flips_while_dirty = true);
}

#[test]
fn trap_38_the_bypass_of_a_spell_in_phase_2() {
    let bounds = Bounds {
        writes: 1,
        flips: 3,
        ..Bounds::default()
    };
    is_found(bounds, |faults| faults.bypass_is_forgotten = true);
}

#[test]
fn trap_43_the_wait_for_commits_that_were_never_answered() {
    is_found(writes(), |faults| faults.does_not_settle = true);
}

/// Two proxies do not know each other's intents: such a secondary takes one proxy.
#[test]
fn trap_08_the_look_for_intents_where_nothing_is_locked() {
    is_found(without_transactions(), |faults| {
        faults.ignores_open_intents = true;
    });
    let sweeps = Bounds {
        sweeps: true,
        ..without_transactions()
    };
    is_found(sweeps, |faults| faults.ignores_open_intents = true);
    let copies = Bounds {
        mishaps: 0,
        copies: Copies::Everything,
        ..without_transactions()
    };
    is_found(copies, |faults| faults.ignores_open_intents = true);
}

#[test]
fn trap_16_the_wait_for_batches_that_were_given_up_where_nothing_is_taken_back() {
    is_found(without_transactions(), |faults| {
        faults.repairs_before_the_late = true;
    });
}

#[test]
fn the_flush_before_a_key_is_clean() {
    let bounds = Bounds {
        writes: 1,
        mishaps: 2,
        secondary: Kind::Asynchronous,
        ..Bounds::default()
    };
    is_found(bounds, |faults| faults.trusts_unflushed_rows = true);
}

#[test]
fn trap_43_the_wait_for_statements_of_phase_2_whose_clients_are_gone() {
    let bounds = Bounds {
        writes: 1,
        flips: 1,
        phase: Phase::UseOld,
        last_phase: Phase::DualWrite,
        ..Bounds::default()
    };
    is_found(bounds, |faults| faults.forgets_the_abandoned = true);
}

#[test]
fn trap_18_the_tombstone() {
    comes_back(Rule::CopyUp, |faults| faults.no_tombstone = true);
}

#[test]
fn trap_27_the_backfill_asks_for_tombstones() {
    comes_back(Rule::CopyUp, |faults| faults.ignores_tombstones = true);
}

#[test]
fn trap_27_it_asks_under_the_lock_on_the_key() {
    comes_back(Rule::CopyUp, |faults| faults.looks_before_it_locks = true);
}

#[test]
fn trap_18_one_job_at_a_time_over_a_table() {
    comes_back(Rule::Refuse, |faults| faults.several_jobs = true);
}

/// With so many flips, crashes and forgotten proxies.
fn is_shared(bounds: (u8, u8, u8), take_out: impl FnOnce(&mut control::Faults)) {
    let mut faults = control::Faults::default();
    let (flips, crashes, forgets) = bounds;
    let model = |faults| Control {
        flips,
        writes: 1,
        crashes,
        forgets,
        faults,
    };
    let whole = model(faults.clone());
    take_out(&mut faults);
    is_needed(whole, model(faults));
}

#[test]
fn trap_37_a_proxy_counts_in_by_a_change_of_the_record() {
    is_shared((1, 1, 0), |faults| faults.joins_beside_the_record = true);
}

#[test]
fn trap_37_an_answer_is_to_one_flip() {
    is_shared((2, 0, 0), |faults| faults.any_answer_counts = true);
}

#[test]
fn trap_36_a_flip_that_was_called_off_is_not_published() {
    is_shared((1, 0, 0), |faults| faults.publishes_blindly = true);
}

#[test]
fn trap_36_a_barrier_opens_by_the_record() {
    is_shared((1, 0, 0), |faults| faults.opens_alone = true);
}

#[test]
fn trap_37_a_proxy_follows_before_it_answers_the_next_flip() {
    is_shared((2, 0, 0), |faults| {
        faults.answers_before_it_follows = true;
    });
}

#[test]
fn trap_40_a_record_counts_when_the_other_store_says_that_it_has_gone() {
    is_shared((1, 0, 0), |faults| faults.arriving_counts = true);
}

#[test]
fn trap_44_a_proxy_that_is_forgotten_has_no_lease() {
    is_shared((1, 0, 1), |faults| faults.commits_without_lease = true);
}

#[test]
fn trap_44_a_forgotten_proxy_counts_until_its_lease_is_over() {
    is_shared((1, 0, 1), |faults| faults.forgets_at_once = true);
}

#[test]
fn trap_43_what_a_forgotten_proxy_has_sent_off_is_waited_for() {
    is_shared((1, 0, 1), |faults| faults.forgets_in_flight = true);
}
