//! An operator's word that a proxy will not come back, and that nobody will read a journal on its disk.

use std::time::{Duration, Instant};

use crossfade_config::QualifiedName;
use crossfade_phase::{DirtyKeys, Phase, Side};
use crossfade_reconcile::{Direction, standing::record_named};
use crossfade_toggle::Reason;

use super::{
    Shared,
    member::mirror,
    record::Record,
    seat::{LEASE, MARGIN, Other, Seat, Trouble},
};
use crate::{app::App, failure::Failure};

/// Longest wait for what the proxy has left behind in the primary.
const LEFT_BEHIND: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);

/// Counts a proxy out that ended without taking leave, of all toggles. What its journal may have held makes the tables untrusted until they are verified; where journals
/// are in the primary, the others take it over from there.
///
/// It may be out of sight only, so this takes two steps: from the first on it gets no new lease, and what it had has run out before the second; what it had sent off by
/// then has ended in the primary. Should it come back in between, it counts again.
///
/// # Errors
/// When it is not known, still there, or has left transactions behind.
pub(crate) async fn forget(app: &App, name: &str, reason: &Reason) -> Result<Vec<String>, Failure> {
    let Some(shared) = &app.control else {
        return Err(Failure::usage(
            "this proxy is the only one of its migration: control = \"state_dir\" in the file",
        ));
    };
    let meant = gone(shared, name).await?;
    for (seat, other) in &meant {
        let mark = |record: &mut Record| {
            mark(record, &other.id);
            Ok(())
        };
        seat.change(mark).await.map_err(again)?;
    }
    tokio::time::sleep(LEASE + MARGIN).await;
    for (seat, other) in &meant {
        count_out(app, seat, other, reason).await?;
    }
    let toggles = meant.iter().map(|(seat, _)| seat.toggle.clone());
    let mut toggles: Vec<String> = toggles.collect();
    toggles.dedup();
    Ok(toggles)
}

/// The silent proxies of this name, at every toggle: one that has lost its disk is another one when it is started again.
async fn gone<'a>(shared: &'a Shared, name: &str) -> Result<Vec<(&'a Seat, Other)>, Failure> {
    let mut meant = Vec::new();
    for seat in shared.seats() {
        // Whom this proxy has not heard of, as it was itself out of touch, is not silent for that.
        seat.read().await.map_err(again)?;
        let mut named = seat.others();
        named.retain(|other| other.name == name || other.id == name);
        let (gone, here): (Vec<Other>, Vec<Other>) =
            named.into_iter().partition(|other| is_gone(other).is_ok());
        if let (true, Some(other)) = (gone.is_empty(), here.first()) {
            is_gone(other)?;
        }
        meant.extend(gone.into_iter().map(|other| (&**seat, other)));
    }
    if meant.is_empty() {
        return Err(Failure::usage(format!(
            "there is no other proxy \"{name}\" (`crossfade status` lists them)"
        )));
    }
    Ok(meant)
}

async fn count_out(app: &App, seat: &Seat, other: &Other, reason: &Reason) -> Result<(), Failure> {
    let name = &other.name;
    nothing_left_behind(app, seat).await?;
    let tables = app.tables_of(&seat.toggle).into_iter();
    let names: Vec<QualifiedName> = tables.map(|table| table.old.name).collect();
    // The transactions of its last moments have ended: whatever it knew stands there.
    let known = app.journal.is_in_primary();
    let left = if known {
        None
    } else {
        Some(Left {
            tables: &names,
            stale: last_said(seat, &other.id).await?,
        })
    };
    let taken = seat.change(|record| Ok(take_out(record, &other.id, name, reason, left.as_ref())));
    if !taken.await.map_err(again)? {
        return Err(Failure::no(format!(
            "proxy \"{name}\" is back, and counts again"
        )));
    }
    // Before anybody here is told that the proxy is gone: it has not left the tables as they were.
    mirror(app, &seat.toggle, &seat.record());
    seat.silence(&other.id).await.map_err(again)?;
    tracing::warn!(
        toggle = seat.toggle,
        proxy = name,
        because = reason.as_str(),
        "an operator has a proxy forgotten"
    );
    Ok(())
}

fn again(error: Trouble) -> Failure {
    Failure::broken(format!("{error}; run the command again"))
}

fn is_gone(other: &Other) -> Result<(), Failure> {
    let Some(heard) = &other.heard else {
        return Ok(());
    };
    let silent = heard.silent_for();
    if heard.row.ended || silent >= LEASE + MARGIN {
        return Ok(());
    }
    Err(Failure::no(format!(
        "proxy \"{}\" was heard of {} s ago: end it first, and run the command again {} s later",
        other.name,
        silent.as_secs(),
        (LEASE + MARGIN).as_secs()
    )))
}

async fn nothing_left_behind(app: &App, seat: &Seat) -> Result<(), Failure> {
    let primary = app.stores.on(seat.record().state.phase.primary());
    let horizon = primary.horizon().await?;
    let began = Instant::now();
    while !primary.has_passed(horizon).await? {
        if began.elapsed() > LEFT_BEHIND {
            return Err(Failure::no(format!(
                "transactions that were open in the {} store at the beginning of this command still are, and one of them may be the proxy's: end it (pg_stat_activity shows them), and run the command again; the proxy counts as forgotten already and commits nothing, should it come back",
                primary.side()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn mark(record: &mut Record, id: &str) {
    if let Some(member) = record.members.get_mut(id) {
        member.forgotten = true;
    }
}

/// A journal that nobody will read.
struct Left<'a> {
    /// The tables that it may have had keys of.
    tables: &'a [QualifiedName],
    /// Dirty keys that were in it for certain.
    stale: DirtyKeys,
}

/// What a proxy had in its journal when it was last heard of, whichever run of it that was. None of those that were stale in the primary then has come later: only a move of
/// the primary makes such keys, and every proxy counts them in its barrier.
async fn last_said(seat: &Seat, id: &str) -> Result<DirtyKeys, Failure> {
    let row = seat.last_row(id).await.map_err(again)?;
    Ok(row.map(|row| row.stale()).unwrap_or_default())
}

/// `false` when it is not marked any more.
fn take_out(
    record: &mut Record,
    id: &str,
    name: &str,
    reason: &Reason,
    left: Option<&Left<'_>>,
) -> bool {
    if record
        .members
        .get(id)
        .is_none_or(|member| !member.forgotten)
    {
        return false;
    }
    record.part(id);
    let Some(left) = left else { return true };
    record.forgotten.insert(id.to_owned());
    // What it had not brought to the secondary, nobody knows.
    let primary = match record.state.phase {
        Phase::DeployNew | Phase::UseOld => return true,
        phase => phase.primary(),
    };
    let newer = left.stale.stale(primary);
    let known = if newer > 0 {
        format!(", which had {newer} keys that the {primary} store is stale for")
    } else {
        String::new()
    };
    for table in left.tables {
        let state = record
            .tables
            .entry(record_named(table, Direction::into_store(primary.other())))
            .or_default();
        state.bypass(format!(
            "proxy \"{name}\" was forgotten with its journal{known}: {reason}"
        ));
        if primary == Side::New {
            // Trap 27: what only the old store has it may have deleted, and nobody else knows.
            let forward = record_named(table, Direction::Forward);
            if let Some(forward) = record.tables.get_mut(&forward) {
                forward.deleted_unseen |= forward.is_complete();
            }
        }
        if newer > 0 {
            let name = record_named(table, Direction::into_store(primary));
            record.lost.insert(name, newer);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossfade_journal::TableState;
    use crossfade_reconcile::{Verified, standing};
    use crossfade_toggle::{Epoch, Snapshot};

    use crate::control::record::{Member, tests::record};

    #[test]
    fn trap_38_the_tables_of_a_forgotten_journal_are_not_trusted() {
        let reason = Reason::new("its disk burnt").unwrap();
        let tables = [QualifiedName::parse("orders", "public").unwrap()];
        let left = Left {
            tables: &tables,
            stale: DirtyKeys::default(),
        };
        let left = Some(&left);
        for (phase, doubted) in [
            (Phase::UseOld, None),
            (Phase::DualWrite, Some("public.orders")),
            (Phase::DualRead, Some("public.orders")),
            (Phase::NewPrimary, Some("public.orders (reverse)")),
        ] {
            let mut record = record(phase, 4);
            let member = Member {
                name: "b".into(),
                life: 1,
                forgotten: false,
            };
            record.join("2", member.clone());
            assert!(
                !take_out(&mut record, "2", "b", &reason, left),
                "not marked"
            );
            mark(&mut record, "2");
            record.join("2", member);
            assert!(
                !take_out(&mut record, "2", "b", &reason, left),
                "it is back"
            );
            mark(&mut record, "2");
            assert!(take_out(&mut record, "2", "b", &reason, left));
            assert!(record.members.is_empty());
            let found: Vec<&str> = record.tables.keys().map(String::as_str).collect();
            assert_eq!(found, doubted.into_iter().collect::<Vec<_>>(), "{phase}");
            assert!(record.tables.values().all(|table| table.bypassed.is_some()));
            let meanwhile = |table: &TableState| table.bypasses > 0;
            assert!(
                record.tables.values().all(meanwhile),
                "a verify that runs does not take it back"
            );
        }
    }

    #[test]
    fn trap_27_what_only_the_old_store_has_a_forgotten_proxy_may_have_deleted() {
        let reason = Reason::new("its disk burnt").unwrap();
        let tables = ["orders", "items"].map(|name| QualifiedName::parse(name, "public").unwrap());
        let left = Left {
            tables: &tables,
            stale: DirtyKeys::default(),
        };
        for phase in [Phase::DualRead, Phase::NewPrimary] {
            let mut record = record(phase, 4);
            let member = Member {
                name: "b".into(),
                life: 1,
                forgotten: true,
            };
            record.join("2", member);
            let mut complete = TableState {
                backfilled_at_epoch: Some(2),
                ..TableState::default()
            };
            standing::verified(
                &mut complete,
                Verified {
                    rows: 3,
                    differences: 0,
                    pending: 0,
                    snapshot: Snapshot {
                        epoch: Epoch::new(2),
                        phase: Phase::DualWrite,
                    },
                    bypasses: 0,
                },
            );
            record.tables.insert("public.orders".into(), complete);
            assert!(take_out(&mut record, "2", "b", &reason, Some(&left)));
            let unseen = |name: &str| {
                record
                    .tables
                    .get(name)
                    .is_some_and(|known| known.deleted_unseen)
            };
            assert_eq!(unseen("public.orders"), phase == Phase::NewPrimary);
            assert!(
                !unseen("public.items"),
                "nobody can delete before it is complete"
            );
        }
    }

    #[test]
    fn trap_38_rows_that_only_a_forgotten_journal_knew_to_be_newer_are_not_taken_for_old() {
        let reason = Reason::new("its disk burnt").unwrap();
        let tables = [QualifiedName::parse("orders", "public").unwrap()];
        for (phase, lost) in [
            (Phase::DualRead, "public.orders (reverse)"),
            (Phase::NewPrimary, "public.orders"),
        ] {
            let mut record = record(phase, 4);
            let member = Member {
                name: "b".into(),
                life: 1,
                forgotten: true,
            };
            record.join("2", member.clone());
            let stale = DirtyKeys {
                old: 2,
                new: 2,
                both: 1,
            };
            let left = Left {
                tables: &tables,
                stale,
            };
            assert!(take_out(&mut record, "2", "b", &reason, Some(&left)));
            assert_eq!(record.lost, [(lost.to_owned(), 3)].into());
            assert!(record.forgotten.contains("2"));
            record.join("2", member);
            assert!(record.forgotten.is_empty());
        }
    }
}
