//! A client's role at work on a connection that our own account has opened: it may do there what it may do, and not what our account may.
//!
//! The server takes the session for one of our account, and would let it become whatever that account may be. What a statement says of roles is looked at here.
//! What a function does that a client may write is beyond this (`docs/guarantees.md`).

use std::collections::HashSet;

use bytes::Bytes;
use crossfade_config::StoreKind;
use crossfade_phase::Side;
use crossfade_store::postgres::sql::{quote_ident, quote_literal};

use super::{End, handover::text, managed::Managed, settings::LIFTED};
use crate::{
    errors::ClientError,
    route::{Plan, may_set},
    sql::{Kind, SetAction, SetTarget, StatementFacts},
};

/// Roles that the one of this name may become. From 16 on a membership may be without the right to.
fn may_become(role: &str) -> String {
    format!(
        "SELECT rolname FROM pg_catalog.pg_roles WHERE pg_catalog.pg_has_role({}, oid, \
         CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)",
        quote_literal(role)
    )
}

/// The function `set_config`, as a `FunctionCall` names it.
const SET_CONFIG: u32 = 2078;

/// The client's role on a connection of our own account.
#[derive(Debug, Clone)]
pub(crate) struct ActsAs {
    pub(crate) role: String,
    /// Roles that it may become, itself among them, as they were when the connection was made. `None` where roles have no rights of their own: documents.
    may_become: Option<HashSet<String>>,
}

impl ActsAs {
    pub(crate) fn new(role: String, store: StoreKind) -> ActsAs {
        let has_rights = store != StoreKind::Mongo;
        ActsAs {
            may_become: has_rights.then(|| HashSet::from([role.clone()])),
            role,
        }
    }

    /// A session authorization has no like there: as a mere role it would not bound what the session may become, nor last through RESET ROLE.
    pub(super) fn cannot_be_authorized(&self, user: &str) -> ClientError {
        let told = format!(
            "\"{}\" is \"{user}\" by SET SESSION AUTHORIZATION, which cannot be had on a connection of crossfade's",
            self.role
        );
        ClientError::new("0A000", told)
    }

    /// The server would say so of a session of the role's own.
    pub(super) fn check_role(&self, wanted: &str) -> Result<(), ClientError> {
        let Some(may_become) = &self.may_become else {
            return Ok(());
        };
        if may_become.contains(wanted) {
            return Ok(());
        }
        Err(ClientError::new("42501", format!("permission denied to set role \"{wanted}\""))
            .detail(format!("\"{}\" was no member of it when this session came to the store, or there is no such role", self.role))
            .hint("connect again when it was granted since"))
    }
}

impl Managed {
    /// Asks what the client's role may become, on a connection that is new.
    ///
    /// # Errors
    /// When the session is over.
    pub(super) async fn learn_roles(&mut self, side: Side) -> Result<(), End> {
        let acts_as = self.backend(side)?.acts_as.as_ref();
        let Some(acts_as) = acts_as.filter(|acts_as| acts_as.may_become.is_some()) else {
            return Ok(());
        };
        let question = may_become(&acts_as.role);
        let cannot_be_used = |why| {
            let told = format!("the {side} store cannot be used for this session");
            End::Fatal(ClientError::new("08001", told).detail(why))
        };
        let told = self.ask_beyond(&LIFTED, side, &question).await?;
        let told = told.map_err(|refused| cannot_be_used(refused.message))?;
        let began_as = self.began_as();
        let Some(acts_as) = self.backend(side)?.acts_as.as_mut() else {
            return Ok(());
        };
        if let Some(may_become) = &mut acts_as.may_become {
            let names = told.into_iter().flatten().flatten();
            may_become.extend(names.map(|name| text(&name)));
        }
        match began_as {
            None => Ok(()),
            Some(role) => {
                let checked = acts_as.check_role(&role);
                checked.map_err(|error| cannot_be_used(error.message))
            }
        }
    }

    /// The role that the client's startup packet asks for: RESET ROLE leads back to it.
    pub(super) fn began_as(&self) -> Option<String> {
        let value = |name| {
            let mut parameters = self.parameters.iter();
            parameters.find_map(|(known, value)| (known == name).then_some(value))
        };
        let role = match value("role") {
            Some(role) => Some(role.clone()),
            None => value("options").and_then(|options| role_in(options)),
        };
        role.filter(|role| role != "none")
    }

    /// Refuses what would bring our account to light on a connection of its own. Answers with the text to send instead.
    pub(super) fn check_account(
        &mut self,
        statement: &StatementFacts,
        sql: &[u8],
        plan: &Plan,
    ) -> Result<Option<Bytes>, ClientError> {
        let conforming = self.conforming();
        let backend = self.backends.get(plan.side);
        let Some(acts_as) = backend.and_then(|backend| backend.acts_as.as_ref()) else {
            return Ok(None);
        };
        match &statement.kind {
            Kind::Set(set) if set.target == SetTarget::Role => {
                let SetAction::To(values) = &set.action else {
                    return Ok(None);
                };
                let Some(value) = values.first().filter(|value| *value != "none") else {
                    // To the client it is "no other role than my own".
                    let local = if set.local { "LOCAL " } else { "" };
                    let role = quote_ident(&acts_as.role);
                    return Ok(Some(format!("SET {local}ROLE {role}").into()));
                };
                acts_as.check_role(value)?;
            }
            Kind::Set(set) if set.target == SetTarget::SessionAuthorization => {
                if set.action != SetAction::Reset {
                    return Err(refused("SET SESSION AUTHORIZATION"));
                }
                // Of the server's session that is our account; of the client's it is its own user, in the role in which it came.
                let instead = match set.local {
                    true => "SET LOCAL role TO DEFAULT",
                    false => "RESET ROLE",
                };
                return Ok(Some(Bytes::from_static(instead.as_bytes())));
            }
            Kind::Do { .. } if speaks_of_roles(sql) => {
                return Err(refused("a code block that may set the role"));
            }
            _ if statement.traits.set_config && may_set_the_role(sql, conforming) => {
                return Err(refused("set_config of a setting that may be the role"));
            }
            _ => {}
        }
        Ok(None)
    }

    /// As [`Managed::check_account`], of a `FunctionCall`.
    pub(super) fn check_function(&self, side: Side, body: &[u8]) -> Result<(), ClientError> {
        let ours = self.backends.get(side);
        let ours = ours.is_some_and(|backend| backend.acts_as.is_some());
        if ours && body.starts_with(&SET_CONFIG.to_be_bytes()) {
            return Err(refused("set_config of a setting that may be the role"));
        }
        Ok(())
    }
}

fn refused(what: &str) -> ClientError {
    ClientError::new(
        "0A000",
        format!("crossfade refused {what}: the session works under its role on a connection of crossfade's"),
    )
    .hint("use SET ROLE, name the setting in the text, or have crossfade connect to this store as the application does")
}

/// The role that command-line options of a startup packet set, split as a server splits them.
fn role_in(options: &str) -> Option<String> {
    let mut words = vec![String::new()];
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => words.last_mut()?.extend(characters.next()),
            c if c.is_ascii_whitespace() => words.push(String::new()),
            c => words.last_mut()?.push(c),
        }
    }
    let mut words = words.iter().filter(|word| !word.is_empty());
    let mut role = None;
    while let Some(word) = words.next() {
        let set = match word.strip_prefix("-c").or(word.strip_prefix("--")) {
            Some("") => words.next().map(String::as_str),
            set => set,
        };
        if let Some((name, value)) = set.and_then(|set| set.split_once('='))
            && name.eq_ignore_ascii_case("role")
        {
            role = Some(value.to_owned());
        }
    }
    role
}

/// Whether a `set_config` names one of the settings that say who works, or none that can be read in the text.
fn may_set_the_role(sql: &[u8], conforming: bool) -> bool {
    may_set(sql, conforming, &["role", "session_authorization"])
}

/// Anywhere in a code block, as far as it is written out. `UPDATE … SET role = …` sets a column.
fn speaks_of_roles(sql: &[u8]) -> bool {
    let text = String::from_utf8_lossy(sql).to_ascii_lowercase();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words: Vec<&str> = text
        .split(|c: char| !is_word(c) && c != '=')
        .flat_map(|word| word.split_inclusive('='))
        .filter(|word| !word.is_empty())
        .collect();
    let sets_role = words.windows(2).enumerate().any(|(at, pair)| {
        let set = pair[0] == "set"
            || at > 0 && words[at - 1] == "set" && ["local", "session"].contains(&pair[0]);
        set && pair[1] == "role" && words.get(at + 2).is_none_or(|next| !next.starts_with('='))
    });
    let says = |word: &str| words.contains(&word);
    sets_role
        || ["set_config", "session_authorization", "authorization"]
            .into_iter()
            .any(says)
}

#[cfg(test)]
mod tests {
    use super::{may_set_the_role, role_in, speaks_of_roles};

    #[test]
    fn a_role_is_read_in_the_options_of_a_startup_packet() {
        for (options, role) in [
            ("-c role=a", Some("a")),
            ("-crole=a --Role=b -c jit=off", Some("b")),
            (r"-c my.role=a -c  role=a\ \\b", Some(r"a \b")),
            ("-c roles=a role=b", None),
            ("-c", None),
        ] {
            assert_eq!(role_in(options).as_deref(), role, "{options}");
        }
    }

    #[test]
    fn a_set_config_is_harmless_where_it_names_another_setting() {
        for harmless in [
            "SELECT set_config('app.role', $1, true)",
            "SELECT pg_catalog.set_config('search_path', 'a', false), \"set_config\"($$app.user$$, 'role', false)",
        ] {
            assert!(!may_set_the_role(harmless.as_bytes(), true), "{harmless}");
        }
        for other in [
            "SELECT set_config('role', 'none', false)",
            "SELECT set_config('app.user', 'x', true), SET_CONFIG('ROLE', 'none', true)",
            "SELECT set_config($1, 'none', true)",
            "SELECT set_config('ro' || 'le', 'none', true)",
            "SELECT set_config('ro'\n'le', 'none', true)",
            "SELECT set_config(U&'\\0072ole', 'none', true)",
            "SELECT set_config(setting_name => 'role', new_value => 'none', is_local => false)",
            "SELECT U&\"set\\005fconfig\"('role', 'none', true)",
        ] {
            assert!(may_set_the_role(other.as_bytes(), true), "{other}");
        }
    }

    #[test]
    fn a_column_may_be_called_role_in_a_code_block() {
        for harmless in [
            "DO $$ BEGIN UPDATE users SET role = 'admin'; END $$",
            "DO $$ BEGIN UPDATE users SET role='admin' WHERE role = 'none'; END $$",
            "DO $$ BEGIN PERFORM role FROM users; END $$",
        ] {
            assert!(!speaks_of_roles(harmless.as_bytes()), "{harmless}");
        }
        for other in [
            "DO $$ BEGIN SET ROLE none; END $$",
            "DO $$ BEGIN set local\n role to none; END $$",
            "DO 'BEGIN EXECUTE ''SET ROLE none''; END'",
            "DO $$ BEGIN PERFORM set_config('role', 'none', false); END $$",
            "DO $$ BEGIN SET SESSION AUTHORIZATION crossfade; END $$",
        ] {
            assert!(speaks_of_roles(other.as_bytes()), "{other}");
        }
    }
}
