//! Reads of documents, keys and checksums.

use md5::{Digest as _, Md5};
use mongodb::{
    Cursor,
    bson::{Bson, Document, RawDocument, RawDocumentBuf, doc},
};

use super::{
    MongoStore,
    document::{ID, Shape},
    value::Kind,
};
use crate::{Digest, Key, KeyRange, Row, StoreResult, TableMap};

/// Documents looked up by one command.
const KEYS_A_FETCH: usize = 1000;

fn filter(shape: &Shape, range: &KeyRange) -> StoreResult<Document> {
    let id_of = |end: &Option<Key>| end.as_ref().map(|key| shape.id_of(key)).transpose();
    let (after, upto) = (id_of(&range.after)?, id_of(&range.upto)?);
    let infinite = infinities(shape, after.as_ref(), upto.as_ref());
    let mut bounds = Document::new();
    for (operator, end) in [("$gt", after), ("$lte", upto)] {
        if let Some(id) = end {
            bounds.insert(operator, id);
        }
    }
    Ok(match (bounds.is_empty(), infinite.is_empty()) {
        (true, _) => bounds,
        (false, true) => doc! { ID: bounds },
        (false, false) => doc! { "$or": [{ ID: bounds }, { ID: { "$in": infinite } }] },
    })
}

/// The infinities inside a range of dates or times. The server compares within one type alone and so leaves them out where an end of the range is finite.
fn infinities(shape: &Shape, after: Option<&Bson>, upto: Option<&Bson>) -> Vec<Bson> {
    if !matches!(shape.plain_key(), Some(Kind::Date | Kind::Timestamp)) {
        return Vec::new();
    }
    let mut inside = Vec::new();
    if after.is_none() {
        inside.push(Bson::MinKey);
    }
    if after != Some(&Bson::MaxKey) && upto.is_none_or(|upto| *upto == Bson::MaxKey) {
        inside.push(Bson::MaxKey);
    }
    inside
}

async fn find(
    store: &MongoStore,
    shape: &Shape,
    range: &KeyRange,
    limit: i64,
) -> StoreResult<Cursor<RawDocumentBuf>> {
    let database = store.conn.database().await?;
    database
        .collection::<RawDocumentBuf>(shape.collection())
        .find(filter(shape, range)?)
        .sort(doc! { ID: 1 })
        .limit(limit)
        .await
        .map_err(|error| store.conn.error(&error))
}

async fn next(
    store: &MongoStore,
    cursor: &mut Cursor<RawDocumentBuf>,
) -> StoreResult<Option<Document>> {
    let more = cursor
        .advance()
        .await
        .map_err(|error| store.conn.error(&error))?;
    if !more {
        return Ok(None);
    }
    document(store, cursor.current()).map(Some)
}

/// Not by way of serde, which takes a field named `$oid` and its like for what extended JSON means by it.
pub(super) fn document(store: &MongoStore, raw: &RawDocument) -> StoreResult<Document> {
    Document::try_from(raw).map_err(|error| store.conn.unexpected(error))
}

/// The row of a document. One whose `_id` is no key of the table belongs to somebody else.
fn row(store: &MongoStore, shape: &Shape, document: &Document) -> StoreResult<Row> {
    let row = shape.row(document);
    if shape.is_own(&row) {
        return Ok(row);
    }
    let id = document.get(ID).cloned().unwrap_or(Bson::Null);
    Err(store.conn.unexpected(format!(
        "the document with the _id {} ({:?}) of \"{}\", which is no key of the table: remove it or put it elsewhere",
        id,
        document.get(ID).map(Bson::element_type),
        shape.collection()
    )))
}

pub(super) async fn scan(
    store: &MongoStore,
    table: &TableMap,
    range: &KeyRange,
    limit: u32,
) -> StoreResult<Vec<Row>> {
    let shape = store.shape(table);
    let mut cursor = find(store, &shape, range, limit.into()).await?;
    let mut rows = Vec::new();
    while let Some(document) = next(store, &mut cursor).await? {
        rows.push(row(store, &shape, &document)?);
    }
    Ok(rows)
}

pub(super) async fn fetch(
    store: &MongoStore,
    table: &TableMap,
    keys: &[Key],
) -> StoreResult<Vec<Option<Row>>> {
    let shape = store.shape(table);
    let database = store.conn.database().await?;
    let collection = database.collection::<RawDocumentBuf>(shape.collection());
    let mut found = std::collections::HashMap::with_capacity(keys.len());
    let mut names = Vec::with_capacity(keys.len());
    for keys in keys.chunks(KEYS_A_FETCH) {
        let ids = keys
            .iter()
            .map(|key| shape.id_of(key))
            .collect::<StoreResult<Vec<Bson>>>()?;
        // By what they are, not by how they were written: `5` asks for `5.00` as well.
        names.extend(ids.iter().map(Shape::name_of));
        let mut cursor = collection
            .find(doc! { ID: { "$in": ids } })
            .await
            .map_err(|error| store.conn.error(&error))?;
        while let Some(document) = next(store, &mut cursor).await? {
            if let Some(id) = document.get(ID) {
                found.insert(Shape::name_of(id), row(store, &shape, &document)?);
            }
        }
    }
    Ok(names.iter().map(|name| found.get(name).cloned()).collect())
}

/// As the other adapter computes it inside its server: the sum, over the rows, of the first eight bytes of the MD5 of their text as a record.
pub(super) async fn digest(
    store: &MongoStore,
    table: &TableMap,
    range: &KeyRange,
) -> StoreResult<Digest> {
    let shape = store.shape(table);
    let mut cursor = find(store, &shape, range, 0).await?;
    let (mut rows, mut sum, mut last) = (0, 0_i128, None);
    let mut text = Vec::new();
    while let Some(document) = next(store, &mut cursor).await? {
        let row = row(store, &shape, &document)?;
        put_record(&row, &mut text);
        let digest: [u8; 16] = Md5::digest(&text).into();
        let [first @ .., _, _, _, _, _, _, _, _] = digest;
        sum += i128::from(i64::from_be_bytes(first));
        rows += 1;
        last = table.key_of(&row);
    }
    Ok(Digest {
        rows,
        sum: sum.to_string(),
        last,
    })
}

/// The text of `record_out`.
fn put_record(row: &Row, out: &mut Vec<u8>) {
    out.clear();
    out.push(b'(');
    for (index, value) in row.0.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let Some(value) = value else { continue };
        let quoted = value.is_empty()
            || value.iter().any(|byte| {
                matches!(
                    byte,
                    b'"' | b'\\' | b'(' | b')' | b',' | b' ' | b'\t'..=b'\r'
                )
            });
        if !quoted {
            out.extend_from_slice(value);
            continue;
        }
        out.push(b'"');
        for &byte in value {
            if matches!(byte, b'"' | b'\\') {
                out.push(byte);
            }
            out.push(byte);
        }
        out.push(b'"');
    }
    out.push(b')');
}

pub(super) async fn nth_key(
    store: &MongoStore,
    table: &TableMap,
    range: &KeyRange,
    nth: u32,
) -> StoreResult<Option<Key>> {
    let shape = store.shape(table);
    let database = store.conn.database().await?;
    let mut cursor = database
        .collection::<RawDocumentBuf>(shape.collection())
        .find(filter(&shape, range)?)
        .sort(doc! { ID: 1 })
        // By the index alone.
        .projection(doc! { ID: 1 })
        .skip(nth.saturating_sub(1).into())
        .limit(1)
        .await
        .map_err(|error| store.conn.error(&error))?;
    match next(store, &mut cursor).await? {
        Some(document) => Ok(table.key_of(&row(store, &shape, &document)?)),
        None => Ok(None),
    }
}
