//! A throwaway PostgreSQL server, reached through a Unix socket in its own folder.

pub(crate) mod shop;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The account for servers where the tests run as root, which PostgreSQL refuses.
const NOBODY: u32 = 65534;

/// A server lives no longer than this, whatever becomes of the test that started it.
const LIFE_S: &str = "900";

/// How long a server may take to answer at first.
const START: Duration = Duration::from_secs(60);

/// A running server. Dropping it stops it.
pub(crate) struct Server {
    folder: TempDir,
    binaries: PathBuf,
    /// The tests run as root, so the server's programs change to another account.
    root: bool,
    process: Option<Child>,
    /// One script at a time: their transactions would wait for each other's rows.
    turn: Mutex<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let mut stop = self.command("pg_ctl");
        let _ = stop
            .args(["-m", "immediate", "-D"])
            .arg(data)
            .arg("stop")
            .stdout(Stdio::null())
            .status();
        if let Some(mut process) = self.process.take() {
            let _ = process.wait();
        }
    }
}

impl Server {
    /// Starts a server with an empty database.
    pub(crate) fn start() -> Server {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = fs::metadata(folder.path()).is_ok_and(|metadata| metadata.uid() == 0);
        if root {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("a folder of the server's own");
        }
        let mut server = Server {
            folder,
            binaries: binaries(),
            root,
            process: None,
            turn: Mutex::new(()),
        };
        let data = server.folder.path().join("data");
        let mut initdb = server.command("initdb");
        initdb.arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ]);
        let made = initdb
            .stdout(Stdio::null())
            .status()
            .expect("PostgreSQL is installed");
        assert!(made.success(), "initdb: {made}");
        let log = fs::File::create(server.folder.path().join("log")).expect("a log file");
        let sockets = format!("unix_socket_directories={}", server.folder.path().display());
        let mut postgres = server.bounded("postgres");
        postgres
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", &sockets])
            .stderr(log);
        server.process = Some(
            postgres
                .stdin(Stdio::null())
                .spawn()
                .expect("PostgreSQL is installed"),
        );
        let deadline = Instant::now() + START;
        while server
            .run("SELECT 'ready';")
            .lines()
            .all(|line| line != "ready")
        {
            assert!(Instant::now() < deadline, "the server does not answer");
            thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn command(&self, tool: &str) -> Command {
        self.of(&[], tool)
    }

    /// A command that ends after [`LIFE_S`].
    fn bounded(&self, tool: &str) -> Command {
        self.of(&["timeout", "-s", "QUIT", LIFE_S], tool)
    }

    fn of(&self, wrapper: &[&str], tool: &str) -> Command {
        let account: &[&str] = if self.root {
            &[
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
            ]
        } else {
            &[]
        };
        let program = self.binaries.join(tool);
        let mut words = account
            .iter()
            .chain(wrapper)
            .map(Path::new)
            .chain([program.as_path()]);
        let mut command = Command::new(words.next().unwrap_or(&program));
        command.args(words).current_dir(self.folder.path());
        command
    }

    /// Runs a script in a session of its own and returns all that `psql` prints, errors among it.
    pub(crate) fn run(&self, script: &str) -> String {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = self.command("psql");
        command
            .args(["-X", "-q", "-A", "-U", "postgres", "-d", "postgres", "-h"])
            .arg(self.folder.path())
            .args(["-f", "-"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut psql = command.spawn().expect("psql is installed");
        // A psql that finds no server does not read.
        let _ = psql
            .stdin
            .take()
            .expect("a pipe")
            .write_all(script.as_bytes());
        let Output { stdout, stderr, .. } = psql.wait_with_output().expect("psql ends");
        // Positions within a text are its own affair.
        let errors = String::from_utf8_lossy(&stderr).into_owned();
        let errors: Vec<&str> = errors
            .lines()
            .map(|line| line.split_once(": ").map_or(line, |(_, message)| message))
            .collect();
        format!("{}{}", String::from_utf8_lossy(&stdout), errors.join("\n"))
    }
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
