//! The rules.

use crossfade_phase::{Phase, Side};
use crossfade_store::{FkAction, ForeignKey, TableId, TableMap};

use super::{Deallocated, Router, bulk::reached};
use crate::{
    errors::ClientError,
    session::Effect,
    shared::Completeness,
    sql::{
        Actions, AliasKind, AliasUse, DiscardTarget, Kind, MergeFacts, Role, SelectFacts,
        StatementFacts, Target,
    },
};

/// What is to be done with a statement; the text is made from it.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) side: Side,
    /// What the text is rewritten for; `None` leaves it as it is.
    pub(crate) target: Option<Target>,
    /// Its answer carries images.
    pub(crate) captures: bool,
    /// It fills or empties whole tables, and needs something around it to be captured.
    pub(crate) bulk: bool,
    pub(crate) returns_rows: bool,
    pub(crate) effect: Option<Effect>,
    pub(crate) session_state: bool,
    pub(crate) local_state: bool,
    pub(crate) moves_names: bool,
    pub(crate) makes_relations: bool,
    pub(crate) reads: bool,
    pub(crate) deallocates: Option<Deallocated>,
    /// Compare what it looks up.
    pub(crate) compare: bool,
    /// Look it up in both stores.
    pub(crate) merge: Option<TableId>,
}

impl Decision {
    fn pass(side: Side) -> Decision {
        Decision {
            side,
            target: None,
            captures: false,
            bulk: false,
            returns_rows: true,
            effect: None,
            session_state: false,
            local_state: false,
            moves_names: false,
            makes_relations: false,
            reads: false,
            deallocates: None,
            compare: false,
            merge: None,
        }
    }
}

const HINT_CAPTURE: &str = "use INSERT, UPDATE or DELETE of one table, or run it in a phase that writes one store (use-old, new-only)";
const HINT_MERGE: &str = "write it as INSERT … ON CONFLICT, or as UPDATE, DELETE and INSERT in one transaction; or run it in a phase that writes one store (use-old, new-only)";
const HINT_COMPLETE: &str = "look rows up by their key, or complete the table first: crossfade backfill, then crossfade verify";
const HINT_TOGGLE: &str = "put tables that are used together into one toggle";

/// Decides on one statement.
///
/// # Errors
/// What the client is told when the statement is refused.
pub(crate) fn decide(
    router: &Router,
    complete: &dyn Completeness,
    statement: &StatementFacts,
) -> Result<Decision, ClientError> {
    let mut decision = if statement.touches_mapped() {
        on_mapped(router, complete, statement)?
    } else {
        on_others(router, statement)?
    };
    decision.effect = effect(&statement.kind);
    decision.session_state = changes_session(statement);
    decision.local_state = matches!(&statement.kind, Kind::Set(set) if set.local);
    decision.makes_relations = makes_relations(statement);
    decision.moves_names =
        decision.makes_relations || statement.kind.changes_names() || statement.traits.set_config;
    decision.reads = only_reads(statement);
    decision.deallocates = match &statement.kind {
        Kind::Deallocate(None) | Kind::Discard(DiscardTarget::All) => Some(Deallocated::All),
        Kind::Deallocate(Some(name)) => Some(Deallocated::Named(name.clone())),
        _ => None,
    };
    Ok(decision)
}

fn effect(kind: &Kind) -> Option<Effect> {
    Some(match kind {
        Kind::Begin { .. } => Effect::Begin,
        Kind::Commit { chain } => Effect::Commit { chain: *chain },
        Kind::Rollback { chain } => Effect::Rollback { chain: *chain },
        Kind::Savepoint(name) => Effect::Savepoint(name.clone()),
        Kind::RollbackTo(name) => Effect::RollbackTo(name.clone()),
        Kind::Release(name) => Effect::Release(name.clone()),
        _ => return None,
    })
}

fn changes_session(statement: &StatementFacts) -> bool {
    let setting = match &statement.kind {
        Kind::Set(set) => !set.local,
        Kind::SetTransaction { session, .. } => *session,
        Kind::Discard(_) => true,
        _ => false,
    };
    setting || statement.traits.set_config
}

/// Relations that are made or dropped may hide a mapped table, or have hidden one.
fn makes_relations(statement: &StatementFacts) -> bool {
    let makes = matches!(
        statement.kind,
        Kind::Ddl(_) | Kind::CreateAs | Kind::Select(SelectFacts { into: true, .. })
    );
    makes || statement.traits.temporary
}

fn only_reads(statement: &StatementFacts) -> bool {
    let kind = matches!(
        statement.kind.running(),
        Kind::Select(SelectFacts { into: false, .. }) | Kind::Show(_)
    );
    let traits = &statement.traits;
    kind && !statement.writes_mapped() && !traits.modifying_cte && !traits.locking
}

fn on_others(router: &Router, statement: &StatementFacts) -> Result<Decision, ClientError> {
    match &statement.kind {
        Kind::PrepareTransaction(_) if router.dual => Err(router.refusal(
            statement,
            "PREPARE TRANSACTION while a toggle writes both stores",
            "commit in one phase; two-phase commit cannot take the other store along",
        )),
        Kind::CommitPrepared(_) if router.dual => Err(router.refusal(
            statement,
            "COMMIT PREPARED while a toggle writes both stores",
            "whatever it wrote would be missing in the other store: commit it in phase use-old, or on the old server itself if it wrote no mapped table",
        )),
        Kind::Do { names_mapped: true } if !router.one_store() => Err(router.refusal(
            statement,
            "a DO block that names a mapped table",
            HINT_CAPTURE,
        )),
        _ if router.home == Side::New && statement.other_tables && !router.done => {
            Ok(Decision::pass(Side::Old))
        }
        _ => Ok(Decision::pass(router.home)),
    }
}

fn on_mapped(
    router: &Router,
    complete: &dyn Completeness,
    statement: &StatementFacts,
) -> Result<Decision, ClientError> {
    let mut tables = statement.tables();
    let Some(&first) = tables.first() else {
        return Ok(Decision::pass(router.home));
    };
    let phase = router.phase(first);
    if phase.primary() == Side::New {
        tables = reached(router, statement);
    }
    if tables
        .iter()
        .any(|table| router.phase(*table).primary() != phase.primary())
    {
        return Err(router.refusal(
            statement,
            "one statement over tables with different primaries",
            HINT_TOGGLE,
        ));
    }
    if statement.writes_mapped()
        && tables
            .iter()
            .any(|table| router.phase(*table).secondary() != phase.secondary())
    {
        return Err(router.refusal(
            statement,
            "one write over tables that are in different phases",
            HINT_TOGGLE,
        ));
    }
    match phase.primary() {
        Side::Old => on_old(router, statement, phase),
        Side::New => on_new(router, complete, statement, phase, &tables),
    }
}

/// Phases 1 to 4.
fn on_old(
    router: &Router,
    statement: &StatementFacts,
    phase: Phase,
) -> Result<Decision, ClientError> {
    if phase.secondary().is_none() {
        return Ok(Decision::pass(Side::Old));
    }
    if is_bulk(router, statement, Side::Old)? {
        return Ok(Decision {
            bulk: true,
            ..Decision::pass(Side::Old)
        });
    }
    if let Some(returns_rows) = captured(router, statement)? {
        return Ok(Decision {
            target: Some(Target::OldCapture),
            captures: true,
            returns_rows,
            ..Decision::pass(Side::Old)
        });
    }
    Ok(Decision {
        compare: phase == Phase::DualRead,
        ..Decision::pass(Side::Old)
    })
}

/// Phases 5 to 8.
fn on_new(
    router: &Router,
    complete: &dyn Completeness,
    statement: &StatementFacts,
    phase: Phase,
    tables: &[TableId],
) -> Result<Decision, ClientError> {
    if phase != Phase::NewOnly {
        if statement.other_tables {
            return Err(router.refusal(
                statement,
                "a statement over mapped tables and others that are still in the old store",
                HINT_TOGGLE,
            ));
        }
        let map = |table: &TableId| &router.mapping.tables[table.0];
        if let Some(partial) = tables
            .iter()
            .map(map)
            .find(|table| !complete.is_complete(table))
        {
            return match &statement.kind {
                Kind::Select(SelectFacts {
                    by_key: Some(lookup),
                    ..
                }) if lookup.exact && tables.len() == 1 => {
                    let target = Some(Target::KeyRead(Side::New));
                    Ok(Decision {
                        target,
                        merge: Some(lookup.table),
                        ..Decision::pass(Side::New)
                    })
                }
                _ => Err(incomplete(router, statement, partial)),
            };
        }
    }
    if phase.secondary().is_some() && is_bulk(router, statement, Side::New)? {
        return Ok(Decision {
            bulk: true,
            ..Decision::pass(Side::New)
        });
    }
    let capture = if phase.secondary().is_some() {
        captured(router, statement)?
    } else {
        None
    };
    // SQL on documents knows what became of the columns.
    let merges = matches!(statement.kind, Kind::Merge(_)) && !router.expands(statement, Side::New);
    let identity = merges
        || tables
            .iter()
            .all(|table| router.mapping.tables[table.0].is_identity());
    Ok(match capture {
        Some(returns_rows) => Decision {
            target: Some(Target::NewCapture),
            captures: true,
            returns_rows,
            ..Decision::pass(Side::New)
        },
        None => Decision {
            target: (!identity).then_some(Target::New),
            ..Decision::pass(Side::New)
        },
    })
}

fn incomplete(router: &Router, statement: &StatementFacts, table: &TableMap) -> ClientError {
    let what = if statement.writes_mapped() {
        "a write"
    } else {
        "a read"
    };
    router
        .refusal(statement, what, HINT_COMPLETE)
        .detail(format!(
            "not every row of \"{}\" is in the new store yet, so the answer could be wrong",
            table.old.name
        ))
}

/// A function that is known to write mapped rows writes them unseen.
fn check_functions(router: &Router, statement: &StatementFacts) -> Result<(), ClientError> {
    let writes = |alias: &&AliasUse| alias.kind == AliasKind::WritingFunction;
    statement
        .aliases
        .iter()
        .find(writes)
        .map_or(Ok(()), |alias| {
            let what = format!("a call of function \"{}\", which may write,", alias.name);
            Err(router.refusal(statement, &what, HINT_CAPTURE))
        })
}

/// Nobody knows which rows of a mapped table a write through another name concerns.
fn check_aliases(router: &Router, statement: &StatementFacts) -> Result<(), ClientError> {
    let written = |alias: &&AliasUse| alias.role == Role::Write;
    statement
        .aliases
        .iter()
        .find(written)
        .map_or(Ok(()), |alias| {
            let what = format!("a write through \"{}\"", alias.name);
            Err(router.refusal(statement, &what, "write the mapped table itself"))
        })
}

/// Whether a statement is COPY FROM, TRUNCATE or MERGE of a mapped table on the server of `side`, which are captured in their own way.
fn is_bulk(router: &Router, statement: &StatementFacts, side: Side) -> Result<bool, ClientError> {
    match &statement.kind {
        Kind::Copy(facts) if facts.from => {}
        Kind::Truncate { .. } => {}
        Kind::Merge(facts) if facts.table.is_some() => {}
        _ => return Ok(false),
    }
    check_functions(router, statement)?;
    check_aliases(router, statement)?;
    if statement.kind.merged().is_some() && statement.traits.modifying_cte {
        return Err(router.refusal(
            statement,
            "a WITH query that writes in front of MERGE",
            "write it as a statement of its own, in one transaction",
        ));
    }
    match &statement.kind {
        Kind::Copy(facts) if !facts.streamed && side == Side::New => Err(router.refusal(
            statement,
            "COPY FROM a file or program of the old store's server",
            "use COPY FROM STDIN",
        )),
        Kind::Merge(facts) => check_merge(router, statement, facts).map(|()| true),
        _ => Ok(true),
    }
}

/// For a write whose images have to be carried, whether the client asked for rows. `None` for what writes no mapped table.
fn captured(router: &Router, statement: &StatementFacts) -> Result<Option<bool>, ClientError> {
    check_functions(router, statement)?;
    if matches!(statement.kind, Kind::Ddl(_)) && statement.touches_mapped() {
        let what = "a definition that names a mapped table";
        let hint = "what writes or reads through it would not be seen: make it in a phase that writes one store (use-old, new-only)";
        return Err(router.refusal(statement, what, hint));
    }
    let explained = matches!(&statement.kind, Kind::Explain { analyze: false, .. });
    if explained || !statement.writes_mapped() {
        return Ok(None);
    }
    check_aliases(router, statement)?;
    let returns = match &statement.kind {
        kind @ (Kind::Insert(_) | Kind::Update(_) | Kind::Delete(_)) => kind.returns(),
        Kind::Select(SelectFacts { into: false, .. }) | Kind::Values => true,
        other => {
            let (what, hint) = uncaptured(other);
            return Err(router.refusal(statement, what, hint));
        }
    };
    if statement.rows_written().next().is_none() {
        return Err(router.refusal(statement, "a write that cannot be followed", HINT_CAPTURE));
    }
    for (table, kind) in statement.rows_written() {
        check_actions(router, statement, table, kind)?;
    }
    Ok(Some(returns))
}

/// What foreign keys do on account of a write has to be known exactly, and has to go to the same store (trap 10).
fn check_actions(
    router: &Router,
    statement: &StatementFacts,
    table: TableId,
    kind: &Kind,
) -> Result<(), ClientError> {
    const WHAT: &str = "a write that foreign keys follow up";
    let phase = router.phase(table);
    if moves_what_others_point_to(router, phase.primary(), kind, table) {
        return Err(moves_key(router, statement));
    }
    let actions = Actions::of(&router.mapping, phase.primary(), table, kind)
        .map_err(|reason| router.refusal(statement, WHAT, &reason))?;
    let tables = actions.map_or_else(Default::default, |actions| actions.tables());
    let place = |phase: Phase| (phase.primary(), phase.secondary());
    match tables
        .into_iter()
        .find(|child| place(router.phase(*child)) != place(phase))
    {
        None => Ok(()),
        Some(child) => Err(router.refusal(statement, WHAT, HINT_TOGGLE).detail(format!(
            "their actions change rows of {}",
            router.describe(child)
        ))),
    }
}

/// What a MERGE may not do to a table that other tables point to. Its clauses are what `facts` says: any of them may delete, and set these columns.
fn check_merge(
    router: &Router,
    statement: &StatementFacts,
    facts: &MergeFacts,
) -> Result<(), ClientError> {
    let Some(table) = facts.table else {
        return Ok(());
    };
    if facts.sets_key && is_referenced(router, table) {
        return Err(moves_key(router, statement));
    }
    check_actions(router, statement, table, &statement.kind)
}

fn moves_key(router: &Router, statement: &StatementFacts) -> ClientError {
    router.refusal(
        statement,
        "a change of a key that other tables point to",
        "insert the row under its new key, turn the rows that point to it, and delete the old one",
    )
}

fn is_referenced(router: &Router, table: TableId) -> bool {
    let map = &router.mapping.tables[table.0];
    !map.old.referenced_by.is_empty() || !map.new.referenced_by.is_empty()
}

/// The other store gets a changed key as a delete and an upsert, so its foreign keys act as for a delete. They find no rows, where the primary's own are followed
/// ([`Actions`]). Documents have none that could be, and what only the other store has, the primary's rows know nothing of.
fn moves_what_others_point_to(router: &Router, primary: Side, kind: &Kind, table: TableId) -> bool {
    if !matches!(kind, Kind::Update(facts) if facts.sets_key) {
        return false;
    }
    let map = &router.mapping.tables[table.0];
    let (here, there) = (map.on(primary), map.on(primary.other()));
    if here.shapeless {
        return !map.old.referenced_by.is_empty();
    }
    let mapping = &router.mapping;
    let followed = |key: &ForeignKey| {
        let acts = |twin: &ForeignKey| twin.on_delete != FkAction::Refuse;
        mapping.named(primary.other(), &key.child).is_some()
            && (key.on_delete == FkAction::Refuse
                || mapping.twin(primary.other(), key).is_some_and(acts))
    };
    !there.referenced_by.iter().all(followed)
}

/// What a write is that gives no images, and what to do instead.
fn uncaptured(kind: &Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Merge(_) => ("MERGE", HINT_MERGE),
        Kind::CreateAs => (
            "CREATE TABLE AS that writes a mapped table",
            "make the new table first, and write the rows by a statement of its own",
        ),
        Kind::Ddl(_) => (
            "a change of the table's definition",
            "make it in both stores, in a phase that writes one store (use-old, new-only)",
        ),
        Kind::Prepare { .. } => (
            "PREPARE of a write",
            "use the extended protocol, or send the statement itself",
        ),
        Kind::Explain { .. } => (
            "EXPLAIN ANALYZE of a write",
            "use EXPLAIN without ANALYZE, or run it in a phase that writes one store (use-old, new-only)",
        ),
        Kind::Lock => (
            "LOCK TABLE",
            "lock rows by SELECT … FOR UPDATE, or take an advisory lock",
        ),
        Kind::Maintenance => ("a maintenance command", "run it on the servers themselves"),
        Kind::Select(SelectFacts { into: true, .. }) => ("SELECT INTO", HINT_CAPTURE),
        _ => (
            "a write that is not a plain INSERT, UPDATE or DELETE",
            HINT_CAPTURE,
        ),
    }
}

impl Router {
    /// Whether a statement is a MERGE that the proxy writes in another way: on documents the engine gives the rows back itself.
    pub(crate) fn expands(&self, statement: &StatementFacts, side: Side) -> bool {
        let documents = |table: TableId| self.mapping.tables[table.0].on(side).shapeless;
        statement
            .kind
            .merged()
            .is_some_and(|table| !documents(table))
    }

    /// No toggle needs a second look at what is written or read.
    fn one_store(&self) -> bool {
        self.done || self.phases.iter().all(|phase| *phase <= Phase::UseOld)
    }
}
