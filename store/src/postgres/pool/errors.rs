//! What a driver's error means.

use super::Shared;
use crate::StoreError;

impl Shared {
    pub(super) fn store(&self) -> String {
        self.config.url.to_string()
    }

    pub(super) fn unexpected(&self, what: impl ToString) -> StoreError {
        StoreError::unexpected(self.store(), what)
    }

    pub(super) fn error(&self, error: &tokio_postgres::Error) -> StoreError {
        if let Some(said) = error.as_db_error() {
            let sqlstate = said.code().code().to_owned();
            let message = match said.detail() {
                Some(detail) => format!("{}; {detail}", said.message()),
                None => said.message().to_owned(),
            };
            // Class 57P: the server ends the session, and with it what was under way.
            if sqlstate.starts_with("57P") || sqlstate.starts_with("08") {
                return StoreError::Unreachable {
                    store: self.store(),
                    reason: message,
                };
            }
            return StoreError::Rejected {
                store: self.store(),
                sqlstate,
                message,
                constraint: said.constraint().map(str::to_owned),
            };
        }
        let reason = with_source(error);
        let io =
            std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>());
        if error.is_closed() || io {
            StoreError::Unreachable {
                store: self.store(),
                reason,
            }
        } else {
            self.unexpected(reason)
        }
    }
}

pub(super) fn with_source(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
