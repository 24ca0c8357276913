//! Every key that the file may hold. What is not here is refused; `reference.toml` sets each of them.

use crate::suggest::nearest;

/// The keys of one kind of table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    /// How the table is called in messages.
    pub(crate) table: &'static str,
    /// Its keys.
    pub(crate) names: &'static [&'static str],
}

pub(crate) static ROOT: Keys = Keys {
    table: "the top level",
    names: &[
        "listen",
        "admin",
        "state_dir",
        "journal",
        "control",
        "proxy",
        "workers",
        "tls",
        "old",
        "new",
        "writes",
        "flips",
        "reconcile",
        "clients",
        "users",
        "toggle",
    ],
};
pub(crate) static TLS: Keys = Keys {
    table: "[tls]",
    names: &["cert", "key", "required"],
};
pub(crate) static STORE: Keys = Keys {
    table: "[old] or [new]",
    names: &[
        "url",
        "password_file",
        "schema",
        "pool_size",
        "connect_timeout",
    ],
};
pub(crate) static WRITES: Keys = Keys {
    table: "[writes]",
    names: &[
        "secondary_timeout",
        "on_secondary_error",
        "max_transaction_bytes",
        "breaker_failures",
        "breaker_retry",
    ],
};
pub(crate) static FLIPS: Keys = Keys {
    table: "[flips]",
    names: &["drain_timeout", "mismatch_window"],
};
pub(crate) static RECONCILE: Keys = Keys {
    table: "[reconcile]",
    names: &["chunk_rows", "workers", "max_rows_per_s", "brake_latency"],
};
pub(crate) static CLIENTS: Keys = Keys {
    table: "[clients]",
    names: &["max_connections", "login_timeout"],
};
pub(crate) static USERS: Keys = Keys {
    table: "[users]",
    names: &["file"],
};
pub(crate) static TOGGLE: Keys = Keys {
    table: "[toggle.NAME]",
    names: &["phase", "table"],
};
pub(crate) static TABLE: Keys = Keys {
    table: "[toggle.NAME.table.TABLE]",
    names: &["key", "version", "target", "column", "acknowledge"],
};
pub(crate) static COLUMN: Keys = Keys {
    table: "a column",
    names: &["to", "type"],
};

/// All of the above.
pub(crate) static ALL: [&Keys; 11] = [
    &ROOT, &TLS, &STORE, &WRITES, &FLIPS, &RECONCILE, &CLIENTS, &USERS, &TOGGLE, &TABLE, &COLUMN,
];

/// Keys that people know from elsewhere, and what stands for them here.
const ELSEWHERE: [(&str, &str); 10] = [
    (
        "password",
        "put ${VARIABLE} into url, or name a file in password_file",
    ),
    (
        "user",
        "it is part of url: postgres://USER@HOST:PORT/DATABASE",
    ),
    (
        "host",
        "it is part of url: postgres://USER@HOST:PORT/DATABASE",
    ),
    (
        "port",
        "it is part of url: postgres://USER@HOST:PORT/DATABASE",
    ),
    (
        "database",
        "it is part of url: postgres://USER@HOST:PORT/DATABASE",
    ),
    (
        "sslmode",
        "it is part of url: …/DATABASE?sslmode=verify-full",
    ),
    (
        "sslrootcert",
        "it is part of url: …/DATABASE?sslmode=verify-full&sslrootcert=FILE",
    ),
    ("primary_key", "the columns of the key are named by key"),
    ("columns", "one line a column: column.NAME = \"new name\""),
    ("tables", "one table each: [toggle.NAME.table.TABLE]"),
];

impl Keys {
    /// What to write instead of the unknown `typed`.
    pub(crate) fn instead_of(&self, typed: &str) -> String {
        if let Some(near) = nearest(typed, self.names.iter().copied()) {
            return format!("did you mean \"{near}\"?");
        }
        if let Some((_, advice)) = ELSEWHERE.iter().find(|(name, _)| *name == typed) {
            return (*advice).to_owned();
        }
        let homes: Vec<&str> = ALL
            .iter()
            .filter(|keys| keys.names.contains(&typed))
            .map(|keys| keys.table)
            .collect();
        if homes.is_empty() {
            return format!("the keys of {} are {}", self.table, self.names.join(", "));
        }
        format!("it belongs in {}", homes.join(" or "))
    }
}
