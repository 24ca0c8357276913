//! The catalogs that drivers ask at connect, as far as they concern the mapped tables.

mod types;

use crossfade_sql_wire::Surroundings;
use crossfade_values::{Oid, Type, Value, oid};

use crate::catalog::Catalog;

/// A table of the system's.
pub(crate) struct SystemTable {
    pub(crate) schema: &'static str,
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, Oid)],
}

const PG: &str = "pg_catalog";
const INFORMATION: &str = "information_schema";

/// OID of the schema `pg_catalog`.
const PG_CATALOG: i64 = 11;
/// OID of the schema `public`.
const PUBLIC: i64 = 2200;
/// First OID of schemas that have none of their own here.
const SCHEMAS: i64 = 16_000;

const TABLES: &[SystemTable] = &[
    SystemTable {
        schema: PG,
        name: "pg_namespace",
        columns: &[
            ("oid", oid::OID),
            ("nspname", oid::NAME),
            ("nspowner", oid::OID),
        ],
    },
    SystemTable {
        schema: PG,
        name: "pg_type",
        columns: &[
            ("oid", oid::OID),
            ("typname", oid::NAME),
            ("typnamespace", oid::OID),
            ("typowner", oid::OID),
            ("typlen", oid::INT2),
            ("typtype", oid::CHAR),
            ("typcategory", oid::CHAR),
            ("typdelim", oid::CHAR),
            ("typrelid", oid::OID),
            ("typelem", oid::OID),
            ("typarray", oid::OID),
            ("typbasetype", oid::OID),
            ("typtypmod", oid::INT4),
            ("typnotnull", oid::BOOL),
            ("typcollation", oid::OID),
        ],
    },
    SystemTable {
        schema: PG,
        name: "pg_range",
        columns: &[
            ("rngtypid", oid::OID),
            ("rngsubtype", oid::OID),
            ("rngmultitypid", oid::OID),
        ],
    },
    SystemTable {
        schema: PG,
        name: "pg_enum",
        columns: &[
            ("oid", oid::OID),
            ("enumtypid", oid::OID),
            ("enumsortorder", oid::FLOAT4),
            ("enumlabel", oid::NAME),
        ],
    },
    SystemTable {
        schema: PG,
        name: "pg_class",
        columns: &[
            ("oid", oid::OID),
            ("relname", oid::NAME),
            ("relnamespace", oid::OID),
            ("relkind", oid::CHAR),
            ("relnatts", oid::INT2),
            ("relhasindex", oid::BOOL),
            ("relispartition", oid::BOOL),
        ],
    },
    SystemTable {
        schema: PG,
        name: "pg_attribute",
        columns: &[
            ("attrelid", oid::OID),
            ("attname", oid::NAME),
            ("atttypid", oid::OID),
            ("attlen", oid::INT2),
            ("attnum", oid::INT2),
            ("atttypmod", oid::INT4),
            ("attnotnull", oid::BOOL),
            ("atthasdef", oid::BOOL),
            ("attisdropped", oid::BOOL),
            ("attidentity", oid::CHAR),
            ("attgenerated", oid::CHAR),
        ],
    },
    SystemTable {
        schema: PG,
        name: "pg_database",
        columns: &[
            ("oid", oid::OID),
            ("datname", oid::NAME),
            ("encoding", oid::INT4),
            ("datallowconn", oid::BOOL),
            ("datistemplate", oid::BOOL),
        ],
    },
    SystemTable {
        schema: PG,
        name: "pg_roles",
        columns: &[
            ("oid", oid::OID),
            ("rolname", oid::NAME),
            ("rolsuper", oid::BOOL),
            ("rolcanlogin", oid::BOOL),
        ],
    },
    SystemTable {
        schema: PG,
        name: "pg_settings",
        columns: &[("name", oid::TEXT), ("setting", oid::TEXT)],
    },
    SystemTable {
        schema: PG,
        name: "pg_prepared_statements",
        columns: &[
            ("name", oid::TEXT),
            ("statement", oid::TEXT),
            ("from_sql", oid::BOOL),
        ],
    },
    SystemTable {
        schema: PG,
        name: "pg_description",
        columns: &[
            ("objoid", oid::OID),
            ("classoid", oid::OID),
            ("objsubid", oid::INT4),
            ("description", oid::TEXT),
        ],
    },
    SystemTable {
        schema: INFORMATION,
        name: "schemata",
        columns: &[("catalog_name", oid::NAME), ("schema_name", oid::NAME)],
    },
    SystemTable {
        schema: INFORMATION,
        name: "tables",
        columns: &[
            ("table_catalog", oid::NAME),
            ("table_schema", oid::NAME),
            ("table_name", oid::NAME),
            ("table_type", oid::VARCHAR),
        ],
    },
    SystemTable {
        schema: INFORMATION,
        name: "columns",
        columns: &[
            ("table_catalog", oid::NAME),
            ("table_schema", oid::NAME),
            ("table_name", oid::NAME),
            ("column_name", oid::NAME),
            ("ordinal_position", oid::INT4),
            ("is_nullable", oid::VARCHAR),
            ("data_type", oid::VARCHAR),
        ],
    },
];

/// The table of this name: of `pg_catalog` also without its schema.
pub(crate) fn table(schema: Option<&str>, name: &str) -> Option<&'static SystemTable> {
    TABLES
        .iter()
        .find(|table| table.name == name && table.schema == schema.unwrap_or(PG))
}

/// The type of a column: `yes_or_no` is a domain over `varchar(3)`.
pub(crate) fn type_of(column: &str, oid: Oid) -> Type {
    match column {
        "is_nullable" => Type { oid, modifier: 7 },
        _ => Type::of(oid),
    }
}

/// Whether PostgreSQL has a table of this name for itself, or may have.
pub(crate) fn is_catalog(schema: Option<&str>, name: &str) -> bool {
    match schema {
        None => name.starts_with("pg_"),
        Some(schema) => schema == PG || schema == INFORMATION,
    }
}

/// Its rows.
pub(crate) fn rows(name: &str, catalog: &Catalog, around: &dyn Surroundings) -> Vec<Vec<Value>> {
    let session = around.session();
    let database = || Value::text(&session.database);
    match name {
        "pg_namespace" => {
            let schema = |(name, oid): (String, i64)| {
                vec![Value::Int(oid), Value::text(name), Value::Int(10)]
            };
            schemas(catalog).into_iter().map(schema).collect()
        }
        "pg_type" => types::rows(catalog),
        "pg_enum" => enums(catalog),
        "pg_class" => classes(catalog),
        "pg_attribute" => attributes(catalog),
        "pg_database" => vec![vec![
            Value::Int(16_384),
            database(),
            Value::Int(6),
            Value::Bool(true),
            Value::Bool(false),
        ]],
        "pg_roles" => vec![vec![
            Value::Int(16_385),
            Value::text(&session.user),
            Value::Bool(false),
            Value::Bool(true),
        ]],
        "pg_settings" => session
            .settings
            .iter()
            .map(|(name, value)| vec![Value::text(name), Value::text(value)])
            .collect(),
        "pg_prepared_statements" => {
            let statement = |(name, text, _, by_sql): (String, String, Vec<Oid>, bool)| {
                vec![Value::text(name), Value::text(text), Value::Bool(by_sql)]
            };
            around
                .prepared_statements()
                .into_iter()
                .map(statement)
                .collect()
        }
        "schemata" => schemas(catalog)
            .into_iter()
            .map(|(name, _)| vec![database(), Value::text(name)])
            .collect(),
        "tables" => {
            let tables = catalog.tables.iter();
            tables
                .map(|table| {
                    vec![
                        database(),
                        Value::text(table.schema()),
                        Value::text(table.name()),
                        Value::text("BASE TABLE"),
                    ]
                })
                .collect()
        }
        "columns" => columns(catalog, &session.database),
        _ => Vec::new(),
    }
}

fn schemas(catalog: &Catalog) -> Vec<(String, i64)> {
    let mut all = vec![
        ("pg_catalog".to_owned(), PG_CATALOG),
        ("public".to_owned(), PUBLIC),
    ];
    for table in &catalog.tables {
        if !all.iter().any(|(name, _)| name == table.schema()) {
            let oid = SCHEMAS + i64::try_from(all.len()).unwrap_or_default();
            all.push((table.schema().to_owned(), oid));
        }
    }
    all
}

/// OID of a schema.
pub(crate) fn schema_oid(catalog: &Catalog, name: &str) -> i64 {
    let all = schemas(catalog);
    all.into_iter()
        .find(|(known, _)| known == name)
        .map_or(PUBLIC, |(_, oid)| oid)
}

fn enums(catalog: &Catalog) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for kind in catalog.types.enums.values() {
        for (index, label) in kind.labels.iter().enumerate() {
            #[allow(clippy::cast_precision_loss, reason = "a place among some labels")]
            let order = index as f32 + 1.0;
            // OIDs of labels are nobody's business; they differ.
            let oid = i64::from(kind.oid) * 1000 + i64::try_from(index).unwrap_or_default();
            rows.push(vec![
                Value::Int(oid),
                Value::Int(kind.oid.into()),
                Value::Float4(order),
                Value::Text(label.clone()),
            ]);
        }
    }
    rows
}

fn classes(catalog: &Catalog) -> Vec<Vec<Value>> {
    let row = |table: &crate::catalog::Table| {
        vec![
            Value::Int(table.map.old.oid.into()),
            Value::text(table.name()),
            Value::Int(schema_oid(catalog, table.schema())),
            Value::text("r"),
            Value::Int(i64::try_from(table.columns.len()).unwrap_or_default()),
            Value::Bool(true),
            Value::Bool(false),
        ]
    };
    catalog.tables.iter().map(row).collect()
}

fn attributes(catalog: &Catalog) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for table in &catalog.tables {
        for (column, map) in table.columns.iter().zip(&table.map.columns) {
            let flag = |is: bool, letter: &str| Value::text(if is { letter } else { "" });
            rows.push(vec![
                Value::Int(table.map.old.oid.into()),
                Value::text(&column.name),
                Value::Int(column.declared.oid.into()),
                Value::Int(map.old.length.into()),
                Value::Int(column.number.into()),
                Value::Int(column.declared.modifier.into()),
                Value::Bool(column.not_null),
                Value::Bool(map.old.default.is_some() || map.old.generated),
                Value::Bool(false),
                flag(map.old.identity_always, "a"),
                flag(map.old.generated, "s"),
            ]);
        }
    }
    rows
}

fn columns(catalog: &Catalog, database: &str) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for table in &catalog.tables {
        for (column, map) in table.columns.iter().zip(&table.map.columns) {
            let kind = data_type(catalog, map.old.type_oid, &map.old.base_type);
            rows.push(vec![
                Value::text(database),
                Value::text(table.schema()),
                Value::text(table.name()),
                Value::text(&column.name),
                Value::Int(column.number.into()),
                Value::text(if column.not_null { "NO" } else { "YES" }),
                Value::text(kind),
            ]);
        }
    }
    rows
}

/// `data_type` of the information schema: the type's own name without its modifier.
fn data_type(catalog: &Catalog, oid: Oid, name: &str) -> String {
    if name.ends_with("[]") {
        return "ARRAY".to_owned();
    }
    if catalog.types.enums.contains_key(&oid) {
        return "USER-DEFINED".to_owned();
    }
    match (name.find('('), name.find(')')) {
        (Some(start), Some(end)) => format!("{}{}", &name[..start], &name[end + 1..]),
        _ => name.to_owned(),
    }
}
