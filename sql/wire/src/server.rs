//! The server: what is common to all sessions, and how one begins.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::DuplexStream;

use crate::{
    Engine, Users,
    auth::{Exchange, MECHANISM},
    interrupt::Keys,
    io::{Gone, Io},
    protocol::{
        backend,
        frontend::{Message, utf8},
        startup::{self, Startup},
    },
    report::{Report, Result},
    session::Session,
    state::State,
};

/// Bytes that lie between a session and its peer before one waits for the other.
const BETWEEN: usize = 64 * 1024;

/// Codes of Authentication messages.
const AUTH_OK: u32 = 0;
const AUTH_SASL: u32 = 10;
const AUTH_SASL_CONTINUE: u32 = 11;
const AUTH_SASL_FINAL: u32 = 12;

/// Startup parameters that are no settings.
const NOT_SETTINGS: &[&str] = &["user", "database", "options", "replication"];

/// What a server says of itself.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `server_version`, as the old server says it.
    pub server_version: String,
    /// `server_version_num`.
    pub server_version_num: u32,
    /// Schemas that exist.
    pub schemas: Vec<String>,
    /// Defaults of settings where they are not PostgreSQL's own: those of the old server, as SHOW gives them.
    pub settings: Vec<(String, String)>,
    /// Who may log in; without a list, only the proxy itself.
    pub users: Option<Users>,
}

/// A server. Cheap to share.
pub struct Server {
    engine: Arc<dyn Engine>,
    config: Mutex<Arc<Config>>,
    keys: Arc<Keys>,
    /// For users whom nobody knows.
    mock: [u8; 32],
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A server that answers by this engine.
    pub fn new(engine: Arc<dyn Engine>, config: Config) -> Arc<Server> {
        Arc::new(Server {
            engine,
            config: Mutex::new(Arc::new(config)),
            keys: Arc::default(),
            mock: rand::random(),
        })
    }

    fn config(&self) -> Arc<Config> {
        // A pointer is whole whenever somebody may have panicked.
        let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        config.clone()
    }

    /// Sessions that begin from now on have this configuration.
    pub fn reconfigure(&self, config: Config) {
        let config = Arc::new(config);
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Why a statement of a new session would be refused as one that is not supported, or for what is not there; `None` when it would be served. Runs
    /// nothing. Sessions have search paths of their own; here every schema is in it.
    #[must_use]
    pub fn refuses(&self, sql: &str) -> Option<String> {
        let config = self.config();
        let key = self.keys.enter();
        let mut state = State::new(&config, "crossfade", "", key.process_id, true);
        let schemas: Vec<String> = config
            .schemas
            .iter()
            .map(|schema| format!("\"{}\"", schema.replace('"', "\"\"")))
            .collect();
        // A list of quoted names is always taken.
        drop(
            state
                .settings
                .set("search_path", Some(&schemas.join(", ")), false),
        );
        state.follow();
        state.types = self.engine.types();
        Session::new(self.engine.clone(), state, key, true).refuses(sql)
    }

    /// Opens a connection, served by a task on the caller's runtime. See [`Server::serve`].
    pub fn connect(self: &Arc<Self>, trusted: bool) -> DuplexStream {
        let (near, far) = tokio::io::duplex(BETWEEN);
        tokio::spawn(self.clone().serve(far, trusted));
        near
    }

    /// Serves one connection until it ends. With `trusted`, the account that the startup packet names is let in without a proof.
    ///
    /// Dropped, the session ends as if its process had been killed: what was not committed is for the engine's session to take back when it is dropped.
    pub async fn serve(self: Arc<Self>, stream: DuplexStream, trusted: bool) {
        let mut io = Io::new(stream);
        let end = match self.begin(&mut io, trusted).await {
            Ok(Some(session)) => {
                session.run(io).await;
                return;
            }
            Ok(None) | Err(Gone::Closed) => return,
            Err(Gone::Malformed(report)) => report,
        };
        tracing::debug!(sqlstate = end.sqlstate(), message = %end.error.message, "a connection was refused");
        backend::report(&mut io.out, &end);
        // The client may be gone already.
        drop(io.flush().await);
    }

    async fn begin(
        &self,
        io: &mut Io,
        trusted: bool,
    ) -> std::result::Result<Option<Session>, Gone> {
        let refused = Gone::Malformed;
        loop {
            let Some(packet) = io.startup().await? else {
                return Ok(None);
            };
            match Startup::read(packet).map_err(refused)? {
                Startup::Encrypt => io.put_byte(b'N'),
                Startup::Cancel(process_id, secret) => {
                    self.keys.request(process_id, secret);
                    return Ok(None);
                }
                Startup::Start { minor, parameters } => {
                    negotiate(io, minor, &parameters);
                    let user = value(&parameters, "user").unwrap_or_default();
                    if user.is_empty() {
                        let told = "no PostgreSQL user name specified in startup packet";
                        return Err(refused(Report::fatal("28000", told)));
                    }
                    let config = self.config();
                    if !trusted {
                        self.authenticate(io, &config, user).await?;
                    }
                    return self
                        .open(io, &config, &parameters, trusted)
                        .map(Some)
                        .map_err(|report| refused(report.and_ends()));
                }
            }
        }
    }

    /// Proves the user's password, or fails.
    async fn authenticate(
        &self,
        io: &mut Io,
        config: &Config,
        user: &str,
    ) -> std::result::Result<(), Gone> {
        let Some(users) = &config.users else {
            let told = format!("no list of users to let user \"{user}\" in by");
            let report = Report::fatal("28000", told).hint(
                "name a file in [users] of the configuration; crossfade users import writes it from the old store's roles",
            );
            return Err(Gone::Malformed(report));
        };
        let mut offered = MECHANISM.as_bytes().to_vec();
        offered.extend_from_slice(&[0, 0]);
        backend::authentication(&mut io.out, AUTH_SASL, &offered);
        let first = password(io).await?;
        let first = first_message(&first).map_err(Gone::Malformed)?;
        let begun = Exchange::begin(users.get(user), &self.mock, user, first);
        let (exchange, answer) = begun.map_err(Gone::Malformed)?;
        backend::authentication(&mut io.out, AUTH_SASL_CONTINUE, answer.as_bytes());
        let last = password(io).await?;
        let last = utf8(&last).map_err(Gone::Malformed)?;
        match exchange.end(last).map_err(Gone::Malformed)? {
            Some(end) => {
                backend::authentication(&mut io.out, AUTH_SASL_FINAL, end.as_bytes());
                Ok(())
            }
            None => {
                let told = format!("password authentication failed for user \"{user}\"");
                Err(Gone::Malformed(Report::fatal("28P01", told)))
            }
        }
    }

    fn open(
        &self,
        io: &mut Io,
        config: &Config,
        parameters: &[(String, String)],
        trusted: bool,
    ) -> Result<Session> {
        let user = value(parameters, "user").unwrap_or_default();
        let database = value(parameters, "database").unwrap_or(user);
        if value(parameters, "replication")
            .is_some_and(|value| !matches!(value, "false" | "off" | "no" | "0"))
        {
            return Err(crossfade_values::Error::unsupported("replication").into());
        }
        let key = self.keys.enter();
        let mut state = State::new(config, user, database, key.process_id, trusted);
        let options = startup::options(value(parameters, "options").unwrap_or_default())?;
        let given = parameters
            .iter()
            .filter(|(name, _)| !NOT_SETTINGS.contains(&&name[..]) && !name.starts_with("_pq_."));
        for (name, value) in options.iter().chain(given) {
            state.settings.start_with(name, value)?;
        }
        state.settings.check()?;
        state.follow();
        state.types = self.engine.types();
        backend::authentication(&mut io.out, AUTH_OK, &[]);
        for (name, value) in state.tell() {
            backend::parameter_status(&mut io.out, name, &value);
        }
        backend::backend_key(&mut io.out, key.process_id, key.secret);
        backend::ready(&mut io.out, backend::Status::Idle);
        Ok(Session::new(self.engine.clone(), state, key, trusted))
    }
}

/// A client that speaks a later minor version, or asks for options, is told what there is.
fn negotiate(io: &mut Io, minor: u32, parameters: &[(String, String)]) {
    let options: Vec<&str> = parameters
        .iter()
        .map(|(name, _)| &name[..])
        .filter(|name| name.starts_with("_pq_."))
        .collect();
    if minor > 0 || !options.is_empty() {
        backend::negotiate(&mut io.out, &options);
    }
}

fn value<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = parameters.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| &value[..])
}

async fn password(io: &mut Io) -> std::result::Result<Bytes, Gone> {
    let (kind, body) = io.next().await?;
    match Message::read(kind, body) {
        Ok(Message::Password(body)) => Ok(body),
        Ok(_) | Err(_) => {
            let told = format!("expected SASL response, got message type {kind}");
            Err(Gone::Malformed(Report::fatal("08P01", told)))
        }
    }
}

/// The client's first message out of a `SASLInitialResponse`.
fn first_message(body: &[u8]) -> Result<&str> {
    let malformed = || Report::fatal("08P01", "invalid SASL message");
    let end = body
        .iter()
        .position(|&byte| byte == 0)
        .ok_or_else(malformed)?;
    if &body[..end] != MECHANISM.as_bytes() {
        let told = "client selected an invalid SASL authentication mechanism";
        return Err(Report::fatal("08P01", told));
    }
    let (length, message) = body[end + 1..]
        .split_first_chunk::<4>()
        .ok_or_else(malformed)?;
    if u32::from_be_bytes(*length) as usize != message.len() {
        return Err(malformed());
    }
    utf8(message)
}
