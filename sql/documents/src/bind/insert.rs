//! INSERT.

use crossfade_values::{Error, Oid, Result, Type};
use pg_query::{
    Node, NodeEnum,
    protobuf::{InsertStmt, OverridingKind, SelectStmt},
};

use super::{Binder, Conflict, Output, Rules, inner, place};
use crate::{
    expr::{Expr, Typed},
    plan::Query,
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

/// Rows of an INSERT.
#[derive(Debug)]
pub(crate) enum Source {
    /// `None` is DEFAULT.
    Rows(Vec<Vec<Option<Expr>>>),
    /// With the casts of its columns.
    Query(Query, Vec<(Oid, Type)>),
}

impl Binder<'_> {
    pub(super) fn insert(&mut self, insert: &InsertStmt) -> Result<(Insert, Option<Vec<Output>>)> {
        let top = std::mem::take(&mut self.top);
        let known = self.ctes.len();
        if let Some(with) = &insert.with_clause {
            self.with(with, top)?;
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
            self.frame().gone.push("excluded".to_owned());
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

    pub(super) fn insert_columns(&self, table: usize, cols: &[Node]) -> Result<Vec<usize>> {
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
            rows.push(self.given(table, columns, &row.items, overriding)?);
        }
        Ok((columns[..width].to_vec(), Source::Rows(rows)))
    }

    /// The values of a row; `None` is DEFAULT.
    pub(super) fn given(
        &mut self,
        table: usize,
        columns: &[usize],
        items: &[Node],
        overriding: OverridingKind,
    ) -> Result<Vec<Option<Expr>>> {
        let mut values = Vec::with_capacity(items.len());
        for (node, &column) in items.iter().zip(columns) {
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
        Ok(values)
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
}

/// As many values as columns; without a list of columns, fewer. `places` are those of the values.
pub(super) fn check_count(
    columns: &[usize],
    listed: &[Node],
    given: usize,
    places: &[usize],
) -> Result<()> {
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
