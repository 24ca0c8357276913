//! Which settings there are, and how their values are read and shown.

use std::{collections::BTreeMap, sync::LazyLock};

use crossfade_values::{Error, Result};

/// Who may change a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Anyone,
    Administrator,
    AtConnectionStart,
    AtServerStart,
    Nobody,
}

/// How a setting's value is written.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Boolean,
    Integer { unit: Unit, range: [i64; 2] },
    Real { unit: Unit, range: [f64; 2] },
    Label(Vec<&'static str>),
    Text,
}

/// One setting.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// As `SHOW ALL` writes it.
    pub(crate) name: &'static str,
    pub(crate) who: Who,
    pub(crate) kind: Kind,
    /// As `SHOW` gives it.
    pub(crate) default: &'static str,
}

/// A unit's multiples from small to large, with how many of the base unit (the setting's own) each is; none for a bare number.
type Unit = &'static [(&'static str, f64)];

const TIME_MS: Unit = &[
    ("us", 0.001),
    ("ms", 1.0),
    ("s", 1000.0),
    ("min", 60_000.0),
    ("h", 3_600_000.0),
    ("d", 86_400_000.0),
];
const TIME_S: Unit = &[
    ("us", 0.000_001),
    ("ms", 0.001),
    ("s", 1.0),
    ("min", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
];
const BYTES: Unit = &[
    ("B", 1.0),
    ("kB", 1024.0),
    ("MB", 1_048_576.0),
    ("GB", 1_073_741_824.0),
    ("TB", 1_099_511_627_776.0),
];
const KILOBYTES: Unit = &[
    ("B", 1.0 / 1024.0),
    ("kB", 1.0),
    ("MB", 1024.0),
    ("GB", 1_048_576.0),
    ("TB", 1_073_741_824.0),
];
const BLOCKS: Unit = &[
    ("B", 1.0 / 8192.0),
    ("kB", 0.125),
    ("MB", 128.0),
    ("GB", 131_072.0),
    ("TB", 134_217_728.0),
];

/// Every setting by its lower-case name.
pub(crate) static KNOWN: LazyLock<BTreeMap<String, Known>> = LazyLock::new(|| {
    include_str!("known.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(read_line)
        .map(|known| (known.name.to_ascii_lowercase(), known))
        .collect()
});

fn read_line(line: &'static str) -> Option<Known> {
    let mut fields = line.split('|');
    let mut next = || fields.next();
    let (name, who, kind, unit, default) = (next()?, next()?, next()?, next()?, next()?);
    let (least, most, labels) = (next()?, next()?, next()?);
    let who = match who {
        "u" => Who::Anyone,
        "s" => Who::Administrator,
        "c" => Who::AtConnectionStart,
        "p" => Who::AtServerStart,
        _nobody => Who::Nobody,
    };
    let unit = match unit {
        "ms" => TIME_MS,
        "s" => TIME_S,
        "B" => BYTES,
        "kB" => KILOBYTES,
        "8kB" => BLOCKS,
        _bare => &[],
    };
    let kind = match kind {
        "b" => Kind::Boolean,
        "i" => Kind::Integer {
            unit,
            range: [least.parse().ok()?, most.parse().ok()?],
        },
        "r" => Kind::Real {
            unit,
            range: [least.parse().ok()?, most.parse().ok()?],
        },
        "e" => Kind::Label(labels.split(',').collect()),
        _text => Kind::Text,
    };
    Some(Known {
        name,
        who,
        kind,
        default,
    })
}

/// `invalid value for parameter …`.
pub(crate) fn invalid(name: &str, value: &str) -> Error {
    Error::new(
        "22023",
        format!("invalid value for parameter \"{name}\": \"{value}\""),
    )
}

impl Known {
    /// The value as `SHOW` gives it.
    pub(crate) fn read(&self, name: &str, value: &str) -> Result<String> {
        match &self.kind {
            Kind::Text => Ok(value.to_owned()),
            Kind::Boolean => boolean(value)
                .map(|on| if on { "on" } else { "off" }.to_owned())
                .ok_or_else(|| {
                    Error::new(
                        "22023",
                        format!("parameter \"{name}\" requires a Boolean value"),
                    )
                }),
            Kind::Label(labels) => label(labels, value).map(str::to_owned).ok_or_else(|| {
                invalid(name, value).hint(format!("Available values: {}.", labels.join(", ")))
            }),
            Kind::Integer { unit, range } => {
                #[allow(clippy::cast_possible_truncation)] // saturates, and the range is looked at
                let number = number(name, value, unit)?.round_ties_even() as i64;
                if (range[0]..=range[1]).contains(&number) {
                    Ok(show_integer(number, unit))
                } else {
                    Err(outside(name, number, unit, &range[0], &range[1]))
                }
            }
            Kind::Real { unit, range } => {
                let number = number(name, value, unit)?;
                if (range[0]..=range[1]).contains(&number) {
                    Ok(show_real(number, unit))
                } else {
                    Err(outside(name, number, unit, &range[0], &range[1]))
                }
            }
        }
    }
}

/// A boolean as settings take it: any unique beginning of `true`, `false`, `yes`, `no`, or `on`, `off`, `1`, `0`.
pub(crate) fn boolean(value: &str) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(&value);
    match &value[..] {
        "1" => Some(true),
        "0" => Some(false),
        _ if begins("true", 1) || begins("yes", 1) || value == "on" => Some(true),
        _ if begins("false", 1) || begins("no", 1) || begins("off", 2) => Some(false),
        _ => None,
    }
}

fn label(labels: &[&'static str], value: &str) -> Option<&'static str> {
    let named = |value: &str| {
        labels
            .iter()
            .copied()
            .find(|label| label.eq_ignore_ascii_case(value))
    };
    named(value).or_else(|| {
        // Settings that once were booleans.
        let word = if boolean(value)? { "on" } else { "off" };
        named(word)
    })
}

fn number(name: &str, value: &str, unit: Unit) -> Result<f64> {
    let trimmed = value.trim();
    let digits = trimmed
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))
        .unwrap_or(trimmed.len());
    let (digits, suffix) = match trimmed[digits..].strip_prefix(['e', 'E']) {
        Some(rest) if trimmed.parse::<f64>().is_ok() => (trimmed, &rest[rest.len()..]),
        Some(_) | None => trimmed.split_at(digits),
    };
    let number: f64 = digits.parse().map_err(|_| invalid(name, value))?;
    let suffix = suffix.trim();
    if suffix.is_empty() {
        return Ok(number);
    }
    match unit.iter().find(|(known, _)| *known == suffix) {
        Some((_, factor)) => Ok(number * factor),
        None if unit.is_empty() => Err(invalid(name, value)),
        None => Err(invalid(name, value).hint(units_hint(unit))),
    }
}

fn units_hint(unit: Unit) -> String {
    let names: Vec<String> = unit.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let (last, rest) = names
        .split_last()
        .map_or(("", &[][..]), |(last, rest)| (last, rest));
    format!(
        "Valid units for this parameter are {}, and {last}.",
        rest.join(", ")
    )
}

#[allow(clippy::cast_precision_loss)] // settings are far below 2^53
fn to_real(number: i64) -> f64 {
    number as f64
}

fn base(unit: Unit) -> &'static str {
    unit.iter()
        .find(|(_, factor)| (factor - 1.0).abs() < f64::EPSILON)
        .map_or("", |(name, _)| *name)
}

/// In the largest unit that it is a whole number of.
fn show_integer(number: i64, unit: Unit) -> String {
    if number <= 0 || unit.is_empty() {
        return number.to_string();
    }
    for (name, factor) in unit.iter().rev() {
        let multiple = to_real(number) / factor;
        if multiple >= 1.0 && multiple.fract() == 0.0 {
            return format!("{multiple}{name}");
        }
    }
    number.to_string()
}

fn show_real(number: f64, unit: Unit) -> String {
    if number > 0.0 {
        for (name, factor) in unit.iter().rev() {
            let multiple = number / factor;
            if multiple >= 1.0 && multiple.fract() == 0.0 {
                return format!("{}{name}", short(multiple));
            }
        }
    }
    short(number)
}

/// `%g`.
fn short(number: f64) -> String {
    let scientific = format!("{number:.5e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if (-4..6).contains(&exponent) {
        let places = usize::try_from(5 - exponent).unwrap_or(0);
        trim(&format!("{number:.places$}"))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(digits), exponent.abs())
    }
}

fn outside(
    name: &str,
    number: impl std::fmt::Display,
    unit: Unit,
    least: &dyn std::fmt::Display,
    most: &dyn std::fmt::Display,
) -> Error {
    let unit = match base(unit) {
        "" => String::new(),
        unit => format!(" {unit}"),
    };
    Error::new(
        "22023",
        format!(
            "{number}{unit} is outside the valid range for parameter \"{name}\" ({least} .. {most})"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> String {
        match KNOWN[name].read(name, value) {
            Ok(value) => value,
            Err(error) => error.message,
        }
    }

    #[test]
    fn values_are_shown_as_postgresql_shows_them() {
        for (name, value, shown) in [
            ("statement_timeout", "90000", "90s"),
            ("statement_timeout", "1.5s", "1500ms"),
            ("statement_timeout", "0", "0"),
            ("statement_timeout", "120min", "2h"),
            ("work_mem", "1.5MB", "1536kB"),
            ("effective_cache_size", "524288", "4GB"),
            ("random_page_cost", "2.5", "2.5"),
            ("random_page_cost", "1e20", "1e+20"),
            ("jit", "t", "on"),
            ("synchronous_commit", "true", "on"),
            ("bytea_output", "ESCAPE", "escape"),
            ("vacuum_cost_delay", "2", "2ms"),
        ] {
            assert_eq!(read(name, value), shown, "{name} = {value}");
        }
    }

    #[test]
    fn mistakes_are_told_in_postgresqls_words() {
        for (name, value, message) in [
            (
                "statement_timeout",
                "-3",
                "-3 ms is outside the valid range for parameter \"statement_timeout\" (0 .. 2147483647)",
            ),
            (
                "extra_float_digits",
                "9",
                "9 is outside the valid range for parameter \"extra_float_digits\" (-15 .. 3)",
            ),
            (
                "statement_timeout",
                "abc",
                "invalid value for parameter \"statement_timeout\": \"abc\"",
            ),
            ("jit", "maybe", "parameter \"jit\" requires a Boolean value"),
        ] {
            assert_eq!(read(name, value), message);
        }
    }
}
