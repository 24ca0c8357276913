//! What the name of a column means.

use crossfade_values::{Error, Result};

use super::{Binder, Frame, Named, Output, Relation};
use crate::expr::{Expr, Typed};

impl Binder<'_> {
    /// A column by its name.
    pub(super) fn find(
        &mut self,
        schema: Option<&str>,
        relation: Option<&str>,
        name: &str,
        at: usize,
    ) -> Result<Typed> {
        // The level of the nearest relation of this name: it hides those further out, also where it has no such column.
        let mut seen = None;
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
                Found::Relation => seen = relation.and(Some(level)),
                Found::Nothing => {}
            }
            dropped |= frame
                .relations
                .iter()
                .filter_map(|relation| relation.table)
                .any(|table| self.catalog.tables[table].has_dropped(name));
            if seen.is_some() {
                break;
            }
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
        Err(match (relation, seen) {
            (Some(relation), Some(level)) => self.hidden(relation, name, level),
            (Some(relation), None) => self.missing(relation),
            (None, _) => Error::new("42703", format!("column \"{name}\" does not exist")),
        }
        .at(at))
    }

    /// A column that the relation of this name, `level` queries further out, has not (`errorMissingColumn`).
    fn hidden(&self, relation: &str, name: &str, level: usize) -> Error {
        let error = Error::new("42703", format!("column {relation}.{name} does not exist"));
        let mut further = self.scopes.iter().rev().skip(level + 1);
        let has = |known: &Relation| {
            !known.unnamed
                && known.name == relation
                && known.columns.iter().any(|column| column.name == name)
        };
        if !further.any(|frame| frame.relations.iter().any(has)) {
            return error;
        }
        error.hint(format!("There is a column named \"{name}\" in table \"{relation}\", but it cannot be referenced from this part of the query."))
    }

    /// A name that no relation has here (`errorMissingRTE`).
    fn missing(&self, name: &str) -> Error {
        let invalid = || {
            Error::new(
                "42P01",
                format!("invalid reference to FROM-clause entry for table \"{name}\""),
            )
        };
        if self
            .scopes
            .iter()
            .any(|frame| frame.gone.iter().any(|gone| gone == name))
        {
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
