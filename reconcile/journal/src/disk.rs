//! The few things the journal asks of the disk, with a place for tests to make them fail.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

/// What a test makes fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    None = 0,
    #[cfg_attr(not(test), allow(dead_code, reason = "set by tests only"))]
    Write = 1,
    #[cfg_attr(not(test), allow(dead_code, reason = "set by tests only"))]
    Sync = 2,
    /// Not fail: new files take their time.
    #[cfg_attr(not(test), allow(dead_code, reason = "set by tests only"))]
    SlowCreate = 3,
}

/// How long a file takes under [`Fault::SlowCreate`].
pub(crate) const SLOW: Duration = Duration::from_millis(100);

/// The folder of the journal.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    dir: PathBuf,
    fault: Arc<AtomicU8>,
}

impl Disk {
    pub(crate) fn new(dir: &Path) -> Disk {
        Disk {
            dir: dir.to_owned(),
            fault: Arc::new(AtomicU8::new(Fault::None as u8)),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    #[cfg_attr(not(test), allow(dead_code, reason = "called by tests only"))]
    pub(crate) fn inject(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::Relaxed);
    }

    /// Creates an empty file, over whatever had that name.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        self.check(Fault::Write, io::ErrorKind::StorageFull)?;
        if self.has(Fault::SlowCreate) {
            std::thread::sleep(SLOW);
        }
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.path(name))
    }

    pub(crate) fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check(Fault::Write, io::ErrorKind::StorageFull)?;
        file.write_all_at(bytes, offset)
    }

    /// Waits until the file's content is on the disk.
    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        self.check(Fault::Sync, io::ErrorKind::Other)?;
        file.sync_data()
    }

    /// Renames, and waits until the folder's entries are on the disk.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))?;
        self.sync_dir()
    }

    /// Removes, and waits until the folder's entries are on the disk.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.sync_dir(),
        }
    }

    pub(crate) fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn check(&self, fault: Fault, kind: io::ErrorKind) -> io::Result<()> {
        if self.has(fault) {
            return Err(io::Error::new(kind, "fault injected by a test"));
        }
        Ok(())
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault.load(Ordering::Relaxed) == fault as u8
    }
}
