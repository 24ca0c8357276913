//! FROM: what the names of a query mean, and where its rows come from.

use std::ops::Range;

use crossfade_values::{Error, Result, Type, format, oid};
use pg_query::{
    Node, NodeEnum,
    protobuf::{Alias, JoinExpr, JoinType, RangeFunction, RangeSubselect, RangeVar},
};

use super::{Binder, Frame, Named, Output, Relation, boxed, inner, names, place};
use crate::{
    expr::{Expr, Typed},
    plan::{From, FunctionScan, Join, JoinKind, RowsOf, Scan, SubQuery, SystemScan},
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
    fn item_of_from(&mut self, node: &NodeEnum) -> Result<(From, bool)> {
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
            let name = alias_of(range.alias.as_ref(), &range.relname);
            let base = self.add(name, None, cte.outputs.clone(), range.alias.as_ref(), None)?;
            return Ok(From::Query(SubQuery {
                width: cte.outputs.len(),
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
    fn add(
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

    fn range_function(&mut self, range: &RangeFunction) -> Result<(From, bool)> {
        let [function] = &range.functions[..] else {
            return Err(Error::unsupported("ROWS FROM"));
        };
        if !range.coldeflist.is_empty() {
            return Err(Error::unsupported(
                "a function with a column definition list",
            ));
        }
        let function = match inner(function)? {
            NodeEnum::List(list) => list.items.first().and_then(|node| node.node.as_ref()),
            other => Some(other),
        };
        let Some(function) = function else {
            return Err(Error::unsupported("this form of a function in FROM"));
        };
        let (name, kind, args, ty) = self.row_function(function)?;
        let mut outputs = vec![output(&name, ty, true)];
        let alias = range.alias.as_ref();
        let relation = alias.map_or_else(|| name.clone(), |alias| alias.aliasname.clone());
        // A function of one plain column names it after its alias.
        outputs[0].name.clone_from(&relation);
        if range.ordinality {
            outputs.push(output("ordinality", Type::of(oid::INT8), true));
        }
        let base = self.add(relation, None, outputs, alias, None)?;
        let mut lateral = false;
        for arg in &args {
            arg.columns(&mut |_| lateral = true);
            // Its rows further out would have to move out as well.
            let mut subs = Vec::new();
            arg.subs(&mut subs);
            if subs.iter().any(|sub| sub.looks_outward()) {
                return Err(Error::unsupported(
                    "a sub-query over other rows as an argument of a function in FROM",
                ));
            }
        }
        // What its arguments look at is the row so far, which to a source in FROM is one query further out.
        let args = args.into_iter().map(|arg| outward(arg, 1)).collect();
        let scan = FunctionScan {
            kind,
            args,
            base,
            ordinality: range.ordinality,
            filters: Vec::new(),
        };
        Ok((From::Function(scan), lateral))
    }

    /// A function that gives rows: its name, its kind, its arguments, and the type of its column.
    fn row_function(&mut self, function: &NodeEnum) -> Result<(String, RowsOf, Vec<Expr>, Type)> {
        if let NodeEnum::FuncCall(call) = function {
            let at = place(call.location);
            let name = names(&call.funcname)
                .last()
                .copied()
                .unwrap_or_default()
                .to_owned();
            match name.as_str() {
                "unnest" if call.args.len() == 1 => {
                    let arg = self.exprs(&call.args)?.remove(0);
                    let element =
                        format::element_of(arg.ty.oid, &self.catalog.types).ok_or_else(|| {
                            Error::new(
                                "42883",
                                format!(
                                    "function unnest({}) does not exist",
                                    self.type_name(arg.ty.oid)
                                ),
                            )
                            .at(at)
                        })?;
                    return Ok((name, RowsOf::Unnest, vec![arg.expr], Type::of(element)));
                }
                "generate_series" => {
                    let args = self.exprs(&call.args)?;
                    let small = args
                        .iter()
                        .all(|arg| matches!(arg.ty.oid, oid::INT4 | oid::INT2 | oid::UNKNOWN));
                    let ty = Type::of(if small { oid::INT4 } else { oid::INT8 });
                    let whole = |arg: &Typed| {
                        matches!(arg.ty.oid, oid::INT4 | oid::INT2 | oid::INT8 | oid::UNKNOWN)
                    };
                    if !(2..=3).contains(&args.len()) || !args.iter().all(whole) {
                        return Err(Error::unsupported(
                            "generate_series() over anything but integers",
                        )
                        .at(at));
                    }
                    let args = args
                        .into_iter()
                        .map(|arg| self.coerce(arg, ty, crossfade_values::cast::Context::Implicit))
                        .collect::<Result<Vec<_>>>()?;
                    return Ok((name, RowsOf::Series, args, ty));
                }
                "pg_listening_channels" => {
                    return Ok((name, RowsOf::Channels, Vec::new(), Type::of(oid::TEXT)));
                }
                _ => {}
            }
        }
        let name = super::figure::name(function);
        let value = self.expr(function)?;
        let value = self.settle(value)?;
        Ok((name, RowsOf::Value, vec![value.expr], value.ty))
    }

    fn join(&mut self, join: &JoinExpr) -> Result<From> {
        if join.alias.is_some() || join.join_using_alias.is_some() {
            return Err(Error::unsupported("an alias of a join"));
        }
        let kind = match join.jointype() {
            JoinType::JoinInner => JoinKind::Inner,
            JoinType::JoinLeft => JoinKind::Left,
            JoinType::JoinRight => JoinKind::Right,
            JoinType::JoinFull => JoinKind::Full,
            _ => return Err(Error::unsupported("this kind of join")),
        };
        let (first, start) = (self.frame().relations.len(), self.frame().width);
        let (left, _) = self.item_of_from(boxed(&join.larg)?)?;
        let (middle, between) = (self.frame().relations.len(), self.frame().width);
        let (right, lateral) = self.item_of_from(boxed(&join.rarg)?)?;
        let end = self.frame().width;
        let mut made = Join {
            kind,
            left,
            right,
            left_slots: start..between,
            right_slots: between..end,
            equal: Vec::new(),
            on: Vec::new(),
            lateral,
        };
        let using: Vec<String> = if join.is_natural {
            self.natural(first, middle)
        } else {
            names(&join.using_clause)
                .into_iter()
                .map(str::to_owned)
                .collect()
        };
        let mut conditions = Vec::new();
        if !using.is_empty() {
            conditions = self.using(kind, &using, first, middle)?;
        } else if let Some(quals) = &join.quals {
            self.frame().clause = "JOIN conditions";
            let condition = self.expr(inner(quals)?)?;
            split(self.condition(condition, "JOIN/ON")?, &mut conditions);
        }
        for condition in conditions {
            offer_on(&mut made, condition);
        }
        Ok(From::Join(Box::new(made)))
    }

    /// Names that both sides of a NATURAL join have.
    fn natural(&mut self, first: usize, middle: usize) -> Vec<String> {
        let frame = self.frame();
        let visible = |relations: &[Relation]| -> Vec<String> {
            let columns = relations.iter().flat_map(|relation| &relation.columns);
            columns
                .filter(|column| !column.merged)
                .map(|column| column.name.clone())
                .collect()
        };
        let right = visible(&frame.relations[middle..]);
        let left = visible(&frame.relations[first..middle]);
        left.into_iter()
            .filter(|name| right.contains(name))
            .collect()
    }

    /// USING: conditions, and the merged columns as a relation of their own in front.
    fn using(
        &mut self,
        kind: JoinKind,
        names: &[String],
        first: usize,
        middle: usize,
    ) -> Result<Vec<Expr>> {
        let (mut conditions, mut merged) = (Vec::new(), Vec::new());
        for name in names {
            let end = self.frame().relations.len();
            let left = self.take_merged(name, first..middle, "left")?;
            let right = self.take_merged(name, middle..end, "right")?;
            let equal = self.op("=", left.column.clone(), right.column.clone(), 0)?;
            conditions.push(equal.expr);
            let (items, ty, by_bytes) = self.common(
                vec![left.column.clone(), right.column.clone()],
                "JOIN/USING",
            )?;
            // An inner join takes the side that needs no cast (`buildMergedJoinVar`).
            let takes_right = match kind {
                JoinKind::Inner => left.column.ty.oid != ty.oid && right.column.ty.oid == ty.oid,
                JoinKind::Right => true,
                JoinKind::Left | JoinKind::Full => false,
            };
            let whose = if takes_right { right } else { left };
            let same = whose.column.ty.oid == ty.oid;
            let typed = |expr| Typed {
                expr,
                ty,
                by_bytes,
                at: 0,
            };
            let mut items = items;
            let (column, output) = match kind {
                JoinKind::Full => (typed(Expr::Coalesce(items)), output(name, ty, by_bytes)),
                _ if same => (whose.column, whose.output),
                _ => (
                    typed(items.swap_remove(usize::from(takes_right))),
                    output(name, ty, by_bytes),
                ),
            };
            merged.push(Named {
                name: name.clone(),
                column,
                output,
                merged: false,
            });
        }
        let relation = Relation {
            name: String::new(),
            schema: None,
            columns: merged,
            table: None,
            base: 0,
            unnamed: true,
            system: false,
        };
        self.frame().relations.insert(first, relation);
        Ok(conditions)
    }

    fn take_merged(&mut self, name: &str, relations: Range<usize>, side: &str) -> Result<Named> {
        let mut found = None;
        for relation in &mut self.frame().relations[relations] {
            for column in relation
                .columns
                .iter_mut()
                .filter(|column| !column.merged && column.name == name)
            {
                if found.is_some() {
                    return Err(Error::new(
                        "42702",
                        format!(
                            "common column name \"{name}\" appears more than once in {side} table"
                        ),
                    ));
                }
                found = Some(column.clone());
                column.merged = true;
            }
        }
        found.ok_or_else(|| {
            Error::new(
                "42703",
                format!(
                    "column \"{name}\" specified in USING clause does not exist in {side} table"
                ),
            )
        })
    }

    /// A column by its name.
    pub(super) fn find(
        &mut self,
        schema: Option<&str>,
        relation: Option<&str>,
        name: &str,
        at: usize,
    ) -> Result<Typed> {
        let mut seen = false;
        let mut dropped = false;
        for (level, frame) in self.scopes.iter().rev().enumerate() {
            if frame.hidden && level > 0 {
                continue;
            }
            match find_in(frame, schema, relation, name, at)? {
                Found::Column(column) => {
                    let mut typed = column;
                    typed.at = at;
                    if level > 0 {
                        typed.expr = outward(typed.expr, level);
                    }
                    return Ok(typed);
                }
                Found::Relation => seen = true,
                Found::Nothing => {}
            }
            dropped |= frame
                .relations
                .iter()
                .filter_map(|relation| relation.table)
                .any(|table| self.catalog.tables[table].has_dropped(name));
        }
        if dropped {
            return Err(Error::new(
                "0A000",
                format!("column \"{name}\" is not carried to the documents"),
            )
            .at(at));
        }
        let is_relation = |known: &Relation| !known.unnamed && known.name == name;
        if relation.is_none()
            && self
                .scopes
                .iter()
                .flat_map(|frame| &frame.relations)
                .any(is_relation)
        {
            return Err(Error::unsupported("a whole row as a value").at(at));
        }
        if SYSTEM_COLUMNS.contains(&name)
            && self
                .scopes
                .iter()
                .flat_map(|frame| &frame.relations)
                .any(|relation| relation.table.is_some())
        {
            return Err(Error::unsupported(format!("the system column \"{name}\"")).at(at));
        }
        let asked = |known: &Relation| known.system && relation.is_none_or(|it| known.name == it);
        if self
            .scopes
            .iter()
            .flat_map(|frame| &frame.relations)
            .any(asked)
        {
            let what = format!("the column \"{name}\" of a catalog");
            return Err(Error::unsupported(what).at(at));
        }
        Err(match relation {
            Some(relation) if seen => {
                Error::new("42703", format!("column {relation}.{name} does not exist"))
            }
            Some(relation) => self.missing(relation),
            None => Error::new("42703", format!("column \"{name}\" does not exist")),
        }
        .at(at))
    }

    /// A name that no relation has here (`errorMissingRTE`).
    fn missing(&self, name: &str) -> Error {
        let invalid = || {
            Error::new(
                "42P01",
                format!("invalid reference to FROM-clause entry for table \"{name}\""),
            )
        };
        if self.scopes.iter().any(|frame| frame.gone.contains(&name)) {
            return invalid().hint(format!("There is an entry for table \"{name}\", but it cannot be referenced from this part of the query."));
        }
        let tables = &self.catalog.tables;
        let relations = self.scopes.iter().rev().flat_map(|frame| &frame.relations);
        let mut renamed = relations.filter(|relation| {
            relation
                .table
                .is_some_and(|table| tables[table].name() == name)
        });
        match renamed.next() {
            Some(relation) => invalid().hint(format!(
                "Perhaps you meant to reference the table alias \"{}\".",
                relation.name
            )),
            None => Error::new(
                "42P01",
                format!("missing FROM-clause entry for table \"{name}\""),
            ),
        }
    }

    /// `*` of a table of which a column is not carried would be another answer than PostgreSQL's.
    fn whole_tables(&mut self, relation: Option<&str>, at: usize) -> Result<()> {
        let catalog = self.catalog;
        let named = self.frame().relations.iter();
        let named = named.filter(|known| relation.is_none_or(|name| known.name == name));
        for table in named.filter_map(|known| known.table) {
            if let Some(column) = catalog.tables[table].map.dropped.first() {
                return Err(Error::unsupported(format!(
                    "* of table \"{}\", whose column \"{column}\" is not carried to the documents,",
                    catalog.tables[table].name()
                ))
                .hint("name the columns")
                .at(at));
            }
        }
        Ok(())
    }

    /// `*` or `relation.*`.
    pub(super) fn star(
        &mut self,
        relation: Option<&str>,
        at: usize,
    ) -> Result<Vec<(Typed, Output)>> {
        self.whole_tables(relation, at)?;
        let frame = self.frame();
        let of = |column: &Named| (column.column.clone(), column.output.clone());
        match relation {
            None if frame.relations.is_empty() => {
                Err(Error::new("42601", "SELECT * with no tables specified is not valid").at(at))
            }
            None => {
                let columns = frame
                    .relations
                    .iter()
                    .flat_map(|relation| &relation.columns);
                Ok(columns.filter(|column| !column.merged).map(of).collect())
            }
            Some(name) => match self
                .frame()
                .relations
                .iter()
                .find(|relation| !relation.unnamed && relation.name == name)
            {
                Some(relation) => Ok(relation.columns.iter().map(of).collect()),
                None => Err(self.missing(name).at(at)),
            },
        }
    }
}

/// Columns that PostgreSQL gives to every table.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

enum Found {
    Column(Typed),
    /// The relation is there, the column is not.
    Relation,
    Nothing,
}

fn find_in(
    frame: &Frame,
    schema: Option<&str>,
    relation: Option<&str>,
    name: &str,
    at: usize,
) -> Result<Found> {
    let mut found: Option<&Named> = None;
    let mut seen = false;
    for known in &frame.relations {
        let named = match relation {
            None => true,
            Some(wanted) => {
                !known.unnamed
                    && known.name == wanted
                    && schema.is_none_or(|schema| known.schema.as_deref() == Some(schema))
            }
        };
        if !named {
            continue;
        }
        seen = true;
        let columns = known.columns.iter();
        for column in
            columns.filter(|column| column.name == name && (relation.is_some() || !column.merged))
        {
            if found.is_some() {
                return Err(Error::new(
                    "42702",
                    format!("column reference \"{name}\" is ambiguous"),
                )
                .at(at));
            }
            found = Some(column);
        }
    }
    Ok(match found {
        Some(column) => Found::Column(column.column.clone()),
        None if seen => Found::Relation,
        None => Found::Nothing,
    })
}

/// The same, seen from `level` queries further in.
pub(super) fn outward(mut expr: Expr, level: usize) -> Expr {
    fn shift(expr: &mut Expr, level: usize) {
        match expr {
            Expr::Column(slot) => *expr = Expr::Outer(level, *slot),
            Expr::Outer(out, _) => *out += level,
            other => other.each_mut(&mut |inner| shift(inner, level)),
        }
    }
    shift(&mut expr, level);
    expr
}

fn alias_of(alias: Option<&Alias>, name: &str) -> String {
    alias.map_or_else(|| name.to_owned(), |alias| alias.aliasname.clone())
}

fn output(name: &str, ty: Type, by_bytes: bool) -> Output {
    Output::plain(name, ty, by_bytes, 0)
}

/// Cuts a condition at its ANDs.
pub(super) fn split(condition: Expr, out: &mut Vec<Expr>) {
    match condition {
        Expr::And(items) => items.into_iter().for_each(|item| split(item, out)),
        other => out.push(other),
    }
}

/// Puts a condition of WHERE as near to the rows as it may go; gives it back where it has to stay.
pub(super) fn offer(from: &mut From, condition: Expr) -> Option<Expr> {
    let mut slots = Vec::new();
    condition.columns(&mut |slot| slots.push(slot));
    let mut subs = Vec::new();
    condition.subs(&mut subs);
    if slots.is_empty() || subs.iter().any(|sub| sub.correlated) {
        return Some(condition);
    }
    offer_slots(from, condition, &slots)
}

fn within(slots: &[usize], range: &Range<usize>) -> bool {
    slots.iter().all(|slot| range.contains(slot))
}

fn offer_slots(from: &mut From, condition: Expr, slots: &[usize]) -> Option<Expr> {
    match from {
        From::Nothing => Some(condition),
        From::Scan(scan) => {
            scan.filters.push(condition);
            None
        }
        From::System(scan) => {
            scan.filters.push(condition);
            None
        }
        From::Query(sub) => {
            sub.filters.push(condition);
            None
        }
        From::Function(function) => {
            function.filters.push(condition);
            None
        }
        From::Join(join) => match join.kind {
            JoinKind::Inner => {
                offer_on(join, condition);
                None
            }
            JoinKind::Left if within(slots, &join.left_slots) => {
                offer_slots(&mut join.left, condition, slots)
            }
            JoinKind::Right if within(slots, &join.right_slots) => {
                offer_slots(&mut join.right, condition, slots)
            }
            JoinKind::Left | JoinKind::Right | JoinKind::Full => Some(condition),
        },
    }
}

/// Puts a condition of ON, or one that means the same, where it belongs.
fn offer_on(join: &mut Join, condition: Expr) {
    let mut slots = Vec::new();
    condition.columns(&mut |slot| slots.push(slot));
    let mut subs = Vec::new();
    condition.subs(&mut subs);
    if slots.is_empty() || subs.iter().any(|sub| sub.correlated) {
        join.on.push(condition);
        return;
    }
    // A side whose rows appear without a partner keeps what ON refuses.
    let left_keeps = matches!(join.kind, JoinKind::Left | JoinKind::Full);
    let right_keeps = matches!(join.kind, JoinKind::Right | JoinKind::Full);
    let refused = if within(&slots, &join.left_slots) && !left_keeps {
        offer_slots(&mut join.left, condition, &slots)
    } else if within(&slots, &join.right_slots) && !right_keeps {
        offer_slots(&mut join.right, condition, &slots)
    } else {
        Some(condition)
    };
    if let Some(condition) = refused {
        pair(join, condition);
    }
}

/// `left = right`, where each side is of one side of the join.
fn pair(join: &mut Join, condition: Expr) {
    if let Expr::Call(callable, args) = &condition
        && callable.name == "="
        && let [one, other] = &args[..]
        && callable.args.first() == callable.args.get(1)
    {
        let of = |expr: &Expr, range: &Range<usize>| {
            let mut slots = Vec::new();
            expr.columns(&mut |slot| slots.push(slot));
            !slots.is_empty() && within(&slots, range)
        };
        let ty = callable.args[0];
        if of(one, &join.left_slots) && of(other, &join.right_slots) {
            join.equal.push((one.clone(), other.clone(), ty));
            return;
        }
        if of(other, &join.left_slots) && of(one, &join.right_slots) {
            join.equal.push((other.clone(), one.clone(), ty));
            return;
        }
    }
    join.on.push(condition);
}

/// Says of every scan which columns are needed.
pub(super) fn need(
    from: &mut From,
    slots: &std::collections::BTreeSet<usize>,
    widths: &dyn Fn(usize) -> usize,
) {
    match from {
        From::Scan(scan) => {
            let width = widths(scan.table);
            scan.needed = (0..width)
                .filter(|column| slots.contains(&(scan.base + column)))
                .collect();
        }
        From::Join(join) => {
            need(&mut join.left, slots, widths);
            need(&mut join.right, slots, widths);
        }
        From::Nothing | From::System(_) | From::Query(_) | From::Function(_) => {}
    }
}
