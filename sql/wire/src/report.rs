//! An error or notice on its way to the client.

use crossfade_values::Error;

/// Outcome of what a session does for its client.
pub(crate) type Result<T> = std::result::Result<T, Report>;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Notice,
    Warning,
    Error,
    /// The connection ends with it.
    Fatal,
}

impl Severity {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Severity::Notice => "NOTICE",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }
}

/// An error, with what only the session knows of it. Boxed, since nearly every function may return one.
#[derive(Debug, Clone)]
pub(crate) struct Report(Box<Told>);

/// What a [`Report`] says.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) severity: Severity,
    pub(crate) error: Error,
    /// A SQLSTATE that somebody else chose, in place of the error's.
    pub(crate) raised: Option<String>,
    /// In characters of what the client sent, from 1.
    pub(crate) position: Option<usize>,
}

impl std::ops::Deref for Report {
    type Target = Told;

    fn deref(&self) -> &Told {
        &self.0
    }
}

impl std::ops::DerefMut for Report {
    fn deref_mut(&mut self) -> &mut Told {
        &mut self.0
    }
}

impl Report {
    pub(crate) fn new(sqlstate: &'static str, message: impl Into<String>) -> Report {
        Error::new(sqlstate, message).into()
    }

    pub(crate) fn warning(sqlstate: &'static str, message: impl Into<String>) -> Report {
        let mut report = Report::new(sqlstate, message);
        report.severity = Severity::Warning;
        report
    }

    pub(crate) fn notice(message: impl Into<String>) -> Report {
        let mut report = Report::new("00000", message);
        report.severity = Severity::Notice;
        report
    }

    pub(crate) fn fatal(sqlstate: &'static str, message: impl Into<String>) -> Report {
        Report::new(sqlstate, message).and_ends()
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Report {
        Report::new("08P01", message)
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Report {
        self.error.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Report {
        self.error.detail = Some(detail.into());
        self
    }

    /// The connection ends with it.
    #[must_use]
    pub(crate) fn and_ends(mut self) -> Report {
        self.severity = Severity::Fatal;
        self
    }

    pub(crate) fn sqlstate(&self) -> &str {
        self.raised.as_deref().unwrap_or(self.error.sqlstate)
    }

    /// Turns the byte offset into a position in what the client sent: `source`, in which the statement's text begins at `offset`.
    #[must_use]
    pub(crate) fn located(mut self, source: &str, offset: usize) -> Report {
        if let (None, Some(at)) = (self.position, self.error.at) {
            let before = source.get(..offset + at).unwrap_or(source);
            self.position = Some(before.chars().count() + 1);
        }
        self
    }
}

impl From<Error> for Report {
    fn from(error: Error) -> Report {
        // Whether it committed is not known: only the end of the connection tells a client so in a way that every driver understands.
        let severity = if error.sqlstate == "08007" {
            Severity::Fatal
        } else {
            Severity::Error
        };
        Report(Box::new(Told {
            severity,
            error,
            raised: None,
            position: None,
        }))
    }
}
