//! `crossfade serve` in front of the two servers, and the commands an operator would type.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crossfade_config::edit;
use crossfade_phase::Phase;
use serde_json::Value;

use super::{
    halt::Halt,
    http,
    process::{Process, Start, tail},
    settings::{Ports, TOGGLE},
};

/// Longest that the proxy may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// The running proxy; ended when dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    process: Process,
    program: PathBuf,
    ports: Ports,
    file: PathBuf,
    log: PathBuf,
}

/// What the status page says of the toggle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// The phase that every transaction is in.
    pub(super) effective: String,
    /// The phase that the file asks for, as far as the proxy has read it.
    pub(super) wanted: String,
    /// Why the toggle does not go there.
    pub(super) refusal: Option<String>,
    /// Keys that wait for their repair.
    pub(super) dirty_keys: u64,
    /// Transactions between their intent and their end.
    pub(super) open_intents: u64,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ran {
    /// Its exit status; `None` when a signal ended it.
    pub(super) code: Option<i32>,
    /// What it printed on standard output.
    pub(super) said: String,
    /// What it printed on standard error: progress, and why it failed.
    pub(super) complained: String,
}

impl Proxy {
    /// Starts `serve` with the file as it is. To be called on the main thread: the proxy ends with the thread that started it.
    ///
    /// # Errors
    /// When this program cannot be found or run again.
    pub(super) fn start(
        folder: &Path,
        file: PathBuf,
        ports: Ports,
        keep: bool,
    ) -> Result<Proxy, Halt> {
        let program = std::env::current_exe()
            .map_err(|why| Halt::broken("the program's own file cannot be found", why))?;
        let start = Start {
            as_server: false,
            when_orphaned: (!keep).then_some("KILL"),
        };
        let mut command = start.command(&program);
        command.arg("serve").arg("-c").arg(&file);
        let log = folder.join("crossfade.log");
        let process = Process::spawn("crossfade serve", command, &log, "TERM", keep)?;
        Ok(Proxy {
            process,
            program,
            ports,
            file,
            log,
        })
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// When it ends instead, or takes too long; shows its log.
    pub(super) async fn ready(&mut self) -> Result<(), Halt> {
        let started = Instant::now();
        while !matches!(http::get(self.admin(), "/readyz").await, Ok((200, _))) {
            if self.process.ended().is_some() || started.elapsed() > PATIENCE {
                return Err(Halt::broken(
                    "crossfade serve did not get ready; the end of its log",
                    format!("\n{}", self.log(15)),
                ));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Edits the phase in the file, as an operator does in an editor.
    ///
    /// # Errors
    /// When the file cannot be read or replaced.
    pub(super) fn want(&self, phase: Phase) -> Result<(), Halt> {
        let broken = |why: &dyn std::fmt::Display| Halt::broken(self.file.display(), why);
        let text = fs::read_to_string(&self.file).map_err(|why| broken(&why))?;
        let text = edit::set_phase(&text, TOGGLE, phase).map_err(|why| broken(&why))?;
        edit::write_atomically(&self.file, &text).map_err(|why| broken(&why))
    }

    /// What the status page says.
    ///
    /// # Errors
    /// When the admin port does not answer, or not so.
    pub(super) async fn standing(&self) -> Result<Standing, Halt> {
        standing(self.admin()).await
    }

    /// Runs `crossfade ARGS… -c FILE` to its end.
    ///
    /// # Errors
    /// When it cannot be run.
    pub(super) async fn command(&self, args: &[&str]) -> Result<Ran, Halt> {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(args)
            .arg("-c")
            .arg(&self.file)
            .process_group(0)
            .kill_on_drop(true);
        command.stdin(std::process::Stdio::null());
        let output = command
            .output()
            .await
            .map_err(|why| Halt::broken(format!("crossfade {}", args.join(" ")), why))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Ok(Ran {
            code: output.status.code(),
            said: text(&output.stdout),
            complained: text(&output.stderr),
        })
    }

    /// Whether it runs.
    pub(super) fn is_up(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Address of its admin port.
    pub(super) fn admin(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.admin))
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The configuration file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The last lines of its log.
    pub(super) fn log(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }
}

/// What the status page at `admin` says of the toggle. Cancel-safe.
///
/// # Errors
/// When the admin port does not answer, or not so.
pub(super) async fn standing(admin: SocketAddr) -> Result<Standing, Halt> {
    let broken = |why: String| Halt::broken("/status of the admin port", why);
    let (status, body) = http::get(admin, "/status")
        .await
        .map_err(|why| broken(why.to_string()))?;
    let whole: Value =
        serde_json::from_str(&body).map_err(|why| broken(format!("status {status}, {why}")))?;
    parse(&whole["toggles"][TOGGLE])
        .ok_or_else(|| broken(format!("nothing about the toggle \"{TOGGLE}\" in {body}")))
}

fn parse(toggle: &Value) -> Option<Standing> {
    let text = |name: &str| toggle[name].as_str().map(str::to_owned);
    Some(Standing {
        effective: text("effective")?,
        wanted: text("wanted")?,
        refusal: text("refusal"),
        dirty_keys: toggle["dirty_keys"].as_u64()?,
        open_intents: toggle["open_intents"].as_u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_page_is_read() {
        let page = serde_json::json!({
            "effective": "use-old", "wanted": "dual-write", "refusal": "no", "dirty_keys": 3, "open_intents": 1, "more": []
        });
        let standing = parse(&page).unwrap();
        assert_eq!(
            (standing.dirty_keys, standing.refusal.as_deref()),
            (3, Some("no"))
        );
        assert_eq!(parse(&Value::Null), None);
    }
}
