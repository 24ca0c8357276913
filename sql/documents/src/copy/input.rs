//! From the client's data to values.

use bytes::Bytes;
use crossfade_values::{Error, Result, Session, Types, Value, format};

use super::{
    Header, Options, bad,
    binary::Binary,
    context, fields,
    lines::{Lines, Next},
    shown, utf8,
};
use crate::{bind::CopyFrom, catalog::Column, catalog::Table};

/// A row of the data.
#[derive(Debug)]
pub(crate) struct Record {
    /// Number of its line, or of the row where there are no lines.
    pub(crate) number: u64,
    /// The line.
    pub(crate) line: Option<Bytes>,
    /// Bytes of the line, 0 where there is none.
    pub(crate) length: usize,
    /// By the columns of the COPY.
    pub(crate) values: Vec<Value>,
}

#[derive(Debug)]
enum Data {
    Lines(Box<Lines>),
    Binary(Binary),
}

/// The data of one COPY FROM.
pub(crate) struct Input<'a> {
    options: &'a Options,
    table: &'a Table,
    columns: Vec<&'a Column>,
    not_null: &'a [bool],
    null: &'a [bool],
    types: &'a Types,
    session: &'a Session,
    data: Data,
    header: Header,
}

/// Looks at the value of a column, by its place in the table.
pub(crate) type Check<'c> = &'c dyn Fn(usize, &Value) -> Result<()>;

impl<'a> Input<'a> {
    pub(crate) fn new(
        copy: &'a CopyFrom,
        table: &'a Table,
        types: &'a Types,
        session: &'a Session,
    ) -> Input<'a> {
        let options = &copy.options;
        Input {
            options,
            table,
            columns: copy
                .columns
                .iter()
                .map(|&column| &table.columns[column])
                .collect(),
            not_null: &copy.force_not_null,
            null: &copy.force_null,
            types,
            session,
            data: match options.is_binary() {
                true => Data::Binary(Binary::default()),
                false => Data::Lines(Box::new(Lines::new(options))),
            },
            header: options.header,
        }
    }

    /// Takes a piece; none at the end.
    pub(crate) fn feed(&mut self, piece: Option<&[u8]>) {
        match &mut self.data {
            Data::Lines(lines) => lines.feed(piece),
            Data::Binary(binary) => binary.feed(piece),
        }
    }

    /// An error that has to do with the present line as a whole.
    pub(crate) fn here(&self, error: Error) -> Error {
        let number = match &self.data {
            Data::Lines(lines) => lines.number.max(1),
            Data::Binary(binary) if !binary.has_begun() => return error,
            Data::Binary(binary) => binary.number,
        };
        let field = match &self.data {
            Data::Lines(_) => None,
            Data::Binary(binary) => binary.field.and_then(|field| self.columns.get(field)),
        };
        error.context(|| {
            let place = context(self.table.name(), number, None);
            match field {
                Some(column) => format!("{place}, column {}", column.name),
                None => place,
            }
        })
    }

    /// The next row.
    pub(crate) fn next(&mut self, check: Check<'_>) -> Result<Next<Record>> {
        let width = self.columns.len();
        if let Data::Binary(binary) = &mut self.data {
            let number = binary.number.max(1);
            let next = binary.next(width);
            let before = binary.before();
            return match next {
                Ok(Next::One(fields)) => self.received(number, &fields, check).map(Next::One),
                Ok(Next::More) => Ok(Next::More),
                Ok(Next::End) => Ok(Next::End),
                Err(error) => {
                    self.received(number, &before, check)?;
                    Err(self.here(error))
                }
            };
        }
        loop {
            let (line, number) = match self.line()? {
                Next::One(line) => line,
                Next::More => return Ok(Next::More),
                Next::End => return Ok(Next::End),
            };
            let text = utf8(&line).map_err(|error| self.here(error))?;
            let whole =
                |error: Error| error.context(|| context(self.table.name(), number, Some(text)));
            match std::mem::take(&mut self.header) {
                Header::None => {}
                Header::Line => continue,
                Header::Match => {
                    let fields = fields::split(text, self.options).map_err(whole)?;
                    self.match_header(&fields).map_err(whole)?;
                    continue;
                }
            }
            let values = self.values(text, number, check).map_err(whole)?;
            return Ok(Next::One(Record {
                number,
                length: line.len(),
                line: Some(line),
                values,
            }));
        }
    }

    fn line(&mut self) -> Result<Next<(Bytes, u64)>> {
        let Data::Lines(lines) = &mut self.data else {
            return Ok(Next::End);
        };
        match lines.next() {
            Ok(Next::One(line)) => Ok(Next::One((line, lines.number))),
            Ok(Next::More) => Ok(Next::More),
            Ok(Next::End) => Ok(Next::End),
            Err(error) => Err(self.here(error)),
        }
    }

    fn match_header(&self, fields: &[Option<String>]) -> Result<()> {
        let (found, expected) = (fields.len(), self.columns.len());
        if found != expected {
            return Err(bad(format!(
                "wrong number of fields in header line: got {found}, expected {expected}"
            )));
        }
        for (index, (field, column)) in fields.iter().zip(&self.columns).enumerate() {
            let got = match field {
                Some(name) if *name == column.name => continue,
                Some(name) => format!("\"{name}\""),
                None => format!("null value (\"{}\")", self.options.null),
            };
            return Err(bad(format!(
                "column name mismatch in header line field {}: got {got}, expected \"{}\"",
                index + 1,
                column.name
            )));
        }
        Ok(())
    }

    fn values(&self, line: &str, number: u64, check: Check<'_>) -> Result<Vec<Value>> {
        let fields = fields::split(line, self.options)?;
        if fields.len() > self.columns.len() {
            return Err(bad("extra data after last expected column"));
        }
        let mut values = Vec::with_capacity(fields.len());
        let mut fields = fields.into_iter();
        for (index, column) in self.columns.iter().enumerate() {
            let Some(field) = fields.next() else {
                let told = format!("missing data for column \"{}\"", column.name);
                return Err(bad(told));
            };
            let field = match field {
                None if self.not_null[index] => Some(self.options.null.clone()),
                Some(text) if self.null[index] && text == self.options.null => None,
                field => field,
            };
            let value = match &field {
                None => Ok(Value::Null),
                Some(text) => format::parse(column.base, text, self.types, self.session),
            };
            let checked = value.and_then(|value| self.checked(column, value, check));
            values.push(checked.map_err(|error| {
                error.context(|| {
                    let shown = match &field {
                        Some(text) => format!("\"{}\"", shown(text)),
                        None => "null input".to_owned(),
                    };
                    let place = context(self.table.name(), number, None);
                    format!("{place}, column {}: {shown}", column.name)
                })
            })?);
        }
        Ok(values)
    }

    fn received(&self, number: u64, fields: &[Option<Bytes>], check: Check<'_>) -> Result<Record> {
        let mut values = Vec::with_capacity(fields.len());
        for (field, column) in fields.iter().zip(&self.columns) {
            let value = match field {
                None => Ok(Value::Null),
                Some(bytes) => format::receive(column.base, bytes, self.types, self.session),
            };
            let checked = value.and_then(|value| self.checked(column, value, check));
            values.push(checked.map_err(|error| {
                error.context(|| {
                    let place = context(self.table.name(), number, None);
                    format!("{place}, column {}", column.name)
                })
            })?);
        }
        Ok(Record {
            number,
            line: None,
            length: 0,
            values,
        })
    }

    fn checked(&self, column: &Column, value: Value, check: Check<'_>) -> Result<Value> {
        let place = self.table.column(&column.name).unwrap_or_default();
        check(place, &value).map(|()| value)
    }
}
