//! A throwaway PostgreSQL server, reached through a Unix socket in its own folder.

pub mod shop;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Mutex, PoisonError},
};

use tempfile::TempDir;

/// The account for servers where the tests run as root, which PostgreSQL refuses.
const NOBODY: u32 = 65534;

/// A running server. Dropping it stops it.
pub struct Server {
    folder: TempDir,
    /// One script at a time: their transactions would wait for each other's rows.
    turn: Mutex<()>,
    binaries: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    /// Starts a server with an empty database.
    pub fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        if is_root(folder.path()) {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let server = Server {
            folder,
            turn: Mutex::new(()),
            binaries: binaries(),
        };
        let data = server.folder.path().join("data");
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        server.tool(
            "initdb",
            &[
                "-D",
                &path(&data),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "-N",
            ],
        );
        let options = format!(
            "-c listen_addresses= -c fsync=off -c unix_socket_directories={}",
            path(server.folder.path())
        );
        let log = path(&server.folder.path().join("log"));
        server.tool(
            "pg_ctl",
            &[
                "-w",
                "-t",
                "60",
                "-D",
                &path(&data),
                "-l",
                &log,
                "-o",
                &options,
                "start",
            ],
        );
        server
    }

    /// Stops the server.
    pub fn stop(&self) {
        let data = self.folder.path().join("data");
        let _ = self
            .command("pg_ctl")
            .args(["-m", "immediate", "-D"])
            .arg(data)
            .arg("stop")
            .stdout(Stdio::null())
            .status();
    }

    fn command(&self, tool: &str) -> Command {
        let program = self.binaries.join(tool);
        let mut command = if is_root(self.folder.path().parent().unwrap_or(Path::new("/")))
            && fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
        {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }

    fn tool(&self, tool: &str, arguments: &[&str]) {
        let mut command = self.command(tool);
        // The server inherits what it is given: a pipe would be held open for as long as it runs.
        let status = command
            .args(arguments)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{tool} failed: {status}");
    }

    /// Runs a script in a session of its own and returns all that `psql` prints, errors among it.
    pub fn run(&self, script: &str) -> String {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = self.command("psql");
        command
            .args(["-X", "-q", "-A", "-U", "postgres", "-d", "postgres", "-h"])
            .arg(self.folder.path())
            .arg("-f")
            .arg("-");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut psql = command.spawn().unwrap();
        psql.stdin
            .take()
            .unwrap()
            .write_all(script.as_bytes())
            .unwrap();
        let Output { stdout, stderr, .. } = psql.wait_with_output().unwrap();
        let errors = String::from_utf8(stderr).unwrap();
        // Positions within a text are its own affair.
        let errors: Vec<&str> = errors
            .lines()
            .map(|line| line.split_once(": ").map_or(line, |(_, message)| message))
            .collect();
        format!(
            "{}{}",
            String::from_utf8(stdout).unwrap(),
            errors.join("\n")
        )
    }
}

fn is_root(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|metadata| metadata.uid() == 0)
}

/// The newest of the installed servers, or the one on the PATH.
fn binaries() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = installed
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse::<u32>().ok()?,
                entry.path().join("bin"),
            ))
        })
        .max();
    newest.map_or_else(PathBuf::new, |(_, path)| path)
}
