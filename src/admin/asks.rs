//! What commands ask a running proxy, and what it answers: both ends use these types.

use serde::{Deserialize, Serialize};

/// Header that every POST carries. A page in a browser cannot send it to another origin, so that none can move a toggle.
pub(crate) const HEADER: &str = "x-crossfade";

/// Answer of `GET /guard`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GuardAnswer {
    /// Whether the move may be made now.
    pub(crate) ok: bool,
    /// Whether it could be made with an override: it is a legal move.
    pub(crate) legal: bool,
    /// Whether what fails passes by itself within moments.
    pub(crate) passing: bool,
    /// The move.
    #[serde(rename = "move")]
    pub(crate) step: String,
    /// The conditions that fail.
    pub(crate) unmet: Vec<UnmetAnswer>,
    /// What is behind them.
    pub(crate) details: Vec<String>,
}

/// A condition that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnmetAnswer {
    /// What is so.
    pub(crate) what: String,
    /// The command that fixes it.
    pub(crate) command: String,
}

/// Answer of `POST /forget`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Forgotten {
    /// The toggles that it counted in.
    pub(crate) toggles: Vec<String>,
}

/// Any error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorAnswer {
    /// What is wrong and what to do.
    pub(crate) error: String,
}

/// The parts of a query string, decoded; `None` when it is malformed.
pub(crate) fn parse_query(query: &str) -> Option<Vec<(String, String)>> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(name)?, decode(value)?))
    };
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(pair)
        .collect()
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// A query string from its parts.
pub(crate) fn query(parts: &[(&str, &str)]) -> String {
    let parts: Vec<String> = parts
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    parts.join("&")
}

fn encode(text: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_come_back_as_they_were() {
        let parts = [
            ("toggle", "a & b"),
            ("because", "100% sure: für größere Läden + mehr"),
        ];
        let parsed = parse_query(&query(&parts)).unwrap();
        let parsed: Vec<(&str, &str)> = parsed
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(parsed, parts);
        assert_eq!(parse_query("a=%zz"), None);
        assert_eq!(parse_query("a=%2"), None);
    }
}
