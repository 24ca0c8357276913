//! `pg_type`.

use crossfade_values::{Value, built_in_types};

use super::{PG_CATALOG, schema_oid};
use crate::catalog::Catalog;

pub(super) fn rows(catalog: &Catalog) -> Vec<Vec<Value>> {
    let mut rows: Vec<Vec<Value>> = built_in_types()
        .map(|ty| {
            row(Type {
                oid: ty.oid.into(),
                name: ty.name,
                schema: PG_CATALOG,
                length: ty.length,
                kind: "b",
                category: &char::from(ty.category).to_string(),
                element: ty.element.into(),
                array: ty.array.into(),
            })
        })
        .collect();
    for kind in catalog.types.enums.values() {
        let schema = schema_oid(catalog, &kind.schema);
        let own = Type {
            oid: kind.oid.into(),
            name: &kind.name,
            schema,
            length: 4,
            kind: "e",
            category: "E",
            element: 0,
            array: kind.array.into(),
        };
        rows.push(row(own));
        rows.push(row(Type {
            oid: kind.array.into(),
            name: &format!("_{}", kind.name),
            schema,
            length: -1,
            kind: "b",
            category: "A",
            element: kind.oid.into(),
            array: 0,
        }));
    }
    rows
}

struct Type<'a> {
    oid: i64,
    name: &'a str,
    schema: i64,
    length: i16,
    kind: &'a str,
    category: &'a str,
    element: i64,
    array: i64,
}

fn row(ty: Type<'_>) -> Vec<Value> {
    vec![
        Value::Int(ty.oid),
        Value::text(ty.name),
        Value::Int(ty.schema),
        Value::Int(10),
        Value::Int(ty.length.into()),
        Value::text(ty.kind),
        Value::text(ty.category),
        Value::text(","),
        Value::Int(0),
        Value::Int(ty.element),
        Value::Int(ty.array),
        Value::Int(0),
        Value::Int(-1),
        Value::Bool(false),
        Value::Int(0),
    ]
}
