//! Reads typed values out of the TOML tree and collects every mistake on the way.
//!
//! Each getter answers with a value it can go on with (the default, or `None`), so that one mistake does not
//! hide the next.

mod value;

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use crate::{
    env,
    keys::Keys,
    mistake::{Found, Kind},
};

pub(crate) use value::{Zero, kind_of};

/// The environment that placeholders are looked up in.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A value with its place in the file.
pub(crate) type Value<'t> = toml::Spanned<DeValue<'t>>;

/// The state of one reading.
pub(crate) struct Reader<'a> {
    pub(crate) env: Lookup<'a>,
    pub(crate) base_dir: &'a Path,
    pub(crate) found: Vec<Found>,
    /// Password files and the list of users, as they were read.
    pub(crate) secrets: Vec<(PathBuf, crate::load::Content)>,
}

/// One table of the file, whose keys are known to be allowed.
#[derive(Clone)]
pub(crate) struct Section<'t> {
    /// Its name with dots, as in `toggle.shop`; empty at the top level.
    pub(crate) path: String,
    /// Where it begins.
    pub(crate) at: Range<usize>,
    /// `None` for a table that the file leaves out.
    pub(crate) table: Option<&'t DeTable<'t>>,
}

/// One key with its value.
#[derive(Clone)]
pub(crate) struct Field<'t> {
    /// Its name with dots, as in `old.url`.
    pub(crate) path: String,
    /// Where the key stands.
    pub(crate) key_at: Range<usize>,
    pub(crate) value: &'t Value<'t>,
}

impl Field<'_> {
    /// Where the value stands.
    pub(crate) fn at(&self) -> Range<usize> {
        self.value.span()
    }
}

impl<'t> Section<'t> {
    /// The key `name`, if the file sets it.
    pub(crate) fn get(&self, name: &str) -> Option<Field<'t>> {
        let (key, value) = self.table?.get_key_value(name)?;
        Some(Field {
            path: self.child(name),
            key_at: key.span(),
            value,
        })
    }

    /// All keys, in the order of the file.
    pub(crate) fn fields(&self) -> Vec<Field<'t>> {
        let mut fields: Vec<Field<'t>> = self
            .table
            .into_iter()
            .flat_map(DeTable::iter)
            .map(|(key, value)| Field {
                path: self.child(key.get_ref()),
                key_at: key.span(),
                value,
            })
            .collect();
        fields.sort_by_key(|field| field.key_at.start);
        fields
    }

    /// The last part of a field's path, as typed.
    pub(crate) fn name_of<'f>(&self, field: &'f Field<'t>) -> &'f str {
        if self.path.is_empty() {
            &field.path
        } else {
            &field.path[self.path.len() + 1..]
        }
    }

    fn child(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// How messages call it.
    pub(crate) fn title(&self) -> String {
        if self.path.is_empty() {
            "the top level".to_owned()
        } else {
            format!("[{}]", self.path)
        }
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(env: Lookup<'a>, base_dir: &'a Path) -> Reader<'a> {
        Reader {
            env,
            base_dir,
            found: Vec::new(),
            secrets: Vec::new(),
        }
    }

    /// Notes a wrong value.
    pub(crate) fn mistake(
        &mut self,
        span: Range<usize>,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        self.note(span, Kind::Value, what, instead);
    }

    /// Notes that something is absent.
    pub(crate) fn missing(
        &mut self,
        span: Range<usize>,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        self.note(span, Kind::Missing, what, instead);
    }

    pub(crate) fn note(
        &mut self,
        span: Range<usize>,
        kind: Kind,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        self.found.push(Found {
            span,
            kind,
            what: what.into(),
            instead: instead.into(),
        });
    }

    /// Opens the table at `key` and refuses its unknown keys.
    pub(crate) fn section<'t>(
        &mut self,
        parent: &Section<'t>,
        key: &str,
        keys: &Keys,
    ) -> Option<Section<'t>> {
        let section = self.open(&parent.get(key)?)?;
        self.refuse_unknown(&section, keys);
        Some(section)
    }

    /// Opens a table with keys of the operator's choice.
    pub(crate) fn open<'t>(&mut self, field: &Field<'t>) -> Option<Section<'t>> {
        match field.value.get_ref() {
            DeValue::Table(table) => Some(Section {
                path: field.path.clone(),
                at: field.key_at.clone(),
                table: Some(table),
            }),
            other => {
                let what = format!("\"{}\" is {}, not a table", field.path, kind_of(other));
                self.mistake(
                    field.at(),
                    what,
                    format!("write [{}] and its keys below", field.path),
                );
                None
            }
        }
    }

    /// Notes each key of `section` that is not among `keys`.
    pub(crate) fn refuse_unknown(&mut self, section: &Section<'_>, keys: &Keys) {
        for field in section.fields() {
            let name = section.name_of(&field);
            if !keys.names.contains(&name) {
                let what = format!("unknown key \"{name}\" in {}", section.title());
                self.mistake(field.key_at.clone(), what, keys.instead_of(name));
            }
        }
    }

    /// A path as typed; relative ones start at the folder of the configuration file.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        self.base_dir.join(path)
    }

    /// Replaces the placeholders of a string value.
    pub(crate) fn expand(&mut self, path: &str, at: Range<usize>, typed: &str) -> Option<String> {
        match env::expand(typed, self.env) {
            Ok(text) => Some(text),
            Err(mistake) => {
                self.mistake(
                    at,
                    format!("\"{path}\" cannot be completed: {mistake}"),
                    mistake.instead(),
                );
                None
            }
        }
    }
}
