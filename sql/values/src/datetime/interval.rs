//! `interval_in`, and the modifier of intervals.

use super::{DAY, HOUR, MINUTE, SECOND, input::microseconds};
use crate::{Error, Interval, Result};

mod fields;

pub(crate) use fields::{estimate, fit, has_fields};

#[derive(Debug)]
enum Fail {
    Format,
    Overflow,
    Unserved,
}

type Outcome<T> = std::result::Result<T, Fail>;

/// Parts as they add up.
#[derive(Debug, Default)]
struct Parts {
    months: i64,
    days: i64,
    us: i64,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Of so many microseconds.
    Us(i64),
    /// Of so many days.
    Days(i64),
    Month,
    /// Of so many years.
    Years(i64),
}

fn unit(name: &str) -> Option<Unit> {
    Some(match name {
        "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds"
        | "microsecon" => Unit::Us(1),
        "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds"
        | "millisecon" => Unit::Us(1000),
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Us(SECOND),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Us(MINUTE),
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Us(HOUR),
        "d" | "day" | "days" => Unit::Days(1),
        "w" | "week" | "weeks" => Unit::Days(7),
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Years(1),
        "dec" | "decs" | "decade" | "decades" => Unit::Years(10),
        "c" | "cent" | "century" | "centuries" => Unit::Years(100),
        "mil" | "mils" | "millennia" | "millennium" => Unit::Years(1000),
        _ => return None,
    })
}

impl Parts {
    fn add(&mut self, number: Quantity, unit: Unit) -> Outcome<()> {
        let scaled = |factor: i64| number.whole.checked_mul(factor).ok_or(Fail::Overflow);
        match unit {
            Unit::Us(factor) => {
                self.add_us(scaled(factor)?)?;
                self.add_fraction(number.fraction, factor)?;
            }
            Unit::Days(factor) => {
                self.days = self
                    .days
                    .checked_add(scaled(factor)?)
                    .ok_or(Fail::Overflow)?;
                self.add_days(number.fraction * as_f64(factor))?;
            }
            Unit::Month => {
                self.months = self
                    .months
                    .checked_add(number.whole)
                    .ok_or(Fail::Overflow)?;
                self.add_days(number.fraction * 30.0)?;
            }
            Unit::Years(factor) => {
                let months = scaled(factor * 12)?;
                let part = (number.fraction * as_f64(factor * 12)).round_ties_even();
                self.months = self
                    .months
                    .checked_add(months + whole(part))
                    .ok_or(Fail::Overflow)?;
            }
        }
        Ok(())
    }

    fn add_us(&mut self, us: i64) -> Outcome<()> {
        self.us = self.us.checked_add(us).ok_or(Fail::Overflow)?;
        Ok(())
    }

    /// A fraction of a unit of `scale` microseconds; a half goes towards zero.
    fn add_fraction(&mut self, fraction: f64, scale: i64) -> Outcome<()> {
        let exact = fraction * as_f64(scale);
        let us = whole(exact);
        let rest = exact - as_f64(us);
        self.add_us(us + i64::from(rest > 0.5) - i64::from(rest < -0.5))
    }

    fn add_days(&mut self, days: f64) -> Outcome<()> {
        self.days += whole(days);
        self.add_fraction(days - as_f64(whole(days)), DAY)
    }

    fn negate(&mut self) {
        (self.months, self.days, self.us) = (-self.months, -self.days, -self.us);
    }

    fn finish(self) -> Outcome<Interval> {
        let narrow = |number: i64| i32::try_from(number).map_err(|_| Fail::Overflow);
        Ok(Interval {
            months: narrow(self.months)?,
            days: narrow(self.days)?,
            us: self.us,
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "small factors, or what a double has cut already"
)]
fn as_f64(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, reason = "cut towards zero is meant")]
fn whole(number: f64) -> i64 {
    number as i64
}

/// A number, its fraction apart; both have the sign.
#[derive(Debug, Clone, Copy)]
struct Quantity {
    whole: i64,
    fraction: f64,
}

fn quantity(text: &str) -> Outcome<Quantity> {
    let (negative, digits) = signed(text);
    let (integer, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(integer) || !is_digits(decimals) || integer.len() + decimals.len() == 0 {
        return Err(Fail::Format);
    }
    let whole: i64 = if integer.is_empty() {
        0
    } else {
        integer.parse().map_err(|_| Fail::Overflow)?
    };
    let fraction: f64 = format!("0.{decimals}0").parse().map_err(|_| Fail::Format)?;
    Ok(if negative {
        Quantity {
            whole: -whole,
            fraction: -fraction,
        }
    } else {
        Quantity { whole, fraction }
    })
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Reads an interval.
pub(crate) fn parse(text: &str) -> Result<Interval> {
    let lower = text.trim().to_ascii_lowercase();
    let outcome = match lower.strip_prefix('p') {
        Some(rest) => iso(rest),
        None => verbose(&lower),
    };
    // The server's reader is lenient about stray marks and missing numbers; what is not of a plain form is not judged here.
    let lenient = text.bytes().any(|byte| byte.is_ascii_digit());
    outcome.map_err(|fail| match fail {
        Fail::Format if lenient => Error::unsupported(format!("an interval written as \"{text}\"")),
        Fail::Format => Error::new(
            "22007",
            format!("invalid input syntax for type interval: \"{text}\""),
        ),
        Fail::Overflow => Error::new(
            "22015",
            format!("interval field value out of range: \"{text}\""),
        ),
        Fail::Unserved => Error::unsupported(format!("an interval written as \"{text}\"")),
    })
}

/// `1 year 2 mons 3 days 04:05:06 ago`.
fn verbose(text: &str) -> Outcome<Interval> {
    let pieces = pieces(text)?;
    if pieces.is_empty() {
        return Err(Fail::Format);
    }
    let mut parts = Parts::default();
    let mut seen = Vec::new();
    let mut rest = pieces.iter().map(String::as_str).peekable();
    while let Some(piece) = rest.next() {
        if piece == "ago" {
            if rest.peek().is_some() || seen.is_empty() {
                return Err(Fail::Format);
            }
            parts.negate();
        } else if piece.contains(':') {
            note(&mut seen, Unit::Us(HOUR))?;
            parts.add_us(clock(piece)?)?;
        } else if piece[1..].contains('-') {
            note(&mut seen, Unit::Month)?;
            parts.months += years_and_months(piece)?;
        } else {
            let number = quantity(piece)?;
            let unit = match rest.peek().copied() {
                None | Some("ago") => Unit::Us(SECOND),
                Some(time) if time.contains(':') => Unit::Days(1),
                Some(name) if name.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                    rest.next();
                    unit(name).ok_or(Fail::Format)?
                }
                Some(_) => return Err(Fail::Unserved),
            };
            note(&mut seen, unit)?;
            parts.add(number, unit)?;
        }
    }
    parts.finish()
}

/// No unit comes twice.
fn note(seen: &mut Vec<Unit>, unit: Unit) -> Outcome<()> {
    if seen.contains(&unit) {
        return Err(Fail::Format);
    }
    seen.push(unit);
    Ok(())
}

/// Numbers and words apart, also where no blank is between.
fn pieces(text: &str) -> Outcome<Vec<String>> {
    let mut pieces: Vec<String> = Vec::new();
    for word in text
        .split([' ', '\t', '\n', '\r', ',', '@'])
        .filter(|word| !word.is_empty())
    {
        let mut rest = word;
        while let Some(first) = rest.chars().next() {
            let letters = first.is_ascii_alphabetic();
            if !letters && !first.is_ascii_digit() && !matches!(first, '+' | '-' | '.') {
                return Err(Fail::Format);
            }
            let end = rest
                .find(|c: char| {
                    if letters {
                        !c.is_ascii_alphabetic()
                    } else {
                        !(c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | ':'))
                    }
                })
                .unwrap_or(rest.len());
            pieces.push(rest[..end].to_owned());
            rest = &rest[end..];
            if letters && !rest.is_empty() {
                return Err(Fail::Unserved);
            }
        }
    }
    // A sign may stand apart.
    if pieces
        .iter()
        .any(|piece| matches!(piece.as_str(), "+" | "-"))
    {
        return Err(Fail::Unserved);
    }
    Ok(pieces)
}

/// `[-]H:MM[:SS[.f]]`, or `MM:SS.f`.
fn clock(text: &str) -> Outcome<i64> {
    let (negative, digits) = signed(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let number =
        |part: &str| match part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty() {
            true => part.parse::<i64>().map_err(|_| Fail::Overflow),
            false => Err(Fail::Format),
        };
    let parts: Vec<&str> = whole.split(':').collect();
    let (hours, minutes, seconds) = match parts.as_slice() {
        [hours, minutes, seconds] => (number(hours)?, number(minutes)?, number(seconds)?),
        [minutes, seconds] if digits.contains('.') => (0, number(minutes)?, number(seconds)?),
        [hours, minutes] => (number(hours)?, number(minutes)?, 0),
        _ => return Err(Fail::Format),
    };
    if parts.iter().skip(1).any(|part| part.len() > 2) {
        return Err(Fail::Unserved);
    }
    if minutes > 59 || seconds > 60 {
        return Err(Fail::Overflow);
    }
    let hours = hours.checked_mul(HOUR).ok_or(Fail::Overflow)?;
    let us = hours
        .checked_add(minutes * MINUTE + seconds * SECOND + microseconds(fraction))
        .ok_or(Fail::Overflow)?;
    Ok(if negative { -us } else { us })
}

/// `1-2`: a year and two months.
fn years_and_months(text: &str) -> Outcome<i64> {
    let (negative, digits) = signed(text);
    let (years, months) = digits.split_once('-').ok_or(Fail::Format)?;
    let number =
        |part: &str| match !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            true => part.parse::<i64>().map_err(|_| Fail::Overflow),
            false => Err(Fail::Format),
        };
    let (years, months) = (number(years)?, number(months)?);
    if months > 11 {
        return Err(Fail::Overflow);
    }
    let total = years.checked_mul(12).ok_or(Fail::Overflow)? + months;
    Ok(if negative { -total } else { total })
}

/// After the `P` of ISO 8601.
fn iso(text: &str) -> Outcome<Interval> {
    let mut parts = Parts::default();
    let mut seen = Vec::new();
    let (mut rest, mut timed, mut any) = (text, false, false);
    while !rest.is_empty() {
        if !timed && let Some(time) = rest.strip_prefix('t') {
            (rest, timed, any) = (time, true, true);
            continue;
        }
        let end = rest
            .find(|c: char| c.is_ascii_alphabetic())
            .ok_or(Fail::Unserved)?;
        let number = rest[..end].to_owned();
        if number.is_empty() {
            return Err(Fail::Format);
        }
        let unit = match (timed, &rest[end..=end]) {
            (false, "y") => Unit::Years(1),
            (false, "m") => Unit::Month,
            (false, "w") => Unit::Days(7),
            (false, "d") => Unit::Days(1),
            (true, "h") => Unit::Us(HOUR),
            (true, "m") => Unit::Us(MINUTE),
            (true, "s") => Unit::Us(SECOND),
            (false, "t") => return Err(Fail::Unserved),
            _ => return Err(Fail::Format),
        };
        note(&mut seen, unit)?;
        parts.add(quantity(&number)?, unit)?;
        (rest, any) = (&rest[end + 1..], true);
    }
    if !any {
        return Err(Fail::Format);
    }
    parts.finish()
}
