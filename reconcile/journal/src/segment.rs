//! Segment files: a header, then batches back to back.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use crate::{
    OpenError,
    disk::Disk,
    frame::{ALIGN, FRAME_HEADER, FrameHead},
};

/// Bytes before the first batch.
pub(crate) const SEGMENT_HEADER: u64 = 64;
/// Format of segment files that this release writes.
pub(crate) const FORMAT: u32 = 1;
/// Name of a file that is ready to become the next segment.
pub(crate) const SPARE: &str = "spare.log";
/// Name of a snapshot that is not complete yet.
pub(crate) const SNAPSHOT: &str = "snapshot.tmp";

const MAGIC: [u8; 8] = *b"CFsegmnt";
/// Zeros written at a time when a file is prepared, in bytes.
const ZEROS: usize = 256 << 10;

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SegmentHeader {
    /// Counts up from 1; part of the file's name and of each checksum.
    pub(crate) number: u64,
    /// Number of its first batch.
    pub(crate) first_seq: u64,
    /// For a snapshot, which replaces all earlier segments: number after its last batch. 0 for an ordinary segment.
    pub(crate) end_seq: u64,
    /// An identity that no intent so far has.
    pub(crate) next_id: u64,
    /// A generation that no mark so far has.
    pub(crate) next_generation: u64,
}

impl SegmentHeader {
    /// Whether everything before this segment is void.
    pub(crate) fn is_snapshot(&self) -> bool {
        self.end_seq != 0
    }

    pub(crate) fn encode(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        let words = [
            self.number,
            self.first_seq,
            self.end_seq,
            self.next_id,
            self.next_generation,
        ];
        for (slot, word) in bytes[16..56].chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[0..56]);
        bytes[56..60].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; 64], path: &Path) -> Result<SegmentHeader, OpenError> {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let corrupt = |what: &str| OpenError::Corrupt {
            path: path.into(),
            offset: 0,
            what: what.into(),
        };
        // No crash leaves this, not even of the newest: a segment gets its name when its header is on the disk (`Log::rotate`).
        if bytes[0..8] != MAGIC {
            return Err(corrupt("this is not a journal segment"));
        }
        let format = word(8) & 0xffff_ffff;
        if format > u64::from(FORMAT) {
            let known = u64::from(FORMAT);
            return Err(OpenError::FutureVersion {
                path: path.into(),
                found: format,
                known,
            });
        }
        if word(56) & 0xffff_ffff != u64::from(crc32fast::hash(&bytes[0..56])) {
            return Err(corrupt("the header's checksum is wrong"));
        }
        Ok(SegmentHeader {
            number: word(16),
            first_seq: word(24),
            end_seq: word(32),
            next_id: word(40),
            next_generation: word(48),
        })
    }
}

/// The file of a segment.
pub(crate) fn file_name(number: u64) -> String {
    format!("segment-{number:010}.log")
}

/// The number in a segment's file name.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("segment-")?
        .strip_suffix(".log")?
        .parse()
        .ok()
}

/// Makes a file of zeros, durable. Overwriting in place later spares each flush the journalling of a new file size.
pub(crate) fn prepare(disk: &Disk, name: &str, bytes: u64) -> io::Result<File> {
    let file = disk.create(name)?;
    let zeros = vec![0; ZEROS];
    let mut at = 0;
    while at < bytes {
        let step = usize::try_from(bytes - at).unwrap_or(ZEROS).min(ZEROS);
        disk.write_at(&file, &zeros[..step], at)?;
        at += step as u64;
    }
    disk.sync(&file)?;
    Ok(file)
}

/// Reads the batches of one segment in order.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    file: File,
    pub(crate) header: SegmentHeader,
    /// Size of the file, in bytes.
    size: u64,
    /// Where the next batch should start.
    pub(crate) offset: u64,
    /// The number it should have.
    pub(crate) seq: u64,
}

impl SegmentReader {
    pub(crate) fn open(path: &Path) -> Result<SegmentReader, OpenError> {
        let file = File::open(path).map_err(OpenError::io("open", path))?;
        let size = file.metadata().map_err(OpenError::io("read", path))?.len();
        let mut bytes = [0; 64];
        file.read_exact_at(&mut bytes, 0)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => OpenError::Corrupt {
                    path: path.into(),
                    offset: 0,
                    what: "the file is shorter than its header".into(),
                },
                _other => OpenError::io("read", path)(error),
            })?;
        let header = SegmentHeader::decode(&bytes, path)?;
        Ok(SegmentReader {
            file,
            header,
            size,
            offset: SEGMENT_HEADER,
            seq: header.first_seq,
        })
    }

    /// Reads the records of the next batch into `payload`; `false` where no valid one follows.
    pub(crate) fn next(&mut self, payload: &mut Vec<u8>) -> io::Result<bool> {
        let mut bytes = [0; FRAME_HEADER];
        if self.offset + FRAME_HEADER as u64 > self.size {
            return Ok(false);
        }
        self.file.read_exact_at(&mut bytes, self.offset)?;
        let Some(head) = FrameHead::read(&bytes).filter(|head| head.seq == self.seq) else {
            return Ok(false);
        };
        let start = self.offset + FRAME_HEADER as u64;
        let Some(len) = usize::try_from(head.len)
            .ok()
            .filter(|_| start + u64::from(head.len) <= self.size)
        else {
            return Ok(false);
        };
        payload.clear();
        payload.resize(len, 0);
        self.file.read_exact_at(payload, start)?;
        if !head.matches(self.header.number, payload) {
            return Ok(false);
        }
        self.offset += head.stride();
        self.seq += 1;
        Ok(true)
    }

    /// Looks past the end for a batch of this segment that is whole: where, if there is one.
    ///
    /// A batch is written only after the one before it was flushed. So a whole one behind a broken one means that the
    /// broken one was whole once.
    pub(crate) fn whole_batch_behind(&self) -> io::Result<Option<u64>> {
        let rest = usize::try_from(self.size.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; rest];
        self.file.read_exact_at(&mut bytes, self.offset)?;
        let found = (0..rest).step_by(ALIGN).skip(1).find(|&at| {
            let Some(head) = FrameHead::read(&bytes[at..]).filter(|head| head.seq > self.seq)
            else {
                return false;
            };
            let start = at + FRAME_HEADER;
            usize::try_from(head.len)
                .ok()
                .and_then(|len| bytes.get(start..start.checked_add(len)?))
                .is_some_and(|payload| head.matches(self.header.number, payload))
        });
        Ok(found.map(|at| self.offset + at as u64))
    }

    /// Whether a batch was begun at the end and not finished.
    pub(crate) fn is_torn(&self) -> io::Result<bool> {
        let mut bytes = [0; FRAME_HEADER];
        if self.offset + FRAME_HEADER as u64 > self.size {
            return Ok(false);
        }
        self.file.read_exact_at(&mut bytes, self.offset)?;
        Ok(FrameHead::read(&bytes).is_some_and(|head| head.seq == self.seq))
    }
}
