//! Errors as PostgreSQL raises them.

use std::fmt;

/// Outcome of an evaluation.
pub type Result<T> = std::result::Result<T, Error>;

/// An error that the client gets, in PostgreSQL's own words where PostgreSQL would raise it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// SQLSTATE.
    pub sqlstate: &'static str,
    /// Primary message.
    pub message: String,
    /// Detail.
    pub detail: Option<String>,
    /// Hint.
    pub hint: Option<String>,
    /// What a violated constraint is called.
    pub named: Option<Box<Named>>,
    /// Byte offset in the statement's text.
    pub at: Option<usize>,
    /// Where it happened, for what has no place in the statement's text.
    pub context: Option<Box<Context>>,
}

/// Names of a constraint's error fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Column, for NOT NULL.
    pub column: Option<String>,
    /// Constraint.
    pub constraint: Option<String>,
    /// Domain, for a value that it refuses.
    pub datatype: Option<String>,
}

/// Where something happened, in PostgreSQL's words. Boxed, since nearly every function may return an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context(pub String);

impl Error {
    /// An error with this SQLSTATE and message.
    pub fn new(sqlstate: &'static str, message: impl Into<String>) -> Error {
        Error {
            sqlstate,
            message: message.into(),
            detail: None,
            hint: None,
            named: None,
            at: None,
            context: None,
        }
    }

    /// Something that PostgreSQL does and that is not done here.
    pub fn unsupported(what: impl fmt::Display) -> Error {
        Error::new("0A000", format!("{what} is not served on documents"))
    }

    /// With a detail.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Error {
        Error {
            detail: Some(detail.into()),
            ..self
        }
    }

    /// With a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Error {
        Error {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// With a context, unless one is known already.
    #[must_use]
    pub fn context(self, context: impl FnOnce() -> String) -> Error {
        Error {
            context: self.context.or_else(|| Some(Box::new(Context(context())))),
            ..self
        }
    }

    /// At this byte of the statement, unless a place is known already.
    #[must_use]
    pub fn at(self, offset: usize) -> Error {
        Error {
            at: self.at.or(Some(offset)),
            ..self
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sqlstate, self.message)
    }
}

impl std::error::Error for Error {}
