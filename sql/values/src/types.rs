//! Types by their `pg_type.oid`.

use std::{collections::BTreeMap, sync::Arc};

/// `pg_type.oid`.
pub type Oid = u32;

/// OIDs of built-in types (`pg_type.dat`), stable over all versions of PostgreSQL.
#[allow(missing_docs, reason = "each is the type of its name")]
pub mod oid {
    use super::Oid;
    pub const BOOL: Oid = 16;
    pub const BYTEA: Oid = 17;
    pub const CHAR: Oid = 18;
    pub const NAME: Oid = 19;
    pub const INT8: Oid = 20;
    pub const INT2: Oid = 21;
    pub const INT4: Oid = 23;
    pub const REGPROC: Oid = 24;
    pub const TEXT: Oid = 25;
    pub const OID: Oid = 26;
    pub const JSON: Oid = 114;
    pub const FLOAT4: Oid = 700;
    pub const FLOAT8: Oid = 701;
    pub const UNKNOWN: Oid = 705;
    pub const MONEY: Oid = 790;
    pub const INET: Oid = 869;
    pub const CIDR: Oid = 650;
    pub const MACADDR: Oid = 829;
    pub const BPCHAR: Oid = 1042;
    pub const VARCHAR: Oid = 1043;
    pub const DATE: Oid = 1082;
    pub const TIME: Oid = 1083;
    pub const TIMESTAMP: Oid = 1114;
    pub const TIMESTAMPTZ: Oid = 1184;
    pub const INTERVAL: Oid = 1186;
    pub const TIMETZ: Oid = 1266;
    pub const BIT: Oid = 1560;
    pub const VARBIT: Oid = 1562;
    pub const NUMERIC: Oid = 1700;
    pub const RECORD: Oid = 2249;
    pub const VOID: Oid = 2278;
    pub const UUID: Oid = 2950;
    pub const JSONB: Oid = 3802;
    pub const REGCLASS: Oid = 2205;
    pub const REGTYPE: Oid = 2206;
    pub const XID8: Oid = 5069;
    pub const BOOL_ARRAY: Oid = 1000;
    pub const BYTEA_ARRAY: Oid = 1001;
    pub const NAME_ARRAY: Oid = 1003;
    pub const INT2_ARRAY: Oid = 1005;
    pub const INT4_ARRAY: Oid = 1007;
    pub const TEXT_ARRAY: Oid = 1009;
    pub const BPCHAR_ARRAY: Oid = 1014;
    pub const VARCHAR_ARRAY: Oid = 1015;
    pub const INT8_ARRAY: Oid = 1016;
    pub const FLOAT4_ARRAY: Oid = 1021;
    pub const FLOAT8_ARRAY: Oid = 1022;
    pub const OID_ARRAY: Oid = 1028;
    pub const TIMESTAMP_ARRAY: Oid = 1115;
    pub const DATE_ARRAY: Oid = 1182;
    pub const TIME_ARRAY: Oid = 1183;
    pub const TIMESTAMPTZ_ARRAY: Oid = 1185;
    pub const INTERVAL_ARRAY: Oid = 1187;
    pub const NUMERIC_ARRAY: Oid = 1231;
    pub const TIMETZ_ARRAY: Oid = 1270;
    pub const UUID_ARRAY: Oid = 2951;
    pub const JSONB_ARRAY: Oid = 3807;
    pub const JSON_ARRAY: Oid = 199;
}

/// A type with its modifier (`atttypmod`; -1 for none).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Type {
    /// The type, never a domain.
    pub oid: Oid,
    /// `atttypmod`.
    pub modifier: i32,
}

impl Type {
    /// Without a modifier.
    #[must_use]
    pub const fn of(oid: Oid) -> Type {
        Type { oid, modifier: -1 }
    }
}

/// An enum of the old store's users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enum {
    /// Its type.
    pub oid: Oid,
    /// The type of arrays of it; 0 for none.
    pub array: Oid,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Labels, in the order of the type.
    pub labels: Vec<Arc<str>>,
}

/// Types that are not built in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Types {
    /// By OID.
    pub enums: BTreeMap<Oid, Enum>,
    /// `lower`, `upper` and their kin change ASCII letters alone, as in a database whose `LC_CTYPE` is C.
    pub folds_ascii_only: bool,
}
