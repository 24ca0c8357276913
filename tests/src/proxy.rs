//! The real binary in front of two stores.

mod crash;
mod http;
mod metrics;
mod process;

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::ExitStatus,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio_postgres::Client;

pub use metrics::Metrics;
pub use process::{CliOutput, binary};

use crate::{ConfigBuilder, Database, Endpoint, Folder, Port, Tls, Wire, look_until, within};
use process::Process;

/// Longest wait for a flip that has nothing to wait for but transactions of the test itself.
const FLIP: Duration = Duration::from_secs(30);

/// A running `crossfade serve`, its configuration file and its state folder. It ends with the test.
#[derive(Debug)]
pub struct Proxy {
    folder: Folder,
    listen: Port,
    admin: Port,
    config: ConfigBuilder,
    process: Option<Process>,
}

impl Proxy {
    /// Starts the proxy and waits until it says that it is ready.
    ///
    /// # Panics
    /// When it does not within 30 seconds; shows its log.
    pub async fn start(config: ConfigBuilder) -> Proxy {
        let mut proxy = Proxy::new(config);
        proxy.restart().await;
        proxy
    }

    /// Everything but the process: for starts that are expected to fail ([`Proxy::cli`]).
    #[must_use]
    pub fn new(config: ConfigBuilder) -> Proxy {
        let proxy = Proxy {
            folder: Folder::new("proxy"),
            listen: Port::reserve(),
            admin: Port::reserve(),
            config,
            process: None,
        };
        proxy.write_config();
        proxy
    }

    /// Starts it again with the file as it is; a running one is killed first.
    ///
    /// # Panics
    /// When it is not ready within 30 seconds; shows its log.
    pub async fn restart(&mut self) {
        if let Some(status) = self.serve(&[]).await {
            self.process = None;
            panic!(
                "the proxy ended ({status}) instead of getting ready:\n{}",
                self.log()
            );
        }
    }

    /// Starts it and waits until it is ready or has ended; says how it ended.
    async fn serve(&mut self, env: &[(&str, &str)]) -> Option<ExitStatus> {
        self.kill9();
        let mut process = Process::serve(&self.config_path(), &self.log_path(), env);
        let start = Instant::now();
        let mut ended = None;
        while !matches!(self.get("/readyz").await, Ok((200, _))) {
            ended = process.exited();
            if ended.is_some() {
                break;
            }
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "the proxy is not ready:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.process = Some(process);
        ended
    }

    /// Kills it without a word.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.end("KILL");
        }
    }

    /// Ends it in order (SIGTERM); says its exit status.
    pub fn stop(&mut self) -> Option<i32> {
        self.process.take()?.end("TERM").code()
    }

    /// Asks it to end in order (SIGTERM) and does not wait; [`Proxy::stop`] does.
    ///
    /// # Panics
    /// While it does not run.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Freezes it: connections stay open and nothing answers.
    ///
    /// # Panics
    /// While it does not run.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Ends [`Proxy::freeze`].
    ///
    /// # Panics
    /// While it does not run.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Has it read its file now (SIGHUP), instead of at its next look.
    ///
    /// # Panics
    /// While it does not run.
    pub fn reload(&self) {
        self.signal("HUP");
    }

    /// Lets it write no file beyond so many bytes; `None` lifts that. What it writes beyond fails as on a full disk.
    ///
    /// # Panics
    /// While it does not run, or without `prlimit`, which util-linux has.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let soft = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let set = std::process::Command::new("prlimit")
            .args([
                "--pid",
                &self.pid().to_string(),
                &format!("--fsize={soft}:"),
            ])
            .status()
            .expect("prlimit runs");
        assert!(set.success(), "prlimit: {set}");
    }

    fn signal(&self, signal: &str) {
        self.process
            .as_ref()
            .expect("the proxy does not run")
            .signal(signal);
    }

    /// Its process id.
    ///
    /// # Panics
    /// While it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the proxy does not run").pid()
    }

    /// Its resident memory in bytes.
    #[must_use]
    pub fn rss(&self) -> u64 {
        process::memory(self.pid(), "VmRSS:")
    }

    /// The most resident memory it ever had, in bytes.
    #[must_use]
    pub fn peak_rss(&self) -> u64 {
        process::memory(self.pid(), "VmHWM:")
    }

    /// `database`, reached through the proxy as the application.
    #[must_use]
    pub fn endpoint(&self, database: &Database) -> Endpoint {
        Endpoint {
            addr: self.listen.addr(),
            ..database.direct()
        }
    }

    /// A driver's connection to `database` through the proxy.
    pub async fn connect(&self, database: &Database) -> Client {
        self.endpoint(database).connect().await
    }

    /// A raw connection to `database` through the proxy, signed in.
    pub async fn wire(&self, database: &Database) -> Wire {
        self.endpoint(database).wire().await
    }

    /// Its configuration, to be changed; nothing happens until [`Proxy::write_config`] or [`Proxy::restart`].
    pub fn config(&mut self) -> &mut ConfigBuilder {
        &mut self.config
    }

    /// Writes the file as an editor does: under another name, then renamed.
    pub fn write_config(&self) {
        let text = self.config.render(
            self.listen.addr(),
            self.admin.addr(),
            &self.folder.path().join("state"),
        );
        self.write_text(&text);
    }

    /// Puts any text in the file's place.
    pub fn write_text(&self, text: &str) {
        let path = self.config_path();
        let partial = path.with_extension("toml.partial");
        fs::write(&partial, text).unwrap();
        fs::rename(&partial, &path).unwrap();
    }

    /// The configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("crossfade.toml")
    }

    /// The folder of journal and phases.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Edits the file and waits until the toggle `shop` is effectively in `phase`.
    ///
    /// # Panics
    /// When the flip is refused (with the reason) or takes more than 30 seconds.
    pub async fn flip(&mut self, phase: &str) {
        self.flip_toggle("shop", phase).await;
    }

    /// [`Proxy::flip`] for another toggle.
    ///
    /// # Panics
    /// As [`Proxy::flip`].
    pub async fn flip_toggle(&mut self, toggle: &str, phase: &str) {
        self.ask(toggle, phase);
        let start = Instant::now();
        loop {
            let status = self.toggle(toggle).await;
            if status["effective"] == phase {
                return;
            }
            let refused = status["wanted"] == phase && status["refusal"].is_string();
            assert!(
                !refused,
                "the flip to {phase} was refused: {}",
                status["refusal"]
            );
            assert!(
                start.elapsed() < FLIP,
                "the flip to {phase} did not come about: {status}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Edits the file and waits until the toggle `shop` says why it does not go to `phase`; gives the reason.
    ///
    /// # Panics
    /// When the flip comes about, or nothing happens within 30 seconds.
    pub async fn flip_refused(&mut self, phase: &str) -> String {
        self.ask("shop", phase);
        let start = Instant::now();
        loop {
            let status = self.toggle("shop").await;
            assert_ne!(status["effective"], phase, "the flip was not refused");
            if let (true, Some(reason)) = (status["wanted"] == phase, status["refusal"].as_str()) {
                return reason.to_owned();
            }
            assert!(
                start.elapsed() < FLIP,
                "no refusal of {phase}: {status}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Moves the toggle `shop` to `phase` although its guard says no, as an operator does who knows why.
    ///
    /// # Panics
    /// When that does not come about within 30 seconds.
    pub async fn force(&mut self, phase: &str, because: &str) {
        self.cli(&["phase", "shop", phase, "--because", because])
            .expect(0);
        self.config.set_phase("shop", phase);
        crate::eventually("the forced flip comes about", FLIP, async || {
            self.toggle("shop").await["effective"] == phase
        })
        .await;
    }

    /// Edits the file and waits for nothing.
    pub fn ask(&mut self, toggle: &str, phase: &str) {
        self.config.set_phase(toggle, phase);
        self.write_config();
    }

    /// Walks `shop` through these phases, one after the other.
    pub async fn walk(&mut self, phases: &[&str]) {
        for phase in phases {
            self.flip(phase).await;
        }
    }

    /// `/status` as JSON.
    ///
    /// # Panics
    /// When the admin port does not answer; shows the log.
    pub async fn status(&self) -> Value {
        let (status, body) = self.fetch("/status").await;
        assert_eq!(status, 200, "/status: {body}");
        serde_json::from_str(&body)
            .unwrap_or_else(|error| panic!("/status is not JSON ({error}): {body}"))
    }

    /// One toggle's part of [`Proxy::status`].
    pub async fn toggle(&self, toggle: &str) -> Value {
        self.status().await["toggles"][toggle].clone()
    }

    /// Dirty keys of the toggle `shop`.
    ///
    /// # Panics
    /// When the status does not say.
    pub async fn dirty_keys(&self) -> u64 {
        let toggle = self.toggle("shop").await;
        toggle["dirty_keys"]
            .as_u64()
            .unwrap_or_else(|| panic!("no dirty_keys in {toggle}"))
    }

    /// Waits until so many keys of the toggle `shop` are dirty: a client is answered before they are.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn dirty(&self, keys: u64) {
        crate::eventually(
            "as many keys are dirty",
            Duration::from_secs(5),
            async || self.dirty_keys().await == keys,
        )
        .await;
    }

    /// Waits until no key is dirty, with clients at work.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn clean(&self) {
        let look = async || self.toggle("shop").await;
        let clean = |toggle: &Value| toggle["dirty_keys"] == 0;
        let toggle = look_until(Duration::from_secs(30), look, clean).await;
        assert!(clean(&toggle), "the journal does not drain: {toggle:#}");
    }

    /// Waits until the journal is empty: no dirty key, no open intent. Only with nobody at work: every write opens an intent.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn drained(&self) {
        let look = async || self.toggle("shop").await;
        let empty = |toggle: &Value| toggle["dirty_keys"] == 0 && toggle["open_intents"] == 0;
        let toggle = look_until(Duration::from_secs(30), look, empty).await;
        assert!(empty(&toggle), "the journal does not drain: {toggle:#}");
    }

    /// `/metrics`.
    pub async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.fetch("/metrics").await.1)
    }

    /// Any page of the admin port: status and body.
    pub async fn fetch(&self, path: &str) -> (u16, String) {
        let answer = within(10, path, self.get(path)).await;
        answer.unwrap_or_else(|error| panic!("{path} of the admin port: {error}\n{}", self.log()))
    }

    /// Runs `crossfade ARGS… -c FILE` with this proxy's file and waits for its end.
    #[must_use]
    pub fn cli(&self, args: &[&str]) -> CliOutput {
        CliOutput::of(args, &self.config_path())
    }

    /// The same for a command whose standard output nobody reads.
    ///
    /// # Panics
    /// As [`Proxy::cli`].
    #[must_use]
    pub fn cli_unread(&self, args: &[&str]) -> CliOutput {
        CliOutput::unread(args, &self.config_path())
    }

    /// The same for a command that is not given the file.
    ///
    /// # Panics
    /// As [`Proxy::cli`].
    #[must_use]
    pub fn cli_without_file(&self, args: &[&str]) -> CliOutput {
        CliOutput::without_file(args)
    }

    /// The address of its admin port.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.addr()
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The certificate that tests give to proxies.
    #[must_use]
    pub fn tls() -> Tls {
        Tls::get()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    async fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        http::get(self.admin.addr(), path).await
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            eprintln!("--- proxy log ---\n{}", crate::tail(&self.log(), 60));
        }
    }
}
