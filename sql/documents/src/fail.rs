//! How a statement fails.

use crossfade_store::StoreError;
use crossfade_values::Error;

/// A failed step of a statement.
#[derive(Debug)]
pub(crate) enum Fail {
    /// The client is told.
    Sql(Box<Error>),
    /// Somebody else wrote what this wanted to write: the statement is run again.
    Again,
    /// The unique index of this name refused a document: which of those that were inserted, where that is known.
    Duplicate(String, Option<usize>),
}

impl From<Error> for Fail {
    fn from(error: Error) -> Fail {
        Fail::Sql(Box::new(error))
    }
}

impl Fail {
    /// What the client is told.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Fail::Sql(error) => *error,
            Fail::Again => Error::new(
                "40001",
                "could not serialize access due to concurrent update",
            ),
            Fail::Duplicate(index, _) => Error::new(
                "23505",
                format!("duplicate key value violates unique constraint \"{index}\""),
            ),
        }
    }
}

/// A store's error as the client sees it.
pub(crate) fn store_error(error: &StoreError) -> Fail {
    let told = match error {
        StoreError::Unreachable { .. } | StoreError::TimedOut { .. } => {
            Error::new("08006", "the store of documents cannot be reached")
                .detail(error.to_string())
        }
        StoreError::Rejected {
            sqlstate, message, ..
        } if sqlstate == "54000" || sqlstate == "10334" || sqlstate == "17419" => {
            Error::new("54000", "a row is too large for a document").detail(message.clone())
        }
        StoreError::Rejected { message, .. } if message.contains("will not fit in the storage engine cache") => {
            Error::new("54000", "the transaction is larger than MongoDB can hold")
                .detail(message.clone())
                .hint("make it several smaller ones, or give MongoDB a larger cache (storage.wiredTiger.engineConfig.cacheSizeGB)")
        }
        StoreError::Rejected { message, .. } => {
            Error::new("58000", "MongoDB refused a command").detail(message.clone())
        }
        other => Error::new("58000", "the store of documents failed").detail(other.to_string()),
    };
    told.into()
}
