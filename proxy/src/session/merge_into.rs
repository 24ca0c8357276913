//! MERGE into mapped tables (docs/decision/25).
//!
//! The server is given the MERGE as the client wrote it, and so says itself what is wrong with it and which types its parameters have. In place of running it, the
//! rows that it is going to write are locked, and then a WITH query that writes does the same and gives the rows back.

use std::sync::Arc;

use bytes::Bytes;
use crossfade_phase::Side;
use crossfade_store::{TableId, postgres::sql::quote_name};

use super::{
    Capture, End,
    backend::{Execute, Expect},
    bulk::{STEP, Step},
    extended::types_for,
    managed::Managed,
};
use crate::{
    errors::ClientError,
    route::{self, Bulk, Plan, Variant, hindered},
    sql::{Merged, Target},
    wire::{
        backend,
        frontend::{self, Bind},
    },
};

/// A MERGE.
#[derive(Debug)]
pub(crate) struct MergeInto {
    /// The table.
    table: TableId,
    /// Locks the rows that it is going to write.
    lock: Option<String>,
    /// Is run in its place.
    write: String,
    /// What comes of that.
    capture: Arc<Capture>,
    /// How many parameters it has.
    params: usize,
    /// No MERGE means the same in this store: what is run stands in for it from its Parse on.
    stands_in: bool,
}

impl MergeInto {
    /// Whether the server is given the MERGE itself before.
    pub(crate) fn is_checked(&self) -> bool {
        !self.stands_in
    }

    /// Columns of what the client has prepared that it did not ask for.
    pub(crate) fn appended(&self) -> usize {
        if self.stands_in {
            self.capture.width() + 1
        } else {
            0
        }
    }
}

impl Managed {
    /// The plan of a MERGE, with what is sent in its place.
    pub(super) fn plan_merge(
        &self,
        context: &route::Context<'_>,
        mut plan: Plan,
    ) -> Result<Plan, ClientError> {
        let statement = &context.facts.statements[context.index];
        let refused = |refusal| self.router.cannot_rewrite(statement, &refusal);
        let Some(table) = statement.kind.merged() else {
            return Ok(plan);
        };
        let texts = self
            .router
            .analyzer()
            .merge(
                context.sql,
                context.conforming,
                context.facts,
                context.index,
                context.path,
                plan.side,
            )
            .map_err(refused)?;
        let text = |sql: Vec<u8>| String::from_utf8_lossy(&sql).into_owned();
        let stands_in = texts.merge.is_none();
        let first = match texts.merge {
            Some(merge) if plan.side == Side::New => Some(merge),
            // The client's own message will do.
            Some(_) => None,
            None => Some(texts.write.sql.clone()),
        };
        if let Some(sql) = first {
            plan.variant = Variant::For(Target::NewCapture);
            plan.sql = Some(sql.into());
        }
        let capture = Arc::new(Capture {
            mapping: self.mapping.clone(),
            own: None,
            counted: self.counted(plan.side, None, texts.write.parts.as_ref()),
            parts: texts.write.parts,
        });
        plan.bulk = Some(Arc::new(Bulk::Merge(MergeInto {
            table,
            lock: texts.lock.map(text),
            write: text(texts.write.sql),
            capture,
            params: usize::from(statement.params),
            stands_in,
        })));
        Ok(plan)
    }

    /// Asks the server of which types the parameters of a prepared MERGE are, unless the client has said so: what is run in its place has to take them for
    /// the same (trap 34).
    pub(super) async fn learn_types(&mut self, name: &Bytes, plan: &Plan) -> Result<(), End> {
        let Some(Bulk::Merge(merge)) = plan.bulk.as_deref() else {
            return Ok(());
        };
        let side = plan.side;
        let known = self.prepared.statements.get(name).is_none_or(|statement| {
            let said = statement.types.iter().filter(|&&oid| oid != 0).count();
            said >= merge.params
                || statement
                    .told
                    .as_ref()
                    .is_some_and(|(told, _)| *told == side)
        });
        if known {
            return Ok(());
        }
        let backend = self.backend(side)?;
        let there = backend.prepared.get(&(name.clone(), plan.variant));
        let there = there.unwrap_or(name).clone();
        frontend::target(&mut backend.out, b'D', frontend::Target::Statement, &there);
        backend.batch = true;
        backend.expect.push_back(Expect::Types);
        self.settle_batch(side).await?;
        let told = self.told_types.take();
        if let Some(statement) = self.prepared.statements.get_mut(name) {
            statement.told = told.map(|types| (side, types));
        }
        Ok(())
    }

    /// The types of a prepared statement's parameters, as far as they are known.
    pub(super) fn types_of(&self, name: &Bytes, side: Side) -> Arc<[u32]> {
        let statement = self.prepared.statements.get(name);
        statement.map_or_else(Arc::default, |statement| match &statement.told {
            Some((told, types)) if *told == side => types.clone(),
            _ => types_for(side, &statement.types).into(),
        })
    }

    /// Runs what stands in for a MERGE, to its end.
    pub(super) async fn merge_into(
        &mut self,
        side: Side,
        merge: &MergeInto,
        step: &Step<'_>,
    ) -> Result<(), End> {
        let (bind, types) = match step {
            Step::Text(sql) => {
                let backend = self.backend(side)?;
                frontend::parse(&mut backend.out, b"", sql, &[]);
                backend.expect.push_back(Expect::Parse { show: false });
                (None, Arc::default())
            }
            Step::Portal(name) => match self.prepared.portals.get(*name) {
                Some(portal) => (portal.bind.clone(), portal.types.clone()),
                None => return Ok(()),
            },
        };
        let bind = bind.unwrap_or_default();
        let parameters = match &bind[..] {
            [] => NO_PARAMETERS,
            body => Bind::read(body)?.parameters,
        };
        let write = Execute {
            capture: Some(merge.capture.clone()),
            own: true,
            ..Execute::default()
        };
        let backend = self.backend(side)?;
        if let Some(lock) = &merge.lock {
            backend.push_bound(STEP, lock, &types, parameters, Execute::default());
        }
        backend.push_bound(STEP, &merge.write, &types, parameters, write);
        self.own_answer = None;
        self.settle_batch(side).await?;
        if self.skips() {
            return Ok(());
        }
        let answer = self.own_answer.take().unwrap_or_default();
        let verdict = self.judge(side, merge, &answer).await?;
        if self.skips() {
            // A question failed, and the client has the server's own error.
            return Ok(());
        }
        match verdict {
            Ok(rows) => {
                self.completion_at = Some(self.client.out.len());
                let tag = format!("MERGE {rows}\0");
                backend::with_body(&mut self.client.out, b'C', tag.as_bytes());
                Ok(())
            }
            Err(error) => {
                self.refuse_in_batch(&error)?;
                self.settle_batch(side).await
            }
        }
    }

    /// The number of rows written, or why all of it has to be undone.
    async fn judge(
        &mut self,
        side: Side,
        merge: &MergeInto,
        answer: &[u8],
    ) -> Result<Result<u64, ClientError>, End> {
        let answer = String::from_utf8_lossy(answer);
        Ok(match Merged::read(&answer) {
            Some(Merged::Done(rows)) => Ok(rows),
            Some(Merged::Passed(rows, passed, places)) => {
                // A trigger has kept a row that is still as it was seen. Any other was changed by somebody else since.
                let question = self.still_there(side, merge.table, &places);
                let there = self.inquire(side, &question).await?;
                if there == passed.to_string() {
                    Ok(rows)
                } else {
                    Err(overtaken())
                }
            }
            Some(Merged::Twice) => Err(ClientError::new(
                "21000",
                "MERGE command cannot affect row a second time",
            )
            .hint("Ensure that not more than one source row matches any one target row.")),
            Some(Merged::Unsure) => Err(hindered(
                &self.router,
                merge.table,
                "MERGE",
                "several rows of its source match one row of the table, and a BEFORE trigger of the table may keep rows as they are: which of them wrote cannot be told; \
                 let one row of the source at most match a row of the table",
            )),
            Some(Merged::Hidden) => Err(hindered(
                &self.router,
                merge.table,
                "MERGE",
                "row-level security is active on it, where MERGE minds other rows than UPDATE and DELETE; use those",
            )),
            None => Err(ClientError::new(
                "XX000",
                "the answer to a MERGE cannot be read",
            )),
        })
    }

    /// Asks how many of these rows are still the same versions.
    fn still_there(&self, side: Side, table: TableId, places: &str) -> String {
        format!(
            "SELECT pg_catalog.count(*)::pg_catalog.text FROM {} AS t JOIN (VALUES {places}) AS p (o, c, x) \
             ON t.tableoid = p.o AND t.ctid = p.c AND t.xmin::pg_catalog.text = p.x",
            quote_name(&self.mapping.tables[table.0].on(side).name)
        )
    }
}

/// The part of a Bind that is about parameters, without any.
const NO_PARAMETERS: &[u8] = &[0, 0, 0, 0];

/// Where MERGE itself would look again at the row as it is now.
fn overtaken() -> ClientError {
    ClientError::new(
        "40001",
        "could not serialize access due to concurrent update",
    )
    .detail("a row that MERGE had chosen was changed by another transaction before it was written")
    .hint("run the transaction again")
}
