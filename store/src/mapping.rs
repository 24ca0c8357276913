//! The mapping as meant: what the file says, completed by the catalogs of both stores.

use std::collections::BTreeMap;

use bytes::Bytes;
use crossfade_config::QualifiedName;
use crossfade_phase::Side;

/// Index of a mapped table in [`Mapping::tables`]; stable for the life of one mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub usize);

/// All mapped tables.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    /// The tables, indexed by [`TableId`].
    pub tables: Vec<TableMap>,
    /// Names that reach a mapped table of the old store without being it.
    pub old_aliases: Aliases,
    /// Names that reach a mapped table of the new store without being it.
    pub new_aliases: Aliases,
}

/// Names through which SQL can reach a mapped table without naming it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases {
    /// Views (and their kin) that read mapped tables, by their unqualified name.
    pub views: BTreeMap<String, Vec<TableId>>,
    /// Partitions and inheritance children of mapped tables, and tables that mapped ones are partitions or children of.
    pub children: BTreeMap<String, Vec<TableId>>,
    /// Functions whose body names a mapped table together with a word that writes.
    pub writing_functions: BTreeMap<String, Vec<TableId>>,
}

/// One mapped table with both of its ends.
#[derive(Debug, Clone)]
pub struct TableMap {
    /// Its index.
    pub id: TableId,
    /// Toggle it belongs to.
    pub toggle: String,
    /// The table in the old store.
    pub old: Relation,
    /// The table in the new store. In phase 1 the new store is not contacted and this is what the file says of it.
    pub new: Relation,
    /// Carried columns, in the old table's order.
    pub columns: Vec<ColumnMap>,
    /// Key columns as indexes into `columns`, in key order.
    pub key: Vec<usize>,
    /// Version column as an index into `columns`; `None` is an immutable table.
    pub version: Option<usize>,
    /// Names of old columns that are not carried.
    pub dropped: Vec<String>,
}

/// A table as one store's catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Schema and name.
    pub name: QualifiedName,
    /// `pg_class.oid`; 0 where the store has none or was not asked.
    pub oid: u32,
    /// Columns in order, without dropped ones.
    pub columns: Vec<Column>,
    /// Unique indexes that are valid, immediate, and without predicate or expression; the primary key first.
    pub unique: Vec<UniqueIndex>,
    /// Names of unique indexes that have a predicate or an expression.
    pub partial_unique: Vec<String>,
    /// Foreign keys of this table.
    pub foreign_keys: Vec<ForeignKey>,
    /// Foreign keys of other tables (or this one) that point here.
    pub referenced_by: Vec<ForeignKey>,
    /// The server that the table is in.
    pub server: ServerFacts,
    /// The store keeps no columns: the table has the shape that the mapping gives it.
    pub shapeless: bool,
}

impl Relation {
    /// A relation of which nothing but the name is known.
    #[must_use]
    pub fn named(name: QualifiedName) -> Relation {
        Relation {
            name,
            oid: 0,
            columns: Vec::new(),
            unique: Vec::new(),
            partial_unique: Vec::new(),
            foreign_keys: Vec::new(),
            referenced_by: Vec::new(),
            server: ServerFacts::default(),
            shapeless: false,
        }
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// What a server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// `server_version_num`; 0 where it was not asked.
    pub version: u32,
    /// `server_encoding`; empty where it was not asked.
    pub encoding: String,
}

/// A foreign key as one store's catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Name of the constraint.
    pub name: String,
    /// The table that it constrains.
    pub child: QualifiedName,
    /// Its columns there.
    pub columns: Vec<String>,
    /// The table it points to.
    pub parent: QualifiedName,
    /// The columns it points to, in the order of `columns`.
    pub parent_columns: Vec<String>,
    /// What a DELETE of the parent does to the child.
    pub on_delete: FkAction,
    /// What an UPDATE of the parent's columns does to the child.
    pub on_update: FkAction,
    /// `SET CONSTRAINTS … DEFERRED` moves its check to COMMIT.
    pub deferrable: bool,
}

/// A referential action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FkAction {
    /// NO ACTION or RESTRICT: the parent's change is refused, no child row changes.
    Refuse,
    /// CASCADE.
    Cascade,
    /// SET NULL.
    SetNull,
    /// SET DEFAULT.
    SetDefault,
}

impl FkAction {
    /// The words of SQL.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            FkAction::Refuse => "NO ACTION",
            FkAction::Cascade => "CASCADE",
            FkAction::SetNull => "SET NULL",
            FkAction::SetDefault => "SET DEFAULT",
        }
    }
}

/// A unique index over plain columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueIndex {
    /// Name of the index.
    pub name: String,
    /// Its columns, in index order.
    pub columns: Vec<String>,
    /// Whether it is the primary key.
    pub primary: bool,
}

/// One column as a catalog has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// `pg_type.oid`, of the base type where the type is a domain.
    pub type_oid: u32,
    /// The type as `format_type` writes it with its schema where needed: fit for a cast.
    pub type_name: String,
    /// As `type_name`, of the base type where the type is a domain.
    pub base_type: String,
    /// The collation with its provider and version, the same text only where both stores sort alike. `None` where the
    /// type has none, or where nobody can tell.
    pub collation: Option<String>,
    /// Whether the type can be collated.
    pub collatable: bool,
    /// Schema of the operators of the type's default order where that is not `pg_catalog`: a session whose
    /// `search_path` is empty finds them by no other way.
    pub operator_schema: Option<String>,
    /// A type made by users whose text depends on session settings, because a part of it does: its canonical text
    /// does not mean the same in every session.
    pub text_varies: bool,
    /// NOT NULL.
    pub not_null: bool,
    /// Computed by the store from other columns (`GENERATED ALWAYS AS (…) STORED`): never written.
    pub generated: bool,
    /// `GENERATED ALWAYS AS IDENTITY`: an explicit value needs OVERRIDING SYSTEM VALUE.
    pub identity_always: bool,
    /// Sequence that feeds it (owned, identity, or named in its default).
    pub sequence: Option<QualifiedName>,
    /// Has a default, an identity or a generation expression.
    pub has_default: bool,
}

/// One carried column with both of its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnMap {
    /// In the old store.
    pub old: Column,
    /// In the new store.
    pub new: Column,
}

impl ColumnMap {
    /// This column in the store of `side`.
    #[must_use]
    pub fn on(&self, side: Side) -> &Column {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }
}

impl TableMap {
    /// The table in the store of `side`.
    #[must_use]
    pub fn on(&self, side: Side) -> &Relation {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }

    /// Whether SQL written for the old table means the same on the new one as it stands:
    /// the same schema and name, and every column under its own name, type and place.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.old.name == self.new.name
            && self.dropped.is_empty()
            && self.columns.iter().all(|column| {
                column.old.name == column.new.name
                    && column.old.identity_always == column.new.identity_always
                    && column.old.generated == column.new.generated
            })
            && self.old.columns.len() == self.new.columns.len()
            && std::iter::zip(&self.old.columns, &self.new.columns)
                .all(|(old, new)| old.name == new.name && old.type_name == new.type_name)
    }
}

/// The carried columns of one row as the primary stored them, in the order of [`TableMap::columns`].
///
/// Each value is in *canonical text*: what the column's own cast to `text` gives, or, for types whose text depends
/// on session settings (dates and times, floats, money, `bytea`), the hex digits of its binary form. So an image means the same
/// in every session and both stores. `None` is NULL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row(pub Vec<Option<Bytes>>);

/// The key of one row, in canonical text, in key order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub Vec<Bytes>);

/// What the secondary is told of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The row is now this.
    Upsert(Row),
    /// The row is gone.
    Delete(Key),
}

impl TableMap {
    /// The key of `row`. `None` when a key column is NULL, which a primary key does not allow.
    #[must_use]
    pub fn key_of(&self, row: &Row) -> Option<Key> {
        self.key
            .iter()
            .map(|&column| row.0[column].clone())
            .collect::<Option<Vec<_>>>()
            .map(Key)
    }
}
