//! Throwaway MongoDB servers.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use mongodb::{
    Client, Database,
    bson::{Document, doc},
    options::ClientOptions,
};

use crate::{Folder, Port, identity::mortal_as_self, postgres::kill, tail};

/// The name of every test's replica set.
const SET: &str = "rs0";
/// Longest wait for a server.
const START: Duration = Duration::from_secs(30);

/// A server of this test alone, on a free loopback port: a replica set of one member, or a server on its own. It ends with the test.
#[derive(Debug)]
pub struct Mongod {
    folder: Folder,
    port: Port,
    process: Option<Child>,
    replicates: bool,
}

impl Mongod {
    /// A replica set of one member, which takes transactions.
    pub async fn start() -> Mongod {
        Mongod::with(true).await
    }

    /// A server without a replica set, which takes none.
    pub async fn standalone() -> Mongod {
        Mongod::with(false).await
    }

    async fn with(replicates: bool) -> Mongod {
        let mut server = Mongod {
            folder: Folder::new("mongod"),
            port: Port::reserve(),
            process: None,
            replicates,
        };
        server.restart().await;
        server
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> std::net::SocketAddr {
        self.port.addr()
    }

    /// The URL of one of its databases, as in a configuration file.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let set = if self.replicates {
            format!("?replicaSet={SET}")
        } else {
            String::new()
        };
        format!("mongodb://{}/{database}{set}", self.port.addr())
    }

    /// One of its databases through the driver.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn database(&self, name: &str) -> Database {
        self.client().await.database(name)
    }

    async fn client(&self) -> Client {
        let url = format!("mongodb://{}/?directConnection=true", self.port.addr());
        let mut options = ClientOptions::parse(url).await.unwrap();
        options.server_selection_timeout = Some(Duration::from_millis(500));
        Client::with_options(options).unwrap()
    }

    /// Starts it again; a running one is stopped first.
    ///
    /// # Panics
    /// When it does not come up; shows its log.
    pub async fn restart(&mut self) {
        self.kill9();
        let data = self.folder.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .unwrap();
        let mut command = mortal_as_self(&program(), "KILL");
        command
            .arg("--dbpath")
            .arg(data)
            .args([
                "--port",
                &self.port.number().to_string(),
                "--bind_ip",
                "127.0.0.1",
            ])
            .args(["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"])
            .args([
                "--nounixsocket",
                "--setParameter",
                "diagnosticDataCollectionEnabled=false",
            ]);
        if self.replicates {
            command.args(["--replSet", SET]);
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.process = Some(command.spawn().unwrap());
        let began = Instant::now();
        while !self.is_up().await {
            assert!(
                began.elapsed() < START,
                "mongod did not start:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether it takes writes; initiates the set if nobody has.
    async fn is_up(&self) -> bool {
        let client = self.client().await;
        let admin = client.database("admin");
        let Ok(hello) = admin.run_command(doc! { "hello": 1 }).await else {
            return false;
        };
        if self.replicates && !hello.contains_key("setName") {
            let member = doc! { "_id": 0, "host": self.port.addr().to_string() };
            let config = doc! { "_id": SET, "members": [member] };
            // Refused where it was initiated before and has not come up yet.
            drop(admin.run_command(doc! { "replSetInitiate": config }).await);
            return false;
        }
        hello.get_bool("isWritablePrimary").unwrap_or(false)
    }

    /// Kills it without a word.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            kill("KILL", &[process.id()]);
            process.wait().unwrap();
        }
    }

    /// Leaves a transaction behind that has written every document of the collection, as a proxy does that is killed: without connections, but not ended.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn leave_behind(&self, database: &str, collection: &str) {
        let url = format!("mongodb://{}/?directConnection=true", self.port.addr());
        let mut options = ClientOptions::parse(url).await.unwrap();
        options.app_name = Some("crossfade killed".to_owned());
        let client = Client::with_options(options).unwrap();
        let collection = client.database(database).collection::<Document>(collection);
        let mut session = client.start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        collection
            .update_many(doc! {}, doc! { "$set": { "left": true } })
            .session(&mut session)
            .await
            .unwrap();
        // Dropped, it would end its transaction.
        std::mem::forget(session);
        drop(collection);
        client.shutdown().immediate(true).await;
    }

    /// Freezes it: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Ends [`Mongod::freeze`].
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        if let Some(process) = &self.process {
            kill(signal, &[process.id()]);
        }
    }

    /// All documents of a collection, in the order of their keys.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn documents(&self, database: &str, collection: &str) -> Vec<Document> {
        let collection = self
            .database(database)
            .await
            .collection::<Document>(collection);
        let mut cursor = collection
            .find(doc! {})
            .sort(doc! { "_id": 1 })
            .await
            .unwrap();
        let mut documents = Vec::new();
        while cursor.advance().await.unwrap() {
            documents.push(cursor.deserialize_current().unwrap());
        }
        documents
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log(&self) -> String {
        tail(
            &std::fs::read_to_string(self.log_path()).unwrap_or_default(),
            40,
        )
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            eprintln!("--- mongod log ---\n{}", self.log());
        }
    }
}

/// Where scripts/setup puts it, or on the PATH.
fn program() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/mongod");
    let on_path = || {
        std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|folder| folder.join("mongod"))
            .find(|program| program.exists())
    };
    let found = if tools.exists() {
        Some(tools)
    } else {
        on_path()
    };
    found.expect("no mongod on this machine: run scripts/setup")
}
