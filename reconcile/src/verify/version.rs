//! The order of versions.

use std::cmp::Ordering;

use crossfade_store::{Column, Row};

/// `pg_type` oids whose canonical text is a decimal integer.
const INTEGERS: [u32; 3] = [20, 21, 23];
/// Those whose canonical text is the hex form of a signed big-endian integer: date, timestamp, timestamptz.
const TIMES: [u32; 3] = [1082, 1114, 1184];

/// Whether the version (column `at`, of the type of `column`) of `row` is older than that of `than`. Types without an order that is known here
/// are never older: a reported difference is a real one (trap 35).
pub(super) fn is_older(column: &Column, row: &Row, than: &Row, at: usize) -> bool {
    match (&row.0[at], &than.0[at]) {
        (Some(a), Some(b)) => order(column.type_oid, a, b) == Some(Ordering::Less),
        // NULL is how a row looks that was never changed.
        (None, Some(_)) => true,
        (_, None) => false,
    }
}

fn order(type_oid: u32, a: &[u8], b: &[u8]) -> Option<Ordering> {
    if INTEGERS.contains(&type_oid) {
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<i64>().ok();
        return Some(number(a)?.cmp(&number(b)?));
    }
    if TIMES.contains(&type_oid) {
        return Some(signed(a)?.cmp(&signed(b)?));
    }
    None
}

/// The number behind hex digits of its two's complement.
fn signed(hex: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(hex).ok()?;
    match text.len() {
        8 => u32::from_str_radix(text, 16)
            .ok()
            .map(|bits| i64::from(bits.cast_signed())),
        16 => u64::from_str_radix(text, 16).ok().map(u64::cast_signed),
        _odd => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_times_are_ordered_and_text_is_not() {
        assert_eq!(order(20, b"9", b"10"), Some(Ordering::Less));
        assert_eq!(order(20, b"-9", b"-10"), Some(Ordering::Greater));
        assert_eq!(
            order(1184, b"ffffffffffffffff", b"0000000000000000"),
            Some(Ordering::Less),
            "before 2000"
        );
        assert_eq!(order(1082, b"ffffffff", b"00000001"), Some(Ordering::Less));
        assert_eq!(order(25, b"9", b"10"), None);
    }
}
