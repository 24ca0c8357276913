//! One process a folder.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::OpenError;

const NAME: &str = "lock";

/// A process that was killed holds the lock until the kernel has taken it apart: whoever starts it anew at once shall not fail for that.
const PATIENCE: Duration = Duration::from_secs(1);

/// Holds the folder until it is dropped; the kernel lets go when the process dies, however it dies.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    pub(crate) fn take(dir: &Path) -> Result<DirLock, OpenError> {
        let path = dir.join(NAME);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(OpenError::io("open", &path))?;
        let began = Instant::now();
        let taken = loop {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => {
                    thread::sleep(PATIENCE / 50);
                }
                taken => break taken,
            }
        };
        match taken {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Only for the message.
                let _ = file.read_to_string(&mut pid);
                let pid = pid.trim();
                let holder = if pid.is_empty() {
                    String::new()
                } else {
                    format!(" (pid {pid})")
                };
                return Err(OpenError::Locked {
                    dir: dir.into(),
                    holder,
                });
            }
            Err(TryLockError::Error(error)) => return Err(OpenError::io("lock", &path)(error)),
        }
        // The number of the process only serves the message above.
        let _ = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(DirLock { _file: file })
    }
}
