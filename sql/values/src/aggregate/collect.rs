//! Aggregates that keep every value.

use std::sync::Arc;

use super::State;
use crate::{
    Array, Error, Json, Result, Value, format, functions::json::build, json, resolve::Scope,
};

/// `string_agg` over text and `bytea`.
#[derive(Default)]
pub(super) struct Strings {
    held: Option<Vec<u8>>,
    binary: bool,
}

fn bytes(value: Option<&Value>) -> Option<&[u8]> {
    match value {
        Some(Value::Text(text)) => Some(text.as_bytes()),
        Some(Value::Bytes(bytes)) => Some(bytes),
        _ => None,
    }
}

impl State for Strings {
    fn take(&mut self, _: Scope<'_>, args: &[Value]) -> Result<()> {
        let Some(value) = bytes(args.first()) else {
            return Ok(());
        };
        self.binary = matches!(args.first(), Some(Value::Bytes(_)));
        match &mut self.held {
            // The first row's delimiter goes unused.
            None => self.held = Some(value.to_vec()),
            Some(held) => {
                held.extend(bytes(args.get(1)).unwrap_or_default());
                held.extend(value);
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: Scope<'_>) -> Result<Value> {
        Ok(match self.held.take() {
            None => Value::Null,
            Some(held) if self.binary => Value::Bytes(held.into()),
            Some(held) => build::text_of(held),
        })
    }
}

/// `array_agg`.
#[derive(Default)]
pub(super) struct Items {
    items: Vec<Value>,
    rows: usize,
    /// Dimensions of the arrays that are gathered.
    inner: Option<Vec<(usize, i32)>>,
}

impl State for Items {
    fn take(&mut self, scope: Scope<'_>, args: &[Value]) -> Result<()> {
        let Some(value) = args.first() else {
            return Ok(());
        };
        let of_arrays = scope.args.first() == Some(&scope.result);
        self.rows += 1;
        match value {
            Value::Array(array) if of_arrays => self.take_array(array),
            Value::Null if of_arrays => Err(Error::new("22004", "cannot accumulate null arrays")),
            value => {
                self.items.push(value.clone());
                Ok(())
            }
        }
    }

    fn finish(&mut self, scope: Scope<'_>) -> Result<Value> {
        if self.rows == 0 {
            return Ok(Value::Null);
        }
        let element = format::element_of(scope.result, scope.types)
            .ok_or_else(|| Error::unsupported("an array of this type"))?;
        let mut dimensions = vec![(self.rows, 1)];
        dimensions.extend(self.inner.take().unwrap_or_default());
        Ok(Value::Array(Arc::new(Array {
            element,
            dimensions,
            items: std::mem::take(&mut self.items),
        })))
    }
}

impl Items {
    fn take_array(&mut self, array: &Array) -> Result<()> {
        if array.dimensions.is_empty() {
            return Err(Error::new("2202E", "cannot accumulate empty arrays"));
        }
        let lengths = |dimensions: &[(usize, i32)]| {
            dimensions
                .iter()
                .map(|dimension| dimension.0)
                .collect::<Vec<_>>()
        };
        match &self.inner {
            Some(inner) if lengths(inner) != lengths(&array.dimensions) => {
                return Err(Error::new(
                    "2202E",
                    "cannot accumulate arrays of different dimensionality",
                ));
            }
            Some(_) => {}
            None => self.inner = Some(array.dimensions.clone()),
        }
        self.items.extend(array.items.iter().cloned());
        Ok(())
    }
}

/// `json_agg`.
#[derive(Default)]
pub(super) struct JsonText {
    out: Vec<u8>,
}

impl State for JsonText {
    fn take(&mut self, scope: Scope<'_>, args: &[Value]) -> Result<()> {
        let Some(value) = args.first() else {
            return Ok(());
        };
        if self.out.is_empty() {
            self.out.push(b'[');
        } else {
            self.out.extend(b", ");
            // Arrays stand on lines of their own, but for NULL.
            if !value.is_null() && format::element_of(scope.args[0], scope.types).is_some() {
                self.out.extend(b"\n ");
            }
        }
        build::append(
            value,
            scope.args[0],
            scope.types,
            scope.session,
            &mut self.out,
        )
    }

    fn finish(&mut self, _: Scope<'_>) -> Result<Value> {
        if self.out.is_empty() {
            return Ok(Value::Null);
        }
        self.out.push(b']');
        Ok(build::text_of(std::mem::take(&mut self.out)))
    }
}

/// `jsonb_agg`.
#[derive(Default)]
pub(super) struct JsonItems {
    items: Option<Vec<Json>>,
}

impl State for JsonItems {
    fn take(&mut self, scope: Scope<'_>, args: &[Value]) -> Result<()> {
        if let Some(value) = args.first() {
            let json = build::to_jsonb(value, scope.args[0], scope.types, scope.session)?;
            self.items.get_or_insert_default().push(json);
        }
        Ok(())
    }

    fn finish(&mut self, _: Scope<'_>) -> Result<Value> {
        Ok(self.items.take().map_or(Value::Null, |items| {
            Value::Json(Arc::new(Json::Array(items)))
        }))
    }
}

fn missing_name() -> Error {
    Error::new("22023", "field name must not be null")
}

/// `json_object_agg`.
#[derive(Default)]
pub(super) struct JsonObjectText {
    out: Vec<u8>,
}

impl State for JsonObjectText {
    fn take(&mut self, scope: Scope<'_>, args: &[Value]) -> Result<()> {
        let (Some(key), Some(value)) = (args.first(), args.get(1)) else {
            return Ok(());
        };
        if key.is_null() {
            return Err(missing_name());
        }
        self.out.extend(if self.out.is_empty() {
            &b"{ "[..]
        } else {
            b", "
        });
        let key = build::key(key, scope.args[0], scope.types, scope.session)?;
        json::print::quote(&key, &mut self.out);
        self.out.extend(b" : ");
        build::append(
            value,
            scope.args[1],
            scope.types,
            scope.session,
            &mut self.out,
        )
    }

    fn finish(&mut self, _: Scope<'_>) -> Result<Value> {
        if self.out.is_empty() {
            return Ok(Value::Null);
        }
        self.out.extend(b" }");
        Ok(build::text_of(std::mem::take(&mut self.out)))
    }
}

/// `jsonb_object_agg`.
#[derive(Default)]
pub(super) struct JsonMembers {
    members: Option<Vec<(Arc<str>, Json)>>,
}

impl State for JsonMembers {
    fn take(&mut self, scope: Scope<'_>, args: &[Value]) -> Result<()> {
        let (Some(key), Some(value)) = (args.first(), args.get(1)) else {
            return Ok(());
        };
        if key.is_null() {
            return Err(missing_name());
        }
        let key = build::key(key, scope.args[0], scope.types, scope.session)?;
        let value = build::to_jsonb(value, scope.args[1], scope.types, scope.session)?;
        self.members
            .get_or_insert_default()
            .push((key.into(), value));
        Ok(())
    }

    fn finish(&mut self, _: Scope<'_>) -> Result<Value> {
        Ok(self.members.take().map_or(Value::Null, |members| {
            Value::Json(Arc::new(json::object(members)))
        }))
    }
}
