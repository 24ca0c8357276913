//! Reading the log on start.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crossfade_phase::Side;

use crate::{
    OpenError, Reason, Stale,
    codec::{Keys, Malformed, Record, each_record},
    segment::{SegmentReader, number_of},
    shared::Shared,
    table::Entry,
};

/// Where the log goes on.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) next_number: u64,
    pub(crate) next_seq: u64,
    /// Whether there was any segment.
    pub(crate) any: bool,
}

/// Open intents by identity: store, number of keys, keys.
type Open = HashMap<u64, (Side, u32, Vec<u8>)>;

/// Reads all segments into memory; open intents become dirty keys (trap 3).
pub(crate) fn replay(dir: &Path, shared: &Shared) -> Result<Found, OpenError> {
    let numbers = segment_numbers(dir)?;
    let mut found = Found {
        next_number: 1,
        next_seq: 1,
        any: !numbers.is_empty(),
    };
    let Some(&newest) = numbers.last() else {
        return Ok(found);
    };
    let mut open = Open::new();
    let mut payload = Vec::new();
    let mut expected_seq = None;
    for mut reader in live_segments(dir, &numbers)? {
        let path = path_of(dir, reader.header.number);
        if expected_seq.is_some_and(|seq| seq != reader.seq) {
            return Err(missing_batches(
                dir,
                reader.header.number - 1,
                &mut payload,
            )?);
        }
        raise_counters(shared, &reader);
        while reader
            .next(&mut payload)
            .map_err(OpenError::io("read", &path))?
        {
            each_record(&payload, |record| apply(shared, &mut open, record)).map_err(
                |Malformed| {
                    corrupt(
                        &path,
                        reader.offset,
                        "the batch before this byte holds a record that makes no sense",
                    )
                },
            )?;
        }
        check_end(&path, &reader, reader.header.number == newest)?;
        expected_seq = Some(reader.seq);
        found.next_seq = reader.seq;
    }
    found.next_number = newest + 1;
    // A batch that was cut may have used its number already.
    found.next_seq += 1;
    mark_open(shared, open);
    Ok(found)
}

pub(crate) fn segment_numbers(dir: &Path) -> Result<Vec<u64>, OpenError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(OpenError::io("list", dir))? {
        let entry = entry.map_err(OpenError::io("list", dir))?;
        numbers.extend(entry.file_name().to_str().and_then(number_of));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(crate::segment::file_name(number))
}

/// The segments from the last snapshot on, oldest first.
fn live_segments(dir: &Path, numbers: &[u64]) -> Result<Vec<SegmentReader>, OpenError> {
    let mut readers: Vec<SegmentReader> = Vec::new();
    for &number in numbers.iter().rev() {
        let path = path_of(dir, number);
        let reader = SegmentReader::open(&path)?;
        if reader.header.number != number {
            return Err(corrupt(&path, 0, "the file belongs to another segment"));
        }
        if readers
            .last()
            .is_some_and(|later| later.header.number != number + 1)
        {
            let why = "the segments before and after it are there";
            return Err(OpenError::Missing {
                path: path_of(dir, number + 1),
                why,
            });
        }
        let is_snapshot = reader.header.is_snapshot();
        readers.push(reader);
        if is_snapshot {
            break;
        }
    }
    readers.reverse();
    Ok(readers)
}

fn raise_counters(shared: &Shared, reader: &SegmentReader) {
    let mut core = shared.lock_core();
    core.open
        .start_after(reader.header.next_id.saturating_sub(1));
    core.next_generation = core.next_generation.max(reader.header.next_generation);
}

/// Tells a torn end from damage.
fn check_end(path: &Path, reader: &SegmentReader, newest: bool) -> Result<(), OpenError> {
    let header = &reader.header;
    if header.is_snapshot() {
        if reader.seq == header.end_seq {
            return Ok(());
        }
        return Err(corrupt(
            path,
            reader.offset,
            "a batch of the snapshot is damaged",
        ));
    }
    if !newest {
        return Ok(());
    }
    let behind = reader
        .whole_batch_behind()
        .map_err(OpenError::io("read", path))?;
    if let Some(at) = behind {
        let what = format!("this batch is damaged, and a later one at byte {at} is whole");
        return Err(corrupt(path, reader.offset, &what));
    }
    if reader.is_torn().map_err(OpenError::io("read", path))? {
        let (file, offset) = (path.display(), reader.offset);
        tracing::warn!(%file, offset, "cut a batch that was never completed; nobody was told that it was durable");
    }
    Ok(())
}

/// The segment before ended too early: says where.
fn missing_batches(dir: &Path, number: u64, payload: &mut Vec<u8>) -> Result<OpenError, OpenError> {
    let path = path_of(dir, number);
    let mut reader = SegmentReader::open(&path)?;
    while reader.next(payload).map_err(OpenError::io("read", &path))? {}
    let what = "this batch is damaged, and the next segment shows that it was whole";
    Ok(corrupt(&path, reader.offset, what))
}

fn corrupt(path: &Path, offset: u64, what: &str) -> OpenError {
    OpenError::Corrupt {
        path: path.into(),
        offset,
        what: what.into(),
    }
}

fn apply(shared: &Shared, open: &mut Open, record: Record<'_>) -> Result<(), Malformed> {
    match record {
        Record::Table {
            number,
            toggle,
            table,
        } => {
            let defined = shared.registry.define(toggle, table);
            if defined.number == number {
                Ok(())
            } else {
                Err(Malformed)
            }
        }
        Record::Intent { id, target, keys } => {
            keys.each(|_, _| ())?;
            open.insert(id, (target, keys.count, keys.section.to_vec()));
            shared.lock_core().open.start_after(id);
            Ok(())
        }
        Record::Close { id } => {
            open.remove(&id);
            Ok(())
        }
        Record::Mark {
            generation,
            reason,
            stale,
            since_s,
            keys,
        } => {
            let mut core = shared.lock_core();
            core.next_generation = core.next_generation.max(generation + u64::from(keys.count));
            shared.registry.mark(
                keys,
                Entry {
                    generation,
                    since_s,
                    attempts: 0,
                    reason,
                    stale,
                },
            )
        }
        Record::Clean {
            generation,
            table,
            key,
        } => {
            let table = shared.registry.by_number(table).ok_or(Malformed)?;
            shared.registry.clean(&table, key, generation);
            Ok(())
        }
    }
}

fn mark_open(shared: &Shared, open: Open) {
    if open.is_empty() {
        return;
    }
    let mut core = shared.lock_core();
    let (intents, mut keys) = (open.len(), 0);
    for (target, count, section) in open.into_values() {
        keys += count;
        let list = Keys {
            count,
            section: &section,
        };
        shared.mark_in(&mut core, Stale::only(target), list, Reason::ProxyStopped);
    }
    tracing::warn!(
        intents,
        keys,
        "transactions were between their two commits when the proxy stopped; their keys are repaired"
    );
}
