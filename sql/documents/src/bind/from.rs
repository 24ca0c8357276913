//! FROM: what the names of a query mean, and where its rows come from.

use std::ops::Range;

use crossfade_values::{Error, Result, Type};
use pg_query::{
    Node, NodeEnum,
    protobuf::{Alias, RangeSubselect, RangeVar},
};

use super::{Binder, Named, Output, Relation, boxed, inner, names, place};
use crate::{
    expr::{Expr, Typed},
    plan::{From, Join, JoinKind, Scan, SubQuery, SystemScan},
    system,
};

impl Binder<'_> {
    /// All of a FROM list.
    pub(super) fn from(&mut self, items: &[Node]) -> Result<From> {
        let mut all: Option<(From, Range<usize>)> = None;
        for item in items {
            let start = self.frame().width;
            let (from, lateral) = self.item_of_from(inner(item)?)?;
            let slots = start..self.frame().width;
            all = Some(match all {
                None => (from, slots),
                Some((left, left_slots)) => {
                    let whole = left_slots.start..slots.end;
                    let join = Join {
                        kind: JoinKind::Inner,
                        left,
                        right: from,
                        left_slots,
                        right_slots: slots,
                        equal: Vec::new(),
                        on: Vec::new(),
                        lateral,
                    };
                    (From::Join(Box::new(join)), whole)
                }
            });
        }
        Ok(all.map_or(From::Nothing, |(from, _)| from))
    }

    /// One item; whether it looks at what stands to its left.
    pub(super) fn item_of_from(&mut self, node: &NodeEnum) -> Result<(From, bool)> {
        match node {
            NodeEnum::RangeVar(range) => Ok((self.range(range)?, false)),
            NodeEnum::RangeSubselect(sub) => self.range_query(sub),
            NodeEnum::RangeFunction(function) => self.range_function(function),
            NodeEnum::JoinExpr(join) => Ok((self.join(join)?, false)),
            other => Err(Error::unsupported(super::kind_of(other))),
        }
    }

    fn range(&mut self, range: &RangeVar) -> Result<From> {
        let at = place(range.location);
        let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
        if schema.is_none()
            && let Some(cte) = self
                .ctes
                .iter()
                .rev()
                .find(|cte| cte.name == range.relname)
                .cloned()
        {
            let Some(outputs) = cte.outputs else {
                let told = format!(
                    "WITH query \"{}\" does not have a RETURNING clause",
                    cte.name
                );
                return Err(Error::new("0A000", told).at(at));
            };
            for id in cte.reads {
                if !self.reads.contains(&id) {
                    self.reads.push(id);
                }
            }
            let name = alias_of(range.alias.as_ref(), &range.relname);
            let width = outputs.len();
            let base = self.add(name, None, outputs, range.alias.as_ref(), None)?;
            return Ok(From::Query(SubQuery {
                width,
                query: cte.query,
                base,
                filters: Vec::new(),
                cte: Some(cte.id),
            }));
        }
        if let Some(table) = self
            .catalog
            .table(schema, &range.relname, &self.session.schemas)
        {
            return self.scan(table, range);
        }
        if let Some(system) = system::table(schema, &range.relname) {
            let outputs = system
                .columns
                .iter()
                .map(|(name, ty)| output(name, system::type_of(name, *ty), true));
            let name = alias_of(range.alias.as_ref(), &range.relname);
            let base = self.add(
                name,
                Some(system.schema.to_owned()),
                outputs.collect(),
                range.alias.as_ref(),
                None,
            )?;
            if let Some(added) = self.frame().relations.last_mut() {
                added.system = true;
            }
            return Ok(From::System(SystemScan {
                name: system.name,
                base,
                filters: Vec::new(),
            }));
        }
        let full = match schema {
            Some(schema) => format!("{schema}.{}", range.relname),
            None => range.relname.clone(),
        };
        if system::is_catalog(schema, &range.relname) {
            return Err(Error::unsupported(format!("the catalog \"{full}\"")).at(at));
        }
        Err(Error::new("42P01", format!("relation \"{full}\" does not exist")).at(at))
    }

    fn scan(&mut self, table: usize, range: &RangeVar) -> Result<From> {
        self.scanned.insert(table);
        let name = alias_of(range.alias.as_ref(), &range.relname);
        let outputs = self.outputs_of(table);
        let width = outputs.len();
        let schema = range
            .alias
            .is_none()
            .then(|| self.catalog.tables[table].schema().to_owned());
        let base = self.add(name, schema, outputs, range.alias.as_ref(), Some(table))?;
        // One slot more, for the document itself.
        self.frame().width = base + width + 1;
        Ok(From::Scan(Scan {
            table,
            base,
            needed: Vec::new(),
            filters: Vec::new(),
            whole: false,
        }))
    }

    /// A table's columns as answers have them.
    pub(super) fn outputs_of(&self, table: usize) -> Vec<Output> {
        let table = &self.catalog.tables[table];
        let outputs = table.columns.iter().map(|column| Output {
            name: column.name.clone(),
            ty: column.base,
            declared: column.declared,
            table: table.map.old.oid,
            number: column.number,
            by_bytes: column.by_bytes,
            at: 0,
            literal: false,
        });
        outputs.collect()
    }

    /// Gives a relation its slots; the first of them.
    pub(super) fn add(
        &mut self,
        name: String,
        schema: Option<String>,
        outputs: Vec<Output>,
        alias: Option<&Alias>,
        table: Option<usize>,
    ) -> Result<usize> {
        let renamed = alias
            .map(|alias| names(&alias.colnames))
            .unwrap_or_default();
        let frame = self.frame();
        if frame
            .relations
            .iter()
            .any(|relation| !relation.unnamed && relation.name == name && relation.schema == schema)
        {
            return Err(Error::new(
                "42712",
                format!("table name \"{name}\" specified more than once"),
            ));
        }
        if renamed.len() > outputs.len() {
            return Err(Error::new(
                "42P10",
                format!(
                    "table \"{name}\" has {} columns available but {} columns specified",
                    outputs.len(),
                    renamed.len()
                ),
            ));
        }
        let base = frame.width;
        frame.width += outputs.len();
        let columns = outputs.into_iter().enumerate().map(|(index, output)| {
            let name = renamed
                .get(index)
                .map_or_else(|| output.name.clone(), |name| (*name).to_owned());
            Named {
                column: Typed {
                    expr: Expr::Column(base + index),
                    ty: output.ty,
                    by_bytes: output.by_bytes,
                    at: 0,
                },
                output: Output {
                    name: name.clone(),
                    ..output
                },
                name,
                merged: false,
            }
        });
        frame.relations.push(Relation {
            name,
            schema,
            columns: columns.collect(),
            table,
            base,
            unnamed: false,
            system: false,
        });
        Ok(base)
    }

    /// A relation without anything behind it: `excluded`, or the row that a check looks at.
    pub(super) fn add_named(&mut self, name: &str, outputs: Vec<Output>) -> Result<()> {
        self.add(name.to_owned(), None, outputs, None, None)
            .map(drop)
    }

    /// The target of an UPDATE or DELETE, as the first relation.
    pub(super) fn target(&mut self, range: &RangeVar) -> Result<(usize, From)> {
        let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
        match self
            .catalog
            .table(schema, &range.relname, &self.session.schemas)
        {
            Some(table) => Ok((table, self.scan(table, range)?)),
            None => Err(Error::new(
                "42P01",
                format!("relation \"{}\" does not exist", range.relname),
            )
            .at(place(range.location))),
        }
    }

    fn range_query(&mut self, sub: &RangeSubselect) -> Result<(From, bool)> {
        let NodeEnum::SelectStmt(select) = boxed(&sub.subquery)? else {
            return Err(Error::unsupported("this form of a sub-query"));
        };
        let hidden = std::mem::replace(&mut self.frame().hidden, !sub.lateral);
        let understood = self.query(select);
        self.frame().hidden = hidden;
        let (query, outputs) = understood?;
        let mut lateral = false;
        query.outer_columns(1, &mut |_| lateral = true);
        let alias = sub.alias.as_ref();
        let name = alias.map_or_else(
            || "unnamed_subquery".to_owned(),
            |alias| alias.aliasname.clone(),
        );
        let width = outputs.len();
        let base = self.add(name, None, outputs, alias, None)?;
        if alias.is_none()
            && let Some(relation) = self.frame().relations.last_mut()
        {
            relation.unnamed = true;
        }
        Ok((
            From::Query(SubQuery {
                query,
                base,
                width,
                filters: Vec::new(),
                cte: None,
            }),
            lateral,
        ))
    }
}

pub(super) fn alias_of(alias: Option<&Alias>, name: &str) -> String {
    alias.map_or_else(|| name.to_owned(), |alias| alias.aliasname.clone())
}

pub(super) fn output(name: &str, ty: Type, by_bytes: bool) -> Output {
    Output::plain(name, ty, by_bytes, 0)
}
