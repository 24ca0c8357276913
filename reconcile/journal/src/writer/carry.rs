//! Carry-over: what is still alive in the oldest segment is written again into the newest, then the oldest goes.
//!
//! Segments go strictly from the oldest on, each removal durable before the next. So a record that closes or cleans something
//! outlives what it closes. The work is done in small steps between batches: no session waits for a whole segment.

use std::{io, sync::atomic::Ordering};

use crossfade_crash::{self as crash, Point};

use super::log::Log;
use crate::{
    OpenError,
    codec::{Keys, Malformed, Record, each_record, put_bytes, put_varint},
    segment::SegmentReader,
    shared::{Core, Shared},
    table::Entry,
};

/// Bytes of the old segment looked at in one step, at least one batch.
const STEP_BYTES: u64 = 64 << 10;

/// The carry-over of one segment.
pub(super) struct Carry {
    reader: SegmentReader,
    payload: Vec<u8>,
    key: Vec<u8>,
    /// Where its last batch ends.
    end: u64,
    /// Set when all was read: the segment can go when this ticket is durable.
    last_ticket: Option<u64>,
}

impl Carry {
    pub(super) fn of_oldest(log: &Log) -> io::Result<Option<Carry>> {
        let Some((path, end)) = log.oldest() else {
            return Ok(None);
        };
        let reader = SegmentReader::open(&path).map_err(|error| match error {
            OpenError::Io { source, .. } => source,
            other => io::Error::other(other),
        })?;
        Ok(Some(Carry {
            reader,
            payload: Vec::new(),
            key: Vec::new(),
            end,
            last_ticket: None,
        }))
    }

    /// One step; `true` when the segment is gone.
    pub(super) fn step(&mut self, shared: &Shared, log: &mut Log) -> io::Result<bool> {
        if let Some(ticket) = self.last_ticket {
            if shared.durable.load(Ordering::Acquire) < ticket {
                return Ok(false);
            }
            crash::at(Point::Carried);
            log.drop_oldest()?;
            crash::at(Point::SegmentGone);
            return Ok(true);
        }
        let from = self.reader.offset;
        while self.reader.offset - from < STEP_BYTES {
            if self.reader.offset == self.end {
                self.all_read(shared);
                break;
            }
            if !self.reader.next(&mut self.payload)? {
                // Memory has all of it; the snapshot that ends the poisoned state replaces the damaged file.
                return Err(io::Error::other("a sealed segment was damaged on the disk"));
            }
            let mut core = shared.lock_core();
            let (payload, key) = (&self.payload, &mut self.key);
            each_record(payload, |record| {
                carry_record(shared, &mut core, record, key)
            })
            .map_err(io::Error::other)?;
        }
        crash::at(Point::CarryStep);
        Ok(false)
    }

    /// What was carried must be on the disk before the segment goes; an empty batch would do no harm.
    fn all_read(&mut self, shared: &Shared) {
        let mut core = shared.lock_core();
        if core.has_pending() {
            self.last_ticket = Some(core.ticket);
            core.urgent = true;
        } else {
            self.last_ticket = Some(core.ticket - 1);
        }
    }
}

fn carry_record(
    shared: &Shared,
    core: &mut Core,
    record: Record<'_>,
    scratch: &mut Vec<u8>,
) -> Result<(), Malformed> {
    match record {
        // Each segment defines all tables, and what closes or cleans closes nothing that is later.
        Record::Table { .. } | Record::Close { .. } | Record::Clean { .. } => Ok(()),
        Record::Intent { id, .. } => {
            if core.open.contains(id) {
                core.log(&record);
            }
            Ok(())
        }
        Record::Mark {
            generation, keys, ..
        } => {
            let mut generation = generation;
            keys.each(|table, key| {
                let alive = shared.registry.entry(table, key);
                if let Some(entry) = alive.filter(|entry| entry.generation == generation) {
                    log_mark(core, entry, table, key, scratch);
                }
                generation += 1;
            })
        }
    }
}

fn log_mark(core: &mut Core, entry: Entry, table: u32, key: &[u8], scratch: &mut Vec<u8>) {
    scratch.clear();
    put_mark(scratch, table, key);
    let keys = Keys {
        count: 1,
        section: scratch,
    };
    let Entry {
        generation,
        since_s,
        reason,
        stale,
        ..
    } = entry;
    core.log(&Record::Mark {
        generation,
        reason,
        stale,
        since_s,
        keys,
    });
}

/// One key of a list.
pub(super) fn put_mark(section: &mut Vec<u8>, table: u32, key: &[u8]) {
    put_varint(section, table.into());
    put_bytes(section, key);
}
