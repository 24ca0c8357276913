//! Inserts a chunk, whatever single rows the target refuses (trap 11).

use std::sync::atomic::Ordering;

use crossfade_crash::{self as crash, Point};
use crossfade_store::{Key, Row, StoreError};

use super::{Run, chunk::Refused};
use crate::{Error, error::During as _};

/// A table of which the target refuses so many rows and such a share of them is not a table with bad rows: something is wrong with the
/// target (a table it points to is not copied yet, a column is too short).
const REFUSED_ROWS: u64 = 100;
const REFUSED_SHARE: u64 = 10;

/// What was inserted.
#[derive(Debug, Default)]
pub(super) struct Inserted {
    pub(super) copied: u64,
    pub(super) refused: Vec<Refused>,
}

/// Inserts what is absent. A part that the target refuses is halved until the rows are found that it does not take.
pub(super) async fn insert(
    run: &Run,
    mut how: How,
    keys: &[Key],
    rows: &[Row],
) -> Result<Inserted, Error> {
    let mut done = Inserted::default();
    let mut parts = vec![(keys, rows)];
    while let Some((keys, rows)) = parts.pop() {
        if rows.is_empty() {
            continue;
        }
        match put(run, how, rows).await {
            Ok(copied) => done.copied += copied,
            Err(error @ StoreError::Rejected { .. }) if rows.len() == 1 => {
                run.refused.fetch_add(1, Ordering::Relaxed);
                done.refused.push(Refused {
                    key: keys[0].clone(),
                    reason: error.to_string(),
                });
                give_up_on_many(run, &done)?;
            }
            Err(StoreError::Rejected { .. }) => {
                // The first half may be in by the time that the second comes.
                how = how.not_empty();
                let half = rows.len() / 2;
                // The first half is on top: rows that point to earlier ones find them.
                parts.push((&keys[half..], &rows[half..]));
                parts.push((&keys[..half], &rows[..half]));
            }
            Err(error) => return Err(error).during("copying", run.map()),
        }
    }
    crash::at(Point::ChunkInserted);
    Ok(done)
}

/// What is known of the place that the rows go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// The target has no row between the first and the last.
    IntoEmpty,
    /// It may have some of them.
    Absent,
    /// It is the primary.
    CopyUp,
}

impl How {
    fn not_empty(self) -> How {
        match self {
            How::IntoEmpty | How::Absent => How::Absent,
            How::CopyUp => How::CopyUp,
        }
    }
}

async fn put(run: &Run, how: How, rows: &[Row]) -> Result<u64, StoreError> {
    match how {
        How::IntoEmpty => run.target().copy_into_empty(run.map(), rows).await,
        How::Absent => run.target().insert_absent(run.map(), rows).await,
        How::CopyUp => run.target().copy_up(run.map(), rows).await,
    }
}

/// Before any of this chunk's rows is marked: a million dirty keys would only hide what is wrong.
fn give_up_on_many(run: &Run, done: &Inserted) -> Result<(), Error> {
    let refused = run.refused.load(Ordering::Relaxed);
    let seen = run.meter.seen() + u64::from(run.engine.settings.chunk_rows);
    match done.refused.last() {
        Some(last) if refused >= REFUSED_ROWS && refused >= seen / REFUSED_SHARE => {
            Err(last.clone().into_error(run))
        }
        Some(_) | None => Ok(()),
    }
}
