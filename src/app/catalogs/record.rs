//! The catalog's answers in JSON.

use crossfade_config::QualifiedName;
use crossfade_store::{Alias, Column, FkAction, ForeignKey, Relation, ServerFacts, UniqueIndex};
use serde::{Deserialize, Serialize};

/// Schema and name.
type Name = (String, String);

fn name(name: &QualifiedName) -> Name {
    (name.schema.clone(), name.name.clone())
}

fn qualified((schema, name): &Name) -> QualifiedName {
    QualifiedName {
        schema: schema.clone(),
        name: name.clone(),
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RelationRecord {
    name: Name,
    oid: u32,
    columns: Vec<ColumnRecord>,
    unique: Vec<(String, Vec<String>, bool)>,
    partial_unique: Vec<String>,
    foreign_keys: Vec<ForeignKeyRecord>,
    referenced_by: Vec<ForeignKeyRecord>,
    server: (u32, String),
    #[serde(default)]
    shapeless: bool,
}

impl From<&Relation> for RelationRecord {
    fn from(relation: &Relation) -> RelationRecord {
        let unique =
            |index: &UniqueIndex| (index.name.clone(), index.columns.clone(), index.primary);
        RelationRecord {
            name: name(&relation.name),
            oid: relation.oid,
            columns: relation.columns.iter().map(ColumnRecord::from).collect(),
            unique: relation.unique.iter().map(unique).collect(),
            partial_unique: relation.partial_unique.clone(),
            foreign_keys: relation
                .foreign_keys
                .iter()
                .map(ForeignKeyRecord::from)
                .collect(),
            referenced_by: relation
                .referenced_by
                .iter()
                .map(ForeignKeyRecord::from)
                .collect(),
            server: (relation.server.version, relation.server.encoding.clone()),
            shapeless: relation.shapeless,
        }
    }
}

impl RelationRecord {
    pub(super) fn relation(&self) -> Relation {
        let unique = |(name, columns, primary): &(String, Vec<String>, bool)| UniqueIndex {
            name: name.clone(),
            columns: columns.clone(),
            primary: *primary,
        };
        let (version, encoding) = self.server.clone();
        Relation {
            oid: self.oid,
            columns: self.columns.iter().map(ColumnRecord::column).collect(),
            unique: self.unique.iter().map(unique).collect(),
            partial_unique: self.partial_unique.clone(),
            foreign_keys: self
                .foreign_keys
                .iter()
                .map(ForeignKeyRecord::foreign_key)
                .collect(),
            referenced_by: self
                .referenced_by
                .iter()
                .map(ForeignKeyRecord::foreign_key)
                .collect(),
            server: ServerFacts { version, encoding },
            shapeless: self.shapeless,
            ..Relation::named(qualified(&self.name))
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ColumnRecord {
    name: String,
    type_oid: u32,
    type_name: String,
    base_type: String,
    collation: Option<String>,
    collatable: bool,
    operator_schema: Option<String>,
    text_varies: bool,
    not_null: bool,
    generated: bool,
    identity_always: bool,
    sequence: Option<Name>,
    has_default: bool,
}

impl From<&Column> for ColumnRecord {
    fn from(column: &Column) -> ColumnRecord {
        ColumnRecord {
            name: column.name.clone(),
            type_oid: column.type_oid,
            type_name: column.type_name.clone(),
            base_type: column.base_type.clone(),
            collation: column.collation.clone(),
            collatable: column.collatable,
            operator_schema: column.operator_schema.clone(),
            text_varies: column.text_varies,
            not_null: column.not_null,
            generated: column.generated,
            identity_always: column.identity_always,
            sequence: column.sequence.as_ref().map(name),
            has_default: column.has_default,
        }
    }
}

impl ColumnRecord {
    fn column(&self) -> Column {
        Column {
            name: self.name.clone(),
            type_oid: self.type_oid,
            type_name: self.type_name.clone(),
            base_type: self.base_type.clone(),
            collation: self.collation.clone(),
            collatable: self.collatable,
            operator_schema: self.operator_schema.clone(),
            text_varies: self.text_varies,
            not_null: self.not_null,
            generated: self.generated,
            identity_always: self.identity_always,
            sequence: self.sequence.as_ref().map(qualified),
            has_default: self.has_default,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ForeignKeyRecord {
    name: String,
    child: Name,
    columns: Vec<String>,
    parent: Name,
    parent_columns: Vec<String>,
    on_delete: Action,
    on_update: Action,
    deferrable: bool,
}

impl From<&ForeignKey> for ForeignKeyRecord {
    fn from(key: &ForeignKey) -> ForeignKeyRecord {
        ForeignKeyRecord {
            name: key.name.clone(),
            child: name(&key.child),
            columns: key.columns.clone(),
            parent: name(&key.parent),
            parent_columns: key.parent_columns.clone(),
            on_delete: key.on_delete.into(),
            on_update: key.on_update.into(),
            deferrable: key.deferrable,
        }
    }
}

impl ForeignKeyRecord {
    fn foreign_key(&self) -> ForeignKey {
        ForeignKey {
            name: self.name.clone(),
            child: qualified(&self.child),
            columns: self.columns.clone(),
            parent: qualified(&self.parent),
            parent_columns: self.parent_columns.clone(),
            on_delete: self.on_delete.into(),
            on_update: self.on_update.into(),
            deferrable: self.deferrable,
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Refuse,
    Cascade,
    SetNull,
    SetDefault,
}

impl From<FkAction> for Action {
    fn from(action: FkAction) -> Action {
        match action {
            FkAction::Refuse => Action::Refuse,
            FkAction::Cascade => Action::Cascade,
            FkAction::SetNull => Action::SetNull,
            FkAction::SetDefault => Action::SetDefault,
        }
    }
}

impl From<Action> for FkAction {
    fn from(action: Action) -> FkAction {
        match action {
            Action::Refuse => FkAction::Refuse,
            Action::Cascade => FkAction::Cascade,
            Action::SetNull => FkAction::SetNull,
            Action::SetDefault => FkAction::SetDefault,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum AliasRecord {
    View(String),
    Child(String),
    WritingFunction(String),
}

impl From<&Alias> for AliasRecord {
    fn from(alias: &Alias) -> AliasRecord {
        match alias.clone() {
            Alias::View(name) => AliasRecord::View(name),
            Alias::Child(name) => AliasRecord::Child(name),
            Alias::WritingFunction(name) => AliasRecord::WritingFunction(name),
        }
    }
}

impl AliasRecord {
    pub(super) fn alias(&self) -> Alias {
        match self.clone() {
            AliasRecord::View(name) => Alias::View(name),
            AliasRecord::Child(name) => Alias::Child(name),
            AliasRecord::WritingFunction(name) => Alias::WritingFunction(name),
        }
    }
}
