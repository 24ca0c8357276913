//! Where rows go: to the client, into a portal that is read in portions, or into a cursor.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use crossfade_values::{Array, Error, Json, Result, Value};
use futures::future::BoxFuture;

use crate::{
    Column, CopyShape, Sink,
    io::{Io, SEND_AT},
    protocol::backend::{self, Formats},
    report::Report,
    state::State,
};

/// Most bytes that rows kept for a portal or cursor take.
const MOST_KEPT: usize = 64 * 1024 * 1024;

fn too_much() -> Error {
    Error::new(
        "54000",
        "the rows of a portal or cursor take more than 64 MB",
    )
    .hint("fetch without a row limit, or ask for fewer rows")
}

/// Rows as messages, kept until they are asked for.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    bytes: BytesMut,
    /// Where each row ends, counted from the first.
    ends: std::collections::VecDeque<usize>,
    taken: usize,
}

impl Kept {
    /// Moves up to `most` rows (0 for all) to `out`, and tells how many.
    pub(crate) fn hand_out(&mut self, most: usize, out: &mut BytesMut) -> usize {
        let count = match most {
            0 => self.ends.len(),
            most => most.min(self.ends.len()),
        };
        if let Some(end) = self.ends.drain(..count).next_back() {
            out.unsplit(self.bytes.split_to(end - self.taken));
            self.taken = end;
        }
        count
    }
}

/// How an answer goes to the client.
#[derive(Debug, Default)]
pub(crate) struct Target {
    pub(crate) formats: Formats,
    /// A `RowDescription` comes first: the simple protocol's way.
    pub(crate) describe: bool,
    /// Rows are kept and not sent.
    pub(crate) kept: Option<Kept>,
}

/// Encodes rows.
pub(crate) struct RowSink<'a> {
    pub(crate) io: &'a mut Io,
    pub(crate) target: &'a mut Target,
    pub(crate) columns: &'a [Column],
    pub(crate) state: &'a State,
    pub(crate) scratch: Vec<u8>,
}

impl Sink for RowSink<'_> {
    fn push(&mut self, row: &[Value]) -> Result<()> {
        let out = match &mut self.target.kept {
            Some(kept) => &mut kept.bytes,
            None => &mut self.io.out,
        };
        backend::data_row(
            out,
            self.columns,
            &self.target.formats,
            row,
            &self.state.types,
            &self.state.session,
            &mut self.scratch,
        )?;
        if let Some(kept) = &mut self.target.kept {
            if kept.bytes.len() > MOST_KEPT {
                return Err(too_much());
            }
            kept.ends.push_back(kept.bytes.len());
        }
        Ok(())
    }

    fn push_image(&mut self, columns: &[Column], row: &[Value]) -> Result<()> {
        backend::data_row(
            &mut self.io.out,
            columns,
            &Formats::default(),
            row,
            &self.state.types,
            &self.state.session,
            &mut self.scratch,
        )
    }

    fn notice(&mut self, told: &str) {
        let least = self.state.settings.get("client_min_messages");
        if !matches!(least, Some("warning" | "error")) {
            backend::report(&mut self.io.out, &Report::notice(told));
        }
    }

    fn copy_in(&mut self, shape: CopyShape) -> Result<()> {
        backend::copy_response(&mut self.io.out, b'G', shape.columns, shape.binary);
        Ok(())
    }

    fn receive(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>> {
        Box::pin(self.io.next_copy())
    }

    fn copy_out(&mut self, shape: CopyShape) -> Result<()> {
        backend::copy_response(&mut self.io.out, b'H', shape.columns, shape.binary);
        Ok(())
    }

    fn copy_data(&mut self, data: Option<&[u8]>) -> Result<()> {
        match data {
            Some(data) => backend::copy_data(&mut self.io.out, data),
            None => backend::empty(&mut self.io.out, b'c'),
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.io.out.len() >= SEND_AT
    }

    fn drain(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.io
                .flush()
                .await
                .map_err(|_| Error::new("08006", "connection to client lost"))
        })
    }
}

/// Collects rows as values.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) rows: Vec<Box<[Value]>>,
    bytes: usize,
}

impl Sink for Collected {
    fn push(&mut self, row: &[Value]) -> Result<()> {
        self.bytes += row.iter().map(size).sum::<usize>();
        if self.bytes > MOST_KEPT {
            return Err(too_much());
        }
        self.rows.push(row.into());
        Ok(())
    }

    fn is_full(&self) -> bool {
        false
    }

    fn drain(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// About what a value takes.
fn size(value: &Value) -> usize {
    let more = match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(array) => array_size(array),
        Value::Json(json) => json_size(json),
        Value::Record(fields) => fields.iter().map(|(_, value)| size(value)).sum(),
        _ => 0,
    };
    size_of::<Value>() + more
}

fn array_size(array: &Arc<Array>) -> usize {
    array.items.iter().map(size).sum()
}

fn json_size(json: &Json) -> usize {
    let more = match json {
        Json::Null | Json::Bool(_) => 0,
        Json::Number(_) => 16,
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(json_size).sum(),
        Json::Object(fields) => fields
            .iter()
            .map(|(name, value)| name.len() + json_size(value))
            .sum(),
    };
    size_of::<Json>() + more
}
