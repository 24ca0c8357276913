//! The body of an intent's row: it names tables, since another process may read it.

use crossfade_phase::Side;

use crate::{
    codec::{Cursor, Keys, Malformed, put_bytes, put_varint, side_byte},
    registry::Registry,
};

/// A key as a row names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NamedKey<'a> {
    pub(crate) toggle: &'a str,
    pub(crate) table: &'a str,
    pub(crate) key: &'a [u8],
}

/// Side; number of tables, toggle and name of each; number of keys, table and packed key of each.
pub(crate) fn encode(registry: &Registry, target: Side, keys: Keys<'_>) -> Vec<u8> {
    let mut tables: Vec<u32> = Vec::new();
    let mut list = Vec::with_capacity(keys.section.len());
    // Encoded by this process.
    let _ = keys.each(|table, key| {
        let at = tables.iter().position(|known| *known == table);
        let at = at.unwrap_or_else(|| {
            tables.push(table);
            tables.len() - 1
        });
        put_varint(&mut list, at as u64);
        put_bytes(&mut list, key);
    });
    let mut body = Vec::with_capacity(list.len() + 48);
    body.push(side_byte(target));
    put_varint(&mut body, tables.len() as u64);
    for table in tables.iter().filter_map(|table| registry.by_number(*table)) {
        put_bytes(&mut body, registry.toggle_of(&table).as_bytes());
        put_bytes(&mut body, table.name.as_bytes());
    }
    put_varint(&mut body, keys.count.into());
    body.extend_from_slice(&list);
    body
}

/// Reads what [`encode`] wrote. Anybody can call the function that inserts a row: nothing in it is trusted.
pub(crate) fn decode(body: &[u8]) -> Result<(Side, Vec<NamedKey<'_>>), Malformed> {
    let mut cursor = Cursor::new(body);
    let target = cursor.side()?;
    let mut tables = Vec::new();
    for _ in 0..cursor.u32()? {
        tables.push((cursor.str()?, cursor.str()?));
    }
    let mut keys = Vec::new();
    for _ in 0..cursor.u32()? {
        let at = usize::try_from(cursor.u32()?).map_err(|_| Malformed)?;
        let &(toggle, table) = tables.get(at).ok_or(Malformed)?;
        let key = cursor.bytes()?;
        crate::key::unpack(key)?;
        keys.push(NamedKey { toggle, table, key });
    }
    if cursor.is_empty() {
        Ok((target, keys))
    } else {
        Err(Malformed)
    }
}

/// The keys of a table that the row of an intent names, packed. None where it cannot be read: whoever takes it over says so.
#[must_use]
pub fn intended_keys(body: &[u8], table: &str) -> Vec<Vec<u8>> {
    let named = decode(body).map(|(_, keys)| keys).unwrap_or_default();
    let of_table = named.iter().filter(|named| named.table == table);
    of_table.map(|named| named.key.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_come_back_by_name() {
        let registry = Registry::default();
        let (a, b) = (
            registry.define("shop", "s.a"),
            registry.define("bank", "s.b"),
        );
        let mut section = Vec::new();
        for (table, key) in [(b.number, b"1"), (a.number, b"2"), (b.number, b"3")] {
            put_varint(&mut section, table.into());
            put_bytes(&mut section, &crate::key::pack(&[key]));
        }
        let keys = Keys {
            count: 3,
            section: &section,
        };
        let body = encode(&registry, Side::New, keys);
        let (target, named) = decode(&body).unwrap();
        assert_eq!(target, Side::New);
        let named: Vec<_> = named
            .iter()
            .map(|named| (named.toggle, named.table, named.key.last().copied()))
            .collect();
        let want = [
            ("bank", "s.b", Some(b'1')),
            ("shop", "s.a", Some(b'2')),
            ("bank", "s.b", Some(b'3')),
        ];
        assert_eq!(named, want);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(body: Vec<u8>) {
            let _ = decode(&body);
        }
    }
}
