//! A snapshot: everything alive in one new file, which replaces all segments before it.
//!
//! It is taken while memory goes on changing. First, under the lock, the open intents are copied and records begin to queue up
//! for the segment after the snapshot; then the dirty keys are read bit by bit. What changes meanwhile is queued, and
//! replaying it over the snapshot gives the same state. Intents come first: one that becomes dirty meanwhile stands in the
//! snapshot as open, so that a crash before the queue is written loses nothing.

use std::{fs::File, io};

use crossfade_crash::{self as crash, Point};

use super::{
    carry::put_mark,
    log::{Log, header},
};
use crate::{
    codec::{Keys, Record},
    frame::{FRAME_HEADER, seal},
    segment::{SEGMENT_HEADER, SNAPSHOT, file_name, number_of},
    shared::{Mode, Shared},
    table::Table,
};

/// Size at which a batch of the snapshot is written, in bytes. Small, since carry-over handles a batch under the lock.
const BATCH_BYTES: usize = 64 << 10;
/// Dirty keys read from a table at a time.
const PAGE_KEYS: usize = 1024;

/// Writes the snapshot and begins a segment after it.
pub(super) fn establish(shared: &Shared, log: &mut Log) -> io::Result<()> {
    let intents = begin(shared);
    let number = log.take_number();
    let mut snapshot = Snapshot {
        file: log.disk.create(SNAPSHOT)?,
        number,
        first_seq: log.next_seq,
        offset: SEGMENT_HEADER,
        batch: vec![0; FRAME_HEADER],
        log,
    };
    shared.registry.put_definitions(&mut snapshot.batch);
    snapshot.batch.extend_from_slice(&intents);
    for table in shared.registry.tables() {
        snapshot.put_table(&table)?;
    }
    let (bytes, log) = snapshot.seal_all(shared)?;
    crash::at(Point::SnapshotNamed);
    log.restart_from(number, bytes);
    remove_before(log, number)?;
    crash::at(Point::SnapshotAlone);
    log.rotate(shared)
}

/// From here on records queue up; gives the records of the intents open at this moment.
fn begin(shared: &Shared) -> Vec<u8> {
    let mut core = shared.lock_core();
    core.mode = Mode::Recovering;
    core.pending.truncate(FRAME_HEADER);
    let mut records = Vec::new();
    for (id, intent) in core.open.iter() {
        let keys = Keys {
            count: intent.count,
            section: &intent.section,
        };
        Record::Intent {
            id,
            target: intent.target,
            keys,
        }
        .put(&mut records);
    }
    records
}

struct Snapshot<'a> {
    log: &'a mut Log,
    file: File,
    number: u64,
    first_seq: u64,
    offset: u64,
    batch: Vec<u8>,
}

impl<'a> Snapshot<'a> {
    fn put_table(&mut self, table: &Table) -> io::Result<()> {
        let mut section = Vec::new();
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let page = table.page(after.as_deref(), PAGE_KEYS);
            for (key, entry) in &page {
                section.clear();
                put_mark(&mut section, table.number, key);
                let (generation, since_s) = (entry.generation, entry.since_s);
                let (reason, stale) = (entry.reason, entry.stale);
                let keys = Keys {
                    count: 1,
                    section: &section,
                };
                Record::Mark {
                    generation,
                    reason,
                    stale,
                    since_s,
                    keys,
                }
                .put(&mut self.batch);
            }
            if self.batch.len() >= BATCH_BYTES {
                self.write_batch()?;
            }
            match page.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    fn write_batch(&mut self) -> io::Result<()> {
        let seq = self.log.take_seq();
        seal(&mut self.batch, self.number, seq)?;
        self.log
            .disk
            .write_at(&self.file, &self.batch, self.offset)?;
        self.offset += self.batch.len() as u64;
        self.batch.truncate(FRAME_HEADER);
        crash::at(Point::SnapshotBegun);
        Ok(())
    }

    /// The snapshot counts from the moment it has its name.
    fn seal_all(mut self, shared: &Shared) -> io::Result<(u64, &'a mut Log)> {
        self.write_batch()?;
        let header = header(shared, self.number, self.first_seq, self.log.next_seq);
        self.log.disk.write_at(&self.file, &header.encode(), 0)?;
        self.log.disk.sync(&self.file)?;
        crash::at(Point::SnapshotWritten);
        self.log.disk.rename(SNAPSHOT, &file_name(self.number))?;
        Ok((self.offset, self.log))
    }
}

/// Removes what the snapshot replaced. In any order: replay begins at the last snapshot.
fn remove_before(log: &Log, number: u64) -> io::Result<()> {
    for entry in std::fs::read_dir(log.disk.path("."))? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if number_of(name).is_some_and(|old| old < number) {
            std::fs::remove_file(log.disk.path(name))?;
        }
    }
    log.disk.sync_dir()
}
