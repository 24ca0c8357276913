//! What a relation's name means: clients speak the old schema.

use crossfade_store::{Mapping, TableId};

use crate::sql::facts::AliasKind;

/// The mapping and the schemas that unqualified names are looked up in.
#[derive(Debug, Clone, Copy)]
pub(in crate::sql) struct Names<'a> {
    pub(in crate::sql) mapping: &'a Mapping,
    pub(in crate::sql) path: &'a [String],
    /// Mapped tables that another relation of the same name hides: a temporary table, or one in an earlier schema of the path.
    pub(in crate::sql) hidden: &'a [TableId],
}

/// What a relation's name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Mapped(TableId),
    Alias(AliasKind, &'a [TableId]),
    Catalog,
    Other,
}

impl<'a> Names<'a> {
    /// An unqualified name is the mapped table's if that table's schema is in the path and the server says that nothing else of that name comes
    /// before it. Taken for the mapped table, another one's rows would be written to the other store.
    pub(super) fn relation(&self, schema: &str, name: &str) -> Found<'a> {
        if matches!(schema, "pg_catalog" | "information_schema") {
            return Found::Catalog;
        }
        if let Some(table) = self.mapped(schema, name) {
            return Found::Mapped(table);
        }
        let aliases = &self.mapping.old_aliases;
        if let Some(tables) = aliases.views.get(name) {
            return Found::Alias(AliasKind::View, tables);
        }
        if let Some(tables) = aliases.children.get(name) {
            return Found::Alias(AliasKind::Child, tables);
        }
        if schema.is_empty() && name.starts_with("pg_") {
            Found::Catalog
        } else {
            Found::Other
        }
    }

    fn mapped(&self, schema: &str, name: &str) -> Option<TableId> {
        let mut candidates = self
            .mapping
            .tables
            .iter()
            .filter(|table| table.old.name.name == name);
        if !schema.is_empty() {
            return candidates
                .find(|table| table.old.name.schema == schema)
                .map(|table| table.id);
        }
        let place = |schema: &str| self.path.iter().position(|entry| entry == schema);
        candidates
            .filter(|table| !self.hidden.contains(&table.id))
            .filter_map(|table| Some((place(&table.old.name.schema)?, table.id)))
            .min()
            .map(|(_, id)| id)
    }

    pub(super) fn writing_function(&self, name: &str) -> Option<&'a [TableId]> {
        self.mapping
            .old_aliases
            .writing_functions
            .get(name)
            .map(Vec::as_slice)
    }

    /// Whether a code block names a mapped table in any way.
    pub(super) fn body_names_mapped(&self, body: &str) -> bool {
        crate::sql::names::NameSet::new(self.mapping).body_names_mapped(body.as_bytes())
    }
}
