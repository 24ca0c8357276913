//! What can go wrong with a store.

use std::{io, time::Duration};

/// A failed call on a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, or it broke: what was under way may or may not have happened.
    #[error("store \"{store}\" cannot be reached: {reason}")]
    Unreachable {
        /// The store's URL without its password.
        store: String,
        /// What the network or the server said.
        reason: String,
    },
    /// No answer within the time given.
    #[error("store \"{store}\" gave no answer within {} ms", after.as_millis())]
    TimedOut {
        /// The store's URL without its password.
        store: String,
        /// The time given.
        after: Duration,
    },
    /// The store answered with an error.
    #[error("store \"{store}\" says {sqlstate}: {message}")]
    Rejected {
        /// The store's URL without its password.
        store: String,
        /// SQLSTATE, or the engine's own code.
        sqlstate: String,
        /// The message, with its detail.
        message: String,
        /// Constraint the error names, if it does.
        constraint: Option<String>,
    },
    /// The store answered something that its protocol or its catalog does not allow.
    #[error("store \"{store}\" answered something unexpected: {what}")]
    Unexpected {
        /// The store's URL without its password.
        store: String,
        /// What was wrong with it.
        what: String,
    },
    /// A commit or a write that the store never answered may still take effect there.
    #[error(
        "a write that store \"{store}\" never answered may still take effect: the transaction or the connection that it came with has not ended"
    )]
    Unsettled {
        /// The store's URL without its password.
        store: String,
    },
    /// The store's settings cannot be used (certificates, for one).
    #[error("store \"{store}\" cannot be set up: {reason}")]
    Setup {
        /// The store's URL without its password.
        store: String,
        /// Why.
        reason: String,
    },
}

impl StoreError {
    /// A broken or refused connection to `store`.
    pub fn unreachable(store: impl ToString, error: &io::Error) -> StoreError {
        StoreError::Unreachable {
            store: store.to_string(),
            reason: error.to_string(),
        }
    }

    /// An answer of `store` that its protocol or its catalog does not allow.
    pub fn unexpected(store: impl ToString, what: impl ToString) -> StoreError {
        StoreError::Unexpected {
            store: store.to_string(),
            what: what.to_string(),
        }
    }

    /// Whether it is unknown if the call took effect.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        matches!(
            self,
            StoreError::Unreachable { .. } | StoreError::TimedOut { .. }
        )
    }

    /// Whether the same question may well be answered later, with nothing changed about the store: it does not answer, has no room for one more
    /// connection, or somebody holds a lock on what was asked for.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            StoreError::Unreachable { .. } | StoreError::TimedOut { .. } => true,
            StoreError::Rejected { sqlstate, .. } => may_pass(sqlstate),
            StoreError::Unexpected { .. }
            | StoreError::Unsettled { .. }
            | StoreError::Setup { .. } => false,
        }
    }
}

/// PostgreSQL's classes 08 (connection), 40 (rolled back), 53 (no resources) and 57 (an operator), and what it says of a lock.
fn may_pass(sqlstate: &str) -> bool {
    const CLASSES: [&str; 4] = ["08", "40", "53", "57"];
    let is_postgres = sqlstate.len() == 5;
    is_postgres && (sqlstate == "55P03" || CLASSES.iter().any(|class| sqlstate.starts_with(class)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(sqlstate: &str) -> StoreError {
        StoreError::Rejected {
            store: "postgres://new/shop".to_owned(),
            sqlstate: sqlstate.to_owned(),
            message: "no".to_owned(),
            constraint: None,
        }
    }

    #[test]
    fn a_lock_and_a_full_server_pass_and_a_missing_table_does_not() {
        for passing in ["55P03", "57014", "57P03", "53300", "40P01", "08006"] {
            assert!(says(passing).may_pass(), "{passing}");
        }
        // The last one is an error number of MongoDB.
        for lasting in ["42P01", "42501", "28P01", "3D000", "55000", "57"] {
            assert!(!says(lasting).may_pass(), "{lasting}");
        }
    }
}
