//! A session's settings, with PostgreSQL's rules about transactions: `SET` is taken back by ROLLBACK, `SET LOCAL` ends with the transaction.

mod known;
mod rules;

use std::{collections::BTreeMap, sync::Arc};

use crossfade_values::{Error, Result};

pub(crate) use known::{KNOWN, boolean};

type Values = Arc<BTreeMap<String, String>>;

/// What is set over the defaults.
#[derive(Debug, Clone, Default)]
struct Scopes {
    session: Values,
    /// Until the transaction ends.
    local: Values,
}

/// Settings by their lower-case names.
#[derive(Debug)]
pub(crate) struct Settings {
    defaults: BTreeMap<String, String>,
    now: Scopes,
    /// As they were at the transaction's begin and at its savepoints.
    saved: Vec<Scopes>,
    /// An administrator's settings may be set.
    any: bool,
    /// Names that may have another value than when it was last asked.
    moved: Vec<String>,
}

impl Settings {
    /// Settings with these defaults over PostgreSQL's own.
    pub(crate) fn new(any: bool, defaults: impl IntoIterator<Item = (String, String)>) -> Settings {
        let mut all: BTreeMap<String, String> = KNOWN
            .iter()
            .map(|(name, known)| (name.clone(), known.default.to_owned()))
            .collect();
        all.extend(
            defaults
                .into_iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value)),
        );
        Settings {
            moved: all.keys().cloned().collect(),
            defaults: all,
            now: Scopes::default(),
            saved: Vec::new(),
            any,
        }
    }

    /// A default that came with the startup packet: what RESET goes back to.
    ///
    /// # Errors
    /// When there is no such setting or it does not take the value.
    pub(crate) fn start_with(&mut self, name: &str, value: &str) -> Result<()> {
        let value = self.canonical(name, value)?;
        let name = name.to_ascii_lowercase();
        self.moved.push(name.clone());
        self.defaults.insert(name, value);
        Ok(())
    }

    /// Whether answers are right under the defaults as they are now: the old server's own may be others than those that are served.
    ///
    /// # Errors
    /// Names the setting.
    pub(crate) fn check(&self) -> Result<()> {
        for name in ["DateStyle", "IntervalStyle", "TimeZone", "client_encoding"] {
            self.canonical(name, self.show(name)?)?;
        }
        Ok(())
    }

    fn canonical(&self, name: &str, value: &str) -> Result<String> {
        rules::canonical(name, value, self.get(name).unwrap_or_default(), self.any)
    }

    /// The value as SHOW gives it.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let lower = name.to_ascii_lowercase();
        let Scopes { session, local } = &self.now;
        let set = local.get(&lower).or_else(|| session.get(&lower));
        set.or_else(|| self.defaults.get(&lower))
            .map(String::as_str)
    }

    /// As [`Settings::get`], of a setting that somebody asks for.
    ///
    /// # Errors
    /// When there is no such setting.
    pub(crate) fn show(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| rules::unknown(name))
    }

    /// Sets it; `None` for its default. Gives the value as SHOW gives it.
    ///
    /// # Errors
    /// When there is no such setting or it does not take the value.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<String> {
        let lower = name.to_ascii_lowercase();
        let value = match value {
            Some(value) => Some(self.canonical(name, value)?),
            None if self.defaults.contains_key(&lower) => {
                self.canonical_fixed(name)?;
                None
            }
            // The default of a setting of the application's own is empty.
            None => Some(self.canonical(name, "")?),
        };
        self.moved.push(lower.clone());
        if local {
            let value = value.unwrap_or_else(|| self.defaults[&lower].clone());
            Arc::make_mut(&mut self.now.local).insert(lower, value.clone());
            return Ok(value);
        }
        Arc::make_mut(&mut self.now.local).remove(&lower);
        let session = Arc::make_mut(&mut self.now.session);
        match value {
            Some(value) => {
                session.insert(lower, value.clone());
                Ok(value)
            }
            None => {
                session.remove(&lower);
                Ok(self.defaults[&lower].clone())
            }
        }
    }

    /// Whether it may be reset.
    fn canonical_fixed(&self, name: &str) -> Result<()> {
        let default = self.defaults[&name.to_ascii_lowercase()].clone();
        match rules::canonical(name, &default, &default, self.any) {
            Err(error) if matches!(error.sqlstate, "55P02" | "42501") => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// RESET ALL, which leaves the role.
    pub(crate) fn reset_all(&mut self) {
        let keep = |name: &str| matches!(name, "role" | "session_authorization");
        let names: Vec<String> = self.changed().map(|(name, _)| name.to_owned()).collect();
        for scope in [&mut self.now.session, &mut self.now.local] {
            Arc::make_mut(scope).retain(|name, _| keep(name));
        }
        self.moved.extend(names);
    }

    /// What is set in the session, by `SET` or `set_config`.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (&str, &str)> {
        let Scopes { session, local } = &self.now;
        let only_local = local
            .iter()
            .filter(|(name, _)| !session.contains_key(*name));
        session
            .iter()
            .chain(only_local)
            .map(|(name, _)| (&name[..], self.get(name).unwrap_or_default()))
    }

    /// Every setting but the application's own, by the name that SHOW ALL gives.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &str)> {
        KNOWN
            .values()
            .map(|known| (known.name, self.get(known.name).unwrap_or_default()))
    }

    /// Names that may have changed since the last call.
    pub(crate) fn take_moved(&mut self) -> Vec<String> {
        std::mem::take(&mut self.moved)
    }

    /// Begins a transaction, or marks a savepoint.
    pub(crate) fn save(&mut self) {
        self.saved.push(self.now.clone());
    }

    /// Back to what was when `depth` marks were there; the mark stays.
    pub(crate) fn restore(&mut self, depth: usize) {
        self.saved.truncate(depth + 1);
        if let Some(saved) = self.saved.last().cloned() {
            self.go_to(saved);
        }
    }

    /// Forgets the marks from `depth` on.
    pub(crate) fn release(&mut self, depth: usize) {
        self.saved.truncate(depth);
    }

    /// Ends the transaction.
    pub(crate) fn end(&mut self, committed: bool) {
        let first = self.saved.drain(..).next();
        let session = match first {
            Some(first) if !committed => first.session,
            Some(_) | None => self.now.session.clone(),
        };
        self.go_to(Scopes {
            session,
            local: Values::default(),
        });
    }

    fn go_to(&mut self, there: Scopes) {
        let here = std::mem::replace(&mut self.now, there);
        for (before, after) in [
            (&here.session, &self.now.session),
            (&here.local, &self.now.local),
        ] {
            if !Arc::ptr_eq(before, after) {
                self.moved.extend(before.keys().cloned());
                self.moved.extend(after.keys().cloned());
            }
        }
    }
}

/// The schemas of a search path that exist, as `current_schemas(false)` gives them.
pub(crate) fn schemas(path: &str, user: &str, exist: &[String]) -> Vec<String> {
    let mut schemas: Vec<String> = Vec::new();
    for name in rules::identifiers(path).unwrap_or_default() {
        let name = if name == "$user" {
            user.to_owned()
        } else {
            name
        };
        let exists = exist.contains(&name) || name == "pg_catalog" || name == "information_schema";
        if exists && !schemas.contains(&name) {
            schemas.push(name);
        }
    }
    schemas
}

/// A value for a list of names from the words of a SET.
pub(crate) fn list_of(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote_ident(word)).collect();
    quoted.join(", ")
}

/// The name as SQL writes it, quoted where it has to be.
pub(crate) fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Whether a setting's value is a list of names.
pub(crate) fn is_list(name: &str) -> bool {
    matches!(
        &name.to_ascii_lowercase()[..],
        "search_path"
            | "temp_tablespaces"
            | "session_preload_libraries"
            | "local_preload_libraries"
    )
}

/// A time in milliseconds as a setting shows it.
pub fn milliseconds(shown: &str) -> u64 {
    let digits = shown
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(shown.len());
    let number: u64 = shown[..digits].parse().unwrap_or(0);
    let factor = match &shown[digits..] {
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ms => 1,
    };
    number.saturating_mul(factor)
}

/// What SET LOCAL and its kind say outside of a block.
pub(crate) fn only_in_block(what: &str) -> Error {
    Error::new(
        "25P01",
        format!("{what} can only be used in transaction blocks"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(settings: &Settings) -> &str {
        settings.get("statement_timeout").unwrap()
    }

    fn settings() -> Settings {
        Settings::new(false, [])
    }

    #[test]
    fn what_a_transaction_set_goes_with_its_rollback() {
        let mut settings = settings();
        settings.save();
        settings
            .set("statement_timeout", Some("5s"), false)
            .unwrap();
        settings.save();
        settings.set("statement_timeout", Some("7s"), true).unwrap();
        assert_eq!(shown(&settings), "7s");
        settings.restore(1);
        assert_eq!(shown(&settings), "5s");
        settings.end(false);
        assert_eq!(shown(&settings), "0");
    }

    #[test]
    fn local_ends_with_the_transaction_and_set_stays() {
        let mut settings = settings();
        settings.save();
        settings
            .set("statement_timeout", Some("5s"), false)
            .unwrap();
        settings.set("statement_timeout", Some("7s"), true).unwrap();
        settings.take_moved();
        settings.end(true);
        assert_eq!(shown(&settings), "5s");
        assert!(
            settings
                .take_moved()
                .contains(&"statement_timeout".to_owned())
        );
        settings.set("statement_timeout", None, false).unwrap();
        assert_eq!(shown(&settings), "0");
    }

    #[test]
    fn a_startup_parameter_is_what_reset_goes_back_to() {
        let mut settings = settings();
        settings.start_with("statement_timeout", "3000").unwrap();
        settings.set("statement_timeout", Some("1"), false).unwrap();
        settings.set("role", Some("app"), false).unwrap();
        settings.reset_all();
        assert_eq!(shown(&settings), "3s");
        assert_eq!(settings.get("role"), Some("app"));
    }

    #[test]
    fn only_schemas_that_exist_are_in_the_path() {
        let exist = ["public".to_owned(), "app".to_owned()];
        assert_eq!(
            schemas("\"$user\", public, nowhere", "app", &exist),
            ["app", "public"]
        );
    }

    #[test]
    fn times_are_read_back() {
        assert_eq!(milliseconds("5s"), 5000);
        assert_eq!(milliseconds("1500ms"), 1500);
        assert_eq!(milliseconds("0"), 0);
    }
}
