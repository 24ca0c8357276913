//! The session's settings: before anything runs in a store, its server has them.
//!
//! They are made in one store, as a rule the one where statements go that name no table, and are carried to the other one when that is about to be used: behind
//! the SET, behind a SET that came in the same pipeline, and to a connection that was made (again) since (trap 32).

use crossfade_phase::Side;
use crossfade_store::postgres::sql::quote_literal;

use super::{
    End,
    ask::{LIMITS, Refused, Values},
    backend::Backend,
    handover::{given_up, text},
    managed::Managed,
};
use crate::errors::ClientError;

/// What a session has set, as calls that set it again, but for what lasts no longer than its transaction. `role` is in no list of settings.
const SETTINGS: &str = "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings \
     WHERE source = 'session' AND name NOT IN ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable') \
     UNION ALL SELECT 'role', pg_catalog.current_setting('role')";

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
        if self.settings_at != Some(from) {
            return Ok(true);
        }
        let resting = self.backends.get(from).is_none_or(Backend::is_idle);
        let rows = if resting {
            self.settings_of(from).await?
        } else {
            // In the middle of the client's transaction.
            let question = self.settings_question();
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
            Ok(rows) => self.set_settings(to, &rows).await?,
            Err(refused) => Err(refused),
        };
        if let Err(refused) = set {
            self.refuse(&not_carried(to, refused))?;
            return Ok(false);
        }
        if resting {
            // Otherwise they may yet be rolled back.
            self.settings_at = None;
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
        let within = self.shared.config.load().writes.secondary_timeout;
        let copied = tokio::time::timeout(within, self.copy_settings(home.other(), home)).await;
        let copied = copied.map_err(|_| End::Fatal(given_up(home.other(), home)))??;
        copied.map_err(|refused| End::Fatal(not_carried(home, refused)))?;
        self.settings_at = None;
        Ok(())
    }

    /// Gives the server of `to` the settings of the other. Nothing goes on over either connection.
    ///
    /// # Errors
    /// When the session is over.
    pub(super) async fn copy_settings(
        &mut self,
        from: Side,
        to: Side,
    ) -> Result<Result<(), Refused>, End> {
        match self.settings_of(from).await? {
            Ok(rows) => self.set_settings(to, &rows).await,
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
        let question = self.settings_question();
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

    fn settings_question(&self) -> String {
        let mut question = SETTINGS.to_owned();
        for name in &self.custom_settings {
            let name = quote_literal(name);
            question.push_str(&format!(
                " UNION ALL SELECT {name}, pg_catalog.current_setting({name}, true)"
            ));
        }
        question
    }

    /// Sets them in the store of `to`, over whose connection nothing goes on.
    ///
    /// # Errors
    /// When the session is over.
    pub(super) async fn set_settings(
        &mut self,
        to: Side,
        rows: &[Values],
    ) -> Result<Result<(), Refused>, End> {
        let acts_as = self.backend(to)?.acts_as.clone();
        let mut sql = String::from("RESET ALL");
        // Limits come last: they would hold for what is behind them.
        let is_limit = |row: &&Values| {
            let mut limits = LIFTED.iter();
            limits.any(|(name, _)| row[0].as_deref() == Some(name.as_bytes()))
        };
        let (limits, others): (Vec<_>, Vec<_>) = rows.iter().partition(is_limit);
        for row in others.into_iter().chain(limits) {
            if let [Some(name), Some(value)] = &row[..] {
                let value: &[u8] = match &acts_as {
                    // To the client it is "no other role than my own".
                    Some(own) if name == "role" && value == "none" => own.role.as_bytes(),
                    Some(own) if name == "role" => match own.check_role(&text(value)) {
                        Ok(()) => value,
                        Err(error) => return Ok(Err(Refused::own(error))),
                    },
                    Some(_) | None => value,
                };
                sql.push_str(&format!(
                    "; SELECT pg_catalog.set_config({}, {}, false)",
                    quote_literal(&text(name)),
                    quote_literal(&text(value))
                ));
            }
        }
        if !sql.is_ascii()
            && let Err(refused) = self.ask(to, "SET client_encoding = 'UTF8'").await?
        {
            // A text is read as a whole before anything of it runs.
            return Ok(Err(refused));
        }
        Ok(self.ask(to, &sql).await?.map(drop))
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
