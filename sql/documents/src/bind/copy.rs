//! COPY.

use crossfade_store::postgres::sql::{quote_ident, quote_name};
use crossfade_values::{Error, Oid, Result};
use pg_query::{Node, NodeEnum, protobuf::CopyStmt};

use super::{Binder, Output, Rules, Statement, boxed, inner, names};
use crate::{
    copy::{Force, Format, Options},
    expr::Expr,
    plan::Query,
};

use crossfade_values::resolve::Volatility;

/// `COPY … FROM STDIN`.
#[derive(Debug)]
pub(crate) struct CopyFrom {
    pub(crate) table: usize,
    /// Columns of the data.
    pub(crate) columns: Vec<usize>,
    pub(crate) options: Options,
    /// By `columns`.
    pub(crate) force_not_null: Vec<bool>,
    /// By `columns`.
    pub(crate) force_null: Vec<bool>,
    /// Values of the other columns, by column.
    pub(crate) defaults: Vec<Expr>,
    pub(crate) rules: Rules,
    pub(crate) filter: Option<Expr>,
    /// PostgreSQL would insert its rows one by one, and tell of a duplicate before it reads on.
    pub(crate) single: bool,
}

/// `COPY … TO STDOUT`.
#[derive(Debug)]
pub(crate) struct CopyTo {
    /// A query.
    pub(crate) statement: Statement,
    pub(crate) options: Options,
    pub(crate) columns: Vec<(String, Oid)>,
    /// Columns that FORCE_QUOTE names.
    pub(crate) quoted: Vec<bool>,
}

/// What the next COPY FROM or TRUNCATE gives back of each row that it writes.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    pub(crate) table: usize,
    pub(crate) returning: Vec<Expr>,
    pub(crate) outputs: Vec<Output>,
}

impl Binder<'_> {
    pub(super) fn copy(&mut self, copy: &CopyStmt) -> Result<Statement> {
        if copy.is_program || !copy.filename.is_empty() {
            let refused = Error::unsupported("COPY from or to a file or program of the server");
            return Err(refused.hint("use COPY FROM STDIN or COPY TO STDOUT"));
        }
        if copy.is_from {
            let copy = self.copy_from(copy)?;
            return Ok(Statement::CopyFrom(Box::new(copy)));
        }
        self.copy_to(copy)
    }

    fn copied_table(&self, copy: &CopyStmt) -> Result<usize> {
        let range = copy.relation.as_ref();
        let range = range.ok_or_else(|| Error::unsupported("this form of COPY"))?;
        self.relation(range)
    }

    /// The columns that a COPY names, or all but generated ones (`CopyGetAttnums`).
    fn copied_columns(&self, table: usize, list: &[Node]) -> Result<Vec<usize>> {
        let of = &self.catalog.tables[table];
        if list.is_empty() {
            if let Some(dropped) = of.map.dropped.first() {
                let told = format!("column \"{dropped}\" is not carried to the documents");
                return Err(Error::new("0A000", told).hint("name the columns"));
            }
            let given = |column: &usize| !of.map.columns[*column].old.generated;
            return Ok((0..of.columns.len()).filter(given).collect());
        }
        let mut columns = Vec::new();
        for name in names(list) {
            let column = self.copied_column(table, name)?;
            if of.map.columns[column].old.generated {
                let told = format!("column \"{name}\" is a generated column");
                return Err(
                    Error::new("42P10", told).detail("Generated columns cannot be used in COPY.")
                );
            }
            if columns.contains(&column) {
                let told = format!("column \"{name}\" specified more than once");
                return Err(Error::new("42701", told));
            }
            columns.push(column);
        }
        Ok(columns)
    }

    fn copied_column(&self, table: usize, name: &str) -> Result<usize> {
        let of = &self.catalog.tables[table];
        of.column(name).ok_or_else(|| match of.has_dropped(name) {
            true => Error::new(
                "0A000",
                format!("column \"{name}\" is not carried to the documents"),
            ),
            false => Error::new(
                "42703",
                format!(
                    "column \"{name}\" of relation \"{}\" does not exist",
                    of.name()
                ),
            ),
        })
    }

    /// Which columns an option names.
    fn forced(
        &self,
        table: usize,
        columns: &[usize],
        force: Option<&Force>,
        word: &str,
    ) -> Result<Vec<bool>> {
        let named = match force {
            None => return Ok(vec![false; columns.len()]),
            Some(Force::All) => return Ok(vec![true; columns.len()]),
            Some(Force::Named(named)) => named,
        };
        let mut forced = vec![false; columns.len()];
        for name in named {
            let column = self.copied_column(table, name)?;
            let place = columns.iter().position(|known| *known == column);
            let told = || format!("{word} column \"{name}\" not referenced by COPY");
            forced[place.ok_or_else(|| Error::new("42P10", told()))?] = true;
        }
        Ok(forced)
    }

    fn copy_from(&mut self, copy: &CopyStmt) -> Result<CopyFrom> {
        let table = self.copied_table(copy)?;
        let filter = match copy.where_clause.as_deref() {
            Some(clause) => Some(self.copy_filter(table, clause)?),
            None => None,
        };
        let columns = self.copied_columns(table, &copy.attlist)?;
        let options = Options::read(copy, self.session.server_version_num)?;
        no_images(&options)?;
        self.writable(table)?;
        let not_null = options.force_not_null.as_ref();
        let force_not_null = self.forced(table, &columns, not_null, "FORCE_NOT_NULL")?;
        let null = options.force_null.as_ref();
        let force_null = self.forced(table, &columns, null, "FORCE_NULL")?;
        let defaults = self.defaults(table)?;
        let rules = self.rules(table)?;
        let missing = (0..defaults.len()).filter(|column| !columns.contains(column));
        let mut computed = missing.map(|column| &defaults[column]).chain(&filter);
        let single = computed.any(is_volatile);
        Ok(CopyFrom {
            table,
            columns,
            options,
            force_not_null,
            force_null,
            defaults,
            rules,
            filter,
            single,
        })
    }

    /// WHERE, over a row of the table.
    fn copy_filter(&mut self, table: usize, clause: &Node) -> Result<Expr> {
        let outputs = self.outputs_of(table);
        self.push_frame();
        self.frame().clause = "WHERE";
        let name = self.catalog.tables[table].name().to_owned();
        let understood = self
            .add_named(&name, outputs)
            .and_then(|()| self.expr(inner(clause)?))
            .and_then(|typed| self.condition(typed, "WHERE"));
        self.pop_frame();
        let filter = understood?;
        let mut subs = Vec::new();
        filter.subs(&mut subs);
        match subs.is_empty() {
            true => Ok(filter),
            false => Err(Error::new(
                "0A000",
                "cannot use subquery in COPY FROM WHERE condition",
            )),
        }
    }

    fn copy_to(&mut self, copy: &CopyStmt) -> Result<Statement> {
        let Some(query) = &copy.query else {
            return self.copy_table(copy);
        };
        let options = Options::read(copy, self.session.server_version_num)?;
        match inner(query)? {
            NodeEnum::SelectStmt(select) => {
                let (query, outputs) = self.query(select)?;
                copied_query(query, &outputs, options)
            }
            NodeEnum::InsertStmt(insert) if options.format == Format::Images => {
                let (insert, outputs) = self.insert(insert)?;
                Ok(images(insert.table, insert.returning, outputs))
            }
            NodeEnum::DeleteStmt(delete) if options.format == Format::Images => {
                let (delete, outputs) = self.delete(delete)?;
                Ok(images(delete.table, delete.returning, outputs))
            }
            _ => Err(Error::unsupported("COPY of a statement that writes")),
        }
    }

    fn copy_table(&mut self, copy: &CopyStmt) -> Result<Statement> {
        let table = self.copied_table(copy)?;
        let columns = self.copied_columns(table, &copy.attlist)?;
        let options = Options::read(copy, self.session.server_version_num)?;
        let quote = options.force_quote.as_ref();
        let quoted = self.forced(table, &columns, quote, "FORCE_QUOTE")?;
        let of = &self.catalog.tables[table];
        let list: Vec<String> = columns
            .iter()
            .map(|&column| quote_ident(&of.columns[column].name))
            .collect();
        let sql = format!(
            "SELECT {} FROM {}",
            list.join(", "),
            quote_name(&of.map.old.name)
        );
        let parsed =
            pg_query::parse(&sql, pg_query::ParserOptions::DEFAULT).map_err(Error::unsupported)?;
        let statement = parsed.protobuf.stmts.into_iter().next();
        let statement = statement.and_then(|raw| raw.stmt);
        let NodeEnum::SelectStmt(select) = boxed(&statement)? else {
            return Err(Error::unsupported("this form of COPY"));
        };
        let (query, outputs) = self.query(select)?;
        match copied_query(query, &outputs, options)? {
            Statement::CopyTo(copy) => Ok(Statement::CopyTo(Box::new(CopyTo { quoted, ..*copy }))),
            other => Ok(other),
        }
    }
}

/// The proxy's own format is for statements that write, and is none of data.
fn no_images(options: &Options) -> Result<()> {
    if options.format == Format::Images {
        let told = "COPY format \"crossfade_images\" not recognized";
        return Err(Error::new("22023", told));
    }
    Ok(())
}

fn copied_query(query: Query, outputs: &[Output], options: Options) -> Result<Statement> {
    no_images(&options)?;
    let forced = |output: &Output| match &options.force_quote {
        None => false,
        Some(Force::All) => true,
        Some(Force::Named(names)) => names.contains(&output.name),
    };
    let quoted = outputs.iter().map(forced).collect();
    if let Some(Force::Named(names)) = &options.force_quote
        && let Some(missing) = names
            .iter()
            .find(|name| outputs.iter().all(|output| output.name != **name))
    {
        let told = format!("column \"{missing}\" does not exist");
        return Err(Error::new("42703", told));
    }
    Ok(Statement::CopyTo(Box::new(CopyTo {
        statement: Statement::Query(query),
        columns: outputs
            .iter()
            .map(|output| (output.name.clone(), output.ty.oid))
            .collect(),
        quoted,
        options,
    })))
}

fn images(table: usize, returning: Vec<Expr>, outputs: Option<Vec<Output>>) -> Statement {
    Statement::Images(Images {
        table,
        returning,
        outputs: outputs.unwrap_or_default(),
    })
}

/// Whether it may give another value at each call. The next value of a sequence does not count, as with PostgreSQL.
fn is_volatile(expr: &Expr) -> bool {
    let mut volatile = false;
    expr.walk(&mut |expr| {
        if let Expr::Call(callable, _) = expr {
            volatile |= callable.volatility == Volatility::Volatile;
        }
    });
    volatile
}
