//! References to columns.

use std::ops::Range;

use crossfade_store::{TableId, postgres::sql::quote_ident};

use super::{Rewriter, dropped};
use crate::sql::{
    rewrite::{
        Places, Refusal,
        scope::{self, Owner, What},
        shape::{self, Fate, Shape},
    },
    tree::Node,
};

/// Columns that every table has beside its own.
pub(in crate::sql::rewrite) const SYSTEM_COLUMNS: [&str; 6] =
    ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

impl Rewriter<'_> {
    pub(super) fn column(&mut self, node: &Node) -> Result<(), Refusal> {
        let at = node.location();
        let names = node.names("fields");
        let last = names.last().copied().unwrap_or("");
        let is_place = |places: &Places| names[..] == [places.qualifier.as_str(), last];
        let placed = self.places.as_ref().is_some_and(is_place);
        if SYSTEM_COLUMNS.contains(&last) && self.has_recast() && !placed {
            return Err(Refusal::unsupported(format!(
                "system column \"{last}\" does not mean the same in the new store"
            )));
        }
        let tables = &self.mapping.tables;
        match names[..] {
            [name] => match scope::unqualified(&self.scopes, tables, name) {
                Owner::Target(table, qualifier) => {
                    self.target_column(table, &qualifier, name, at..at + 1)
                }
                Owner::Unknown(table) => match shape::fate(self.map(table), name) {
                    Fate::Same | Fate::Unknown => Ok(()),
                    Fate::Changed(_) | Fate::Dropped => Err(Refusal::unsupported(format!(
                        "it cannot be told whether \"{name}\" is a column of table \"{}\", which is another in the new store; qualify it",
                        self.map(table).old.name
                    ))),
                },
                Owner::WholeTarget(table) | Owner::WholeRead(table) => self.whole_row(table, at),
                Owner::Read(_) | Owner::Elsewhere => Ok(()),
            },
            [qualifier, name] => match scope::qualified(&self.scopes, qualifier) {
                Owner::Target(table, qualifier) if name == "*" => {
                    self.whole_row(table, at).map_err(|refusal| Refusal {
                        reason: format!("{qualifier}.*: {}", refusal.reason),
                        ..refusal
                    })
                }
                Owner::Target(table, qualifier) => {
                    self.target_column(table, &qualifier, name, at..at + 3)
                }
                Owner::Read(_)
                | Owner::Elsewhere
                | Owner::Unknown(_)
                | Owner::WholeTarget(_)
                | Owner::WholeRead(_) => Ok(()),
            },
            [schema, relation, name] => self.schema_column(schema, relation, name, at),
            _ => Ok(()),
        }
    }

    /// `public.orders.id`: the table has another name now, but goes by its old one as an alias.
    fn schema_column(
        &mut self,
        schema: &str,
        relation: &str,
        name: &str,
        at: usize,
    ) -> Result<(), Refusal> {
        let found = scope::qualified(&self.scopes, relation);
        let (Owner::Target(table, _) | Owner::Read(table)) = found else {
            return Ok(());
        };
        let map = self.map(table);
        if map.old.name.schema != schema
            || map.old.name.name != relation
            || shape::shape(map) == Shape::Same
        {
            return Ok(());
        }
        match found {
            Owner::Target(..)
                if name != "*"
                    && matches!(shape::fate(map, name), Fate::Changed(_) | Fate::Dropped) =>
            {
                self.target_column(table, relation, name, at..at + 5)
            }
            _ => {
                self.plan.replace(at..at + 2, "");
                Ok(())
            }
        }
    }

    fn whole_row(&self, table: TableId, at: usize) -> Result<(), Refusal> {
        let map = self.map(table);
        let is_target = self
            .scopes
            .iter()
            .flatten()
            .any(|relation| relation.what == What::Target(table));
        if shape::shape(map) != Shape::Recast || (self.rows.contains(&at) && !is_target) {
            return Ok(());
        }
        Err(Refusal::unsupported(format!(
            "a whole row of table \"{}\" is another in the new store; name its columns",
            map.old.name
        )))
    }

    /// A column of the table that is written.
    fn target_column(
        &mut self,
        table: TableId,
        qualifier: &str,
        name: &str,
        range: Range<usize>,
    ) -> Result<(), Refusal> {
        let map = self.map(table);
        match shape::fate(map, name) {
            Fate::Same | Fate::Unknown => {}
            Fate::Changed(column) => {
                let expr = format!(
                    "{}.{}",
                    quote_ident(qualifier),
                    quote_ident(&column.new.name)
                );
                self.plan.replace(range, shape::as_old(&expr, column));
            }
            Fate::Dropped => return Err(dropped(map, name)),
        }
        Ok(())
    }
}
