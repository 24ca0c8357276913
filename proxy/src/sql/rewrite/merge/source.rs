//! What a MERGE takes its rows from.

use crate::sql::{rewrite::Refusal, tree::Node};

/// Functions whose rows are values without a name of their own.
const OF_VALUES: [&str; 6] = [
    "generate_series",
    "generate_subscripts",
    "json_object_keys",
    "jsonb_object_keys",
    "regexp_split_to_table",
    "string_to_table",
];

/// Functions whose rows have several columns.
const OF_ROWS: [&str; 4] = [
    "json_each",
    "json_each_text",
    "jsonb_each",
    "jsonb_each_text",
];

/// Functions that give an array of texts.
const OF_TEXTS: [&str; 2] = ["regexp_split_to_array", "string_to_array"];

/// Types that have no columns.
const SCALARS: [&str; 20] = [
    "bool",
    "bpchar",
    "bytea",
    "date",
    "float4",
    "float8",
    "int2",
    "int4",
    "int8",
    "interval",
    "json",
    "jsonb",
    "numeric",
    "oid",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
    "varchar",
];

/// What the source is.
#[derive(Debug)]
pub(super) struct Source {
    /// What its columns are qualified with.
    pub(super) name: String,
    /// The names that its alias gives to columns.
    pub(super) listed: Vec<String>,
    pub(super) rows: Rows,
}

/// What one row of it is, by the source's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rows {
    /// Of a table, maybe: the row is of a type that functions may be made for.
    Table,
    /// A row of columns.
    Columns,
    /// A value, which is its one column of this name, too.
    Value(String),
    /// What a function gives back: a row or a value.
    Unknown,
}

/// Finds it.
pub(super) fn source(tree: &Node) -> Result<Source, Refusal> {
    let Some(source) = tree.node("source_relation") else {
        return Err(Refusal::unsupported("a MERGE without a source"));
    };
    let alias = source.node("alias");
    let name = match (source.kind, alias) {
        (_, Some(alias)) => alias.text("aliasname"),
        ("RangeVar", None) => source.text("relname"),
        ("RangeTableSample", None) => {
            let sampled = source.node("relation");
            sampled.map_or("", |relation| {
                relation
                    .node("alias")
                    .map_or_else(|| relation.text("relname"), |alias| alias.text("aliasname"))
            })
        }
        ("JoinExpr", None) => {
            return Err(Refusal::unsupported(
                "MERGE from a join cannot be captured; put the join into a sub-select with an alias",
            ));
        }
        (_, None) => "",
    };
    if name.is_empty() || name.starts_with(super::OURS) {
        return Err(Refusal::unsupported(
            "MERGE from a source without a name, or with one that begins with \"crossfade_\", cannot be captured; give it an alias",
        ));
    }
    let listed = alias.map(|alias| alias.names("colnames"));
    let listed: Vec<String> = listed
        .unwrap_or_default()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let rows = match source.kind {
        "RangeVar" | "RangeTableSample" => Rows::Table,
        "RangeFunction" => of_function(source, listed.first().map_or(name, String::as_str)),
        _ => Rows::Columns,
    };
    Ok(Source {
        name: name.to_owned(),
        listed,
        rows,
    })
}

/// The rows of functions; `column` is the name of the one column of a value.
fn of_function(source: &Node, column: &str) -> Rows {
    let functions: Vec<Vec<&Node>> = source
        .nodes("functions")
        .map(|item| item.nodes("items").collect())
        .collect();
    let [only] = &functions[..] else {
        return Rows::Columns;
    };
    // A list of columns stands behind the one, or behind the other.
    if source.flag("ordinality") || source.has("coldeflist") || only.len() > 1 {
        return Rows::Columns;
    }
    let Some(call) = only.first().filter(|node| node.kind == "FuncCall") else {
        return Rows::Unknown;
    };
    let value = || Rows::Value(column.to_owned());
    let args: Vec<&Node> = call.nodes("args").collect();
    match call.names("funcname")[..] {
        ["unnest"] if args.len() > 1 => Rows::Columns,
        ["unnest"] | ["pg_catalog", "unnest"] if args.iter().all(|arg| is_of_scalars(arg)) => {
            value()
        }
        [name] | ["pg_catalog", name] if OF_VALUES.contains(&name) => value(),
        [name] | ["pg_catalog", name] if OF_ROWS.contains(&name) => Rows::Columns,
        _ => Rows::Unknown,
    }
}

/// Whether an expression is an array of scalars for all to see.
fn is_of_scalars(array: &Node) -> bool {
    match array.kind {
        "TypeCast" => is_cast(array, true),
        "AArrayExpr" => array.nodes("elements").all(|element| match element.kind {
            "AConst" => true,
            "TypeCast" => is_cast(element, false),
            "AArrayExpr" => is_of_scalars(element),
            _ => false,
        }),
        "FuncCall" => match array.names("funcname")[..] {
            [name] | ["pg_catalog", name] => OF_TEXTS.contains(&name),
            _ => false,
        },
        _ => false,
    }
}

/// Whether it is a cast to a scalar, or to an array of them.
fn is_cast(cast: &Node, array: bool) -> bool {
    cast.node("type_name").is_some_and(|ty| {
        let known = match ty.names("names")[..] {
            [name] | ["pg_catalog", name] => SCALARS.contains(&name),
            _ => false,
        };
        known && ty.has("array_bounds") == array
    })
}
