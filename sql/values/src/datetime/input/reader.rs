//! Putting the pieces of a text together.

use super::{Fail, Fields, Outcome, Special, parts, today};
use crate::{
    Error, Session,
    datetime::{
        HOUR,
        scan::{Piece, scan},
        zone,
    },
};

/// Names of months, days and other words of forms that are not read here.
const UNSERVED_WORDS: &[&str] = &[
    "jan",
    "january",
    "feb",
    "february",
    "mar",
    "march",
    "apr",
    "april",
    "may",
    "jun",
    "june",
    "jul",
    "july",
    "aug",
    "august",
    "sep",
    "sept",
    "september",
    "oct",
    "october",
    "nov",
    "november",
    "dec",
    "december",
    "mon",
    "monday",
    "tue",
    "tues",
    "tuesday",
    "wed",
    "weds",
    "wednesday",
    "thu",
    "thur",
    "thurs",
    "thursday",
    "fri",
    "friday",
    "sat",
    "saturday",
    "sun",
    "sunday",
    "j",
    "jd",
    "julian",
    "y",
    "m",
    "d",
    "h",
    "s",
    "mm",
    "on",
    "at",
    "dst",
    "dow",
    "isodow",
    "doy",
];

/// Abbreviations of zones whose offset was always the same in PostgreSQL's default set, in hours east.
const ABBREVIATIONS: &[(&str, i32)] = &[
    ("z", 0),
    ("zulu", 0),
    ("utc", 0),
    ("ut", 0),
    ("uct", 0),
    ("gmt", 0),
    ("wet", 0),
    ("west", 1),
    ("bst", 1),
    ("cet", 1),
    ("cest", 2),
    ("cetdst", 2),
    ("mez", 1),
    ("mesz", 2),
    ("eet", 2),
    ("eest", 3),
    ("est", -5),
    ("edt", -4),
    ("cst", -6),
    ("cdt", -5),
    ("mst", -7),
    ("mdt", -6),
    ("pst", -8),
    ("pdt", -7),
    ("akst", -9),
    ("akdt", -8),
    ("hst", -10),
    ("jst", 9),
    ("kst", 9),
    ("sast", 2),
    ("aest", 10),
    ("aedt", 11),
    ("awst", 8),
];

/// Seconds east of a zone by its abbreviation, in any case.
pub(crate) fn abbreviation(name: &str) -> Option<i32> {
    let found = ABBREVIATIONS
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known));
    found.map(|(_, hours)| hours * 3600)
}

pub(super) fn read(text: &str, session: &Session) -> Outcome<Fields> {
    let pieces = scan(text).ok_or(Fail::Unserved)?;
    if pieces.is_empty() {
        return Err(Fail::Format);
    }
    let mark = Piece::Word("t".to_owned());
    if pieces.last() == Some(&mark) {
        return Err(Fail::Unserved);
    }
    let mut reader = Reader {
        session,
        fields: Fields::default(),
        bc: None,
        half: None,
        date: None,
    };
    for (index, piece) in pieces.iter().enumerate() {
        reader.take(
            piece,
            index.checked_sub(1).and_then(|before| pieces.get(before)),
        )?;
    }
    reader.finish()
}

/// Hours on a clock of twelve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Morning,
    Afternoon,
}

struct Reader<'a> {
    session: &'a Session,
    fields: Fields,
    date: Option<(i64, i64, i64)>,
    bc: Option<bool>,
    half: Option<Half>,
}

impl Reader<'_> {
    fn take(&mut self, piece: &Piece, before: Option<&Piece>) -> Outcome<()> {
        match piece {
            Piece::Date(text) => {
                if self.date.is_some() || self.fields.date.is_some() {
                    return Err(Fail::Format);
                }
                self.date = Some(parts::date(text, &self.session.date_style)?);
            }
            Piece::Time(text) => {
                if self.fields.time.is_some() {
                    return Err(Fail::Format);
                }
                self.fields.time = Some(parts::clock(text)?);
            }
            Piece::Number(text) => self.number(text, before)?,
            Piece::Offset(text) => {
                if self.fields.zone.is_some() || self.fields.time.is_none() {
                    return Err(if self.fields.time.is_none() {
                        Fail::Unserved
                    } else {
                        Fail::Format
                    });
                }
                self.fields.zone =
                    Some(zone::fixed(parts::displacement(text)?).map_err(Fail::Other)?);
            }
            Piece::Word(word) => self.word(word)?,
        }
        Ok(())
    }

    fn number(&mut self, text: &str, before: Option<&Piece>) -> Outcome<()> {
        let part = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap_or(0);
        let marked = before == Some(&Piece::Word("t".to_owned()));
        match text.len() {
            8 if self.date.is_none() && !marked => {
                self.date = Some((part(0, 4), part(4, 6), part(6, 8)))
            }
            6 if marked => {
                let time = parts::clock(&format!("{}:{}:{}", &text[..2], &text[2..4], &text[4..]));
                self.fields.time = Some(time.map_err(|_| Fail::Unserved)?);
            }
            _ => return Err(Fail::Unserved),
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Outcome<()> {
        match word {
            "t" if self.date.is_some() && self.fields.time.is_none() => {}
            "infinity" | "+infinity" => self.special(Special::Infinity)?,
            "-infinity" => self.special(Special::MinusInfinity)?,
            "epoch" => self.special(Special::Epoch)?,
            "now" => self.special(Special::Now)?,
            "today" | "tomorrow" | "yesterday" => self.relative(word)?,
            "allballs" => self.fields.time = Some(0),
            "bc" => self.bc = Some(true),
            "ad" => self.bc = Some(false),
            "am" => self.half = Some(Half::Morning),
            "pm" => self.half = Some(Half::Afternoon),
            _ => self.zone(word)?,
        }
        Ok(())
    }

    fn relative(&mut self, word: &str) -> Outcome<()> {
        if self.date.is_some() || self.fields.date.is_some() {
            return Err(Fail::Format);
        }
        let offset = match word {
            "tomorrow" => 1,
            "yesterday" => -1,
            _ => 0,
        };
        self.fields.date = Some(today(self.session).map_err(Fail::Other)? + offset);
        Ok(())
    }

    fn special(&mut self, special: Special) -> Outcome<()> {
        if self.fields.special.is_some() || self.date.is_some() || self.fields.time.is_some() {
            return Err(Fail::Format);
        }
        self.fields.special = Some(special);
        Ok(())
    }

    fn zone(&mut self, word: &str) -> Outcome<()> {
        if UNSERVED_WORDS.contains(&word) {
            return Err(Fail::Unserved);
        }
        if self.fields.zone.is_some() {
            return Err(Fail::Format);
        }
        if let Some((_, hours)) = ABBREVIATIONS.iter().find(|(name, _)| *name == word) {
            self.fields.zone = Some(zone::fixed(hours * 3600).map_err(Fail::Other)?);
            return Ok(());
        }
        match zone::known(word) {
            Some(zone) => self.fields.zone = Some(zone),
            // A place after a date and a time is certainly meant to be a zone.
            None if word.contains('/') => {
                let certain = self.date.is_some() && self.fields.time.is_some();
                return Err(
                    if certain
                        && word
                            .bytes()
                            .all(|byte| byte.is_ascii_alphabetic() || byte == b'/')
                    {
                        Fail::Other(Error::new(
                            "22023",
                            format!("time zone \"{word}\" not recognized"),
                        ))
                    } else {
                        Fail::Unserved
                    },
                );
            }
            // Perhaps an abbreviation: there are some hundreds, and their meaning is a setting.
            None if word.len() <= 5 && self.date.is_some() && self.fields.time.is_some() => {
                return Err(Fail::Unserved);
            }
            None => return Err(Fail::Format),
        }
        Ok(())
    }

    fn finish(mut self) -> Outcome<Fields> {
        if let Some((year, month, day)) = self.date {
            self.fields.date = Some(parts::checked_date(
                year,
                month,
                day,
                self.bc == Some(true),
            )?);
        } else if self.bc.is_some() {
            return Err(Fail::Format);
        }
        if let Some(half) = self.half {
            let us = self.fields.time.ok_or(Fail::Format)?;
            if us >= 13 * HOUR {
                return Err(Fail::Field);
            }
            self.fields.time = Some(match half {
                Half::Morning if us >= 12 * HOUR => us - 12 * HOUR,
                Half::Afternoon if us < 12 * HOUR => us + 12 * HOUR,
                _ => us,
            });
        }
        Ok(self.fields)
    }
}
