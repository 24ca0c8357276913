//! What a client is told.

use bytes::BytesMut;

use crate::wire::backend;

/// An error for a client: fit for an `ErrorResponse`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ClientError {
    /// SQLSTATE.
    pub sqlstate: &'static str,
    /// What happened: table and phase where they matter.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl ClientError {
    /// An error with its SQLSTATE.
    pub fn new(sqlstate: &'static str, message: impl Into<String>) -> ClientError {
        ClientError {
            sqlstate,
            message: message.into(),
            detail: None,
            hint: None,
        }
    }

    /// With the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> ClientError {
        self.hint = Some(hint.into());
        self
    }

    /// With more about it.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> ClientError {
        self.detail = Some(detail.into());
        self
    }

    /// Appends the `ErrorResponse`. `severity` is `ERROR`, or `FATAL` when the connection ends with it.
    pub fn write(&self, out: &mut BytesMut, severity: &str) {
        backend::error(
            out,
            severity,
            self.sqlstate,
            &self.message,
            self.detail.as_deref(),
            self.hint.as_deref(),
        );
    }

    /// SQL that makes a server raise this error, so that the state of its transaction follows by the server's own rules.
    #[must_use]
    pub fn raising_sql(&self) -> String {
        let mut using = format!(
            "ERRCODE = {}, MESSAGE = {}",
            literal(self.sqlstate),
            literal(&self.message)
        );
        for (name, text) in [("DETAIL", &self.detail), ("HINT", &self.hint)] {
            if let Some(text) = text {
                using.push_str(&format!(", {name} = {}", literal(text)));
            }
        }
        let body = format!("BEGIN RAISE EXCEPTION USING {using}; END");
        format!("DO LANGUAGE plpgsql {}", literal(&body))
    }
}

/// A literal that means the same whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_survive_both_levels_of_quoting() {
        let sql = ClientError::new("0A000", "table \"a'b\\c\"").raising_sql();
        assert!(
            pg_query::parse(&sql, pg_query::ParserOptions::DEFAULT).is_ok(),
            "{sql}"
        );
    }
}
