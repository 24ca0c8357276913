//! Columns.

use crossfade_store::{Column, Domain, OwnedSequence, SequenceFacts};
use serde::{Deserialize, Serialize};

use super::{CheckRecord, Name, name, qualified};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ColumnRecord {
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
    /// What releases up to 0.1 did not ask for is at its default in what they wrote, and `number` is 0.
    #[serde(flatten, default)]
    details: Details,
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
            details: Details::from(column),
        }
    }
}

impl ColumnRecord {
    pub(super) fn column(&self) -> Column {
        let details = &self.details;
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
            number: details.number,
            declared_oid: details.declared_oid,
            modifier: details.modifier,
            length: details.length,
            domain: details.domain.as_ref().map(DomainRecord::domain),
            ctype: details.ctype.clone(),
            generated_as: details.generated_as.clone(),
            sequence_facts: details.counts.map(sequence_facts),
            owns: details.owns.iter().map(OwnedRecord::owned).collect(),
            default: details.default.clone(),
        }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Details {
    number: i16,
    declared_oid: u32,
    modifier: i32,
    length: i16,
    domain: Option<DomainRecord>,
    ctype: Option<String>,
    generated_as: Option<String>,
    counts: Option<Counts>,
    /// A release that did not ask for them knows of none: TRUNCATE … RESTART IDENTITY then leaves the sequences as they are, and no value comes twice.
    owns: Vec<OwnedRecord>,
    default: Option<String>,
}

impl From<&Column> for Details {
    fn from(column: &Column) -> Details {
        Details {
            number: column.number,
            declared_oid: column.declared_oid,
            modifier: column.modifier,
            length: column.length,
            domain: column.domain.as_ref().map(DomainRecord::from),
            ctype: column.ctype.clone(),
            generated_as: column.generated_as.clone(),
            counts: column.sequence_facts.map(Counts::from),
            owns: column.owns.iter().map(OwnedRecord::from).collect(),
            default: column.default.clone(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct DomainRecord {
    name: Name,
    not_null: bool,
    checks: Vec<CheckRecord>,
}

impl From<&Domain> for DomainRecord {
    fn from(domain: &Domain) -> DomainRecord {
        DomainRecord {
            name: name(&domain.name),
            not_null: domain.not_null,
            checks: domain.checks.iter().map(CheckRecord::from).collect(),
        }
    }
}

impl DomainRecord {
    fn domain(&self) -> Domain {
        Domain {
            name: qualified(&self.name),
            not_null: self.not_null,
            checks: self.checks.iter().map(CheckRecord::check).collect(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct OwnedRecord {
    name: Name,
    start: i64,
    increment: i64,
}

impl From<&OwnedSequence> for OwnedRecord {
    fn from(owned: &OwnedSequence) -> OwnedRecord {
        OwnedRecord {
            name: name(&owned.name),
            start: owned.start,
            increment: owned.increment,
        }
    }
}

impl OwnedRecord {
    fn owned(&self) -> OwnedSequence {
        OwnedSequence {
            name: qualified(&self.name),
            start: self.start,
            increment: self.increment,
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Counts {
    start: i64,
    increment: i64,
    min: i64,
    max: i64,
    cycle: bool,
}

impl From<SequenceFacts> for Counts {
    fn from(facts: SequenceFacts) -> Counts {
        let SequenceFacts {
            start,
            increment,
            min,
            max,
            cycle,
        } = facts;
        Counts {
            start,
            increment,
            min,
            max,
            cycle,
        }
    }
}

fn sequence_facts(counts: Counts) -> SequenceFacts {
    let Counts {
        start,
        increment,
        min,
        max,
        cycle,
    } = counts;
    SequenceFacts {
        start,
        increment,
        min,
        max,
        cycle,
    }
}
