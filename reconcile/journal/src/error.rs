//! What can go wrong with the journal.

use std::{io, path::PathBuf, sync::Arc};

/// Why a folder cannot be opened as a journal.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "state_dir \"{}\" is in use by another process{holder}; one that has just been started or asked to end needs a moment, and two proxies need two folders", dir.display()
    )]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// ` (pid N)`, when the other process said so.
        holder: String,
    },
    /// The journal is kept in the primary.
    #[error(
        "the journal of \"{}\" is kept in the primary, and may have intents and dirty keys there: set journal = \"primary\" in the file, wait until `crossfade status` shows no dirty keys, and end the proxy; then it can be kept in state_dir", dir.display()
    )]
    KeptInPrimary {
        /// The folder.
        dir: PathBuf,
    },
    /// The journal is kept on the disk.
    #[error(
        "the journal in \"{}\" has {dirty} dirty keys on the disk: set journal = \"state_dir\" in the file, wait until `crossfade status` shows none, and end the proxy; then it can be kept in the primary", dir.display()
    )]
    KeptOnDisk {
        /// The folder.
        dir: PathBuf,
        /// How many.
        dirty: usize,
    },
    /// The operating system refused something.
    #[error("cannot {action} \"{}\": {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds what was never written there. Nothing was changed.
    #[error(
        "journal file \"{}\" is damaged at byte {offset}: {what}; intents and dirty keys after that point cannot be read. Restore the folder from a copy, or move it away, start with an empty one in phase 2, and verify every table before going on", path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A file that must be there is not.
    #[error(
        "\"{}\" is missing although the journal needs it ({why}). Restore the folder from a copy, or move it away, start with an empty one in phase 2, and verify every table before going on", path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// Why it must have been there.
        why: &'static str,
    },
    /// Written by a later release.
    #[error("\"{}\" has format {found}, this release reads up to {known}: start the release that wrote it", path.display())]
    FutureVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The last version this release knows.
        known: u64,
    },
}

impl OpenError {
    /// An error of the operating system.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> OpenError {
        let path = path.into();
        move |source| OpenError::Io {
            action,
            path,
            source,
        }
    }
}

/// Why the journal does not take a write. A dual phase must then refuse the client's write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A write or a flush failed; nothing is taken until [`Journal::try_recover`](crate::Journal::try_recover) succeeds.
    #[error("the journal cannot be written: {reason}")]
    Unwritable {
        /// What the system said, and about which file.
        reason: Arc<str>,
    },
    /// Too many keys are dirty or open.
    #[error(
        "the journal is full: {keys} keys are waiting for repair, {limit} is the most it holds; repair the secondary or leave the dual phases"
    )]
    Full {
        /// Keys dirty or in open intents.
        keys: usize,
        /// The limit.
        limit: usize,
    },
    /// One transaction names more keys than a record can hold.
    #[error("one transaction changes too many keys for the journal ({bytes} bytes of keys)")]
    TooLarge {
        /// Size of the record.
        bytes: usize,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

/// Why a state file could not be written. What it held before still stands.
#[derive(Debug, thiserror::Error)]
#[error("cannot write \"{}\": {source}", path.display())]
pub struct StateError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}
