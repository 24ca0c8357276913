//! Conditions that MongoDB can look for itself.
//!
//! A filter may let more through than the condition, never less: whatever it is not exact about is looked at again, row by row.

mod bounds;
mod sort;

use crossfade_store::mongo::Kind;
use crossfade_values::{Oid, Result, Type, Value, cast::Context, oid};
use mongodb::bson::{Bson, Document, doc};

use bounds::{bounds_of, range_of};
pub(crate) use sort::Sort;

use crate::{
    catalog::{Catalog, Table},
    codec,
    eval::Env,
    expr::{Expr, SubKind},
    plan::Scan,
};

/// A filter of one collection.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) document: Document,
    /// It says all that the conditions say.
    pub(crate) exact: bool,
    /// No row can pass.
    pub(crate) nothing: bool,
}

/// What a condition becomes: an exact filter, one that lets more through, or none.
enum Pushed {
    Exact(Document),
    Wider(Document),
    Nothing,
    No,
}

/// Makes filters for one scan.
pub(crate) struct Pusher<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) table: &'a Table,
    pub(crate) base: usize,
    pub(crate) env: &'a Env<'a>,
}

impl Pusher<'_> {
    /// The filter of a scan's conditions.
    ///
    /// # Errors
    /// What the evaluation of a value raises.
    pub(crate) fn filter(&self, scan: &Scan) -> Result<Filter> {
        let mut parts = Vec::new();
        let mut exact = true;
        for condition in &scan.filters {
            match self.condition(condition)? {
                Pushed::Exact(document) => parts.push(document),
                Pushed::Wider(document) => {
                    parts.push(document);
                    exact = false;
                }
                Pushed::Nothing => {
                    return Ok(Filter {
                        nothing: true,
                        exact: true,
                        ..Filter::default()
                    });
                }
                Pushed::No => exact = false,
            }
        }
        if let Some(id) = self.id(&parts) {
            parts.push(id);
        }
        Ok(Filter {
            document: all_of(parts),
            exact,
            nothing: false,
        })
    }

    /// What conditions on the parts of a composite key say of `_id`, which alone has an index: equal parts, then a range of the next.
    fn id(&self, parts: &[Document]) -> Option<Document> {
        let key = &self.table.documents.key;
        if key.len() < 2 {
            return None;
        }
        let mut known = Document::new();
        for (place, &column) in key.iter().enumerate() {
            let path = self.path(column);
            let name = path.strip_prefix("_id.").unwrap_or(path);
            let plain = parts.iter().filter(|part| part.len() == 1);
            let mut equal = plain.filter_map(|part| part.get(path));
            match equal.find(|value| !matches!(value, Bson::Document(_))) {
                Some(value) => drop(known.insert(name, value.clone())),
                None => {
                    return range_of(known, name, bounds_of(parts, path), key.len() > place + 1);
                }
            }
        }
        Some(doc! { "_id": known })
    }

    /// `column IN values`, of values that are none of NULL.
    pub(crate) fn one_of(
        &self,
        column: usize,
        ty: Oid,
        values: &[Value],
    ) -> Result<Option<Document>> {
        let items: Option<Vec<Bson>> = values
            .iter()
            .map(|value| self.bson(column, ty, value))
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .collect();
        Ok(items.map(|items| doc! { self.path(column): { "$in": items } }))
    }

    fn path(&self, column: usize) -> &str {
        &self.table.documents.fields[column].path
    }

    fn kind(&self, column: usize) -> &Kind {
        &self.table.documents.fields[column].kind
    }

    /// The column of this table that an expression is, seen through casts that change neither order nor equality.
    fn column(&self, expr: &Expr) -> Option<usize> {
        match expr {
            Expr::Column(slot) => {
                let column = slot.checked_sub(self.base)?;
                (column < self.table.columns.len()).then_some(column)
            }
            Expr::Cast(inner, from, to, Context::Implicit) if widens(*from, to.oid) => {
                self.column(inner)
            }
            _ => None,
        }
    }

    fn condition(&self, condition: &Expr) -> Result<Pushed> {
        match condition {
            Expr::And(items) => {
                let (mut parts, mut exact) = (Vec::new(), true);
                for item in items {
                    match self.condition(item)? {
                        Pushed::Exact(document) => parts.push(document),
                        Pushed::Wider(document) => {
                            parts.push(document);
                            exact = false;
                        }
                        Pushed::Nothing => return Ok(Pushed::Nothing),
                        Pushed::No => exact = false,
                    }
                }
                Ok(match (parts.is_empty(), exact) {
                    (true, false) => Pushed::No,
                    (_, true) => Pushed::Exact(all_of(parts)),
                    (false, false) => Pushed::Wider(all_of(parts)),
                })
            }
            Expr::Or(items) => {
                let (mut parts, mut exact) = (Vec::new(), true);
                for item in items {
                    match self.condition(item)? {
                        Pushed::Exact(document) => parts.push(document),
                        Pushed::Wider(document) => {
                            parts.push(document);
                            exact = false;
                        }
                        Pushed::Nothing => {}
                        Pushed::No => return Ok(Pushed::No),
                    }
                }
                if parts.is_empty() {
                    return Ok(Pushed::Nothing);
                }
                let any = if parts.len() == 1 {
                    parts.remove(0)
                } else {
                    doc! { "$or": parts }
                };
                Ok(if exact {
                    Pushed::Exact(any)
                } else {
                    Pushed::Wider(any)
                })
            }
            Expr::IsNull(inner) => Ok(match self.column(inner) {
                Some(column) => Pushed::Exact(self.is_null(column)),
                None => Pushed::No,
            }),
            Expr::Not(inner) => self.negated(inner),
            Expr::IsBool(inner, Some(value)) => Ok(match self.column(inner) {
                Some(column) if *self.kind(column) == Kind::Bool => {
                    Pushed::Exact(doc! { self.path(column): *value })
                }
                _ => Pushed::No,
            }),
            Expr::Column(_) => Ok(match self.column(condition) {
                Some(column) if *self.kind(column) == Kind::Bool => {
                    Pushed::Exact(doc! { self.path(column): true })
                }
                _ => Pushed::No,
            }),
            Expr::Call(callable, args) => match &args[..] {
                [left, right] => self.comparison(callable.name, &callable.args, left, right),
                _ => Ok(Pushed::No),
            },
            Expr::AnyAll {
                op,
                all: false,
                left,
                array,
                element,
            } if op.name == "=" && element.0 == element.1 => {
                let (Some(column), true) = (self.column(left), is_value(array)) else {
                    return Ok(Pushed::No);
                };
                let Value::Array(array) = self.env.eval(array)? else {
                    return Ok(Pushed::Nothing);
                };
                let values: Vec<Value> = array
                    .items
                    .iter()
                    .filter(|item| !item.is_null())
                    .cloned()
                    .collect();
                self.any_of(column, element.1, &values)
            }
            Expr::Sub(sub) if !sub.correlated => {
                let SubKind::AnyAll {
                    left,
                    ops,
                    all: false,
                    casts,
                } = &sub.kind
                else {
                    return Ok(Pushed::No);
                };
                let ([left], [op], [(from, to)]) = (&left[..], &ops[..], &casts[..]) else {
                    return Ok(Pushed::No);
                };
                let (Some(column), "=") = (self.column(left), op.name) else {
                    return Ok(Pushed::No);
                };
                let Some(rows) = self.env.answers.get(&sub.id) else {
                    return Ok(Pushed::No);
                };
                if *from != to.oid || rows.len() > MOST_VALUES {
                    return Ok(Pushed::No);
                }
                let values = rows
                    .iter()
                    .filter_map(|row| row.first())
                    .filter(|value| !value.is_null());
                self.any_of(column, to.oid, &values.cloned().collect::<Vec<_>>())
            }
            condition if condition.is_fixed() => Ok(match self.env.eval(condition)? {
                Value::Bool(true) => Pushed::Exact(Document::new()),
                _ => Pushed::Nothing,
            }),
            _ => Ok(Pushed::No),
        }
    }

    /// MongoDB looks into arrays: one that holds a null is equal to null there.
    fn looks_inside(&self, column: usize) -> bool {
        matches!(
            self.kind(column),
            Kind::Jsonb | Kind::Array(_) | Kind::BinaryArray(..)
        )
    }

    fn is_null(&self, column: usize) -> Document {
        let path = self.path(column);
        if self.looks_inside(column) {
            return doc! { "$and": [{ path: Bson::Null }, { path: { "$not": { "$type": "array" } } }] };
        }
        doc! { path: Bson::Null }
    }

    fn is_not_null(&self, column: usize) -> Document {
        let path = self.path(column);
        if self.looks_inside(column) {
            return doc! { "$or": [{ path: { "$ne": Bson::Null } }, { path: { "$type": "array" } }] };
        }
        doc! { path: { "$ne": Bson::Null } }
    }

    fn any_of(&self, column: usize, ty: Oid, values: &[Value]) -> Result<Pushed> {
        if values.is_empty() {
            return Ok(Pushed::Nothing);
        }
        Ok(match self.one_of(column, ty, values)? {
            Some(document) => Pushed::Exact(document),
            None => Pushed::No,
        })
    }

    fn negated(&self, inner: &Expr) -> Result<Pushed> {
        Ok(match inner {
            Expr::IsNull(inner) => match self.column(inner) {
                Some(column) => Pushed::Exact(self.is_not_null(column)),
                None => Pushed::No,
            },
            Expr::Column(_) => match self.column(inner) {
                Some(column) if *self.kind(column) == Kind::Bool => {
                    Pushed::Exact(doc! { self.path(column): false })
                }
                _ => Pushed::No,
            },
            _ => Pushed::No,
        })
    }

    fn comparison(&self, name: &str, types: &[Oid], left: &Expr, right: &Expr) -> Result<Pushed> {
        let (column, value, name, ty) = match (self.column(left), self.column(right)) {
            (Some(column), None) if is_value(right) => (column, right, name, types.get(1)),
            (None, Some(column)) if is_value(left) => {
                let Some(turned) = turned(name) else {
                    return Ok(Pushed::No);
                };
                (column, left, turned, types.first())
            }
            _ => return Ok(Pushed::No),
        };
        let Some(&ty) = ty else { return Ok(Pushed::No) };
        if name == "~~" {
            return self.like(column, value);
        }
        if !matches!(name, "=" | "<>" | "<" | "<=" | ">" | ">=") {
            return Ok(Pushed::No);
        }
        let value = self.env.eval(value)?;
        if value.is_null() {
            return Ok(Pushed::Nothing);
        }
        if *self.kind(column) == Kind::Text && self.is_enum(column) && !matches!(name, "=" | "<>") {
            return Ok(Pushed::No);
        }
        let Some(bson) = self.bson(column, ty, &value)? else {
            return Ok(Pushed::No);
        };
        let path = self.path(column);
        Ok(match name {
            "=" => Pushed::Exact(doc! { path: bson }),
            "<>" => Pushed::Exact(doc! { path: { "$nin": [bson, Bson::Null] } }),
            name => self.range(column, name, bson),
        })
    }

    fn is_enum(&self, column: usize) -> bool {
        self.catalog
            .types
            .enums
            .contains_key(&self.table.columns[column].base.oid)
    }

    /// An end of a range. MongoDB compares within one type of BSON: NaN, which PostgreSQL sorts above all numbers, and infinite times, which are
    /// MinKey and MaxKey, have to be asked for on their own.
    fn range(&self, column: usize, name: &str, value: Bson) -> Pushed {
        let path = self.path(column);
        if let Some(pushed) = self.end_of_all(column, name, &value) {
            return pushed;
        }
        let operator = match name {
            "<" => "$lt",
            "<=" => "$lte",
            ">" => "$gt",
            _ => "$gte",
        };
        let upward = matches!(name, ">" | ">=");
        let beyond = match (self.kind(column), upward) {
            (Kind::Numeric, true) => Some(Bson::Double(f64::NAN)),
            (Kind::Float4 | Kind::Float8, true) => Some(Bson::Double(f64::NAN)),
            (Kind::Date | Kind::Timestamp, true) => Some(Bson::MaxKey),
            (Kind::Date | Kind::Timestamp, false) => Some(Bson::MinKey),
            _ => None,
        };
        let range = doc! { path: { operator: value } };
        match beyond {
            None => Pushed::Exact(range),
            Some(beyond) => Pushed::Exact(doc! { "$or": [range, { path: beyond }] }),
        }
    }

    /// A range that ends at the greatest or the least of all values: MongoDB compares NaN with nothing, and MinKey and MaxKey with everything.
    fn end_of_all(&self, column: usize, name: &str, value: &Bson) -> Option<Pushed> {
        let path = self.path(column);
        let greatest = match value {
            Bson::Double(number) if number.is_nan() => true,
            Bson::Decimal128(number) if number.to_string().contains("NaN") => true,
            Bson::MaxKey => true,
            Bson::MinKey => false,
            _ => return None,
        };
        Some(match (name, greatest) {
            (">", true) | ("<", false) => Pushed::Nothing,
            (">=", true) | ("<=", false) => Pushed::Exact(doc! { path: value.clone() }),
            ("<", true) | (">", false) => {
                Pushed::Exact(doc! { path: { "$nin": [value.clone(), Bson::Null] } })
            }
            _ => Pushed::Exact(doc! { path: { "$ne": Bson::Null } }),
        })
    }

    /// `LIKE 'abc%'` is a range of prefixes; the rest of the pattern is looked at again.
    fn like(&self, column: usize, pattern: &Expr) -> Result<Pushed> {
        if *self.kind(column) != Kind::Text || self.table.columns[column].base.oid == oid::BPCHAR {
            return Ok(Pushed::No);
        }
        let Value::Text(pattern) = self.env.eval(pattern)? else {
            return Ok(Pushed::Nothing);
        };
        let prefix: String = pattern
            .chars()
            .take_while(|c| !matches!(c, '%' | '_' | '\\'))
            .collect();
        let path = self.path(column);
        if prefix.len() == pattern.len() {
            return Ok(Pushed::Exact(doc! { path: prefix }));
        }
        let Some(end) = behind(&prefix) else {
            return Ok(Pushed::No);
        };
        let range = doc! { path: { "$gte": &prefix, "$lt": end } };
        Ok(
            if pattern.len() == prefix.len() + 1 && pattern.ends_with('%') {
                Pushed::Exact(range)
            } else {
                Pushed::Wider(range)
            },
        )
    }

    /// A value of type `ty` as the column's documents would hold it; `None` where they cannot hold one that is equal, or where
    /// equality there is another.
    fn bson(&self, column: usize, ty: Oid, value: &Value) -> Result<Option<Bson>> {
        let (kind, own) = (self.kind(column), self.table.columns[column].base);
        let types = &self.catalog.types;
        Ok(match (kind, value) {
            // Numbers are compared by their value, whatever their type in BSON.
            (Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Numeric, Value::Int(number)) => {
                Some(Bson::Int64(*number))
            }
            (Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Numeric, Value::Numeric(_)) => {
                codec::to_bson(&Kind::Numeric, Type::of(oid::NUMERIC), value, types).ok()
            }
            (Kind::Float4 | Kind::Float8, Value::Float8(number)) => Some(Bson::Double(*number)),
            (Kind::Float4, Value::Float4(number)) => Some(Bson::Double(f64::from(*number))),
            (Kind::Text, Value::Text(text)) => match own.oid {
                oid::BPCHAR => Some(Bson::String(text.trim_end_matches(' ').to_owned())),
                oid::TEXT | oid::VARCHAR => Some(Bson::String(text.as_ref().to_owned())),
                other if types.enums.contains_key(&other) => {
                    Some(Bson::String(text.as_ref().to_owned()))
                }
                _ => None,
            },
            (Kind::Bool, Value::Bool(_))
            | (Kind::Uuid, Value::Uuid(_))
            | (Kind::Date, Value::Date(_))
            | (Kind::Time, Value::Time(_))
            | (Kind::Timestamp, Value::Timestamp(_)) => {
                if ty == own.oid {
                    codec::to_bson(kind, own, value, types).ok()
                } else {
                    None
                }
            }
            _ => None,
        })
    }
}

/// Most values of a sub-query that are sent along.
const MOST_VALUES: usize = 10_000;

fn all_of(mut parts: Vec<Document>) -> Document {
    parts.retain(|part| !part.is_empty());
    match parts.len() {
        0 => Document::new(),
        1 => parts.remove(0),
        _ => doc! { "$and": parts },
    }
}

/// Known before the first row: no column of this query.
fn is_value(expr: &Expr) -> bool {
    expr.is_fixed()
}

fn turned(name: &str) -> Option<&str> {
    Some(match name {
        "=" => "=",
        "<>" => "<>",
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        _ => return None,
    })
}

/// Casts of a column behind which MongoDB compares as PostgreSQL does.
fn widens(from: Oid, to: Oid) -> bool {
    matches!(
        (from, to),
        (oid::INT2, oid::INT4 | oid::INT8 | oid::NUMERIC)
            | (oid::INT4, oid::INT8 | oid::NUMERIC)
            | (oid::INT8, oid::NUMERIC)
            | (oid::FLOAT4, oid::FLOAT8)
            | (oid::VARCHAR, oid::TEXT)
    )
}

/// The least text behind all those with this prefix, in the order of bytes.
fn behind(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}
