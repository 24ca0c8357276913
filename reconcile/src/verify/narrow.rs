//! From a chunk whose checksums differ down to rows.

use std::collections::HashMap;

use crossfade_phase::Side;
use crossfade_store::{Form, Key, KeyRange, Row};

use super::Run;
use crate::{Error, error::During as _};

/// A range of so many rows is read instead of halved again.
const LEAF_ROWS: u32 = 256;

/// Compares one chunk.
pub(super) async fn compare(run: &Run, chunk: KeyRange) -> Result<(), Error> {
    let (old, new) = (&run.engine.stores.old, &run.engine.stores.new);
    let mut ranges = vec![chunk];
    while let Some(range) = ranges.pop() {
        let (old, new) = tokio::join!(old.digest(run.map(), &range), new.digest(run.map(), &range));
        let (old, new) = (
            old.during("comparing", run.map())?,
            new.during("comparing", run.map())?,
        );
        if old.rows == new.rows && old.sum == new.sum {
            run.meter.add(old.rows, 0, false);
            continue;
        }
        let (fuller, most) = if old.rows >= new.rows {
            (Side::Old, old.rows)
        } else {
            (Side::New, new.rows)
        };
        match half(run, &range, fuller, most).await? {
            Some(mid) => {
                ranges.push(KeyRange {
                    after: Some(mid.clone()),
                    upto: range.upto,
                });
                ranges.push(KeyRange {
                    after: range.after,
                    upto: Some(mid),
                });
            }
            None => compare_rows(run, range).await?,
        }
    }
    Ok(())
}

/// The key in the middle of a range that is worth halving. By the side that has more rows, so that rows that only one has are found
/// as quickly.
async fn half(run: &Run, range: &KeyRange, side: Side, rows: u64) -> Result<Option<Key>, Error> {
    if rows <= u64::from(LEAF_ROWS) {
        return Ok(None);
    }
    let nth = u32::try_from(rows / 2).unwrap_or(u32::MAX);
    let mid = run
        .engine
        .stores
        .on(side)
        .nth_key(run.map(), range, nth)
        .await
        .during("comparing", run.map())?;
    // Rows may have gone since they were counted.
    Ok(mid.filter(|mid| range.upto.as_ref() != Some(mid)))
}

/// Compares row by row: a page of the side that is right, then what the other has between its ends.
async fn compare_rows(run: &Run, mut range: KeyRange) -> Result<(), Error> {
    let truth = run.scope.truth();
    loop {
        let page = read(run, truth, &range).await?;
        let full = page.len() >= LEAF_ROWS as usize;
        let last = page.last().map(|(key, _)| key.clone()).filter(|_| full);
        let mut within = KeyRange {
            after: range.after.take(),
            upto: last.clone().or_else(|| range.upto.clone()),
        };
        let rows = page.len() as u64;
        let mut right: HashMap<Key, Row> = page.into_iter().collect();
        let mut suspects = Vec::new();
        loop {
            let others = read(run, truth.other(), &within).await?;
            let more = others.len() >= LEAF_ROWS as usize;
            within.after = others.last().map(|(key, _)| key.clone());
            for (key, other) in others {
                let right = right.remove(&key);
                if differ(run, right.as_ref(), Some(&other)) {
                    suspects.push(key);
                }
            }
            if !more {
                break;
            }
            run.suspect(std::mem::take(&mut suspects)).await?;
        }
        suspects.extend(
            right
                .into_iter()
                .filter(|(_, row)| differ(run, Some(row), None))
                .map(|(key, _)| key),
        );
        run.suspect(suspects).await?;
        run.meter.add(rows, 0, false);
        match last {
            Some(last) => range.after = Some(last),
            None => return Ok(()),
        }
    }
}

fn differ(run: &Run, right: Option<&Row>, other: Option<&Row>) -> bool {
    let (old, new) = match run.scope.truth() {
        Side::Old => (right, other),
        Side::New => (other, right),
    };
    run.scope.judge(run.map(), old, new).is_some()
}

async fn read(run: &Run, side: Side, range: &KeyRange) -> Result<Vec<(Key, Row)>, Error> {
    let rows = run
        .engine
        .stores
        .on(side)
        .scan(run.map(), range, LEAF_ROWS, Form::Comparable)
        .await;
    let rows = rows.during("comparing", run.map())?;
    let null = || Error::NullKey {
        table: run.map().old.name.to_string(),
        side,
    };
    rows.into_iter()
        .map(|row| Ok((run.map().key_of(&row).ok_or_else(null)?, row)))
        .collect()
}
