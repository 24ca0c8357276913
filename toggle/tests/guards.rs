//! The guards against DESIGN 2's table, stated a second time and in another way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, time::Duration};

use crossfade_phase::DirtyKeys;
use crossfade_toggle::{
    Basis, Comparison, EmptyReason, Epoch, Evidence, JournalFacts, Move, Phase, Proof, Reason,
    Side, Snapshot, StoreAnswer, TableFacts, Unmet, guard,
};
use proptest::prelude::*;

/// Facts with which every move but a misplaced one is allowed.
fn good(phase: Phase) -> Evidence {
    let table = TableFacts {
        name: "orders".to_owned(),
        new_bypassed: false,
        old_bypassed: false,
        backfilled: true,
        differences: Some(0),
        reverse_differences: Some(0),
        left: 0,
        reverse_left: 0,
    };
    Evidence {
        current: Snapshot::first(phase),
        effective: true,
        new_store: StoreAnswer::Answers,
        old_store: StoreAnswer::Answers,
        blocking_findings: Some(0),
        journal: Some(JournalFacts::default()),
        silent_proxies: Vec::new(),
        unheard_proxies: Vec::new(),
        lost_keys: 0,
        comparison: Some(Comparison {
            mismatches: 0,
            window: Duration::from_secs(60),
            watched: Duration::from_secs(60),
        }),
        immovable_sequences: Some(Vec::new()),
        running_jobs: Some(Vec::new()),
        writes_since_reverse_verify: Some(0),
        tables: vec![table],
    }
}

fn step(from: u8, to: u8) -> Move {
    Move::new(
        Phase::from_number(from).unwrap(),
        Phase::from_number(to).unwrap(),
    )
    .unwrap()
}

fn all_moves() -> impl Iterator<Item = Move> {
    Phase::ALL.into_iter().flat_map(Move::all_from)
}

/// The one condition that fails once `spoil` has changed good facts.
fn refused(step: Move, spoil: impl FnOnce(&mut Evidence)) -> Vec<Unmet> {
    let mut evidence = good(step.from());
    spoil(&mut evidence);
    guard(step, &evidence).unwrap_err().unmet().to_vec()
}

fn orders() -> String {
    "orders".to_owned()
}

#[test]
fn good_facts_let_every_move_through_and_the_proof_carries_it() {
    for step in all_moves() {
        let proof = guard(step, &good(step.from())).unwrap();
        assert_eq!(proof.step(), step);
        assert_eq!(proof.epoch(), Some(Epoch::FIRST));
        assert_eq!(proof.basis(), &Basis::Guard);
    }
}

#[test]
fn what_is_not_known_lets_only_unguarded_moves_through() {
    let mut through = BTreeSet::new();
    for step in all_moves() {
        let mut evidence = Evidence::unknown(Snapshot::first(step.from()));
        evidence.effective = true;
        if guard(step, &evidence).is_ok() {
            through.insert((step.from().number(), step.to().number()));
        }
    }
    let unguarded = [
        (1, 2),
        (2, 1),
        (3, 1),
        (3, 2),
        (4, 1),
        (4, 2),
        (4, 3),
        (5, 6),
        (6, 7),
    ];
    assert_eq!(through, BTreeSet::from(unguarded));
}

#[test]
fn trap_36_facts_of_an_epoch_that_is_not_effective_prove_nothing() {
    for step in all_moves() {
        let mut evidence = good(step.from());
        evidence.effective = false;
        match guard(step, &evidence) {
            Ok(_) => assert!(step.is_free(), "{step}"),
            Err(refusal) => {
                assert_eq!(refusal.unmet(), [Unmet::NotEffective(evidence.current)]);
                assert!(!step.is_free(), "{step}");
            }
        }
    }
}

#[test]
fn facts_of_another_phase_are_refused_for_every_move() {
    for step in all_moves() {
        let elsewhere = Snapshot::first(step.to());
        assert_eq!(
            refused(step, |evidence| evidence.current = elsewhere),
            [Unmet::Elsewhere(elsewhere)]
        );
    }
}

#[test]
fn dual_writes_need_a_clean_preflight() {
    let enter = step(2, 3);
    let silent = StoreAnswer::Silent("connection refused".to_owned());
    assert_eq!(
        refused(enter, |e| e.new_store = silent),
        [Unmet::NewStoreSilent(Some("connection refused".to_owned()))]
    );
    assert_eq!(
        refused(enter, |e| e.blocking_findings = None),
        [Unmet::NoPreflight]
    );
    assert_eq!(
        refused(enter, |e| e.blocking_findings = Some(3)),
        [Unmet::BlockingFindings(3)]
    );
    assert!(
        guard(
            step(3, 2),
            &Evidence::unknown(Snapshot::first(Phase::DualWrite))
        )
        .is_ok()
    );
}

#[test]
fn a_journal_that_nobody_has_heard_of_is_not_empty() {
    let silent = |e: &mut Evidence| e.silent_proxies = vec!["b".to_owned()];
    for step in [step(3, 4), step(4, 5), step(4, 6), step(5, 4)] {
        assert_eq!(refused(step, silent), [Unmet::SilentProxy("b".to_owned())]);
    }
}

/// Only a move of the primary makes keys that it is stale for: what a proxy has said in this run still holds.
#[test]
fn trap_38_one_that_has_said_nothing_in_this_run_may_know_of_newer_rows() {
    for (from, to) in [(5, 6), (4, 2), (3, 2), (4, 1), (3, 1), (7, 8)] {
        let step = step(from, to);
        let unheard = |e: &mut Evidence| e.unheard_proxies = vec!["b".to_owned()];
        let unmet = refused(step, unheard);
        assert_eq!(unmet, [Unmet::SilentProxy("b".to_owned())], "{step}");
        assert_eq!(unmet[0].command(), "crossfade forget b --because …");
        let mut evidence = good(step.from());
        evidence.silent_proxies = vec!["b".to_owned()];
        assert!(guard(step, &evidence).is_ok(), "{step}");
    }
}

/// What a journal holds: keys that are stale in the old store only, in the new one only, in both.
fn dirty(old: u64, new: u64, both: u64) -> JournalFacts {
    JournalFacts {
        dirty_keys: DirtyKeys { old, new, both },
        unresolved_intents: 0,
    }
}

#[test]
fn dual_reads_need_an_empty_journal() {
    let dirty = JournalFacts {
        unresolved_intents: 1,
        ..dirty(2, 2, 1)
    };
    for step in [step(3, 4), step(4, 5), step(4, 6), step(5, 4)] {
        let mut unmet = vec![
            Unmet::DirtyKeys(2),
            Unmet::StaleInBoth(1),
            Unmet::UnresolvedIntents(1),
        ];
        if step == self::step(4, 6) {
            let (side, count) = (Side::Old, 2);
            unmet.push(Unmet::NewerBeside { side, count });
        }
        assert_eq!(refused(step, |e| e.journal = Some(dirty)), unmet);
        assert_eq!(refused(step, |e| e.journal = None), [Unmet::JournalUnread]);
    }
    let mut evidence = good(Phase::NewPrimary);
    evidence.journal = Some(self::dirty(2, 0, 1));
    assert!(guard(step(5, 6), &evidence).is_ok(), "dirty keys go on");
}

#[test]
fn trap_38_newer_rows_in_the_store_that_is_written_no_more_come_over_first() {
    for (step, side) in [
        (step(5, 6), Side::Old),
        (step(4, 2), Side::New),
        (step(3, 2), Side::New),
        (step(4, 1), Side::New),
        (step(3, 1), Side::New),
    ] {
        let (facts, other) = match side {
            Side::Old => (dirty(0, 3, 0), dirty(3, 0, 1)),
            Side::New => (dirty(3, 0, 0), dirty(0, 3, 1)),
        };
        let unmet = refused(step, |e| e.journal = Some(facts));
        assert_eq!(unmet, [Unmet::NewerBeside { side, count: 3 }], "{step}");
        assert!(
            unmet[0]
                .to_string()
                .contains(&format!("stale in the {} store", side.other()))
        );
        let mut evidence = good(step.from());
        evidence.journal = Some(other);
        assert!(guard(step, &evidence).is_ok(), "{step}");
        // And those of which only a forgotten proxy knew.
        let unmet = refused(step, |e| e.lost_keys = 2);
        assert_eq!(unmet, [Unmet::NewerBeside { side, count: 2 }], "{step}");
    }
}

#[test]
fn trap_38_keys_that_only_the_coming_secondary_is_stale_for_are_no_obstacle() {
    for (step, stale) in [
        (step(5, 4), dirty(0, 3, 0)),
        (step(3, 4), dirty(3, 0, 0)),
        (step(4, 5), dirty(3, 0, 0)),
        (step(4, 6), dirty(3, 0, 0)),
    ] {
        let mut evidence = good(step.from());
        evidence.journal = Some(stale);
        assert!(guard(step, &evidence).is_ok(), "{step}");
    }
}

#[test]
fn trap_38_a_spell_back_in_2_makes_the_new_store_untrusted_until_verified() {
    for step in [step(3, 4), step(4, 5), step(4, 6)] {
        let unmet = refused(step, |e| e.tables[0].new_bypassed = true);
        assert_eq!(unmet, [Unmet::NewBypassed(orders())]);
        assert_eq!(unmet[0].command(), "crossfade verify --table orders");
    }
}

#[test]
fn a_store_in_which_a_verify_has_left_differences_does_not_become_what_counts() {
    for step in [step(3, 4), step(4, 5), step(4, 6)] {
        let unmet = refused(step, |e| e.tables[0].left = 2);
        let (table, count) = (orders(), 2);
        assert_eq!(unmet, [Unmet::Differences { table, count }]);
        assert_eq!(
            unmet[0].command(),
            "crossfade verify --repair --table orders"
        );
        // A table that began empty with phase 3 needs no verify, and what the journal knew it has repaired when it is empty.
        for differences in [None, Some(2)] {
            let mut evidence = good(step.from());
            evidence.tables[0].differences = differences;
            assert!(guard(step, &evidence).is_ok(), "{step}");
        }
    }
    let unmet = refused(step(5, 4), |e| e.tables[0].reverse_left = 2);
    let (table, count) = (orders(), 2);
    assert_eq!(unmet, [Unmet::ReverseDifferences { table, count }]);
    let mut evidence = good(Phase::NewPrimary);
    evidence.tables[0].reverse_differences = None;
    assert!(guard(step(5, 4), &evidence).is_ok());
}

#[test]
fn a_table_that_was_bypassed_and_is_known_to_differ_asks_for_the_repair() {
    let spoil = |e: &mut Evidence| {
        e.tables[0].new_bypassed = true;
        e.tables[0].differences = None;
        e.tables[0].left = 2;
    };
    for step in [step(3, 4), step(4, 5), step(4, 6), step(7, 8)] {
        let unmet = refused(step, spoil);
        let (table, count) = (orders(), 2);
        assert_eq!(unmet, [Unmet::Differences { table, count }], "{step}");
    }
}

#[test]
fn trap_38_from_5_back_to_4_only_with_nothing_dirty_in_the_old_store() {
    let unmet = refused(step(5, 4), |e| e.tables[0].old_bypassed = true);
    assert_eq!(unmet, [Unmet::OldBypassed(orders())]);
    assert_eq!(
        unmet[0].command(),
        "crossfade verify --reverse --repair --table orders"
    );
    assert_eq!(
        refused(step(5, 4), |e| e.journal = Some(dirty(1, 0, 0))),
        [Unmet::DirtyKeys(1)]
    );
}

#[test]
fn trap_38_from_6_on_back_only_after_a_reverse_reconcile() {
    for step in [step(6, 5), step(7, 6), step(8, 7)] {
        assert_eq!(
            refused(step, |e| e.tables[0].reverse_differences = None),
            [Unmet::NotReverseVerified(orders())]
        );
        assert_eq!(
            refused(step, |e| e.tables[0].reverse_differences = Some(7)),
            [Unmet::ReverseDifferences {
                table: orders(),
                count: 7
            }]
        );
    }
}

#[test]
fn trap_38_from_8_back_to_7_is_data_loss_once_anything_was_written() {
    for writes in [None, Some(1)] {
        assert_eq!(
            refused(step(8, 7), |e| e.writes_since_reverse_verify = writes),
            [Unmet::UnknownToOld(writes)]
        );
    }
    assert_eq!(
        refused(step(8, 7), |e| e.old_store = StoreAnswer::NotAsked),
        [Unmet::OldStoreSilent(None)]
    );
}

#[test]
fn a_new_primary_needs_a_window_without_mismatch_and_movable_sequences() {
    let seconds = Duration::from_secs;
    for step in [step(4, 5), step(4, 6)] {
        let comparison = Comparison {
            mismatches: 4,
            window: seconds(60),
            watched: seconds(59),
        };
        assert_eq!(
            refused(step, |e| e.comparison = Some(comparison)),
            [
                Unmet::Mismatches {
                    count: 4,
                    window: seconds(60)
                },
                Unmet::WatchedTooShort {
                    watched: seconds(59),
                    window: seconds(60)
                },
            ]
        );
        assert_eq!(refused(step, |e| e.comparison = None), [Unmet::NotCompared]);
    }
}

#[test]
fn trap_33_sequences_must_be_movable_before_clients_wait_for_it() {
    for step in [step(4, 5), step(4, 6), step(5, 4)] {
        assert_eq!(
            refused(step, |e| e.immovable_sequences =
                Some(vec!["orders_id_seq".to_owned()])),
            [Unmet::ImmovableSequence("orders_id_seq".to_owned())]
        );
        assert_eq!(
            refused(step, |e| e.immovable_sequences = None),
            [Unmet::SequencesUnchecked]
        );
    }
}

#[test]
fn trap_28_no_job_outlives_a_change_of_primary() {
    for step in all_moves().filter(|step| step.changes_primary()) {
        let job = "backfill orders, epoch 3".to_owned();
        assert_eq!(
            refused(step, |e| e.running_jobs = Some(vec![job.clone()])),
            [Unmet::JobRunning(job.clone())]
        );
        assert_eq!(
            refused(step, |e| e.running_jobs = None),
            [Unmet::JobsUnknown]
        );
    }
}

#[test]
fn the_old_store_can_go_only_when_every_table_is_complete() {
    let leave = step(7, 8);
    let unmet = refused(leave, |e| {
        e.tables.push(TableFacts::unknown("order items"));
        e.tables[0].differences = Some(2);
    });
    assert_eq!(
        unmet,
        [
            Unmet::Differences {
                table: orders(),
                count: 2
            },
            Unmet::NotBackfilled("order items".to_owned()),
            Unmet::NotVerified("order items".to_owned()),
        ]
    );
    assert_eq!(
        unmet[1].command(),
        "crossfade backfill --table 'order items'"
    );
    assert_eq!(refused(leave, |e| e.tables.clear()), [Unmet::NoTables]);
    let newer = |e: &mut Evidence| e.journal = Some(dirty(9, 2, 1));
    assert_eq!(refused(leave, newer), [Unmet::NewerInOld(3)]);
}

#[test]
fn a_refusal_lists_everything_with_the_command_that_fixes_it() {
    let mut evidence = good(Phase::DualWrite);
    evidence.journal = Some(dirty(0, 1, 0));
    evidence.tables[0].new_bypassed = true;
    let refusal = guard(step(3, 4), &evidence).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "dual-write (3) → dual-read (4) is refused: the journal holds 1 dirty key (`crossfade repair`); table \"orders\" may have been \
         written without the new store since it was last verified (`crossfade verify --table orders`)"
    );
}

#[test]
fn an_override_needs_a_reason_and_records_what_it_overrode() {
    assert_eq!(Reason::new(" \n"), Err(EmptyReason));
    let reason = Reason::new(" the table is scratch data ").unwrap();
    assert_eq!(reason.as_str(), "the table is scratch data");

    let mut evidence = good(Phase::NewOnly);
    evidence.writes_since_reverse_verify = None;
    let refusal = guard(step(8, 7), &evidence).unwrap_err();
    let proof = refusal.overridden(reason.clone());
    let unmet = vec![Unmet::UnknownToOld(None)];
    assert_eq!(
        proof.basis(),
        &Basis::Override {
            reason: reason.clone(),
            unmet
        }
    );
    assert_eq!(
        proof.still_holds(&Evidence::unknown(evidence.current)),
        Ok(())
    );

    let blind = Proof::overridden(step(8, 7), reason);
    assert_eq!((blind.step(), blind.epoch()), (step(8, 7), None));
}

#[test]
fn a_key_that_became_dirty_on_the_way_into_the_barrier_is_seen_inside() {
    let proof = guard(step(5, 4), &good(Phase::NewPrimary)).unwrap();
    assert_eq!(proof.still_holds(&good(Phase::NewPrimary)), Ok(()));
    let mut inside = good(Phase::NewPrimary);
    inside.journal = Some(dirty(1, 0, 0));
    assert_eq!(
        proof.still_holds(&inside).unwrap_err().unmet(),
        [Unmet::DirtyKeys(1)]
    );
}

/// What must be true to be in `to` having been in `from`: DESIGN 2's table and trap 38, as one expression each.
fn design_allows(step: Move, e: &Evidence) -> bool {
    let fresh = |side| {
        let known = e.journal.filter(|_| e.silent_proxies.is_empty());
        known.is_some_and(|j| j.unresolved_intents == 0 && j.dirty_keys.stale(side) == 0)
    };
    let has_tables = !e.tables.is_empty();
    let every = |fact: fn(&TableFacts) -> bool| has_tables && e.tables.iter().all(fact);
    let new_trusted = fresh(Side::New) && every(|t| !t.new_bypassed && t.left == 0);
    let old_trusted = fresh(Side::Old) && every(|t| !t.old_bypassed && t.reverse_left == 0);
    let no_mismatch = e
        .comparison
        .is_some_and(|c| c.mismatches == 0 && c.watched >= c.window);
    let sequences = e.immovable_sequences.as_ref().is_some_and(Vec::is_empty);
    let no_jobs = e.running_jobs.as_ref().is_some_and(Vec::is_empty);
    let reversed = every(|t| t.reverse_differences == Some(0));
    let nothing_newer = |stale| {
        let known = e.unheard_proxies.is_empty() && e.lost_keys == 0;
        known && e.journal.is_none_or(|j| j.dirty_keys.only(stale) == 0)
    };
    let here = e.current.phase == step.from();
    here && match (step.from().number(), step.to().number()) {
        (2, 1) | (4, 3) => true,
        (3 | 4, 1 | 2) => nothing_newer(Side::Old),
        (1, 2) | (6, 7) => e.effective,
        (5, 6) => e.effective && nothing_newer(Side::New),
        (2, 3) => {
            e.effective && e.new_store == StoreAnswer::Answers && e.blocking_findings == Some(0)
        }
        (3, 4) => e.effective && new_trusted,
        (4, 5) => e.effective && new_trusted && no_mismatch && sequences && no_jobs,
        (4, 6) => {
            let in_step = new_trusted && no_mismatch && e.lost_keys == 0;
            e.effective && in_step && sequences && no_jobs
        }
        (5, 4) => e.effective && old_trusted && sequences && no_jobs,
        (6, 5) | (7, 6) => e.effective && reversed,
        (7, 8) => {
            let newer_in_old = e.journal.is_none_or(|j| j.dirty_keys.stale(Side::New) > 0);
            let known = e.unheard_proxies.is_empty() && e.lost_keys == 0 && !newer_in_old;
            e.effective && every(TableFacts::is_complete) && known
        }
        (8, 7) => {
            e.effective
                && reversed
                && e.old_store == StoreAnswer::Answers
                && e.writes_since_reverse_verify == Some(0)
        }
        (from, to) => panic!("{from} → {to} is not in the table"),
    }
}

prop_compose! {
    fn some_table()(
        new_bypassed in prop::bool::weighted(0.15),
        old_bypassed in prop::bool::weighted(0.15),
        backfilled in prop::bool::weighted(0.85),
        differences in facts_count(),
        reverse_differences in facts_count(),
        left in facts_count(),
        reverse_left in facts_count(),
    ) -> TableFacts {
        let (left, reverse_left) = (left.unwrap_or(0), reverse_left.unwrap_or(0));
        TableFacts { name: "orders".to_owned(), new_bypassed, old_bypassed, backfilled, differences, reverse_differences, left, reverse_left }
    }
}

/// Mostly a good 0, sometimes unknown, sometimes a few.
fn facts_count() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![8 => Just(Some(0)), 1 => Just(None), 1 => (1u64..5).prop_map(Some)]
}

fn names() -> impl Strategy<Value = Option<Vec<String>>> {
    prop_oneof![8 => Just(Some(Vec::new())), 1 => Just(None), 1 => Just(Some(vec!["a".to_owned()]))]
}

fn answer() -> impl Strategy<Value = StoreAnswer> {
    prop_oneof![8 => Just(StoreAnswer::Answers), 1 => Just(StoreAnswer::NotAsked), 1 => Just(StoreAnswer::Silent("no".to_owned()))]
}

prop_compose! {
    fn some_evidence()(
        effective in prop::bool::weighted(0.9),
        stores in (answer(), answer()),
        blocking_findings in facts_count(),
        journal in prop_oneof![
            8 => Just(Some(JournalFacts::default())),
            1 => Just(None),
            2 => (0u64..2, 0u64..2, 0u64..2, 0u64..2).prop_map(|(old, new, both, unresolved_intents)| Some(JournalFacts { unresolved_intents, ..dirty(old, new, both) })),
        ],
        comparison in prop::option::weighted(0.9, (prop_oneof![6 => Just(0u64), 1 => 1u64..4], 0u64..4, 2u64..8)),
        lists in (names(), names(), prop_oneof![8 => Just(Vec::new()), 1 => Just(vec!["b".to_owned()])]),
        writes_since_reverse_verify in facts_count(),
        lost_keys in prop_oneof![4 => Just(0u64), 4 => Just(1u64), 1 => Just(2u64)],
        tables in prop_oneof![1 => Just(Vec::new()), 9 => prop::collection::vec(some_table(), 1..3)],
    ) -> Evidence {
        Evidence {
            current: Snapshot::first(Phase::DeployNew),
            effective,
            new_store: stores.0,
            old_store: stores.1,
            blocking_findings,
            journal,
            unheard_proxies: lists.2.iter().filter(|_| lost_keys > 0).cloned().collect(),
            lost_keys: lost_keys.saturating_sub(1),
            silent_proxies: lists.2,
            comparison: comparison.map(|(mismatches, window, watched)| Comparison {
                mismatches,
                window: Duration::from_secs(window),
                watched: Duration::from_secs(watched),
            }),
            immovable_sequences: lists.0,
            running_jobs: lists.1,
            writes_since_reverse_verify,
            tables,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Forwards and backwards: a walk with random facts is in a phase only by moves whose conditions held.
    #[test]
    fn no_walk_reaches_a_phase_without_its_conditions(
        walk in prop::collection::vec((0usize..8, some_evidence(), prop::bool::weighted(0.05)), 1..40),
        begin in 0usize..8,
    ) {
        let mut at = Snapshot::first(Phase::ALL[begin]);
        for (choice, mut evidence, misplaced) in walk {
            let steps: Vec<Move> = Move::all_from(at.phase).collect();
            let step = steps[choice % steps.len()];
            evidence.current = if misplaced { Snapshot::first(step.to()) } else { at };
            match guard(step, &evidence) {
                Ok(proof) => {
                    prop_assert!(design_allows(step, &evidence), "{step} with {evidence:?}");
                    prop_assert_eq!(proof.epoch(), Some(evidence.current.epoch));
                    at = at.next(proof.step().to());
                }
                Err(refusal) => {
                    prop_assert!(!design_allows(step, &evidence), "{step}: {refusal}");
                    prop_assert!(!refusal.unmet().is_empty());
                    for unmet in refusal.unmet() {
                        prop_assert!(unmet.command().starts_with("crossfade "));
                        prop_assert!(!unmet.to_string().is_empty());
                    }
                }
            }
        }
    }
}
