//! From rows to the data of COPY TO STDOUT.

use crossfade_sql_wire::{CopyShape, Sink};
use crossfade_values::{Oid, Result, Session, Types, Value, format};
use futures::future::BoxFuture;

use super::{Format, Header, Options, binary::SIGNATURE};

/// Writes rows as data, behind a sink that carries it.
pub(crate) struct CopyOut<'a> {
    pub(crate) sink: &'a mut dyn Sink,
    pub(crate) options: &'a Options,
    /// Names and types of the columns.
    pub(crate) columns: &'a [(String, Oid)],
    /// Columns that are quoted in any case.
    pub(crate) quoted: &'a [bool],
    pub(crate) types: &'a Types,
    pub(crate) session: &'a Session,
    pub(crate) out: Vec<u8>,
    pub(crate) scratch: Vec<u8>,
}

impl CopyOut<'_> {
    /// What comes before the rows.
    pub(crate) fn begin(&mut self) -> Result<()> {
        let shape = CopyShape {
            columns: self.columns.len(),
            binary: self.options.is_binary(),
        };
        self.sink.copy_out(shape)?;
        if self.options.is_binary() {
            self.out.extend_from_slice(SIGNATURE);
            self.out.extend_from_slice(&[0; 8]);
        } else if self.options.header != Header::None {
            for (index, (name, _)) in self.columns.iter().enumerate() {
                self.delimit(index);
                self.scratch.clear();
                self.scratch.extend_from_slice(name.as_bytes());
                self.field(false);
            }
            self.send()?;
        }
        Ok(())
    }

    /// What comes behind them.
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.options.is_binary() {
            self.out.extend_from_slice(&(-1_i16).to_be_bytes());
            self.sink.copy_data(Some(&self.out))?;
        }
        self.sink.copy_data(None)
    }

    fn delimit(&mut self, index: usize) {
        if index > 0 {
            self.out.push(self.options.delimiter);
        }
    }

    fn send(&mut self) -> Result<()> {
        self.out.push(b'\n');
        let sent = self.sink.copy_data(Some(&self.out));
        self.out.clear();
        sent
    }

    /// Adds what `scratch` holds.
    fn field(&mut self, quoted: bool) {
        match self.options.format {
            Format::Csv => self.csv_field(quoted),
            _ => self.text_field(),
        }
    }

    fn text_field(&mut self) {
        for &byte in &self.scratch {
            let escaped = match byte {
                8 => b'b',
                12 => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                11 => b'v',
                b'\\' => b'\\',
                byte if byte == self.options.delimiter => byte,
                plain => {
                    self.out.push(plain);
                    continue;
                }
            };
            self.out.extend_from_slice(&[b'\\', escaped]);
        }
    }

    fn csv_field(&mut self, quoted: bool) {
        let Options {
            delimiter,
            quote,
            escape,
            ..
        } = *self.options;
        let special = |byte: &u8| *byte == delimiter || *byte == quote || b"\r\n".contains(byte);
        // Alone on its line it would be the end of the data.
        let marker = self.columns.len() == 1 && self.scratch == b"\\.";
        let as_null = self.scratch == self.options.null.as_bytes();
        if !(quoted || as_null || marker || self.scratch.iter().any(special)) {
            self.out.extend_from_slice(&self.scratch);
            return;
        }
        self.out.push(quote);
        for &byte in &self.scratch {
            if byte == quote || byte == escape {
                self.out.push(escape);
            }
            self.out.push(byte);
        }
        self.out.push(quote);
    }

    fn push_binary(&mut self, row: &[Value]) -> Result<()> {
        let count = i16::try_from(row.len()).unwrap_or(i16::MAX);
        self.out.extend_from_slice(&count.to_be_bytes());
        for ((_, ty), value) in self.columns.iter().zip(row) {
            if value.is_null() {
                self.out.extend_from_slice(&(-1_i32).to_be_bytes());
                continue;
            }
            self.scratch.clear();
            format::send(*ty, value, self.types, &mut self.scratch)?;
            let length = u32::try_from(self.scratch.len()).unwrap_or(u32::MAX);
            self.out.extend_from_slice(&length.to_be_bytes());
            self.out.extend_from_slice(&self.scratch);
        }
        let sent = self.sink.copy_data(Some(&self.out));
        self.out.clear();
        sent
    }
}

impl Sink for CopyOut<'_> {
    fn push(&mut self, row: &[Value]) -> Result<()> {
        if self.options.is_binary() {
            return self.push_binary(row);
        }
        for (index, (value, (_, ty))) in row.iter().zip(self.columns).enumerate() {
            self.delimit(index);
            if value.is_null() {
                self.out.extend_from_slice(self.options.null.as_bytes());
                continue;
            }
            self.scratch.clear();
            format::print(*ty, value, self.types, self.session, &mut self.scratch);
            self.field(self.quoted[index]);
        }
        self.send()
    }

    fn is_full(&self) -> bool {
        self.sink.is_full()
    }

    fn drain(&mut self) -> BoxFuture<'_, Result<()>> {
        self.sink.drain()
    }
}
