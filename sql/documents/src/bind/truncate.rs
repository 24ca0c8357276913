//! TRUNCATE.

use crossfade_values::{Error, Result};
use pg_query::{
    NodeEnum,
    protobuf::{DropBehavior, RangeVar, TruncateStmt},
};

use super::{Binder, inner};
use crate::system;

/// `TRUNCATE`.
#[derive(Debug)]
pub(crate) struct Truncate {
    /// Named, then those that CASCADE adds.
    pub(crate) tables: Vec<usize>,
    /// How many are named.
    pub(crate) named: usize,
    /// RESTART IDENTITY.
    pub(crate) restarts: bool,
}

impl Binder<'_> {
    pub(super) fn truncate(&mut self, truncate: &TruncateStmt) -> Result<Truncate> {
        let mut tables = Vec::new();
        for node in &truncate.relations {
            let NodeEnum::RangeVar(range) = inner(node)? else {
                return Err(Error::unsupported("this form of TRUNCATE"));
            };
            let table = self.relation(range).map_err(|error| {
                let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
                if !system::is_catalog(schema, &range.relname) {
                    return error;
                }
                let name = &range.relname;
                let told = format!("permission denied: \"{name}\" is a system catalog");
                Error::new("42501", told)
            })?;
            if self.catalog.tables[table].map.old.row_security {
                let what = "a write of a table with row-level security";
                return Err(Error::unsupported(what));
            }
            if !tables.contains(&table) {
                tables.push(table);
            }
        }
        let named = tables.len();
        let cascades = truncate.behavior() == DropBehavior::DropCascade;
        let mut at = 0;
        while let Some(&table) = tables.get(at) {
            for child in self.children(table, &tables)? {
                match (cascades, tables.contains(&child)) {
                    (_, true) => {}
                    (true, false) => tables.push(child),
                    (false, false) => {
                        let name = self.catalog.tables[child].name();
                        return Err(self.referenced(table, name));
                    }
                }
            }
            at += 1;
        }
        Ok(Truncate {
            tables,
            named,
            restarts: truncate.restart_seqs,
        })
    }

    /// The table of a name, in a statement that PostgreSQL gives no places for.
    pub(super) fn relation(&self, range: &RangeVar) -> Result<usize> {
        let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
        let path = &self.session.schemas;
        let found = self.catalog.table(schema, &range.relname, path);
        found.ok_or_else(|| {
            let name = match schema {
                Some(schema) => format!("{schema}.{}", range.relname),
                None => range.relname.clone(),
            };
            Error::new("42P01", format!("relation \"{name}\" does not exist"))
        })
    }

    /// Tables with foreign keys to this one, in the order in which PostgreSQL finds them.
    fn children(&self, table: usize, known: &[usize]) -> Result<Vec<usize>> {
        let tables = &self.catalog.tables;
        let mut children = Vec::new();
        for key in &tables[table].map.old.referenced_by {
            let child = tables.iter().position(|of| of.map.old.name == key.child);
            let Some(child) = child else {
                let error = self.referenced(table, &key.child.name);
                return Err(Error {
                    hint: Some(format!("Table \"{}\" is not mapped.", key.child.name)),
                    ..error
                });
            };
            if !known.contains(&child) && !children.contains(&child) {
                children.push(child);
            }
        }
        children.sort_by_key(|child| tables[*child].map.old.oid);
        Ok(children)
    }

    fn referenced(&self, table: usize, child: &str) -> Error {
        let name = self.catalog.tables[table].name();
        Error::new(
            "0A000",
            "cannot truncate a table referenced in a foreign key constraint",
        )
        .detail(format!("Table \"{child}\" references \"{name}\"."))
        .hint(format!(
            "Truncate table \"{child}\" at the same time, or use TRUNCATE ... CASCADE."
        ))
    }
}
