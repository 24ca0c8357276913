//! `WITH (FORMAT csv, …)`.

use crossfade_values::{Error, Result};
use pg_query::{
    Node, NodeEnum,
    protobuf::{CopyStmt, DefElem},
};

/// How the rows are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Text,
    Csv,
    Binary,
    /// None of PostgreSQL's: a query of this format is not run. Its RETURNING is what the next COPY FROM or TRUNCATE gives back of each row.
    Images,
}

/// HEADER.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Header {
    #[default]
    None,
    Line,
    Match,
}

/// Columns that an option names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Force {
    All,
    Named(Vec<String>),
}

/// Options as they are meant.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) format: Format,
    pub(crate) header: Header,
    pub(crate) delimiter: u8,
    pub(crate) null: String,
    pub(crate) quote: u8,
    pub(crate) escape: u8,
    pub(crate) force_quote: Option<Force>,
    pub(crate) force_not_null: Option<Force>,
    pub(crate) force_null: Option<Force>,
}

/// Options as they are given.
#[derive(Debug, Default)]
struct Given {
    format: Option<Format>,
    header: Option<Header>,
    freeze: Option<bool>,
    delimiter: Option<String>,
    null: Option<String>,
    quote: Option<String>,
    escape: Option<String>,
    force_quote: Option<Force>,
    force_not_null: Option<Force>,
    force_null: Option<Force>,
    encoding: Option<()>,
}

impl Options {
    /// Of a COPY (`ProcessCopyOptions`).
    ///
    /// # Errors
    /// PostgreSQL's.
    pub(crate) fn read(copy: &CopyStmt, version: u32) -> Result<Options> {
        let mut given = Given::default();
        for node in &copy.options {
            if let Some(NodeEnum::DefElem(option)) = node.node.as_ref() {
                given
                    .take(option, copy.is_from, version)
                    .map_err(|error| Error {
                        at: error.at.filter(|at| *at > 0),
                        ..error
                    })?;
            }
        }
        given.meant(copy.is_from)
    }

    pub(crate) fn is_csv(&self) -> bool {
        self.format == Format::Csv
    }

    pub(crate) fn is_binary(&self) -> bool {
        self.format == Format::Binary
    }
}

/// Puts what an option says where nothing was said before.
fn once<T>(place: &mut Option<T>, value: Result<T>, at: usize) -> Result<()> {
    if place.is_some() {
        return Err(syntax("conflicting or redundant options").at(at));
    }
    *place = Some(value?);
    Ok(())
}

impl Given {
    fn take(&mut self, option: &DefElem, is_from: bool, version: u32) -> Result<()> {
        let name = &option.defname[..];
        let at = usize::try_from(option.location).unwrap_or_default();
        let is_new = |since: u32| version >= since;
        match name {
            "format" => once(&mut self.format, format(option, at), at),
            "freeze" => once(&mut self.freeze, boolean(option), at),
            "delimiter" => once(&mut self.delimiter, string(option), at),
            "null" => once(&mut self.null, string(option), at),
            "header" => once(&mut self.header, header(option, is_from), at),
            "quote" => once(&mut self.quote, string(option), at),
            "escape" => once(&mut self.escape, string(option), at),
            "force_quote" => once(&mut self.force_quote, columns(option, true, at), at),
            "force_not_null" => {
                let all = is_new(170_000);
                once(&mut self.force_not_null, columns(option, all, at), at)
            }
            "force_null" => {
                let all = is_new(170_000);
                once(&mut self.force_null, columns(option, all, at), at)
            }
            "encoding" => once(&mut self.encoding, encoding(option), at),
            "default" if is_new(160_000) => Err(Error::unsupported("COPY with DEFAULT")),
            "on_error" | "log_verbosity" if is_new(170_000) => Err(Error::unsupported(format!(
                "COPY with {}",
                name.to_uppercase()
            ))),
            "reject_limit" if is_new(180_000) => Err(Error::unsupported("COPY with REJECT_LIMIT")),
            _ => Err(syntax(format!("option \"{name}\" not recognized")).at(at)),
        }
    }

    /// In the order in which PostgreSQL looks.
    fn meant(self, is_from: bool) -> Result<Options> {
        let format = self.format.unwrap_or_default();
        let header = self.header.unwrap_or_default();
        let (csv, binary) = (format == Format::Csv, format == Format::Binary);
        if binary && self.delimiter.is_some() {
            return Err(syntax("cannot specify DELIMITER in BINARY mode"));
        }
        if binary && self.null.is_some() {
            return Err(syntax("cannot specify NULL in BINARY mode"));
        }
        let by_format = |csv_default: &str, text: &str| match csv {
            true => csv_default.to_owned(),
            false => text.to_owned(),
        };
        let delimiter = self.delimiter.unwrap_or_else(|| by_format(",", "\t"));
        let null = self.null.unwrap_or_else(|| by_format("", "\\N"));
        let delimiter = one_byte(&delimiter, "delimiter")?;
        if matches!(delimiter, b'\r' | b'\n') {
            return Err(invalid(
                "COPY delimiter cannot be newline or carriage return",
            ));
        }
        if null.contains(['\r', '\n']) {
            return Err(invalid(
                "COPY null representation cannot use newline or carriage return",
            ));
        }
        if !csv
            && (delimiter.is_ascii_lowercase()
                || delimiter.is_ascii_digit()
                || b"\\.".contains(&delimiter))
        {
            let told = format!("COPY delimiter cannot be \"{}\"", char::from(delimiter));
            return Err(invalid(told));
        }
        if binary && header != Header::None {
            return Err(feature("cannot specify HEADER in BINARY mode"));
        }
        if !csv && self.quote.is_some() {
            return Err(feature("COPY quote available only in CSV mode"));
        }
        let quote = match (&self.quote, csv) {
            (Some(quote), true) => one_byte(quote, "quote")?,
            _ => b'"',
        };
        if csv && delimiter == quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        if !csv && self.escape.is_some() {
            return Err(feature("COPY escape available only in CSV mode"));
        }
        let escape = match (&self.escape, csv) {
            (Some(escape), true) => one_byte(escape, "escape")?,
            _ => quote,
        };
        let forced = [
            (self.force_quote.is_some(), "force quote", !is_from, "TO"),
            (
                self.force_not_null.is_some(),
                "force not null",
                is_from,
                "FROM",
            ),
            (self.force_null.is_some(), "force null", is_from, "FROM"),
        ];
        for (given, what, fits, way) in forced {
            if given && !csv {
                return Err(feature(format!("COPY {what} available only in CSV mode")));
            }
            if given && !fits {
                return Err(feature(format!(
                    "COPY {what} only available using COPY {way}"
                )));
            }
        }
        if null.as_bytes().contains(&delimiter) {
            return Err(feature(
                "COPY delimiter must not appear in the NULL specification",
            ));
        }
        if csv && null.as_bytes().contains(&quote) {
            return Err(feature(
                "CSV quote character must not appear in the NULL specification",
            ));
        }
        Ok(Options {
            format,
            header,
            delimiter,
            null,
            quote,
            escape,
            force_quote: self.force_quote,
            force_not_null: self.force_not_null,
            force_null: self.force_null,
        })
    }
}

fn syntax(message: impl Into<String>) -> Error {
    Error::new("42601", message)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new("22023", message)
}

fn feature(message: impl Into<String>) -> Error {
    Error::new("0A000", message)
}

fn one_byte(text: &str, what: &str) -> Result<u8> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(feature(format!(
            "COPY {what} must be a single one-byte character"
        ))),
    }
}

fn argument(option: &DefElem) -> Option<&NodeEnum> {
    option.arg.as_ref()?.node.as_ref()
}

/// `defGetString`.
fn string(option: &DefElem) -> Result<String> {
    Ok(match argument(option) {
        None => {
            let told = format!("{} requires a parameter", option.defname);
            return Err(syntax(told));
        }
        Some(NodeEnum::String(text)) => text.sval.clone(),
        Some(NodeEnum::Integer(number)) => number.ival.to_string(),
        Some(NodeEnum::Float(number)) => number.fval.clone(),
        Some(NodeEnum::Boolean(value)) => value.boolval.to_string(),
        Some(NodeEnum::AStar(_)) => "*".to_owned(),
        Some(_) => return Err(Error::unsupported("this form of an option of COPY")),
    })
}

/// `defGetBoolean`; `None` where it is none.
fn maybe(option: &DefElem) -> Result<Option<bool>> {
    Ok(match argument(option) {
        None => Some(true),
        Some(NodeEnum::Integer(number)) => match number.ival {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        Some(_) => match &string(option)?.to_ascii_lowercase()[..] {
            "true" | "on" => Some(true),
            "false" | "off" => Some(false),
            _ => None,
        },
    })
}

fn boolean(option: &DefElem) -> Result<bool> {
    maybe(option)?.ok_or_else(|| syntax(format!("{} requires a Boolean value", option.defname)))
}

fn header(option: &DefElem, is_from: bool) -> Result<Header> {
    match maybe(option)? {
        Some(true) => Ok(Header::Line),
        Some(false) => Ok(Header::None),
        None if string(option)?.eq_ignore_ascii_case("match") => match is_from {
            true => Ok(Header::Match),
            false => Err(feature(format!(
                "cannot use \"{}\" with HEADER in COPY TO",
                string(option)?
            ))),
        },
        None => Err(syntax(format!(
            "{} requires a Boolean value or \"match\"",
            option.defname
        ))),
    }
}

fn format(option: &DefElem, at: usize) -> Result<Format> {
    let name = string(option)?;
    match &name[..] {
        "text" => Ok(Format::Text),
        "csv" => Ok(Format::Csv),
        "binary" => Ok(Format::Binary),
        "crossfade_images" => Ok(Format::Images),
        _ => Err(invalid(format!("COPY format \"{name}\" not recognized")).at(at)),
    }
}

fn columns(option: &DefElem, all: bool, at: usize) -> Result<Force> {
    match argument(option) {
        Some(NodeEnum::AStar(_)) if all => Ok(Force::All),
        Some(NodeEnum::List(list)) => Ok(Force::Named(names(&list.items))),
        _ => Err(invalid(format!(
            "argument to option \"{}\" must be a list of column names",
            option.defname
        ))
        .at(at)),
    }
}

fn names(items: &[Node]) -> Vec<String> {
    let name = |node: &Node| match node.node.as_ref() {
        Some(NodeEnum::String(text)) => Some(text.sval.clone()),
        _ => None,
    };
    items.iter().filter_map(name).collect()
}

fn encoding(option: &DefElem) -> Result<()> {
    let name = string(option)?;
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase();
    match &plain[..] {
        "utf8" | "unicode" => Ok(()),
        _ => Err(Error::unsupported(format!("COPY in the encoding {name}"))),
    }
}
