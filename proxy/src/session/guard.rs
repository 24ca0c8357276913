//! Texts that cannot be read as the server reads them.

use super::managed::Managed;
use crate::{errors::ClientError, sql::StatementFacts};

/// Client encodings in which a byte of a character may look like a quote or a backslash: the text cannot be read as the server reads it.
const UNREADABLE: &[&str] = &[
    "SJIS",
    "SHIFT_JIS_2004",
    "BIG5",
    "GBK",
    "UHC",
    "GB18030",
    "JOHAB",
];

impl Managed {
    /// What the client was last told of a setting.
    pub(super) fn told(&self, name: &str) -> &str {
        let told = self.status.iter().find(|(known, _)| known == name);
        told.map_or("", |(_, value)| value.as_str())
    }

    /// Whether the bytes that client and server exchange are UTF-8, as those of the secondary's connection are.
    pub(super) fn speaks_utf8(&self) -> bool {
        match self.told("client_encoding") {
            "UTF8" | "" => true,
            // Nothing is converted.
            "SQL_ASCII" => matches!(self.told("server_encoding"), "UTF8" | "SQL_ASCII" | ""),
            _ => false,
        }
    }

    /// Refuses a text that cannot be read, or in which a mapped table's name would not be seen.
    pub(super) fn check_text(&self, sql: &[u8]) -> Result<(), ClientError> {
        if sql.is_ascii() || self.router.is_careless() {
            return Ok(());
        }
        let encoding = self.told("client_encoding");
        let unseen = self.router.analyzer().is_beyond_ascii() && !self.speaks_utf8();
        if unseen || UNREADABLE.contains(&encoding) {
            return Err(ClientError::new(
                "0A000",
                format!("crossfade cannot read SQL in client_encoding {encoding}"),
            )
            .hint("SET client_encoding TO 'UTF8'"));
        }
        Ok(())
    }

    /// Refuses a write whose images would be in another encoding than the other store's connection, and bytes that are none.
    pub(super) fn check_encoding(
        &self,
        sql: &[u8],
        statement: &StatementFacts,
        captures: bool,
    ) -> Result<(), ClientError> {
        if captures && !self.speaks_utf8() {
            let encoding = self.told("client_encoding");
            return Err(self
                .router
                .refusal(
                    statement,
                    &format!("a write in client_encoding {encoding}"),
                    "SET client_encoding TO 'UTF8' for sessions that write while a toggle writes both stores",
                ));
        }
        if self.told("client_encoding") == "UTF8"
            && let Err(error) = std::str::from_utf8(sql)
        {
            let bad: Vec<String> = sql[error.valid_up_to()..]
                .iter()
                .take(error.error_len().unwrap_or(1))
                .map(|byte| format!("0x{byte:02x}"))
                .collect();
            return Err(ClientError::new(
                "22021",
                format!(
                    "invalid byte sequence for encoding \"UTF8\": {}",
                    bad.join(" ")
                ),
            ));
        }
        Ok(())
    }
}
