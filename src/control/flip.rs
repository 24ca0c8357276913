//! A flip of several proxies. The one that makes it changes the record, and waits for the answers.
//!
//! A move without a barrier is one change of the record; it is effective when every proxy has drained what is older. A move with one goes like this:
//!
//! 1. *called*: every proxy says that it has heard. Nobody waits yet, so a proxy that is away costs no client anything;
//! 2. *barrier*: every proxy closes its gate, drains, flushes its journal, says so and how much is left in it;
//! 3. what belongs inside is done, by the one that makes the flip;
//! 4. *published*: one change of the record, which moves to the other store where the primary changes ([`super::place`]).
//!
//! Until 4 anybody may call it off, and does when it takes too long. A crash at any point leaves a record that says which of the two it was.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossfade_crash::{self as crash, Point};
use crossfade_phase::{Phase, Side};
use crossfade_reconcile::{Direction, standing};
use crossfade_store::TableMap;
use crossfade_toggle::{Move, Snapshot, Toggle};

use super::{
    record::{Published, Record},
    row::Row,
    seat::{Seat, Trouble},
};
use crate::app::App;

/// Longest wait until this proxy's own gate has followed what it published itself.
const OWN: Duration = Duration::from_secs(5);

/// Why a flip did not come about.
pub(crate) enum Called {
    /// Before any client waited; may pass by itself.
    Refused { why: String, passing: bool },
    /// After clients have waited, or nobody knows.
    Off(String),
}

/// A move of a toggle that several proxies share.
pub(crate) struct Step<'a> {
    pub(crate) seat: &'a Arc<Seat>,
    pub(crate) toggle: &'a Toggle,
    pub(crate) step: Move,
    pub(crate) at: Snapshot,
    pub(crate) drain_timeout: Duration,
}

/// Makes a move. `inside` is done while everything is drained; `change` is what the move does to the standing of the tables.
///
/// # Errors
/// [`Called`]; the toggle is where it was, unless it says that nobody knows.
pub(crate) async fn together(
    app: &App,
    step: Step<'_>,
    published: Published,
    change: impl Fn(&mut Record),
    inside: impl AsyncFnOnce() -> Result<(), Called>,
) -> Result<(), Called> {
    let seat = step.seat;
    if step.step.needs_barrier() {
        let number = call(&step).await?;
        if let Err(called) = barrier(
            &step,
            app.journal.is_in_primary(),
            number,
            &published,
            &change,
            inside,
        )
        .await
        {
            // Whether it can be is the record's word: a flip that is published stays published.
            if let Err(error) = seat.call_off(number).await {
                tracing::warn!(toggle = seat.toggle, %error, "the flip could not be called off; the others do it");
            }
            return Err(called);
        }
    } else {
        crash::at(Point::FlipReady);
        let outcome = seat
            .change(|record| {
                record.publish(step.at, &published)?;
                change(record);
                Ok(())
            })
            .await;
        outcome.map_err(|trouble| refused(&step, &trouble))?;
    }
    crash::at(Point::FlipRecorded);
    followed(app, &step).await
}

async fn call(step: &Step<'_>) -> Result<i64, Called> {
    let seat = step.seat;
    if step.step.changes_primary() {
        let side = step.step.to().primary();
        let ready = async {
            seat.prepare(side).await?;
            seat.carry_last_words(side).await
        };
        ready.await.map_err(|trouble| Called::Refused {
            why: format!("{} is refused: the proxies cannot share it in the {side} store: {trouble}; the account needs the right to create the schema crossfade there", step.step),
            passing: false,
        })?;
    }
    let name = seat.me.name.clone();
    let called = seat
        .change(|record| record.call(step.at, step.step.to(), &name))
        .await;
    called.map_err(|trouble| refused(step, &trouble))
}

async fn barrier(
    step: &Step<'_>,
    rows_move: bool,
    number: i64,
    published: &Published,
    change: &impl Fn(&mut Record),
    inside: impl AsyncFnOnce() -> Result<(), Called>,
) -> Result<(), Called> {
    let seat = step.seat;
    let missing = answers(step, |row| row.heard == Some(number)).await;
    if !missing.is_empty() {
        return Err(Called::Refused {
            why: format!(
                "{} is refused: {} (`crossfade status`); start it again, or, if it is gone for good, `crossfade forget NAME --because …`",
                step.step,
                missing.join(", ")
            ),
            passing: false,
        });
    }
    let closed = seat.change(|record| record.close(number)).await;
    closed.map_err(|trouble| refused(step, &trouble))?;
    let began = Instant::now();
    let missing = answers(step, |row| row.drained == Some(number)).await;
    if !missing.is_empty() {
        return Err(Called::Off(format!(
            "{}: called off: {} within {} ms (drain_timeout) (`crossfade status` of that proxy shows who holds it up)",
            step.step,
            missing.join(", "),
            step.drain_timeout.as_millis()
        )));
    }
    let answered = lives(&seat.record());
    let left = step.drain_timeout.saturating_sub(began.elapsed());
    let done = tokio::time::timeout(left, inside()).await;
    done.unwrap_or_else(|_| {
        Err(Called::Off(format!(
            "{} was called off: the steps inside the barrier did not end within drain_timeout (`crossfade status`)",
            step.step
        )))
    })?;
    crash::at(Point::FlipReady);
    let publish = |record: &mut Record| {
        if step.step.changes_primary() && rows_move {
            // Whoever has come, gone or started again since has rows that nobody has carried.
            let all_answered =
                self::missing(seat, &|row: &Row| row.drained == Some(number)).is_empty();
            if !all_answered || lives(record) != answered {
                return Err("a proxy has come, gone or started again meanwhile".to_owned());
            }
        }
        record.publish_flip(number, published)?;
        change(record);
        Ok(())
    };
    let outcome = if step.step.changes_primary() {
        seat.depart(publish).await
    } else {
        seat.change(publish).await
    };
    outcome.map_err(|trouble| unknown(step, &trouble))
}

/// Waits until every proxy that counts, this one included, has answered; says what of whom is missing in the end.
async fn answers(step: &Step<'_>, has: impl Fn(&Row) -> bool) -> Vec<String> {
    let seat = step.seat;
    let began = Instant::now();
    loop {
        let seen = seat.seen.notified();
        tokio::pin!(seen);
        seen.as_mut().enable();
        let missing = missing(seat, &has);
        let left = step.drain_timeout.saturating_sub(began.elapsed());
        if missing.is_empty() || left.is_zero() {
            return missing;
        }
        // Either way it looks again.
        let _ = tokio::time::timeout(left, seen).await;
    }
}

/// The runs of all proxies that count.
fn lives(record: &Record) -> Vec<u64> {
    record.members.values().map(|member| member.life).collect()
}

fn missing(seat: &Seat, has: &impl Fn(&Row) -> bool) -> Vec<String> {
    let view = seat.view();
    let members = view.record.members.iter();
    members
        .filter_map(|(id, member)| {
            let heard = view
                .rows
                .get(id)
                .filter(|heard| view.record.is_said_now(member, &heard.row));
            match heard {
                Some(heard) if heard.row.ended || has(&heard.row) => None,
                Some(heard) => Some(match &heard.row.trouble {
                    Some(trouble) => format!("proxy \"{}\" cannot: {trouble}", member.name),
                    None if heard.silent_for() > super::seat::LEASE => format!(
                        "proxy \"{}\" has not been heard of for {} s",
                        member.name,
                        heard.silent_for().as_secs()
                    ),
                    None => format!("proxy \"{}\" did not answer", member.name),
                }),
                None => Some(format!("proxy \"{}\" has not been heard of", member.name)),
            }
        })
        .collect()
}

/// Waits until this proxy's own gate is where it has put all of them.
async fn followed(app: &App, step: &Step<'_>) -> Result<(), Called> {
    let began = Instant::now();
    while step.toggle.gate().current().epoch <= step.at.epoch {
        if began.elapsed() > OWN {
            let (why, _) = app.facts(step.toggle).standing();
            let why = why.unwrap_or_else(|| "its own gate has not followed yet".to_owned());
            return Err(Called::Off(format!("{} is published: {why}", step.step)));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn refused(step: &Step<'_>, trouble: &Trouble) -> Called {
    Called::Refused {
        why: format!("{}: {trouble} (`crossfade status`)", step.step),
        passing: matches!(trouble, Trouble::No(_)),
    }
}

fn unknown(step: &Step<'_>, trouble: &Trouble) -> Called {
    Called::Off(match trouble {
        Trouble::Store(error) => format!(
            "{}: whether it is published is not known yet, the record decides: {error} (`crossfade status`)",
            step.step
        ),
        Trouble::No(_) | Trouble::NotAMember => format!(
            "{} was called off: {trouble} (`crossfade status`)",
            step.step
        ),
    })
}

/// What a move does to how tables stand, in the record.
pub(crate) fn change_tables(
    record: &mut Record,
    tables: &[TableMap],
    step: Move,
    mapping: &[String],
) {
    for table in tables {
        crate::flip::apply(&mut record.tables, table, step);
    }
    lost_rows(record, tables, step);
    if step.from().primary() == Side::Old && step.to().primary() == Side::Old {
        record.mapping = mapping.to_vec();
    }
}

/// Rows that only a forgotten proxy knew to be missing in a store. Once that is the secondary they can be brought over, and the tables are not trusted before. A move to where
/// the store that has them is written no more is an operator's word to go on without them: its guard names them.
fn lost_rows(record: &mut Record, tables: &[TableMap], step: Move) {
    let is_written = |phase: Phase, side: Side| match side {
        Side::Old => phase <= Phase::NewPrimary,
        Side::New => phase >= Phase::DualWrite,
    };
    for table in tables {
        for side in [Side::Old, Side::New] {
            let name = standing::record_of(table, Direction::into_store(side));
            let has_them = side.other();
            if is_written(step.from(), has_them) && !is_written(step.to(), has_them) {
                record.lost.remove(&name);
            }
            let comes = step.changes_primary() && step.to().primary() == has_them;
            if comes && record.lost.contains_key(&name) {
                let known = record.tables.entry(name).or_default();
                known.bypass(
                    "a proxy was forgotten that knew of rows which are missing here".to_owned(),
                );
            }
        }
    }
}
