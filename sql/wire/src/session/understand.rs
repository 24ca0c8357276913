//! From a text to a statement that can run.

use std::sync::Arc;

use crossfade_values::{Error, Oid, oid};
use pg_query::NodeEnum;

use super::Session;
use crate::{
    Column,
    parse::{self, Parsed},
    questions::{self, Question},
    report::{Report, Result},
    statement::{Statement, Work},
};

/// What the schema is changed by, where it is not by SQL.
const SCHEMA_HINT: &str = "the schema is the mapping's: change the mapped tables in the configuration, and collections and indexes with MongoDB's own tools";

impl Session {
    /// The only statement of a text; several are an error.
    pub(super) fn understand_one(&mut self, text: &str, given: &[Oid]) -> Result<Arc<Statement>> {
        let text: Arc<str> = text.into();
        if let Some(known) = self.cache.get(&text, given, self.state.generation) {
            return Ok(known);
        }
        let mut parsed = parse::parse(&text)?;
        let statement = match (parsed.pop(), parsed.pop()) {
            (None, _) => Arc::new(self.nothing(&text, given)),
            (Some(only), None) => self.understand(only, given)?,
            (Some(_), Some(_)) => {
                let told = "cannot insert multiple commands into a prepared statement";
                return Err(Report::new("42601", told));
            }
        };
        self.cache.put(&text, &statement);
        Ok(statement)
    }

    /// All statements of a text; none for an empty one. The only one of a text is remembered.
    pub(super) fn parse_all(&mut self, text: &str) -> Result<Pieces> {
        let text: Arc<str> = text.into();
        if let Some(known) = self.cache.get(&text, &[], self.state.generation) {
            return Ok(Pieces::Known(known));
        }
        Ok(Pieces::Parsed(parse::parse(&text)?))
    }

    fn nothing(&self, text: &Arc<str>, given: &[Oid]) -> Statement {
        Statement {
            text: text.clone(),
            offset: 0,
            given: given.to_vec(),
            params: given.to_vec(),
            work: Work::Nothing,
            generation: self.state.generation,
        }
    }

    /// Understands a statement.
    pub(super) fn understand(&mut self, parsed: Parsed, given: &[Oid]) -> Result<Arc<Statement>> {
        let Parsed { text, offset, node } = parsed;
        let (work, params) = self.work_of(node, &text, given)?;
        Ok(Arc::new(Statement {
            text,
            offset,
            given: given.to_vec(),
            params,
            work,
            generation: self.state.generation,
        }))
    }

    fn work_of(&mut self, node: NodeEnum, text: &str, given: &[Oid]) -> Result<(Work, Vec<Oid>)> {
        if let Some(question) = Question::read(text, &node) {
            let columns = question.columns();
            return Ok((Work::Question(question, columns), given.to_vec()));
        }
        if let Some(command) = engines(&node) {
            let prepared = self.engine.prepare(&node, text, given, &self.state)?;
            let params = prepared.params.clone();
            return Ok((Work::Engine(command, prepared), params));
        }
        // A cursor's query may have parameters, which DECLARE gets.
        if let NodeEnum::DeclareCursorStmt(declare) = &node
            && let Some(query) = declare.query.as_ref().and_then(|query| query.node.as_ref())
        {
            check_cursor(query)?;
            let prepared = self.engine.prepare(query, text, given, &self.state)?;
            return Ok((Work::Own(Box::new(node), None), prepared.params));
        }
        let columns = match &node {
            NodeEnum::VariableShowStmt(show) => Some(self.show_columns(&show.name)),
            NodeEnum::TransactionStmt(_)
            | NodeEnum::VariableSetStmt(_)
            | NodeEnum::DiscardStmt(_)
            | NodeEnum::PrepareStmt(_)
            | NodeEnum::ExecuteStmt(_)
            | NodeEnum::DeallocateStmt(_)
            | NodeEnum::UnlistenStmt(_)
            | NodeEnum::DeclareCursorStmt(_)
            | NodeEnum::FetchStmt(_)
            | NodeEnum::ClosePortalStmt(_)
            | NodeEnum::ConstraintsSetStmt(_)
            | NodeEnum::DoStmt(_) => None,
            other => return Err(refused(other).into()),
        };
        Ok((Work::Own(Box::new(node), columns), given.to_vec()))
    }

    fn show_columns(&self, name: &str) -> Vec<Column> {
        if name.eq_ignore_ascii_case("all") {
            ["name", "setting", "description"]
                .map(|name| questions::column(name, oid::TEXT))
                .into()
        } else {
            let known = crate::settings::KNOWN.get(&name.to_ascii_lowercase());
            let shown = known.map_or(name, |known| known.name);
            vec![questions::column(shown, oid::TEXT)]
        }
    }

    /// The statement as it is now: settings may have moved since it was prepared.
    pub(super) fn refreshed(&mut self, statement: &Arc<Statement>) -> Result<Arc<Statement>> {
        let Work::Engine(command, before) = &statement.work else {
            return Ok(statement.clone());
        };
        if statement.generation == self.state.generation {
            return Ok(statement.clone());
        }
        // The tree is not kept: it takes many times the room of the text, and is wanted again so seldom.
        let node = match parse::parse(&statement.text)?
            .pop()
            .map(|parsed| parsed.node)
        {
            Some(NodeEnum::PrepareStmt(prepare)) => prepare.query.and_then(|query| query.node),
            other => other,
        };
        let node = node.ok_or_else(|| Error::unsupported("this statement"))?;
        let (text, params) = (&statement.text, &statement.params);
        let prepared = self.engine.prepare(&node, text, params, &self.state)?;
        let types = |columns: &Option<Vec<Column>>| {
            columns
                .as_ref()
                .map(|columns| columns.iter().map(|column| column.base).collect::<Vec<_>>())
        };
        if types(&before.columns) != types(&prepared.columns) {
            let told = "cached plan must not change result type";
            return Err(Report::new("0A000", told));
        }
        Ok(Arc::new(Statement {
            text: statement.text.clone(),
            offset: statement.offset,
            given: statement.given.clone(),
            params: prepared.params.clone(),
            work: Work::Engine(command, prepared),
            generation: self.state.generation,
        }))
    }
}

/// What a statement of the engine's is called; `None` for any other.
fn engines(node: &NodeEnum) -> Option<&'static str> {
    match node {
        NodeEnum::SelectStmt(_) => Some("SELECT"),
        NodeEnum::InsertStmt(_) => Some("INSERT"),
        NodeEnum::UpdateStmt(_) => Some("UPDATE"),
        NodeEnum::DeleteStmt(_) => Some("DELETE"),
        NodeEnum::MergeStmt(_) => Some("MERGE"),
        NodeEnum::CopyStmt(copy) if copy.is_from => Some("COPY FROM"),
        NodeEnum::CopyStmt(_) => Some("COPY"),
        NodeEnum::TruncateStmt(_) => Some("TRUNCATE TABLE"),
        NodeEnum::ExplainStmt(_) => Some("EXPLAIN"),
        _ => None,
    }
}

/// What a text consists of.
pub(super) enum Pieces {
    Known(Arc<Statement>),
    Parsed(Vec<Parsed>),
}

/// Statements that neither the session nor an engine runs.
fn refused(node: &NodeEnum) -> Error {
    let (what, hint) = match node {
        NodeEnum::ListenStmt(_) | NodeEnum::NotifyStmt(_) => ("LISTEN/NOTIFY", None),
        NodeEnum::LockStmt(_) => ("LOCK TABLE", Some("use SELECT … FOR UPDATE")),
        NodeEnum::VacuumStmt(_) => ("VACUUM or ANALYZE", None),
        NodeEnum::CheckPointStmt(_) => ("CHECKPOINT", None),
        NodeEnum::CallStmt(_) => ("CALL", None),
        NodeEnum::LoadStmt(_) => ("LOAD", None),
        NodeEnum::CreateTableAsStmt(_) => ("CREATE TABLE AS", Some(SCHEMA_HINT)),
        _ => ("a statement that changes the schema", Some(SCHEMA_HINT)),
    };
    let error = Error::unsupported(what);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// A cursor's rows are asked for again and again, and a write is made once (`transformDeclareCursorStmt`).
pub(super) fn check_cursor(query: &NodeEnum) -> Result<()> {
    let NodeEnum::SelectStmt(select) = query else {
        return Ok(());
    };
    let ctes = select.with_clause.iter().flat_map(|with| &with.ctes);
    let mut queries = ctes.filter_map(|cte| match cte.node.as_ref()? {
        NodeEnum::CommonTableExpr(cte) => cte.ctequery.as_ref()?.node.as_ref(),
        _ => None,
    });
    if queries.all(|query| matches!(query, NodeEnum::SelectStmt(_))) {
        return Ok(());
    }
    let told = "DECLARE CURSOR must not contain data-modifying statements in WITH";
    Err(Error::new("0A000", told).into())
}
