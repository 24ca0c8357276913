//! Settings that decide on answers: only values under which the answers are right.

use crossfade_values::{Error, Result};
use jiff::tz::TimeZone;

use super::known::{KNOWN, Who, invalid};

/// Encodings that PostgreSQL knows for clients, as their names are compared: letters and digits in lower case.
const ENCODINGS: &[&str] = &[
    "big5",
    "eucjp",
    "eucjis2004",
    "euckr",
    "euccn",
    "euctw",
    "gb18030",
    "gbk",
    "iso88591",
    "iso885915",
    "iso88595",
    "iso88596",
    "iso88597",
    "iso88598",
    "johab",
    "koi8r",
    "koi8u",
    "latin1",
    "latin2",
    "latin3",
    "latin4",
    "latin5",
    "latin6",
    "latin7",
    "latin8",
    "latin9",
    "latin10",
    "muleinternal",
    "shiftjis2004",
    "sjis",
    "sqlascii",
    "uhc",
    "win866",
    "win874",
    "win1250",
    "win1251",
    "win1252",
    "win1253",
    "win1254",
    "win1255",
    "win1256",
    "win1257",
    "win1258",
];

/// The value of a setting as `SHOW` gives it. `before` is the value that it has. `any` lets an administrator's settings through, which have no effect here.
pub(super) fn canonical(name: &str, value: &str, before: &str, any: bool) -> Result<String> {
    let lower = name.to_ascii_lowercase();
    let Some(known) = KNOWN.get(&lower) else {
        return custom(name, value);
    };
    match known.who {
        Who::Anyone => {}
        Who::Administrator if any => {}
        Who::Administrator => {
            let told = format!("permission denied to set parameter \"{name}\"");
            return Err(Error::new("42501", told));
        }
        Who::AtConnectionStart => return Err(fixed(name, " set after connection start")),
        Who::AtServerStart => return Err(fixed(name, " changed without restarting the server")),
        Who::Nobody => return Err(fixed(name, " changed")),
    }
    let value = known.read(name, value)?;
    match &lower[..] {
        "client_encoding" => client_encoding(&value),
        "datestyle" => date_style(&value, before),
        "timezone" => time_zone(&value),
        "intervalstyle" => only("IntervalStyle", value, "postgres"),
        "standard_conforming_strings" | "array_nulls" => only(known.name, value, "on"),
        "transform_null_equals" => only(known.name, value, "off"),
        "transaction_timeout" => only(known.name, value, "0"),
        "lc_monetary" | "lc_numeric" | "lc_time" => match &value[..] {
            "C" | "POSIX" | "C.UTF-8" | "C.utf8" | "" => Ok(value),
            same if same == before => Ok(value),
            _other => Err(unserved(known.name, &value)),
        },
        "search_path" => match identifiers(&value) {
            Some(_) => Ok(value),
            None => Err(invalid(name, &value).detail("List syntax is invalid.")),
        },
        _ => Ok(value),
    }
}

fn fixed(name: &str, cannot: &str) -> Error {
    Error::new("55P02", format!("parameter \"{name}\" cannot be{cannot}"))
}

fn unserved(name: &str, value: &str) -> Error {
    Error::unsupported(format!("{name} = '{value}'"))
}

fn only(name: &str, value: String, served: &str) -> Result<String> {
    if value == served {
        Ok(value)
    } else {
        Err(unserved(name, &value))
    }
}

/// A setting of the application's own: `word.word`.
fn custom(name: &str, value: &str) -> Result<String> {
    if !name.contains('.') {
        return Err(unknown(name));
    }
    let simple = |part: &str| {
        let mut letters = part.chars();
        letters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii())
            && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii())
    };
    if name.split('.').all(simple) {
        return Ok(value.to_owned());
    }
    Err(Error::new(
        "42602",
        format!("invalid configuration parameter name \"{name}\""),
    )
    .detail("Custom parameter names must be two or more simple identifiers separated by dots."))
}

/// `unrecognized configuration parameter`.
pub(super) fn unknown(name: &str) -> Error {
    Error::new(
        "42704",
        format!("unrecognized configuration parameter \"{name}\""),
    )
}

fn client_encoding(value: &str) -> Result<String> {
    let plain: String = value
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    match &plain[..] {
        "utf8" | "unicode" => Ok("UTF8".to_owned()),
        known if ENCODINGS.contains(&known) => {
            Err(unserved("client_encoding", value).hint("SET client_encoding TO 'UTF8'"))
        }
        _ => Err(invalid("client_encoding", value)),
    }
}

fn date_style(value: &str, before: &str) -> Result<String> {
    let mut order = before.split(", ").nth(1).unwrap_or("MDY").to_owned();
    for word in value.split(',').map(str::trim) {
        match &word.to_ascii_lowercase()[..] {
            "iso" | "default" => {}
            "mdy" | "us" => "MDY".clone_into(&mut order),
            "ymd" => "YMD".clone_into(&mut order),
            "dmy" | "european" | "euro" | "noneuro" | "noneuropean" => {
                let european = word.to_ascii_lowercase().starts_with(['d', 'e']);
                if european { "DMY" } else { "MDY" }.clone_into(&mut order);
            }
            "sql" | "postgres" | "postgresql" | "german" => {
                return Err(unserved("DateStyle", value).hint("SET DateStyle TO 'ISO'"));
            }
            _ => {
                return Err(invalid("DateStyle", value)
                    .detail(format!("Unrecognized key word: \"{word}\".")));
            }
        }
    }
    Ok(format!("ISO, {order}"))
}

/// A number of hours becomes the POSIX form that PostgreSQL shows; a name stands as the time zone database writes it.
fn time_zone(value: &str) -> Result<String> {
    let trimmed = value.trim();
    if let Ok(hours) = trimmed.parse::<f64>() {
        return if hours.abs() <= 168.0 {
            Ok(fixed_zone(hours))
        } else {
            Err(invalid("TimeZone", value))
        };
    }
    if let Ok(zone) = TimeZone::get(trimmed) {
        return Ok(zone.iana_name().unwrap_or(trimmed).to_owned());
    }
    // As the functions on times read it.
    let posix = trimmed.bytes().any(|byte| byte.is_ascii_digit())
        && !trimmed.contains('/')
        && TimeZone::posix(trimmed).is_ok();
    if posix {
        Ok(trimmed.to_owned())
    } else {
        Err(invalid("TimeZone", value))
    }
}

/// `<+03>-03`: POSIX counts west of Greenwich.
fn fixed_zone(hours: f64) -> String {
    #[allow(clippy::cast_possible_truncation)] // at most a week
    let seconds = (hours * 3600.0).round() as i64;
    let (ahead, behind) = if seconds < 0 { ('-', '+') } else { ('+', '-') };
    let (h, m, s) = (
        seconds.abs() / 3600,
        seconds.abs() / 60 % 60,
        seconds.abs() % 60,
    );
    let text = match (m, s) {
        (0, 0) => format!("{h:02}"),
        (_, 0) => format!("{h:02}:{m:02}"),
        _ => format!("{h:02}:{m:02}:{s:02}"),
    };
    format!("<{ahead}{text}>{behind}{text}")
}

/// The names of a list such as `search_path`; `None` where it is malformed.
pub(super) fn identifiers(list: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = list.trim();
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let (name, after) = identifier(rest)?;
        names.push(name);
        rest = match after.trim_start().strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.trim().is_empty() => return Some(names),
            None => return None,
        };
    }
}

fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text
            .find(|c: char| c == ',' || c.is_whitespace())
            .unwrap_or(text.len());
        let (name, after) = text.split_at(end);
        return (!name.is_empty() && !name.contains('"')).then(|| (name.to_lowercase(), after));
    };
    let mut name = String::new();
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Some((name, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> String {
        match canonical(name, value, "ISO, MDY", false) {
            Ok(value) => value,
            Err(error) => error.sqlstate.to_owned(),
        }
    }

    #[test]
    fn what_would_change_answers_is_refused() {
        for (name, value, gives) in [
            ("client_encoding", "utf-8", "UTF8"),
            ("client_encoding", "LATIN1", "0A000"),
            ("client_encoding", "nonsense", "22023"),
            ("DateStyle", "iso, dmy", "ISO, DMY"),
            ("DateStyle", "sql", "0A000"),
            ("DateStyle", "foo", "22023"),
            ("TimeZone", "3", "<+03>-03"),
            ("TimeZone", "-5.5", "<-05:30>+05:30"),
            ("timezone", "europe/berlin", "Europe/Berlin"),
            ("timezone", "utc", "UTC"),
            ("timezone", "EST5EDT", "EST5EDT"),
            ("timezone", "<+03>-03", "<+03>-03"),
            ("timezone", "nowhere/x", "22023"),
            ("standard_conforming_strings", "off", "0A000"),
            ("intervalstyle", "iso_8601", "0A000"),
            ("server_version", "1", "55P02"),
            ("log_statement", "all", "42501"),
            ("nonsense", "1", "42704"),
            ("a b.c", "1", "42602"),
            ("my.tenant", "7", "7"),
            ("search_path", "a, \"B c\"", "a, \"B c\""),
            ("search_path", "a b", "22023"),
        ] {
            assert_eq!(read(name, value), gives, "{name} = {value}");
        }
    }

    #[test]
    fn lists_of_names_are_read_as_identifiers() {
        assert_eq!(
            identifiers("\"$user\", Public,\"B \"\"c\"").unwrap(),
            ["$user", "public", "B \"c"]
        );
        assert_eq!(identifiers("\"\"").unwrap(), [""]);
        assert!(identifiers("a,").is_none() && identifiers("\"a").is_none());
    }
}
