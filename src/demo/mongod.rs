//! A throwaway MongoDB server: a replica set of one member.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mongodb::{
    Client, Database,
    bson::{Document, doc},
    options::{ClientOptions, ServerAddress},
};

use super::{
    folder::Folder,
    halt::Halt,
    process::{Process, Start, tail},
    server::DATABASE,
};

/// Name of the replica set.
const SET: &str = "rs0";
/// Longest that the server may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server, ended when dropped.
#[derive(Debug)]
pub(super) struct Mongod {
    process: Process,
    port: u16,
    log: PathBuf,
}

impl Mongod {
    /// Starts a server on `port`. To be called on the main thread: the server ends with the thread that started it.
    ///
    /// # Errors
    /// When there is no `mongod`, or it cannot be run.
    pub(super) fn start(folder: &Folder, port: u16, keep: bool) -> Result<Mongod, Halt> {
        let program = find()?;
        let home = folder.for_server("new")?;
        let start = Start {
            as_server: true,
            when_orphaned: (!keep).then_some("KILL"),
        };
        let mut command = start.command(&program);
        command.arg("--dbpath").arg(&home).args([
            "--port",
            &port.to_string(),
            "--bind_ip",
            "127.0.0.1",
            "--replSet",
            SET,
            "--wiredTigerCacheSizeGB",
            "0.5",
            "--nounixsocket",
        ]);
        let log = folder.path().join("new.log");
        let process = Process::spawn("mongod", command, &log, "TERM", keep)?;
        Ok(Mongod { process, port, log })
    }

    /// Waits until it answers, and makes it a set that takes writes.
    ///
    /// # Errors
    /// When it ends instead, or takes too long; shows its log.
    pub(super) async fn ready(mut self) -> Result<Mongod, Halt> {
        let began = Instant::now();
        loop {
            match self.as_set().await {
                Ok(true) => return Ok(self),
                Ok(false) => {}
                Err(error) if self.process.ended().is_some() || began.elapsed() > PATIENCE => {
                    return Err(Halt::broken(
                        "mongod did not start",
                        format!("{error}\n{}", tail(&self.log, 10)),
                    ));
                }
                Err(_) => {}
            }
            if began.elapsed() > PATIENCE {
                return Err(Halt::Broken(
                    "mongod did not become the primary of its set".to_owned(),
                ));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether it is the primary of its set; makes the set where there is none.
    async fn as_set(&self) -> mongodb::error::Result<bool> {
        let admin = self.client()?.database("admin");
        let hello = admin.run_command(doc! { "hello": 1 }).await?;
        if hello.get_bool("isWritablePrimary").unwrap_or(false) {
            return Ok(true);
        }
        if !hello.contains_key("setName") {
            let host = format!("127.0.0.1:{}", self.port);
            let set = doc! { "_id": SET, "members": [{ "_id": 0, "host": host }] };
            // A second attempt meets the first.
            drop(admin.run_command(doc! { "replSetInitiate": set }).await);
        }
        Ok(false)
    }

    fn client(&self) -> mongodb::error::Result<Client> {
        let mut options = ClientOptions::default();
        options.hosts = vec![ServerAddress::Tcp {
            host: "127.0.0.1".to_owned(),
            port: Some(self.port),
        }];
        options.direct_connection = Some(true);
        options.server_selection_timeout = Some(Duration::from_millis(500));
        Client::with_options(options)
    }

    /// The shop's database, straight from the server.
    ///
    /// # Errors
    /// When the driver cannot be set up.
    pub(super) fn database(&self) -> Result<Database, Halt> {
        let client = self.client();
        let client = client.map_err(|why| Halt::broken("MongoDB's driver", why))?;
        Ok(client.database(DATABASE))
    }

    /// Documents of a collection.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(super) async fn count(&self, collection: &str) -> Result<i64, Halt> {
        let collection = self.database()?.collection::<Document>(collection);
        let count = collection.count_documents(doc! {}).await;
        let count = count.map_err(|why| Halt::broken("MongoDB", why))?;
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// As in the configuration file.
    pub(super) fn url(port: u16) -> String {
        format!("mongodb://127.0.0.1:{port}/{DATABASE}?replicaSet={SET}")
    }

    /// The port it listens on.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

/// `mongod` on the PATH, or where `scripts/setup` puts it for a checkout: beside the folder of the built program.
fn find() -> Result<PathBuf, Halt> {
    let on_path = std::env::var_os("PATH").into_iter();
    let mut candidates: Vec<PathBuf> = on_path
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .map(|folder| folder.join("mongod"))
        .collect();
    if let Ok(program) = std::env::current_exe() {
        let target = program.parent().and_then(Path::parent);
        candidates.extend(target.map(|target| target.join("tools/mongod")));
    }
    let found = candidates.into_iter().find(|candidate| candidate.is_file());
    found.ok_or_else(|| {
        Halt::Broken(
            "the demo needs MongoDB's server program (mongod), and this machine has none; in a checkout, scripts/setup fetches it; otherwise put it on the PATH"
                .to_owned(),
        )
    })
}
