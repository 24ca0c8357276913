//! Reading one collection.

use std::collections::BTreeMap;

use bytes::Bytes;
use crossfade_store::mongo::Kind;
use crossfade_values::{Oid, Value};
use mongodb::{
    Cursor, SessionCursor,
    bson::{Document, RawDocument, RawDocumentBuf, doc},
    options::ReadConcern,
};

use super::{Exec, Row};
use crate::{
    catalog::Table,
    codec,
    eval::{Answers, Env},
    fail::Fail,
    plan::Scan,
    push::{Filter, Pusher, Sort},
};

/// What a scan may be spared.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    /// Values that a column has to be one of: slot, type, values.
    pub(crate) narrow: Vec<(usize, Oid, Vec<Value>)>,
    pub(crate) sort: Option<Sort>,
    /// Most rows; only where nothing is looked at again.
    pub(crate) limit: Option<u64>,
}

/// Documents as they come.
pub(crate) enum Found {
    Nothing,
    One(Option<RawDocumentBuf>),
    Plain(Cursor<RawDocumentBuf>),
    Session(SessionCursor<RawDocumentBuf>),
}

impl Exec<'_> {
    pub(crate) fn filter_of(
        &self,
        scan: &Scan,
        env: &Env<'_>,
        hints: &Hints,
    ) -> Result<Filter, Fail> {
        let pusher = self.pusher(scan, env);
        let mut filter = pusher.filter(scan)?;
        for (slot, ty, values) in &hints.narrow {
            let column = slot - scan.base;
            if values.is_empty() {
                filter.nothing = true;
            } else if let Some(one_of) = pusher.one_of(column, *ty, values)? {
                filter.document = match filter.document.is_empty() {
                    true => one_of,
                    false => doc! { "$and": [filter.document, one_of] },
                };
            }
        }
        Ok(filter)
    }

    pub(crate) fn pusher<'e>(&'e self, scan: &Scan, env: &'e Env<'e>) -> Pusher<'e> {
        Pusher {
            catalog: self.catalog,
            table: &self.catalog.tables[scan.table],
            base: scan.base,
            env,
        }
    }

    /// Begins to read.
    pub(crate) async fn find(
        &mut self,
        scan: &Scan,
        filter: Filter,
        hints: Hints,
    ) -> Result<Found, Fail> {
        if filter.nothing || hints.limit == Some(0) {
            return Ok(Found::Nothing);
        }
        let catalog = self.catalog;
        let table = &catalog.tables[scan.table];
        let database = self.txn.database().await?;
        let collection = database.collection::<RawDocumentBuf>(&table.documents.collection);
        // By its key a document is told from what the statement itself has written.
        let hides = self.changed(&table.documents.collection).is_some();
        let projection = projection(table, scan).map(|mut projection| {
            if hides {
                projection.insert("_id", 1);
            }
            projection
        });
        let sort = hints.sort.unwrap_or_default();
        let single = is_point(&filter.document);
        let limit = hints
            .limit
            .map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        // One document by its key needs no snapshot of its own.
        let several = self.several || !single;
        let session = self.txn.reader(several).await?;
        if !sort.computed.is_empty() {
            let mut pipeline = vec![
                doc! { "$match": filter.document },
                doc! { "$addFields": sort.computed },
                doc! { "$sort": sort.keys },
            ];
            if let Some(limit) = limit {
                pipeline.push(doc! { "$limit": limit });
            }
            if let Some(projection) = projection {
                pipeline.push(doc! { "$project": projection });
            }
            let aggregate = collection.aggregate(pipeline);
            let found = match session {
                Some(session) => aggregate
                    .session(session)
                    .with_type::<RawDocumentBuf>()
                    .await
                    .map(Found::Session),
                None => aggregate
                    .with_type::<RawDocumentBuf>()
                    .await
                    .map(Found::Plain),
            };
            return found.map_err(|error| self.txn.failed(&error));
        }
        if single && session.is_none() {
            let mut find = collection
                .find_one(filter.document)
                .read_concern(ReadConcern::majority());
            if let Some(projection) = projection {
                find = find.projection(projection);
            }
            return find
                .await
                .map(Found::One)
                .map_err(|error| self.txn.failed(&error));
        }
        let mut find = collection.find(filter.document).sort(sort.keys);
        if let Some(projection) = projection {
            find = find.projection(projection);
        }
        if let Some(limit) = limit {
            find = find.limit(limit);
        }
        let found = match session {
            Some(session) => find.session(session).await.map(Found::Session),
            None => find.await.map(Found::Plain),
        };
        found.map_err(|error| self.txn.failed(&error))
    }

    /// The next document.
    pub(crate) async fn next_document(
        &mut self,
        found: &mut Found,
    ) -> Result<Option<RawDocumentBuf>, Fail> {
        let more = match found {
            Found::Nothing => return Ok(None),
            Found::One(one) => return Ok(one.take()),
            Found::Plain(cursor) => match cursor.advance().await {
                Ok(true) => Ok(Some(cursor.current().to_owned())),
                Ok(false) => Ok(None),
                Err(error) => Err(error),
            },
            Found::Session(cursor) => {
                let Some(session) = self.txn.reader(true).await? else {
                    return Err(Fail::Again);
                };
                match cursor.advance(session).await {
                    Ok(true) => Ok(Some(cursor.current().to_owned())),
                    Ok(false) => Ok(None),
                    Err(error) => Err(error),
                }
            }
        };
        more.map_err(|error| self.txn.failed(&error))
    }

    /// Puts a document's columns into a row.
    pub(crate) fn fill(&self, scan: &Scan, raw: &RawDocument, row: &mut Row) -> Result<(), Fail> {
        let table = &self.catalog.tables[scan.table];
        for &column in &scan.needed {
            row[scan.base + column] = self.value_of(table, column, raw)?;
        }
        if scan.whole {
            row[scan.base + table.columns.len()] =
                Value::Bytes(Bytes::copy_from_slice(raw.as_bytes()));
        }
        Ok(())
    }

    pub(crate) fn value_of(
        &self,
        table: &Table,
        column: usize,
        raw: &RawDocument,
    ) -> Result<Value, Fail> {
        let field = &table.documents.fields[column];
        let mut parts = field.path.split('.').peekable();
        let mut document = raw;
        while let Some(part) = parts.next() {
            let Ok(Some(value)) = document.get(part) else {
                return Ok(Value::Null);
            };
            if parts.peek().is_none() {
                let column = &table.columns[column];
                let read = codec::from_bson(&field.kind, column.base, value, &self.catalog.types);
                return Ok(read.map_err(|error| match &field.kind {
                    Kind::Opaque => error.hint(codec::opaque_hint(&column.name)),
                    _ => error,
                })?);
            }
            match value.as_document() {
                Some(inner) => document = inner,
                None => return Ok(Value::Null),
            }
        }
        Ok(Value::Null)
    }

    /// Answers of sub-queries among a scan's conditions.
    pub(crate) async fn scan_answers(
        &mut self,
        scan: &Scan,
        outer: Option<&Env<'_>>,
    ) -> Result<Answers, Fail> {
        let subs = super::Subs::of(&scan.filters);
        self.fixed_answers(&subs, outer).await
    }
}

/// A lookup of one document.
fn is_point(filter: &Document) -> bool {
    let mut all: Vec<&Document> = vec![filter];
    if let Ok(parts) = filter.get_array("$and") {
        all.extend(parts.iter().filter_map(|part| part.as_document()));
    }
    all.into_iter().any(|part| match part.get("_id") {
        Some(mongodb::bson::Bson::Document(inner)) => !inner.keys().any(|key| key.starts_with('$')),
        Some(_) => true,
        None => false,
    })
}

/// The fields that are needed; `None` for the whole document.
fn projection(table: &Table, scan: &Scan) -> Option<Document> {
    if scan.whole || scan.needed.len() == table.columns.len() {
        return None;
    }
    let mut projection = Document::new();
    let mut id = false;
    let mut seen: BTreeMap<&str, ()> = BTreeMap::new();
    for &column in &scan.needed {
        let path = table.documents.fields[column].path.as_str();
        if path == "_id" || path.starts_with("_id.") {
            id = true;
        } else if seen.insert(path, ()).is_none() {
            projection.insert(path, 1);
        }
    }
    projection.insert("_id", i32::from(id || projection.is_empty()));
    Some(projection)
}
