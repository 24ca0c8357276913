//! Between two transactions: how a session follows the toggles into another mode or to another store.

use bytes::Bytes;
use crossfade_phase::{Phase, Side};

use super::{
    End,
    account::ActsAs,
    ask::{Refused, Values},
    backend::Backend,
    managed::Managed,
};
use crate::{
    errors::ClientError,
    route::Router,
    shared::{Mode, home},
    wire::{backend, take_i32, take_u16},
};

/// Settings that a client's startup packet may hold and that are not session settings of a server.
const NOT_SETTINGS: &[&str] = &["user", "database", "replication"];

/// What lives in one server's session and cannot be carried to another (trap 32).
const BOUND: &str = "SELECT 'advisory locks' FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() \
     UNION SELECT 'temporary tables' FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema() AND relkind IN ('r', 'S', 'v') \
     UNION SELECT 'cursors WITH HOLD' FROM pg_catalog.pg_cursors WHERE is_holdable \
     UNION SELECT 'statements of SQL-level PREPARE' FROM pg_catalog.pg_prepared_statements WHERE from_sql";

/// What it listens to.
const CHANNELS: &str =
    "SELECT pg_catalog.quote_ident(c) FROM pg_catalog.pg_listening_channels() AS c";

/// What a session has in a store.
#[derive(Debug)]
struct Belongings {
    /// `None` when the other store has them as they are.
    settings: Option<Vec<Values>>,
    channels: Vec<Values>,
    /// Of what kinds it is what cannot be carried.
    bound: Vec<Values>,
}

impl Managed {
    /// Waits at closed barriers, takes note of the phases, and makes the session fit for them.
    ///
    /// # Errors
    /// When a store that the phases need cannot be reached, or the session is over.
    pub(crate) async fn enter(&mut self) -> Result<Mode, End> {
        if self.shared.stopping() {
            return Err(End::Stopping);
        }
        self.pins.refresh().await.map_err(End::Fatal)?;
        self.mapping = self.shared.mapping.load_full();
        let phases: Vec<Phase> = self.pins.phases().collect();
        if let Some(tally) = &mut self.tally {
            tally.enter(phases.iter().copied());
        }
        self.router = Router::new(&self.shared, self.worker, self.mapping.clone(), &phases);
        self.path = None;
        let mode = match self.shared.mode(phases.iter().copied()) {
            // Our own account has opened the connection: what may bring it to light is looked at for as long as it lasts.
            Mode::Relay(side) if self.is_our_account(side) => Mode::Managed,
            mode => mode,
        };
        let home = home(phases.iter().copied());
        let relayed = self.relayed.take();
        if let Some(side) = relayed
            && mode != Mode::Relay(side)
            && !std::mem::take(&mut self.fresh)
        {
            self.learn_statements(side).await?;
        }
        if home != self.home {
            self.move_home(home).await?;
        }
        self.active = home;
        if let Mode::Relay(side) = mode {
            if relayed != Some(side) {
                self.teach_statements(side).await?;
            }
            self.relayed = Some(side);
        }
        self.fresh = false;
        if phases.iter().all(|phase| *phase == Phase::NewOnly) {
            self.drop_backend(Side::Old);
        } else if phases.iter().all(|phase| *phase <= Phase::UseOld) {
            self.drop_backend(Side::New);
        }
        Ok(mode)
    }

    /// Whether the client's role works on a connection of our own account, or will.
    fn is_our_account(&self, side: Side) -> bool {
        let backend = self.backends.get(side);
        backend.map_or(side != self.home, |backend| backend.acts_as.is_some())
    }

    /// The session's statements go to another store from now on: its settings and channels move along.
    async fn move_home(&mut self, to: Side) -> Result<(), End> {
        let from = self.home;
        self.need(to).await?;
        if self.backends.get_mut(from).is_some() {
            match self.leave(from, to).await? {
                Some(belongings) => self.take_along(to, belongings).await?,
                None => self.tell_left_behind("what it may have held there", to),
            }
        }
        (self.settings_at, self.set_unseen) = (None, None);
        self.holds_beside = false;
        self.home = to;
        for (name, value) in self.backend(to)?.reported.clone() {
            self.tell_parameter(&name, &value);
        }
        self.shared.metrics.handovers.inc();
        Ok(())
    }

    /// What the session has in the store of `from`. It may be left for not answering: its client waits for no longer than `secondary_timeout` then, should the server of `to`
    /// have the session's settings already, and `None` is the answer.
    ///
    /// # Errors
    /// When the session is over: nothing must run without its settings. They are waited for as long as a flip waits for a transaction.
    async fn leave(&mut self, from: Side, to: Side) -> Result<Option<Belongings>, End> {
        let config = self.shared.config.load();
        let (soon, late) = (config.writes.secondary_timeout, config.flips.drain_timeout);
        drop(config);
        let known = ![self.settings_at, self.set_unseen].contains(&Some(from));
        let within = if known { soon } else { soon.max(late) };
        if let Ok(told) = tokio::time::timeout(within, self.belongings(from, to)).await {
            return told.map(Some);
        }
        self.drop_backend(from);
        tracing::warn!(%from, %to, within_ms = within.as_millis(), settings_known = known, "a session leaves a store that does not answer");
        if known {
            return Ok(None);
        }
        Err(End::Fatal(given_up(from, to)))
    }

    async fn belongings(&mut self, from: Side, to: Side) -> Result<Belongings, End> {
        let refused = |refused| not_carried(to, refused);
        // Unless they were made there just now.
        let settings = match self.settings_at {
            Some(at) if at == to => None,
            _ => Some(self.settings_of(from).await?.map_err(refused)?),
        };
        Ok(Belongings {
            settings,
            channels: self.ask(from, CHANNELS).await?.map_err(refused)?,
            bound: self.ask(from, BOUND).await?.map_err(refused)?,
        })
    }

    async fn take_along(&mut self, to: Side, belongings: Belongings) -> Result<(), End> {
        if let Some(settings) = &belongings.settings {
            let set = self.set_settings(to, settings, true).await?;
            set.map_err(|refused| not_carried(to, refused))?;
        }
        let channels = texts(belongings.channels);
        let listened = std::mem::replace(&mut self.backend(to)?.listens, !channels.is_empty());
        if listened || !channels.is_empty() {
            // What it listened to when it was here last it may have given up since.
            let listen = format!("UNLISTEN *; {}", listen(&channels));
            let listens = self.ask(to, &listen).await?;
            listens.map_err(|refused| not_carried(to, refused))?;
        }
        if let Some(from) = self.backends.get_mut(to.other()) {
            from.listens = !channels.is_empty();
        }
        let bound = texts(belongings.bound).join(", ");
        if !bound.is_empty() {
            tracing::warn!(
                what = bound, %to,
                "a session moves to the other store and leaves behind what cannot be carried; it ends with its connection"
            );
            self.tell_left_behind(&bound, to);
        }
        Ok(())
    }

    /// The channels that the session listens to in the store of `side`, over whose connection nothing goes on.
    ///
    /// # Errors
    /// When the session is over.
    pub(super) async fn channels(&mut self, side: Side) -> Result<Vec<String>, End> {
        let told = self.ask(side, CHANNELS).await?;
        Ok(texts(told.map_err(|refused| not_carried(side, refused))?))
    }

    fn tell_left_behind(&mut self, what: &str, to: Side) {
        let text = format!(
            "crossfade moved this session to the {to} store; {what} stayed behind and are not seen any more"
        );
        let mut notice = bytes::BytesMut::new();
        backend::error(
            &mut notice,
            "WARNING",
            "01000",
            &text,
            None,
            Some("connect again to begin with a clean session"),
        );
        notice[0] = b'N';
        self.client.out.extend_from_slice(&notice);
    }

    /// Sees to it that there is a connection to the store of `side`.
    pub(super) async fn need(&mut self, side: Side) -> Result<(), End> {
        if self.backends.get_mut(side).is_some() {
            return Ok(());
        }
        let endpoint = self
            .shared
            .endpoint(side)
            .map_err(|error| End::Fatal(ClientError::new("0A000", error.to_string())))?;
        let user = self.user().to_owned();
        let mut settings: Vec<(&str, &str)> = self
            .parameters
            .iter()
            .filter(|(name, _)| {
                !NOT_SETTINGS.contains(&name.as_str()) && !name.starts_with("_pq_.")
            })
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        // Our account opens the connection, the client's role works on it: what the client may do in the one store is not widened
        // in the other. As a startup parameter the role survives RESET ALL and DISCARD ALL.
        let acts_as = (user != endpoint.config.url.user).then(|| user.clone());
        let began_as = self.began_as();
        if acts_as.is_some() {
            settings.retain(|(name, _)| *name != "role");
            settings.push(("role", began_as.as_ref().unwrap_or(&user)));
        }
        let login = endpoint.login(&settings).await.map_err(|error| {
            End::Fatal(
                ClientError::new("08001", format!("the {side} store cannot be used for this session"))
                    .detail(error.to_string())
                    .hint(format!("the role \"{user}\" must exist in the {side} store, and crossfade's account must be a member of it")),
            )
        })?;
        let mut key = bytes::BytesMut::new();
        bytes::BufMut::put_i32(&mut key, login.key.process_id);
        bytes::BufMut::put_i32(&mut key, login.key.secret);
        if let Some(cancel) = &self.cancel {
            cancel.set(side, Some(key.freeze()));
        }
        let mut backend = Backend::new(login.stream);
        let kind = endpoint.config.url.kind;
        backend.acts_as = acts_as.map(|role| ActsAs::new(role, kind));
        backend.reported = login.parameters;
        *self.backends.slot(side) = Some(backend);
        // It has what the client's startup packet said, and nothing of what was set since.
        self.settings_at = Some(side.other());
        self.learn_roles(side).await
    }

    /// Whom the client has signed in as.
    pub(super) fn user(&self) -> &str {
        let user = self.parameters.iter().find(|(name, _)| name == "user");
        user.map_or("", |(_, value)| value.as_str())
    }

    /// What the client was told of the server's settings is kept true.
    fn tell_parameter(&mut self, name: &str, value: &str) {
        // These two tell of our own account, under which the session was opened; the client's role works on it.
        if matches!(name, "session_authorization" | "is_superuser") {
            return;
        }
        if self
            .status
            .iter()
            .any(|(known, now)| known == name && now == value)
        {
            return;
        }
        self.note_status(name, value);
        backend::parameter_status(&mut self.client.out, name, value);
    }
}

/// All values of these rows.
fn texts(rows: Vec<Values>) -> Vec<String> {
    let values = rows.into_iter().flatten().flatten();
    values.map(|value| text(&value)).collect()
}

/// Statements that listen to these channels, whose names are as SQL has them.
pub(super) fn listen(channels: &[String]) -> String {
    let names = channels.iter();
    names.map(|name| format!("LISTEN {name}; ")).collect()
}

/// The session ends: it must not go on without its settings.
pub(super) fn given_up(from: Side, to: Side) -> ClientError {
    ClientError::new(
        "08006",
        format!("the connection to the {from} store was given up: it does not answer"),
    )
    .detail(format!(
        "it alone has the settings of this session, which cannot be carried to the {to} store"
    ))
    .hint("connect again")
}

/// The session ends where it is: the server of `side` has refused what it was asked, or told.
pub(super) fn not_carried(side: Side, refused: Refused) -> End {
    let Refused { sqlstate, message } = refused;
    tracing::warn!(%side, sqlstate, error = message, "a question about the session was refused");
    End::Fatal(
        ClientError::new(
            "58000",
            format!("this session cannot be carried to the {side} store"),
        )
        .detail(message)
        .hint("connect again"),
    )
}

pub(super) fn values(mut body: &[u8]) -> Option<Values> {
    let count = take_u16(&mut body)?;
    (0..count)
        .map(|_| {
            let length = take_i32(&mut body)?;
            let Ok(length) = usize::try_from(length) else {
                return Some(None);
            };
            let (value, rest) = body.split_at_checked(length)?;
            body = rest;
            Some(Some(Bytes::copy_from_slice(value)))
        })
        .collect()
}

/// Names and settings: what is not in UTF-8 there serves messages only.
pub(super) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
