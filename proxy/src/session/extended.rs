//! The extended protocol: Parse, Bind, Describe, Execute, Close, Flush, Sync.
//!
//! The text a server gets is chosen at Bind, by the phase the transaction is pinned to: what was prepared in one phase is executed rightly
//! in another (trap 34).

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use crossfade_crash::{self as crash, Point};
use crossfade_phase::Side;

use super::{
    End,
    backend::{Execute, Expect},
    bulk::Step,
    client::Frame,
    commit::{self, Outcome},
    managed::Managed,
    merge::widened,
    statements::{Portal, Statement},
    transaction::{Effect, Transaction},
};
use crate::{
    errors::ClientError,
    route::{Bulk, Plan, Variant},
    wire::{
        backend::Status,
        frontend::{self, Bind, Parse, Target},
    },
};

impl Managed {
    /// Whether messages are skipped up to the next Sync, as the server does after an error.
    pub(super) fn skips(&mut self) -> bool {
        let active = self.active;
        self.refused
            || self
                .backends
                .get_mut(active)
                .is_some_and(|backend| backend.skipping)
    }

    /// As [`Managed::skips`], of a message that ends no batch and belongs to none: in the middle of one, what the server says of it has to be known.
    pub(super) async fn skips_unasked(&mut self) -> Result<bool, End> {
        for side in [Side::Old, Side::New] {
            if self
                .backends
                .get_mut(side)
                .is_some_and(|backend| backend.batch)
            {
                self.settle_batch(side).await?;
            }
        }
        Ok(self.skips())
    }

    /// Makes `side` the server of the present batch. What the other one still owes is waited for first, so that answers keep
    /// their order.
    async fn activate(&mut self, side: Side) -> Result<(), End> {
        let before = self.active;
        if before != side {
            self.settle_batch(before).await?;
            if let Some(backend) = self.backends.get_mut(before)
                && backend.batch
                && backend.status == Status::Idle
            {
                // Nothing that a secondary gets is in it (`check_place`), so the implicit transaction there may end here.
                frontend::sync(&mut backend.out);
                backend.batch = false;
                backend.expect.push_back(Expect::Sync { show: false });
                self.settle(before).await?;
            }
            self.active = side;
        }
        Ok(())
    }

    /// A refusal within a batch.
    pub(super) fn refuse(&mut self, error: &ClientError) -> Result<(), End> {
        self.note_refusal(error);
        self.refuse_in_batch(error)
    }

    pub(super) async fn parse(&mut self, frame: &Frame) -> Result<(), End> {
        if self.skips() {
            return Ok(());
        }
        let body = frame.body();
        let Parse { name, sql, types } = Parse::read(&body)?;
        let name = body.slice_ref(name);
        if !name.is_empty() && self.prepared.statements.contains_key(&name) {
            let told = format!(
                "prepared statement \"{}\" already exists",
                String::from_utf8_lossy(&name)
            );
            return self.refuse_in_batch(&ClientError::new("42P05", told));
        }
        let statement = Statement {
            sql: body.slice_ref(sql),
            types: types.into(),
            planned: None,
            told: None,
        };
        if let Some(tally) = &mut self.tally {
            tally.parse(&name, sql);
        }
        self.forget_variants(&name);
        self.prepared.statements.insert(name.clone(), statement);
        self.ensure_path(sql).await?;
        let plan = match self.plan_of(&name) {
            Ok(plan) => plan,
            Err(error) => {
                self.prepared.statements.remove(&name);
                // No Bind will follow it.
                self.count(&name);
                return self.refuse(&error);
            }
        };
        self.activate_for(&plan).await?;
        self.prepare_on(&name, &plan, true)
    }

    /// One more attempt to run a prepared statement.
    fn count(&mut self, name: &[u8]) {
        if let Some(tally) = &mut self.tally {
            tally.bind(name);
        }
    }

    /// Forgets what servers have of a statement that is about to be replaced: only the unnamed one can be, and a Parse replaces it there too.
    fn forget_variants(&mut self, name: &Bytes) {
        for side in [Side::Old, Side::New] {
            if let Some(backend) = self.backends.get_mut(side) {
                backend.prepared.retain(|(known, _), _| known != name);
            }
        }
    }

    /// What the named statement does in the pinned phases.
    fn plan_of(&mut self, name: &Bytes) -> Result<Arc<Plan>, ClientError> {
        let stamp = (self.pins.stamp(), self.path);
        let Some(statement) = self.prepared.statements.get(name) else {
            return Ok(Arc::new(Plan::pass(self.home)));
        };
        if let Some((planned, plan)) = &statement.planned
            && *planned == stamp
        {
            return self.check_block(plan.clone());
        }
        let sql = statement.sql.clone();
        let plan = Arc::new(self.plan_single(&sql)?);
        if let Some(statement) = self.prepared.statements.get_mut(name) {
            statement.planned = Some((stamp, plan.clone()));
        }
        self.check_block(plan)
    }

    /// Goes to the plan's server. The first statement of an implicit transaction decides where the transaction is.
    pub(super) async fn activate_for(&mut self, plan: &Plan) -> Result<(), End> {
        self.need(plan.side).await?;
        self.activate(plan.side).await
    }

    /// Sees to it that the plan's server has the statement in the plan's variant.
    fn prepare_on(&mut self, name: &Bytes, plan: &Plan, show: bool) -> Result<(), End> {
        let key = (name.clone(), plan.variant);
        if self.backend(plan.side)?.prepared.contains_key(&key) {
            return Ok(());
        }
        let Some(statement) = self.prepared.statements.get(name).cloned() else {
            return Ok(());
        };
        let there = if name.is_empty() || plan.variant == Variant::Original {
            name.clone()
        } else {
            self.fresh_name()
        };
        let sql = plan.sql.as_ref().unwrap_or(&statement.sql).clone();
        let backend = self.backend(plan.side)?;
        if name.is_empty() {
            // One unnamed statement a server, whatever its variant.
            backend.prepared.retain(|(known, _), _| !known.is_empty());
        }
        backend.push_functions(&plan.functions);
        frontend::parse(
            &mut backend.out,
            &there,
            &sql,
            &types_for(plan.side, &statement.types),
        );
        backend.batch = true;
        backend.expect.push_back(Expect::Parse { show });
        backend.prepared.insert(key, there);
        Ok(())
    }

    pub(super) async fn bind(&mut self, frame: &Frame) -> Result<(), End> {
        if self.skips() {
            return Ok(());
        }
        let body = frame.body();
        let bind = Bind::read(&body)?;
        let (portal, name) = (body.slice_ref(bind.portal), body.slice_ref(bind.statement));
        self.count(&name);
        if let Some(statement) = self.prepared.statements.get(&name) {
            let sql = statement.sql.clone();
            self.ensure_path(&sql).await?;
        }
        let plan = match self.plan_of(&name) {
            Ok(plan) => plan,
            Err(error) => return self.refuse(&error),
        };
        self.activate_for(&plan).await?;
        self.finish_portion(&portal).await?;
        self.prepare_on(&name, &plan, false)?;
        self.learn_types(&name, &plan).await?;
        if self.skips() {
            return Ok(());
        }
        let merges = matches!(plan.bulk.as_deref(), Some(Bulk::Merge(_)));
        let types = if merges {
            self.types_of(&name, plan.side)
        } else {
            Arc::default()
        };
        let compare = self.compared(&plan, Some(&bind));
        let backend = self.backend(plan.side)?;
        let there = backend
            .prepared
            .get(&(name.clone(), plan.variant))
            .unwrap_or(&name);
        let results = widened(bind.results, plan.appended());
        let there = there.clone();
        backend.push_functions(&plan.functions);
        frontend::bind(&mut backend.out, &portal, &there, bind.parameters, &results);
        backend.batch = true;
        backend.expect.push_back(Expect::Bind { show: true });
        let entry = Portal {
            side: plan.side,
            bind: (plan.merge.is_some() || merges).then(|| body.clone()),
            types,
            ran: false,
            plan,
            held: VecDeque::new(),
            completion: None,
            portioned: false,
            compare,
        };
        self.prepared.portals.insert(portal, entry);
        Ok(())
    }

    pub(super) async fn describe(&mut self, frame: &Frame) -> Result<(), End> {
        if self.skips() {
            return Ok(());
        }
        let body = frame.body();
        let (target, name) = frontend::read_target(b'D', &body)?;
        let name = body.slice_ref(name);
        let (side, strip, there) = match target {
            Target::Portal => match self.prepared.portals.get(&name) {
                Some(portal) => (portal.side, portal.plan.appended(), name),
                None => (self.active, 0, name),
            },
            Target::Statement => {
                let plan = match self.plan_of(&name) {
                    Ok(plan) => plan,
                    Err(error) => return self.refuse(&error),
                };
                self.activate_for(&plan).await?;
                self.prepare_on(&name, &plan, false)?;
                self.backend(plan.side)?.push_functions(&plan.functions);
                let there = self
                    .backend(plan.side)?
                    .prepared
                    .get(&(name.clone(), plan.variant))
                    .cloned()
                    .unwrap_or(name);
                (plan.side, plan.appended(), there)
            }
        };
        self.activate(side).await?;
        let backend = self.backend(side)?;
        frontend::target(&mut backend.out, b'D', target, &there);
        backend.batch = true;
        backend.expect.push_back(Expect::Describe {
            strip,
            show_none: true,
        });
        Ok(())
    }

    pub(super) async fn execute(&mut self, frame: &Frame) -> Result<(), End> {
        if self.skips() {
            return Ok(());
        }
        let body = frame.body();
        let (name, rows) = frontend::read_execute(&body)?;
        let name = body.slice_ref(name);
        let rows = usize::try_from(rows).unwrap_or(0);
        let Some(portal) = self.prepared.portals.get_mut(&name) else {
            let side = self.active;
            self.backend(side)?.batch = true;
            return self.push(side, &frame.whole, Expect::Execute(shown()));
        };
        let (side, plan, compare) = (portal.side, portal.plan.clone(), portal.compare.take());
        if portal.portioned {
            // The write ran to its end at the first Execute; all that is left is to hand out its rows, once they have come.
            self.settle_batch(side).await?;
            if !self.skips() {
                self.hand_out(&name, rows, None);
            }
            return Ok(());
        }
        portal.portioned = plan.capture.is_some() && plan.returns_rows && rows > 0;
        self.activate(side).await?;
        self.batch_wrote |= !plan.reads;
        if let Some(compare) = compare {
            self.compares.push(compare);
        }
        if matches!(plan.effect, Some(Effect::Commit { .. })) && self.captures_pending(side) {
            return self.execute_commit(side, &name, &plan).await;
        }
        if plan.merge.is_some() {
            return self.execute_merged(side, &name, &plan).await;
        }
        if let Some(bulk) = &plan.bulk {
            self.note_statement(&plan);
            return self.run_bulk(side, bulk, Step::Portal(&name)).await;
        }
        let capture = plan.capture.clone();
        let captured = capture.is_some();
        let backend = self.backend(side)?;
        frontend::execute(
            &mut backend.out,
            &name,
            if captured {
                0
            } else {
                i32::try_from(rows).unwrap_or(0)
            },
        );
        backend.batch = true;
        backend.expect.push_back(Expect::Execute(Execute {
            show_rows: !captured || plan.returns_rows,
            show_complete: true,
            effect: plan.effect.clone(),
            portion: (captured && plan.returns_rows && rows > 0).then_some((name, rows)),
            capture,
            ..Execute::default()
        }));
        self.note_statement(&plan);
        Ok(())
    }

    /// A lookup in both stores.
    async fn execute_merged(&mut self, side: Side, name: &Bytes, plan: &Plan) -> Result<(), End> {
        let Some(merge) = &plan.merge else {
            return Ok(());
        };
        let backend = self.backend(side)?;
        frontend::execute(&mut backend.out, name, 0);
        backend.batch = true;
        backend.expect.push_back(Expect::Execute(Execute {
            lookup: Some(merge.images),
            ..Execute::default()
        }));
        self.settle_batch(side).await?;
        if self.skips() {
            return Ok(());
        }
        let body = self
            .prepared
            .portals
            .get(name)
            .and_then(|portal| portal.bind.clone())
            .unwrap_or_default();
        let bind = Bind::read(&body)?;
        self.merge(merge, Some(&bind)).await
    }

    /// COMMIT by Execute: the images are all there before the sandwich begins.
    async fn execute_commit(&mut self, side: Side, name: &Bytes, plan: &Plan) -> Result<(), End> {
        self.settle_batch(side).await?;
        if self.skips() {
            return Ok(());
        }
        let prepared = match self.prepare_commit(side).await {
            Ok(prepared) => prepared,
            Err(error) => return self.abort_block(side, &error).await,
        };
        self.begin_commit(side)?;
        self.push_intent(side, prepared.as_ref()).await?;
        let backend = self.backend(side)?;
        frontend::execute(&mut backend.out, name, 0);
        backend.expect.push_back(Expect::Execute(Execute {
            effect: plan.effect.clone(),
            ..shown()
        }));
        // Nearly always there: it saves a trip.
        let settled = if self.client.take_sync() {
            self.push_sync(side)?;
            self.commit_under_way().await;
            self.settle(side).await
        } else {
            self.settle_batch(side).await
        };
        self.conclude(side, prepared, settled).await
    }

    /// From here on an error of the server is one of the commit. Whatever was before it has been answered: another block may have failed in the same batch.
    pub(super) fn begin_commit(&mut self, side: Side) -> Result<(), End> {
        self.failed = false;
        self.backend(side)?.batch_failed = false;
        Ok(())
    }

    /// Where the journal is kept in the primary: the rows of its intents go into the transaction, in the trip of the commit that follows.
    ///
    /// # Errors
    /// When the session is over.
    pub(super) async fn push_intent(
        &mut self,
        side: Side,
        prepared: Option<&commit::Prepared>,
    ) -> Result<(), End> {
        let Some(prepared) = prepared else {
            return Ok(());
        };
        let mut intents = prepared.intents_sql().peekable();
        if intents.peek().is_none() {
            return Ok(());
        }
        if self.backend(side)?.status == Status::Failed {
            // It may have gone back to a savepoint since. Within a block a Sync commits nothing.
            let backend = self.backend(side)?;
            frontend::sync(&mut backend.out);
            backend.expect.push_back(Expect::Sync { show: false });
            self.settle(side).await?;
            if self.backend(side)?.status == Status::Failed {
                // Its COMMIT will roll it back, and has to be answered so.
                return Ok(());
            }
        }
        for sql in intents {
            let intent = Execute {
                intent: true,
                ..Execute::default()
            };
            self.backend(side)?
                .push_own(b"crossfade_intent", &sql, intent);
        }
        Ok(())
    }

    /// Ends the sandwich once the primary has answered, or has not.
    pub(super) async fn conclude(
        &mut self,
        side: Side,
        prepared: Option<commit::Prepared>,
        settled: Result<(), End>,
    ) -> Result<(), End> {
        let undone = self.failed
            || self
                .backends
                .get_mut(side)
                .is_some_and(|backend| backend.batch_failed);
        let outcome = match &settled {
            // The end of a connection says nothing of the commit before it: that may have been answered in the same breath, or never (trap 43).
            Ok(()) if self.fatal_shown => Outcome::Unknown,
            Ok(()) if undone => Outcome::RolledBack,
            Ok(()) => Outcome::Committed,
            Err(_) => Outcome::Unknown,
        };
        let Some(prepared) = prepared else {
            return settled;
        };
        // The intent is durable, so the promise holds from here on; the session's pin is held until the secondary has committed
        // (docs/decision/14).
        crash::at_if(Point::PrimaryCommitted, || outcome == Outcome::Committed);
        prepared.conclude(outcome, &mut self.endings);
        crash::at_if(Point::BeforeAnswer, || outcome == Outcome::Committed);
        settled
    }

    /// The commit is refused: the block is rolled back and the client gets the error in its place.
    pub(super) async fn abort_block(&mut self, side: Side, error: &ClientError) -> Result<(), End> {
        self.note_refusal(error);
        let rollback = Execute {
            effect: Some(Effect::Rollback { chain: false }),
            ..Execute::default()
        };
        self.backend(side)?
            .push_own(b"crossfade_rollback", "ROLLBACK", rollback);
        // A warning about a missing block is no business of the client's.
        self.quiet = true;
        let settled = self.settle_batch(side).await;
        self.quiet = false;
        settled?;
        self.transaction = Transaction::default();
        if !std::mem::take(&mut self.told) {
            self.client.error(error);
        }
        let backend = self.backend(side)?;
        (backend.batch_failed, backend.skipping) = (true, true);
        Ok(())
    }

    pub(super) async fn close(&mut self, frame: &Frame) -> Result<(), End> {
        if self.skips() {
            return Ok(());
        }
        let body = frame.body();
        let (target, name) = frontend::read_target(b'C', &body)?;
        let name = body.slice_ref(name);
        let active = self.active;
        match target {
            Target::Portal => {
                self.finish_portion(&name).await?;
                let side = self
                    .prepared
                    .portals
                    .remove(&name)
                    .map_or(active, |portal| portal.side);
                self.activate(side).await?;
                self.backend(side)?.batch = true;
                self.push(side, &frame.whole, Expect::Close { show: true })
            }
            Target::Statement => {
                self.prepared.statements.remove(&name);
                if let Some(tally) = &mut self.tally {
                    tally.close(&name);
                }
                for side in [active, active.other()] {
                    self.close_variants(side, &name);
                }
                // Closing what is not there is no error, so the client's own message serves as well where we have no such statement.
                self.backend(active)?.batch = true;
                self.push(active, &frame.whole, Expect::Close { show: true })
            }
        }
    }

    /// Rows that a portal has still to hand out come before it goes.
    async fn finish_portion(&mut self, portal: &Bytes) -> Result<(), End> {
        match self.prepared.portals.get(portal) {
            Some(known) if known.portioned => self.settle_batch(known.side).await,
            Some(_) | None => Ok(()),
        }
    }

    fn close_variants(&mut self, side: Side, name: &Bytes) {
        let active = self.active;
        let Some(backend) = self.backends.get_mut(side) else {
            return;
        };
        let gone: Vec<Bytes> = backend
            .prepared
            .iter()
            .filter(|((known, _), _)| known == name)
            .map(|(_, there)| there.clone())
            .collect();
        backend.prepared.retain(|(known, _), _| known != name);
        if side != active {
            // The other server is not part of this batch; what it keeps goes with its connection.
            return;
        }
        for there in gone.iter().filter(|there| *there != name) {
            frontend::target(&mut backend.out, b'C', Target::Statement, there);
            backend.expect.push_back(Expect::Close { show: false });
        }
    }

    /// Flush.
    pub(super) async fn flush_message(&mut self) -> Result<(), End> {
        let side = self.active;
        frontend::flush(&mut self.backend(side)?.out);
        self.send_all().await
    }

    /// Sync: ends the batch, and commits what it did outside of a block.
    pub(super) async fn sync(&mut self) -> Result<(), End> {
        let side = self.active;
        if self.copying == Some(side) {
            // Ignored by a server in copy-in mode.
            frontend::sync(&mut self.backend(side)?.out);
            return Ok(());
        }
        // Within a block a Sync commits nothing; only where BEGIN or COMMIT are still under way is that not known yet.
        let in_block = self.transaction.in_block && !self.effect_pending(side);
        if !in_block && self.captures_pending(side) {
            self.settle_batch(side).await?;
            if !self.transaction.in_block && !self.transaction.is_empty() && !self.skips() {
                return self.sync_commit(side).await;
            }
        }
        self.push_sync(side)
    }

    /// Whether a statement that begins or ends a block has not been answered yet.
    fn effect_pending(&mut self, side: Side) -> bool {
        self.backends.get_mut(side).is_some_and(|backend| {
            backend.expect.iter().any(|expect| match expect {
                Expect::Execute(execute) => execute.effect.is_some(),
                Expect::Query { .. } => true,
                _ => false,
            })
        })
    }

    /// Whether an implicit transaction has, or may yet come to have, images.
    pub(super) fn captures_pending(&mut self, side: Side) -> bool {
        let owed = self.backends.get_mut(side).is_some_and(|backend| {
            backend.expect.iter().any(
                |expect| matches!(expect, Expect::Execute(execute) if execute.capture.is_some()),
            )
        });
        owed || !self.transaction.is_empty() || !self.upserts.is_empty()
    }

    pub(super) fn push_sync(&mut self, side: Side) -> Result<(), End> {
        let backend = self.backend(side)?;
        frontend::sync(&mut backend.out);
        backend.batch = false;
        // What comes after it is not skipped any more, though the answer to it may be under way (trap 14).
        backend.skipping = false;
        backend.expect.push_back(Expect::Sync { show: true });
        self.active = self.home;
        self.batch_wrote = false;
        self.refused = false;
        Ok(())
    }

    /// The sandwich around the Sync that commits an implicit transaction.
    pub(super) async fn sync_commit(&mut self, side: Side) -> Result<(), End> {
        match self.prepare_commit(side).await {
            Ok(prepared) => {
                self.begin_commit(side)?;
                self.push_intent(side, prepared.as_ref()).await?;
                self.push_sync(side)?;
                self.commit_under_way().await;
                let settled = self.settle(side).await;
                self.conclude(side, prepared, settled).await
            }
            Err(error) => {
                self.abort_block(side, &error).await?;
                self.push_sync(side)
            }
        }
    }
}

/// An Execute of which the client sees everything.
pub(super) fn shown() -> Execute {
    Execute {
        show_rows: true,
        show_complete: true,
        ..Execute::default()
    }
}

/// Types of the user's own have other OIDs in the new store; left open, the server infers them.
pub(super) fn types_for(side: Side, types: &[u32]) -> Vec<u32> {
    const FIRST_USER_OID: u32 = 16_384;
    let open = |&oid: &u32| {
        if side == Side::New && oid >= FIRST_USER_OID {
            0
        } else {
            oid
        }
    };
    types.iter().map(open).collect()
}
