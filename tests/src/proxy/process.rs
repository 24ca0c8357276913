//! Processes of the binary under test.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{ErrorKind, Read, Seek},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::{identity::mortal_as_self, postgres::kill};

/// Longest that a command may take: none of the tests has much to copy or to compare.
const CLI: Duration = Duration::from_secs(60);

/// The binary under test: `CROSSFADE_BIN`, or the one that cargo built beside this test.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = env::var_os("CROSSFADE_BIN") {
        return PathBuf::from(path);
    }
    // target/debug/deps/e2e-HASH → target/debug/crossfade
    let test = env::current_exe().unwrap();
    let built = test
        .ancestors()
        .nth(2)
        .map(|folder| folder.join("crossfade"));
    let built = built.filter(|path| path.exists());
    built.expect("no crossfade beside the test: it is built for tests of the root package, others set CROSSFADE_BIN")
}

/// `crossfade serve`.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    pub(super) fn serve(config: &Path, log: &Path, env: &[(&str, &str)]) -> Process {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = mortal_as_self(&binary(), "KILL");
        command
            .args(["serve", "-c"])
            .arg(config)
            .envs(env.iter().copied());
        command.env("RUST_BACKTRACE", "1");
        let command = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Process(command.spawn().unwrap())
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(super) fn exited(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    pub(super) fn signal(&self, signal: &str) {
        kill(signal, &[self.0.id()]);
    }

    pub(super) fn end(mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.0.wait().unwrap()
    }
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct CliOutput {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl CliOutput {
    pub(super) fn of(args: &[&str], config: &Path) -> CliOutput {
        let stdout = tempfile::tempfile().unwrap();
        CliOutput::with(&with_config(args, config), stdout)
    }

    /// Of a command whose standard output is a pipe that nobody reads.
    pub(super) fn unread(args: &[&str], config: &Path) -> CliOutput {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        CliOutput::with(
            &with_config(args, config),
            File::from(OwnedFd::from(writer)),
        )
    }

    /// Of these arguments alone.
    pub(super) fn without_file(args: &[&str]) -> CliOutput {
        let args: Vec<OsString> = args.iter().map(Into::into).collect();
        CliOutput::with(&args, tempfile::tempfile().unwrap())
    }

    fn with(args: &[OsString], mut stdout: File) -> CliOutput {
        let mut stderr = tempfile::tempfile().unwrap();
        let mut command = mortal_as_self(&binary(), "KILL");
        command.args(args).stdin(Stdio::null());
        let mut child = command
            .stdout(stdout.try_clone().unwrap())
            .stderr(stderr.try_clone().unwrap())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.code().unwrap_or(-1);
            }
            if start.elapsed() > CLI {
                kill("KILL", &[child.id()]);
                child.wait().unwrap();
                panic!(
                    "crossfade {args:?} did not end within {CLI:?}: {}{}",
                    text(&mut stdout),
                    text(&mut stderr)
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        CliOutput {
            status,
            stdout: text(&mut stdout),
            stderr: text(&mut stderr),
        }
    }

    /// Asserts the exit status; shows what was printed otherwise.
    ///
    /// # Panics
    /// When it is another.
    pub fn expect(self, status: i32) -> CliOutput {
        assert_eq!(
            self.status, status,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }
}

fn with_config(args: &[&str], config: &Path) -> Vec<OsString> {
    let args = args.iter().map(Into::into);
    args.chain(["-c".into(), config.into()]).collect()
}

/// All of a file that another process has written, and nothing of a pipe.
fn text(file: &mut File) -> String {
    match file.rewind() {
        Err(error) if error.kind() == ErrorKind::NotSeekable => return String::new(),
        outcome => outcome.unwrap(),
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A line of `/proc/PID/status` such as `VmRSS:`, in bytes.
pub(super) fn memory(pid: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    let kilobytes = found.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.expect("the kernel tells a process's memory") * 1024
}
