//! The driver's errors in the store's own terms.

use mongodb::error::{Error, ErrorKind, UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure};

use super::{Conn, DUPLICATE_KEY, WRITE_CONFLICT};
use crate::StoreError;

/// Label of errors after which the whole transaction may be tried again.
const TRANSIENT: &str = "TransientTransactionError";

/// A failed step of a transaction.
#[derive(Debug)]
pub(in crate::mongo) struct WriteError {
    /// Nothing has happened, and trying again may help.
    pub(in crate::mongo) transient: bool,
    /// Which document of the command it is about.
    pub(in crate::mongo) document: Option<usize>,
    pub(in crate::mongo) error: StoreError,
}

impl Conn {
    /// The driver's error in the store's terms.
    pub(in crate::mongo) fn error(&self, error: &Error) -> StoreError {
        let unreachable = || StoreError::Unreachable {
            store: self.url(),
            reason: self.reason(error),
        };
        match error.kind.as_ref() {
            ErrorKind::Command(command) => self.rejected(
                command.code,
                format!("{}: {}", command.code_name, command.message),
            ),
            ErrorKind::Write(WriteFailure::WriteError(write)) => {
                self.rejected(write.code, write.message.clone())
            }
            ErrorKind::InsertMany(many) => {
                match many.write_errors.as_ref().and_then(|all| all.first()) {
                    Some(first) => self.rejected(first.code, first.message.clone()),
                    None => unreachable(),
                }
            }
            // What the driver does not even send: a document beyond 16 MB, say.
            ErrorKind::InvalidArgument { message, .. } => StoreError::Rejected {
                store: self.url(),
                sqlstate: "54000".to_owned(),
                message: message.clone(),
                constraint: None,
            },
            ErrorKind::Authentication { message, .. } => self.rejected(18, message.clone()),
            _ => unreachable(),
        }
    }

    /// The server's own code of an error.
    pub(in crate::mongo) fn code(&self, error: &Error) -> Option<i32> {
        match error.kind.as_ref() {
            ErrorKind::Command(command) => Some(command.code),
            ErrorKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
            _ => None,
        }
    }

    /// What the driver's error comes down to. Its own text goes on with the whole view that it has of the deployment.
    fn reason(&self, error: &Error) -> String {
        match error.kind.as_ref() {
            ErrorKind::Io(error) => error.to_string(),
            ErrorKind::ServerSelection { message, .. }
            | ErrorKind::ConnectionPoolCleared { message, .. } => match cause(message) {
                Some(cause) => cause.to_owned(),
                None if message.contains("ReplicaSetNoPrimary") => {
                    "no member of the replica set takes writes".to_owned()
                }
                None => format!(
                    "no server answered within {} ms",
                    self.config.connect_timeout.as_millis()
                ),
            },
            ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => concern.message.clone(),
            ErrorKind::InsertMany(many) => match &many.write_concern_error {
                Some(concern) => concern.message.clone(),
                None => "an insert was not answered in full".to_owned(),
            },
            kind => kind.to_string(),
        }
    }

    /// Something in the store that the mapping does not expect.
    pub(in crate::mongo) fn unexpected(&self, what: impl ToString) -> StoreError {
        StoreError::unexpected(&self.config.url, what)
    }

    /// What the server refused: by the SQLSTATE that says the same, or else by its own code.
    pub(in crate::mongo) fn rejected(&self, code: i32, message: String) -> StoreError {
        StoreError::Rejected {
            store: self.url(),
            sqlstate: match code {
                DUPLICATE_KEY => "23505".to_owned(),
                WRITE_CONFLICT => "40001".to_owned(),
                // A document that fails its collection's validator.
                121 => "23514".to_owned(),
                code => code.to_string(),
            },
            constraint: None,
            message,
        }
    }

    /// The driver's error, and whether the transaction may be tried again.
    pub(in crate::mongo) fn write_error(&self, error: &Error) -> WriteError {
        WriteError {
            transient: error.contains_label(TRANSIENT)
                && !error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT),
            document: None,
            error: self.error(error),
        }
    }
}

/// The error in the middle of such a text: `… Error: Kind: I/O error: Connection refused (os error 111), labels: {} …`.
fn cause(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("Kind: ")?;
    let (kind, _) = rest.split_once(", labels:")?;
    Some(kind.strip_prefix("I/O error: ").unwrap_or(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_found_in_the_middle_of_what_the_driver_says() {
        let said = "Server selection timeout: No available servers. Topology: { Type: ReplicaSetNoPrimary, Set Name: rs0, Servers: [ { Address: 127.0.0.1:1, \
                    Type: Unknown, Error: Kind: I/O error: Connection refused (os error 111), labels: {} } ] }";
        assert_eq!(cause(said), Some("Connection refused (os error 111)"));
        let said = "Connection pool for 127.0.0.1:1 cleared because another operation failed with: Kind: SCRAM failure: no, labels: {}, source: None";
        assert_eq!(cause(said), Some("SCRAM failure: no"));
        assert_eq!(
            cause("Server selection timeout: No available servers."),
            None
        );
    }
}
