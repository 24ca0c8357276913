//! From a client's text to plans, by the pinned phases.

use std::sync::Arc;

use bytes::Bytes;
use crossfade_phase::Side;

use super::{
    Capture, End,
    managed::Managed,
    own::Extent,
    statements::{Before, Portal},
};
use crate::{
    errors::ClientError,
    route::{
        self, Deallocated, Lookup, Merge, Plan, Variant, decide, elsewhere, harmless, set_config_of,
    },
    sql::{
        Facts, Glance, Kind, Lexer, PathId, Problem, StatementFacts, Target, TokenKind, Written,
    },
    wire::frontend::Bind,
};

/// A statement of a Query with its plan.
pub(super) type Planned = (Bytes, Arc<Plan>);

impl Managed {
    /// The lookup that an execution makes and that is compared afterwards (phase 4). Counts a read that is not.
    pub(super) fn compared(&self, plan: &Plan, bind: Option<&Bind<'_>>) -> Option<Lookup> {
        let lookup = plan.compare.as_ref().map(|compare| compare.lookup(bind));
        let (table, reason) = match (lookup, &plan.compare, plan.uncompared) {
            (Some(Some(lookup)), _, _) => return Some(lookup),
            (Some(None), Some(compare), _) => (compare.table(), "key-in-binary"),
            (_, _, Some(table)) => (table, "not-by-key"),
            (_, _, None) => return None,
        };
        let toggle = &self.mapping.tables[table.0].toggle;
        self.shared
            .metrics
            .reads_not_compared
            .with_label_values(&[toggle.as_str(), reason])
            .inc();
        None
    }

    /// Whether strings of the session take backslashes for what they are.
    pub(super) fn conforming(&self) -> bool {
        self.told("standard_conforming_strings") != "off"
    }

    /// The path to analyse by. It is known wherever a text names a mapped table ([`Managed::ensure_path`]); for the others every mapped schema counts
    /// as being in it.
    fn path_id(&self) -> PathId {
        self.path.unwrap_or_else(|| self.router.every_schema())
    }

    /// What is to be remembered of a statement that is about to run.
    pub(super) fn note_statement(&mut self, plan: &Plan) -> Result<(), End> {
        if plan.session_state {
            self.settings_at = Some(plan.side);
        }
        self.set_locally |= plan.local_state;
        self.holds_beside |= plan.holds && plan.side != self.home;
        self.custom_settings
            .extend(plan.custom_settings.iter().cloned());
        if plan.unseen {
            self.note_unseen(plan.side);
        }
        if plan.moves_names || (plan.undoes() && self.names_moved) {
            self.forget_names();
        }
        if plan.defines {
            self.defines = true;
            self.shared.note_definition();
        }
        match &plan.deallocates {
            None => Ok(()),
            Some(Deallocated::All) => self.deallocate(|name| !name.is_empty()),
            Some(Deallocated::Named(named)) => {
                self.deallocate(|name| name[..] == *named.as_bytes())
            }
        }
    }

    /// What is called in the store of `side` may set anything there.
    pub(super) fn note_unseen(&mut self, side: Side) {
        self.set_unseen = Some(side);
        self.forget_names();
    }

    /// What names mean, and how texts are read, is not known from here on, nor behind the end of the transaction.
    pub(super) fn forget_names(&mut self) {
        self.names_moved = true;
        self.path = None;
    }

    fn deallocate(&mut self, goes: impl Fn(&Bytes) -> bool) -> Result<(), End> {
        let side = self.active;
        let statements = self.prepared.statements.extract_if(|name, _| goes(name));
        for (name, statement) in statements.collect::<Vec<_>>() {
            self.changes(side, Before::Statement(name, Some(statement)))?;
        }
        self.forget_texts(side, goes)
    }

    /// Refuses FETCH and MOVE as long as there is a portal of a write that is captured: by its name they would run it, past what looks for its images.
    pub(super) fn check_fetch(&self, sql: &[u8]) -> Result<(), ClientError> {
        let captured =
            |portal: &Portal| portal.plan.capture.is_some() || portal.plan.bulk.is_some();
        if !self.prepared.portals.values().any(captured) {
            return Ok(());
        }
        let mut begins = true;
        for token in Lexer::new(sql, self.conforming()) {
            match token.kind {
                TokenKind::Space | TokenKind::Comment => {}
                TokenKind::Mark(b';') => begins = true,
                _ if begins && (token.is_word(sql, "fetch") || token.is_word(sql, "move")) => {
                    return Err(ClientError::new(
                        "0A000",
                        "crossfade refused FETCH or MOVE beside a portal that writes mapped tables",
                    )
                    .hint("send Execute for the portal, or close it first"));
                }
                _ => begins = false,
            }
        }
        Ok(())
    }

    /// The plan of a text of one statement, as a Parse has it.
    pub(super) fn plan_single(&mut self, sql: &[u8]) -> Result<Plan, ClientError> {
        self.check_text(sql)?;
        let glance = self.glance(sql);
        let plan = self.plan_glanced(sql, glance)?;
        Ok(self.as_glanced(plan, sql, glance))
    }

    /// A plan with what only the quick look at its text tells.
    fn as_glanced(&self, plan: Plan, text: &[u8], glance: Glance) -> Plan {
        let beside = glance.mapped && plan.side == Side::Old && self.home == Side::New;
        Plan {
            unseen: plan.unseen || glance.calls,
            asks_anew: glance.mapped && glance.bulk,
            beside: beside.then(|| Bytes::copy_from_slice(text)),
            ..plan
        }
    }

    fn plan_glanced(&mut self, sql: &[u8], glance: Glance) -> Result<Plan, ClientError> {
        let Some(facts) = self.look(sql, glance) else {
            return Ok(Plan {
                may_end: may_end(sql, self.conforming()),
                ..Plan::pass(self.home)
            });
        };
        match &facts.statements[..] {
            [statement] => self.plan(sql, &facts, 0, statement),
            // The server refuses several statements in one Parse, and an empty one does nothing.
            [] => self
                .without_statements(&facts)
                .map(|()| Plan::pass(self.home)),
            [_, ..] => Ok(Plan::pass(self.home)),
        }
    }

    /// The plans of all statements of a Query, with their texts; none for a Query that goes on as it is.
    pub(super) fn plan_all(
        &mut self,
        sql: &[u8],
        glance: Glance,
    ) -> Result<Vec<Planned>, ClientError> {
        self.check_text(sql)?;
        let Some(facts) = self.look(sql, glance) else {
            if glance.calls {
                self.note_unseen(self.home);
            }
            return Ok(Vec::new());
        };
        self.without_statements(&facts)?;
        let texts: Vec<Bytes> = {
            let analyzer = self.router.analyzer();
            analyzer
                .split(sql, self.conforming(), &facts)
                .into_iter()
                .map(Bytes::copy_from_slice)
                .collect()
        };
        let mut plans = Vec::with_capacity(texts.len());
        for ((index, statement), text) in facts.statements.iter().enumerate().zip(texts) {
            let plan = self.plan(sql, &facts, index, statement)?;
            let glance = match &facts.statements[..] {
                [_] => glance,
                _ => self.glance(&text),
            };
            let plan = self.as_glanced(plan, &text, glance);
            plans.push((text, Arc::new(plan)));
        }
        self.check_names(&plans)?;
        self.check_places(&plans)?;
        Ok(plans)
    }

    /// The facts of a text; `None` when nothing in it matters to us.
    fn look(&self, sql: &[u8], glance: Glance) -> Option<Arc<Facts>> {
        if !self.router.looks_at(glance) {
            return None;
        }
        let path = self.path_id();
        Some(self.router.analyzer().facts(sql, self.conforming(), path))
    }

    /// What the grammar refuses, the server refuses as well, and the client gets the server's own error. What is beyond the analysis must
    /// not slip through in a phase that has to know what it does.
    fn without_statements(&self, facts: &Facts) -> Result<(), ClientError> {
        match &facts.problem {
            None => Ok(()),
            Some(Problem::Grammar(_)) if self.router.is_careless() => Ok(()),
            Some(Problem::Grammar(message)) => Err(ClientError::new("42601", message.clone())
                .detail("crossfade reads SQL with the grammar of PostgreSQL 18 where a statement names a mapped table")),
            Some(Problem::Beyond(_)) if self.router.is_careless() => Ok(()),
            Some(Problem::Beyond(message)) => Err(ClientError::new("0A000", "crossfade cannot tell what this statement does")
                .detail(message.clone())
                .hint("write it more simply, or run it in a phase that writes one store (use-old, new-only)")),
        }
    }

    fn plan(
        &mut self,
        sql: &[u8],
        facts: &Facts,
        index: usize,
        statement: &StatementFacts,
    ) -> Result<Plan, ClientError> {
        if let Kind::Prepare { name, .. } = &statement.kind {
            self.sql_prepared.insert(name.clone());
            // By another meaning of names it would write a mapped table: the server looks at it anew whenever that changes.
            let path = self.router.every_schema();
            if self.writes_mapped_by(path, name.as_bytes(), sql) {
                self.sql_writes.insert(name.clone());
            } else {
                self.sql_writes.remove(name);
            }
        }
        if let Kind::Execute(name) = statement.kind.running() {
            self.check_execute(&Bytes::copy_from_slice(name.as_bytes()))?;
        }
        let decision = decide(&self.router, &*self.shared.complete, statement)?;
        let mut plan = Plan {
            path: self.path,
            returns_rows: decision.returns_rows,
            effect: decision.effect,
            session_state: decision.session_state,
            local_state: decision.local_state,
            custom_settings: custom_settings(statement, sql, self.conforming()),
            moves_names: decision.moves_names && !harmless(statement, sql, self.conforming()),
            unseen: self.may_call(&statement.kind, sql),
            defines: decision.makes_relations && !statement.traits.temporary,
            makes_relations: decision.makes_relations,
            holds: statement.traits.temporary
                || statement.traits.advisory
                || matches!(statement.kind, Kind::Declare { .. }),
            reads: decision.reads,
            deallocates: decision.deallocates,
            copies: matches!(statement.kind, Kind::Copy(_)),
            may_end: match statement.kind {
                Kind::Call(_) => true,
                Kind::Do { .. } => speaks_of_an_end(sql),
                _ => false,
            },
            ..Plan::pass(decision.side)
        };
        if decision.bulk {
            self.check_account(statement, sql, &plan)?;
            let context = route::Context {
                sql,
                conforming: self.conforming(),
                facts,
                index,
                path: self.path_id(),
            };
            return self.plan_bulk(&context, plan);
        }
        let captures = decision.captures;
        if captures || decision.target.is_some() {
            self.check_encoding(sql, statement, captures)?;
        }
        if let Some(instead) = self.check_account(statement, sql, &plan)? {
            plan.sql = Some(instead);
        }
        if decision.compare && self.speaks_utf8() {
            plan.compare = self.router.compare(statement, sql, self.conforming());
            plan.uncompared = match (&statement.kind, &plan.compare) {
                (Kind::Select(_), None) => statement.tables().first().copied(),
                _ => None,
            };
        }
        let Some(target) = decision.target else {
            return Ok(plan);
        };
        let rewritten = self
            .router
            .analyzer()
            .rewrite(sql, self.conforming(), facts, index, target)
            .map_err(|refusal| self.router.cannot_rewrite(statement, &refusal))?;
        if let Some(table) = decision.merge {
            let old = self
                .router
                .analyzer()
                .rewrite(
                    sql,
                    self.conforming(),
                    facts,
                    index,
                    Target::KeyRead(Side::Old),
                )
                .map_err(|refusal| self.router.cannot_rewrite(statement, &refusal))?;
            let key = self.router.compare(statement, sql, self.conforming());
            plan.merge = Some(Merge {
                table,
                old_sql: old.sql.into(),
                images: rewritten.images,
                key,
            });
        }
        plan.variant = Variant::For(target);
        plan.sql = Some(rewritten.sql.into());
        plan.functions = rewritten.functions;
        let own = statement.kind.written();
        plan.capture = captures.then(|| {
            Arc::new(Capture {
                mapping: self.mapping.clone(),
                own: own.map(|table| Written {
                    below: rewritten.below,
                    ..Written::by(&statement.kind, table, rewritten.old_keys)
                }),
                counted: self.counted(
                    decision.side,
                    own.map(|table| (table, Extent::of(&statement.kind))),
                    rewritten.parts.as_ref(),
                ),
                parts: rewritten.parts,
            })
        });
        Ok(plan)
    }

    /// Refuses EXECUTE, or a Bind that names what no Parse has made, of a statement that the server has by this name and that would run past what looks for its images. One that is gone for
    /// the client is gone, though a server that it was not busy in may still have it.
    fn check_execute(&mut self, known: &Bytes) -> Result<(), ClientError> {
        let name = String::from_utf8_lossy(known);
        let writes = if self.prepared.statements.contains_key(known) {
            let plan = self.plan_of(known)?;
            plan.effect.is_some() || plan.capture.is_some() || plan.bulk.is_some()
        } else if self.is_gone(known) {
            let told = format!("prepared statement \"{name}\" does not exist");
            return Err(ClientError::new("26000", told));
        } else {
            self.sql_writes.contains(&*name)
        };
        if !writes || self.router.is_careless() {
            return Ok(());
        }
        Err(ClientError::new(
            "0A000",
            format!("crossfade refused EXECUTE of \"{name}\", which writes a mapped table"),
        )
        .hint("send the statement itself, or prepare it by the extended protocol and send Bind and Execute"))
    }

    /// As [`Managed::check_execute`], of a Bind that names a statement which no Parse has made. One that is gone, the server itself says so.
    pub(super) fn check_unknown(&mut self, name: &Bytes) -> Result<(), ClientError> {
        match self.is_gone(name) {
            true => Ok(()),
            false => self.check_execute(name),
        }
    }

    /// Whether nothing must run by a name that no Parse of the client's has made: it is gone for the client, or nothing is known of it.
    pub(super) fn is_gone(&mut self, name: &Bytes) -> bool {
        let by_sql = || self.sql_prepared.contains(&*String::from_utf8_lossy(name));
        let known = name.is_empty() || self.router.is_careless() || by_sql();
        !known || self.is_stale(name)
    }

    fn is_stale(&mut self, name: &Bytes) -> bool {
        let home = self.backends.get_mut(self.home);
        home.is_some_and(|home| home.stale.contains(name))
    }

    /// Whether a statement may call what its own text does not name.
    fn may_call(&mut self, kind: &Kind, sql: &[u8]) -> bool {
        match kind {
            Kind::Do { .. } | Kind::Call(_) | Kind::Execute(_) => true,
            Kind::Explain { analyze, .. } => *analyze,
            Kind::Fetch(_) => self.may_call,
            Kind::Declare { .. } | Kind::Prepare { .. } => {
                self.may_call |= self.glance(sql).calls;
                false
            }
            _ => false,
        }
    }

    /// Whether a text writes a mapped table, or may do so.
    pub(super) fn writes_mapped(&self, name: &[u8], sql: &[u8]) -> bool {
        self.writes_mapped_by(self.path_id(), name, sql)
    }

    fn writes_mapped_by(&self, path: PathId, name: &[u8], sql: &[u8]) -> bool {
        if !self.router.looks_at(self.glance(sql)) {
            return false;
        }
        let facts = self.router.analyzer().facts(sql, self.conforming(), path);
        // The server keeps the whole text of the Query in which the statement was prepared.
        let makes = |statement: &&StatementFacts| matches!(&statement.kind, Kind::Prepare { name: made, .. } if made.as_bytes() == name);
        let mut made = facts.statements.iter().filter(makes);
        facts.problem.is_some() || made.any(StatementFacts::writes_mapped)
    }

    fn check_names(&self, plans: &[Planned]) -> Result<(), ClientError> {
        // Behind what may change it, and behind the end of a block in which that was changed, it is asked anew (`Managed::query`).
        let pieces = plans
            .iter()
            .map(|(text, plan)| (&text[..], plan.moves_names, plan.makes_relations));
        self.router.check_names(pieces, self.conforming())
    }

    /// Whether names may mean something else when the present block has ended: it has changed that, or has failed before anybody asked.
    pub(super) fn is_unsure_behind_an_end(&self) -> bool {
        self.names_moved || self.path.is_none()
    }

    /// One transaction is in one store: statements of a Query that go to different ones do not fit.
    fn check_places(&self, plans: &[Planned]) -> Result<(), ClientError> {
        for (_, plan) in plans {
            self.check_place(plan)?;
        }
        match plans {
            [(_, first), rest @ ..] if rest.iter().any(|(_, plan)| plan.side != first.side) => {
                Err(elsewhere())
            }
            _ => Ok(()),
        }
    }

    /// As [`Managed::check_places`], of a statement within a block that began at home.
    pub(super) fn check_block(&self, plan: Arc<Plan>) -> Result<Arc<Plan>, ClientError> {
        self.check_place(&plan).map(|()| plan)
    }

    fn check_place(&self, plan: &Plan) -> Result<(), ClientError> {
        if plan.side != self.home && self.transaction.in_block
            || plan.side != self.active && self.batch_wrote
        {
            Err(elsewhere())
        } else {
            Ok(())
        }
    }
}

/// Whether a statement may end the transaction that it is part of: a procedure, or a code block that speaks of it.
fn may_end(sql: &[u8], conforming: bool) -> bool {
    let mut tokens = Lexer::new(sql, conforming)
        .filter(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment));
    let Some(first) = tokens.next() else {
        return false;
    };
    first.is_word(sql, "call") || first.is_word(sql, "do") && speaks_of_an_end(sql)
}

/// Anywhere in it, and in whatever spelling: a string with escapes may say anything.
fn speaks_of_an_end(sql: &[u8]) -> bool {
    let text = sql.to_ascii_lowercase();
    let says = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
    text.contains(&b'\\') || says(b"call") || says(b"commit") || says(b"rollback")
}

fn custom_settings(statement: &StatementFacts, sql: &[u8], conforming: bool) -> Vec<String> {
    let mut names = match &statement.kind {
        Kind::Set(set) => vec![set.name.clone()],
        _ if statement.traits.set_config => set_config_of(sql, conforming)
            .into_iter()
            .flatten()
            .collect(),
        _ => Vec::new(),
    };
    names.retain(|name| name.contains('.'));
    names
}
