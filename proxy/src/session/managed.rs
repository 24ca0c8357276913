//! A session whose every statement is looked at.
//!
//! The client's messages are handled one after the other. Most of them are passed on at once, with a note of what the server owes for
//! them ([`Expect`](super::backend::Expect)); the session only waits for the server where a decision needs the answers: before a
//! commit that takes images along.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use crossfade_crash::{self as crash, Point};
use crossfade_phase::Side;
use crossfade_store::{Mapping, OwnCount, TableId, postgres::conn::Stream};

use super::{
    End,
    ask::Values,
    backend::{Backend, Execute, Expect},
    client::{Client, Frame},
    commit,
    given_up::GivenUp,
    merge::Found,
    own::{Counted, Extent, Own},
    reworded::StandIn,
    simple::ends_batch,
    statements::Prepared,
    tell_malformed,
    transaction::Transaction,
};
use crate::{
    cancel::CancelEntry,
    errors::ClientError,
    pins::Pins,
    relay::RelayState,
    route::{Lookup, Router},
    shapes::Tally,
    shared::Shared,
    sql::{Parts, PathId},
};

/// The session's server connections.
#[derive(Debug, Default)]
pub(crate) struct Backends {
    old: Option<Backend>,
    new: Option<Backend>,
}

impl Backends {
    pub(super) fn get(&self, side: Side) -> Option<&Backend> {
        match side {
            Side::Old => self.old.as_ref(),
            Side::New => self.new.as_ref(),
        }
    }

    pub(crate) fn get_mut(&mut self, side: Side) -> Option<&mut Backend> {
        self.slot(side).as_mut()
    }

    pub(crate) fn slot(&mut self, side: Side) -> &mut Option<Backend> {
        match side {
            Side::Old => &mut self.old,
            Side::New => &mut self.new,
        }
    }
}

/// A session.
#[derive(Debug)]
pub(crate) struct Managed {
    pub(crate) shared: Arc<Shared>,
    pub(crate) worker: usize,
    pub(crate) client: Client,
    pub(crate) backends: Backends,
    pub(crate) relay: RelayState,
    /// Before the pins, so that it is gone when they are: who sees no pins left sees every backend that was given up.
    pub(super) cancel: Option<CancelEntry>,
    pub(crate) pins: Pins,
    /// Counts the session's statements, where they are counted.
    pub(crate) tally: Option<Box<Tally>>,
    pub(super) mapping: Arc<Mapping>,
    pub(crate) router: Router,
    /// The effective search path, as long as nothing may have changed it.
    pub(crate) path: Option<PathId>,
    /// The last that was known.
    pub(super) last_path: Option<PathId>,
    /// What names mean was changed in the present transaction, and its end may change it back.
    pub(super) names_moved: bool,
    /// Other relations hide mapped tables: what a name means is asked each time, as nothing that the server gives back would tell.
    pub(super) hides: bool,
    /// Definitions were changed in the present transaction: with its end other sessions see it.
    pub(super) defines: bool,
    /// How many changes of definitions had been made by all sessions when this one looked last.
    pub(super) definitions: u64,
    /// A cursor, or a statement of SQL-level PREPARE, may call what changes the meaning of names when it runs.
    pub(super) may_call: bool,
    /// The present batch has run something that is more than a read.
    pub(super) batch_wrote: bool,
    /// A message of the present batch was refused: the server is about to raise the error, and the rest is skipped.
    pub(super) refused: bool,
    /// Startup parameters as the client sent them.
    pub(super) parameters: Vec<(String, String)>,
    /// `ParameterStatus` values as the client knows them.
    pub(crate) status: Vec<(String, String)>,
    /// Where statements go that name no table.
    pub(crate) home: Side,
    /// How the session worked last, for the way into another mode.
    pub(super) relayed: Option<Side>,
    /// The server that the present batch of messages goes to.
    pub(super) active: Side,
    pub(super) prepared: Prepared,
    pub(crate) transaction: Transaction,
    /// Upserts of the statement under way: they go behind its deletes, as a key may be left and taken in one UPDATE.
    pub(super) upserts: Vec<(
        crossfade_store::TableId,
        crossfade_store::Key,
        crossfade_store::Change,
    )>,
    /// Rows that foreign keys change on account of the statement under way.
    pub(super) below: Vec<(crossfade_store::TableId, crossfade_store::Key)>,
    /// Rows of its own that the captured statement under way has answered with.
    pub(super) own_rows: usize,
    /// An error came, or a COMMIT was answered with ROLLBACK, in what the last `ReadyForQuery` ended.
    pub(super) failed: bool,
    /// What runs in place of the client's statement.
    pub(super) stand_in: Option<StandIn>,
    /// Waits for a copy's data: the client's messages go to this server.
    pub(super) copying: Option<Side>,
    /// Where the last `CommandComplete` stands in the client's output.
    pub(super) completion_at: Option<usize>,
    /// A `CommandComplete` that the client gets once the commit has succeeded.
    pub(super) held_completion: BytesMut,
    /// The client has been told already why its commit is refused.
    pub(super) told: bool,
    /// The client has been told an error already, and the server is made to fail as well.
    pub(super) muted: bool,
    /// Notices are kept from the client: they are about what the session does by itself.
    pub(super) quiet: bool,
    /// The only store whose server has the session's settings as they are, should it be one alone.
    pub(super) settings_at: Option<Side>,
    /// In this store alone a function may have set something that nobody has seen.
    pub(super) set_unseen: Option<Side>,
    /// Something may be in the store that is not home that ends with the connection: another one would not do.
    pub(super) holds_beside: bool,
    /// Something was set until the end of a transaction that may not have ended yet.
    pub(super) set_locally: bool,
    /// What is still to be given up in the store that is not home.
    pub(super) given_up: GivenUp,
    /// Lookups of the present transaction, compared once it is over.
    pub(super) compares: Vec<Lookup>,
    /// No message of the client has been handled yet.
    pub(super) fresh: bool,
    /// Rows that stores have answered a lookup in both with.
    pub(super) found: Vec<Found>,
    /// A server's last words were passed on.
    pub(super) fatal_shown: bool,
    /// Statements of SQL-level PREPARE that write mapped tables: made in a phase that did not mind.
    pub(super) sql_writes: std::collections::HashSet<String>,
    /// All that SQL-level PREPARE has made, and perhaps more.
    pub(super) sql_prepared: std::collections::HashSet<String>,
    /// Custom settings that the client has set since statements are looked at.
    pub(super) custom_settings: std::collections::BTreeSet<String>,
    /// The last value that a captured write answered to the session itself.
    pub(super) own_answer: Option<Bytes>,
    /// The rows that a server answered to the session itself.
    pub(super) told_rows: Vec<Values>,
    /// The parameter types that a server has told the session itself.
    pub(super) told_types: Option<Arc<[u32]>>,
    /// Names for variants of the client's statements.
    pub(super) names: u64,
    /// Commits that the secondary still has to answer.
    pub(super) endings: commit::Endings,
    /// The rows that the open transaction changes in the primary.
    pub(super) own: Own,
}

impl Managed {
    #[allow(clippy::too_many_arguments)] // one call, at the composition of a session
    pub(crate) fn new(
        shared: Arc<Shared>,
        worker: usize,
        client: Stream,
        server: Stream,
        side: Side,
        parameters: Vec<(String, String)>,
        status: Vec<(String, String)>,
        cancel: Option<CancelEntry>,
        pins: Pins,
    ) -> Managed {
        let mut backends = Backends::default();
        *backends.slot(side) = Some(Backend::new(server));
        let mapping = shared.mapping.load_full();
        Managed {
            router: Router::new(&shared, worker, mapping.clone(), &[]),
            mapping,
            tally: shared.tally(),
            shared,
            worker,
            client: Client::new(client),
            backends,
            relay: RelayState::default(),
            pins,
            parameters,
            status,
            cancel,
            home: side,
            relayed: Some(side),
            active: side,
            prepared: Prepared::default(),
            transaction: Transaction::default(),
            upserts: Vec::new(),
            below: Vec::new(),
            own_rows: 0,
            failed: false,
            stand_in: None,
            copying: None,
            completion_at: None,
            held_completion: BytesMut::new(),
            told: false,
            muted: false,
            quiet: false,
            settings_at: None,
            set_unseen: None,
            holds_beside: false,
            set_locally: false,
            given_up: GivenUp::default(),
            compares: Vec::new(),
            fresh: true,
            own_answer: None,
            told_rows: Vec::new(),
            told_types: None,
            custom_settings: std::collections::BTreeSet::new(),
            sql_writes: std::collections::HashSet::new(),
            sql_prepared: std::collections::HashSet::new(),
            fatal_shown: false,
            found: Vec::new(),
            path: None,
            last_path: None,
            names_moved: false,
            hides: false,
            defines: false,
            definitions: 0,
            may_call: false,
            batch_wrote: false,
            refused: false,
            names: 0,
            endings: commit::Endings::default(),
            own: Own::default(),
        }
    }

    /// Handles the client's messages until, between two transactions, a toggle moves.
    ///
    /// # Errors
    /// When the session is over.
    pub(crate) async fn run(&mut self) -> Result<(), End> {
        let flips = self.shared.flips.clone();
        loop {
            if self.is_idle() {
                self.between_transactions().await?;
                if self.pins.changed() {
                    return Ok(());
                }
            }
            // Before the message is taken out of the buffer: should the barrier be closed, it waits there.
            if self.client.has_message() && !self.pins.pinned() && !self.pins.try_pin_unchanged() {
                return Ok(());
            }
            if let Some(frame) = self.client.next()? {
                self.handle(frame).await?;
                continue;
            }
            self.send_all().await?;
            self.flush_client().await?;
            self.wait(&flips).await?;
        }
    }

    async fn between_transactions(&mut self) -> Result<(), End> {
        self.own.over();
        self.flush_client().await?;
        crash::at_if(Point::Answered, || !self.endings.is_over());
        // While the secondary is still committing, the next transaction goes on under the same pin, unless a flip waits for it.
        if self.pins.disturbed() {
            self.endings.over().await;
        }
        if self.endings.is_over() {
            self.pins.unpin();
        }
        self.prepared.portals.clear();
        // Nothing is owed any more.
        self.prepared.changes.clear();
        self.set_locally = false;
        self.give_up_beside_home().await?;
        for lookup in self.compares.drain(..) {
            self.shared.compare(lookup);
        }
        Ok(())
    }

    async fn wait(&mut self, flips: &tokio::sync::Notify) -> Result<(), End> {
        let idle = self.is_idle();
        if idle {
            self.client.shrink();
            for side in [Side::Old, Side::New] {
                if let Some(backend) = self.backends.get_mut(side) {
                    backend.shrink();
                }
            }
        }
        let flipped = flips.notified();
        let mut flipped = std::pin::pin!(flipped);
        flipped.as_mut().enable();
        if idle && self.pins.changed() {
            return Ok(());
        }
        let Managed {
            client,
            backends,
            endings,
            ..
        } = self;
        let Backends { old, new } = backends;
        let ending = idle && !endings.is_over();
        let from = tokio::select! {
            filled = client.fill() => return if matches!(filled, Ok(true)) { Ok(()) } else { Err(End::ClientGone) },
            filled = fill(old.as_mut()) => (Side::Old, filled),
            filled = fill(new.as_mut()) => (Side::New, filled),
            () = flipped, if idle => return Ok(()),
            () = endings.over(), if ending => return Ok(()),
        };
        let (side, filled) = from;
        // Whatever it still said (an administrator's command, say) is looked at first.
        self.drain_inbound(side).await?;
        let parts = self.backend(side)?.farewell.is_some();
        if filled.unwrap_or(false) && !parts {
            return Ok(());
        }
        self.lost(side).await
    }

    /// A server ended its connection. That ends the session, except where nothing went on over it, statements that name no table go elsewhere, and the session's settings are
    /// there too: should it be needed, another one is made.
    async fn lost(&mut self, side: Side) -> Result<(), End> {
        self.flush_client().await?;
        let at_home = side == self.home;
        let settled =
            ![self.settings_at, self.set_unseen].contains(&Some(side)) && !self.holds_beside;
        let backend = self.backend(side)?;
        if !at_home && backend.is_idle() && settled {
            tracing::debug!(%side, "a store ended a connection that its session did not use");
            self.drop_backend(side);
            return Ok(());
        }
        if let Some(farewell) = backend.farewell.take() {
            self.fatal_shown = true;
            self.client.out.extend_from_slice(&farewell.whole);
            self.flush_client().await?;
        }
        Err(End::ServerGone(side))
    }

    pub(super) fn drop_backend(&mut self, side: Side) {
        *self.backends.slot(side) = None;
        self.prepared.changes.retain(|change| change.side != side);
        if self.settings_at == Some(side) {
            self.settings_at = None;
        }
        if self.set_unseen == Some(side) {
            self.set_unseen = None;
        }
        self.holds_beside &= side == self.home;
        if let Some(cancel) = &self.cancel {
            cancel.set(side, None);
        }
    }

    /// Whether no transaction and no request is under way.
    pub(super) fn is_idle(&mut self) -> bool {
        let idle = |backend: &Option<Backend>| backend.as_ref().is_none_or(Backend::is_idle);
        self.copying.is_none() && idle(&self.backends.old) && idle(&self.backends.new)
    }

    async fn handle(&mut self, frame: Frame) -> Result<(), End> {
        let copies = matches!(frame.kind, b'd' | b'c' | b'f');
        if !copies && frame.kind != b'X' && self.copying.is_none() {
            // What was asked of the other server before is answered before.
            self.settle_or_copy(self.active.other()).await?;
            let beside = Some(self.home.other());
            if self.settings_at == beside || self.set_unseen == beside {
                self.bring_settings_home().await?;
            }
        }
        if let Some(side) = self.copying
            && !copies
            && !matches!(frame.kind, b'S' | b'H' | b'X')
        {
            tracing::debug!(%side, "a client went on in the middle of a COPY");
            return Err(out_of_step());
        }
        match frame.kind {
            b'Q' => self.query(&frame).await,
            b'P' => self.parse(&frame).await,
            b'B' => self.bind(&frame).await,
            b'D' => self.describe(&frame).await,
            b'E' => self.execute(&frame).await,
            b'C' => self.close(&frame).await,
            b'H' => self.flush_message().await,
            b'S' => self.sync().await,
            b'F' => self.function(&frame).await,
            b'd' | b'c' | b'f' => self.copy_data(&frame).await,
            b'X' => Err(End::ClientGone),
            kind => Err(End::Malformed(crate::wire::ProtocolError::Kind { kind })),
        }
    }

    async fn function(&mut self, frame: &Frame) -> Result<(), End> {
        if self.skips_unasked().await? {
            return Ok(());
        }
        if self.ends_pending().await? {
            return self.refuse_query(&ends_batch()).await;
        }
        if let Err(refused) = self.check_function(self.home, &frame.body()) {
            return self.refuse_query(&refused).await;
        }
        // Any function may be called so.
        self.note_unseen(self.home);
        self.push(self.home, &frame.whole, Expect::Function)
    }

    /// Data of a COPY goes to the server that waits for it; PostgreSQL ignores it when none does.
    async fn copy_data(&mut self, frame: &Frame) -> Result<(), End> {
        if self.copying.is_none() {
            // A client need not wait for the server to say that it takes the data.
            for side in [self.active, self.active.other()] {
                self.settle_or_copy(side).await?;
            }
        }
        let Some(side) = self.copying else {
            return Ok(());
        };
        let backend = self.backend(side)?;
        backend.out.extend_from_slice(&frame.whole);
        if frame.kind != b'd' {
            backend.copy_in = false;
            self.copying = None;
            return Ok(());
        }
        if backend.out.len() >= super::pump::SEND_AT {
            self.send_all().await
        } else {
            Ok(())
        }
    }

    /// Takes note of a setting's value as a server has told it.
    pub(super) fn note_status(&mut self, name: &str, value: &str) {
        self.status.retain(|(known, _)| known != name);
        self.status.push((name.to_owned(), value.to_owned()));
    }

    pub(super) fn backend(&mut self, side: Side) -> Result<&mut Backend, End> {
        self.backends.get_mut(side).ok_or(End::ServerGone(side))
    }

    /// Sends a message of the client and notes what is owed for it.
    pub(super) fn push(&mut self, side: Side, message: &[u8], expect: Expect) -> Result<(), End> {
        let backend = self.backend(side)?;
        backend.out.extend_from_slice(message);
        backend.expect.push_back(expect);
        Ok(())
    }

    /// Makes the server raise an error in place of the statement that is refused, so that everything after it follows the server's
    /// own rules: a failed transaction block, a pipeline skipped until Sync.
    pub(super) fn refuse_in_batch(&mut self, error: &ClientError) -> Result<(), End> {
        let side = self.active;
        self.refused = true;
        let sql = error.raising_sql();
        self.backend(side)?
            .push_own(b"crossfade_refusal", &sql, Execute::default());
        Ok(())
    }

    /// Counts and logs a refusal.
    pub(super) fn note_refusal(&self, error: &ClientError) {
        self.shared
            .metrics
            .refused
            .with_label_values(&[error.sqlstate])
            .inc();
        tracing::info!(sqlstate = error.sqlstate, message = %error.message, "a statement was refused");
    }

    /// The sandwich's first two steps for the present transaction, which `side` is about to commit; `None` when there is nothing to conclude: it changed
    /// nothing that a secondary gets, or both stores are in this very transaction.
    pub(super) async fn prepare_commit(
        &mut self,
        side: Side,
    ) -> Result<Option<commit::Prepared>, ClientError> {
        if let Some(error) = self.transaction.refusal() {
            return Err(error);
        }
        if self.transaction.is_empty() {
            return Ok(None);
        }
        let Some(secondary) = self.secondary_of(side) else {
            return Ok(None);
        };
        // Behind the transaction's last statement: what is sent off after this look is known to the primary by now, and is waited for when this proxy is taken for gone.
        self.check_lease()?;
        if self.shared.same_database {
            return self.write_across(side, secondary).await.map(|()| None);
        }
        self.read_again(side).await?;
        let order = self.router.order(secondary);
        commit::prepare(
            &self.shared,
            self.worker,
            &self.mapping,
            &order,
            secondary,
            &mut self.transaction,
        )
        .await
        .map(Some)
    }

    /// Where the rows are counted that sessions change in a table of one store.
    pub(super) fn own_count(&self, side: Side, table: TableId) -> Option<Arc<OwnCount>> {
        let own = self.shared.secondaries.on(side).own_changes()?;
        Some(own.of(&self.mapping.tables[table.0]))
    }

    /// The same for what a statement writes by itself, and what its WITH queries write.
    pub(super) fn counted(
        &self,
        side: Side,
        own: Option<(TableId, Extent)>,
        parts: Option<&Parts>,
    ) -> Vec<Counted> {
        let parts = parts.into_iter().flat_map(|parts| &parts.written);
        let parts = parts.map(|written| (written.table, Extent::of_part(written.conflicts)));
        let mut counted: Vec<Counted> = Vec::new();
        for (table, extent) in own.into_iter().chain(parts) {
            match counted.iter_mut().find(|counted| counted.table == table) {
                Some(counted) => counted.extent = counted.extent.and(extent),
                None => counted.extend(self.own_count(side, table).map(|count| Counted {
                    table,
                    extent,
                    count,
                })),
            }
        }
        counted
    }

    /// The session ends: of statements that were sent and not answered nobody knows how many rows they change, nor when.
    fn give_up_count(&mut self) {
        if self.is_idle() {
            self.own.over();
        }
        for side in [Side::Old, Side::New] {
            let owed = self.backends.get_mut(side).map(|backend| &backend.expect);
            for expect in owed.into_iter().flatten() {
                if let Expect::Execute(execute) = expect
                    && let Some(capture) = &execute.capture
                {
                    capture
                        .counted
                        .iter()
                        .for_each(|counted| counted.count.unsure());
                }
            }
        }
    }

    /// A proxy that is out of touch with the others commits nothing that writes both stores: they may have gone on without it.
    fn check_lease(&self) -> Result<(), ClientError> {
        let writes = |toggle: &str| {
            let mut tables = self.transaction.tables();
            tables.any(|table| self.mapping.tables[table.0].toggle == toggle)
        };
        let toggles = self.shared.toggles.iter();
        let mut out = toggles.filter(|toggle| !toggle.lease().holds() && writes(toggle.name()));
        match out.next() {
            None => Ok(()),
            Some(toggle) => Err(ClientError::new(
                "58030",
                format!(
                    "the write was refused because this proxy is out of touch with the others that move toggle \"{}\"",
                    toggle.name()
                ),
            )
            .hint("try again, or connect to another proxy; crossfade status says since when and why")),
        }
    }

    /// The store that gets the images of a transaction in that of `side`, by the pinned phases. Toggles may have different primaries.
    pub(super) fn secondary_of(&self, side: Side) -> Option<Side> {
        let mut phases = self.pins.phases();
        phases
            .find(|phase| phase.primary() == side && phase.secondary().is_some())
            .map(|_| side.other())
    }

    /// Tells the client why the session ends, where it can be told.
    pub(crate) async fn end(mut self: Box<Self>, end: End, label: &str) {
        self.give_up_count();
        // The pins go with the session, and no flip may overtake what it has under way.
        self.endings.over().await;
        match &end {
            End::ClientGone => tracing::debug!(session = label, "the client is gone"),
            End::Malformed(error) => {
                tracing::warn!(session = label, %error, "a connection was closed for breaking the protocol");
                tell_malformed(&mut self.client.stream, error).await;
            }
            End::ServerEnded(side) => {
                tracing::info!(session = label, %side, "a store ended a session's connection")
            }
            End::ServerGone(side) if self.fatal_shown => {
                tracing::info!(session = label, %side, "a store ended a session's connection");
            }
            End::ServerGone(side) => {
                tracing::warn!(session = label, %side, "a store closed a session's connection");
                self.tell_fatal(
                    &ClientError::new(
                        "08006",
                        format!("the connection to the {side} store was lost"),
                    )
                    .detail("a transaction that was committing may or may not have committed")
                    .hint("connect again"),
                )
                .await;
            }
            End::Stopping => self.tell_fatal(&stopping()).await,
            End::Fatal(error) => {
                tracing::warn!(session = label, %error, "a session could not go on");
                self.tell_fatal(error).await;
                // Nothing else of the session stays for so long.
                self.into_client().part().await;
            }
        }
    }

    fn into_client(self: Box<Self>) -> Client {
        let Managed { client, .. } = *self;
        client
    }

    async fn tell_fatal(&mut self, error: &ClientError) {
        error.write(&mut self.client.out, "FATAL");
        if let Err(error) = self.client.flush().await {
            tracing::debug!(%error, "the client was gone before it was told");
        }
    }

    /// A name of the proxy's own for a prepared statement.
    pub(super) fn fresh_name(&mut self) -> Bytes {
        self.names += 1;
        Bytes::from(format!("crossfade_{}", self.names))
    }
}

/// A message that no server takes in the middle of a COPY: PostgreSQL ends the connection, as it cannot tell data from messages any more.
pub(super) fn out_of_step() -> End {
    let told = "terminating connection because protocol synchronization was lost";
    End::Fatal(
        ClientError::new("08P01", told)
            .detail("a message that is none of a COPY came in the middle of one"),
    )
}

/// What PostgreSQL says itself in this case: drivers and pools know that it is worth connecting again.
pub(super) fn stopping() -> ClientError {
    ClientError::new("57P01", "terminating connection because crossfade stops")
        .hint("connect again")
}

async fn fill(backend: Option<&mut Backend>) -> std::io::Result<bool> {
    match backend {
        Some(backend) => backend.fill().await,
        None => std::future::pending().await,
    }
}
