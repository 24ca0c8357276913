//! One server and its life.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    binaries::{Release, program},
    template::Template,
};
use crate::{
    Database, Endpoint, Folder, Port,
    identity::{mortal, unprivileged},
};

/// A server of this test alone, on a free loopback port. It ends with the test, whatever becomes of the test.
#[derive(Debug)]
pub struct Postgres {
    folder: Folder,
    port: Port,
    process: Option<Child>,
}

/// Settings of a server before it starts.
#[derive(Debug, Default)]
pub struct PostgresBuilder {
    settings: String,
    hba: Option<String>,
}

/// The certificate that test servers show, and that tests give to proxies.
#[derive(Debug)]
pub struct Tls {
    /// PEM file with the certificate, its own root; it names `localhost` and `127.0.0.1`.
    pub cert: PathBuf,
    /// PEM file with the key.
    pub key: PathBuf,
}

impl Tls {
    /// The one certificate of all test servers.
    #[must_use]
    pub fn get() -> Tls {
        let template = Template::of(Release::usual());
        Tls {
            cert: template.cert(),
            key: template.key(),
        }
    }
}

impl PostgresBuilder {
    /// Adds a line to `postgresql.conf`, such as `fsync = on`.
    #[must_use]
    pub fn setting(mut self, line: &str) -> Self {
        self.settings.push_str(line);
        self.settings.push('\n');
        self
    }

    /// Replaces `pg_hba.conf`. The default has an account for each way of signing in (see [`crate::Account`]).
    #[must_use]
    pub fn hba(mut self, lines: &str) -> Self {
        self.hba = Some(lines.to_owned());
        self
    }

    /// Starts the server and waits until it takes connections.
    #[must_use]
    pub fn start(self) -> Postgres {
        let folder = Folder::new("postgres");
        let data = folder.path().join("data");
        Template::of(Release::usual()).copy(&data);
        let conf = data.join("postgresql.conf");
        fs::write(&conf, fs::read_to_string(&conf).unwrap() + &self.settings).unwrap();
        if let Some(hba) = self.hba {
            fs::write(data.join("pg_hba.conf"), hba).unwrap();
        }
        let mut server = Postgres {
            folder,
            port: Port::reserve(),
            process: None,
        };
        server.restart();
        server
    }
}

impl Postgres {
    /// A server with the usual settings.
    #[must_use]
    pub fn start() -> Postgres {
        Postgres::builder().start()
    }

    /// A server with settings of its own.
    #[must_use]
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
    }

    /// A standby of this server, which from now on waits with each commit until the standby has it too.
    ///
    /// # Panics
    /// When it does not follow within 30 seconds.
    pub async fn standby(&self) -> Postgres {
        let folder = Folder::new("postgres");
        let data = folder.path().join("data");
        let copied = unprivileged(&program("pg_basebackup"))
            .args(["-h", "127.0.0.1", "-U", "crossfade", "-R", "-c", "fast"])
            .args(["-p", &self.port.number().to_string(), "-D"])
            .arg(&data)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&copied.stderr);
        assert!(copied.status.success(), "pg_basebackup: {said}");
        let mut standby = Postgres {
            folder,
            port: Port::reserve(),
            process: None,
        };
        standby.restart();
        let main = self.database("of_the_standby");
        main.run("ALTER SYSTEM SET synchronous_standby_names = '*'")
            .await;
        main.rows("SELECT pg_reload_conf()").await;
        main.becomes("SELECT sync_state FROM pg_stat_replication", "sync")
            .await;
        standby
    }

    /// Takes the place of `failed`, whose standby it is: promoted, and where that one has listened.
    ///
    /// # Panics
    /// When it is not promoted within a minute.
    pub async fn take_over(&mut self, failed: &mut Postgres) {
        failed.stop();
        let own = Endpoint {
            addr: self.addr(),
            database: "postgres".to_owned(),
            user: "crossfade".to_owned(),
            password: "proxy secret".to_owned(),
        };
        let own = own.connect().await;
        let promoted = own.query_one("SELECT pg_promote(true, 60)", &[]);
        assert!(promoted.await.unwrap().get::<_, bool>(0));
        self.stop_fast();
        std::mem::swap(&mut self.port, &mut failed.port);
        self.restart();
    }

    /// Where it listens, also while it is down.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// A new empty database.
    #[must_use]
    pub fn database(&self, name: &str) -> Database {
        Database::create(self.addr(), name)
    }

    /// Starts it again after [`Postgres::stop`] or [`Postgres::kill9`]; a running one is stopped first.
    ///
    /// # Panics
    /// When it does not come up within 30 seconds; shows its log.
    pub fn restart(&mut self) {
        self.stop();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .unwrap();
        let mut command = mortal(&program("postgres"), "QUIT");
        command
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-p", &self.port.number().to_string()]);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.process = Some(command.spawn().unwrap());
        let start = Instant::now();
        while !answers(self.addr()) {
            let gone = self
                .process
                .as_mut()
                .is_none_or(|process| process.try_wait().unwrap().is_some());
            assert!(
                !gone && start.elapsed() < Duration::from_secs(30),
                "server did not start:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it at once ('immediate' shutdown): clients see their connections break.
    pub fn stop(&mut self) {
        self.end("QUIT");
    }

    /// Stops it in order ('fast' shutdown): clients are told, everything is written.
    pub fn stop_fast(&mut self) {
        self.end("INT");
    }

    /// Kills the server process without a word.
    pub fn kill9(&mut self) {
        // The backends notice by themselves and end; a restart waits for their shared memory to go.
        self.end("KILL");
        std::thread::sleep(Duration::from_millis(200));
    }

    /// Freezes the server: connections stay open and nothing answers, as when a machine or a network hangs.
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    /// Ends [`Postgres::freeze`].
    pub fn thaw(&self) {
        self.signal_all("CONT");
    }

    /// What the server logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn end(&mut self, signal: &str) {
        if let Some(mut process) = self.process.take() {
            kill(signal, &[process.id()]);
            process.wait().unwrap();
        }
    }

    fn signal_all(&self, signal: &str) {
        let Some(process) = &self.process else { return };
        let children = Command::new("pgrep")
            .args(["-P", &process.id().to_string()])
            .output()
            .unwrap();
        let mut pids = vec![process.id()];
        pids.extend(
            String::from_utf8_lossy(&children.stdout)
                .lines()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
        kill(signal, &pids);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.thaw();
        }
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- server log ---\n{}", tail(&self.log(), 40));
        }
    }
}

/// Whether a server at `addr` takes connections: past its recovery, not merely listening.
pub(crate) fn answers(addr: SocketAddr) -> bool {
    startup_tag(addr).is_some_and(|tag| tag == b'R')
}

/// The first byte of the answer to a startup as `postgres`.
fn startup_tag(addr: SocketAddr) -> Option<u8> {
    let timeout = Some(Duration::from_secs(2));
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(timeout).ok()?;
    let body = b"\0\x03\0\0user\0crossfade\0database\0postgres\0\0";
    let length = u32::try_from(body.len() + 4).ok()?;
    stream
        .write_all(&[&length.to_be_bytes()[..], body].concat())
        .ok()?;
    let mut tag = [0];
    stream.read_exact(&mut tag).ok()?;
    stream.write_all(b"X\0\0\0\x04").ok()?;
    Some(tag[0])
}

/// Sends a signal by process id.
pub(crate) fn kill(signal: &str, pids: &[u32]) {
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    // A process that is gone already is as good as signalled.
    let _ = Command::new("kill")
        .arg(format!("-{signal}"))
        .args(pids)
        .stderr(Stdio::null())
        .status();
}

/// The last `lines` of `text`.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
