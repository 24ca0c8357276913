//! PREPARE, EXECUTE and DEALLOCATE.

use std::sync::Arc;

use crossfade_values::{Error, Oid, Type, Types, Value, cast, format, oid};
use pg_query::{
    Node, NodeEnum,
    protobuf::{
        ExecuteStmt, LimitOption, PrepareStmt, ResTarget, SelectStmt, SetOperation, TypeName,
    },
};

use super::Serving;
use crate::{
    parse::Parsed,
    report::{Report, Result},
    sink::Target,
    state::Named,
    statement::{Statement, Work},
    text,
};

impl Serving {
    pub(super) fn prepare_by_sql(
        &mut self,
        prepare: &PrepareStmt,
        text: &str,
    ) -> Result<&'static str> {
        let name = &prepare.name;
        if self.session.state.statements.contains_key(name) {
            let told = format!("prepared statement \"{name}\" already exists");
            return Err(Report::new("42P05", told));
        }
        let given: Vec<Oid> = prepare
            .argtypes
            .iter()
            .map(|name| type_of(name, &self.session.state.types))
            .collect::<Result<_>>()?;
        let node = prepare.query.as_ref().and_then(|query| query.node.clone());
        let parsed = Parsed {
            text: text.into(),
            offset: 0,
            node: node.ok_or_else(|| Error::unsupported("this PREPARE"))?,
        };
        let statement = self.session.understand(parsed, &given)?;
        let named = Named {
            source: statement.text.clone(),
            statement,
            by_sql: true,
        };
        self.session.state.statements.insert(name.clone(), named);
        Ok("PREPARE")
    }

    pub(super) async fn execute_by_sql(
        &mut self,
        execute: &ExecuteStmt,
        text: &str,
        target: &mut Target,
    ) -> Result<String> {
        let statement = self.named(&execute.name)?;
        let params = self.arguments(execute, &statement, text).await?;
        match &statement.work {
            // A text without a statement cannot be prepared by SQL, and one of the session's own by the protocol only.
            Work::Nothing | Work::Own(..) => {
                Err(Error::unsupported("EXECUTE of this statement").into())
            }
            Work::Engine(..) | Work::Question(..) => {
                let tag = Box::pin(self.run(&statement, &params, target, false)).await?;
                Ok(tag.unwrap_or_default())
            }
        }
    }

    async fn arguments(
        &mut self,
        execute: &ExecuteStmt,
        statement: &Arc<Statement>,
        text: &str,
    ) -> Result<Vec<Value>> {
        let (given, wanted) = (execute.params.len(), statement.params.len());
        if wanted == 0 {
            // As PostgreSQL does it: then nobody looks at them.
            return Ok(Vec::new());
        }
        if given != wanted {
            let name = &execute.name;
            let told = format!("wrong number of parameters for prepared statement \"{name}\"");
            return Err(Report::new("42601", told)
                .detail(format!("Expected {wanted} parameters but got {given}.")));
        }
        let mut values = Vec::with_capacity(given);
        for (index, node) in execute.params.iter().enumerate() {
            values.push(
                self.argument(index, node, statement.params[index], text)
                    .await?,
            );
        }
        Ok(values)
    }

    /// The value of an expression, as an assignment to the parameter's type gives it.
    async fn argument(&mut self, index: usize, node: &Node, to: Oid, text: &str) -> Result<Value> {
        let ty = Type::of(to);
        if let Some(NodeEnum::AConst(constant)) = &node.node
            && constant.isnull
        {
            return Ok(Value::Null);
        }
        if let Some(literal) = node.node.as_ref().and_then(text::string) {
            let state = &self.session.state;
            return Ok(format::parse(ty, literal, &state.types, &state.session)?);
        }
        let query = NodeEnum::SelectStmt(Box::new(select_of(node)));
        let session = &mut self.session;
        let prepared = session.engine.prepare(&query, text, &[], &session.state)?;
        let from = prepared
            .columns
            .as_ref()
            .and_then(|columns| columns.first())
            .map_or(oid::UNKNOWN, |column| column.base.oid);
        let state = &self.session.state;
        if !cast::can_cast(from, to, cast::Context::Assignment, &state.types) {
            let name = |of| format::type_name(Type::of(of), &state.types);
            let told = format!(
                "parameter ${} of type {} cannot be coerced to the expected type {}",
                index + 1,
                name(from),
                name(to)
            );
            return Err(
                Report::new("42804", told).hint("You will need to rewrite or cast the expression.")
            );
        }
        let rows = self.collect(&prepared, &[]).await?.rows;
        let value = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next());
        let state = &self.session.state;
        Ok(cast::cast(
            value.unwrap_or(Value::Null),
            from,
            ty,
            cast::Context::Assignment,
            &state.types,
            &state.session,
        )?)
    }

    /// `None` for all.
    pub(super) fn deallocate(&mut self, name: Option<&String>) -> Result<&'static str> {
        let statements = &mut self.session.state.statements;
        match name {
            None => {
                statements.retain(|name, _| name.is_empty());
                Ok("DEALLOCATE ALL")
            }
            Some(name) => match statements.remove(name) {
                Some(_) => Ok("DEALLOCATE"),
                None => {
                    let told = format!("prepared statement \"{name}\" does not exist");
                    Err(Report::new("26000", told))
                }
            },
        }
    }
}

/// `SELECT expression`.
fn select_of(expression: &Node) -> SelectStmt {
    let target = ResTarget {
        val: Some(Box::new(expression.clone())),
        ..ResTarget::default()
    };
    SelectStmt {
        target_list: vec![Node {
            node: Some(NodeEnum::ResTarget(Box::new(target))),
        }],
        limit_option: LimitOption::Default.into(),
        op: SetOperation::SetopNone.into(),
        ..SelectStmt::default()
    }
}

fn type_of(node: &Node, types: &Types) -> Result<Oid> {
    let Some(NodeEnum::TypeName(name)) = &node.node else {
        return Err(Error::unsupported("this type of a parameter").into());
    };
    let TypeName {
        names,
        array_bounds,
        ..
    } = name;
    let (schema, plain) =
        text::name(names).ok_or_else(|| Error::unsupported("this type of a parameter"))?;
    let found = format::type_by_name(schema, plain, &[], types)?
        .ok_or_else(|| Report::new("42704", format!("type \"{plain}\" does not exist")))?;
    if array_bounds.is_empty() {
        return Ok(found.oid);
    }
    format::array_of(found.oid, types)
        .ok_or_else(|| Report::new("42704", format!("type \"{plain}[]\" does not exist")))
}
