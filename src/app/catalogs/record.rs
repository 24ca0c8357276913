//! The catalog's answers in JSON.
//!
//! What a release adds has a default, so that what an older one wrote is read, and stands in fields of its own, so that an older one reads what a newer
//! one wrote.

mod column;
mod foreign_key;

use crossfade_config::QualifiedName;
use crossfade_store::{Alias, Check, EnumType, Relation, ServerFacts, UniqueIndex};
use serde::{Deserialize, Serialize};

use column::ColumnRecord;
use foreign_key::ForeignKeyRecord;

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

/// Name, columns, and whether it is the primary key.
type IndexRecord = (String, Vec<String>, bool);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RelationRecord {
    name: Name,
    oid: u32,
    columns: Vec<ColumnRecord>,
    unique: Vec<IndexRecord>,
    partial_unique: Vec<String>,
    foreign_keys: Vec<ForeignKeyRecord>,
    referenced_by: Vec<ForeignKeyRecord>,
    server: (u32, String),
    #[serde(default)]
    shapeless: bool,
    #[serde(flatten, default)]
    details: Details,
}

/// What releases up to 0.1 did not ask for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Details {
    deferrable_unique: Vec<IndexRecord>,
    /// Names of those unique indexes that belong to constraints.
    constraints: Vec<String>,
    /// Names of those whose check is at COMMIT from the first.
    initially_deferred: Vec<String>,
    /// Names of those unique indexes to which NULLs are alike.
    nulls_not_distinct: Vec<String>,
    exclusions: Vec<String>,
    checks: Vec<CheckRecord>,
    enums: Vec<EnumRecord>,
    triggers: Vec<String>,
    /// Releases up to 0.2 did not tell them apart.
    before_update: Option<Vec<String>>,
    row_security: bool,
    server_version: String,
    settings: std::collections::BTreeMap<String, String>,
    custom_settings: std::collections::BTreeSet<String>,
    sorts_by_bytes: bool,
    ctype: String,
}

impl From<&Relation> for RelationRecord {
    fn from(relation: &Relation) -> RelationRecord {
        let foreign_keys = |keys: &[crossfade_store::ForeignKey]| {
            keys.iter().map(ForeignKeyRecord::from).collect()
        };
        RelationRecord {
            name: name(&relation.name),
            oid: relation.oid,
            columns: relation.columns.iter().map(ColumnRecord::from).collect(),
            unique: relation.unique.iter().map(index_record).collect(),
            partial_unique: relation.partial_unique.clone(),
            foreign_keys: foreign_keys(&relation.foreign_keys),
            referenced_by: foreign_keys(&relation.referenced_by),
            server: (relation.server.version, relation.server.encoding.clone()),
            shapeless: relation.shapeless,
            details: Details::from(relation),
        }
    }
}

impl From<&Relation> for Details {
    fn from(relation: &Relation) -> Details {
        let names = |wanted: fn(&UniqueIndex) -> bool| {
            let all = relation.unique.iter().chain(&relation.deferrable_unique);
            all.filter(|index| wanted(index))
                .map(|index| index.name.clone())
                .collect()
        };
        Details {
            deferrable_unique: relation
                .deferrable_unique
                .iter()
                .map(index_record)
                .collect(),
            constraints: names(|index| index.constraint),
            initially_deferred: names(|index| index.initially_deferred),
            nulls_not_distinct: names(|index| index.nulls_not_distinct),
            exclusions: relation.exclusions.clone(),
            checks: relation.checks.iter().map(CheckRecord::from).collect(),
            enums: relation.enums.iter().map(EnumRecord::from).collect(),
            triggers: relation.triggers.clone(),
            before_update: Some(relation.before_update.clone()),
            row_security: relation.row_security,
            server_version: relation.server.version_text.clone(),
            settings: relation.server.settings.clone(),
            custom_settings: relation.server.custom_settings.clone(),
            sorts_by_bytes: relation.server.default_sorts_by_bytes,
            ctype: relation.server.default_ctype.clone(),
        }
    }
}

impl RelationRecord {
    pub(super) fn relation(&self) -> Relation {
        let details = &self.details;
        let (version, encoding) = self.server.clone();
        let foreign_keys =
            |keys: &[ForeignKeyRecord]| keys.iter().map(ForeignKeyRecord::foreign_key).collect();
        let indexes =
            |records: &[IndexRecord]| records.iter().map(|record| details.index(record)).collect();
        Relation {
            name: qualified(&self.name),
            oid: self.oid,
            columns: self.columns.iter().map(ColumnRecord::column).collect(),
            unique: indexes(&self.unique),
            deferrable_unique: indexes(&details.deferrable_unique),
            partial_unique: self.partial_unique.clone(),
            exclusions: details.exclusions.clone(),
            checks: details.checks.iter().map(CheckRecord::check).collect(),
            enums: details.enums.iter().map(EnumRecord::enum_type).collect(),
            triggers: details.triggers.clone(),
            before_update: details
                .before_update
                .as_ref()
                .unwrap_or(&details.triggers)
                .clone(),
            row_security: details.row_security,
            foreign_keys: foreign_keys(&self.foreign_keys),
            referenced_by: foreign_keys(&self.referenced_by),
            server: ServerFacts {
                version,
                version_text: details.server_version.clone(),
                settings: details.settings.clone(),
                custom_settings: details.custom_settings.clone(),
                encoding,
                default_sorts_by_bytes: details.sorts_by_bytes,
                default_ctype: details.ctype.clone(),
            },
            shapeless: self.shapeless,
        }
    }
}

fn index_record(index: &UniqueIndex) -> IndexRecord {
    (index.name.clone(), index.columns.clone(), index.primary)
}

impl Details {
    fn index(&self, (name, columns, primary): &IndexRecord) -> UniqueIndex {
        UniqueIndex {
            name: name.clone(),
            columns: columns.clone(),
            primary: *primary,
            constraint: self.constraints.contains(name),
            nulls_not_distinct: self.nulls_not_distinct.contains(name),
            initially_deferred: self.initially_deferred.contains(name),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct CheckRecord {
    name: String,
    expression: String,
}

impl From<&Check> for CheckRecord {
    fn from(check: &Check) -> CheckRecord {
        CheckRecord {
            name: check.name.clone(),
            expression: check.expression.clone(),
        }
    }
}

impl CheckRecord {
    fn check(&self) -> Check {
        Check {
            name: self.name.clone(),
            expression: self.expression.clone(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct EnumRecord {
    oid: u32,
    array_oid: u32,
    name: Name,
    labels: Vec<String>,
}

impl From<&EnumType> for EnumRecord {
    fn from(of: &EnumType) -> EnumRecord {
        EnumRecord {
            oid: of.oid,
            array_oid: of.array_oid,
            name: name(&of.name),
            labels: of.labels.clone(),
        }
    }
}

impl EnumRecord {
    fn enum_type(&self) -> EnumType {
        EnumType {
            oid: self.oid,
            array_oid: self.array_oid,
            name: qualified(&self.name),
            labels: self.labels.clone(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum AliasRecord {
    View(String),
    Child(String),
    WritingFunction(String),
    Namesake(String),
}

impl From<&Alias> for AliasRecord {
    fn from(alias: &Alias) -> AliasRecord {
        match alias.clone() {
            Alias::View(name) => AliasRecord::View(name),
            Alias::Child(name) => AliasRecord::Child(name),
            Alias::WritingFunction(name) => AliasRecord::WritingFunction(name),
            Alias::Namesake(schema) => AliasRecord::Namesake(schema),
        }
    }
}

impl AliasRecord {
    pub(super) fn alias(&self) -> Alias {
        match self.clone() {
            AliasRecord::View(name) => Alias::View(name),
            AliasRecord::Child(name) => Alias::Child(name),
            AliasRecord::WritingFunction(name) => Alias::WritingFunction(name),
            AliasRecord::Namesake(schema) => Alias::Namesake(schema),
        }
    }
}
