//! One chunk.

use std::{collections::HashMap, sync::atomic::Ordering, time::Duration};

use crossfade_crash::{self as crash, Point};
use crossfade_store::{Form, Key, KeyRange, Row, Store, StoreResult};
use tokio::time::Instant;

use super::{
    Run,
    insert::{How, insert},
    walk::Span,
};
use crate::{Error, Role, Why, error::During as _, pace::Health};

/// What became of a chunk.
#[derive(Debug, Clone, Default)]
pub(super) struct Copied {
    pub(super) seen: u64,
    pub(super) copied: u64,
    /// A row that the primary refused to take in. It cannot be left to the journal (there, dirty would mean that it is to be
    /// hidden), so the checkpoint must not pass it.
    pub(super) stuck: Option<Refused>,
}

/// A row that the target did not take.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub(super) key: Key,
    pub(super) reason: String,
}

impl Refused {
    pub(super) fn into_error(self, run: &Run) -> Error {
        Error::Refused {
            table: run.map().old.name.to_string(),
            side: run.direction.to(),
            refused: run.refused.load(Ordering::Relaxed),
            seen: run.meter.seen(),
            reason: self.reason,
        }
    }
}

/// Copies one chunk.
pub(super) async fn copy(run: &Run, span: &Span) -> Result<Copied, Error> {
    // Room for rows that came in since the chunk was cut, so that one read nearly always gets it whole.
    let limit = run
        .engine
        .settings
        .chunk_rows
        .max(1)
        .saturating_add(run.engine.settings.chunk_rows / 8 + 1);
    let mut range = span.range.clone();
    let mut total = Copied::default();
    loop {
        let rows = run
            .source()
            .scan(run.map(), &range, limit, Form::Own)
            .await
            .during("reading", run.map())?;
        let Some(last) = rows.last() else { break };
        crash::at(Point::ChunkRead);
        let more = u32::try_from(rows.len()).is_ok_and(|found| found >= limit);
        let last = key_of(run, last)?;
        run.pace
            .acquire(u32::try_from(rows.len()).unwrap_or(u32::MAX))
            .await;
        let within = KeyRange {
            after: range.after.replace(last.clone()),
            upto: Some(last),
        };
        let step = copy_rows(run, &within, rows).await?;
        crash::at(Point::ChunkChecked);
        run.meter.add(step.seen, step.copied, run.pace.is_braked());
        total.seen += step.seen;
        total.copied += step.copied;
        total.stuck = step.stuck.or(total.stuck);
        if !more {
            break;
        }
    }
    if span.suspect && run.role == Role::FromPrimary {
        sweep(run, span.range.clone()).await?;
    }
    Ok(total)
}

async fn copy_rows(run: &Run, within: &KeyRange, rows: Vec<Row>) -> Result<Copied, Error> {
    let keys = rows
        .iter()
        .map(|row| key_of(run, row))
        .collect::<Result<Vec<_>, _>>()?;
    let began = Instant::now();
    let copied = match run.role {
        Role::FromPrimary => from_primary(run, within, keys, rows).await?,
        Role::IntoPrimary => into_primary(run, keys, rows).await?,
    };
    feel(run, began.elapsed(), copied.seen).await;
    Ok(copied)
}

/// Steps 3 and 4.
async fn from_primary(
    run: &Run,
    within: &KeyRange,
    keys: Vec<Key>,
    rows: Vec<Row>,
) -> Result<Copied, Error> {
    let seen = rows.len() as u64;
    // Held over the second look as well: a row that came back must be gone before the other store may become the primary.
    let _pin = run.job.pin().await?;
    let (keys, rows) = &leave_stale(run, keys, rows);
    let first = run
        .target()
        .nth_key(run.map(), within, 1)
        .await
        .during("looking at the target", run.map())?;
    let how = if first.is_none() {
        How::IntoEmpty
    } else {
        How::Absent
    };
    let done = insert(run, how, keys, rows).await?;
    // Asked before the second look: who begins later writes over what was inserted.
    let staged = run.engine.ledger.staged(run.target(), run.map(), keys);
    let now = look_again(run, within, keys)
        .await
        .during("looking again at copied rows", run.map())?;
    let moved = |at: usize| staged[at] || now[at].as_ref() != Some(&rows[at]);
    let mut suspects: Vec<Key> = (0..keys.len())
        .filter(|&at| moved(at))
        .map(|at| keys[at].clone())
        .collect();
    suspects.extend(
        done.refused
            .into_iter()
            .map(|refused| refused.key)
            .filter(|key| {
                !keys
                    .iter()
                    .position(|other| other == key)
                    .is_some_and(moved)
            }),
    );
    fix(run, &suspects).await?;
    Ok(Copied {
        seen,
        copied: done.copied,
        stuck: None,
    })
}

/// Without the rows that the journal suspects in the source: the target, which lacks them, may be right.
fn leave_stale(run: &Run, keys: Vec<Key>, rows: Vec<Row>) -> (Vec<Key>, Vec<Row>) {
    let stale = run.engine.stale_in(run.direction.from(), run.map(), &keys);
    let left = stale.iter().filter(|stale| **stale).count() as u64;
    run.left_dirty.fetch_add(left, Ordering::Relaxed);
    std::iter::zip(std::iter::zip(keys, rows), stale)
        .filter(|(_, stale)| !stale)
        .map(|(kept, _)| kept)
        .unzip()
}

/// The rows of `keys` as they are now in the source. They lie side by side, so one pass over their range is cheaper than a lookup for each.
async fn look_again(run: &Run, within: &KeyRange, keys: &[Key]) -> StoreResult<Vec<Option<Row>>> {
    let limit = u32::try_from(keys.len().saturating_mul(2)).unwrap_or(u32::MAX);
    let there = run
        .source()
        .scan(run.map(), within, limit, Form::Own)
        .await?;
    if there.len() >= limit as usize {
        // Many came in between; the range may go on behind the last one.
        return run.source().fetch(run.map(), keys, Form::Own).await;
    }
    let unmoved = there.len() == keys.len()
        && std::iter::zip(keys, &there)
            .all(|(key, row)| run.map().key_of(row).as_ref() == Some(key));
    if unmoved {
        return Ok(there.into_iter().map(Some).collect());
    }
    let mut found: HashMap<Key, Row> = there
        .into_iter()
        .filter_map(|row| Some((run.map().key_of(&row)?, row)))
        .collect();
    Ok(keys.iter().map(|key| found.remove(key)).collect())
}

/// The target is right wherever it has a row or the journal knows the key.
async fn into_primary(run: &Run, keys: Vec<Key>, rows: Vec<Row>) -> Result<Copied, Error> {
    let seen = rows.len() as u64;
    let _pin = run.job.pin().await?;
    // Under the pin: in these phases dirty means 'the old store is stale for this key'.
    let hidden = run.engine.hidden_in_old(run.map(), &keys);
    let kept = std::iter::zip(std::iter::zip(keys, rows), hidden)
        .filter(|(_, hidden)| !hidden)
        .map(|(kept, _)| kept);
    let (keys, rows): (Vec<Key>, Vec<Row>) = kept.unzip();
    let done = insert(run, How::CopyUp, &keys, &rows).await?;
    Ok(Copied {
        seen,
        copied: done.copied,
        stuck: done.refused.into_iter().next_back(),
    })
}

/// What an unfinished chunk of a killed run may have brought back: rows of the target that the source does not have.
async fn sweep(run: &Run, mut range: KeyRange) -> Result<(), Error> {
    let limit = run.engine.settings.chunk_rows.max(1);
    loop {
        let there = run
            .target()
            .scan(run.map(), &range, limit, Form::Own)
            .await
            .during("looking for rows that are gone", run.map())?;
        let keys = there
            .iter()
            .map(|row| key_of(run, row))
            .collect::<Result<Vec<_>, _>>()?;
        let Some(last) = keys.last() else {
            return Ok(());
        };
        range.after = Some(last.clone());
        let _pin = run.job.pin().await?;
        let staged = run.engine.ledger.staged(run.target(), run.map(), &keys);
        let source = run
            .source()
            .fetch(run.map(), &keys, Form::Own)
            .await
            .during("looking for rows that are gone", run.map())?;
        let gone: Vec<Key> = std::iter::zip(&keys, std::iter::zip(&source, staged))
            .filter(|(_, (row, staged))| row.is_none() || *staged)
            .map(|(key, _)| key.clone())
            .collect();
        fix(run, &gone).await?;
        if u32::try_from(keys.len()).is_ok_and(|found| found < limit) {
            return Ok(());
        }
    }
}

async fn fix(run: &Run, keys: &[Key]) -> Result<(), Error> {
    let fixed = run
        .engine
        .fix(run.map(), run.direction.from(), keys, Why::Backfill)
        .await?;
    run.repaired.fetch_add(fixed.repaired, Ordering::Relaxed);
    run.left_dirty
        .fetch_add(fixed.failed.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// Lets the brake look at the stores.
async fn feel(run: &Run, took: Duration, rows: u64) {
    let thousands = u32::try_from(rows.div_ceil(1000))
        .unwrap_or(u32::MAX)
        .max(1);
    let (old, new) = tokio::join!(
        latency(run, &*run.engine.stores.old),
        latency(run, &*run.engine.stores.new)
    );
    let latency = old.max(new).max(took / thousands);
    run.pace.feel(Health {
        latency,
        dirty: run.engine.ledger.dirty_count(&run.map().toggle),
    });
}

/// A store that does not answer counts as slow; the next chunk's own error says more.
async fn latency(run: &Run, store: &dyn Store) -> Duration {
    let began = Instant::now();
    match store.ping().await {
        Ok(()) => began.elapsed(),
        Err(_) => run.engine.settings.brake_latency.saturating_mul(2),
    }
}

fn key_of(run: &Run, row: &Row) -> Result<Key, Error> {
    let null = || Error::NullKey {
        table: run.map().old.name.to_string(),
        side: run.source().side(),
    };
    run.map().key_of(row).ok_or_else(null)
}
