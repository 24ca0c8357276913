//! Processes that end with the demo, however it ends.

use std::{
    fs::{self, File},
    io,
    os::unix::{
        fs::MetadataExt as _,
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use super::{halt::Halt, screen::complain};

/// PostgreSQL refuses to run as root; its servers then run as `nobody`, which owns nothing.
const NOBODY: u32 = 65_534;

/// Pause between two looks at a process that was told to end.
const LOOK: Duration = Duration::from_millis(10);

/// The user that servers run as, where it is another one than ours.
pub(super) fn servers_run_as() -> Option<u32> {
    let ours = fs::metadata("/proc/self").map(|about| about.uid());
    matches!(ours, Ok(0)).then_some(NOBODY)
}

/// How a child is started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// As the servers' user instead of ours.
    pub(super) as_server: bool,
    /// Signal that the system sends when we end without a word (kill -9); none for what is kept.
    pub(super) when_orphaned: Option<&'static str>,
}

impl Start {
    /// The command that runs `program` so.
    pub(super) fn command(self, program: &Path) -> Command {
        let setpriv = Path::new("/usr/bin/setpriv");
        let mut command = match self.when_orphaned {
            Some(signal) if setpriv.exists() => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", signal]);
                if let (true, Some(user)) = (self.as_server, servers_run_as()) {
                    let user = user.to_string();
                    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
                }
                command.arg(program);
                command
            }
            _ => {
                let mut command = Command::new(program);
                if let (true, Some(user)) = (self.as_server, servers_run_as()) {
                    // std drops the supplementary groups along with the user id.
                    command.uid(user).gid(user);
                }
                command
            }
        };
        if self.as_server {
            // initdb looks for a home, and root's cannot be entered; nor can, perhaps, the folder we were called from.
            command.env("HOME", "/").current_dir("/");
        }
        // Ctrl-C goes to a whole process group: the children are ended by us, in order.
        command.process_group(0).stdin(Stdio::null());
        command
    }
}

/// A running child; ended when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    name: &'static str,
    ends_by: &'static str,
    keep: bool,
}

impl Process {
    /// Starts `command` with its output in the file `log`. Dropped, it ends by the signal `ends_by`, or not at all when it is kept.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn spawn(
        name: &'static str,
        mut command: Command,
        log: &Path,
        ends_by: &'static str,
        keep: bool,
    ) -> Result<Process, Halt> {
        let mut start = || -> io::Result<Child> {
            let log = File::options().create(true).append(true).open(log)?;
            command.stdout(log.try_clone()?).stderr(log).spawn()
        };
        let child =
            start().map_err(|why| Halt::broken(format!("{name} cannot be started"), why))?;
        Ok(Process {
            child,
            name,
            ends_by,
            keep,
        })
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        // A child that cannot be waited for is none of ours any more.
        self.child
            .try_wait()
            .unwrap_or(Some(ExitStatus::from_raw(0)))
    }

    /// Sends `signal` and waits for the end; past `patience` it is killed.
    ///
    /// # Errors
    /// When it had to be killed.
    pub(super) fn end(&mut self, signal: &str, patience: Duration) -> Result<(), Halt> {
        if self.ended().is_some() {
            return Ok(());
        }
        send(signal, self.id());
        let told = Instant::now();
        while told.elapsed() < patience {
            if self.ended().is_some() {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        let killed = self.child.kill().and_then(|()| self.child.wait());
        let after = killed.map_or_else(
            |why| format!(", nor when killed ({why})"),
            |_| " and was killed".to_owned(),
        );
        Err(Halt::Broken(format!(
            "{} did not end within {} s{after}",
            self.name,
            patience.as_secs()
        )))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(why) = self.end(self.ends_by, Duration::from_secs(5)) {
            complain(why);
        }
    }
}

fn send(signal: &str, id: u32) {
    // The shell's own kill is everywhere; the program of that name is not. A process that is gone is as good as told.
    let _ = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", signal, &id.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// The last `lines` of a log.
pub(super) fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
