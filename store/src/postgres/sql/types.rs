//! Which built-in types have a text that depends on the session, and how their values travel instead.

use bytes::Bytes;

use crate::{Column, hex::unhex};

/// First OID that a server gives to what users create (`FirstNormalObjectId`).
const FIRST_USER_OID: u32 = 16384;

pub(super) const TEXT: u32 = 25;
pub(super) const BPCHAR: u32 = 1042;
pub(super) const VARCHAR: u32 = 1043;

/// Type, its name in a cast, and the function that gives its binary form.
type ByBinary = (u32, &'static str, &'static str);

/// Types whose text depends on DateStyle, IntervalStyle, TimeZone, extra_float_digits, lc_monetary or bytea_output (trap 35).
const BY_BINARY: &[ByBinary] = &[
    (BYTEA, "bytea", ""),
    (700, "float4", "float4send"),
    (701, "float8", "float8send"),
    (790, "money", "cash_send"),
    (1082, "date", "date_send"),
    (1083, "time", "time_send"),
    (1266, "timetz", "timetz_send"),
    (1114, "timestamp", "timestamp_send"),
    (1184, "timestamptz", "timestamptz_send"),
    (1186, "interval", "interval_send"),
    (600, "point", "point_send"),
    (601, "lseg", "lseg_send"),
    (602, "path", "path_send"),
    (603, "box", "box_send"),
    (604, "polygon", "poly_send"),
    (628, "line", "line_send"),
    (718, "circle", "circle_send"),
    (3908, "tsrange", "range_send"),
    (3910, "tstzrange", "range_send"),
    (3912, "daterange", "range_send"),
    (4533, "tsmultirange", "multirange_send"),
    (4534, "tstzmultirange", "multirange_send"),
    (4535, "datemultirange", "multirange_send"),
    (1001, "bytea[]", "array_send"),
    (1021, "float4[]", "array_send"),
    (1022, "float8[]", "array_send"),
    (791, "money[]", "array_send"),
    (1182, "date[]", "array_send"),
    (1183, "time[]", "array_send"),
    (1270, "timetz[]", "array_send"),
    (1115, "timestamp[]", "array_send"),
    (1185, "timestamptz[]", "array_send"),
    (1187, "interval[]", "array_send"),
    (1017, "point[]", "array_send"),
    (1018, "lseg[]", "array_send"),
    (1019, "path[]", "array_send"),
    (1020, "box[]", "array_send"),
    (1027, "polygon[]", "array_send"),
    (629, "line[]", "array_send"),
    (719, "circle[]", "array_send"),
    (3909, "tsrange[]", "array_send"),
    (3911, "tstzrange[]", "array_send"),
    (3913, "daterange[]", "array_send"),
    (6152, "tsmultirange[]", "array_send"),
    (6153, "tstzmultirange[]", "array_send"),
    (6155, "datemultirange[]", "array_send"),
];

pub(super) const BYTEA: u32 = 17;

/// OIDs of the types whose canonical text is the hex of their binary form.
pub(crate) fn binary_oids() -> impl Iterator<Item = u32> {
    BY_BINARY.iter().map(|&(oid, _, _)| oid)
}

pub(super) fn by_binary(oid: u32) -> Option<(&'static str, &'static str)> {
    BY_BINARY
        .iter()
        .find(|&&(candidate, _, _)| candidate == oid)
        .map(|&(_, cast, send)| (cast, send))
}

/// Whether the column's base type comes with every server.
#[must_use]
pub fn is_builtin(column: &Column) -> bool {
    (1..FIRST_USER_OID).contains(&column.type_oid)
}

/// Whether the canonical text of the column's values is the hex of their binary form.
#[must_use]
pub fn travels_as_hex(column: &Column) -> bool {
    by_binary(column.type_oid).is_some()
}

/// `text`, `varchar` or `char`: what text turns into without a cast.
pub(super) fn is_textual(column: &Column) -> bool {
    matches!(column.type_oid, TEXT | BPCHAR | VARCHAR)
}

/// The column's base type for an explicit cast, without the lengths that an explicit cast would cut a value to in
/// silence (trap 11): the assignment to the column then checks them.
pub(crate) fn cast_type(column: &Column) -> &str {
    match column.type_oid {
        VARCHAR => "pg_catalog.varchar",
        BPCHAR => "pg_catalog.bpchar",
        1560 => "pg_catalog.\"bit\"",
        1562 => "pg_catalog.varbit",
        1015 => "pg_catalog.varchar[]",
        1014 => "pg_catalog.bpchar[]",
        1561 => "pg_catalog.\"bit\"[]",
        1563 => "pg_catalog.varbit[]",
        _ if column.base_type.is_empty() => &column.type_name,
        _ => &column.base_type,
    }
}

/// How one canonical value is bound as a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParamKind {
    /// As it is, declared as `text`.
    Text,
    /// Its hex digits as bytes, in binary format, declared as the type with this OID.
    Binary(u32),
}

impl ParamKind {
    /// OID of the type to declare.
    #[must_use]
    pub fn oid(self) -> u32 {
        match self {
            ParamKind::Text => TEXT,
            ParamKind::Binary(oid) => oid,
        }
    }

    /// The bytes for the wire. They are the type's binary format, which for [`ParamKind::Text`] is its text format as well. `None` when the value
    /// is not in canonical text.
    #[must_use]
    pub fn decode(self, value: &Bytes) -> Option<Bytes> {
        match self {
            ParamKind::Text => Some(value.clone()),
            ParamKind::Binary(_) => unhex(value).map(Bytes::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_values_travel_as_bytes_and_texts_as_they_are() {
        let kind = ParamKind::Binary(1184);
        assert_eq!(
            kind.decode(&Bytes::from_static(b"00ff7A")),
            Some(Bytes::from_static(&[0, 255, 0x7a]))
        );
        assert_eq!(kind.decode(&Bytes::from_static(b"0")), None);
        assert_eq!(kind.decode(&Bytes::from_static(b"0g")), None);
        assert_eq!(
            ParamKind::Text.decode(&Bytes::from_static(b"0g")),
            Some(Bytes::from_static(b"0g"))
        );
    }
}
