//! What of a session decides on the answers of functions and on text forms.

use std::{collections::BTreeMap, sync::Mutex};

/// A session's settings, and the clock of its statement.
#[derive(Debug)]
pub struct Session {
    /// `TimeZone`, a name of the time zone database or a POSIX form.
    pub time_zone: String,
    /// `DateStyle`, as `SHOW` gives it.
    pub date_style: String,
    /// `IntervalStyle`, as `SHOW` gives it.
    pub interval_style: String,
    /// `extra_float_digits`.
    pub extra_float_digits: i32,
    /// `bytea_output` is `escape`.
    pub bytea_escape: bool,
    /// Start of the transaction, in microseconds since 2000-01-01 UTC: `now()`.
    pub transaction_start: i64,
    /// Start of the statement: `statement_timestamp()`.
    pub statement_start: i64,
    /// `current_user`.
    pub user: String,
    /// `session_user`.
    pub login: String,
    /// `current_database()`.
    pub database: String,
    /// `current_schemas(false)`.
    pub schemas: Vec<String>,
    /// `server_version`, as the old server said it.
    pub server_version: String,
    /// `server_version_num`.
    pub server_version_num: u32,
    /// `pg_backend_pid()`.
    pub process_id: i32,
    /// Every setting as `SHOW` gives it, by its lower-case name: for `current_setting()`.
    pub settings: BTreeMap<String, String>,
    /// What `set_config()` has asked for and the session's owner has not taken over yet: name, value (`None` for the default), for this transaction only.
    pub changes: Mutex<Vec<(String, Option<String>, bool)>>,
}

impl Default for Session {
    /// A new session's settings, in UTC, of nobody.
    fn default() -> Session {
        Session {
            time_zone: "UTC".to_owned(),
            date_style: "ISO, MDY".to_owned(),
            interval_style: "postgres".to_owned(),
            extra_float_digits: 1,
            bytea_escape: false,
            transaction_start: 0,
            statement_start: 0,
            user: String::new(),
            login: String::new(),
            database: String::new(),
            schemas: vec!["public".to_owned()],
            server_version: "15.0".to_owned(),
            server_version_num: 150_000,
            process_id: 0,
            settings: BTreeMap::new(),
            changes: Mutex::default(),
        }
    }
}
