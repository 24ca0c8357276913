//! INSERT, UPDATE, DELETE.

use crossfade_values::{Error, Oid, Result, Type, oid};
use pg_query::{
    Node, NodeEnum,
    protobuf::{
        DeleteStmt, InsertStmt, OnConflictAction, OnConflictClause, OverridingKind, ResTarget,
        ReturningClause, SelectStmt, UpdateStmt,
    },
};

use super::{Binder, Output, boxed, inner, place};
use crate::{
    expr::{Expr, Sequence, Typed},
    plan::{Distinct, From, JoinKind, Query, Select, Tail},
};

/// `INSERT`.
#[derive(Debug)]
pub(crate) struct Insert {
    pub(crate) table: usize,
    /// Columns that the rows give, and the casts of a query's columns.
    pub(crate) columns: Vec<usize>,
    pub(crate) source: Source,
    /// Values of columns that a row does not give, by column.
    pub(crate) defaults: Vec<Expr>,
    pub(crate) rules: Rules,
    pub(crate) conflict: Option<Conflict>,
    pub(crate) returning: Vec<Expr>,
}

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

/// Rows of an INSERT.
#[derive(Debug)]
pub(crate) enum Source {
    /// `None` is DEFAULT.
    Rows(Vec<Vec<Option<Expr>>>),
    /// With the casts of its columns.
    Query(Query, Vec<(Oid, Type)>),
}

/// `ON CONFLICT`.
#[derive(Debug)]
pub(crate) struct Conflict {
    /// Unique indexes that count, by index in the table; all where none is named.
    pub(crate) arbiters: Vec<usize>,
    pub(crate) update: Option<ConflictUpdate>,
}

/// `DO UPDATE`: over a row of the document that is there, then of the one that was to be inserted.
#[derive(Debug)]
pub(crate) struct ConflictUpdate {
    pub(crate) set: Vec<(usize, Expr)>,
    pub(crate) filter: Vec<Expr>,
}

/// `UPDATE`.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) table: usize,
    /// Its rows, each with the document to be changed at the table's first slots.
    pub(crate) rows: Select,
    pub(crate) set: Vec<(usize, Expr)>,
    pub(crate) rules: Rules,
    pub(crate) returning: Vec<Expr>,
}

/// `DELETE`.
#[derive(Debug)]
pub(crate) struct Delete {
    pub(crate) table: usize,
    pub(crate) rows: Select,
    pub(crate) returning: Vec<Expr>,
}

type Returned = (Vec<Expr>, Option<Vec<Output>>);

impl Binder<'_> {
    pub(super) fn insert(&mut self, insert: &InsertStmt) -> Result<(Insert, Option<Vec<Output>>)> {
        let known = self.ctes.len();
        if let Some(with) = &insert.with_clause {
            self.with(with)?;
        }
        self.push_frame();
        let understood = self.insert_parts(insert);
        self.pop_frame();
        self.ctes.truncate(known);
        understood
    }

    fn insert_parts(&mut self, insert: &InsertStmt) -> Result<(Insert, Option<Vec<Output>>)> {
        let range = insert
            .relation
            .as_ref()
            .ok_or_else(|| Error::unsupported("this form of INSERT"))?;
        // Rows to be inserted do not see the table; a sub-query in them begins anew.
        let (table, _) = self.target(range)?;
        self.writable(table)?;
        let frame = self.pop_frame();
        let columns = self.insert_columns(table, &insert.cols)?;
        let source = self.source(insert, table, &columns);
        self.scopes.push(frame);
        let (columns, source) = source?;
        let defaults = self.defaults(table)?;
        let conflict = match &insert.on_conflict_clause {
            Some(clause) => Some(self.conflict(table, clause)?),
            None => None,
        };
        let rules = self.rules(table)?;
        // EXCLUDED is not to be seen in RETURNING.
        if self.frame().relations.len() > 1 {
            self.frame().relations.truncate(1);
            self.frame().gone.push("excluded");
        }
        let (returning, outputs) = self.returning(insert.returning_clause.as_ref())?;
        Ok((
            Insert {
                table,
                columns,
                source,
                defaults,
                rules,
                conflict,
                returning,
            },
            outputs,
        ))
    }

    fn insert_columns(&self, table: usize, cols: &[Node]) -> Result<Vec<usize>> {
        let of = &self.catalog.tables[table];
        if cols.is_empty() {
            return Ok((0..of.columns.len()).collect());
        }
        let mut columns = Vec::new();
        for node in cols {
            let NodeEnum::ResTarget(target) = inner(node)? else {
                return Err(Error::unsupported("this form of a column list"));
            };
            let column = self.column_of(table, target)?;
            if columns.contains(&column) {
                return Err(Error::new(
                    "42701",
                    format!("column \"{}\" specified more than once", target.name),
                )
                .at(place(target.location)));
            }
            columns.push(column);
        }
        Ok(columns)
    }

    fn column_of(&self, table: usize, target: &ResTarget) -> Result<usize> {
        let of = &self.catalog.tables[table];
        if !target.indirection.is_empty() && of.column(&target.name).is_some() {
            return Err(
                Error::unsupported("a part of a column as a target").at(place(target.location))
            );
        }
        of.column(&target.name).ok_or_else(|| {
            if of.has_dropped(&target.name) {
                return Error::new(
                    "0A000",
                    format!("column \"{}\" is not carried to the documents", target.name),
                )
                .at(place(target.location));
            }
            Error::new(
                "42703",
                format!(
                    "column \"{}\" of relation \"{}\" does not exist",
                    target.name,
                    of.name()
                ),
            )
            .at(place(target.location))
        })
    }

    fn source(
        &mut self,
        insert: &InsertStmt,
        table: usize,
        columns: &[usize],
    ) -> Result<(Vec<usize>, Source)> {
        let overriding = insert.r#override();
        let Some(select) = &insert.select_stmt else {
            return Ok((Vec::new(), Source::Rows(vec![Vec::new()])));
        };
        let NodeEnum::SelectStmt(select) = inner(select)? else {
            return Err(Error::unsupported("this form of INSERT"));
        };
        let plain = select.sort_clause.is_empty()
            && select.limit_count.is_none()
            && select.limit_offset.is_none()
            && select.with_clause.is_none();
        if !select.values_lists.is_empty() && plain {
            return self.value_source(table, (columns, &insert.cols), select, overriding);
        }
        let of = &self.catalog.tables[table].columns;
        self.wanted = columns
            .iter()
            .map(|&column| (of[column].base, of[column].name.clone()))
            .collect();
        let (query, outputs) = self.query(select)?;
        let places: Vec<usize> = outputs.iter().map(|output| output.at).collect();
        check_count(columns, &insert.cols, outputs.len(), &places)?;
        let columns: Vec<usize> = columns[..outputs.len()].to_vec();
        let mut casts = Vec::new();
        for (output, &column) in outputs.iter().zip(&columns) {
            self.check_settable(table, column, overriding)?;
            let to = self.catalog.tables[table].columns[column].base;
            let typed = Typed {
                expr: Expr::null(),
                ty: output.ty,
                by_bytes: true,
                at: output.at,
            };
            let name = self.catalog.tables[table].columns[column].name.clone();
            self.assign(typed, to, &name)?;
            casts.push((output.ty.oid, to));
        }
        Ok((columns, Source::Query(query, casts)))
    }

    fn value_source(
        &mut self,
        table: usize,
        columns: (&[usize], &[Node]),
        select: &SelectStmt,
        overriding: OverridingKind,
    ) -> Result<(Vec<usize>, Source)> {
        self.push_frame();
        self.frame().clause = "VALUES";
        let understood = self.value_rows_of(table, columns, select, overriding);
        self.pop_frame();
        understood
    }

    fn value_rows_of(
        &mut self,
        table: usize,
        (columns, cols): (&[usize], &[Node]),
        select: &SelectStmt,
        overriding: OverridingKind,
    ) -> Result<(Vec<usize>, Source)> {
        let mut rows = Vec::with_capacity(select.values_lists.len());
        let mut width = 0;
        for (index, row) in select.values_lists.iter().enumerate() {
            let NodeEnum::List(row) = inner(row)? else {
                return Err(Error::unsupported("this form of VALUES"));
            };
            if index == 0 {
                width = row.items.len();
                let places = if width > columns.len() {
                    self.exprs(&row.items)?
                        .iter()
                        .map(|typed| typed.at)
                        .collect()
                } else {
                    Vec::new()
                };
                check_count(columns, cols, width, &places)?;
            } else if row.items.len() != width {
                let row = self.exprs(&row.items)?;
                return Err(super::values::uneven(&row));
            }
            let mut values = Vec::with_capacity(width);
            for (node, &column) in row.items.iter().zip(columns) {
                let node = inner(node)?;
                if matches!(node, NodeEnum::SetToDefault(_)) {
                    values.push(None);
                    continue;
                }
                self.check_settable(table, column, overriding)?;
                let typed = self.expr(node)?;
                let column = &self.catalog.tables[table].columns[column];
                let (base, name) = (column.base, column.name.clone());
                let value = self.assign(typed, base, &name)?;
                // What an identity is given by the user is not taken.
                values.push(
                    (overriding != OverridingKind::OverridingUserValue
                        || !self.is_identity(table, &name))
                    .then_some(value),
                );
            }
            rows.push(values);
        }
        Ok((columns[..width].to_vec(), Source::Rows(rows)))
    }

    fn is_identity(&self, table: usize, name: &str) -> bool {
        let map = &self.catalog.tables[table].map;
        map.old
            .column(name)
            .is_some_and(|column| column.sequence.is_some() && column.default.is_none())
    }

    fn check_settable(
        &self,
        table: usize,
        column: usize,
        overriding: OverridingKind,
    ) -> Result<()> {
        let column = &self.catalog.tables[table].map.columns[column].old;
        if column.generated {
            return Err(Error::new(
                "428C9",
                format!(
                    "cannot insert a non-DEFAULT value into column \"{}\"",
                    column.name
                ),
            )
            .detail(format!("Column \"{}\" is a generated column.", column.name)));
        }
        if column.identity_always
            && !matches!(
                overriding,
                OverridingKind::OverridingSystemValue | OverridingKind::OverridingUserValue
            )
        {
            return Err(Error::new(
                "428C9",
                format!(
                    "cannot insert a non-DEFAULT value into column \"{}\"",
                    column.name
                ),
            )
            .detail(format!(
                "Column \"{}\" is an identity column defined as GENERATED ALWAYS.",
                column.name
            ))
            .hint("Use OVERRIDING SYSTEM VALUE to override."));
        }
        Ok(())
    }

    /// The default of every column: of its own, of its sequence, or NULL.
    pub(super) fn defaults(&mut self, table: usize) -> Result<Vec<Expr>> {
        let count = self.catalog.tables[table].columns.len();
        (0..count)
            .map(|column| self.default_of(table, column))
            .collect()
    }

    fn default_of(&mut self, table: usize, column: usize) -> Result<Expr> {
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

    fn conflict(&mut self, table: usize, clause: &OnConflictClause) -> Result<Conflict> {
        let at = place(clause.location);
        let arbiters = self.arbiters(table, clause)?;
        if clause.action() == OnConflictAction::OnconflictNothing {
            return Ok(Conflict {
                arbiters,
                update: None,
            });
        }
        if clause.infer.is_none() {
            return Err(Error::new(
                "42601",
                "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            )
            .hint("For example, ON CONFLICT (column_name).")
            .at(at));
        }
        let outputs = self.outputs_of(table);
        self.add_named("excluded", outputs)?;
        let set = self.set_list(table, &clause.target_list)?;
        let filter = match &clause.where_clause {
            Some(node) => {
                let typed = self.expr(inner(node)?)?;
                vec![self.condition(typed, "WHERE")?]
            }
            None => Vec::new(),
        };
        Ok(Conflict {
            arbiters,
            update: Some(ConflictUpdate { set, filter }),
        })
    }

    fn arbiters(&self, table: usize, clause: &OnConflictClause) -> Result<Vec<usize>> {
        let of = &self.catalog.tables[table];
        let Some(infer) = &clause.infer else {
            return Ok(Vec::new());
        };
        if !infer.conname.is_empty() {
            let found = of
                .uniques
                .iter()
                .position(|unique| unique.name == infer.conname);
            return found.map(|index| vec![index]).ok_or_else(|| {
                Error::new(
                    "42704",
                    format!(
                        "constraint \"{}\" for table \"{}\" does not exist",
                        infer.conname,
                        of.name()
                    ),
                )
            });
        }
        let mut columns = Vec::new();
        for node in &infer.index_elems {
            let NodeEnum::IndexElem(elem) = inner(node)? else {
                return Err(Error::unsupported("this form of ON CONFLICT"));
            };
            if elem.name.is_empty() {
                return Err(Error::unsupported("ON CONFLICT over an expression"));
            }
            let missing = || {
                Error::new("42703", format!("column \"{}\" does not exist", elem.name))
                    .at(place(infer.location))
            };
            columns.push(of.column(&elem.name).ok_or_else(missing)?);
        }
        columns.sort_unstable();
        columns.dedup();
        let same = |unique: &crate::catalog::Unique| {
            let mut of = unique.columns.clone();
            of.sort_unstable();
            of == columns
        };
        let found: Vec<usize> = (0..of.uniques.len())
            .filter(|index| same(&of.uniques[*index]))
            .collect();
        if found.is_empty() {
            return Err(Error::new(
                "42P10",
                "there is no unique or exclusion constraint matching the ON CONFLICT specification",
            ));
        }
        Ok(found)
    }

    fn set_list(&mut self, table: usize, list: &[Node]) -> Result<Vec<(usize, Expr)>> {
        let mut set: Vec<(usize, Expr)> = Vec::new();
        self.frame().clause = "UPDATE";
        for node in list {
            let NodeEnum::ResTarget(target) = inner(node)? else {
                return Err(Error::unsupported("this form of SET"));
            };
            let column = self.column_of(table, target)?;
            if set.iter().any(|(known, _)| *known == column) {
                return Err(Error::new(
                    "42601",
                    format!("multiple assignments to same column \"{}\"", target.name),
                ));
            }
            let value = self.set_value(table, column, boxed(&target.val)?)?;
            set.push((column, value));
        }
        Ok(set)
    }

    fn set_value(&mut self, table: usize, column: usize, value: &NodeEnum) -> Result<Expr> {
        let value = match value {
            // `(a, b) = (1, 2)` and `(a, b) = ROW(1, 2)`.
            NodeEnum::MultiAssignRef(multi) => {
                let row = match boxed(&multi.source)? {
                    NodeEnum::RowExpr(row) => row,
                    NodeEnum::SubLink(sub) => {
                        return Err(Error::unsupported("several columns set from a sub-query")
                            .at(place(sub.location)));
                    }
                    NodeEnum::AConst(constant) => {
                        return Err(several().at(place(constant.location)));
                    }
                    _ => return Err(several()),
                };
                let wrong =
                    || Error::new("42601", "number of columns does not match number of values");
                if usize::try_from(multi.ncolumns).ok() != Some(row.args.len()) {
                    return Err(wrong());
                }
                let index = usize::try_from(multi.colno - 1).map_err(|_| wrong())?;
                inner(row.args.get(index).ok_or_else(wrong)?)?
            }
            value => value,
        };
        let old = &self.catalog.tables[table].map.columns[column].old;
        if matches!(value, NodeEnum::SetToDefault(_)) {
            return self.default_of(table, column);
        }
        if old.generated || old.identity_always {
            let what = if old.generated {
                "is a generated column."
            } else {
                "is an identity column defined as GENERATED ALWAYS."
            };
            return Err(Error::new(
                "428C9",
                format!("column \"{}\" can only be updated to DEFAULT", old.name),
            )
            .detail(format!("Column \"{}\" {what}", old.name)));
        }
        let (base, name) = (
            self.catalog.tables[table].columns[column].base,
            old.name.clone(),
        );
        let typed = self.expr(value)?;
        self.assign(typed, base, &name)
    }

    fn returning(&mut self, clause: Option<&ReturningClause>) -> Result<Returned> {
        let Some(clause) = clause else {
            return Ok((Vec::new(), None));
        };
        if !clause.options.is_empty() {
            return Err(Error::unsupported("RETURNING WITH"));
        }
        self.frame().clause = "RETURNING";
        let targets = self.targets(&clause.exprs, &[])?;
        let outputs = targets.iter().map(|target| target.output.clone()).collect();
        let exprs = targets
            .into_iter()
            .map(|target| target.typed.expr)
            .collect();
        Ok((exprs, Some(outputs)))
    }

    pub(super) fn update(&mut self, update: &UpdateStmt) -> Result<(Update, Option<Vec<Output>>)> {
        let known = self.ctes.len();
        if let Some(with) = &update.with_clause {
            self.with(with)?;
        }
        self.push_frame();
        let understood = self.update_parts(update);
        self.pop_frame();
        self.ctes.truncate(known);
        understood
    }

    fn update_parts(&mut self, update: &UpdateStmt) -> Result<(Update, Option<Vec<Output>>)> {
        let range = update
            .relation
            .as_ref()
            .ok_or_else(|| Error::unsupported("this form of UPDATE"))?;
        let (table, target) = self.target(range)?;
        self.writable(table)?;
        let mut source = self.joined(target, &update.from_clause)?;
        let set = self.set_list(table, &update.target_list)?;
        let filter = self.filter(update.where_clause.as_deref(), &mut source)?;
        let rules = self.rules(table)?;
        let (returning, outputs) = self.returning(update.returning_clause.as_ref())?;
        let used = set.iter().map(|(_, expr)| expr).chain(&returning);
        let rows = self.written(source, filter, used.cloned().collect());
        Ok((
            Update {
                table,
                rows,
                set,
                rules,
                returning,
            },
            outputs,
        ))
    }

    pub(super) fn delete(&mut self, delete: &DeleteStmt) -> Result<(Delete, Option<Vec<Output>>)> {
        let known = self.ctes.len();
        if let Some(with) = &delete.with_clause {
            self.with(with)?;
        }
        self.push_frame();
        let understood = self.delete_parts(delete);
        self.pop_frame();
        self.ctes.truncate(known);
        understood
    }

    fn delete_parts(&mut self, delete: &DeleteStmt) -> Result<(Delete, Option<Vec<Output>>)> {
        let range = delete
            .relation
            .as_ref()
            .ok_or_else(|| Error::unsupported("this form of DELETE"))?;
        let (table, target) = self.target(range)?;
        if self.catalog.tables[table].map.old.row_security {
            return Err(Error::unsupported(
                "a write of a table with row-level security",
            ));
        }
        let mut source = self.joined(target, &delete.using_clause)?;
        let filter = self.filter(delete.where_clause.as_deref(), &mut source)?;
        let (returning, outputs) = self.returning(delete.returning_clause.as_ref())?;
        let rows = self.written(source, filter, returning.clone());
        Ok((
            Delete {
                table,
                rows,
                returning,
            },
            outputs,
        ))
    }

    /// The written table beside what FROM or USING adds.
    fn joined(&mut self, target: From, others: &[Node]) -> Result<From> {
        if others.is_empty() {
            return Ok(target);
        }
        let between = self.frame().width;
        let right = self.from(others)?;
        let end = self.frame().width;
        Ok(From::Join(Box::new(crate::plan::Join {
            kind: JoinKind::Inner,
            left: target,
            right,
            left_slots: 0..between,
            right_slots: between..end,
            equal: Vec::new(),
            on: Vec::new(),
            lateral: false,
        })))
    }

    /// The rows of an UPDATE or DELETE, whole, with the document of the table at slot 0.
    fn written(&mut self, mut from: From, filter: Vec<Expr>, targets: Vec<Expr>) -> Select {
        super::select::mark_whole(&mut from, &[0]);
        let mut select = Select {
            width: self.frame().width,
            from,
            filter,
            group: None,
            visible: 0,
            types: Vec::new(),
            targets,
            distinct: Distinct::No,
            tail: Tail::default(),
            locking: None,
        };
        self.needs(&mut select);
        need_all(&mut select.from, self);
        select
    }

    fn add_plain(&mut self, outputs: Vec<Output>) -> Result<()> {
        self.add_named("", outputs)
    }
}

/// Of the written table every column is needed: the rules look at the whole row.
fn need_all(from: &mut From, binder: &Binder<'_>) {
    match from {
        From::Scan(scan) if scan.base == 0 => {
            scan.needed = (0..binder.catalog.tables[scan.table].columns.len()).collect();
        }
        From::Join(join) => {
            need_all(&mut join.left, binder);
        }
        From::Nothing | From::Scan(_) | From::System(_) | From::Query(_) | From::Function(_) => {}
    }
}

/// As many values as columns; without a list of columns, fewer. `places` are those of the values.
fn check_count(columns: &[usize], listed: &[Node], given: usize, places: &[usize]) -> Result<()> {
    if given > columns.len() {
        let at = places.get(columns.len()).copied().unwrap_or_default();
        return Err(Error::new("42601", "INSERT has more expressions than target columns").at(at));
    }
    if let Some(NodeEnum::ResTarget(target)) = listed.get(given).and_then(|node| node.node.as_ref())
    {
        return Err(
            Error::new("42601", "INSERT has more target columns than expressions")
                .at(place(target.location)),
        );
    }
    Ok(())
}

fn several() -> Error {
    Error::new(
        "0A000",
        "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression",
    )
}

/// Something of the catalog that cannot be evaluated here.
fn unusable(error: &Error, what: &str, name: &str) -> Error {
    Error::unsupported(format!("the {what} of \"{name}\"")).detail(error.message.clone())
}
