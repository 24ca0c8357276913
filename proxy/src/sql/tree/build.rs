//! From the parser's own structures to plain nodes, by way of their `Serialize`.

use std::fmt;

use serde::ser::{self, Serialize};

use super::{Node, Value};

/// `value` as a tree.
pub(in crate::sql) fn tree(value: &impl Serialize) -> Value {
    value.serialize(Builder).unwrap_or(Value::Nothing)
}

/// Nothing that the parser hands out fails to serialise.
#[derive(Debug)]
pub(in crate::sql) struct Never;

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("parse tree cannot be read")
    }
}

impl std::error::Error for Never {}

impl ser::Error for Never {
    fn custom<T: fmt::Display>(_: T) -> Never {
        Never
    }
}

struct Builder;

struct ListBuilder(Vec<Value>);

struct NodeBuilder(Node);

fn number(number: i64) -> Result<Value, Never> {
    Ok(if number == 0 {
        Value::Nothing
    } else {
        Value::Int(number)
    })
}

impl ser::Serializer for Builder {
    type Ok = Value;
    type Error = Never;
    type SerializeSeq = ListBuilder;
    type SerializeTuple = ListBuilder;
    type SerializeTupleStruct = ListBuilder;
    type SerializeTupleVariant = ser::Impossible<Value, Never>;
    type SerializeMap = ser::Impossible<Value, Never>;
    type SerializeStruct = NodeBuilder;
    type SerializeStructVariant = ser::Impossible<Value, Never>;

    fn serialize_bool(self, v: bool) -> Result<Value, Never> {
        number(i64::from(v))
    }
    fn serialize_i8(self, v: i8) -> Result<Value, Never> {
        number(i64::from(v))
    }
    fn serialize_i16(self, v: i16) -> Result<Value, Never> {
        number(i64::from(v))
    }
    fn serialize_i32(self, v: i32) -> Result<Value, Never> {
        number(i64::from(v))
    }
    fn serialize_i64(self, v: i64) -> Result<Value, Never> {
        number(v)
    }
    fn serialize_u8(self, v: u8) -> Result<Value, Never> {
        number(i64::from(v))
    }
    fn serialize_u16(self, v: u16) -> Result<Value, Never> {
        number(i64::from(v))
    }
    fn serialize_u32(self, v: u32) -> Result<Value, Never> {
        number(i64::from(v))
    }
    fn serialize_u64(self, v: u64) -> Result<Value, Never> {
        number(i64::try_from(v).unwrap_or(i64::MAX))
    }
    fn serialize_f32(self, _: f32) -> Result<Value, Never> {
        Ok(Value::Nothing)
    }
    fn serialize_f64(self, _: f64) -> Result<Value, Never> {
        Ok(Value::Nothing)
    }
    fn serialize_char(self, v: char) -> Result<Value, Never> {
        Ok(Value::Text(v.to_string().into()))
    }
    fn serialize_str(self, v: &str) -> Result<Value, Never> {
        Ok(if v.is_empty() {
            Value::Nothing
        } else {
            Value::Text(v.into())
        })
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<Value, Never> {
        Ok(Value::Nothing)
    }
    fn serialize_none(self) -> Result<Value, Never> {
        Ok(Value::Nothing)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Never> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<Value, Never> {
        Ok(Value::Nothing)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Never> {
        Ok(Value::Nothing)
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
    ) -> Result<Value, Never> {
        Ok(Value::Nothing)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value, Never> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Value, Never> {
        value.serialize(self)
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<ListBuilder, Never> {
        Ok(ListBuilder(Vec::with_capacity(len.unwrap_or(0))))
    }
    fn serialize_tuple(self, len: usize) -> Result<ListBuilder, Never> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<ListBuilder, Never> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Never> {
        Err(Never)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Never> {
        Err(Never)
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<NodeBuilder, Never> {
        Ok(NodeBuilder(Node {
            kind: name,
            fields: Vec::new(),
        }))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Never> {
        Err(Never)
    }
}

impl ListBuilder {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.0.push(value.serialize(Builder)?);
        Ok(())
    }

    fn finish(self) -> Value {
        if self.0.is_empty() {
            Value::Nothing
        } else {
            Value::List(self.0)
        }
    }
}

impl ser::SerializeSeq for ListBuilder {
    type Ok = Value;
    type Error = Never;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.push(value)
    }
    fn end(self) -> Result<Value, Never> {
        Ok(self.finish())
    }
}

impl ser::SerializeTuple for ListBuilder {
    type Ok = Value;
    type Error = Never;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.push(value)
    }
    fn end(self) -> Result<Value, Never> {
        Ok(self.finish())
    }
}

impl ser::SerializeTupleStruct for ListBuilder {
    type Ok = Value;
    type Error = Never;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.push(value)
    }
    fn end(self) -> Result<Value, Never> {
        Ok(self.finish())
    }
}

impl ser::SerializeStruct for NodeBuilder {
    type Ok = Value;
    type Error = Never;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        match value.serialize(Builder)? {
            Value::Nothing => {}
            value => self.0.fields.push((key, value)),
        }
        Ok(())
    }
    fn end(mut self) -> Result<Value, Never> {
        // `Node` is the parser's envelope around any structure.
        if self.0.kind == "Node" {
            return Ok(self
                .0
                .fields
                .pop()
                .map_or(Value::Nothing, |(_, value)| value));
        }
        Ok(Value::Node(self.0))
    }
}
