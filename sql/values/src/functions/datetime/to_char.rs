//! `to_char` of timestamps.

use super::{
    super::{text, timestamp},
    is_infinite,
};
use crate::{
    Error, Result, Value,
    datetime::{DAY, HOUR, MINUTE, SECOND, calendar, zone},
    resolve::Call,
};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Longest first where one begins another.
const KEYWORDS: &[&str] = &[
    "A.D.", "A.M.", "AD", "AM", "B.C.", "BC", "CC", "DAY", "DDD", "DD", "DY", "D", "FF1", "FF2",
    "FF3", "FF4", "FF5", "FF6", "FX", "HH24", "HH12", "HH", "IDDD", "ID", "IW", "IYYY", "IYY",
    "IY", "I", "J", "MI", "MM", "MONTH", "MON", "MS", "OF", "P.M.", "PM", "Q", "RM", "SSSSS",
    "SSSS", "SS", "TZH", "TZM", "TZ", "US", "WW", "W", "Y,YYY", "YYYY", "YYY", "YY", "Y",
];

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "timestamp_to_char" => |_, args| {
            let us = timestamp(args, 0)?;
            formatted(us, None, text(args, 1)?)
        },
        "timestamptz_to_char" => |scope, args| {
            let us = timestamp(args, 0)?;
            if is_infinite(us) {
                return Ok(Value::Null);
            }
            let zone = zone::find(&scope.session.time_zone)?;
            let east = zone::offset_at(&zone, us);
            let name = zone::abbreviation_at(&zone, us);
            formatted(
                us + i64::from(east) * SECOND,
                Some((east, name)),
                text(args, 1)?,
            )
        },
        _ => return None,
    })
}

/// How a keyword is written decides on the case of names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Upper,
    Lower,
    Title,
}

fn formatted(local: i64, zone: Option<(i32, String)>, pattern: &str) -> Result<Value> {
    if is_infinite(local) || pattern.is_empty() {
        return Ok(Value::Null);
    }
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some((quoted, after)) = quoted(rest) {
            out.push_str(&quoted);
            rest = after;
            continue;
        }
        let (fill, after_prefix) = prefix(rest)?;
        let Some((keyword, case, mut after)) = keyword(after_prefix) else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let shown = shown(keyword, case, fill, local, zone.as_ref())?;
        out.push_str(&shown);
        if let Some(suffix) = ["TH", "th"]
            .iter()
            .find(|suffix| after.starts_with(**suffix))
        {
            if !shown
                .trim()
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-')
            {
                return Err(Error::unsupported(format!("to_char's {keyword}{suffix}")));
            }
            out.push_str(&ordinal(&shown, suffix));
            after = &after[2..];
        } else if after.starts_with("SP") {
            return Err(Error::unsupported("to_char's SP"));
        }
        rest = after;
    }
    Ok(Value::text(out))
}

/// Text in double quotes, or a quote after a backslash.
fn quoted(text: &str) -> Option<(String, &str)> {
    if let Some(after) = text.strip_prefix("\\\"") {
        return Some(("\"".to_owned(), after));
    }
    let body = text.strip_prefix('"')?;
    let mut out = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &body[at + 1..])),
            '\\' => out.extend(chars.next().map(|(_, next)| next)),
            c => out.push(c),
        }
    }
    Some((out, ""))
}

/// `FM` takes blanks and zeros away.
fn prefix(text: &str) -> Result<(bool, &str)> {
    if text.starts_with("TM") || text.starts_with("tm") {
        return Err(Error::unsupported("to_char's TM"));
    }
    Ok(
        match text.strip_prefix("FM").or_else(|| text.strip_prefix("fm")) {
            Some(after) => (false, after),
            None => (true, text),
        },
    )
}

fn keyword(text: &str) -> Option<(&'static str, Case, &str)> {
    KEYWORDS.iter().find_map(|keyword| {
        let head = text.get(..keyword.len())?;
        let named = matches!(*keyword, "DAY" | "DY" | "MONTH" | "MON");
        let title = || {
            named
                && head.starts_with(|c: char| c.is_ascii_uppercase())
                && head[1..] == keyword[1..].to_ascii_lowercase()
        };
        let case = if head == *keyword {
            Case::Upper
        } else if head == keyword.to_ascii_lowercase() && *keyword != "OF" {
            Case::Lower
        } else if title() {
            Case::Title
        } else {
            return None;
        };
        Some((*keyword, case, &text[keyword.len()..]))
    })
}

fn cased(name: &str, case: Case) -> String {
    match case {
        Case::Upper => name.to_ascii_uppercase(),
        Case::Lower => name.to_ascii_lowercase(),
        Case::Title => name.to_owned(),
    }
}

fn shown(
    keyword: &str,
    case: Case,
    fill: bool,
    local: i64,
    zone: Option<&(i32, String)>,
) -> Result<String> {
    let (day, us) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let civil = calendar::civil(day);
    let hour = us / HOUR;
    let number = |number: i64, width: usize| {
        if fill {
            format!("{number:0width$}")
        } else {
            number.to_string()
        }
    };
    let padded = |name: &str| {
        if fill {
            format!("{:<9}", cased(name, case))
        } else {
            cased(name, case)
        }
    };
    let index = |number: i64| usize::try_from(number).unwrap_or(0);
    let (month, weekday) = (
        MONTHS[index(civil.month - 1)],
        DAYS[index(calendar::weekday(day))],
    );
    let unserved = || Err(Error::unsupported(format!("to_char's {keyword}")));
    let (year, iso_year) = (civil.year, calendar::iso_week(day).0);
    let needs_era = year <= 0
        && (keyword.contains('Y') && !keyword.starts_with('D') || matches!(keyword, "CC" | "I"));
    if needs_era {
        return Err(Error::unsupported("to_char of a year BC"));
    }
    Ok(match keyword {
        "YYYY" => number(year, 4),
        "YYY" => number(year % 1000, 3),
        "YY" => number(year % 100, 2),
        "Y" => number(year % 10, 1),
        "IYYY" => number(iso_year, 4),
        "IYY" => number(iso_year % 1000, 3),
        "IY" => number(iso_year % 100, 2),
        "I" => number(iso_year % 10, 1),
        "MM" => number(civil.month, 2),
        "DD" => number(civil.day, 2),
        "DDD" => number(calendar::day_of_year(day), 3),
        "D" => number(calendar::weekday(day) + 1, 1),
        "ID" => number((calendar::weekday(day) + 6) % 7 + 1, 1),
        "IW" => number(calendar::iso_week(day).1, 2),
        "WW" => number((calendar::day_of_year(day) - 1) / 7 + 1, 2),
        "W" => number((civil.day - 1) / 7 + 1, 1),
        "Q" => number((civil.month - 1) / 3 + 1, 1),
        "CC" => number((year + 99) / 100, 2),
        "J" => number(day - crate::datetime::FIRST_DAY, 1),
        "HH24" => number(hour, 2),
        "HH12" | "HH" => number(if hour % 12 == 0 { 12 } else { hour % 12 }, 2),
        "MI" => number(us / MINUTE % 60, 2),
        "SS" => number(us / SECOND % 60, 2),
        "MS" => format!("{:03}", us % SECOND / 1000),
        "US" => format!("{:06}", us % SECOND),
        "SSSS" | "SSSSS" => number(us / SECOND, 1),
        "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => format!("{:06}", us % SECOND)
            [..index(i64::from(keyword.as_bytes()[2] - b'0'))]
            .to_owned(),
        "AM" | "PM" => cased(if hour < 12 { "AM" } else { "PM" }, case),
        "A.M." | "P.M." => cased(if hour < 12 { "A.M." } else { "P.M." }, case),
        "AD" | "BC" => cased(if year > 0 { "AD" } else { "BC" }, case),
        "A.D." | "B.C." => cased(if year > 0 { "A.D." } else { "B.C." }, case),
        "MONTH" => padded(month),
        "MON" => cased(&month[..3], case),
        "DAY" => padded(weekday),
        "DY" => cased(&weekday[..3], case),
        "TZ" | "OF" | "TZH" | "TZM" => return zone_shown(keyword, case, zone),
        _ => return unserved(),
    })
}

fn zone_shown(keyword: &str, case: Case, zone: Option<&(i32, String)>) -> Result<String> {
    let Some((east, name)) = zone else {
        // Without a zone the offset counts as 0, and the name is empty.
        return Ok(match keyword {
            "TZ" => "",
            "TZM" => "00",
            _ => "+00",
        }
        .to_owned());
    };
    let sign = if *east < 0 { '-' } else { '+' };
    let (hours, minutes) = (east.abs() / 3600, east.abs() % 3600 / 60);
    Ok(match keyword {
        "TZ" if name.starts_with(['+', '-', '<']) => {
            return Err(Error::unsupported(
                "to_char's TZ of a zone without an abbreviation",
            ));
        }
        "TZ" if case == Case::Lower => name.to_ascii_lowercase(),
        "TZ" => name.clone(),
        "TZH" => format!("{sign}{hours:02}"),
        "TZM" => format!("{minutes:02}"),
        _ if minutes != 0 => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}"),
    })
}

fn ordinal(number: &str, suffix: &str) -> String {
    let digits = number.trim().as_bytes();
    let teen = digits.len() > 1 && digits[digits.len() - 2] == b'1';
    let ending = match digits.last() {
        Some(b'1') if !teen => "st",
        Some(b'2') if !teen => "nd",
        Some(b'3') if !teen => "rd",
        _ => "th",
    };
    if suffix == "TH" {
        ending.to_ascii_uppercase()
    } else {
        ending.to_owned()
    }
}
