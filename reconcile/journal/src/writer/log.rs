//! The segments of a running journal: one that is written, sealed ones before it, a spare one.

use std::{collections::VecDeque, fs::File, io, path::PathBuf, sync::mpsc, thread};

use crossfade_crash::{self as crash, Point};

use crate::{
    disk::Disk,
    frame::{ALIGN, FRAME_HEADER, seal},
    replay::Found,
    segment::{SEGMENT_HEADER, SPARE, SegmentHeader, file_name, prepare},
    shared::Shared,
};

/// The log may be this many segments longer than twice what is alive in it before the oldest is carried over.
const SLACK_SEGMENTS: u64 = 4;

/// All segments.
pub(crate) struct Log {
    pub(super) disk: Disk,
    segment_bytes: u64,
    active: Option<Active>,
    /// (number, bytes), oldest first.
    sealed: VecDeque<(u64, u64)>,
    next_number: u64,
    pub(super) next_seq: u64,
    spare: Spare,
}

/// The segment that is written.
struct Active {
    file: File,
    number: u64,
    offset: u64,
}

/// The next segment's file, made ahead of time.
enum Spare {
    None,
    /// A thread writes its zeros.
    Coming(mpsc::Receiver<io::Result<()>>),
    Ready,
}

impl Log {
    pub(super) fn new(disk: Disk, segment_bytes: u64, found: &Found) -> Log {
        Log {
            disk,
            segment_bytes,
            active: None,
            sealed: VecDeque::new(),
            next_number: found.next_number,
            next_seq: found.next_seq,
            spare: Spare::None,
        }
    }

    /// Writes a batch and waits until it is on the disk.
    pub(super) fn append(&mut self, shared: &Shared, batch: &mut Vec<u8>) -> io::Result<()> {
        let room = self
            .active
            .as_ref()
            .map(|active| self.segment_bytes.saturating_sub(active.offset));
        let needs = (batch.len() + ALIGN) as u64;
        if room.is_none_or(|room| needs > room) {
            self.rotate(shared)?;
        }
        let seq = self.take_seq();
        let Some(active) = &mut self.active else {
            return Err(io::Error::other("no segment"));
        };
        seal(batch, active.number, seq)?;
        crash::torn(Point::JournalTorn, batch, |half| {
            // The process ends: there is nobody left to tell.
            let _ = self.disk.write_at(&active.file, half, active.offset);
        });
        self.disk.write_at(&active.file, batch, active.offset)?;
        crash::at(Point::JournalWritten);
        self.disk.sync(&active.file)?;
        crash::at(Point::JournalFlushed);
        active.offset += batch.len() as u64;
        Ok(())
    }

    /// Seals the active segment and begins the next. Its first batch defines all tables, so that no segment needs an earlier one.
    pub(super) fn rotate(&mut self, shared: &Shared) -> io::Result<()> {
        let number = self.take_number();
        let first_seq = self.take_seq();
        let header = header(shared, number, first_seq, 0);
        let mut batch = vec![0; FRAME_HEADER];
        shared.registry.put_definitions(&mut batch);
        seal(&mut batch, number, first_seq)?;
        let file = self.spare_file()?;
        self.disk.write_at(&file, &header.encode(), 0)?;
        self.disk.write_at(&file, &batch, SEGMENT_HEADER)?;
        self.disk.sync(&file)?;
        crash::at(Point::SegmentWritten);
        self.disk.rename(SPARE, &file_name(number))?;
        crash::at(Point::SegmentNamed);
        if let Some(sealed) = self.active.take() {
            self.sealed.push_back((sealed.number, sealed.offset));
        }
        self.active = Some(Active {
            file,
            number,
            offset: SEGMENT_HEADER + batch.len() as u64,
        });
        Ok(())
    }

    fn spare_file(&mut self) -> io::Result<File> {
        let ready = match std::mem::replace(&mut self.spare, Spare::None) {
            Spare::None => false,
            Spare::Ready => true,
            Spare::Coming(outcome) => matches!(outcome.recv(), Ok(Ok(()))),
        };
        if ready {
            return File::options()
                .read(true)
                .write(true)
                .open(self.disk.path(SPARE));
        }
        prepare(&self.disk, SPARE, self.segment_bytes)
    }

    /// Has the next segment's zeros written beside the work once half of this one is full, so that no session waits for them.
    pub(super) fn order_spare(&mut self) {
        let half_full = |active: &Active| active.offset > self.segment_bytes / 2;
        if !matches!(self.spare, Spare::None) || !self.active.as_ref().is_some_and(half_full) {
            return;
        }
        let (tell, outcome) = mpsc::channel();
        let (disk, bytes) = (self.disk.clone(), self.segment_bytes);
        let work = move || {
            // Nobody listens when the journal was closed meanwhile.
            let _ = tell.send(prepare(&disk, SPARE, bytes).map(drop));
        };
        if thread::Builder::new()
            .name("journal-spare".into())
            .spawn(work)
            .is_ok()
        {
            self.spare = Spare::Coming(outcome);
        }
    }

    /// Forgets the active segment: it is never written again.
    pub(super) fn abandon(&mut self) {
        self.active = None;
    }

    /// A snapshot has replaced everything before it.
    pub(super) fn restart_from(&mut self, number: u64, bytes: u64) {
        self.active = None;
        self.sealed = VecDeque::from([(number, bytes)]);
    }

    pub(super) fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    pub(super) fn take_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// Whether so much of the log is dead that the oldest segment should go.
    pub(super) fn wants_carry(&self, shared: &Shared) -> bool {
        let active = self.active.as_ref().map_or(0, |active| active.offset);
        let total: u64 = active + self.sealed.iter().map(|(_, bytes)| bytes).sum::<u64>();
        let slack = SLACK_SEGMENTS * self.segment_bytes;
        if self.sealed.is_empty() || total <= slack {
            return false;
        }
        let open = shared.lock_core().open.bytes();
        total > 2 * (shared.registry.dirty_bytes() + open) + slack
    }

    /// The oldest segment, and where its last batch ends.
    pub(super) fn oldest(&self) -> Option<(PathBuf, u64)> {
        let (number, bytes) = self.sealed.front()?;
        Some((self.disk.path(&file_name(*number)), *bytes))
    }

    /// Lets go of the oldest segment, of which nothing is needed any more. Its file becomes the spare one if there is none.
    pub(super) fn drop_oldest(&mut self) -> io::Result<()> {
        let Some((number, _)) = self.sealed.pop_front() else {
            return Ok(());
        };
        let name = file_name(number);
        let path = self.disk.path(&name);
        if matches!(self.spare, Spare::None) && path.metadata()?.len() == self.segment_bytes {
            self.disk.rename(&name, SPARE)?;
            self.spare = Spare::Ready;
            return Ok(());
        }
        self.disk.remove(&name)
    }
}

impl Drop for Log {
    /// Waits for the thread that makes the spare file. Whoever opens the folder next may have turned a file of that name into a segment by the time its zeros are
    /// written: over what was acknowledged meanwhile.
    fn drop(&mut self) {
        if let Spare::Coming(outcome) = std::mem::replace(&mut self.spare, Spare::None) {
            // Whether it succeeded no longer matters.
            let _ = outcome.recv();
        }
    }
}

/// The header of a new segment.
pub(super) fn header(shared: &Shared, number: u64, first_seq: u64, end_seq: u64) -> SegmentHeader {
    let core = shared.lock_core();
    let (next_id, next_generation) = (core.open.unused_id(), core.next_generation);
    SegmentHeader {
        number,
        first_seq,
        end_seq,
        next_id,
        next_generation,
    }
}
