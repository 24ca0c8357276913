//! What a session is, apart from its connection and its transaction: what the engine may look at.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crossfade_values::{Oid, Result, Session, Types};

use crate::{
    Config, Surroundings,
    settings::{self, Settings},
    statement::Statement,
};

/// Settings that the client is told of (`GUC_REPORT`), with the version since which it is.
const REPORTED: &[(&str, u32)] = &[
    ("in_hot_standby", 140_000),
    ("integer_datetimes", 0),
    ("TimeZone", 0),
    ("IntervalStyle", 0),
    ("search_path", 180_000),
    ("is_superuser", 0),
    ("application_name", 0),
    ("default_transaction_read_only", 140_000),
    ("scram_iterations", 160_000),
    ("DateStyle", 0),
    ("standard_conforming_strings", 0),
    ("session_authorization", 0),
    ("client_encoding", 0),
    ("server_version", 0),
    ("server_encoding", 0),
];

/// Settings on which the meaning of a statement depends.
const DECISIVE: &[&str] = &[
    "search_path",
    "role",
    "session_authorization",
    "timezone",
    "datestyle",
];

/// A prepared statement with its name's text.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) statement: Arc<Statement>,
    /// As the client sent it.
    pub(crate) source: Arc<str>,
    /// By PREPARE, not by the protocol.
    pub(crate) by_sql: bool,
}

/// A session.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) session: Session,
    pub(crate) settings: Settings,
    pub(crate) types: Arc<Types>,
    pub(crate) statements: BTreeMap<String, Named>,
    /// Counts up when statements may have another meaning than when they were prepared.
    pub(crate) generation: u64,
    /// Schemas that exist.
    exist: Vec<String>,
    /// What the client was told.
    told: BTreeMap<&'static str, String>,
    /// Something may have to be told.
    tell: bool,
}

impl State {
    pub(crate) fn new(
        config: &Config,
        user: &str,
        database: &str,
        process_id: i32,
        trusted: bool,
    ) -> State {
        let own = [
            ("server_version", config.server_version.clone()),
            ("server_version_num", config.server_version_num.to_string()),
            ("session_authorization", user.to_owned()),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        let settings = Settings::new(trusted, config.settings.iter().cloned().chain(own));
        let mut state = State {
            session: Session {
                time_zone: String::new(),
                date_style: String::new(),
                interval_style: String::new(),
                extra_float_digits: 1,
                bytea_escape: false,
                transaction_start: 0,
                statement_start: 0,
                user: user.to_owned(),
                login: user.to_owned(),
                database: database.to_owned(),
                schemas: Vec::new(),
                server_version: config.server_version.clone(),
                server_version_num: config.server_version_num,
                process_id,
                settings: BTreeMap::new(),
                changes: Mutex::new(Vec::new()),
            },
            settings,
            types: Arc::default(),
            statements: BTreeMap::new(),
            generation: 0,
            exist: config.schemas.clone(),
            told: BTreeMap::new(),
            tell: true,
        };
        state.follow();
        state
    }

    /// Brings the session in line with its settings.
    pub(crate) fn follow(&mut self) {
        for name in self.settings.take_moved() {
            let value = self.settings.get(&name).map(str::to_owned);
            if self.session.settings.get(&name) == value.as_ref() {
                continue;
            }
            self.tell = true;
            if DECISIVE.contains(&&name[..]) {
                self.generation += 1;
            }
            self.apply(&name, value.as_deref().unwrap_or_default());
            match value {
                Some(value) => self.session.settings.insert(name, value),
                None => self.session.settings.remove(&name),
            };
        }
    }

    fn apply(&mut self, name: &str, value: &str) {
        let session = &mut self.session;
        match name {
            "timezone" => value.clone_into(&mut session.time_zone),
            "datestyle" => value.clone_into(&mut session.date_style),
            "intervalstyle" => value.clone_into(&mut session.interval_style),
            "extra_float_digits" => session.extra_float_digits = value.parse().unwrap_or(1),
            "bytea_output" => session.bytea_escape = value == "escape",
            "role" | "session_authorization" => {
                let get = |name| self.settings.get(name).unwrap_or_default();
                let login = get("session_authorization");
                login.clone_into(&mut session.login);
                let role = get("role");
                let user = if role == "none" { login } else { role };
                user.clone_into(&mut session.user);
                self.find_schemas();
            }
            "search_path" => self.find_schemas(),
            _ => {}
        }
    }

    fn find_schemas(&mut self) {
        let path = self.settings.get("search_path").unwrap_or_default();
        self.session.schemas = settings::schemas(path, &self.session.user, &self.exist);
    }

    /// A setting that is the transaction's and no SET's.
    pub(crate) fn show_transaction(&mut self, name: &str, value: &str) {
        match self.session.settings.get_mut(name) {
            Some(shown) => value.clone_into(shown),
            None => {
                let known = (name.to_owned(), value.to_owned());
                self.session.settings.extend([known]);
            }
        }
    }

    /// What `set_config` asked for while a statement ran.
    ///
    /// # Errors
    /// When a setting does not take its value.
    pub(crate) fn take_changes(&mut self) -> Result<()> {
        let changes = std::mem::take(self.changes());
        if changes.is_empty() {
            return Ok(());
        }
        for (name, value, local) in changes {
            self.settings.set(&name, value.as_deref(), local)?;
        }
        self.follow();
        Ok(())
    }

    /// What `set_config` asked for, not taken over yet.
    pub(crate) fn changes(&mut self) -> &mut Vec<(String, Option<String>, bool)> {
        // A list is whole whenever somebody may have panicked.
        self.session
            .changes
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What the client has to be told of settings.
    pub(crate) fn tell(&mut self) -> Vec<(&'static str, String)> {
        if !std::mem::take(&mut self.tell) {
            return Vec::new();
        }
        let mut news = Vec::new();
        for &(name, since) in REPORTED {
            let value = self.settings.get(name).unwrap_or_default();
            let news_to_client = self.told.get(name).is_none_or(|told| told != value);
            if self.session.server_version_num >= since && news_to_client {
                let value = value.to_owned();
                self.told.insert(name, value.clone());
                news.push((name, value));
            }
        }
        news
    }

    /// A setting that is a time; `None` for 0, which is none.
    pub(crate) fn time(&self, name: &str) -> Option<Duration> {
        let shown = self.settings.get(name)?;
        match settings::milliseconds(shown) {
            0 => None,
            ms => Some(Duration::from_millis(ms)),
        }
    }

    /// Whether a boolean setting is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.settings.get(name) == Some("on")
    }
}

impl Surroundings for State {
    fn session(&self) -> &Session {
        &self.session
    }

    fn prepared_statements(&self) -> Vec<(String, String, Vec<Oid>, bool)> {
        self.statements
            .iter()
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, named)| {
                let types = named.statement.params.clone();
                (name.clone(), named.source.to_string(), types, named.by_sql)
            })
            .collect()
    }

    fn channels(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Microseconds since 2000-01-01 UTC.
pub(crate) fn now() -> i64 {
    const EPOCH_S: i64 = 946_684_800;
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX) - EPOCH_S * 1_000_000
}
