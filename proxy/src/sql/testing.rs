//! A mapping for tests: a table carried as it is, one under another name, one with other columns and types.

use crossfade_config::QualifiedName;
use crossfade_store::{
    Aliases, Column, ColumnMap, Mapping, Relation, TableId, TableMap, UniqueIndex,
};

pub(super) fn column(name: &str, ty: &str) -> Column {
    let type_oid = match ty {
        "bigint" => 20,
        "integer" => 23,
        "text" => 25,
        "json" => 114,
        "character varying(20)" => 1043,
        "timestamp with time zone" => 1184,
        "numeric" | "numeric(12,2)" => 1700,
        "uuid" => 2950,
        _ => 90_000,
    };
    Column {
        name: name.into(),
        type_oid,
        type_name: ty.into(),
        base_type: ty.into(),
        ..Column::default()
    }
}

fn qualified(name: &str) -> QualifiedName {
    let (schema, name) = name.split_once('.').unwrap_or(("public", name));
    QualifiedName {
        schema: schema.into(),
        name: name.into(),
    }
}

fn relation(name: &str, columns: Vec<Column>, unique: &[(&str, &str)]) -> Relation {
    let unique = unique.iter().map(|&(name, column)| UniqueIndex {
        name: name.into(),
        columns: vec![column.into()],
        primary: name.ends_with("pkey"),
        ..UniqueIndex::default()
    });
    Relation {
        columns,
        unique: unique.collect(),
        ..Relation::named(qualified(name))
    }
}

/// A table whose columns are carried as `(old name, old type, new name, new type)`; an empty new name is a column that is not carried.
fn table(
    id: usize,
    old: &str,
    new: &str,
    columns: &[(&str, &str, &str, &str)],
    key: &[usize],
    version: Option<usize>,
) -> TableMap {
    let carried: Vec<ColumnMap> = columns
        .iter()
        .filter(|(_, _, new, _)| !new.is_empty())
        .map(|&(old, old_type, new, new_type)| ColumnMap {
            old: column(old, old_type),
            new: column(new, new_type),
        })
        .collect();
    let old_columns = columns
        .iter()
        .map(|&(name, ty, _, _)| column(name, ty))
        .collect();
    let new_columns = carried.iter().map(|column| column.new.clone()).collect();
    TableMap {
        id: TableId(id),
        toggle: "shop".into(),
        old: relation(
            old,
            old_columns,
            &[("sales_pkey", "id"), ("sales_code_key", "code")],
        ),
        new: relation(
            new,
            new_columns,
            &[("sale_pkey", "sale_id"), ("sale_code_key", "sale_code")],
        ),
        columns: carried,
        key: key.to_vec(),
        version,
        dropped: columns
            .iter()
            .filter(|(_, _, new, _)| new.is_empty())
            .map(|(old, ..)| (*old).to_owned())
            .collect(),
    }
}

pub(super) const ORDERS: TableId = TableId(0);
pub(super) const ITEMS: TableId = TableId(1);
pub(super) const SALES: TableId = TableId(2);
pub(super) const MIXED: TableId = TableId(3);

/// `orders` is carried as it is; `items` becomes `shop.lines` with the same columns and a key of two; `sales` becomes `shop.sale` with other columns; and there
/// is a table with an unusual name.
pub(crate) fn mapping() -> Mapping {
    let orders: &[_] = &[
        ("id", "integer", "id", "integer"),
        ("total", "numeric", "total", "numeric"),
        ("state", "text", "state", "text"),
    ];
    let items: &[_] = &[
        ("order_id", "integer", "order_id", "integer"),
        ("line", "integer", "line", "integer"),
        ("sku", "text", "sku", "text"),
    ];
    let sales: &[_] = &[
        ("id", "integer", "sale_id", "bigint"),
        ("code", "text", "sale_code", "text"),
        ("total", "numeric", "amount", "numeric(12,2)"),
        ("note", "text", "", ""),
        ("label", "character varying(20)", "label", "text"),
        (
            "at",
            "timestamp with time zone",
            "at",
            "timestamp with time zone",
        ),
    ];
    let mixed: &[_] = &[
        ("Id", "integer", "Id", "integer"),
        ("select", "text", "select", "text"),
    ];
    let mut old_aliases = Aliases::default();
    old_aliases.views.insert("order_view".into(), vec![ORDERS]);
    old_aliases
        .children
        .insert("orders_2024".into(), vec![ORDERS]);
    old_aliases
        .writing_functions
        .insert("touch_orders".into(), vec![ORDERS]);
    Mapping {
        tables: vec![
            table(0, "orders", "orders", orders, &[0], Some(1)),
            table(1, "items", "shop.lines", items, &[0, 1], None),
            table(2, "sales", "shop.sale", sales, &[0], Some(4)),
            table(3, "Mixed Case", "Mixed Case", mixed, &[0], None),
        ],
        old_aliases,
        new_aliases: Aliases::default(),
    }
}
