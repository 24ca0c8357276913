//! Names of rows.

use std::sync::Arc;

use crate::codec::{Cursor, Malformed, put_bytes, put_varint, varint_len};

/// The name of one row: toggle, old table, key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JournalKey {
    /// Toggle the table belongs to.
    pub toggle: Arc<str>,
    /// Qualified name of the table in the old store, `schema.table`.
    pub table: Arc<str>,
    /// Key columns in key order, in canonical text.
    pub key: Vec<Vec<u8>>,
}

/// A [`JournalKey`] that owns nothing, for callers that hold the parts in another form.
#[derive(Debug)]
pub struct KeyRef<'a, P> {
    /// Toggle the table belongs to.
    pub toggle: &'a str,
    /// Qualified name of the table in the old store, `schema.table`.
    pub table: &'a str,
    /// Key columns in key order, in canonical text.
    pub parts: &'a [P],
}

/// Anything that names a row.
pub trait Keyed {
    /// Toggle the table belongs to.
    fn toggle(&self) -> &str;
    /// Qualified name of the table in the old store.
    fn table(&self) -> &str;
    /// Calls `visit` with each key column in key order.
    fn each_part(&self, visit: &mut dyn FnMut(&[u8]));
}

impl Keyed for JournalKey {
    fn toggle(&self) -> &str {
        &self.toggle
    }
    fn table(&self) -> &str {
        &self.table
    }
    fn each_part(&self, visit: &mut dyn FnMut(&[u8])) {
        self.key.iter().for_each(|part| visit(part));
    }
}

impl<P: AsRef<[u8]>> Keyed for KeyRef<'_, P> {
    fn toggle(&self) -> &str {
        self.toggle
    }
    fn table(&self) -> &str {
        self.table
    }
    fn each_part(&self, visit: &mut dyn FnMut(&[u8])) {
        self.parts.iter().for_each(|part| visit(part.as_ref()));
    }
}

impl<K: Keyed> Keyed for &K {
    fn toggle(&self) -> &str {
        (**self).toggle()
    }
    fn table(&self) -> &str {
        (**self).table()
    }
    fn each_part(&self, visit: &mut dyn FnMut(&[u8])) {
        (**self).each_part(visit);
    }
}

/// Appends the packed key, with its length in front.
pub(crate) fn put_key(buf: &mut Vec<u8>, key: &impl Keyed) {
    let mut len = 0;
    key.each_part(&mut |part| len += varint_len(part.len() as u64) + part.len());
    put_varint(buf, len as u64);
    key.each_part(&mut |part| put_bytes(buf, part));
}

/// The packed form of key columns: what tables are indexed by.
pub(crate) fn pack<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(32);
    for part in parts {
        put_bytes(&mut packed, part.as_ref());
    }
    packed
}

/// A key as the rows in a primary name it.
#[must_use]
pub fn packed_key<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
    pack(parts)
}

/// The key columns again.
pub(crate) fn unpack(packed: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut cursor = Cursor::new(packed);
    let mut parts = Vec::new();
    while !cursor.is_empty() {
        parts.push(cursor.bytes()?.to_vec());
    }
    Ok(parts)
}
