//! The file that `users.file` names: who may log in where no server passes authentication through.
//!
//! One line a user: `name SCRAM-SHA-256$4096:salt$key:key`, as `pg_authid` has it. A name with blanks, a quote or a leading `#` stands in double quotes, in which a
//! quote is doubled. Empty lines, and what follows a `#` at the start of a line or after the password, say nothing.

use std::{collections::BTreeSet, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// One user. `Debug` does not show what the password is checked by.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// What the password is checked by: `SCRAM-SHA-256$…`. The password cannot be had from it.
    pub verifier: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for User {
    /// The user's line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let User { name, verifier } = self;
        let plain = !name.is_empty()
            && !name.starts_with('#')
            && !name.contains(|c: char| c == '"' || c.is_whitespace());
        if plain {
            write!(f, "{name} {verifier}")
        } else {
            write!(f, "\"{}\" {verifier}", name.replace('"', "\"\""))
        }
    }
}

/// A line that cannot be used. It does not repeat what the line holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {why}")]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

/// The users of a text.
///
/// # Errors
/// The first line that cannot be used.
pub fn parse(text: &str) -> Result<Vec<User>, BadLine> {
    let mut users = Vec::new();
    let mut names = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let bad = |why| BadLine {
            line: index + 1,
            why,
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let user = user(line).map_err(bad)?;
        if !names.insert(user.name.clone()) {
            return Err(bad("names a user a second time"));
        }
        users.push(user);
    }
    Ok(users)
}

fn user(line: &str) -> Result<User, &'static str> {
    let (name, rest) = name(line)?;
    let mut words = rest.split_whitespace();
    let verifier = words.next().ok_or("has a name and no password")?;
    if words.next().is_some_and(|word| !word.starts_with('#')) {
        return Err("goes on behind the password");
    }
    if name.is_empty() {
        return Err("has an empty name");
    }
    if name.chars().any(char::is_control) {
        return Err("has a control character in its name");
    }
    if !is_verifier(verifier) {
        return Err("has a password that is not of the form SCRAM-SHA-256$iterations:salt$key:key");
    }
    Ok(User {
        name,
        verifier: verifier.to_owned(),
    })
}

/// The name at the start of a line, and what follows it.
fn name(line: &str) -> Result<(String, &str), &'static str> {
    let Some(mut rest) = line.strip_prefix('"') else {
        let end = line.find(char::is_whitespace).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        return Ok((name.to_owned(), rest));
    };
    let mut name = String::new();
    loop {
        let (part, after) = rest.split_once('"').ok_or("has an open quote")?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None if after.starts_with(char::is_whitespace) || after.is_empty() => {
                return Ok((name, after));
            }
            None => return Err("goes on behind a closing quote"),
        }
    }
}

/// Whether a password is kept in the one form that can be checked: `SCRAM-SHA-256$iterations:salt$stored key:server key`.
#[must_use]
pub fn is_verifier(text: &str) -> bool {
    let parts = || {
        let (iterations, rest) = text.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored, server) = keys.split_once(':')?;
        let counts = iterations.parse::<u32>().is_ok_and(|count| count > 0);
        let is_key = |key| STANDARD.decode(key).is_ok_and(|key| key.len() == 32);
        Some(counts && STANDARD.decode(salt).is_ok() && is_key(stored) && is_key(server))
    };
    parts().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    fn read(text: &str) -> Result<Vec<String>, String> {
        parse(&text.replace("{}", VERIFIER))
            .map(|users| users.into_iter().map(|user| user.name).collect())
            .map_err(|bad| bad.to_string())
    }

    #[test]
    fn users_are_read_and_written_alike() {
        let text = "# who may log in\n\napp {}\n  \"two words\" {} # the report\n\"a\"\"b\" {}\r\n\"#1\"\t{}\n";
        let names = ["app", "two words", "a\"b", "#1"];
        assert_eq!(read(text).unwrap(), names);
        let users = parse(&text.replace("{}", VERIFIER)).unwrap();
        let lines: Vec<String> = users.iter().map(User::to_string).collect();
        assert_eq!(parse(&lines.join("\n")).unwrap(), users);
        assert!(!format!("{users:?}").contains("SCRAM"));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_and_nothing_of_it_is_repeated() {
        for (text, told) in [
            ("app", "line 1 has a name and no password"),
            ("app {}\napp {}", "line 2 names a user a second time"),
            (
                "app md5abc",
                "line 1 has a password that is not of the form",
            ),
            (
                "app SCRAM-SHA-256$0:AAAA$AA:BB",
                "line 1 has a password that is not",
            ),
            ("\"app {}", "line 1 has an open quote"),
            ("\"app\"x {}", "line 1 goes on behind a closing quote"),
            ("\"\" {}", "line 1 has an empty name"),
            ("app {} more", "line 1 goes on behind the password"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(told), "{error}");
            assert!(!error.contains("md5abc") && !error.contains("AAAA"));
        }
    }
}
