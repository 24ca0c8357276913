//! Names of types.

use crate::{
    Error, Oid, Result, Type, Types, catalog::catalog, datetime::interval, numeric::modifier, oid,
};

/// Names that `format_type` gives in SQL's words.
const SQL_NAMES: &[(&str, &str)] = &[
    ("bool", "boolean"),
    ("bpchar", "character"),
    ("char", "\"char\""),
    ("float4", "real"),
    ("float8", "double precision"),
    ("int2", "smallint"),
    ("int4", "integer"),
    ("int8", "bigint"),
    ("varbit", "bit varying"),
    ("varchar", "character varying"),
];

/// Fields of intervals by their bits.
const FIELDS: &[(i32, &str)] = &[
    (1 << 2, "year"),
    (1 << 1, "month"),
    (1 << 3, "day"),
    (1 << 10, "hour"),
    (1 << 11, "minute"),
    (1 << 12, "second"),
    ((1 << 2) | (1 << 1), "year to month"),
    ((1 << 3) | (1 << 10), "day to hour"),
    ((1 << 3) | (1 << 10) | (1 << 11), "day to minute"),
    (
        (1 << 3) | (1 << 10) | (1 << 11) | (1 << 12),
        "day to second",
    ),
    ((1 << 10) | (1 << 11), "hour to minute"),
    ((1 << 10) | (1 << 11) | (1 << 12), "hour to second"),
    ((1 << 11) | (1 << 12), "minute to second"),
];

/// `format_type(oid, modifier)`: `character varying(10)`, `numeric(5,2)[]`.
#[must_use]
pub fn type_name(ty: Type, types: &Types) -> String {
    if ty.oid == 0 {
        return "-".to_owned();
    }
    if let Some(element) = super::element_of(ty.oid, types)
        && !matches!(catalog().types.get(&ty.oid), Some(found) if !found.name.starts_with('_'))
    {
        return format!("{}[]", type_name(Type { oid: element, ..ty }, types));
    }
    if let Some(found) = types.enums.get(&ty.oid) {
        let name = quoted(&found.name);
        return if found.schema == "public" {
            name
        } else {
            format!("{}.{name}", quoted(&found.schema))
        };
    }
    match catalog().types.get(&ty.oid) {
        Some(found) => built_in(found.name, ty),
        None => "???".to_owned(),
    }
}

fn built_in(name: &'static str, ty: Type) -> String {
    let suffix = |base: &str| format!("{base}({})", ty.modifier);
    match (ty.oid, ty.modifier) {
        (oid::BPCHAR, 5..) => format!("character({})", ty.modifier - 4),
        // Without a length it is not SQL's `character`, which would be of length 1.
        (oid::BPCHAR, -1) => "character".to_owned(),
        (oid::VARCHAR, 5..) => format!("character varying({})", ty.modifier - 4),
        (oid::NUMERIC, 4..) => match modifier::precision_and_scale(ty.modifier) {
            Some((precision, scale)) => format!("numeric({precision},{scale})"),
            None => "numeric".to_owned(),
        },
        (oid::BIT, 0..) => suffix("bit"),
        (oid::VARBIT, 0..) => suffix("bit varying"),
        (oid::TIME | oid::TIMESTAMP | oid::TIMETZ | oid::TIMESTAMPTZ, _) => {
            let base = if matches!(ty.oid, oid::TIME | oid::TIMETZ) {
                "time"
            } else {
                "timestamp"
            };
            let zone = if matches!(ty.oid, oid::TIMETZ | oid::TIMESTAMPTZ) {
                "with"
            } else {
                "without"
            };
            let precision = if ty.modifier >= 0 {
                suffix("")
            } else {
                String::new()
            };
            format!("{base}{precision} {zone} time zone")
        }
        (oid::INTERVAL, 0..) => interval_name(ty.modifier),
        _ => SQL_NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(name, |(_, sql)| sql)
            .to_owned(),
    }
}

fn interval_name(modifier: i32) -> String {
    let range = (modifier >> 16) & 0x7fff;
    let fields = FIELDS
        .iter()
        .find(|(bits, _)| interval::has_fields(modifier) && *bits == range);
    let fields = fields.map_or(String::new(), |(_, name)| format!(" {name}"));
    match modifier & 0xffff {
        0xffff => format!("interval{fields}"),
        precision => format!("interval{fields}({precision})"),
    }
}

/// `quote_ident`, but for keywords.
pub(crate) fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Names that the grammar turns into others before they get here, as an application may write them in `to_regtype` and the like.
const ALIASES: &[(&str, &str)] = &[
    ("bigint", "int8"),
    ("bit varying", "varbit"),
    ("boolean", "bool"),
    ("character", "bpchar"),
    ("character varying", "varchar"),
    ("decimal", "numeric"),
    ("double precision", "float8"),
    ("int", "int4"),
    ("integer", "int4"),
    ("real", "float4"),
    ("smallint", "int2"),
    ("time with time zone", "timetz"),
    ("time without time zone", "time"),
    ("timestamp with time zone", "timestamptz"),
    ("timestamp without time zone", "timestamp"),
];

/// The type of a name as the grammar gives it (`int4`, `pg_catalog.int4`, `timestamp with time zone` arrives as `timestamptz`), with the modifiers that
/// were written (`varchar(10)`, `numeric(5,2)`, `interval day to second`). `None` when there is none of that name.
///
/// # Errors
/// PostgreSQL's where the modifiers are wrong.
pub fn type_by_name(
    schema: Option<&str>,
    name: &str,
    modifiers: &[i32],
    types: &Types,
) -> Result<Option<Type>> {
    if let Some(element) = name.strip_suffix("[]") {
        let element = type_by_name(schema, element, modifiers, types)?;
        return Ok(
            element.and_then(|ty| super::array_of(ty.oid, types).map(|oid| Type { oid, ..ty }))
        );
    }
    let built_in = matches!(schema, None | Some("pg_catalog"))
        .then(|| oid_of(schema, name))
        .flatten();
    let user = || {
        let of_name = |found: &&crate::Enum| schema.is_none_or(|schema| schema == found.schema);
        let array = name.strip_prefix('_');
        let found = types
            .enums
            .values()
            .filter(of_name)
            .find(|found| found.name == name);
        let array = array.and_then(|element| {
            types
                .enums
                .values()
                .filter(of_name)
                .find(|found| found.name == element)
        });
        found
            .map(|found| found.oid)
            .or_else(|| array.map(|found| found.array).filter(|array| *array != 0))
    };
    let Some(oid) = built_in.or_else(user) else {
        return Ok(None);
    };
    Ok(Some(Type {
        oid,
        modifier: encoded(oid, modifiers, types)?,
    }))
}

fn oid_of(schema: Option<&str>, name: &str) -> Option<Oid> {
    catalog().named(name).or_else(|| {
        let alias = ALIASES
            .iter()
            .find(|(alias, _)| schema.is_none() && *alias == name);
        alias.and_then(|(_, name)| catalog().named(name))
    })
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new("22023", message)
}

/// `typmodin`.
fn encoded(ty: Oid, modifiers: &[i32], types: &Types) -> Result<i32> {
    let ty = super::element_of(ty, types).unwrap_or(ty);
    match (ty, modifiers) {
        (_, []) => Ok(-1),
        (oid::VARCHAR, [length]) => sized("varchar", *length).map(|length| length + 4),
        (oid::BPCHAR, [length]) => sized("char", *length).map(|length| length + 4),
        (oid::NUMERIC, [precision]) => numeric(*precision, 0),
        (oid::NUMERIC, [precision, scale]) => numeric(*precision, *scale),
        (oid::BIT | oid::VARBIT, [length]) => {
            sized(if ty == oid::BIT { "bit" } else { "varbit" }, *length)
        }
        (oid::TIME | oid::TIMESTAMP | oid::TIMETZ | oid::TIMESTAMPTZ, [precision]) => {
            let base = if matches!(ty, oid::TIME | oid::TIMETZ) {
                "TIME"
            } else {
                "TIMESTAMP"
            };
            let zone = if matches!(ty, oid::TIMETZ | oid::TIMESTAMPTZ) {
                " WITH TIME ZONE"
            } else {
                ""
            };
            if *precision < 0 {
                return Err(invalid(format!(
                    "{base}({precision}){zone} precision must not be negative"
                )));
            }
            Ok((*precision).min(6))
        }
        (oid::INTERVAL, [range]) => Ok((range & 0x7fff) << 16 | 0xffff),
        (oid::INTERVAL, [range, precision]) => {
            Ok((range & 0x7fff) << 16 | (*precision).clamp(0, 6))
        }
        (
            oid::VARCHAR
            | oid::BPCHAR
            | oid::TIME
            | oid::TIMESTAMP
            | oid::TIMETZ
            | oid::TIMESTAMPTZ,
            _,
        ) => Err(invalid("invalid type modifier")),
        (oid::NUMERIC, _) => Err(invalid("invalid NUMERIC type modifier")),
        _ => {
            let name = type_name(Type::of(ty), types);
            Err(Error::new(
                "42601",
                format!("type modifier is not allowed for type \"{name}\""),
            ))
        }
    }
}

fn sized(name: &str, length: i32) -> Result<i32> {
    match length {
        ..1 => Err(invalid(format!(
            "length for type {name} must be at least 1"
        ))),
        1..=10_485_760 => Ok(length),
        _ => Err(invalid(format!(
            "length for type {name} cannot exceed 10485760"
        ))),
    }
}

fn numeric(precision: i32, scale: i32) -> Result<i32> {
    if !(1..=1000).contains(&precision) {
        return Err(invalid(format!(
            "NUMERIC precision {precision} must be between 1 and 1000"
        )));
    }
    if !(-1000..=1000).contains(&scale) {
        return Err(invalid(format!(
            "NUMERIC scale {scale} must be between -1000 and 1000"
        )));
    }
    Ok(modifier::modifier(precision, scale))
}

/// `regtypein`.
pub(super) fn parse_regtype(text: &str, types: &Types) -> Result<i64> {
    if let Ok(number) = text.parse::<u32>() {
        return Ok(i64::from(number));
    }
    let name = text.trim().to_ascii_lowercase();
    if name.contains(['(', '"']) {
        return Err(Error::unsupported(format!("the type name {text}")));
    }
    let (schema, bare) = name
        .split_once('.')
        .map_or((None, name.as_str()), |(schema, bare)| (Some(schema), bare));
    let found = type_by_name(schema, bare, &[], types)?;
    found
        .map(|ty| i64::from(ty.oid))
        .ok_or_else(|| Error::new("42704", format!("type \"{}\" does not exist", text.trim())))
}

/// An integer, a type's name, or money.
pub(super) fn print_int(ty: Oid, number: i64, types: &Types, out: &mut Vec<u8>) {
    match (ty, u32::try_from(number)) {
        (oid::REGTYPE, Ok(named)) if named == 0 || is_known(named, types) => {
            out.extend(type_name(Type::of(named), types).as_bytes())
        }
        (oid::REGCLASS | oid::REGPROC, Ok(0)) => out.push(b'-'),
        (oid::MONEY, _) => print_money(number, out),
        _ => out.extend(number.to_string().as_bytes()),
    }
}

fn is_known(ty: Oid, types: &Types) -> bool {
    catalog().types.contains_key(&ty)
        || types
            .enums
            .values()
            .any(|found| found.oid == ty || found.array == ty)
}

/// As in the locale `C`.
fn print_money(number: i64, out: &mut Vec<u8>) {
    let magnitude = number.unsigned_abs();
    let whole = (magnitude / 100).to_string();
    out.extend(if number < 0 { &b"-$"[..] } else { b"$" });
    for (index, digit) in whole.bytes().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(b',');
        }
        out.push(digit);
    }
    out.extend(format!(".{:02}", magnitude % 100).as_bytes());
}
