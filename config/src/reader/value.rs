//! Getters for each type of value.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use toml::de::DeValue;

use super::{Field, Reader, Section};
use crate::{env, units};

/// A string value.
pub(crate) struct Text {
    /// With its placeholders replaced; may be secret.
    pub(crate) value: String,
    /// As it stands in the file; fit for messages.
    pub(crate) typed: String,
}

/// Whether a setting makes sense at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    Allowed,
    Refused,
}

/// Numbers that a setting takes.
pub(crate) type Bounds = RangeInclusive<u64>;

/// The type of a TOML value, with its article.
pub(crate) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

impl Reader<'_> {
    /// A mistake of type: `expected` reads like `a string such as "x"`.
    pub(crate) fn wrong_type(&mut self, field: &Field<'_>, expected: &str) {
        let what = format!("\"{}\" is {}", field.path, kind_of(field.value.get_ref()));
        self.mistake(field.at(), what, format!("write {expected}"));
    }

    /// A string, with placeholders replaced.
    pub(crate) fn text(&mut self, field: &Field<'_>, expected: &str) -> Option<Text> {
        let DeValue::String(typed) = field.value.get_ref() else {
            self.wrong_type(field, expected);
            return None;
        };
        let value = self.expand(&field.path, field.at(), typed)?;
        Some(Text {
            value,
            typed: typed.to_string(),
        })
    }

    /// A string that is not empty.
    pub(crate) fn filled(&mut self, field: &Field<'_>, expected: &str) -> Option<Text> {
        let text = self.text(field, expected)?;
        if text.value.trim().is_empty() {
            self.mistake(
                field.at(),
                format!("\"{}\" is empty", field.path),
                format!("write {expected}"),
            );
            return None;
        }
        Some(text)
    }

    /// A path; relative ones start at the folder of the configuration file.
    pub(crate) fn path(&mut self, field: &Field<'_>) -> Option<PathBuf> {
        let text = self.filled(field, "a path in quotes")?;
        Some(self.resolve(&text.value))
    }

    /// An integer, or a string whose placeholders make one.
    pub(crate) fn integer(&mut self, field: &Field<'_>, bounds: &Bounds) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let number = match field.value.get_ref() {
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix()).ok(),
            DeValue::String(typed) if env::has_placeholder(typed) => self
                .expand(&field.path, field.at(), typed)?
                .trim()
                .parse()
                .ok(),
            _ => {
                self.wrong_type(field, &expected);
                return None;
            }
        };
        let number = number
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| bounds.contains(number));
        if number.is_none() {
            self.mistake(
                field.at(),
                format!("\"{}\" is out of bounds", field.path),
                format!("write {expected}"),
            );
        }
        number
    }

    /// The integer at `key`, or the default.
    pub(crate) fn number<T: TryFrom<u64>>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        bounds: Bounds,
        default: T,
    ) -> T {
        let field = section.get(key);
        let number = field.and_then(|field| self.integer(&field, &bounds));
        number
            .and_then(|number| T::try_from(number).ok())
            .unwrap_or(default)
    }

    /// The boolean at `key`, or the default.
    pub(crate) fn boolean(&mut self, section: &Section<'_>, key: &str, default: bool) -> bool {
        let Some(field) = section.get(key) else {
            return default;
        };
        let boolean = match field.value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            DeValue::String(typed) if env::has_placeholder(typed) => self
                .expand(&field.path, field.at(), typed)
                .and_then(|text| text.trim().parse().ok()),
            _ => None,
        };
        if boolean.is_none() {
            self.wrong_type(&field, "true or false");
        }
        boolean.unwrap_or(default)
    }

    /// The duration at `key`, or the default.
    pub(crate) fn duration(
        &mut self,
        section: &Section<'_>,
        key: &str,
        zero: Zero,
        default: Duration,
    ) -> Duration {
        let duration = self.measure(section, key, units::DURATION, units::duration);
        self.not_zero(section, key, duration, zero, Duration::ZERO)
            .unwrap_or(default)
    }

    /// The size at `key` in bytes, or the default.
    pub(crate) fn size(
        &mut self,
        section: &Section<'_>,
        key: &str,
        zero: Zero,
        default: usize,
    ) -> usize {
        let size = self.measure(section, key, units::SIZE, units::size);
        self.not_zero(section, key, size, zero, 0)
            .unwrap_or(default)
    }

    fn measure<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        expected: &str,
        read: fn(&str) -> Option<T>,
    ) -> Option<T> {
        let field = section.get(key)?;
        let text = self.text(&field, expected)?;
        let measured = read(&text.value);
        if measured.is_none() {
            let what = format!("\"{}\" has no meaning as {:?}", field.path, text.typed);
            self.mistake(field.at(), what, format!("write {expected}"));
        }
        measured
    }

    fn not_zero<T: PartialEq>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        value: Option<T>,
        zero: Zero,
        nought: T,
    ) -> Option<T> {
        if zero == Zero::Refused && value.as_ref() == Some(&nought) {
            let field = section.get(key)?;
            self.mistake(
                field.at(),
                format!("\"{}\" is zero", field.path),
                "write something greater",
            );
            return None;
        }
        value
    }

    /// An array of strings that are neither empty nor twice there, each with its place.
    pub(crate) fn names(
        &mut self,
        field: &Field<'_>,
        expected: &str,
    ) -> Option<Vec<(String, std::ops::Range<usize>)>> {
        let DeValue::Array(items) = field.value.get_ref() else {
            self.wrong_type(field, expected);
            return None;
        };
        let before = self.found.len();
        let mut names: Vec<(String, std::ops::Range<usize>)> = Vec::new();
        for item in items.iter() {
            let entry = Field {
                path: field.path.clone(),
                key_at: item.span(),
                value: item,
            };
            let Some(text) = self.filled(&entry, expected) else {
                continue;
            };
            if names.iter().any(|(name, _)| *name == text.value) {
                let what = format!("\"{}\" names {:?} twice", field.path, text.typed);
                self.mistake(item.span(), what, "leave one of the two");
            } else {
                names.push((text.value, item.span()));
            }
        }
        // A name less would be another key.
        (self.found.len() == before).then_some(names)
    }
}
