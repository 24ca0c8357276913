//! One batch of records with its checksum: the unit that becomes durable at once.
//!
//! The checksum covers the number of the segment too. So a segment file that is used again needs no erasing: what it held
//! under its former number is not valid under the new one. Batches are numbered without gaps over all segments, which
//! is how a damaged end of a sealed segment is told from its regular end.

use std::io;

/// Bytes before the records of a batch.
pub(crate) const FRAME_HEADER: usize = 24;
/// Batches start at multiples of this.
pub(crate) const ALIGN: usize = 8;

const MAGIC: [u8; 4] = *b"CFjb";

/// What the header of a batch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHead {
    /// Bytes of records that follow.
    pub(crate) len: u32,
    /// Number of the batch.
    pub(crate) seq: u64,
    crc: u32,
}

/// Completes a buffer that has room for the header in front, and pads it.
pub(crate) fn seal(buf: &mut Vec<u8>, segment: u64, seq: u64) -> io::Result<()> {
    let len = u32::try_from(buf.len() - FRAME_HEADER)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a batch is over 4 GiB"))?;
    let crc = checksum(segment, seq, len, &buf[FRAME_HEADER..]);
    buf[0..4].copy_from_slice(&MAGIC);
    buf[4..8].copy_from_slice(&len.to_le_bytes());
    buf[8..16].copy_from_slice(&seq.to_le_bytes());
    buf[16..20].copy_from_slice(&crc.to_le_bytes());
    buf.resize(buf.len().next_multiple_of(ALIGN), 0);
    Ok(())
}

impl FrameHead {
    /// Reads a header; `None` when these bytes are none.
    pub(crate) fn read(bytes: &[u8]) -> Option<FrameHead> {
        let word = |at: usize| {
            bytes
                .get(at..at + 4)?
                .try_into()
                .ok()
                .map(u32::from_le_bytes)
        };
        let seq = u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
        (bytes.get(0..4)? == MAGIC && word(20)? == 0).then_some(FrameHead {
            len: word(4)?,
            seq,
            crc: word(16)?,
        })
    }

    /// Whether `payload` is what was written under this header in this segment.
    pub(crate) fn matches(&self, segment: u64, payload: &[u8]) -> bool {
        self.crc == checksum(segment, self.seq, self.len, payload)
    }

    /// Bytes from this batch's start to the next one's.
    pub(crate) fn stride(&self) -> u64 {
        let bytes = FRAME_HEADER as u64 + u64::from(self.len);
        bytes.next_multiple_of(ALIGN as u64)
    }
}

fn checksum(segment: u64, seq: u64, len: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut head = [0; 20];
    head[0..8].copy_from_slice(&segment.to_le_bytes());
    head[8..16].copy_from_slice(&seq.to_le_bytes());
    head[16..20].copy_from_slice(&len.to_le_bytes());
    hasher.update(&head);
    hasher.update(payload);
    hasher.finalize()
}
