//! What the preflight has to weigh of one table.

use crossfade_phase::Phase;
use mongodb::bson::doc;

use crate::{Finding, StoreResult, TableMap};

use super::{
    MongoStore,
    conn::Deployment,
    rights,
    value::{Kind, has_exact_precision},
};

pub(super) async fn findings(store: &MongoStore, table: &TableMap) -> StoreResult<Vec<Finding>> {
    let deployment = store.conn.deployment().await?;
    let missing = rights::missing(store, table).await?;
    let mut findings = Vec::new();
    findings.extend(sequences(table));
    let mut found = |blocks: bool, what: String, remedy: &str| {
        let phase = blocks.then_some(Phase::DualWrite);
        findings.push(finding(table, phase, what, remedy.to_owned()));
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
    if !missing.is_empty() {
        let (account, database) = store.conn.account();
        found(
            true,
            format!(
                "\"{account}\" may not {} in the collection \"{}\"",
                missing.join(", "),
                table.new.name.name
            ),
            &format!(
                "db.grantRolesToUser(\"{account}\", [{{ role: \"readWrite\", db: \"{database}\" }}])"
            ),
        );
    }
    for (index, column) in table.columns.iter().enumerate() {
        let kind = Kind::of(&column.old);
        let (name, ty) = (&column.old.name, &column.old.type_name);
        if table.key.contains(&index) && !kind.sorts_alike(&column.old) {
            found(
                true,
                format!(
                    "the key column \"{name}\" is of type {ty}, which MongoDB does not sort as PostgreSQL does"
                ),
                "name another unique key in `key`: of integers, numeric with a precision of at most 34, text, varchar, uuid, boolean, date, time or timestamps",
            );
        }
        match kind {
            Kind::Opaque => found(
                false,
                format!(
                    "the column \"{name}\" of type {ty} has no form of its own in MongoDB: it is kept as the bytes of its binary form, exact and readable by nothing else"
                ),
                "leave the column out with `column.NAME = false`, or leave it so where SQL only reads the table's other columns from phase 5 on: statements that write the table are refused",
            ),
            Kind::Array(element) if *element == Kind::Numeric => found(
                false,
                format!(
                    "the column \"{name}\" of type {ty} may hold numbers of more than 34 digits, which MongoDB has no exact form for: such rows stay in the journal as refused"
                ),
                "leave it so where no number is that long",
            ),
            Kind::Numeric if !has_exact_precision(&column.old.base_type) => found(
                false,
                format!(
                    "the column \"{name}\" of type {ty} may hold numbers of more than 34 digits, which MongoDB has no exact form for: such rows stay in the journal as refused"
                ),
                "give it a precision of at most 34 digits in the old store if its values allow that",
            ),
            _ => {}
        }
    }
    let paths = |index: usize| table.columns[index].new.name.split('.').collect::<Vec<_>>();
    let fields: Vec<usize> = (0..table.columns.len())
        .filter(|index| !table.key.contains(index))
        .collect();
    for &outer in &fields {
        for &inner in fields.iter().filter(|&&inner| inner != outer) {
            if paths(inner).starts_with(&paths(outer)) {
                let name = |index: usize| &table.columns[index].new.name;
                found(
                    true,
                    format!(
                        "the field \"{}\" would lie inside the field \"{}\", which is a value",
                        name(inner),
                        name(outer)
                    ),
                    "give one of the two columns another name with `column.NAME = \"…\"`",
                );
            }
        }
    }
    for &index in table.key.iter().filter(|_| table.key.len() > 1) {
        let name = &table.columns[index].new.name;
        if name.contains('.') {
            found(
                true,
                format!(
                    "the key column \"{name}\" would be a field with a dot in its name inside _id"
                ),
                "give it a name without a dot",
            );
        }
    }
    let odd = match missing.contains(&"listCollections") {
        true => Vec::new(),
        false => odd_collection(store, table).await?,
    };
    for what in odd {
        found(
            true,
            format!("the collection \"{}\" is {what}", table.new.name.name),
            "name an ordinary collection in `target`, or one that is not there yet",
        );
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

fn finding(table: &TableMap, blocks: Option<Phase>, what: String, remedy: String) -> Finding {
    Finding {
        table: table.old.name.clone(),
        name: None,
        blocks,
        what,
        remedy,
    }
}

/// Sequences that the counters of phase 5 cannot stand for.
fn sequences(table: &TableMap) -> impl Iterator<Item = Finding> {
    table.columns.iter().filter_map(|column| {
        let sequence = column.old.sequence.as_ref()?;
        let (why, end) = column.old.sequence_facts?.beyond_counters()?;
        let name = &column.old.name;
        Some(finding(
            table,
            Some(Phase::NewPrimary),
            format!("the sequence \"{sequence}\" of the column \"{name}\" {why}"),
            format!("`ALTER SEQUENCE {sequence} {end}` in the old store, or have the application give the values"),
        ))
    })
}

/// What the collection is that keeps it from holding a table's rows.
async fn odd_collection(store: &MongoStore, table: &TableMap) -> StoreResult<Vec<&'static str>> {
    let database = store.conn.database().await?;
    let name = table.on(store.side).name.name.as_str();
    let answer = database
        .run_command(doc! { "listCollections": 1, "filter": { "name": name } })
        .await
        .map_err(|error| store.conn.error(&error))?;
    let found = answer
        .get_document("cursor")
        .and_then(|cursor| cursor.get_array("firstBatch"))
        .ok()
        .and_then(|batch| batch.first()?.as_document());
    let Some(found) = found else {
        return Ok(Vec::new());
    };
    let options = found.get_document("options").ok();
    let has = |name| options.is_some_and(|options| options.contains_key(name));
    let mut odd = Vec::new();
    if found.get_str("type").is_ok_and(|kind| kind != "collection") {
        odd.push("no plain collection (a view or a time series)");
    }
    if has("capped") {
        odd.push("capped: it drops documents by itself");
    }
    if has("collation") {
        odd.push("one with a collation of its own: keys that differ may be the same to it");
    }
    if name.starts_with("system.") {
        odd.push("one of the server's own");
    }
    Ok(odd)
}
