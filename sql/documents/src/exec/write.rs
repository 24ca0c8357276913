//! INSERT, UPDATE, DELETE.

mod conflict;
mod counters;
mod insert;
mod merge;
mod rules;
mod update;

pub(super) use merge::Written;
pub(super) use rules::named;

use crossfade_values::Error;
use mongodb::bson::{Bson, Document, RawDocumentBuf};

use super::{Exec, Row, Subs, select::Out};
use crate::{
    catalog::Table,
    codec,
    expr::Expr,
    fail::Fail,
    txn::{Entry, Hold},
};

impl Exec<'_> {
    /// The document of a new row.
    pub(crate) fn insertion(&self, table: &Table, row: &Row) -> Result<Entry, Fail> {
        let (id, document) = self.document(table, row)?;
        Ok(Entry {
            collection: table.documents.collection.clone(),
            id,
            before: None,
            after: Some(document),
            hold: Hold::Whole,
        })
    }

    /// `_id` and the document of a row.
    pub(crate) fn document(
        &self,
        table: &Table,
        row: &Row,
    ) -> Result<(Bson, RawDocumentBuf), Fail> {
        let bson = |column: usize| -> Result<Bson, Fail> {
            let field = &table.documents.fields[column];
            let column = &table.columns[column];
            let value = &row[table.column(&column.name).unwrap_or_default()];
            codec::to_bson(&field.kind, column.base, value, &self.catalog.types).map_err(|error| {
                Error {
                    message: format!("column \"{}\": {}", column.name, error.message),
                    ..error
                }
                .into()
            })
        };
        let parts = table
            .documents
            .key
            .iter()
            .map(|&column| bson(column))
            .collect::<Result<Vec<_>, Fail>>()?;
        let id = table.documents.id(parts);
        let mut document = Document::new();
        document.insert("_id", id.clone());
        for (column, field) in table.documents.fields.iter().enumerate() {
            if field.key.is_none() {
                put(&mut document, &field.path, bson(column)?);
            }
        }
        let raw = RawDocumentBuf::try_from(&document).map_err(|error| {
            Error::new("22P05", format!("a row that BSON does not take: {error}"))
        })?;
        Ok((id, raw))
    }

    async fn returned(
        &mut self,
        returning: &[Expr],
        row: Row,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        if returning.is_empty() {
            return Ok(());
        }
        let subs = Subs::of(returning);
        let fixed = self.fixed_answers(&subs, None).await?;
        let env = self.env(None);
        let answers = self
            .row_answers(&subs, &fixed, &env.with(&row, &fixed))
            .await?;
        let env = env.with(&row, &answers);
        let values = returning
            .iter()
            .map(|expr| env.eval(expr))
            .collect::<Result<Row, Error>>()?;
        let width = values.len();
        out.put(self, values, width).await
    }

    /// A duplicate in PostgreSQL's own words. `inserts`: each row was inserted, in this order.
    pub(crate) async fn told(
        &mut self,
        table: &Table,
        (rows, inserts): (&[Row], bool),
        outcome: Result<(), Fail>,
    ) -> Result<(), Fail> {
        let Err(Fail::Duplicate(index, at)) = outcome else {
            return outcome;
        };
        let Some(unique) = table.unique(&index) else {
            return Err(Fail::Duplicate(index, at));
        };
        let inserted = at.filter(|_| inserts).and_then(|at| rows.get(at)).cloned();
        let taken = match inserted {
            Some(row) => Some(row),
            None => self.taken(table, unique, rows).await,
        };
        Err(self.duplicate(table, unique, taken.as_ref()).into())
    }
}

impl Out<'_> {
    /// A row of RETURNING.
    pub(crate) async fn put(
        &mut self,
        exec: &mut Exec<'_>,
        row: Row,
        width: usize,
    ) -> Result<(), Fail> {
        self.push(exec, row, width).await
    }
}

fn put(document: &mut Document, path: &str, value: Bson) {
    match path.split_once('.') {
        None => {
            document.insert(path, value);
        }
        Some((name, rest)) => {
            if let Bson::Document(inner) = document
                .entry(name.to_owned())
                .or_insert_with(|| Document::new().into())
            {
                put(inner, rest, value);
            }
        }
    }
}
