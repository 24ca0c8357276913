//! Session settings of the proxy's own connections.

/// Settings that a value's text, a cast or a name's meaning could depend on, pinned. Trap 35: what an operator set for the
/// account or the database must not change what two stores compare.
pub const PINNED: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("application_name", APPLICATION_NAME),
    ("search_path", ""),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("xmloption", "content"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    // A policy that hides rows from the proxy raises an error instead of making rows look absent.
    ("row_security", "off"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    // A lock that does not come is a client's open transaction or a deadlock across the stores (trap 2).
    ("lock_timeout", "5s"),
    // The last line of defence: each call has a shorter limit of its own on this side.
    ("statement_timeout", "15min"),
    ("client_min_messages", "warning"),
];

/// Name under which the proxy's own sessions appear in the servers; triggers can tell them apart by it.
pub const APPLICATION_NAME: &str = "crossfade";

/// One batch of `SET` statements that pins all of [`PINNED`].
#[must_use]
pub fn pin_all() -> String {
    PINNED
        .iter()
        .map(|(name, value)| format!("SET {name} = {};", super::sql::quote_literal(value)))
        .collect()
}
