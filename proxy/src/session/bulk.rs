//! COPY FROM and TRUNCATE of mapped tables, whose rows no RETURNING gives back (docs/decision/20).

use std::sync::Arc;

use bytes::Bytes;
use crossfade_phase::Side;
use crossfade_store::TableId;

use super::{
    Capture, End,
    backend::{Execute, Expect},
    client::CopyInput,
    managed::Managed,
    own::Extent,
    reworded::StandIn,
};
use crate::{
    errors::ClientError,
    route::{self, Bulk, CopyIn, Emptied, Gives, OnDocuments, Plan, Truncate, hindered},
    sql::{Parts, Written},
    wire::{backend::Status, frontend},
};

/// Of the statement and portal of what is sent around.
pub(super) const STEP: &[u8] = b"crossfade_step";

/// The statement itself, as it is sent to the server.
pub(super) enum Step<'a> {
    /// By its text.
    Text(&'a [u8]),
    /// By a portal that the client has made.
    Portal(&'a Bytes),
}

impl Managed {
    /// Runs a statement together with what is sent around it, to the end of all of it.
    pub(super) async fn run_bulk(
        &mut self,
        side: Side,
        plan: &Plan,
        bulk: &Arc<Bulk>,
        step: Step<'_>,
    ) -> Result<(), End> {
        self.settle_batch(side).await?;
        if self.skips() {
            return Ok(());
        }
        // Whatever is asked is asked within the transaction, and as its part.
        self.backend(side)?.batch = true;
        if self.backend(side)?.status == Status::Failed {
            // The server refuses it in its own words.
            self.push_step(side, &step, Execute::default())?;
            return self.settle_batch(side).await;
        }
        let on_documents = matches!(**bulk, Bulk::OnDocuments(_));
        if !on_documents && !self.still_means(side, plan.path).await? {
            return Ok(());
        }
        if plan.unseen {
            // What it calls, it calls from here on.
            self.note_unseen(side);
        }
        match &**bulk {
            Bulk::Copy(copy) => {
                self.stand_in = Some(StandIn::Stage(Bytes::copy_from_slice(copy.name.as_bytes())));
                let outcome = self.copy_in(side, copy, &step).await;
                self.stand_in = None;
                outcome
            }
            Bulk::Truncate(truncate) => self.truncate(side, truncate, &step).await,
            Bulk::Merge(merge) => {
                let checked = merge.is_checked();
                self.stand_in = Some(StandIn::Merge { side, checked });
                let outcome = self.merge_into(side, merge, &step).await;
                self.stand_in = None;
                outcome
            }
            Bulk::OnDocuments(bulk) => self.on_documents(side, bulk, &step).await,
        }
    }

    fn push_step(&mut self, side: Side, step: &Step<'_>, execute: Execute) -> Result<(), End> {
        let backend = self.backend(side)?;
        match step {
            Step::Text(sql) => {
                frontend::parse(&mut backend.out, b"", sql, &[]);
                frontend::bind(&mut backend.out, b"", b"", &[0, 0, 0, 0], &[]);
                frontend::execute(&mut backend.out, b"", 0);
                backend
                    .expect
                    .extend([Expect::Parse { show: false }, Expect::Bind { show: false }]);
            }
            Step::Portal(name) => frontend::execute(&mut backend.out, name, 0),
        }
        backend.expect.push_back(Expect::Execute(execute));
        Ok(())
    }

    /// Refuses when the server gives a reason. `false` when nothing more is to be done.
    async fn unhindered(
        &mut self,
        side: Side,
        question: &str,
        refusal: impl FnOnce(&Managed, &str) -> ClientError,
    ) -> Result<bool, End> {
        let answer = self.inquire(side, question).await?;
        if self.skips() {
            return Ok(false);
        }
        if answer.is_empty() {
            return Ok(true);
        }
        let error = refusal(self, &String::from_utf8_lossy(&answer));
        self.refuse(&error)?;
        self.settle_batch(side).await?;
        Ok(false)
    }

    async fn copy_in(&mut self, side: Side, copy: &CopyIn, step: &Step<'_>) -> Result<(), End> {
        let table = copy.table;
        let refusal =
            |session: &Managed, why: &str| hindered(&session.router, table, "COPY FROM", why);
        if !self.unhindered(side, &copy.question, refusal).await? {
            return Ok(());
        }
        for sql in &copy.before {
            self.backend(side)?.push_own(STEP, sql, Execute::default());
        }
        self.push_step(side, step, Execute::default())?;
        self.settle_or_copy(side).await?;
        if self.copying == Some(side) {
            self.feed_copy(side).await?;
        }
        self.settle_batch(side).await?;
        if self.skips() {
            return Ok(());
        }
        let execute = Execute {
            capture: Some(Arc::new(Capture {
                mapping: copy.mapping.clone(),
                own: Some(Written::rows(table)),
                parts: None,
                counted: self.counted(side, Some((table, Extent::ROWS)), None),
            })),
            show_complete: true,
            copied: true,
            ..Execute::default()
        };
        let backend = self.backend(side)?;
        backend.push_own(STEP, &copy.insert, execute);
        backend.push_own(STEP, &copy.after, Execute::default());
        self.settle_batch(side).await
    }

    /// Documents have neither temporary tables nor locks on tables; the engine gives the rows back by itself, as they are written.
    async fn on_documents(
        &mut self,
        side: Side,
        bulk: &OnDocuments,
        step: &Step<'_>,
    ) -> Result<(), End> {
        for images in &bulk.images {
            self.push_own_step(side, images, None)?;
        }
        let tables = bulk.tables.iter().copied();
        let (own, written): (_, Vec<Written>) = match bulk.gives {
            Gives::New => (bulk.tables.first().copied(), Vec::new()),
            Gives::Gone => (None, tables.map(Written::gone).collect()),
            Gives::Both => {
                let both = |table| [Written::rows(table), Written::gone(table)];
                (None, tables.flat_map(both).collect())
            }
        };
        let extent = match bulk.gives {
            Gives::New | Gives::Both => Extent::ROWS,
            Gives::Gone => Extent::ALL,
        };
        let counted = |table: &TableId| self.counted(side, Some((*table, extent)), None);
        let capture = Capture {
            mapping: bulk.mapping.clone(),
            own: own.map(Written::rows),
            counted: bulk.tables.iter().flat_map(counted).collect(),
            parts: (bulk.gives != Gives::New).then_some(Parts {
                written,
                filler: 0,
                tag: "",
            }),
        };
        let execute = Execute {
            capture: Some(Arc::new(capture)),
            show_complete: true,
            ..Execute::default()
        };
        self.push_step(side, step, execute)?;
        self.settle_or_copy(side).await?;
        if self.copying == Some(side) {
            self.feed_copy(side).await?;
        }
        self.settle_batch(side).await
    }

    /// Passes the client's data on until it ends, or the server has had enough. Never is more read than the server takes.
    pub(super) async fn feed_copy(&mut self, side: Side) -> Result<(), End> {
        while self.copying == Some(side) {
            let Some(input) = self.client.next_copy()? else {
                self.send_all().await?;
                self.flush_client().await?;
                if self.copying == Some(side) {
                    self.wait_for_copy(side).await?;
                }
                continue;
            };
            let backend = self.backend(side)?;
            match input {
                CopyInput::Piece(piece) => frontend::copy_data(&mut backend.out, &piece),
                CopyInput::Message(frame) => match frame.kind {
                    b'X' => return Err(End::ClientGone),
                    // As the server does it: a client need not know when the copy begins.
                    b'H' | b'S' => {}
                    kind => {
                        backend.out.extend_from_slice(&frame.whole);
                        if matches!(kind, b'c' | b'f') {
                            backend.copy_in = false;
                            self.copying = None;
                        }
                    }
                },
            }
            if self.backend(side)?.out.len() >= super::pump::SEND_AT {
                self.send_all().await?;
            }
        }
        Ok(())
    }

    async fn wait_for_copy(&mut self, side: Side) -> Result<(), End> {
        let Managed {
            client, backends, ..
        } = self;
        let backend = backends.get_mut(side).ok_or(End::ServerGone(side))?;
        let filled = tokio::select! {
            filled = client.fill_copy() => {
                return if matches!(filled, Ok(true)) { Ok(()) } else { Err(End::ClientGone) };
            }
            filled = backend.fill() => filled,
        };
        self.drain_inbound(side).await?;
        if filled.unwrap_or(false) {
            Ok(())
        } else {
            Err(End::ServerGone(side))
        }
    }

    /// Under the lock that the TRUNCATE takes anyway, all keys are read: each is a deleted row to the secondary.
    async fn truncate(
        &mut self,
        side: Side,
        truncate: &Truncate,
        step: &Step<'_>,
    ) -> Result<(), End> {
        let Some(first) = truncate.tables.first() else {
            return Ok(());
        };
        let first = first.table;
        let refusal =
            |session: &Managed, why: &str| hindered(&session.router, first, "TRUNCATE", why);
        if !self.unhindered(side, &truncate.question, refusal).await? {
            return Ok(());
        }
        let mapping = self.mapping.clone();
        let mut tables = truncate.tables.clone();
        let lock = Emptied::lock(&tables, &mapping, side);
        self.push_own_step(side, &lock, None)?;
        if truncate.cascade {
            match self.cascade(side, truncate, first).await? {
                Some(more) => tables.extend(more),
                None => return Ok(()),
            }
        }
        // Children before their parents, as the secondary may get them in portions.
        let order = self
            .secondary_of(side)
            .map(|secondary| self.router.order(secondary).tables());
        let place = |table| order.iter().flatten().position(|known| *known == table);
        tables.sort_by_key(|emptied| std::cmp::Reverse(place(emptied.table)));
        for emptied in &tables {
            let capture = Capture {
                mapping: mapping.clone(),
                own: Some(Written::keys(emptied.table)),
                parts: None,
                counted: self.counted(side, Some((emptied.table, Extent::ALL)), None),
            };
            let keys = emptied.keys(&mapping, side);
            self.push_own_step(side, &keys, Some(Arc::new(capture)))?;
        }
        let execute = Execute {
            show_complete: true,
            ..Execute::default()
        };
        self.push_step(side, step, execute)?;
        self.settle_batch(side).await
    }

    /// The mapped tables that CASCADE adds, locked; `None` when nothing more is to be done.
    async fn cascade(
        &mut self,
        side: Side,
        truncate: &Truncate,
        first: TableId,
    ) -> Result<Option<Vec<Emptied>>, End> {
        let mapping = self.mapping.clone();
        let question = truncate.cascade_question(&mapping, side);
        let answer = self.inquire(side, &question).await?;
        if self.skips() {
            return Ok(None);
        }
        let more = added(&String::from_utf8_lossy(&answer), &truncate.tables);
        let phase = self.router.phase(first);
        let elsewhere =
            |emptied: &&Emptied| self.router.phase(emptied.table).secondary() != phase.secondary();
        if let Some(other) = more.iter().find(elsewhere) {
            let error = hindered(
                &self.router,
                other.table,
                "TRUNCATE … CASCADE, which reaches into another phase,",
                "put tables that are used together into one toggle, or name the tables without CASCADE",
            );
            self.refuse(&error)?;
            self.settle_batch(side).await?;
            return Ok(None);
        }
        if !more.is_empty() {
            let lock = Emptied::lock(&more, &mapping, side);
            self.push_own_step(side, &lock, None)?;
        }
        Ok(Some(more))
    }

    fn push_own_step(
        &mut self,
        side: Side,
        sql: &str,
        capture: Option<Arc<Capture>>,
    ) -> Result<(), End> {
        let execute = Execute {
            capture,
            ..Execute::default()
        };
        self.backend(side)?.push_own(STEP, sql, execute);
        Ok(())
    }

    /// A plan with what is sent around its statement.
    pub(super) fn plan_bulk(
        &self,
        context: &route::Context<'_>,
        mut plan: Plan,
    ) -> Result<Plan, ClientError> {
        let statement = &context.facts.statements[context.index];
        self.check_encoding(context.sql, statement, true)?;
        if self.router.expands(statement, plan.side) {
            return self.plan_merge(context, plan);
        }
        let (bulk, sql) = route::bulk(&self.router, context, statement, plan.side)
            .map_err(|refusal| self.router.cannot_rewrite(statement, &refusal))?;
        if let Some(sql) = sql {
            let target = match plan.side {
                Side::Old => crate::sql::Target::OldCapture,
                Side::New => crate::sql::Target::NewCapture,
            };
            plan.variant = route::Variant::For(target);
            plan.sql = Some(sql.into());
        }
        plan.bulk = Some(Arc::new(bulk));
        Ok(plan)
    }
}

/// The mapped tables that CASCADE adds.
fn added(list: &str, named: &[Emptied]) -> Vec<Emptied> {
    list.split(',')
        .filter_map(|id| id.parse().ok().map(TableId))
        .filter(|table| named.iter().all(|emptied| emptied.table != *table))
        .map(|table| Emptied { table, only: false })
        .collect()
}
