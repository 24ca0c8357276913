//! Unique indexes: what a store of documents needs before it is the primary.

use mongodb::{
    IndexModel,
    bson::{Binary, Bson, DateTime, Document, doc, spec::BinarySubtype},
    options::IndexOptions,
};

use super::{MongoStore, conn::Deployment, value::Kind};
use crate::{Column, StoreError, StoreResult, TableMap, UniqueIndex};

/// Makes the unique indexes of the old table, under their names, but that of the key, which is `_id`. Those that are there stay.
///
/// # Errors
/// When an index cannot be exact in MongoDB, or documents that are there violate it.
pub(super) async fn ensure_unique(store: &MongoStore, table: &TableMap) -> StoreResult<()> {
    if store.conn.deployment().await? == Deployment::Standalone {
        return Err(store.conn.unexpected(
            "a server without a replica set, which has no transactions: it cannot be the primary; start mongod with --replSet and initiate the set",
        ));
    }
    store.conn.ensure(&table.on(store.side).name.name).await?;
    let mut models = Vec::new();
    for index in &table.old.unique {
        if let Some(keys) = keys(store, table, index)? {
            models.push(keys);
        }
    }
    if models.is_empty() {
        return Ok(());
    }
    let database = store.conn.database().await?;
    database
        .collection::<Document>(&table.on(store.side).name.name)
        .create_indexes(models)
        .await
        .map(drop)
        .map_err(|error| store.conn.error(&error))
}

fn keys(
    store: &MongoStore,
    table: &TableMap,
    index: &UniqueIndex,
) -> StoreResult<Option<IndexModel>> {
    let columns = index
        .columns
        .iter()
        .map(|name| {
            table
                .columns
                .iter()
                .position(|column| column.old.name == *name)
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| refused(store, index, "a column that is not carried"))?;
    if columns.len() == table.key.len() && columns.iter().all(|column| table.key.contains(column)) {
        return Ok(None);
    }
    let (mut keys, mut partial) = (Document::new(), Document::new());
    for column in columns {
        let mapped = &table.columns[column];
        let path = if table.key.contains(&column) {
            match table.key.len() {
                1 => "_id".to_owned(),
                _ => format!("_id.{}", mapped.on(store.side).name),
            }
        } else {
            mapped.on(store.side).name.clone()
        };
        let least = least(&mapped.old).ok_or_else(|| {
            let what = format!(
                "the type {} of \"{}\"",
                mapped.old.type_name, mapped.old.name
            );
            refused(store, index, &what)
        })?;
        keys.insert(&path, 1);
        // NULLs are all different in PostgreSQL: rows that hold one are not in the index.
        if !mapped.old.not_null && !index.nulls_not_distinct {
            partial.insert(path, doc! { "$gte": least });
        }
    }
    let mut options = IndexOptions::default();
    options.unique = Some(true);
    options.name = Some(index.name.clone());
    options.partial_filter_expression = (!partial.is_empty()).then_some(partial);
    Ok(Some(
        IndexModel::builder().keys(keys).options(options).build(),
    ))
}

/// The least value of a column's type; `None` for a type whose equality MongoDB does not share.
fn least(column: &Column) -> Option<Bson> {
    Some(match Kind::of(column) {
        Kind::Bool => Bson::Boolean(false),
        Kind::Int2
        | Kind::Int4
        | Kind::Int8
        | Kind::Numeric
        | Kind::Float4
        | Kind::Float8
        | Kind::Time
        | Kind::Money
        | Kind::Timestamp => Bson::Double(f64::NEG_INFINITY),
        Kind::Text => {
            let collation = column.collation.as_deref().unwrap_or_default();
            // Of types made by users only enums are the same where their texts are.
            let plain = matches!(column.type_oid, 18 | 19 | 25 | 1042 | 1043) || column.length == 4;
            if collation.ends_with("/nondeterministic") || !plain {
                return None;
            }
            Bson::String(String::new())
        }
        Kind::Uuid | Kind::Bytea => Bson::Binary(Binary {
            subtype: BinarySubtype::Generic,
            bytes: Vec::new(),
        }),
        Kind::Date => Bson::DateTime(DateTime::MIN),
        _ => return None,
    })
}

fn refused(store: &MongoStore, index: &UniqueIndex, what: &str) -> StoreError {
    StoreError::Rejected {
        store: store.conn.url(),
        sqlstate: "0A000".to_owned(),
        message: format!(
            "the unique index \"{}\" cannot be kept by MongoDB: {what}",
            index.name
        ),
        constraint: Some(index.name.clone()),
    }
}
