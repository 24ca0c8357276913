//! The simple protocol: Query.
//!
//! A Query that needs nothing from us goes on whole. One that writes mapped rows in a dual phase is taken apart and its statements sent by the extended
//! protocol, which can keep an implicit transaction open until the secondary holds its part (trap 14: several statements of
//! one Query are one transaction, here as there).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use crossfade_phase::Side;

use super::{
    End,
    backend::{Execute, Expect},
    bulk::Step,
    client::Frame,
    managed::Managed,
    plan::Planned,
    transaction::Effect,
};
use crate::{
    errors::ClientError,
    route::Plan,
    wire::frontend::{self, Target},
};

/// One statement of a Query with its plan.
struct Piece {
    sql: Bytes,
    plan: Arc<Plan>,
    /// The server has to be given the statement that it takes away.
    stands_in: bool,
}

impl Managed {
    pub(super) async fn query(&mut self, frame: &Frame) -> Result<(), End> {
        if self.skips_unasked().await? {
            return Ok(());
        }
        let body = frame.body();
        let sql = frontend::read_query(&body)?;
        if let Some(tally) = &mut self.tally {
            tally.query(sql);
        }
        self.forget_unnamed();
        let Some(glance) = self.ensure_path(sql).await? else {
            return self.push_sync(self.active);
        };
        let planned = self
            .check_fetch(sql)
            .and_then(|()| self.plan_all(sql, glance));
        let pieces = match planned {
            Ok(pieces) => pieces,
            Err(error) => return self.refuse_query(&error).await,
        };
        if let Some(first) = self.unsure_behind(&pieces) {
            return self.query_in_steps(sql, pieces, first).await;
        }
        let pieces = self.pieces(pieces);
        match &pieces[..] {
            [] if self.ends_pending().await? => self.refuse_query(&ends_batch()).await,
            [] => self.pass(frame, &[]),
            [only]
                if only.plan.sql.is_none()
                    && only.plan.capture.is_none()
                    && only.plan.bulk.is_none()
                    && !only.stands_in =>
            {
                self.pass_one(frame, only).await
            }
            many if many
                .iter()
                .all(|piece| piece.plan.is_plain(self.home) && !piece.stands_in)
                && (self.router.is_careless()
                    || !many.iter().any(|piece| piece.plan.asks_anew))
                && !self.captures_pending(self.home) =>
            {
                self.pass(frame, many)
            }
            _ => self.take_apart(&pieces).await,
        }
    }

    fn pieces(&mut self, planned: Vec<Planned>) -> Vec<Piece> {
        let mut pieces = Vec::with_capacity(planned.len());
        for (sql, plan) in planned {
            let compare = self.compared(&plan, None);
            self.compares.extend(compare);
            pieces.push(Piece {
                sql,
                stands_in: self.is_unknown_there(&plan),
                plan,
            });
        }
        pieces
    }

    /// The first statement behind which names may mean something else in those that follow: the end of a block in which that was changed, or a call of a
    /// function that may change it unseen.
    fn unsure_behind(&self, planned: &[Planned]) -> Option<usize> {
        let unsure = |(_, (_, plan)): &(usize, &Planned)| {
            plan.unseen || plan.undoes() && self.is_unsure_behind_an_end()
        };
        let (first, _) = planned.iter().enumerate().find(unsure)?;
        let mut rest = planned[first + 1..].iter();
        rest.any(|(text, _)| self.glance(text).mapped)
            .then_some(first)
    }

    /// A Query of which a statement may change what names mean in those behind it: what follows is planned when that is known.
    async fn query_in_steps(
        &mut self,
        sql: &[u8],
        mut planned: Vec<Planned>,
        mut first: usize,
    ) -> Result<(), End> {
        let mut done = 0;
        loop {
            planned.truncate(first + 1);
            done += planned.len();
            let pieces = self.pieces(planned);
            let side = self.run_pieces(&pieces).await?;
            self.settle_batch(side).await?;
            if self.skips() {
                return self.end_query(side).await;
            }
            let Some(glance) = self.ensure_path(sql).await? else {
                return self.end_query(side).await;
            };
            match self.plan_all(sql, glance) {
                Ok(mut all) => planned = all.split_off(done.min(all.len())),
                Err(error) => {
                    self.refuse(&error)?;
                    return self.end_query(side).await;
                }
            }
            match self.unsure_behind(&planned) {
                Some(next) => first = next,
                None => {
                    let rest = self.pieces(planned);
                    return self.take_apart(&rest).await;
                }
            }
        }
    }

    fn forget_unnamed(&mut self) {
        let unnamed = Bytes::new();
        self.prepared.statements.remove(&unnamed);
        for side in [Side::Old, Side::New] {
            if let Some(backend) = self.backends.get_mut(side) {
                backend.prepared.retain(|(name, _), _| !name.is_empty());
            }
        }
    }

    fn pass(&mut self, frame: &Frame, pieces: &[Piece]) -> Result<(), End> {
        for piece in pieces {
            self.note_statement(&piece.plan)?;
        }
        let effects = pieces.iter().map(|piece| piece.plan.effect.clone());
        let effects = effects.collect();
        let side = self.active;
        self.prepared.batch += 1;
        self.push(side, &frame.whole, Expect::Query { effects })
    }

    /// A single statement that goes on as it is; a COMMIT takes the images along.
    async fn pass_one(&mut self, frame: &Frame, only: &Piece) -> Result<(), End> {
        let plan = &only.plan;
        if !self.activate_for(plan).await? {
            // A Query is its own Sync.
            return self.push_sync(self.active);
        }
        if plan.effect.is_none() && self.ends_pending().await? {
            return self.refuse_query(&ends_batch()).await;
        }
        let commits = matches!(plan.effect, Some(Effect::Commit { .. }));
        if commits && self.captures_pending(plan.side) {
            return self.commit_query(frame, only).await;
        }
        self.pass(frame, std::slice::from_ref(only))?;
        self.active = self.home;
        Ok(())
    }

    async fn commit_query(&mut self, frame: &Frame, only: &Piece) -> Result<(), End> {
        let side = only.plan.side;
        self.settle_batch(side).await?;
        match self.prepare_commit(side).await {
            Ok(prepared) => {
                self.begin_commit(side)?;
                self.push_intent(side, prepared.as_ref()).await?;
                if self.backend(side)?.settled() {
                    self.pass(frame, std::slice::from_ref(only))?;
                } else {
                    // Behind an intent that is refused the server skips everything up to a Sync, a Query as well.
                    self.send_piece(side, only)?;
                    self.push_sync(side)?;
                }
                self.commit_under_way().await;
                let settled = self.settle(side).await;
                self.active = self.home;
                self.conclude(side, prepared, settled).await
            }
            Err(error) => {
                self.abort_block(side, &error).await?;
                self.push_sync(side)
            }
        }
    }

    /// Nothing of the Query runs; the server raises the error, so that an open block fails by its own rules.
    pub(super) async fn refuse_query(&mut self, error: &ClientError) -> Result<(), End> {
        self.note_refusal(error);
        let side = self.active;
        let mut message = BytesMut::new();
        frontend::query(&mut message, error.raising_sql().as_bytes());
        let effects = std::collections::VecDeque::new();
        self.push(side, &message, Expect::Query { effects })
    }

    async fn take_apart(&mut self, pieces: &[Piece]) -> Result<(), End> {
        let side = self.run_pieces(pieces).await?;
        self.end_query(side).await
    }

    /// Runs statements one after the other until one fails. The server that the last one went to.
    async fn run_pieces(&mut self, pieces: &[Piece]) -> Result<Side, End> {
        let mut side = self.active;
        for (index, piece) in pieces.iter().enumerate() {
            if !self.activate_for(&piece.plan).await? {
                break;
            }
            side = piece.plan.side;
            if piece.plan.discards_all() && pieces.len() > 1 {
                // By the extended protocol the server would run it.
                self.refuse(&in_a_block())?;
                break;
            }
            if piece.plan.may_end && self.ends_unseen(side).await? {
                break;
            }
            // What the statements before it have set off may have changed what its name means.
            if index > 0 && !self.still_passes(&piece.plan).await? {
                break;
            }
            if matches!(piece.plan.effect, Some(Effect::Commit { .. }))
                && self.captures_pending(side)
            {
                if !self.commit_piece(side, piece).await? {
                    break;
                }
            } else if let Some(bulk) = &piece.plan.bulk {
                self.note_statement(&piece.plan)?;
                let sql = piece.plan.sql.as_ref().unwrap_or(&piece.sql);
                self.run_bulk(side, &piece.plan, bulk, Step::Text(sql))
                    .await?;
                if self.skips() {
                    break;
                }
            } else {
                self.send_piece(side, piece)?;
                if piece.plan.copies {
                    self.settle_or_copy(side).await?;
                    if self.copying == Some(side) {
                        self.feed_copy(side).await?;
                    }
                    self.settle_batch(side).await?;
                    if self.skips() {
                        break;
                    }
                }
                if let Some(merge) = &piece.plan.merge {
                    self.settle_batch(side).await?;
                    if self.skips() {
                        break;
                    }
                    self.merge(merge, None).await?;
                }
            }
            // The statements behind one that failed do not run; with more than one, look before the next is sent to another place.
            if index + 1 < pieces.len() && self.client.out.len() > super::pump::SEND_AT {
                self.flush_client().await?;
            }
        }
        Ok(side)
    }

    fn send_piece(&mut self, side: Side, piece: &Piece) -> Result<(), End> {
        let plan = &piece.plan;
        let captured = plan.capture.is_some();
        if piece.stands_in {
            self.stand_in(plan)?;
        }
        self.note_statement(plan)?;
        self.batch_wrote |= plan.writes();
        let backend = self.backend(side)?;
        let sql = plan.sql.as_ref().unwrap_or(&piece.sql);
        backend.push_functions(&plan.functions);
        frontend::parse(&mut backend.out, b"", sql, &[]);
        frontend::bind(&mut backend.out, b"", b"", &[0, 0, 0, 0], &[]);
        frontend::target(&mut backend.out, b'D', Target::Portal, b"");
        frontend::execute(&mut backend.out, b"", 0);
        backend.batch = true;
        backend.expect.extend([
            Expect::Parse { show: false },
            Expect::Bind { show: false },
            Expect::Describe {
                strip: plan.appended(),
                show_none: false,
            },
            Expect::Execute(Execute {
                capture: plan.capture.clone(),
                show_rows: !captured || plan.returns_rows,
                show_complete: plan.merge.is_none(),
                lookup: plan.merge.as_ref().map(|merge| merge.images),
                effect: plan.effect.clone(),
                portion: None,
                ..Execute::default()
            }),
        ]);
        Ok(())
    }

    /// COMMIT among several statements. `false` when the rest does not run.
    async fn commit_piece(&mut self, side: Side, piece: &Piece) -> Result<bool, End> {
        self.settle_batch(side).await?;
        if self.skips() {
            return Ok(false);
        }
        match self.prepare_commit(side).await {
            Ok(prepared) => {
                self.begin_commit(side)?;
                self.push_intent(side, prepared.as_ref()).await?;
                self.send_piece(side, piece)?;
                self.commit_under_way().await;
                let settled = self.settle_batch(side).await;
                self.conclude(side, prepared, settled).await?;
                if self.skips() {
                    return Ok(false);
                }
                // A block that had failed was rolled back by its COMMIT, which is no error: the rest runs.
                self.backend(side)?.batch_failed = false;
                Ok(true)
            }
            Err(error) => {
                self.abort_block(side, &error).await?;
                Ok(false)
            }
        }
    }

    /// The Sync at the end, which commits what was done outside of a block. The completion of the last statement is held back until then: to a client of
    /// the simple protocol it says that the statement is committed.
    async fn end_query(&mut self, side: Side) -> Result<(), End> {
        self.settle_batch(side).await?;
        if self.transaction.in_block && !self.skips() {
            // Ours; a Query leaves none behind, and a block keeps it.
            let backend = self.backend(side)?;
            frontend::target(&mut backend.out, b'C', Target::Portal, b"");
            backend.expect.push_back(Expect::Close { show: false });
        }
        if self.skips() || self.transaction.in_block || self.transaction.is_empty() {
            return self.push_sync(side);
        }
        self.held_completion = self.take_completion();
        let outcome = self.sync_commit(side).await;
        self.held_completion.clear();
        outcome
    }

    /// Takes the `CommandComplete` at the end of what is kept back for the client.
    fn take_completion(&mut self) -> BytesMut {
        match self.completion_at.take() {
            Some(at) if at < self.client.out.len() => self.client.out.split_off(at),
            _ => BytesMut::new(),
        }
    }
}

/// What PostgreSQL says itself to one of several statements of a Query.
fn in_a_block() -> ClientError {
    ClientError::new("25001", "DISCARD ALL cannot run inside a transaction block")
}

/// A Query, or a function call, ends the implicit transaction of the messages before it, which has to go into both stores then.
pub(super) fn ends_batch() -> ClientError {
    ClientError::new("0A000", "crossfade refused a Query in the middle of a batch of messages that has written mapped tables")
        .hint("send Sync before it")
}
