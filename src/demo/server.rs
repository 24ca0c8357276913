//! A throwaway PostgreSQL server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio_postgres::{Client, Config, NoTls};

use super::{
    folder::Folder,
    halt::Halt,
    process::{Process, Start, tail},
    tally::describe,
};

/// Account of the proxy, which owns the tables.
pub(super) const PROXY_USER: &str = "crossfade";
/// Account of the application.
pub(super) const SHOP_USER: &str = "shop";
/// Password of both. The servers listen on loopback only, and hold nothing that anybody could want.
pub(super) const PASSWORD: &str = "demo";
/// Database of the shop, in both stores.
pub(super) const DATABASE: &str = "shop";

/// Longest that a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
shared_buffers = 64MB
# Nothing here outlives the demo.
fsync = off
full_page_writes = off
";

const ACCESS: &str = "host all all 127.0.0.1/32 scram-sha-256\n";

/// One server, ended when dropped.
#[derive(Debug)]
pub(super) struct Server {
    process: Process,
    port: u16,
    data: PathBuf,
}

/// A data folder that no server runs on yet.
#[derive(Debug)]
pub(super) struct Initialised {
    name: &'static str,
    data: PathBuf,
    log: PathBuf,
}

impl Initialised {
    /// Makes the data folder of the server `name` in `folder`. Takes a second or so, and blocks.
    ///
    /// # Errors
    /// When initdb fails; shows what it said.
    pub(super) fn new(
        bin: &Path,
        folder: &Folder,
        name: &'static str,
    ) -> Result<Initialised, Halt> {
        let home = folder.for_server(name)?;
        let data = home.join("data");
        init(bin, &home, &data)?;
        let log = folder.path().join(format!("{name}.log"));
        Ok(Initialised { name, data, log })
    }

    /// Starts a server on `port`. To be called on the main thread: the server ends with the thread that started it.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub(super) fn start(self, bin: &Path, port: u16, keep: bool) -> Result<Launching, Halt> {
        let start = Start {
            as_server: true,
            when_orphaned: (!keep).then_some("QUIT"),
        };
        let mut command = start.command(&bin.join("postgres"));
        command
            .arg("-D")
            .arg(&self.data)
            .args(["-p", &port.to_string()]);
        // SIGQUIT is PostgreSQL's 'immediate' shutdown; nothing here is worth another.
        let process = Process::spawn(self.name, command, &self.log, "QUIT", keep)?;
        Ok(Launching {
            server: Server {
                process,
                port,
                data: self.data,
            },
            log: self.log,
        })
    }
}

impl Server {
    /// How a client reaches it as `user`.
    pub(super) fn config(&self, user: &str) -> Config {
        config(self.port, user)
    }

    /// A connection of the proxy's account, straight to the server.
    ///
    /// # Errors
    /// When there is none to be had.
    pub(super) async fn connect(&self) -> Result<Client, Halt> {
        connect(&self.config(PROXY_USER))
            .await
            .map_err(|error| Halt::broken("a server of the demo", describe(&error)))
    }

    /// The port it listens on.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it runs.
    pub(super) fn is_up(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Its data folder.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// Switches it off in order ('fast' shutdown): clients are told, everything is written.
    ///
    /// # Errors
    /// When it does not end.
    pub(super) fn switch_off(&mut self) -> Result<(), Halt> {
        self.process.end("INT", Duration::from_secs(30))
    }
}

/// A server that may not take connections yet.
#[derive(Debug)]
pub(super) struct Launching {
    server: Server,
    log: PathBuf,
}

impl Launching {
    /// Waits until it takes connections, and creates what the demo needs.
    ///
    /// # Errors
    /// When it ends instead; shows its log.
    pub(super) async fn ready(mut self) -> Result<Server, Halt> {
        let mut config = self.server.config(PROXY_USER);
        config.dbname("postgres");
        let started = Instant::now();
        let client = loop {
            match connect(&config).await {
                Ok(client) => break client,
                Err(error)
                    if self.server.process.ended().is_some() || started.elapsed() > PATIENCE =>
                {
                    let said = tail(&self.log, 15);
                    return Err(Halt::broken(
                        "a PostgreSQL server did not start",
                        format!("{}\n{said}", describe(&error)),
                    ));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        let account = format!("CREATE ROLE {SHOP_USER} LOGIN PASSWORD '{PASSWORD}'");
        for sql in [account, format!("CREATE DATABASE {DATABASE}")] {
            client
                .batch_execute(&sql)
                .await
                .map_err(|error| Halt::broken(sql, describe(&error)))?;
        }
        Ok(self.server)
    }
}

fn init(bin: &Path, home: &Path, data: &Path) -> Result<(), Halt> {
    // Read by the servers' user: readable for all is right, it is no secret.
    let password = home.join("password");
    let write = |path: &Path, text: &str| {
        fs::write(path, text).map_err(|why| Halt::broken(path.display(), why))
    };
    write(&password, PASSWORD)?;
    let start = Start {
        as_server: true,
        when_orphaned: Some("TERM"),
    };
    let mut initdb = start.command(&bin.join("initdb"));
    initdb.arg("-D").arg(data).args([
        "-U",
        PROXY_USER,
        "-A",
        "scram-sha-256",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    initdb
        .arg(format!("--pwfile={}", password.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = initdb
        .output()
        .map_err(|why| Halt::broken("initdb cannot be started", why))?;
    if !output.status.success() {
        return Err(Halt::broken(
            "initdb failed",
            String::from_utf8_lossy(&output.stderr).trim(),
        ));
    }
    let conf = data.join("postgresql.conf");
    let generated = fs::read_to_string(&conf).map_err(|why| Halt::broken(conf.display(), why))?;
    write(&conf, &(generated + SETTINGS))?;
    write(&data.join("pg_hba.conf"), ACCESS)
}

/// How a client reaches the database of the shop at `port`.
pub(super) fn config(port: u16, user: &str) -> Config {
    let mut config = Config::new();
    config
        .host("127.0.0.1")
        .port(port)
        .dbname(DATABASE)
        .user(user)
        .password(PASSWORD);
    config
        .application_name("crossfade demo")
        .connect_timeout(Duration::from_secs(10));
    config
}

/// Connects; the connection ends with its client.
pub(super) async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // What breaks the connection is told to the client's next call as well.
    tokio::spawn(async move { connection.await.is_ok() });
    Ok(client)
}
