//! Binary forms.

use std::sync::Arc;

use bytes::Bytes;

use super::{element_of, input, modifier, type_name};
use crate::{
    Array, Error, Oid, Result, Session, Type, Types, Value, cast::Context, datetime, json,
    numeric::Numeric, oid,
};

fn too_short() -> Error {
    Error::new("08P01", "insufficient data left in message")
}

/// Bytes yet to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length).ok_or_else(too_short)?;
        self.0 = tail;
        Ok(head)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn i32(&mut self) -> Result<i32> {
        self.fixed().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64> {
        self.fixed().map(i64::from_be_bytes)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn text(&mut self) -> Result<&'a str> {
        let text = std::str::from_utf8(self.rest()).map_err(|error| {
            Error::new(
                "22021",
                format!(
                    "invalid byte sequence for encoding \"UTF8\" at byte {}",
                    error.valid_up_to()
                ),
            )
        })?;
        super::text::without_nul(text)
    }
}

/// `typreceive`, then the modifier.
///
/// # Errors
/// 22P03, 08P01, those of the text form where it is sent as text, 0A000.
pub fn receive(ty: Type, bytes: &[u8], types: &Types, session: &Session) -> Result<Value> {
    let left = || "incorrect binary data format".to_owned();
    receive_as(ty, bytes, types, session, left)
}

/// `left` says what is wrong where bytes are left over.
fn receive_as(
    ty: Type,
    bytes: &[u8],
    types: &Types,
    session: &Session,
    left: impl FnOnce() -> String,
) -> Result<Value> {
    let mut data = Input(bytes);
    let value = take(ty, &mut data, types, session)?;
    if !data.0.is_empty() {
        return Err(Error::new("22P03", left()));
    }
    modifier::apply(value, ty, Context::Assignment)
}

fn take(ty: Type, data: &mut Input<'_>, types: &Types, session: &Session) -> Result<Value> {
    Ok(match ty.oid {
        oid::BOOL => Value::Bool(data.fixed::<1>()? != [0]),
        oid::INT2 => Value::Int(i64::from(i16::from_be_bytes(data.fixed()?))),
        oid::INT4 => Value::Int(i64::from(data.i32()?)),
        oid::OID | oid::REGTYPE | oid::REGCLASS | oid::REGPROC => {
            Value::Int(i64::from(u32::from_be_bytes(data.fixed()?)))
        }
        oid::INT8 | oid::MONEY => Value::Int(data.i64()?),
        oid::FLOAT4 => Value::Float4(f32::from_be_bytes(data.fixed()?)),
        oid::FLOAT8 => Value::Float8(f64::from_be_bytes(data.fixed()?)),
        oid::NUMERIC => Value::Numeric(Numeric::receive(data.rest())?),
        oid::BYTEA => Value::Bytes(Bytes::copy_from_slice(data.rest())),
        oid::UUID => Value::Uuid(data.fixed()?),
        oid::DATE => Value::Date(checked_date(data.i32()?)?),
        oid::TIME => Value::Time(checked_time(data.i64()?)?),
        oid::TIMETZ => Value::TimeTz(checked_time(data.i64()?)?, data.i32()?),
        oid::TIMESTAMP | oid::TIMESTAMPTZ => Value::Timestamp(checked_timestamp(data.i64()?)?),
        oid::INTERVAL => {
            let us = data.i64()?;
            let days = data.i32()?;
            Value::Interval(crate::Interval {
                us,
                days,
                months: data.i32()?,
            })
        }
        oid::JSONB => {
            let version = data.fixed::<1>()?[0];
            if version != 1 {
                return Err(Error::new(
                    "XX000",
                    format!("unsupported jsonb version number {version}"),
                ));
            }
            Value::Json(Arc::new(json::parse::parse(data.text()?)?))
        }
        oid::CHAR if data.0 == [0] => {
            data.rest();
            Value::text("")
        }
        oid::CHAR => Value::Text(super::text::parse_char(
            std::str::from_utf8(data.take(1)?).unwrap_or("\u{80}"),
        )?),
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::UNKNOWN | oid::NAME | oid::JSON => {
            input(ty, data.text()?, types, session)?
        }
        other if types.enums.contains_key(&other) => input(ty, data.text()?, types, session)?,
        other => match element_of(other, types) {
            Some(element) => take_array(Type { oid: element, ..ty }, data, types, session)?,
            None => {
                let name = type_name(Type::of(other), types);
                return Err(Error::unsupported(format!(
                    "the binary form of type {name}"
                )));
            }
        },
    })
}

fn checked_date(days: i32) -> Result<i32> {
    if days == i32::MAX || days == i32::MIN {
        return Ok(days);
    }
    datetime::date(Some(i64::from(days))).ok_or_else(|| Error::new("22008", "date out of range"))
}

fn checked_time(us: i64) -> Result<i64> {
    if (0..=datetime::DAY).contains(&us) {
        Ok(us)
    } else {
        Err(Error::new("22008", "time out of range"))
    }
}

fn checked_timestamp(us: i64) -> Result<i64> {
    if us == i64::MAX || us == i64::MIN {
        Ok(us)
    } else {
        datetime::timestamp(Some(us))
    }
}

fn take_array(
    element: Type,
    data: &mut Input<'_>,
    types: &Types,
    session: &Session,
) -> Result<Value> {
    let count = data.i32()?;
    let flags = data.i32()?;
    let sent = u32::from_be_bytes(data.fixed()?);
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= super::array::MAX_DIMENSIONS)
        .ok_or_else(|| {
            let message =
                format!("number of array dimensions ({count}) exceeds the maximum allowed (6)");
            if count < 0 {
                Error::new("22P03", format!("invalid number of dimensions: {count}"))
            } else {
                Error::new("54000", message)
            }
        })?;
    if !(0..=1).contains(&flags) {
        return Err(Error::new("22P03", "invalid array flags"));
    }
    if sent != element.oid {
        let (sent_name, name) = (
            type_name(Type::of(sent), types),
            type_name(Type::of(element.oid), types),
        );
        let message = format!(
            "binary data has array element type {sent} ({sent_name}) instead of expected {} ({name})",
            element.oid
        );
        return Err(Error::new("42804", message));
    }
    let mut dimensions = Vec::with_capacity(count);
    for _ in 0..count {
        let length =
            usize::try_from(data.i32()?).map_err(|_| Error::new("22P03", "invalid array size"))?;
        dimensions.push((length, data.i32()?));
    }
    let total = dimensions
        .iter()
        .try_fold(usize::from(count > 0), |all, (length, _)| {
            all.checked_mul(*length)
        });
    // Each element has at least its length.
    let total = total
        .filter(|total| *total <= data.0.len() / 4)
        .ok_or_else(too_short)?;
    let mut items = Vec::with_capacity(total);
    for number in 1..=total {
        items.push(match data.i32()? {
            -1 => Value::Null,
            length => {
                let length = usize::try_from(length).ok();
                let bytes = length.and_then(|length| data.take(length).ok());
                // Not the protocol's error, as everywhere else.
                let told = || Error::new("22P03", too_short().message);
                let improper = || format!("improper binary format in array element {number}");
                receive_as(element, bytes.ok_or_else(told)?, types, session, improper)?
            }
        });
    }
    if total == 0 {
        dimensions.clear();
    }
    Ok(Value::Array(Arc::new(Array {
        element: element.oid,
        dimensions,
        items,
    })))
}

/// `typsend`. Appends. Never called with NULL. 0A000 for a type of which only the text is known and whose binary form is not that text.
///
/// # Errors
/// 0A000.
pub fn send(ty: Oid, value: &Value, types: &Types, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Value::Null => {}
        Value::Bool(value) => out.push(u8::from(*value)),
        Value::Int(value) => send_int(ty, *value, out),
        Value::Float4(value) => out.extend(value.to_be_bytes()),
        Value::Float8(value) => out.extend(value.to_be_bytes()),
        Value::Numeric(value) => value.send(out),
        Value::Text(text) if is_sent_as_text(ty, types) => out.extend(text.as_bytes()),
        Value::Text(text) if ty == oid::CHAR => out.push(text.bytes().next().unwrap_or(0)),
        Value::Text(_) => {
            let name = type_name(Type::of(ty), types);
            return Err(Error::unsupported(format!(
                "the binary form of type {name}"
            )));
        }
        Value::Bytes(bytes) => out.extend(bytes),
        Value::Uuid(uuid) => out.extend(uuid),
        Value::Date(days) => out.extend(days.to_be_bytes()),
        Value::Time(us) | Value::Timestamp(us) => out.extend(us.to_be_bytes()),
        Value::TimeTz(us, west) => {
            out.extend(us.to_be_bytes());
            out.extend(west.to_be_bytes());
        }
        Value::Interval(interval) => {
            out.extend(interval.us.to_be_bytes());
            out.extend(interval.days.to_be_bytes());
            out.extend(interval.months.to_be_bytes());
        }
        Value::Json(json) => {
            out.push(1);
            json::print::print(json, out);
        }
        Value::Array(array) => send_array(array, types, out)?,
        Value::Record(columns) => {
            out.extend(length(columns.len()));
            for (ty, value) in columns.iter() {
                out.extend(ty.to_be_bytes());
                send_item(*ty, value, types, out)?;
            }
        }
    }
    Ok(())
}

fn is_sent_as_text(ty: Oid, types: &Types) -> bool {
    const XML: Oid = 142;
    matches!(
        ty,
        oid::TEXT
            | oid::VARCHAR
            | oid::BPCHAR
            | oid::NAME
            | oid::UNKNOWN
            | oid::JSON
            | oid::VOID
            | XML
    ) || types.enums.contains_key(&ty)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "values are within their type's range"
)]
fn send_int(ty: Oid, value: i64, out: &mut Vec<u8>) {
    match super::type_length(ty) {
        2 => out.extend((value as i16).to_be_bytes()),
        4 => out.extend((value as i32).to_be_bytes()),
        _ => out.extend(value.to_be_bytes()),
    }
}

fn length(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes()
}

fn send_item(ty: Oid, value: &Value, types: &Types, out: &mut Vec<u8>) -> Result<()> {
    if value.is_null() {
        out.extend((-1i32).to_be_bytes());
        return Ok(());
    }
    let start = out.len();
    out.extend([0; 4]);
    send(ty, value, types, out)?;
    let size = length(out.len() - start - 4);
    out[start..start + 4].copy_from_slice(&size);
    Ok(())
}

fn send_array(array: &Array, types: &Types, out: &mut Vec<u8>) -> Result<()> {
    out.extend(length(array.dimensions.len()));
    out.extend(i32::from(array.items.iter().any(Value::is_null)).to_be_bytes());
    out.extend(array.element.to_be_bytes());
    for (size, lower) in &array.dimensions {
        out.extend(length(*size));
        out.extend(lower.to_be_bytes());
    }
    array
        .items
        .iter()
        .try_for_each(|item| send_item(array.element, item, types, out))
}
