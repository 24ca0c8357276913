use std::time::Duration;

use crossfade_phase::{Phase, Side};
use crossfade_reconcile::{Comparison, Direction, Ledger, VerifyOptions};

use crate::{
    fake::Op,
    world::{T, World, key, row, settings},
};

#[tokio::test(start_paused = true)]
async fn finds_every_kind_of_difference_with_key_and_columns() {
    let world = World::new(Phase::DualWrite);
    world.fill(Side::Old, 0..600);
    world.fill(Side::New, 0..600);
    world.new.remove(&key(17));
    world.new.put(row(300, "other", 1));
    world.new.put(row(599, "other", 2));
    world.new.put(row(700, "extra", 1));
    let report = world.verify(Direction::Forward).await.unwrap();
    assert_eq!(
        (report.differences, report.pending, report.complete),
        (4, 0, false)
    );
    let mut found: Vec<String> = report.listed.iter().map(ToString::to_string).collect();
    found.sort();
    assert_eq!(
        found,
        [
            "0017: missing in the new store",
            "0300: differs in note",
            "0599: differs in note, version",
            "0700: missing in the old store"
        ]
    );
    assert!(
        report
            .listed
            .iter()
            .all(|difference| difference.values.is_empty()),
        "values only when asked for"
    );
}

#[tokio::test(start_paused = true)]
async fn repair_fixes_what_it_finds_and_the_table_is_complete() {
    let world = World::new(Phase::DualWrite);
    world.fill(Side::Old, 0..50);
    world.backfill(Direction::Forward).await.unwrap();
    world.new.remove(&key(7));
    world.new.put(row(8, "other", 1));
    world.new.put(row(90, "extra", 1));
    let report = world.verify_and_repair(Direction::Forward).await.unwrap();
    assert_eq!(
        (
            report.differences,
            report.repaired,
            report.left(),
            report.complete
        ),
        (3, 3, 0, true)
    );
    world.assert_equal();
    assert_eq!(world.journal().dirty_count("shop"), 0);
}

/// The repairs of rows 3 and 4 wait for their parents, and row 3 comes with its own while verify looks again whether the repair has helped.
#[tokio::test(start_paused = true)]
async fn a_row_whose_parent_comes_while_verify_looks_again_counts_once() {
    for refused in [false, true] {
        let world = World::new(Phase::DualWrite);
        world.fill(Side::Old, 0..10);
        world.backfill(Direction::Forward).await.unwrap();
        for n in [3, 4] {
            world.old.put(row(n, "orphan", 1));
            world.new.remove(&key(n));
        }
        world.new.refuse_orphan(b"orphan");
        if refused {
            world.old.put(row(7, "nul", 1));
            world.new.refuse(b"nul");
        }
        let new = world.new.clone();
        world.new.before(Op::Apply, move || async move {
            tokio::spawn(async move {
                tokio::time::sleep(settings().settle_pause).await;
                new.accept(b"orphan");
                new.put(row(3, "orphan", 1));
            });
        });
        let report = world.verify_and_repair(Direction::Forward).await.unwrap();
        let counts = (report.differences, report.repaired, report.left());
        match refused {
            false => assert_eq!((counts, report.complete), ((2, 2, 0), true)),
            true => assert_eq!((counts, report.complete), ((3, 2, 1), false)),
        }
        let standing = world.engine().standing(T, Direction::Forward);
        assert_eq!(standing.differences, Some(u64::from(refused)));
        assert_eq!(world.is_dirty(7), refused);
        assert!(!world.is_dirty(3) && !world.is_dirty(4));
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_found_equal_is_complete_however_its_rows_came_there() {
    for (phase, complete) in [
        // Phase 2 goes on past the new store, and in 5 a row that only the new store lacks may be one that was deleted there.
        (Phase::UseOld, false),
        (Phase::DualWrite, true),
        (Phase::DualRead, true),
        (Phase::NewPrimary, false),
    ] {
        let world = World::new(phase);
        world.fill(Side::Old, 0..3);
        world.fill(Side::New, 0..3);
        let report = world.verify(Direction::Forward).await.unwrap();
        assert_eq!(
            (report.differences, report.complete),
            (0, complete),
            "{phase}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn trap_35_a_write_between_its_two_commits_is_no_difference() {
    for (phase, direction) in [
        (Phase::DualWrite, Direction::Forward),
        (Phase::NewPrimary, Direction::Reverse),
    ] {
        let world = World::new(phase);
        world.fill(Side::Old, 0..20);
        world.fill(Side::New, 0..20);
        let secondary = phase.secondary().unwrap();
        // Committed in the primary; the secondary takes longer than all looks together.
        let (primary, other) = (
            world.on(secondary.other()).clone(),
            world.on(secondary).clone(),
        );
        primary.put(row(3, "second", 2));
        let intent = world
            .journal()
            .intend(
                secondary,
                &[crossfade_journal::KeyRef {
                    toggle: "shop",
                    table: "public.t",
                    parts: &key(3).0,
                }],
            )
            .await
            .unwrap();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(35)).await;
            other.put(row(3, "second", 2));
            intent.done();
        });
        let report = world.verify(direction).await.unwrap();
        assert_eq!((report.differences, report.pending), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn trap_35_live_writes_all_over_the_table_are_no_differences() {
    for (phase, direction) in [
        (Phase::DualRead, Direction::Forward),
        (Phase::NewPrimary, Direction::Forward),
        (Phase::NewPrimary, Direction::Reverse),
    ] {
        let world = World::new(phase);
        world.fill(Side::Old, 0..20);
        world.fill(Side::New, 0..20);
        let client = world.client();
        let writer = tokio::spawn(async move {
            for n in 0.. {
                match n % 3 {
                    0 => client.delete(n % 20).await,
                    _ => client.upsert(n % 20, &format!("note {n}"), n).await,
                }
                if n % 7 == 0 {
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
            }
        });
        for _ in 0..5 {
            let report = world.verify(direction).await.unwrap();
            assert_eq!(report.differences, 0, "{:?}", report.listed);
        }
        writer.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn trap_35_a_row_written_between_the_two_readings_of_every_look_is_no_difference() {
    let world = World::new(Phase::DualRead);
    world.fill(Side::Old, 0..5);
    world.fill(Side::New, 0..5);
    world.new.put(row(3, "on its way", 1));
    for look in 0..3 {
        let client = world.client();
        world.old.before(Op::Fetch, move || async move {
            client.upsert(3, &format!("look {look}"), look).await;
        });
    }
    let report = world.verify(Direction::Forward).await.unwrap();
    assert_eq!(report.differences, 0, "{:?}", report.listed);
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn trap_29_a_row_that_expires_on_one_side_first_is_no_difference() {
    let world = World::new(Phase::DualWrite);
    world.fill(Side::Old, 0..10);
    world.fill(Side::New, 0..10);
    world.new.remove(&key(4));
    let old = world.old.clone();
    world
        .old
        .after(Op::Fetch, move || async move { old.remove(&key(4)) });
    let report = world.verify(Direction::Forward).await.unwrap();
    assert_eq!(report.differences, 0);
}

#[tokio::test(start_paused = true)]
async fn trap_11_what_the_journal_knows_is_pending_and_keeps_the_table_incomplete() {
    let world = World::new(Phase::DualWrite);
    world.fill(Side::Old, 0..10);
    world.backfill(Direction::Forward).await.unwrap();
    world.old.put(row(4, "not in the new", 2));
    world.mark(Side::New, 4).await;
    let report = world.verify(Direction::Forward).await.unwrap();
    assert_eq!(
        (report.differences, report.pending, report.complete),
        (0, 1, false)
    );
    world.engine().repair(None, false).await.unwrap();
    assert!(world.verify(Direction::Forward).await.unwrap().complete);
}

#[tokio::test(start_paused = true)]
async fn trap_43_rows_lost_by_a_failover_take_the_tables_completeness_away() {
    let world = World::new(Phase::DualRead);
    world.fill(Side::Old, 0..30);
    world.backfill(Direction::Forward).await.unwrap();
    assert!(world.verify(Direction::Forward).await.unwrap().complete);
    (20..25).for_each(|n| world.new.remove(&key(n)));
    let report = world.verify(Direction::Forward).await.unwrap();
    assert_eq!((report.differences, report.complete), (5, false));
    assert!(
        world
            .verify_and_repair(Direction::Forward)
            .await
            .unwrap()
            .complete
    );
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn in_phase_7_what_the_new_store_did_since_is_no_difference_and_a_gap_is() {
    let world = World::new(Phase::Backfill);
    world.fill(Side::Old, 0..10);
    world.fill(Side::New, 0..10);
    world.new.put(row(2, "newer", 2));
    world.new.put(row(50, "inserted", 1));
    world.new.remove(&key(5));
    world.new.remove(&key(6));
    world.mark(Side::Old, 6).await;
    world.new.put(row(7, "too old", 0));
    let report = world.verify(Direction::Forward).await.unwrap();
    let mut found: Vec<String> = report.listed.iter().map(ToString::to_string).collect();
    found.sort();
    assert_eq!(
        found,
        [
            "0005: missing in the new store",
            "0007: differs in note, version"
        ]
    );
    let report = world.verify_and_repair(Direction::Forward).await.unwrap();
    assert_eq!((report.differences, report.repaired), (2, 1));
    assert_eq!(world.new.get(&key(5)), Some(row(5, "first", 1)));
    assert_eq!(world.new.get(&key(6)), None, "hidden");
    assert_eq!(
        world.new.get(&key(7)),
        Some(row(7, "too old", 0)),
        "the primary is never overwritten"
    );
}

/// Complete before 6: what was deleted there and inserted again may have a lower version than the old store's row, and is what counts.
#[tokio::test(start_paused = true)]
async fn trap_27_what_the_new_store_alone_has_changed_takes_no_completeness_away() {
    for phase in [Phase::NewWrites, Phase::Backfill] {
        let world = World::new(Phase::DualRead);
        (0..10).for_each(|n| world.old.put(row(n, "first", 5)));
        world.backfill(Direction::Forward).await.unwrap();
        assert!(world.verify(Direction::Forward).await.unwrap().complete);
        world.flip(Phase::NewWrites).await;
        if phase == Phase::Backfill {
            world.flip(phase).await;
        }
        let unseen = |table: &mut crossfade_journal::TableState| table.deleted_unseen = true;
        let state = world.journal().state();
        state.update_table("public.t", unseen).unwrap();
        world.new.remove(&key(2));
        world.new.put(row(1, "again", 1));
        let report = world.verify(Direction::Forward).await.unwrap();
        assert_eq!((report.differences, report.complete), (0, true), "{phase}");
    }
}

/// Where the table has lost its completeness since, too.
#[tokio::test(start_paused = true)]
async fn trap_27_reverse_takes_deletes_of_a_table_that_was_complete_back_to_the_old_store() {
    let world = World::new(Phase::NewWrites);
    world.fill(Side::Old, 0..10);
    world.fill(Side::New, 0..10);
    let unseen = |table: &mut crossfade_journal::TableState| table.deleted_unseen = true;
    let state = world.journal().state();
    state.update_table("public.t", unseen).unwrap();
    world.new.remove(&key(5));
    let report = world.verify_and_repair(Direction::Reverse).await.unwrap();
    assert_eq!((report.differences, report.repaired), (1, 1));
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn reverse_never_deletes_what_is_not_copied_yet() {
    let world = World::new(Phase::NewWrites);
    world.fill(Side::Old, 0..10);
    world.new.put(row(3, "newer", 2));
    world.new.put(row(30, "inserted", 1));
    let report = world.verify_and_repair(Direction::Reverse).await.unwrap();
    assert_eq!((report.differences, report.left()), (2, 0));
    assert_eq!(world.old.rows().len(), 11);
    assert_eq!(world.old.get(&key(3)), Some(row(3, "newer", 2)));
    assert_eq!(
        world.engine().standing(T, Direction::Reverse).differences,
        Some(0)
    );
    assert_eq!(
        world.engine().standing(T, Direction::Forward).differences,
        None
    );
}

#[tokio::test(start_paused = true)]
async fn reverse_takes_deletes_of_a_complete_table_back_to_the_old_store() {
    let world = World::new(Phase::DualRead);
    world.fill(Side::Old, 0..10);
    world.backfill(Direction::Forward).await.unwrap();
    assert!(world.verify(Direction::Forward).await.unwrap().complete);
    world.flip(Phase::NewWrites).await;
    world.new.remove(&key(5));
    assert_eq!(
        world
            .verify_and_repair(Direction::Reverse)
            .await
            .unwrap()
            .repaired,
        1
    );
    world.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn in_phase_2_verify_looks_and_records_nothing_and_repair_is_refused() {
    let world = World::new(Phase::UseOld);
    world.fill(Side::Old, 0..3);
    assert_eq!(
        world.verify(Direction::Forward).await.unwrap().differences,
        3
    );
    assert_eq!(
        world.engine().standing(T, Direction::Forward).differences,
        None
    );
    let refused = world
        .verify_and_repair(Direction::Forward)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("dual-write"), "{refused}");
    assert!(world.new.rows().is_empty());
}

#[tokio::test(start_paused = true)]
async fn values_are_listed_when_asked_for_and_the_list_is_bounded() {
    let world = World::new(Phase::DualWrite);
    world.fill(Side::Old, 0..30);
    (0..30).for_each(|n| world.new.put(row(n, "other", 1)));
    let options = VerifyOptions {
        list: 5,
        values: true,
        repair: false,
    };
    let report = world
        .engine()
        .verify(T, Direction::Forward, options, world.on_progress())
        .await
        .unwrap();
    assert_eq!((report.differences, report.listed.len()), (30, 5));
    let values = &report.listed[0].values[0];
    assert_eq!(
        (values.old.as_deref(), values.new.as_deref()),
        (Some(&b"first"[..]), Some(&b"other"[..]))
    );
}

#[tokio::test(start_paused = true)]
async fn trap_35_a_compared_read_reports_only_what_stays_different_and_marks_it() {
    let world = World::new(Phase::DualRead);
    world.fill(Side::Old, 0..3);
    world.fill(Side::New, 0..3);
    assert_eq!(
        world.engine().compare_key(T, &key(0), false).await.unwrap(),
        Comparison::Equal
    );
    // On its way.
    world.old.put(row(1, "second", 2));
    let new = world.new.clone();
    world.old.after(
        Op::Fetch,
        move || async move { new.put(row(1, "second", 2)) },
    );
    assert_eq!(
        world.engine().compare_key(T, &key(1), false).await.unwrap(),
        Comparison::Equal
    );
    // Different for good.
    world.new.put(row(2, "other", 1));
    match world.engine().compare_key(T, &key(2), false).await.unwrap() {
        Comparison::Differs(difference) => assert_eq!(difference.columns, ["note"]),
        other => panic!("{other:?}"),
    }
    assert!(world.is_dirty(2) && !world.is_dirty(1));
    assert_eq!(
        world.engine().compare_key(T, &key(2), false).await.unwrap(),
        Comparison::Known
    );
    world.engine().repair(None, false).await.unwrap();
    world.assert_equal();
}

/// What the verify had passed by then it has not seen.
#[tokio::test(start_paused = true)]
async fn trap_38_what_comes_into_doubt_while_a_verify_runs_stays_in_doubt() {
    let world = World::new(Phase::NewPrimary);
    world.fill(Side::Old, 0..20);
    world.fill(Side::New, 0..20);
    let map = world.engine().mapping().tables[T.0].clone();
    let why = |world: &World| {
        let state = world.journal().state();
        state.table("public.t (reverse)").bypassed
    };
    let doubt = |text: &'static str| {
        let (journal, map) = (world.journal().clone(), map.clone());
        async move { journal.doubt(&map, Direction::Reverse, text).await.unwrap() }
    };
    doubt("before").await;
    // Known already.
    doubt("again").await;
    assert_eq!(why(&world).as_deref(), Some("before"));
    world.verify(Direction::Reverse).await.unwrap();
    assert_eq!(why(&world), None);

    doubt("before").await;
    let within = doubt("within");
    world.new.before(Op::Digest, move || within);
    let report = world.verify(Direction::Reverse).await.unwrap();
    assert_eq!(report.differences, 0);
    assert_eq!(report.overtaken.as_deref(), Some("within"));
    assert_eq!(why(&world).as_deref(), Some("within"));
    let report = world.verify(Direction::Reverse).await.unwrap();
    assert_eq!((report.overtaken, why(&world)), (None, None));
}

/// A move from 6 to 5, and a proxy that is forgotten, are noted in the record of the table while a verify of it runs.
#[tokio::test(start_paused = true)]
async fn trap_38_what_bypasses_a_store_while_a_verify_runs_is_not_taken_back_by_it() {
    for (phase, direction, name) in [
        (Phase::DualWrite, Direction::Forward, "public.t"),
        (Phase::NewPrimary, Direction::Reverse, "public.t (reverse)"),
    ] {
        let world = World::new(phase);
        world.fill(Side::Old, 0..20);
        world.fill(Side::New, 0..20);
        let known = |world: &World| world.journal().state().table(name);
        let bypass = |journal: crossfade_journal::Journal, why: &'static str| {
            let change = |table: &mut crossfade_journal::TableState| table.bypass(why.into());
            journal.state().update_table(name, change).unwrap();
        };
        bypass(world.journal().clone(), "before");
        let journal = world.journal().clone();
        let within = async move { bypass(journal, "within") };
        world.new.before(Op::Digest, move || within);
        let report = world.verify(direction).await.unwrap();
        assert_eq!((report.differences, report.complete), (0, false));
        assert_eq!(report.overtaken.as_deref(), Some("within"));
        assert_eq!(known(&world).bypassed.as_deref(), Some("within"));
        assert_eq!(
            known(&world).backfilled_at_epoch,
            None,
            "what came meanwhile may have to be copied"
        );
        world.verify(direction).await.unwrap();
        assert_eq!(known(&world).bypassed, None);
    }
}
