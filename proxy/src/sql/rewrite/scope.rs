//! Which relation a column's name belongs to, as far as it can be told without a catalog of everything.

use crossfade_store::{TableId, TableMap};

/// What a name in a FROM list stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The table that the statement writes: its columns have the new store's names.
    Target(TableId),
    /// A mapped table that is read: it appears under its old names.
    Read(TableId),
    /// A CTE or sub-select with these columns.
    Known(Vec<String>),
    /// Anything else: its columns are not known.
    Opaque,
}

/// A relation under the name by which columns are qualified.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub(super) name: String,
    pub(super) what: What,
}

/// The relations of the queries around a place, outermost first.
pub(super) type Scopes = Vec<Vec<Relation>>;

/// Whose column it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// The written table's, under this qualifier.
    Target(TableId, String),
    /// A mapped table's that is read.
    Read(TableId),
    /// Another relation's, or nobody's.
    Elsewhere,
    /// Either the written table's or some other's: only the server knows.
    Unknown(TableId),
    /// The written table as a whole row.
    WholeTarget(TableId),
    /// A mapped table that is read, as a whole row.
    WholeRead(TableId),
}

fn has(tables: &[TableMap], table: TableId, column: &str) -> bool {
    tables[table.0].old.column(column).is_some()
        || tables[table.0]
            .dropped
            .iter()
            .any(|dropped| dropped == column)
}

/// Whose column an unqualified name is.
pub(super) fn unqualified(scopes: &Scopes, tables: &[TableMap], name: &str) -> Owner {
    let mut doubtful = false;
    for scope in scopes.iter().rev() {
        // Two relations of one query that both have it make the reference ambiguous: the server says so in either store.
        let owner = scope.iter().find_map(|relation| match &relation.what {
            What::Target(table) if has(tables, *table, name) => {
                Some(Owner::Target(*table, relation.name.clone()))
            }
            What::Read(table) if has(tables, *table, name) => Some(Owner::Read(*table)),
            What::Known(columns) if columns.iter().any(|column| column == name) => {
                Some(Owner::Elsewhere)
            }
            What::Target(_) | What::Read(_) | What::Known(_) | What::Opaque => None,
        });
        match owner {
            Some(Owner::Target(table, _)) if doubtful => return Owner::Unknown(table),
            Some(owner) => return if doubtful { Owner::Elsewhere } else { owner },
            None => doubtful |= scope.iter().any(|relation| relation.what == What::Opaque),
        }
    }
    let whole = scopes
        .iter()
        .rev()
        .flatten()
        .find(|relation| relation.name == name);
    match whole.map(|relation| &relation.what) {
        Some(What::Target(table)) => Owner::WholeTarget(*table),
        Some(What::Read(table)) => Owner::WholeRead(*table),
        Some(What::Known(_) | What::Opaque) | None => Owner::Elsewhere,
    }
}

/// Whose columns a qualifier stands for.
pub(super) fn qualified(scopes: &Scopes, qualifier: &str) -> Owner {
    let found = scopes
        .iter()
        .rev()
        .flatten()
        .find(|relation| relation.name == qualifier);
    match found.map(|relation| &relation.what) {
        Some(What::Target(table)) => Owner::Target(*table, qualifier.to_owned()),
        Some(What::Read(table)) => Owner::Read(*table),
        Some(What::Known(_) | What::Opaque) | None => Owner::Elsewhere,
    }
}
