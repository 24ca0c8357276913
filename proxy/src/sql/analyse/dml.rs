//! Facts of SELECT, INSERT, UPDATE and DELETE: keys above all.

use std::ops::Range;

use crossfade_store::{TableId, TableMap};
use pg_query::protobuf as pb;

use super::{
    Context,
    collect::Uses,
    pins::{pinned, source},
};
use crate::sql::{
    facts::{
        ConflictFacts, DeleteFacts, InsertFacts, InsertRows, KeyLookup, KeyValue, SelectFacts,
        Source, TargetItem, UpdateFacts,
    },
    rewrite::Script,
    tree::{Node, Value},
};

/// Functions that give one value for one row: a lookup by key may use them.
pub(in crate::sql) const SCALAR_FUNCTIONS: [&str; 60] = [
    "abs",
    "ceil",
    "ceiling",
    "floor",
    "round",
    "trunc",
    "sign",
    "sqrt",
    "power",
    "mod",
    "div",
    "exp",
    "ln",
    "log",
    "greatest",
    "least",
    "lower",
    "upper",
    "initcap",
    "length",
    "char_length",
    "octet_length",
    "trim",
    "btrim",
    "ltrim",
    "rtrim",
    "substr",
    "substring",
    "position",
    "strpos",
    "left",
    "right",
    "lpad",
    "rpad",
    "replace",
    "reverse",
    "repeat",
    "split_part",
    "concat",
    "concat_ws",
    "format",
    "md5",
    "encode",
    "decode",
    "to_char",
    "to_date",
    "to_number",
    "to_timestamp",
    "date_trunc",
    "date_part",
    "extract",
    "timezone",
    "to_json",
    "to_jsonb",
    "row_to_json",
    "json_build_object",
    "jsonb_build_object",
    "array_length",
    "cardinality",
    "array_to_string",
];

pub(super) fn select(tree: &Node, context: &Context<'_>, uses: &Uses) -> SelectFacts {
    SelectFacts {
        by_key: key_lookup(tree, context, uses),
        ordered: tree.has("sort_clause"),
        limited: tree.has("limit_count") || tree.has("limit_offset"),
        into: tree.has("into_clause"),
    }
}

fn key_lookup(tree: &Node, context: &Context<'_>, uses: &Uses) -> Option<KeyLookup> {
    // A LIMIT does no harm: it holds in each store alike.
    const UNFIT: [&str; 9] = [
        "distinct_clause",
        "into_clause",
        "group_clause",
        "having_clause",
        "window_clause",
        "values_lists",
        "limit_offset",
        "locking_clause",
        "with_clause",
    ];
    if UNFIT.iter().any(|clause| tree.has(clause)) || tree.has("larg") || uses.traits.sublink {
        return None;
    }
    let [Value::Node(relation)] = tree.list("from_clause") else {
        return None;
    };
    if relation.kind != "RangeVar"
        || !relation.flag("inh")
        || relation
            .node("alias")
            .is_some_and(|alias| alias.has("colnames"))
    {
        return None;
    }
    let table = target(relation, uses)?;
    let map = &context.names.mapping.tables[table.0];
    let one_row = |node: &Node| {
        let mut fits = true;
        node.walk(&mut |below| {
            fits &= below.kind != "FuncCall"
                || (!below.has("over")
                    && below
                        .names("funcname")
                        .last()
                        .is_some_and(|name| SCALAR_FUNCTIONS.contains(name)));
        });
        fits
    };
    if !tree
        .nodes("target_list")
        .chain(tree.nodes("sort_clause"))
        .all(one_row)
    {
        return None;
    }
    let qualifier = qualifier(relation);
    let (values, exact) = pinned(tree.node("where_clause")?, map, &qualifier, context.script)?;
    let targets = tree.nodes("target_list").map(target_item).collect();
    Some(KeyLookup {
        table,
        qualifier,
        values,
        exact,
        targets,
    })
}

fn target_item(item: &Node) -> TargetItem {
    let Some(column) = item.node("val").filter(|value| value.kind == "ColumnRef") else {
        return TargetItem::Expression;
    };
    match column.names("fields").last() {
        Some(&"*") => TargetItem::Star,
        Some(&name) => TargetItem::Column(name.to_owned()),
        None => TargetItem::Expression,
    }
}

/// The mapped table that a relation names.
pub(super) fn target(relation: &Node, uses: &Uses) -> Option<TableId> {
    uses.relations.get(&relation.location()).copied()
}

/// What columns of a relation are qualified with.
pub(in crate::sql) fn qualifier(relation: &Node) -> String {
    relation
        .node("alias")
        .map_or_else(|| relation.text("relname"), |alias| alias.text("aliasname"))
        .to_owned()
}

pub(super) fn insert(tree: &Node, context: &Context<'_>, uses: &Uses) -> InsertFacts {
    let relation = tree.node("relation");
    let table = relation.and_then(|relation| target(relation, uses));
    let map = table.map(|table| &context.names.mapping.tables[table.0]);
    let named: Vec<String> = tree
        .nodes("cols")
        .map(|column| column.text("name").to_owned())
        .collect();
    let columns = Some(named).filter(|named| !named.is_empty());
    let query = tree.node("select_stmt");
    let rows = match query {
        None => InsertRows::Defaults,
        Some(query) if query.has("values_lists") => {
            InsertRows::Values(query.list("values_lists").len())
        }
        Some(_) => InsertRows::Select,
    };
    let keys = match (rows, map) {
        (InsertRows::Values(_), Some(map)) => {
            insert_keys(tree, query, columns.as_deref(), map, context).unwrap_or_default()
        }
        (InsertRows::Defaults, Some(map)) => vec![vec![default_value(); map.key.len()]],
        _ => Vec::new(),
    };
    InsertFacts {
        table,
        qualifier: relation.map(qualifier).unwrap_or_default(),
        columns,
        rows,
        keys,
        conflict: tree
            .node("on_conflict_clause")
            .map(|clause| conflict(clause, map)),
        returning: tree.has("returning_clause"),
    }
}

fn default_value() -> KeyValue {
    KeyValue {
        source: Source::Default,
        tokens: 0..0,
    }
}

/// Tokens of the values in each row of an INSERT's VALUES. `None` where they stand in brackets of their own.
pub(in crate::sql) fn values_rows(
    relation: &Node,
    range: &Range<usize>,
    script: &Script,
) -> Option<Vec<Vec<Range<usize>>>> {
    let mut at = script.find(relation.location() + 1..range.end, &["values"])? + 1;
    let mut rows = Vec::new();
    while script.mark(at, b'(') {
        let close = script.closing(at)?;
        rows.push(script.split(at + 1..close));
        at = close + 1;
        if !script.mark(at, b',') {
            break;
        }
        at += 1;
    }
    Some(rows)
}

fn insert_keys(
    tree: &Node,
    query: Option<&Node>,
    columns: Option<&[String]>,
    table: &TableMap,
    context: &Context<'_>,
) -> Option<Vec<Vec<KeyValue>>> {
    let rows = values_rows(tree.node("relation")?, &context.range, context.script)?;
    let lists: Vec<&Node> = query?.nodes("values_lists").collect();
    if lists.len() != rows.len() {
        return None;
    }
    let place = |name: &str| match columns {
        Some(columns) => columns.iter().position(|column| column == name),
        None => table
            .old
            .columns
            .iter()
            .position(|column| column.name == name),
    };
    let key = |(list, tokens): (&Node, Vec<Range<usize>>)| -> Vec<KeyValue> {
        let items = list.list("items");
        let value = |index: usize| {
            let name = &table.columns[index].old.name;
            let Some(at) = place(name).filter(|&at| at < items.len() && at < tokens.len()) else {
                return default_value();
            };
            let source = items[at]
                .as_node()
                .map_or(Source::Expression, |value| match value.kind {
                    "SetToDefault" => Source::Default,
                    _ => source(value, context.script).unwrap_or(Source::Expression),
                });
            KeyValue {
                source,
                tokens: tokens[at].clone(),
            }
        };
        table.key.iter().map(|&index| value(index)).collect()
    };
    Some(std::iter::zip(lists, rows).map(key).collect())
}

fn conflict(clause: &Node, table: Option<&TableMap>) -> ConflictFacts {
    let infer = clause.node("infer");
    let names: Option<Vec<String>> = infer.map(|infer| {
        let elements: Vec<_> = infer
            .nodes("index_elems")
            .map(|element| element.text("name").to_owned())
            .collect();
        if elements.iter().any(String::is_empty) {
            Vec::new()
        } else {
            elements
        }
    });
    let sets = set_columns(clause);
    ConflictFacts {
        update: clause.int("action") == i64::from(pb::OnConflictAction::OnconflictUpdate as i32),
        sets_key: table.is_some_and(|table| table.sets_key(&sets)),
        sets,
        columns: names.unwrap_or_default(),
        constraint: infer
            .map(|infer| infer.text("conname").to_owned())
            .filter(|name| !name.is_empty()),
    }
}

pub(super) fn set_columns(tree: &Node) -> Vec<String> {
    tree.nodes("target_list")
        .map(|target| target.text("name").to_owned())
        .collect()
}

/// What an UPDATE's or DELETE's WHERE says of the key.
struct Aim {
    key: Option<Vec<KeyValue>>,
    exact: bool,
    current_of: Option<String>,
}

fn aim(tree: &Node, table: Option<&TableMap>, qualifier: &str, script: &Script) -> Aim {
    let condition = tree.node("where_clause");
    let current_of = condition
        .filter(|node| node.kind == "CurrentOfExpr")
        .map(|node| node.text("cursor_name").to_owned());
    let pins = condition
        .zip(table)
        .and_then(|(condition, table)| pinned(condition, table, qualifier, script));
    let exact = pins.as_ref().is_some_and(|(_, exact)| *exact);
    Aim {
        key: pins.map(|(values, _)| values),
        exact,
        current_of,
    }
}

pub(super) fn update(tree: &Node, context: &Context<'_>, uses: &Uses) -> UpdateFacts {
    let relation = tree.node("relation");
    let table = relation.and_then(|relation| target(relation, uses));
    let map = table.map(|table| &context.names.mapping.tables[table.0]);
    let qualifier = relation.map(qualifier).unwrap_or_default();
    let sets = set_columns(tree);
    let Aim {
        key,
        exact,
        current_of,
    } = aim(tree, map, &qualifier, context.script);
    UpdateFacts {
        table,
        sets_key: map.is_some_and(|map| map.sets_key(&sets)),
        sets,
        key,
        exact,
        joins: tree.has("from_clause"),
        returning: tree.has("returning_clause"),
        current_of,
        qualifier,
    }
}

pub(super) fn delete(tree: &Node, context: &Context<'_>, uses: &Uses) -> DeleteFacts {
    let relation = tree.node("relation");
    let table = relation.and_then(|relation| target(relation, uses));
    let map = table.map(|table| &context.names.mapping.tables[table.0]);
    let qualifier = relation.map(qualifier).unwrap_or_default();
    let Aim {
        key,
        exact,
        current_of,
    } = aim(tree, map, &qualifier, context.script);
    DeleteFacts {
        table,
        key,
        exact,
        joins: tree.has("using_clause"),
        returning: tree.has("returning_clause"),
        current_of,
        qualifier,
    }
}
