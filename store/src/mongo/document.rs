//! Rows as documents: the key is `_id`, every other carried column a field of its name in the mapping, which may be a path.

use bytes::Bytes;
use crossfade_phase::Side;
use mongodb::bson::{Bson, Document, RawBson, RawDocumentBuf, cstr, raw::CString};

use super::value::{Kind, decimal_text, foreign};
use crate::{Key, Row, StoreError, StoreResult, TableMap};

/// The field of the key.
pub(super) const ID: &str = "_id";

/// How one table's rows become documents.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// By index into the row.
    fields: Vec<Field>,
    /// Indexes of the key's columns, in key order.
    key: Vec<usize>,
    /// For messages.
    store: String,
    table: String,
}

#[derive(Debug, Clone)]
struct Field {
    /// Its name in the mapping, cut at the dots.
    path: Vec<String>,
    /// The same, where it is a field of the document itself.
    plain: Option<CString>,
    kind: Kind,
}

impl Shape {
    /// Of a table in the store of `side`, which is `store` in messages.
    pub(super) fn of(table: &TableMap, side: Side, store: &str) -> Shape {
        let fields = table.columns.iter().map(|column| {
            let column = column.on(side);
            let plain = (!column.name.contains('.')).then_some(column.name.as_str());
            Field {
                path: column.name.split('.').map(str::to_owned).collect(),
                plain: plain.and_then(|name| CString::try_from(name).ok()),
                kind: Kind::of(column),
            }
        });
        Shape {
            fields: fields.collect(),
            key: table.key.clone(),
            store: store.to_owned(),
            table: table.on(side).name.name.clone(),
        }
    }

    /// The collection.
    pub(super) fn collection(&self) -> &str {
        &self.table
    }

    /// Where a column's value stands in a document, as a path for the server.
    pub(super) fn path_of(&self, index: usize) -> String {
        let name = self.fields[index].path.join(".");
        match (self.key.contains(&index), self.key.len()) {
            (false, _) => name,
            (true, 1) => ID.to_owned(),
            (true, _) => format!("{ID}.{name}"),
        }
    }

    /// How a key of one column is kept; `None` where it has several.
    pub(super) fn plain_key(&self) -> Option<&Kind> {
        match self.key[..] {
            [index] => Some(&self.fields[index].kind),
            _ => None,
        }
    }

    /// The whole document of a row.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] when a value has no exact form.
    fn document(&self, row: &Row) -> StoreResult<Document> {
        let mut document = Document::new();
        document.insert(ID, self.id_of_row(row)?);
        for (index, (field, value)) in std::iter::zip(&self.fields, &row.0).enumerate() {
            if !self.key.contains(&index) {
                let value = match value {
                    Some(value) => self.bson(field, value)?,
                    None => Bson::Null,
                };
                put(&mut document, &field.path, value);
            }
        }
        Ok(document)
    }

    /// [`Shape::document`] as the bytes that are sent. Without a detour where every column is a field of the document itself.
    ///
    /// # Errors
    /// As there.
    pub(super) fn raw_document(&self, row: &Row) -> StoreResult<RawDocumentBuf> {
        let odd = || StoreError::unexpected(&self.store, "a value that BSON does not take");
        let raw = |bson: Bson| RawBson::try_from(bson).map_err(|_| odd());
        if self.fields.iter().any(|field| field.plain.is_none()) {
            return RawDocumentBuf::try_from(&self.document(row)?).map_err(|_| odd());
        }
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("_id"), raw(self.id_of_row(row)?)?);
        for (index, (field, value)) in std::iter::zip(&self.fields, &row.0).enumerate() {
            let Some(name) = field.plain.as_ref().filter(|_| !self.key.contains(&index)) else {
                continue;
            };
            match value {
                Some(value) => document.append(name, raw(self.bson(field, value)?)?),
                None => document.append(name, RawBson::Null),
            }
        }
        Ok(document)
    }

    /// `_id` of a key.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] when a value has no exact form.
    pub(super) fn id_of(&self, key: &Key) -> StoreResult<Bson> {
        self.id(&key.0.iter().collect::<Vec<_>>())
    }

    /// `_id` of a row.
    ///
    /// # Errors
    /// As [`Shape::id_of`].
    pub(super) fn id_of_row(&self, row: &Row) -> StoreResult<Bson> {
        let parts = self
            .key
            .iter()
            .map(|&index| row.0.get(index).and_then(Option::as_ref));
        let parts: Option<Vec<&Bytes>> = parts.collect();
        self.id(&parts.ok_or_else(|| StoreError::unexpected(&self.store, "a row without its key"))?)
    }

    /// A filter for the document of this `_id`.
    ///
    /// # Errors
    /// When BSON does not take it.
    pub(super) fn raw_id(&self, id: Bson) -> StoreResult<RawDocumentBuf> {
        let raw = RawBson::try_from(id)
            .map_err(|_| StoreError::unexpected(&self.store, "a key that BSON does not take"))?;
        let mut filter = RawDocumentBuf::new();
        filter.append(cstr!("_id"), raw);
        Ok(filter)
    }

    fn id(&self, parts: &[&Bytes]) -> StoreResult<Bson> {
        let fields = || self.key.iter().map(|&index| &self.fields[index]);
        if let ([only], Some(field)) = (parts, fields().next()) {
            return self.bson(field, only);
        }
        let mut id = Document::new();
        for (field, part) in std::iter::zip(fields(), parts) {
            id.insert(field.path.join("."), self.bson(field, part)?);
        }
        Ok(id.into())
    }

    fn bson(&self, field: &Field, value: &Bytes) -> StoreResult<Bson> {
        // What PostgreSQL calls a value that is out of the range of its type.
        field
            .kind
            .to_bson(value)
            .map_err(|inexact| StoreError::Rejected {
                store: self.store.clone(),
                sqlstate: "22003".to_owned(),
                message: format!(
                    "field \"{}\" of \"{}\": {inexact}",
                    field.path.join("."),
                    self.table
                ),
                constraint: None,
            })
    }

    /// The row of a document. A field that is missing is NULL, like one that is null; a value that the mapping does not write is like no other.
    pub(super) fn row(&self, document: &Document) -> Row {
        let values = self.fields.iter().enumerate().map(|(index, field)| {
            let value = match (self.key.contains(&index), self.key.len()) {
                (true, 1) => document.get(ID),
                (true, _) => document
                    .get_document(ID)
                    .ok()
                    .and_then(|id| id.get(field.path.join("."))),
                (false, _) => get(document, &field.path),
            };
            match value {
                None | Some(Bson::Null) => None,
                Some(value) => Some(
                    field
                        .kind
                        .to_canonical(value)
                        .unwrap_or_else(|| foreign(value)),
                ),
            }
        });
        Row(values.collect())
    }

    /// Whether the key of a row that was read is one that the mapping writes.
    pub(super) fn is_own(&self, row: &Row) -> bool {
        self.key.iter().all(|&index| {
            row.0
                .get(index)
                .and_then(Option::as_ref)
                .is_some_and(|part| !part.starts_with(b"\0"))
        })
    }

    /// The same text for the same `_id`, as MongoDB sees it: numbers by their value.
    pub(super) fn name_of(id: &Bson) -> String {
        match id {
            Bson::Decimal128(number) => {
                let text = decimal_text(number);
                match text.split_once('.') {
                    Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                    None => text,
                }
            }
            Bson::Document(parts) => {
                let parts = parts
                    .iter()
                    .map(|(name, part)| format!("{name}={:?}", Shape::name_of(part)));
                parts.collect::<Vec<_>>().join(",")
            }
            other => format!("{other:?}"),
        }
    }
}

fn put(document: &mut Document, path: &[String], value: Bson) {
    match path {
        [] => {}
        [name] => {
            document.insert(name, value);
        }
        [name, rest @ ..] => {
            if let Bson::Document(inner) = document
                .entry(name.clone())
                .or_insert_with(|| Document::new().into())
            {
                put(inner, rest, value);
            }
        }
    }
}

fn get<'a>(document: &'a Document, path: &[String]) -> Option<&'a Bson> {
    match path {
        [] => None,
        [name] => document.get(name),
        [name, rest @ ..] => get(document.get_document(name).ok()?, rest),
    }
}
