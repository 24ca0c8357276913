//! From (phase, facts) to a plan: which store gets which text, and what is done with the answer.
//!
//! This is the one place that decides; what comes later never looks at the SQL again. A statement that no rule here lets through is
//! refused before anything ran: never does one reach one store in silence.

mod bulk;
mod decide;
mod query;

use std::sync::{Arc, Mutex, PoisonError};

use crossfade_phase::{Phase, Side};
use crossfade_store::{Key, Mapping, TableId, WriteOrder};

pub(crate) use bulk::{
    Bulk, Context, CopyIn, Emptied, Gives, OnDocuments, STAGE, Truncate, bulk, hindered,
};
pub(crate) use decide::decide;
pub(crate) use query::{elsewhere, harmless, may_set, set_config_of};

use crate::{
    errors::ClientError,
    session::{Capture, Effect},
    shared::{Shared, home},
    sql::{
        Analyzer, Glance, Kind, Lexer, PathId, Refusal, SelectFacts, Source, StatementFacts,
        Target, constant,
    },
    wire::frontend::Bind,
};

/// Which text of a statement a server has. The same statement may be prepared in several variants over flips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Variant {
    /// As the client sent it.
    Original,
    /// As it was rewritten for this.
    For(Target),
}

/// What is done with one statement in the present phases.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The store it goes to.
    pub(crate) side: Side,
    /// Which text.
    pub(crate) variant: Variant,
    /// The text, where it is not the client's.
    pub(crate) sql: Option<bytes::Bytes>,
    /// Statements that make the functions which the text calls.
    pub(crate) functions: Vec<Arc<str>>,
    /// Its answer carries images.
    pub(crate) capture: Option<Arc<Capture>>,
    /// What is sent around it.
    pub(crate) bulk: Option<Arc<Bulk>>,
    /// What names meant when it was made.
    pub(crate) path: Option<PathId>,
    /// That is asked again before every execution.
    pub(crate) asks_anew: bool,
    /// The text, if it goes to the old store from another home and holds a name that may mean a mapped table there.
    pub(crate) beside: Option<bytes::Bytes>,
    /// The client asked for rows.
    pub(crate) returns_rows: bool,
    /// What it does to the transaction.
    pub(crate) effect: Option<Effect>,
    /// It changes what `SHOW` shows: both connections must be kept alike.
    pub(crate) session_state: bool,
    /// It does so until the transaction ends.
    pub(crate) local_state: bool,
    /// The custom settings (`myapp.tenant`) that it sets: no server can list those.
    pub(crate) custom_settings: Vec<String>,
    /// It changes what names mean in what comes after it, or may do so.
    pub(crate) moves_names: bool,
    /// It may do so, or change how texts are read, and nothing in its text tells: it calls functions that nobody knows.
    pub(crate) unseen: bool,
    /// It changes a definition, which other sessions may feel.
    pub(crate) defines: bool,
    /// It does so by making or dropping relations: only names that it holds itself are concerned.
    pub(crate) makes_relations: bool,
    /// It may leave something on its server that lives as long as the connection: a temporary table, an advisory lock, a cursor.
    pub(crate) holds: bool,
    /// It only reads.
    pub(crate) reads: bool,
    /// Prepared statements that it takes away.
    pub(crate) deallocates: Option<Deallocated>,
    /// A COPY: the server may wait for data.
    pub(crate) copies: bool,
    /// It may end the transaction that it is part of, outside of a block.
    pub(crate) may_end: bool,
    /// A lookup by key whose answer is compared afterwards (phase 4).
    pub(crate) compare: Option<Compare>,
    /// A table of a read whose answer is not compared, in phase 4.
    pub(crate) uncompared: Option<TableId>,
    /// A lookup by key that is answered from both stores (phases 5 to 7).
    pub(crate) merge: Option<Merge>,
}

/// The old store's part of a lookup in both.
#[derive(Debug)]
pub(crate) struct Merge {
    /// The table.
    pub(crate) table: TableId,
    /// The text for the old store.
    pub(crate) old_sql: bytes::Bytes,
    /// Columns appended on either side: the version of a table whose rows change.
    pub(crate) images: usize,
    /// Where the key is found.
    pub(crate) key: Option<Compare>,
}

/// Prepared statements that a statement takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deallocated {
    /// All of them.
    All,
    /// The one of this name.
    Named(String),
}

impl Plan {
    /// Passing a statement on as it is.
    pub(crate) fn pass(side: Side) -> Plan {
        Plan {
            side,
            variant: Variant::Original,
            sql: None,
            functions: Vec::new(),
            capture: None,
            bulk: None,
            path: None,
            asks_anew: false,
            beside: None,
            returns_rows: true,
            effect: None,
            session_state: false,
            local_state: false,
            custom_settings: Vec::new(),
            moves_names: false,
            unseen: false,
            defines: false,
            makes_relations: false,
            holds: false,
            reads: false,
            deallocates: None,
            copies: false,
            may_end: false,
            compare: None,
            uncompared: None,
            merge: None,
        }
    }

    /// Whether it ends a block, or a part of one, and what was set there.
    pub(crate) fn undoes(&self) -> bool {
        matches!(
            self.effect,
            Some(Effect::Commit { .. } | Effect::Rollback { .. } | Effect::RollbackTo(_))
        )
    }

    /// Whether it may have done what its implicit transaction ends, or takes back should it fail: no part of that may end before the rest.
    pub(crate) fn writes(&self) -> bool {
        !self.reads || self.unseen || self.session_state || self.holds
    }

    /// Whether it is DISCARD ALL, which stands alone in its Query and in no block.
    pub(crate) fn discards_all(&self) -> bool {
        self.session_state && matches!(self.deallocates, Some(Deallocated::All))
    }

    /// Columns appended to its answer.
    pub(crate) fn appended(&self) -> usize {
        if let Some(Bulk::Merge(merge)) = self.bulk.as_deref() {
            return merge.appended();
        }
        let version = self.merge.as_ref().map_or(0, |merge| merge.images);
        self.capture
            .as_ref()
            .map_or(version, |capture| capture.width())
    }

    /// Whether the client's own message can go to `home` as it is, with nothing to do before or after.
    pub(crate) fn is_plain(&self, home: Side) -> bool {
        self.side == home
            && self.variant == Variant::Original
            && self.sql.is_none()
            && self.capture.is_none()
            && self.bulk.is_none()
            && self.deallocates.is_none()
    }
}

/// A lookup by key that a read made, to be compared.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The table.
    pub table: TableId,
    /// The key. Where the client wrote a value in another way than the store does, it is the client's.
    pub key: Key,
}

/// Where a statement's key is found in its parameters or its text.
#[derive(Debug, Clone)]
pub(crate) struct Compare {
    table: TableId,
    values: Vec<KeySource>,
}

#[derive(Debug, Clone)]
enum KeySource {
    Param(usize),
    Constant(bytes::Bytes),
}

impl Compare {
    pub(crate) fn table(&self) -> TableId {
        self.table
    }

    /// The lookup that an execution with these parameters makes; `None` where a value's text cannot be told.
    pub(crate) fn lookup(&self, bind: Option<&Bind<'_>>) -> Option<Lookup> {
        let value = |source: &KeySource| match source {
            KeySource::Constant(value) => Some(value.clone()),
            KeySource::Param(index) => {
                let bind = bind?;
                let value = (*bind.values.get(*index)?)?;
                if bind.format(*index) == 0 {
                    Some(bytes::Bytes::copy_from_slice(value))
                } else {
                    binary_integer(value)
                }
            }
        };
        let key = self.values.iter().map(value).collect::<Option<Vec<_>>>()?;
        Some(Lookup {
            table: self.table,
            key: Key(key),
        })
    }
}

/// The text of an integer in binary form: by far the most of the keys that drivers send so.
fn binary_integer(value: &[u8]) -> Option<bytes::Bytes> {
    let number = match value.len() {
        2 => i64::from(i16::from_be_bytes(value.try_into().ok()?)),
        4 => i64::from(i32::from_be_bytes(value.try_into().ok()?)),
        8 => i64::from_be_bytes(value.try_into().ok()?),
        _ => return None,
    };
    Some(number.to_string().into())
}

/// What a session routes by, in one set of phases.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) mapping: Arc<Mapping>,
    analyzer: Arc<Mutex<Analyzer>>,
    /// Phase of each table's toggle.
    phases: Vec<Phase>,
    /// Where statements go that name no table.
    pub(crate) home: Side,
    /// Every toggle is in the last phase: the old store is out of the picture.
    done: bool,
    /// Some toggle writes both stores.
    dual: bool,
    /// In which order the secondary is written.
    order: Option<(Side, Arc<WriteOrder>)>,
}

impl Router {
    /// A router for these phases, by index of toggle.
    pub(crate) fn new(
        shared: &Shared,
        worker: usize,
        mapping: Arc<Mapping>,
        phases: &[Phase],
    ) -> Router {
        let of_toggle = |name: &str| {
            std::iter::zip(&shared.toggles, phases)
                .find(|(toggle, _)| toggle.name() == name)
                .map_or(Phase::UseOld, |(_, phase)| *phase)
        };
        Router {
            analyzer: shared.analyzer(worker, &mapping),
            phases: mapping
                .tables
                .iter()
                .map(|table| of_toggle(&table.toggle))
                .collect(),
            home: home(phases.iter().copied()),
            done: !phases.is_empty() && phases.iter().all(|phase| *phase == Phase::NewOnly),
            dual: phases.iter().any(|phase| phase.secondary().is_some()),
            order: None,
            mapping,
        }
    }

    /// A router for every toggle in this phase.
    pub(crate) fn in_phase(
        mapping: Arc<Mapping>,
        analyzer: Arc<Mutex<Analyzer>>,
        phase: Phase,
    ) -> Router {
        Router {
            analyzer,
            phases: vec![phase; mapping.tables.len()],
            home: phase.primary(),
            done: phase == Phase::NewOnly,
            dual: phase.secondary().is_some(),
            order: None,
            mapping,
        }
    }

    /// A path with every mapped schema in it, for where a session's own is not known.
    pub(crate) fn every_schema(&self) -> PathId {
        let schemas: std::collections::BTreeSet<String> = self
            .mapping
            .tables
            .iter()
            .map(|table| table.old.name.schema.clone())
            .collect();
        let schemas: Vec<String> = schemas.into_iter().collect();
        self.analyzer().path(&schemas)
    }

    /// Whether anything in a text of which this is seen matters to us; if not, it goes home as it is.
    pub(crate) fn looks_at(&self, glance: Glance) -> bool {
        // While unmapped tables are elsewhere than at home, every statement has to be told apart.
        glance.mapped || glance.session || self.is_split()
    }

    /// In which order the store of `secondary` is written.
    pub(crate) fn order(&mut self, secondary: Side) -> Arc<WriteOrder> {
        match &self.order {
            Some((side, order)) if *side == secondary => order.clone(),
            _ => {
                let order = Arc::new(self.mapping.write_order(secondary));
                self.order = Some((secondary, order.clone()));
                order
            }
        }
    }

    /// The phase of a table's toggle.
    pub(crate) fn phase(&self, table: TableId) -> Phase {
        self.phases[table.0]
    }

    /// The analyzer of this thread.
    pub(crate) fn analyzer(&self) -> std::sync::MutexGuard<'_, Analyzer> {
        // Only this thread uses it, between two awaits; a panic in it leaves a cache that is whole.
        self.analyzer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unmapped tables are in another store than mapped ones.
    pub(crate) fn is_split(&self) -> bool {
        self.home == Side::New && !self.done
    }

    /// No statement needs to be understood: all go to one store as they are.
    pub(crate) fn is_careless(&self) -> bool {
        !self.dual
            && (self.done || self.home == Side::Old)
            && self.phases.iter().all(|phase| phase.primary() == self.home)
    }

    /// Where a lookup by key finds its key.
    pub(crate) fn compare(
        &self,
        statement: &StatementFacts,
        sql: &[u8],
        conforming: bool,
    ) -> Option<Compare> {
        let Kind::Select(SelectFacts {
            by_key: Some(lookup),
            ..
        }) = &statement.kind
        else {
            return None;
        };
        let tokens: Vec<_> = Lexer::new(sql, conforming)
            .filter(|token| token.kind.is_significant())
            .collect();
        let text = |index: usize| constant(*tokens.get(index)?, sql, conforming);
        let values = lookup
            .values
            .iter()
            .map(|value| key_source(value.source, text))
            .collect::<Option<Vec<_>>>()?;
        Some(Compare {
            table: lookup.table,
            values,
        })
    }

    /// What the client is told of a statement that has no faithful text for a store.
    pub(crate) fn cannot_rewrite(
        &self,
        statement: &StatementFacts,
        refusal: &Refusal,
    ) -> ClientError {
        if refusal.is_mistake() {
            return ClientError::new(refusal.sqlstate, refusal.reason.clone());
        }
        ClientError {
            sqlstate: refusal.sqlstate,
            ..self.refusal(statement, "a statement", &refusal.reason)
        }
    }

    /// `schema.table (phase name)` for messages.
    pub(crate) fn describe(&self, table: TableId) -> String {
        format!(
            "table \"{}\" in phase {}",
            self.mapping.tables[table.0].old.name,
            self.phase(table)
        )
    }

    pub(crate) fn refusal(
        &self,
        statement: &StatementFacts,
        what: &str,
        hint: &str,
    ) -> ClientError {
        let mut named = statement.tables();
        if named.is_empty() {
            // A block of code names them somewhere: any of those that are not in one store only.
            named = self.mapping.tables.iter().map(|table| table.id).collect();
            named.retain(|table| {
                !matches!(
                    self.phase(*table),
                    Phase::DeployNew | Phase::UseOld | Phase::NewOnly
                )
            });
        }
        let tables: Vec<String> = named
            .into_iter()
            .map(|table| self.describe(table))
            .collect();
        let message = if tables.is_empty() {
            format!("crossfade refused {what}")
        } else {
            format!("crossfade refused {what} on {}", tables.join(", "))
        };
        ClientError::new("0A000", message).hint(hint)
    }
}

/// Where a value stands, as the lookup needs it.
fn key_source(source: Source, constant: impl FnOnce(usize) -> Option<String>) -> Option<KeySource> {
    match source {
        Source::Param(number) => Some(KeySource::Param(usize::from(number.checked_sub(1)?))),
        Source::Literal { token, negative } => {
            let text = constant(token)?;
            Some(KeySource::Constant(
                if negative { format!("-{text}") } else { text }.into(),
            ))
        }
        Source::Default | Source::Null | Source::Expression => None,
    }
}
