//! Canonical values as the body of a text COPY.

use bytes::{BufMut as _, Bytes, BytesMut};
use crossfade_phase::Side;

use crate::{
    Column, Row, TableMap,
    postgres::sql::{ParamKind, is_builtin, param},
};

/// How one column's canonical text becomes what COPY reads.
#[derive(Debug, Clone, Copy)]
enum Field {
    /// As it is, escaped.
    Text,
    Bytea,
    Float4,
    Float8,
    Date,
    Time,
    Timestamp,
    TimestampTz,
}

/// The rows as the body of a text COPY into `columns` of `target`, in chunks of about `chunk_bytes`. `None` when a column's values have no
/// quick text form, or are cast on their way: COPY casts nothing.
pub(super) fn text_copy(
    table: &TableMap,
    target: Side,
    columns: &[usize],
    rows: &[Row],
    chunk_bytes: usize,
) -> Option<Vec<Bytes>> {
    let fields = columns
        .iter()
        .map(|&index| {
            field(
                table.columns[index].on(target.other()),
                table.columns[index].on(target),
            )
        })
        .collect::<Option<Vec<_>>>()?;
    let mut chunks = Vec::new();
    let mut chunk = BytesMut::with_capacity(chunk_bytes * 2);
    for row in rows {
        for (place, (&index, field)) in std::iter::zip(columns, &fields).enumerate() {
            if place > 0 {
                chunk.put_u8(b'\t');
            }
            match &row.0[index] {
                Some(value) => put(&mut chunk, *field, value)?,
                None => chunk.put_slice(b"\\N"),
            }
        }
        chunk.put_u8(b'\n');
        if chunk.len() >= chunk_bytes {
            chunks.push(chunk.split().freeze());
        }
    }
    chunks.push(chunk.freeze());
    Some(chunks)
}

fn field(from: &Column, to: &Column) -> Option<Field> {
    // The text of a built-in type is what its own input reads; that another type's input reads it in the same way as a cast would take it
    // is known of whole numbers only.
    let whole = |oid| matches!(oid, 20 | 21 | 23);
    let user_types = !is_builtin(from) && !is_builtin(to);
    if from.type_oid != to.type_oid && !user_types && !(whole(from.type_oid) && whole(to.type_oid))
    {
        return None;
    }
    Some(match param(from) {
        ParamKind::Text => Field::Text,
        ParamKind::Binary(17) => Field::Bytea,
        ParamKind::Binary(700) => Field::Float4,
        ParamKind::Binary(701) => Field::Float8,
        ParamKind::Binary(1082) => Field::Date,
        ParamKind::Binary(1083) => Field::Time,
        ParamKind::Binary(1114) => Field::Timestamp,
        ParamKind::Binary(1184) => Field::TimestampTz,
        ParamKind::Binary(_) => return None,
    })
}

fn put(out: &mut BytesMut, field: Field, value: &Bytes) -> Option<()> {
    match field {
        Field::Text => put_escaped(out, value),
        Field::Bytea => {
            out.put_slice(b"\\\\x");
            out.put_slice(value);
        }
        Field::Float4 => put_float(out, &f32::from_bits(bits(value)?.try_into().ok()?)),
        Field::Float8 => put_float(out, &f64::from_bits(bits(value)?)),
        Field::Date => put_date(out, bits(value)?)?,
        Field::Time => put_time(out, i64::from_ne_bytes(bits(value)?.to_ne_bytes())),
        Field::Timestamp => put_timestamp(out, bits(value)?, ""),
        Field::TimestampTz => put_timestamp(out, bits(value)?, "+00"),
    }
    Some(())
}

/// The number that up to 16 hex digits write.
fn bits(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

fn put_escaped(out: &mut BytesMut, value: &[u8]) {
    for &byte in value {
        match byte {
            b'\\' => out.put_slice(b"\\\\"),
            b'\t' => out.put_slice(b"\\t"),
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            byte => out.put_u8(byte),
        }
    }
}

/// Rust writes the shortest digits that read back as the same float, as PostgreSQL does, and the same words for NaN and infinity but for their case.
fn put_float(out: &mut BytesMut, float: &impl std::fmt::LowerExp) {
    put_fmt(out, format_args!("{float:e}"));
}

fn put_fmt(out: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    // Writing into a buffer that grows cannot fail.
    let _ = std::fmt::Write::write_fmt(out, text);
}

/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's day 0.
const EPOCH_DAYS: i64 = 10_957;
const DAY_US: i64 = 86_400_000_000;

fn put_date(out: &mut BytesMut, bits: u64) -> Option<()> {
    match i32::from_ne_bytes(u32::try_from(bits).ok()?.to_ne_bytes()) {
        i32::MAX => out.put_slice(b"infinity"),
        i32::MIN => out.put_slice(b"-infinity"),
        days => {
            let before_christ = put_day(out, i64::from(days));
            out.put_slice(before_christ);
        }
    }
    Some(())
}

/// Year, month and day; and the era, which is written last.
fn put_day(out: &mut BytesMut, days: i64) -> &'static [u8] {
    let (year, month, day) = civil(days + EPOCH_DAYS);
    let (year, era): (_, &[u8]) = if year > 0 {
        (year, b"")
    } else {
        (1 - year, b" BC")
    };
    put_fmt(out, format_args!("{year:04}-{month:02}-{day:02}"));
    era
}

/// The date `days` after 1970-01-01 in the proleptic Gregorian calendar (H. Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (
        year_of_era + era * 400 + i64::from(month <= 2),
        month,
        day_of_year - (153 * shifted + 2) / 5 + 1,
    )
}

fn put_time(out: &mut BytesMut, micros: i64) {
    let seconds = micros / 1_000_000;
    put_fmt(
        out,
        format_args!(
            "{:02}:{:02}:{:02}.{:06}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            micros % 1_000_000
        ),
    );
}

fn put_timestamp(out: &mut BytesMut, bits: u64, zone: &str) {
    match i64::from_ne_bytes(bits.to_ne_bytes()) {
        i64::MAX => out.put_slice(b"infinity"),
        i64::MIN => out.put_slice(b"-infinity"),
        micros => {
            let era = put_day(out, micros.div_euclid(DAY_US));
            out.put_u8(b' ');
            put_time(out, micros.rem_euclid(DAY_US));
            out.put_slice(zone.as_bytes());
            out.put_slice(era);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(field: Field, digits: &str) -> String {
        let mut out = BytesMut::new();
        put(&mut out, field, &Bytes::copy_from_slice(digits.as_bytes())).expect("canonical");
        String::from_utf8(out.to_vec()).expect("text")
    }

    #[test]
    fn dates_reach_back_before_christ() {
        assert_eq!(written(Field::Date, "00000000"), "2000-01-01");
        assert_eq!(written(Field::Date, "ffffffff"), "1999-12-31");
        assert_eq!(written(Field::Date, "fff49d7b"), "0044-03-15 BC");
        assert_eq!(written(Field::Date, "7fffffff"), "infinity");
        assert_eq!(
            written(Field::TimestampTz, "ffffffffffffffff"),
            "1999-12-31 23:59:59.999999+00"
        );
    }

    #[test]
    fn what_copy_takes_for_its_own_is_escaped() {
        assert_eq!(written(Field::Text, "a\tb\\N\r\n"), "a\\tb\\\\N\\r\\n");
        assert_eq!(written(Field::Bytea, "00ff"), "\\\\x00ff");
    }

    #[test]
    fn floats_keep_every_bit() {
        assert_eq!(written(Field::Float8, "3fb999999999999a"), "1e-1");
        assert_eq!(written(Field::Float8, "7ff8000000000000"), "NaN");
        assert_eq!(written(Field::Float8, "fff0000000000000"), "-inf");
        assert_eq!(written(Field::Float8, "8000000000000000"), "-0e0");
        assert_eq!(written(Field::Float4, "3dcccccd"), "1e-1");
    }
}
