//! What every row of a table has to be after a write, and what it has by itself.

use crossfade_values::{Error, Result, Type, oid};
use pg_query::NodeEnum;

use super::{Binder, Output, boxed};
use crate::expr::{Expr, Sequence, Typed};

/// What every row of a table has to be after a write.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Columns computed from others.
    pub(crate) generated: Vec<(usize, Expr)>,
    pub(crate) domains: Vec<DomainRule>,
    /// Conditions of the table, over its row.
    pub(crate) checks: Vec<(String, Expr)>,
}

/// What a column's domain asks of its values.
#[derive(Debug)]
pub(crate) struct DomainRule {
    pub(crate) column: usize,
    pub(crate) schema: String,
    pub(crate) name: String,
    /// Conditions, over a row of that one value.
    pub(crate) checks: Vec<(String, Expr)>,
    pub(crate) not_null: bool,
}

impl Binder<'_> {
    /// The default of every column: of its own, of its sequence, or NULL.
    pub(super) fn defaults(&mut self, table: usize) -> Result<Vec<Expr>> {
        let count = self.catalog.tables[table].columns.len();
        (0..count)
            .map(|column| self.default_of(table, column))
            .collect()
    }

    pub(super) fn default_of(&mut self, table: usize, column: usize) -> Result<Expr> {
        let catalog = self.catalog;
        let old = &catalog.tables[table].map.columns[column].old;
        if old.generated {
            return Ok(Expr::null());
        }
        if old.sequence.is_some() {
            let next = Typed {
                expr: Expr::NextVal(Sequence { table, column }),
                ty: Type::of(oid::INT8),
                by_bytes: true,
                at: 0,
            };
            return self.assign(next, catalog.tables[table].columns[column].base, &old.name);
        }
        match &old.default {
            Some(text) => self
                .stored(text, &[])
                .and_then(|typed| {
                    self.assign(typed, catalog.tables[table].columns[column].base, &old.name)
                })
                .map_err(|error| unusable(&error, "default", &old.name)),
            None => Ok(Expr::null()),
        }
    }

    /// An expression of the catalog's, over columns that begin at slot 0.
    fn stored(&mut self, text: &str, columns: &[Output]) -> Result<Typed> {
        let parsed = pg_query::parse(&format!("SELECT {text}"), pg_query::ParserOptions::DEFAULT)
            .map_err(Error::unsupported)?;
        let statement = parsed
            .protobuf
            .stmts
            .first()
            .and_then(|raw| raw.stmt.as_ref());
        let Some(NodeEnum::SelectStmt(select)) = statement.and_then(|node| node.node.as_ref())
        else {
            return Err(Error::unsupported("this expression"));
        };
        let Some(NodeEnum::ResTarget(target)) = select
            .target_list
            .first()
            .and_then(|node| node.node.as_ref())
        else {
            return Err(Error::unsupported("this expression"));
        };
        let scopes = std::mem::take(&mut self.scopes);
        self.push_frame();
        let added = self.stored_relation(columns);
        let typed = added.and_then(|()| self.expr(boxed(&target.val)?));
        self.scopes = scopes;
        // Places in it are none of the statement's.
        typed
            .map(|typed| Typed { at: 0, ..typed })
            .map_err(|error| Error { at: None, ..error })
    }

    fn stored_relation(&mut self, columns: &[Output]) -> Result<()> {
        if columns.is_empty() {
            return Ok(());
        }
        self.add_plain(columns.to_vec())
    }

    /// Checks, domains and generated columns of a table.
    pub(super) fn rules(&mut self, table: usize) -> Result<Rules> {
        let catalog = self.catalog;
        let of = &catalog.tables[table];
        let outputs = self.outputs_of(table);
        let mut rules = Rules {
            generated: Vec::new(),
            domains: Vec::new(),
            checks: Vec::new(),
        };
        for (index, column) in of.map.columns.iter().enumerate() {
            if let Some(text) = &column.old.generated_as {
                let typed = self
                    .stored(text, &outputs)
                    .map_err(|error| unusable(&error, "generation expression", &column.old.name))?;
                let expr = self.assign(typed, of.columns[index].base, &column.old.name)?;
                rules.generated.push((index, expr));
            }
            if let Some(domain) = &column.old.domain {
                let value = Output {
                    name: "value".to_owned(),
                    ..outputs[index].clone()
                };
                let mut checks = Vec::new();
                for check in &domain.checks {
                    let typed = self
                        .stored(&check.expression, std::slice::from_ref(&value))
                        .map_err(|error| unusable(&error, "domain", &column.old.name))?;
                    checks.push((check.name.clone(), self.condition(typed, "CHECK")?));
                }
                rules.domains.push(DomainRule {
                    column: index,
                    schema: domain.name.schema.clone(),
                    name: domain.name.name.clone(),
                    checks,
                    not_null: domain.not_null,
                });
            }
        }
        for check in &of.map.old.checks {
            let typed = self
                .stored(&check.expression, &outputs)
                .map_err(|error| unusable(&error, "check constraint", &check.name))?;
            rules
                .checks
                .push((check.name.clone(), self.condition(typed, "CHECK")?));
        }
        Ok(rules)
    }

    /// Refuses to write what could not be written as PostgreSQL would.
    pub(super) fn writable(&self, table: usize) -> Result<()> {
        let of = &self.catalog.tables[table];
        let old = &of.map.old;
        let refuse = |what: &str| {
            Err(Error::unsupported(format!(
                "a write of table \"{}\", which has {what},",
                of.name()
            )))
        };
        if !old.is_detailed() {
            return refuse("a remembered catalog of an older release");
        }
        if old.row_security {
            return refuse("row-level security");
        }
        if let Some(index) = old.partial_unique.first() {
            return refuse(&format!(
                "the unique index \"{index}\" with a predicate or an expression"
            ));
        }
        if let Some(name) = old.exclusions.first() {
            return refuse(&format!("the exclusion constraint \"{name}\""));
        }
        if let Some(index) = old.deferrable_unique.first() {
            return refuse(&format!("the deferrable constraint \"{}\"", index.name));
        }
        if let Some(index) = old.unique.iter().find(|index| index.nulls_not_distinct) {
            return refuse(&format!(
                "the unique index \"{}\" with NULLS NOT DISTINCT",
                index.name
            ));
        }
        Ok(())
    }

    fn add_plain(&mut self, outputs: Vec<Output>) -> Result<()> {
        self.add_named("", outputs)
    }
}

/// Something of the catalog that cannot be evaluated here.
fn unusable(error: &Error, what: &str, name: &str) -> Error {
    Error::unsupported(format!("the {what} of \"{name}\"")).detail(error.message.clone())
}
