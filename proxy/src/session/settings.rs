//! The session's settings: before anything runs in a store, its server has them.
//!
//! They are made in one store, as a rule the one where statements go that name no table, and are carried to the other one when that is about to be used: behind
//! the SET, behind a SET that came in the same pipeline, and to a connection that was made (again) since (trap 32).

use std::collections::BTreeSet;

use crossfade_config::StoreKind;
use crossfade_phase::Side;
use crossfade_store::postgres::sql::quote_literal;

use super::{
    End,
    ask::{LIMITS, Refused, Values},
    backend::Backend,
    handover::{given_up, text},
    managed::Managed,
};
use crate::{errors::ClientError, sql::NAME_BYTES};

/// What a session has set, as calls that set it again, but for what lasts no longer than its transaction. `role` is in no list of settings.
const SETTINGS: &str = "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings \
     WHERE source = 'session' AND name NOT IN ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable') \
     UNION ALL SELECT 'role', pg_catalog.current_setting('role')";

/// The settings that say who works.
const ROLE: &str = "role";
const AUTHORIZATION: &str = "session_authorization";

/// And whose rights it has, where a client may say so: on a connection that it has itself signed in to.
const SESSION_USER: &str = "SELECT 'session_authorization', session_user::pg_catalog.text";

/// What is lifted while they are told: values come in UTF-8, whatever the client speaks.
pub(super) const LIFTED: [(&str, &str); 3] = [LIMITS[0], LIMITS[1], ("client_encoding", "UTF8")];

impl Managed {
    /// Carries the settings to the store of `to`, if only the other one has them as they are. Nothing goes on over the connection to `to`. `false` when that was refused: the client has the error
    /// in place of an answer, and nothing runs up to the next Sync.
    ///
    /// # Errors
    /// When the session is over.
    pub(super) async fn carry_settings(&mut self, to: Side) -> Result<bool, End> {
        let from = to.other();
        let resting = self.backends.get(from).is_none_or(Backend::is_idle);
        // What a function may have set comes on top of what is there: no list holds all that it may have set there.
        let unseen = self.set_unseen == Some(from);
        // What was set until the end of a transaction is gone with it, and so may be what a function has set in it.
        let whole = self.settings_at == Some(from) || !resting && (self.set_locally || unseen);
        if whole {
            self.settings_at = Some(from);
        } else if !unseen {
            return Ok(true);
        }
        let rows = if resting {
            self.settings_of(from).await?
        } else {
            // In the middle of the client's transaction.
            let question = self.settings_question(from);
            let rows = self.inquire_rows(from, &question).await?;
            if rows.is_empty() {
                self.refused = true;
                return Ok(false);
            }
            let values = || rows.iter().flatten().flatten();
            if !self.speaks_utf8() && !values().all(|value| value.is_ascii()) {
                self.refuse(&in_another_encoding())?;
                return Ok(false);
            }
            Ok(rows)
        };
        let set = match rows {
            Ok(rows) => self.set_settings(to, &rows, whole).await?,
            Err(refused) => Err(refused),
        };
        if let Err(refused) = set {
            self.refuse(&not_carried(to, refused))?;
            return Ok(false);
        }
        if resting {
            // Otherwise they end with the transaction, or may yet be rolled back.
            self.settings_at = None;
            self.set_unseen = None;
        }
        Ok(true)
    }

    /// What the store has that is not home was set there by the statement just before: whatever comes next, at home, is to see it.
    ///
    /// # Errors
    /// When the session is over.
    pub(super) async fn bring_settings_home(&mut self) -> Result<(), End> {
        let home = self.home;
        let rest = [home, home.other()];
        let rest = rest.map(|side| self.backends.get(side).is_some_and(Backend::is_idle));
        if rest != [true; 2] {
            return Ok(());
        }
        let (from, whole) = (home.other(), self.settings_at == Some(home.other()));
        let config = self.shared.config.load();
        let (soon, late) = (config.writes.secondary_timeout, config.flips.drain_timeout);
        drop(config);
        // Most functions set nothing, and no session ends early on their account.
        let within = if whole { soon } else { soon.max(late) };
        let copied = tokio::time::timeout(within, self.copy_settings(from, home, whole)).await;
        let copied = copied.map_err(|_| End::Fatal(given_up(from, home)))??;
        copied.map_err(|refused| End::Fatal(not_carried(home, refused)))?;
        (self.settings_at, self.set_unseen) = (None, None);
        Ok(())
    }

    /// Gives the server of `to` the settings of the other: these alone if `whole`, or on top of its own. Nothing goes on over either connection.
    ///
    /// # Errors
    /// When the session is over.
    async fn copy_settings(
        &mut self,
        from: Side,
        to: Side,
        whole: bool,
    ) -> Result<Result<(), Refused>, End> {
        match self.settings_of(from).await? {
            Ok(rows) => self.set_settings(to, &rows, whole).await,
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// The settings that the session has made in the store of `from`, over whose connection nothing goes on.
    ///
    /// # Errors
    /// When the session is over.
    pub(super) async fn settings_of(
        &mut self,
        from: Side,
    ) -> Result<Result<Vec<Values>, Refused>, End> {
        let shows =
            LIFTED.map(|(name, _)| format!("SELECT pg_catalog.current_setting('{name}', true)"));
        let known = match self.ask_beyond(&[], from, &shows.join("; ")).await? {
            Ok(known) => known.into_iter().flatten(),
            Err(refused) => return Ok(Err(refused)),
        };
        // One that is not there need not be lifted, and is told of as it is.
        let lifted: Vec<_> = std::iter::zip(LIFTED, known)
            .filter(|((_, lifted), value)| {
                value
                    .as_deref()
                    .is_some_and(|value| value != lifted.as_bytes())
            })
            .collect();
        let (limits, known): (Vec<_>, Vec<_>) = lifted.into_iter().unzip();
        let question = self.settings_question(from);
        let rows = self.ask_beyond(&limits, from, &question).await?;
        Ok(rows.map(|mut rows| {
            for row in &mut rows {
                let mut lifted = std::iter::zip(&limits, &known);
                let own = lifted.find(|((name, _), _)| row[0].as_deref() == Some(name.as_bytes()));
                if let Some((_, value)) = own {
                    row[1].clone_from(value);
                }
            }
            rows
        }))
    }

    fn settings_question(&self, side: Side) -> String {
        let mut question = SETTINGS.to_owned();
        if self.has_an_authorization(side) {
            question.push_str(&format!(" UNION ALL {SESSION_USER}"));
        }
        let tables = self.mapping.tables.iter();
        let spoken_of = tables
            .flat_map(|table| [&table.old, &table.new])
            .flat_map(|relation| &relation.server.custom_settings);
        let names: BTreeSet<&String> = self.custom_settings.iter().chain(spoken_of).collect();
        for name in names {
            let name = quote_literal(name);
            question.push_str(&format!(
                " UNION ALL SELECT {name}, pg_catalog.current_setting({name}, true)"
            ));
        }
        question
    }

    /// Whether the client may have set a session authorization there.
    fn has_an_authorization(&self, side: Side) -> bool {
        let backend = self.backends.get(side);
        let endpoint = self.shared.endpoint(side);
        backend.is_some_and(|backend| backend.acts_as.is_none())
            && endpoint.is_ok_and(|endpoint| endpoint.config.url.kind != StoreKind::Mongo)
    }

    /// Sets them in the store of `to`, over whose connection nothing goes on: these alone if `whole`, or on top of its own.
    ///
    /// # Errors
    /// When the session is over.
    pub(super) async fn set_settings(
        &mut self,
        to: Side,
        rows: &[Values],
        whole: bool,
    ) -> Result<Result<(), Refused>, End> {
        let who = match self.who_works(to, rows) {
            Ok(who) => who,
            Err(error) => return Ok(Err(Refused::own(error))),
        };
        // What the client's own user may set, the role at work need not: as it was there it goes first, and as it is to be it comes behind what it may not set.
        let mut steps = Vec::new();
        if whole {
            steps.push("RESET ALL".to_owned());
        }
        if self.has_an_authorization(to) {
            steps.push("RESET SESSION AUTHORIZATION".to_owned());
        }
        let own = self.backend(to)?.acts_as.as_ref();
        let own = own.map_or("none", |own| &own.role);
        let is = |row: &Values, names: &[&str]| {
            let mut names = names.iter();
            names.any(|name| row[0].as_deref() == Some(name.as_bytes()))
        };
        let told = |row: &Values| match &row[..] {
            [Some(name), Some(value)] => Some((text(name), text(value))),
            _ => None,
        };
        let rest = rows.iter().filter(|row| !is(row, &[ROLE, AUTHORIZATION]));
        // Limits come last: they would hold for what is behind them.
        let limits = LIFTED.map(|(name, _)| name);
        let (limits, others): (Vec<_>, Vec<_>) = rest.partition(|row| is(row, &limits));
        let sets = std::iter::once((ROLE.to_owned(), own.to_owned()))
            .chain(others.into_iter().filter_map(told))
            .chain(who)
            .chain(limits.into_iter().filter_map(told));
        steps.extend(sets.map(|(name, value)| {
            format!(
                "SELECT pg_catalog.set_config({}, {}, false)",
                quote_literal(&name),
                quote_literal(&value)
            )
        }));
        let sql = steps.join("; ");
        if !sql.is_ascii()
            && let Err(refused) = self.ask(to, "SET client_encoding = 'UTF8'").await?
        {
            // A text is read as a whole before anything of it runs.
            return Ok(Err(refused));
        }
        Ok(self.ask(to, &sql).await?.map(drop))
    }

    /// Who works in the store of `to` by these settings: a session authorization, and a role, which is one of those that it may become.
    fn who_works(&self, to: Side, rows: &[Values]) -> Result<Vec<(String, String)>, ClientError> {
        let of = |name: &str| {
            rows.iter().find_map(|row| match &row[..] {
                [Some(known), Some(value)] if known == name => Some(text(value)),
                _ => None,
            })
        };
        let authorization = of(AUTHORIZATION).filter(|user| !self.is_its_user(user));
        let role = of(ROLE).filter(|role| role != "none");
        let acts_as = self.backends.get(to);
        let acts_as = acts_as.and_then(|backend| backend.acts_as.as_ref());
        if let Some(own) = acts_as {
            if let Some(user) = authorization {
                return Err(own.cannot_be_authorized(&user));
            }
            if let Some(role) = &role {
                own.check_role(role)?;
            }
        }
        let authorization = authorization.map(|user| (AUTHORIZATION.to_owned(), user));
        let role = role.map(|role| (ROLE.to_owned(), role));
        Ok(authorization.into_iter().chain(role).collect())
    }

    /// Whether the client has signed in under this name, as far as a server takes a name.
    fn is_its_user(&self, name: &str) -> bool {
        let user = self.user().as_bytes();
        name.as_bytes() == &user[..user.len().min(NAME_BYTES)]
    }
}

/// In the middle of a transaction the client's encoding is not to be changed, and nobody here reads it.
fn in_another_encoding() -> ClientError {
    ClientError::new("0A000", "crossfade cannot carry this session's settings to the other store in the middle of a transaction")
        .detail("values that are not ASCII, in a client encoding that is not UTF-8")
        .hint("send SET, and Sync, before the statement, or SET client_encoding = 'UTF8'")
}

/// What the client is told of a statement that would have run without its settings.
fn not_carried(to: Side, refused: Refused) -> ClientError {
    // A cancel, or a timeout, is one of the client's statement.
    if refused.sqlstate == "57014" {
        return ClientError::new("57014", refused.message);
    }
    tracing::warn!(side = %to, error = refused.message, "a session's settings cannot be carried");
    ClientError::new(
        "58000",
        format!("the settings of this session cannot be carried to the {to} store"),
    )
    .detail(refused.message)
    .hint("RESET what that store does not know, or connect again")
}
