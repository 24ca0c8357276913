//! The temporary folder of one demo.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, chown},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{halt::Halt, process::servers_run_as, screen::complain};

/// A folder that goes with the demo, unless it is kept.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// A new empty folder under the system's own for temporary files.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn new(keep: bool) -> Result<Folder, Halt> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_millis());
        let path =
            std::env::temp_dir().join(format!("crossfade-demo-{}-{now}", std::process::id()));
        // Others may look through it, as the servers' user must; what is secret inside has rights of its own.
        make(&path, 0o755)?;
        Ok(Folder { path, keep })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A folder inside that only the servers' user may enter.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn for_server(&self, name: &str) -> Result<PathBuf, Halt> {
        let path = self.path.join(name);
        make(&path, 0o700)?;
        if let Some(user) = servers_run_as() {
            chown(&path, Some(user), Some(user))
                .map_err(|why| Halt::broken(path.display(), why))?;
        }
        Ok(path)
    }
}

fn make(path: &Path, mode: u32) -> Result<(), Halt> {
    let made = fs::DirBuilder::new().mode(mode).create(path);
    made.map_err(|why| Halt::broken(format!("cannot make the folder {}", path.display()), why))
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(why) = fs::remove_dir_all(&self.path) {
            complain(format_args!(
                "the folder {} is left behind: {why}",
                self.path.display()
            ));
        }
    }
}
