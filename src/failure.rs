//! Why a command ended without doing what it was asked for.

use std::{fmt, process::ExitCode};

use crossfade_config::Mistakes;
use crossfade_journal::{OpenError, StateError};
use crossfade_store::{ResolveError, StoreError};

/// What the shell is told (DESIGN 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// Differences were found, or a guard refused.
    No = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// A store could not be reached, or something failed half way.
    Broken = 3,
}

/// A failed command: its exit status, and a message that ends with the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    message: String,
}

impl Failure {
    /// The answer is no.
    pub(crate) fn no(message: impl Into<String>) -> Failure {
        Failure {
            status: Status::No,
            message: message.into(),
        }
    }

    /// The command line or the file is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure {
            status: Status::Usage,
            message: message.into(),
        }
    }

    /// Something failed.
    pub(crate) fn broken(message: impl Into<String>) -> Failure {
        Failure {
            status: Status::Broken,
            message: message.into(),
        }
    }

    /// For the shell.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Failure {
        let count = mistakes.list.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        Failure::usage(format!(
            "{count} {noun} in the configuration; correct the file and run the command again\n{mistakes}"
        ))
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        Failure::broken(error.to_string())
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Failure {
        Failure::broken(format!(
            "{error}; nothing was changed, make room or correct the rights of the folder and run the command again"
        ))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::broken(format!("{error}; `crossfade check` tries both stores"))
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Failure {
        match error {
            ResolveError::Store(error) => error.into(),
            mistakes @ ResolveError::Mistakes(_) => Failure::usage(format!(
                "{mistakes}\ncorrect the file or the tables, then run `crossfade check`"
            )),
        }
    }
}
