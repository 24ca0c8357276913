//! The extended protocol: Parse, Bind, Describe, Execute, Close, Flush.
//!
//! The text a server gets is chosen at Bind, by the phase the transaction is pinned to: what was prepared in one phase is executed rightly
//! in another (trap 34).

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use crossfade_phase::Side;

use super::{
    End,
    backend::{Execute, Expect},
    bulk::Step,
    client::Frame,
    managed::Managed,
    merge::widened,
    statements::{Before, Portal, Stamp, Statement},
    transaction::Effect,
};
use crate::{
    errors::ClientError,
    route::{Bulk, Plan, Variant, elsewhere},
    sql::NAME_BYTES,
    wire::{
        backend::{self, Status},
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
    /// their order. `false` when nothing more is to be done: the batch has failed there, or has written there, and could not be atomic; or the
    /// session's settings cannot be carried.
    pub(super) async fn activate(&mut self, side: Side) -> Result<bool, End> {
        let before = self.active;
        if before == side {
            return Ok(true);
        }
        self.settle_batch(before).await?;
        if self.skips() {
            return Ok(false);
        }
        if self.batch_wrote || self.transaction.in_block || !self.transaction.is_empty() {
            self.refuse(&elsewhere())?;
            return Ok(false);
        }
        if let Some(backend) = self.backends.get_mut(before)
            && backend.batch
            && backend.status == Status::Idle
        {
            // It has only read, so the implicit transaction there may end here.
            frontend::sync(&mut backend.out);
            backend.batch = false;
            backend.expect.push_back(Expect::Sync { show: false });
            self.settle(before).await?;
        }
        // It may have been given up meanwhile.
        self.need(side).await?;
        if !self.carry_settings(side).await? {
            return Ok(false);
        }
        self.active = side;
        Ok(true)
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
        let name = known_by(body.slice_ref(name));
        if !name.is_empty() {
            self.be_sure_of(Target::Statement, &name).await?;
        }
        if self.skips() {
            return Ok(());
        }
        if !name.is_empty() && self.prepared.statements.contains_key(&name) {
            return self.parse_again(frame, name);
        }
        if let Some(tally) = &mut self.tally {
            tally.parse(&name, sql);
        }
        if self.ensure_path(sql).await?.is_none() || self.skips() {
            return Ok(());
        }
        let stamp = self.stamp();
        let planned = self.plan_single(sql).map(Arc::new);
        let plan = match planned.and_then(|plan| self.check_block(plan)) {
            Ok(plan) => plan,
            Err(error) => {
                // As the server does it: the unnamed statement goes first.
                self.prepared.statements.remove(&name);
                // No Bind will follow it.
                self.count(&name);
                return self.refuse(&error);
            }
        };
        if !self.activate_for(&plan).await? {
            return Ok(());
        }
        let statement = Statement {
            sql: body.slice_ref(sql),
            types: types.into(),
            planned: Some((stamp, plan.clone())),
            told: None,
        };
        // Only the unnamed one can be there already, and a Parse replaces it in the server too.
        self.forget_texts(plan.side, |known| *known == name)?;
        let before = self.prepared.statements.insert(name.clone(), statement);
        self.prepare_on(&name, &plan, true)?;
        self.changed(plan.side, Before::Statement(name, before))
    }

    /// A Parse of a name that is taken. The server says so, or what else is wrong with it, where it has the statement by that name.
    fn parse_again(&mut self, frame: &Frame, name: Bytes) -> Result<(), End> {
        let side = self.active;
        let told = format!(
            "prepared statement \"{}\" already exists",
            String::from_utf8_lossy(&name)
        );
        let original = (name, Variant::Original);
        let backend = self.backend(side)?;
        if backend.prepared.get(&original) != Some(&original.0) {
            return self.refuse_in_batch(&ClientError::new("42P05", told));
        }
        backend.batch = true;
        self.push(side, &frame.whole, Expect::Parse { show: true })
    }

    /// One more attempt to run a prepared statement.
    fn count(&mut self, name: &[u8]) {
        if let Some(tally) = &mut self.tally {
            tally.bind(name);
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            phases: self.pins.stamp(),
            path: self.path,
            conforming: self.conforming(),
            utf8: self.speaks_utf8(),
        }
    }

    /// What the named statement does in the pinned phases.
    pub(super) fn plan_of(&mut self, name: &Bytes) -> Result<Arc<Plan>, ClientError> {
        let stamp = self.stamp();
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
    pub(super) async fn activate_for(&mut self, plan: &Plan) -> Result<bool, End> {
        self.need(plan.side).await?;
        Ok(self.activate(plan.side).await? && self.is_unmapped_beside(plan).await?)
    }

    /// Sees to it that the plan's server has the statement in the plan's variant.
    fn prepare_on(&mut self, name: &Bytes, plan: &Plan, show: bool) -> Result<(), End> {
        let key = (name.clone(), plan.variant);
        let Some(statement) = self.prepared.statements.get(name) else {
            if name.is_empty() || self.is_gone(name) {
                // The server may still have one, of a text of our own, or one that nothing is known of any more.
                let backend = self.backend(plan.side)?;
                frontend::target(&mut backend.out, b'C', Target::Statement, name);
                backend.expect.push_back(Expect::Close { show: false });
            }
            return Ok(());
        };
        let backend = self.backends.get_mut(plan.side);
        if backend.is_some_and(|backend| backend.prepared.contains_key(&key)) {
            return Ok(());
        }
        let statement = statement.clone();
        let there = if name.is_empty() || plan.variant == Variant::Original {
            name.clone()
        } else {
            self.fresh_name()
        };
        let sql = plan.sql.as_ref().unwrap_or(&statement.sql).clone();
        self.backend(plan.side)?.push_functions(&plan.functions);
        if name.is_empty() {
            // One unnamed statement a server, whatever its variant.
            self.forget_texts(plan.side, Bytes::is_empty)?;
        }
        if self.backend(plan.side)?.stale.remove(&there) {
            self.changes(plan.side, Before::Stale(plan.side, there.clone()))?;
            let backend = self.backend(plan.side)?;
            frontend::target(&mut backend.out, b'C', Target::Statement, &there);
            backend.expect.push_back(Expect::Close { show: false });
        }
        self.changes(plan.side, Before::Text(plan.side, key.clone(), None))?;
        let backend = self.backend(plan.side)?;
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
        let portal = known_by(body.slice_ref(bind.portal));
        let name = known_by(body.slice_ref(bind.statement));
        self.count(&name);
        self.be_sure_of(Target::Statement, &name).await?;
        if self.skips() {
            return Ok(());
        }
        match self.prepared.statements.get(&name) {
            Some(statement) => {
                let sql = statement.sql.clone();
                // The usual case: its text was looked at when it was planned.
                let is_planned = |(stamp, plan): &(Stamp, Arc<Plan>)| {
                    *stamp == self.stamp() && !plan.asks_anew && self.knows_names()
                };
                let sure = statement.planned.as_ref().is_some_and(is_planned);
                if !sure && (self.ensure_path(&sql).await?.is_none() || self.skips()) {
                    return Ok(());
                }
                if let Err(error) = self.check_fetch(&sql) {
                    return self.refuse(&error);
                }
            }
            None => {
                if let Err(error) = self.check_unknown(&name) {
                    return self.refuse(&error);
                }
            }
        }
        let plan = match self.plan_of(&name) {
            Ok(plan) => plan,
            Err(error) => return self.refuse(&error),
        };
        if !self.activate_for(&plan).await? {
            return Ok(());
        }
        if !portal.is_empty() {
            self.be_sure_of(Target::Portal, &portal).await?;
        }
        self.finish_portion(&portal).await?;
        if self.skips() {
            return Ok(());
        }
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
        let side = plan.side;
        let entry = Portal {
            side,
            bind: (plan.merge.is_some() || merges).then(|| body.clone()),
            types,
            ran: false,
            plan,
            held: VecDeque::new(),
            completion: None,
            portioned: false,
            compare,
        };
        let before = self.prepared.portals.insert(portal.clone(), entry);
        let before = before.map(Box::new);
        self.changes(side, Before::Portal(portal.clone(), before))?;
        let backend = self.backend(side)?;
        frontend::bind(&mut backend.out, &portal, &there, bind.parameters, &results);
        backend.batch = true;
        backend.expect.push_back(Expect::Bind { show: true });
        Ok(())
    }

    pub(super) async fn describe(&mut self, frame: &Frame) -> Result<(), End> {
        if self.skips() {
            return Ok(());
        }
        let body = frame.body();
        let (target, name) = frontend::read_target(b'D', &body)?;
        let name = known_by(body.slice_ref(name));
        self.be_sure_of(target, &name).await?;
        if self.skips() {
            return Ok(());
        }
        let (side, strip, there) = match target {
            Target::Portal => match self.prepared.portals.get(&name) {
                Some(portal) => (portal.side, portal.plan.appended(), name),
                None => (self.active, 0, name),
            },
            Target::Statement => {
                let known = self.prepared.statements.contains_key(&name);
                if !known && let Err(error) = self.check_unknown(&name) {
                    return self.refuse(&error);
                }
                let plan = match self.plan_of(&name) {
                    Ok(plan) => plan,
                    Err(error) => return self.refuse(&error),
                };
                if !self.activate_for(&plan).await? {
                    return Ok(());
                }
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
        if !self.activate(side).await? {
            return Ok(());
        }
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
        let name = known_by(body.slice_ref(name));
        let rows = usize::try_from(rows).unwrap_or(0);
        self.be_sure_of(Target::Portal, &name).await?;
        if self.skips() {
            return Ok(());
        }
        let Some(portal) = self.prepared.portals.get_mut(&name) else {
            let side = self.active;
            self.backend(side)?.batch = true;
            return self.push(side, &frame.whole, Expect::Execute(shown()));
        };
        let (side, plan, compare) = (portal.side, portal.plan.clone(), portal.compare.take());
        if portal.ran || portal.portioned {
            let ran = portal.ran;
            if plan.unseen {
                self.note_unseen(side);
            }
            return self.execute_again(side, &name, rows, ran).await;
        }
        if !self.activate(side).await? {
            return Ok(());
        }
        if plan.may_end && self.ends_unseen(side).await? || !self.still_passes(&plan).await? {
            return Ok(());
        }
        self.note_run(side, &name, &plan, rows)?;
        self.batch_wrote |= plan.writes();
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
            self.note_statement(&plan)?;
            return self.run_bulk(side, &plan, bulk, Step::Portal(&name)).await;
        }
        let capture = plan.capture.clone();
        let captured = capture.is_some();
        if self.is_unknown_there(&plan) {
            self.stand_in(&plan)?;
        }
        self.note_statement(&plan)?;
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
        Ok(())
    }

    /// A write ran to its end at the first Execute. All that is left is to hand out its rows, once they have come: if it returns any, and if the server still has the
    /// portal, which goes with its transaction and on the way back to a savepoint.
    async fn execute_again(
        &mut self,
        side: Side,
        name: &Bytes,
        rows: usize,
        ran: bool,
    ) -> Result<(), End> {
        if !self.activate(side).await? {
            return Ok(());
        }
        let backend = self.backend(side)?;
        backend.batch = true;
        if backend.status == Status::Failed {
            // Nothing runs there.
            frontend::execute(&mut backend.out, name, 0);
            backend.expect.push_back(Expect::Execute(shown()));
            return Ok(());
        }
        frontend::target(&mut backend.out, b'D', Target::Portal, name);
        backend.expect.push_back(Expect::Types);
        self.settle_batch(side).await?;
        if self.skips() {
            return Ok(());
        }
        if ran {
            let told = format!("portal \"{}\" cannot be run", String::from_utf8_lossy(name));
            return self.refuse_in_batch(&ClientError::new("55000", told));
        }
        self.hand_out(name, rows, None);
        Ok(())
    }

    /// Remembers of a write that it has been run: to its end, whatever is handed out of its rows.
    fn note_run(&mut self, side: Side, name: &Bytes, plan: &Plan, rows: usize) -> Result<(), End> {
        let merges = matches!(plan.bulk.as_deref(), Some(Bulk::Merge(_)));
        let portioned = plan.capture.is_some() && plan.returns_rows && rows > 0;
        let once = merges || plan.capture.is_some() && !plan.returns_rows;
        if let Some(portal) = self.prepared.portals.get_mut(name)
            && (once || portioned)
        {
            (portal.ran, portal.portioned) = (once, portioned);
            self.changes(side, Before::Fresh(name.clone()))?;
        }
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

    pub(super) async fn close(&mut self, frame: &Frame) -> Result<(), End> {
        if self.skips() {
            return Ok(());
        }
        let body = frame.body();
        let (target, name) = frontend::read_target(b'C', &body)?;
        let name = known_by(body.slice_ref(name));
        let active = self.active;
        self.be_sure_of(target, &name).await?;
        if target == Target::Portal {
            self.finish_portion(&name).await?;
        }
        if self.skips() {
            return Ok(());
        }
        match target {
            Target::Portal => {
                let portal = self.prepared.portals.remove(&name);
                if portal.as_ref().is_some_and(|portal| portal.side != active) {
                    // Gone there with what the batch did in that store, which has ended.
                    self.settle_batch(active).await?;
                    if !self.skips() {
                        backend::empty(&mut self.client.out, b'3');
                    }
                    return Ok(());
                }
                let before = portal.map(Box::new);
                self.changes(active, Before::Portal(name, before))?;
                self.backend(active)?.batch = true;
                self.push(active, &frame.whole, Expect::Close { show: true })
            }
            Target::Statement => {
                let before = self.prepared.statements.remove(&name);
                self.changes(active, Before::Statement(name.clone(), before))?;
                if let Some(tally) = &mut self.tally {
                    tally.close(&name);
                }
                self.close_variants(&name)?;
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

    /// The other server is not part of this batch, and keeps what it has for now.
    fn close_variants(&mut self, name: &Bytes) -> Result<(), End> {
        let active = self.active;
        let backend = self.backend(active)?;
        let texts = backend.prepared.iter();
        let gone: Vec<Bytes> = texts
            .filter(|((known, _), there)| known == name && *there != name)
            .map(|(_, there)| there.clone())
            .collect();
        self.forget_texts(active, |known| known == name)?;
        let backend = self.backend(active)?;
        for there in gone {
            frontend::target(&mut backend.out, b'C', Target::Statement, &there);
            backend.expect.push_back(Expect::Close { show: false });
        }
        Ok(())
    }

    /// Flush.
    pub(super) async fn flush_message(&mut self) -> Result<(), End> {
        let side = self.active;
        frontend::flush(&mut self.backend(side)?.out);
        self.send_all().await
    }
}

/// PostgreSQL cuts the names of statements and portals as it does identifiers (`NAMEDATALEN`), and by SQL they have no others.
fn known_by(mut name: Bytes) -> Bytes {
    name.truncate(NAME_BYTES);
    name
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
