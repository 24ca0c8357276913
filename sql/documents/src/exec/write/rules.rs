//! What a row has to obey: NOT NULL, domains, checks; and unique violations in PostgreSQL's words.

use crossfade_values::{Error, Named, Value, format};
use mongodb::bson::{Document, RawDocumentBuf, doc};

use super::super::{Exec, Row};
use crate::{
    bind::{DomainRule, Rules},
    catalog::{Table, Unique},
    codec,
    fail::Fail,
};

impl Exec<'_> {
    /// Computes generated columns and checks the row.
    pub(crate) fn obey(&self, table: &Table, rules: &Rules, row: &mut Row) -> Result<(), Error> {
        for domain in &rules.domains {
            self.obey_domain(domain, &row[domain.column])?;
        }
        self.obey_row(table, rules, row)
    }

    /// Checks a value by its domain.
    pub(crate) fn obey_domain(&self, domain: &DomainRule, value: &Value) -> Result<(), Error> {
        let env = self.env(None);
        if domain.not_null && value.is_null() {
            let message = format!("domain {} does not allow null values", domain.name);
            return Err(of_domain(Error::new("23502", message), domain, None));
        }
        let one = [value.clone()];
        for (name, check) in &domain.checks {
            if matches!(env.with(&one, env.answers).eval(check)?, Value::Bool(false)) {
                let message = format!(
                    "value for domain {} violates check constraint \"{name}\"",
                    domain.name
                );
                return Err(of_domain(Error::new("23514", message), domain, Some(name)));
            }
        }
        Ok(())
    }

    /// As [`Exec::obey`], of a row whose values are all of their domains.
    pub(crate) fn obey_row(
        &self,
        table: &Table,
        rules: &Rules,
        row: &mut Row,
    ) -> Result<(), Error> {
        let env = self.env(None);
        for (column, expr) in &rules.generated {
            let value = env.with(row, env.answers).eval(expr)?;
            row[*column] = value;
        }
        for (index, column) in table.columns.iter().enumerate() {
            let required = column.not_null || table.documents.key.contains(&index);
            if required && row[index].is_null() {
                let message = format!(
                    "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                    column.name,
                    table.name()
                );
                let error = Error::new("23502", message).detail(self.failing(table, row));
                return Err(named(error, table, Some(&column.name), None));
            }
        }
        for (name, check) in &rules.checks {
            if matches!(env.with(row, env.answers).eval(check)?, Value::Bool(false)) {
                let message = format!(
                    "new row for relation \"{}\" violates check constraint \"{name}\"",
                    table.name()
                );
                let error = Error::new("23514", message).detail(self.failing(table, row));
                return Err(named(error, table, None, Some(name)));
            }
        }
        Ok(())
    }

    /// "Failing row contains (1, null)."; long values are cut as PostgreSQL cuts them.
    fn failing(&self, table: &Table, row: &Row) -> String {
        let values = row.iter().zip(&table.columns).map(|(value, column)| {
            if value.is_null() {
                return "null".to_owned();
            }
            let text = self.text(column.base.oid, value);
            match text.char_indices().nth(64) {
                Some(_) => {
                    let mut end = 64;
                    while !text.is_char_boundary(end) {
                        end -= 1;
                    }
                    format!("{}...", &text[..end])
                }
                None => text,
            }
        });
        format!(
            "Failing row contains ({}).",
            values.collect::<Vec<_>>().join(", ")
        )
    }

    pub(crate) fn text(&self, ty: u32, value: &Value) -> String {
        let mut out = Vec::new();
        format::print(ty, value, &self.catalog.types, self.run.session, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// 23505, with the values where they are known.
    pub(crate) fn duplicate(&self, table: &Table, unique: &Unique, row: Option<&Row>) -> Error {
        let error = Error::new(
            "23505",
            format!(
                "duplicate key value violates unique constraint \"{}\"",
                unique.name
            ),
        );
        let error = match row {
            Some(row) => error.detail(format!(
                "Key {} already exists.",
                self.key_text(table, &unique.columns, row)
            )),
            None => error,
        };
        named(error, table, None, Some(&unique.name))
    }

    /// "(a, b)=(1, x)".
    pub(crate) fn key_text(&self, table: &Table, columns: &[usize], row: &Row) -> String {
        let names: Vec<&str> = columns
            .iter()
            .map(|&column| table.columns[column].name.as_str())
            .collect();
        let values = columns.iter().map(|&column| match &row[column] {
            Value::Null => "null".to_owned(),
            value => self.text(table.columns[column].base.oid, value),
        });
        format!(
            "({})=({})",
            names.join(", "),
            values.collect::<Vec<_>>().join(", ")
        )
    }

    /// A filter for the document that has a row's values of a unique index; `None` where one of them is NULL.
    pub(crate) fn same_unique(
        &self,
        table: &Table,
        columns: &[usize],
        row: &Row,
    ) -> Result<Option<Document>, Fail> {
        let mut filter = Document::new();
        let mut parts = Vec::new();
        for &column in columns {
            if row[column].is_null() {
                return Ok(None);
            }
            let field = &table.documents.fields[column];
            let value = codec::to_bson(
                &field.kind,
                table.columns[column].base,
                &row[column],
                &self.catalog.types,
            )?;
            filter.insert(&field.path, value.clone());
            parts.push((column, value));
        }
        let is_key = parts.len() == table.documents.key.len()
            && parts
                .iter()
                .all(|(column, _)| table.documents.key.contains(column));
        if is_key {
            let in_order = table
                .documents
                .key
                .iter()
                .filter_map(|key| parts.iter().find(|(column, _)| column == key));
            let id = table
                .documents
                .id(in_order.map(|(_, value)| value.clone()).collect());
            return Ok(Some(doc! { "_id": id }));
        }
        Ok(Some(filter))
    }

    /// The row whose values somebody else has, after a duplicate. The transaction is gone by now; this looks from outside.
    pub(crate) async fn taken(&self, table: &Table, unique: &Unique, rows: &[Row]) -> Option<Row> {
        if let [only] = rows {
            return Some(only.clone());
        }
        let database = self.txn.store().database().await.ok()?;
        let collection = database.collection::<RawDocumentBuf>(&table.documents.collection);
        let mut seen: Vec<String> = Vec::new();
        for row in rows {
            let Ok(Some(filter)) = self.same_unique(table, &unique.columns, row) else {
                continue;
            };
            let name = filter.to_string();
            if seen.contains(&name) || matches!(collection.find_one(filter).await, Ok(Some(_))) {
                return Some(row.clone());
            }
            seen.push(name);
        }
        None
    }
}

pub(crate) fn named(
    error: Error,
    table: &Table,
    column: Option<&str>,
    constraint: Option<&str>,
) -> Error {
    Error {
        named: Some(Box::new(Named {
            schema: table.schema().to_owned(),
            table: table.name().to_owned(),
            column: column.map(str::to_owned),
            constraint: constraint.map(str::to_owned),
            datatype: None,
        })),
        ..error
    }
}

/// An error that a domain raises.
fn of_domain(error: Error, domain: &DomainRule, constraint: Option<&str>) -> Error {
    Error {
        named: Some(Box::new(Named {
            schema: domain.schema.clone(),
            constraint: constraint.map(str::to_owned),
            datatype: Some(domain.name.clone()),
            ..Named::default()
        })),
        ..error
    }
}
