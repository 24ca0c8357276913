//! What the preflight has to weigh of one table.

use crate::{Finding, StoreResult, TableMap};

use super::{MongoStore, conn::Deployment, value::Kind};

pub(super) async fn findings(store: &MongoStore, table: &TableMap) -> StoreResult<Vec<Finding>> {
    let deployment = store.conn.deployment().await?;
    let mut findings = Vec::new();
    let mut found = |blocks, what: String, remedy: &str| {
        findings.push(Finding {
            table: table.old.name.clone(),
            name: None,
            blocks,
            what,
            remedy: remedy.to_owned(),
        });
    };
    if deployment == Deployment::Standalone {
        found(
            false,
            "MongoDB runs without a replica set and so without transactions: a batch is written document by document before the primary commits, and what the primary rolls back \
             stays until the repairer has been there"
                .to_owned(),
            "start mongod with --replSet and initiate the set; one member is enough",
        );
    }
    for (index, column) in table.columns.iter().enumerate() {
        let kind = Kind::of(&column.old);
        let (name, ty) = (&column.old.name, &column.old.type_name);
        if table.key.contains(&index) && !kind.sorts_alike(column.old.type_oid) {
            found(
                true,
                format!(
                    "the key column \"{name}\" is of type {ty}, which MongoDB does not sort as PostgreSQL does"
                ),
                "name another unique key in `key`: of integers, numeric, text, varchar, uuid, boolean, date, time or timestamps",
            );
        }
        match kind {
            Kind::Opaque => found(
                false,
                format!(
                    "the column \"{name}\" of type {ty} has no form of its own in MongoDB: it is kept as the bytes of its binary form, exact and readable by nothing else"
                ),
                "leave it so, or leave the column out with `column.NAME = false`",
            ),
            Kind::Numeric if !fits(ty) => found(
                false,
                format!(
                    "the column \"{name}\" of type {ty} may hold numbers of more than 34 digits, which MongoDB has no exact form for: such rows stay in the journal as refused"
                ),
                "give it a precision of at most 34 digits in the old store if its values allow that",
            ),
            _ => {}
        }
    }
    for column in &table.columns {
        if column.new.type_name != column.old.type_name {
            found(
                true,
                format!(
                    "the column \"{}\" is given another type, \"{}\"",
                    column.old.name, column.new.type_name
                ),
                "leave its type out: a document's fields have the forms that docs/mongodb.md lists",
            );
        }
        let odd = column
            .new
            .name
            .split('.')
            .any(|part| part.is_empty() || part.starts_with('$'));
        if odd || column.new.name == "_id" {
            found(
                true,
                format!(
                    "the field name \"{}\" is not one that MongoDB takes everywhere",
                    column.new.name
                ),
                "give the column another name with `column.NAME = \"…\"`: no empty part, none that begins with \"$\", and not \"_id\", which holds the key",
            );
        }
    }
    Ok(findings)
}

/// Whether every value of this `numeric` has at most 34 digits.
fn fits(ty: &str) -> bool {
    let precision = ty
        .split_once('(')
        .and_then(|(_, rest)| rest.split([',', ')']).next())
        .and_then(|digits| digits.trim().parse::<u32>().ok());
    precision.is_some_and(|digits| digits <= 34)
}
