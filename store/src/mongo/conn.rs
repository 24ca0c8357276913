//! The driver's client for one store.

mod errors;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use crossfade_config::{StoreConfig, TlsMode};
use mongodb::{
    Client, ClientSession, Database,
    bson::{Document, RawDocumentBuf, doc},
    options::{
        ClientOptions, Credential, DatabaseOptions, ReadConcern, ServerAddress, Tls, TlsOptions,
        WriteConcern,
    },
};
use tokio::{net::TcpStream, sync::OnceCell, time::timeout};

pub(super) use errors::WriteError;

use super::{
    given_up::GivenUp,
    left_behind::{self, LeftBehind},
};
use crate::{StoreError, StoreResult};

/// Server error: a document with this unique value is there.
pub(super) const DUPLICATE_KEY: i32 = 11000;
/// Server error: somebody else's transaction has written the document.
pub(super) const WRITE_CONFLICT: i32 = 112;
/// Server error: the collection that is to be created is there.
const NAMESPACE_EXISTS: i32 = 48;

/// What kind of deployment answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deployment {
    /// A replica set, or a router before one: it has transactions.
    Transactions,
    /// A server on its own.
    Standalone,
}

/// A store's client; connects when it is first used.
#[derive(Debug)]
pub(super) struct Conn {
    config: StoreConfig,
    /// What its clients are for, as their names say.
    purpose: String,
    present: Mutex<Arc<Present>>,
    /// As the first client found it.
    deployment: OnceLock<Deployment>,
    pub(super) given_up: GivenUp,
    pub(super) left_behind: LeftBehind,
    /// Collections that are there.
    there: Mutex<HashSet<String>>,
}

/// The client in use.
#[derive(Debug)]
struct Present {
    client: OnceCell<Client>,
    /// How its connections are called.
    app_name: String,
}

impl Present {
    fn new(purpose: &str) -> Arc<Present> {
        Arc::new(Present {
            client: OnceCell::new(),
            app_name: left_behind::app_name(purpose),
        })
    }
}

impl Conn {
    pub(super) fn new(config: StoreConfig, purpose: String) -> Conn {
        Conn {
            config,
            present: Mutex::new(Present::new(&purpose)),
            purpose,
            deployment: OnceLock::new(),
            given_up: GivenUp::default(),
            left_behind: LeftBehind::default(),
            there: Mutex::default(),
        }
    }

    /// The store's URL without its password.
    pub(super) fn url(&self) -> String {
        self.config.url.to_string()
    }

    /// The account, and the database that it works on.
    pub(super) fn account(&self) -> (&str, &str) {
        (&self.config.url.user, &self.config.url.database)
    }

    fn present(&self) -> MutexGuard<'_, Arc<Present>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the connections of the client in use are called.
    pub(super) fn present_name(&self) -> String {
        self.present().app_name.clone()
    }

    /// Whether a client of this purpose is called so, in this process or another.
    pub(super) fn is_ours(&self, name: &str) -> bool {
        left_behind::has_purpose(name, &self.purpose)
    }

    /// From now on another client is used. The connections of the one so far are closed when its last call has ended.
    pub(super) fn replace_client(&self) {
        *self.present() = Present::new(&self.purpose);
    }

    async fn client(&self) -> StoreResult<(Client, Deployment)> {
        let present = self.present().clone();
        let client = present
            .client
            .get_or_try_init(|| async {
                self.knock().await?;
                let options = self.options(&present.app_name)?;
                let client = Client::with_options(options).map_err(|error| self.error(&error))?;
                // Whether there are transactions is known once a server has answered.
                let hello = client
                    .database("admin")
                    .run_command(doc! { "hello": 1 })
                    .await
                    .map_err(|error| self.error(&error))?;
                let deployment = if hello.contains_key("setName")
                    || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid")
                {
                    Deployment::Transactions
                } else {
                    Deployment::Standalone
                };
                // Whatever is there by now: nobody counts on it to change.
                self.deployment.get_or_init(|| deployment);
                Ok::<_, StoreError>(client)
            })
            .await?
            .clone();
        let known = self.deployment.get().copied();
        // Set before any client is.
        let deployment = known.unwrap_or(Deployment::Standalone);
        Ok((client, deployment))
    }

    /// The driver looks for a server until `connect_timeout` is over; that nobody listens is known at once.
    async fn knock(&self) -> StoreResult<()> {
        let (url, within) = (&self.config.url, self.config.connect_timeout);
        let connected = timeout(within, TcpStream::connect((url.host.as_str(), url.port))).await;
        match connected {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(StoreError::unreachable(url, &error)),
            Err(_) => Err(StoreError::TimedOut {
                store: url.to_string(),
                after: within,
            }),
        }
    }

    /// The mapped database. What is read there outside of transactions outlives any change of the set's primary: a repair must not carry a row
    /// into the other store that this one then forgets.
    ///
    /// # Errors
    /// When no server answers.
    pub(super) async fn database(&self) -> StoreResult<Database> {
        let (client, deployment) = self.client().await?;
        let mut options = DatabaseOptions::default();
        options.read_concern = Some(match deployment {
            Deployment::Transactions => ReadConcern::majority(),
            Deployment::Standalone => ReadConcern::local(),
        });
        Ok(client.database_with_options(&self.config.url.database, options))
    }

    /// Creates the collection if it is not there. Created by the transactions that first write it, it would let only one of them commit.
    ///
    /// # Errors
    /// The server's own.
    pub(super) async fn ensure(&self, collection: &str) -> StoreResult<()> {
        let there = || self.there.lock().unwrap_or_else(PoisonError::into_inner);
        if there().contains(collection) {
            return Ok(());
        }
        let created = self.database().await?.create_collection(collection).await;
        match created {
            Err(error) if self.code(&error) != Some(NAMESPACE_EXISTS) => {
                return Err(self.error(&error));
            }
            Ok(()) | Err(_) => {}
        }
        there().insert(collection.to_owned());
        Ok(())
    }

    /// The client, if a server has answered.
    pub(super) fn connected(&self) -> Option<Client> {
        self.present().client.get().cloned()
    }

    /// Whose operations `$currentOp` is asked for. Without an account everybody's; with one its own, which it may see without further rights.
    pub(super) fn all_users(&self) -> bool {
        self.config.url.user.is_empty()
    }

    /// What has answered; `None` as long as none has.
    pub(super) fn known_deployment(&self) -> Option<Deployment> {
        self.deployment.get().copied()
    }

    /// # Errors
    /// When no server answers.
    pub(super) async fn deployment(&self) -> StoreResult<Deployment> {
        Ok(self.client().await?.1)
    }

    /// # Errors
    /// When no server answers.
    pub(super) async fn session(&self) -> StoreResult<ClientSession> {
        let (client, _) = self.client().await?;
        client
            .start_session()
            .await
            .map_err(|error| self.error(&error))
    }

    fn options(&self, app_name: &str) -> StoreResult<ClientOptions> {
        let url = &self.config.url;
        let param = |name: &str| url.params.get(name);
        let mut options = ClientOptions::default();
        options.hosts = vec![ServerAddress::Tcp {
            host: url.host.clone(),
            port: Some(url.port),
        }];
        options.app_name = Some(app_name.to_owned());
        options.repl_set_name = param("replicaSet").cloned();
        // One host and no name of a set: that host, whatever it says of others.
        options.direct_connection = match param("directConnection") {
            Some(typed) => Some(typed == "true"),
            None => Some(options.repl_set_name.is_none()),
        };
        options.connect_timeout = Some(self.config.connect_timeout);
        options.server_selection_timeout = Some(self.config.connect_timeout);
        options.max_pool_size = u32::try_from(self.config.pool_size.saturating_mul(2)).ok();
        // What is acknowledged survives the loss of any minority, so there is nothing to confirm later.
        options.write_concern = Some(WriteConcern::majority());
        options.read_concern = Some(ReadConcern::local());
        options.retry_writes = Some(true);
        if !url.user.is_empty() {
            options.credential = Some(
                Credential::builder()
                    .username(url.user.clone())
                    .password(url.password.clone())
                    .source(
                        param("authSource")
                            .cloned()
                            .unwrap_or_else(|| "admin".to_owned()),
                    )
                    .build(),
            );
        }
        options.tls = Some(match url.tls {
            TlsMode::Disable => Tls::Disabled,
            mode => {
                let unchecked = !matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull);
                let mut tls = TlsOptions::default();
                tls.ca_file_path = url.root_cert.clone();
                tls.allow_invalid_certificates = Some(unchecked);
                Tls::Enabled(tls)
            }
        });
        Ok(options)
    }

    /// Whether the server has said what became of a write.
    pub(super) fn is_answer<T>(&self, outcome: &Result<T, mongodb::error::Error>) -> bool {
        outcome
            .as_ref()
            .err()
            .is_none_or(|error| !self.error(error).outcome_unknown())
    }

    /// Runs a command that writes, and turns what its answer refuses into an error.
    ///
    /// # Errors
    /// The command's error, or the first of its documents'.
    pub(super) async fn write(
        &self,
        database: &Database,
        command: RawDocumentBuf,
        session: Option<&mut ClientSession>,
    ) -> Result<Document, WriteError> {
        let call = database.run_raw_command(command);
        let answer = match session {
            Some(session) => call.session(session).await,
            None => {
                let mut under_way = self.under_way();
                let answer = call.await;
                if self.is_answer(&answer) {
                    under_way.answered();
                }
                answer
            }
        };
        let answer = answer.map_err(|error| self.write_error(&error))?;
        let first = answer
            .get_array("writeErrors")
            .ok()
            .and_then(|errors| errors.first()?.as_document());
        match first {
            None => Ok(answer),
            Some(error) => {
                let code = error.get_i32("code").unwrap_or_default();
                let message = error.get_str("errmsg").unwrap_or_default().to_owned();
                Err(WriteError {
                    transient: code == WRITE_CONFLICT,
                    document: error
                        .get_i32("index")
                        .ok()
                        .and_then(|index| usize::try_from(index).ok()),
                    error: self.rejected(code, message),
                })
            }
        }
    }
}
