//! PostgreSQL refuses to run as root; servers then run as `nobody`, and always end with the process that started them.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
    process::Command,
};

/// The user that servers run as when the tests run as root: `nobody`, which owns nothing.
const NOBODY: u32 = 65_534;

/// The numeric user id of this process.
pub(crate) fn user_id() -> u32 {
    fs::metadata("/proc/self")
        .or_else(|_| fs::metadata("/dev/fd"))
        .map_or(0, |about| about.uid())
}

/// Gives `path` to the user that servers run as.
pub(crate) fn give_to_servers(path: &Path) {
    if user_id() == 0 {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// `program`, run as an unprivileged user.
pub(crate) fn unprivileged(program: &Path) -> Command {
    if user_id() != 0 {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid",
            &NOBODY.to_string(),
            "--regid",
            &NOBODY.to_string(),
            "--clear-groups",
        ])
        .arg(program);
    // initdb and libpq look for a home; root's cannot be read.
    command.env("HOME", "/nonexistent");
    command
}

/// `program`, run as an unprivileged user and killed with `signal` when the thread that starts it ends, however it ends.
pub(crate) fn mortal(program: &Path, signal: &str) -> Command {
    with_setpriv(program, signal, user_id() == 0)
}

/// `program`, run as ourselves and killed with `signal` when the thread that starts it ends, however it ends.
pub(crate) fn mortal_as_self(program: &Path, signal: &str) -> Command {
    with_setpriv(program, signal, false)
}

fn with_setpriv(program: &Path, signal: &str, drop_root: bool) -> Command {
    if !has_setpriv() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal]);
    if drop_root {
        command.args([
            "--reuid",
            &NOBODY.to_string(),
            "--regid",
            &NOBODY.to_string(),
            "--clear-groups",
        ]);
        command.env("HOME", "/nonexistent");
    }
    command.arg(program);
    command
}

fn has_setpriv() -> bool {
    ["/usr/bin/setpriv", "/bin/setpriv"]
        .iter()
        .any(|path| Path::new(path).exists())
}
