//! Where servers and proxies of a test run keep their files.

use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::identity::{give_to_servers, user_id};

/// A folder of one server or one proxy; removed on drop, or by a later run when its process was killed.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held as long as the folder is in use: what tells a later run that it is not rubbish.
    _lock: File,
}

impl Folder {
    /// A new empty folder; servers may write into it.
    #[must_use]
    pub fn new(what: &str) -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let runs = runs();
        let name = format!(
            "{what}-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let lock = locked(&runs.join(format!("{name}.lock")));
        let path = runs.join(name);
        // A killed run may have had our process id.
        let _ = fs::remove_dir_all(&path);
        make(&path, 0o700);
        give_to_servers(&path);
        Folder { path, _lock: lock }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// The folder of this user's test runs.
pub(crate) fn base() -> PathBuf {
    let base = std::env::temp_dir().join(format!("crossfade-tests-{}", user_id()));
    make(&base, 0o755);
    base
}

/// Opens or makes the lock file at `path` and waits for an exclusive lock on it.
pub(crate) fn locked(path: &Path) -> File {
    let file = lock_file(path);
    file.lock().unwrap();
    file
}

/// Opens or makes the lock file at `path`, without locking it.
pub(crate) fn lock_file(path: &Path) -> File {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()))
}

/// Makes a folder with exactly this mode, unless it is there.
pub(crate) fn make(path: &Path, mode: u32) {
    if !path.is_dir() {
        fs::create_dir_all(path)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Removes the folders of killed tests. Called when something expensive is made anyway.
pub(crate) fn sweep() {
    for entry in fs::read_dir(runs()).unwrap().flatten() {
        let lock = entry.path();
        if lock.extension().is_none_or(|ending| ending != "lock") {
            continue;
        }
        let free = match lock_file(&lock).try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        };
        if free {
            remove(&lock.with_extension(""));
        }
    }
}

fn runs() -> PathBuf {
    let runs = base().join("runs");
    make(&runs, 0o755);
    runs
}

/// Best effort: what cannot be removed now is swept by a later run.
fn remove(folder: &Path) {
    if fs::remove_dir_all(folder).is_ok() || !folder.exists() {
        let _ = fs::remove_file(folder.with_extension("lock"));
    }
}
