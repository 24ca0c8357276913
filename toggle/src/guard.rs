//! The guards: DESIGN 2's table, as code.

mod unmet;

pub use unmet::{Unmet, shell_word};

use crossfade_phase::{Phase, Side};

use crate::{Evidence, JournalFacts, Move, Proof, Refusal, StoreAnswer, TableFacts};

/// Whether `step` may be made, given what is known. Pure: the same facts give the same answer.
///
/// # Errors
/// A [`Refusal`] that lists every failing condition, not only the first.
pub fn guard(step: Move, evidence: &Evidence) -> Result<Proof, Refusal> {
    let unmet = unmet(step, evidence);
    if unmet.is_empty() {
        Ok(Proof::granted(step, evidence.current.epoch))
    } else {
        Err(Refusal::new(step, evidence.current.epoch, unmet))
    }
}

/// Every condition of `step` that does not hold.
pub(crate) fn unmet(step: Move, evidence: &Evidence) -> Vec<Unmet> {
    let mut unmet = Vec::new();
    if evidence.current.phase != step.from() {
        unmet.push(Unmet::Elsewhere(evidence.current));
    }
    // Trap 36: what older transactions still do is not in the facts. A free way back needs no facts.
    if !evidence.effective && !step.is_free() {
        unmet.push(Unmet::NotEffective(evidence.current));
    }
    match (step.from(), step.to()) {
        (Phase::UseOld, Phase::DualWrite) => preflight(evidence, &mut unmet),
        (Phase::DualWrite, Phase::DualRead) => new_is_in_step(evidence, &mut unmet),
        (Phase::DualRead, Phase::NewPrimary | Phase::NewWrites) => {
            new_is_in_step(evidence, &mut unmet);
            if step.to() == Phase::NewWrites {
                nothing_newer_beside(Side::Old, evidence, &mut unmet);
            }
            reads_agree(evidence, &mut unmet);
            sequences_move(evidence, &mut unmet);
            jobs_ended(evidence, &mut unmet);
        }
        (Phase::NewPrimary, Phase::DualRead) => {
            old_is_in_step(evidence, &mut unmet);
            sequences_move(evidence, &mut unmet);
            jobs_ended(evidence, &mut unmet);
        }
        (Phase::Backfill, Phase::NewOnly) => {
            tables(evidence, &mut unmet, complete);
            all_are_heard(evidence, &mut unmet);
            nothing_newer_in_old(evidence, &mut unmet);
        }
        (Phase::NewWrites, Phase::NewPrimary) | (Phase::Backfill, Phase::NewWrites) => {
            tables(evidence, &mut unmet, reverse_reconciled);
        }
        (Phase::NewOnly, Phase::Backfill) => {
            old_answers(evidence, &mut unmet);
            tables(evidence, &mut unmet, reverse_reconciled);
            old_missed_nothing(evidence, &mut unmet);
        }
        // Dirty keys go on as 'the old is stale for this key', and as nothing else.
        (Phase::NewPrimary, Phase::NewWrites) => {
            all_are_heard(evidence, &mut unmet);
            nothing_newer_beside(Side::Old, evidence, &mut unmet);
        }
        (Phase::DualWrite | Phase::DualRead, Phase::DeployNew | Phase::UseOld) => {
            all_are_heard(evidence, &mut unmet);
            nothing_newer_beside(Side::New, evidence, &mut unmet);
        }
        // DESIGN 2 sets no guard: 1 → 2; 6 → 7; and the free ways back.
        (Phase::DeployNew, _)
        | (Phase::NewPrimary, _)
        | (Phase::NewWrites, _)
        | (Phase::UseOld | Phase::DualWrite | Phase::DualRead, _) => {}
        // No other move leaves 7 or 8. Were there one, it would need a guard first.
        (Phase::Backfill | Phase::NewOnly, _) => unmet.push(Unmet::Elsewhere(evidence.current)),
    }
    unmet
}

fn preflight(evidence: &Evidence, unmet: &mut Vec<Unmet>) {
    if let Some(why) = silence(&evidence.new_store) {
        unmet.push(Unmet::NewStoreSilent(why));
    }
    match evidence.blocking_findings {
        None => unmet.push(Unmet::NoPreflight),
        Some(0) => {}
        Some(count) => unmet.push(Unmet::BlockingFindings(count)),
    }
}

fn old_answers(evidence: &Evidence, unmet: &mut Vec<Unmet>) {
    if let Some(why) = silence(&evidence.old_store) {
        unmet.push(Unmet::OldStoreSilent(why));
    }
}

/// `None` when the store answers, otherwise what was heard, if it was asked.
fn silence(answer: &StoreAnswer) -> Option<Option<String>> {
    match answer {
        StoreAnswer::Answers => None,
        StoreAnswer::NotAsked => Some(None),
        StoreAnswer::Silent(why) => Some(Some(why.clone())),
    }
}

/// The new store has every write: nothing dirty there, nothing that went round it (trap 38), and no difference that the last verify has left.
fn new_is_in_step(evidence: &Evidence, unmet: &mut Vec<Unmet>) {
    nothing_stale_in(Side::New, evidence, unmet);
    tables(evidence, unmet, |table, unmet| {
        let name = table.name.clone();
        // First what is known to differ: a verify that repairs resolves both.
        match table.left {
            0 if table.new_bypassed => unmet.push(Unmet::NewBypassed(name)),
            0 => {}
            count => unmet.push(Unmet::Differences { table: name, count }),
        }
    });
}

/// The old store has every write (trap 38). A reverse reconcile empties the journal and clears the bypass, so that 'the journal
/// proves it or a reverse reconcile does' is one condition here. What the last reverse verify has left is not there either.
fn old_is_in_step(evidence: &Evidence, unmet: &mut Vec<Unmet>) {
    nothing_stale_in(Side::Old, evidence, unmet);
    tables(evidence, unmet, |table, unmet| {
        let name = table.name.clone();
        match table.reverse_left {
            _ if table.old_bypassed => unmet.push(Unmet::OldBypassed(name)),
            0 => {}
            count => unmet.push(Unmet::ReverseDifferences { table: name, count }),
        }
    });
}

/// A key that only the other store is stale for is no obstacle: that store is repaired while, or as soon as, this one is the primary.
fn nothing_stale_in(side: Side, evidence: &Evidence, unmet: &mut Vec<Unmet>) {
    // What another proxy's journal held when it was last heard of says nothing of now.
    let silent = evidence.silent_proxies.iter().cloned();
    unmet.extend(silent.map(Unmet::SilentProxy));
    let Some(journal) = evidence.journal else {
        unmet.push(Unmet::JournalUnread);
        return;
    };
    let dirty = journal.dirty_keys;
    if dirty.only(side) > 0 {
        unmet.push(Unmet::DirtyKeys(dirty.only(side)));
    }
    if dirty.both > 0 {
        unmet.push(Unmet::StaleInBoth(dirty.both));
    }
    if journal.unresolved_intents > 0 {
        unmet.push(Unmet::UnresolvedIntents(journal.unresolved_intents));
    }
}

/// Only a move of the primary makes keys that it is stale for, and every proxy counts its own in the barrier: what one has said in this run, or when it ended, holds however
/// long ago that was. Of one that has said nothing nobody knows.
fn all_are_heard(evidence: &Evidence, unmet: &mut Vec<Unmet>) {
    let unheard = evidence.unheard_proxies.iter().cloned();
    unmet.extend(unheard.map(Unmet::SilentProxy));
}

/// Newer rows in the store of `side`, which is written no more behind the move: a write of one of them in the other is on no record, and the row that was left behind would
/// take its place once the store of `side` is the primary again. A journal that could not be read is no obstacle: without a forced move there are no such rows.
fn nothing_newer_beside(side: Side, evidence: &Evidence, unmet: &mut Vec<Unmet>) {
    let stale = |journal: JournalFacts| journal.dirty_keys.only(side.other());
    let count = evidence.journal.map_or(0, stale) + evidence.lost_keys;
    if count > 0 {
        unmet.push(Unmet::NewerBeside { side, count });
    }
}

/// Rows that a forced move left behind in the old store: nobody can get at them any more from 8 on.
fn nothing_newer_in_old(evidence: &Evidence, unmet: &mut Vec<Unmet>) {
    let Some(journal) = evidence.journal else {
        unmet.push(Unmet::JournalUnread);
        return;
    };
    let count = journal.dirty_keys.stale(Side::New) + evidence.lost_keys;
    if count > 0 {
        unmet.push(Unmet::NewerInOld(count));
    }
}

fn reads_agree(evidence: &Evidence, unmet: &mut Vec<Unmet>) {
    let Some(comparison) = evidence.comparison else {
        unmet.push(Unmet::NotCompared);
        return;
    };
    let (watched, window) = (comparison.watched, comparison.window);
    if comparison.mismatches > 0 {
        let count = comparison.mismatches;
        unmet.push(Unmet::Mismatches { count, window });
    }
    if watched < window {
        unmet.push(Unmet::WatchedTooShort { watched, window });
    }
}

/// The sequences are moved inside the barrier; that they can be is known before clients wait for it (trap 33).
fn sequences_move(evidence: &Evidence, unmet: &mut Vec<Unmet>) {
    match &evidence.immovable_sequences {
        None => unmet.push(Unmet::SequencesUnchecked),
        Some(names) => unmet.extend(names.iter().cloned().map(Unmet::ImmovableSequence)),
    }
}

/// Trap 28: a job that copies old to new would overwrite the new primary.
fn jobs_ended(evidence: &Evidence, unmet: &mut Vec<Unmet>) {
    match &evidence.running_jobs {
        None => unmet.push(Unmet::JobsUnknown),
        Some(jobs) => unmet.extend(jobs.iter().cloned().map(Unmet::JobRunning)),
    }
}

fn tables(evidence: &Evidence, unmet: &mut Vec<Unmet>, each: fn(&TableFacts, &mut Vec<Unmet>)) {
    if evidence.tables.is_empty() {
        unmet.push(Unmet::NoTables);
    }
    for table in &evidence.tables {
        each(table, unmet);
    }
}

fn complete(table: &TableFacts, unmet: &mut Vec<Unmet>) {
    let name = table.name.clone();
    if !table.backfilled {
        unmet.push(Unmet::NotBackfilled(name.clone()));
    }
    // What a bypassed table is known to differ in, another verify would only find again.
    match table.differences.or((table.left > 0).then_some(table.left)) {
        None => unmet.push(Unmet::NotVerified(name)),
        Some(0) => {}
        Some(count) => unmet.push(Unmet::Differences { table: name, count }),
    }
}

fn reverse_reconciled(table: &TableFacts, unmet: &mut Vec<Unmet>) {
    let name = table.name.clone();
    match table.reverse_differences {
        None => unmet.push(Unmet::NotReverseVerified(name)),
        Some(0) => {}
        Some(count) => unmet.push(Unmet::ReverseDifferences { table: name, count }),
    }
}

/// Trap 38: in 8 the old store hears of nothing, and a row deleted there leaves no tombstone. Only when nothing was written since
/// the reverse verify is the way back without loss.
fn old_missed_nothing(evidence: &Evidence, unmet: &mut Vec<Unmet>) {
    if evidence.writes_since_reverse_verify != Some(0) {
        unmet.push(Unmet::UnknownToOld(evidence.writes_since_reverse_verify));
    }
}
