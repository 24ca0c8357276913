//! Facts of SELECT, INSERT, UPDATE and DELETE: keys above all.

use std::ops::Range;

use crossfade_store::{TableId, TableMap};
use pg_query::protobuf as pb;

use super::{Context, collect::Uses};
use crate::sql::{
    facts::{
        ConflictFacts, DeleteFacts, InsertFacts, InsertRows, KeyLookup, KeyValue, SelectFacts,
        Source, TargetItem, UpdateFacts,
    },
    lexer::TokenKind,
    rewrite::Script,
    tree::{Node, Value},
};

/// Functions that give one value for one row: a lookup by key may use them.
const SCALAR_FUNCTIONS: [&str; 60] = [
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
fn target(relation: &Node, uses: &Uses) -> Option<TableId> {
    uses.relations.get(&relation.location()).copied()
}

/// What columns of a relation are qualified with.
pub(in crate::sql) fn qualifier(relation: &Node) -> String {
    relation
        .node("alias")
        .map_or_else(|| relation.text("relname"), |alias| alias.text("aliasname"))
        .to_owned()
}

/// The conditions that a WHERE demands together.
pub(in crate::sql) fn conjuncts(condition: &Node) -> Vec<&Node> {
    if condition.kind == "BoolExpr"
        && condition.int("boolop") == i64::from(pb::BoolExprType::AndExpr as i32)
    {
        return condition.nodes("args").flat_map(conjuncts).collect();
    }
    vec![condition]
}

/// The values to which a WHERE pins every key column, and whether it says nothing else.
pub(in crate::sql) fn pinned(
    condition: &Node,
    table: &TableMap,
    qualifier: &str,
    script: &Script,
) -> Option<(Vec<KeyValue>, bool)> {
    let conditions = conjuncts(condition);
    let mut values: Vec<Option<KeyValue>> = vec![None; table.key.len()];
    let mut exact = true;
    for condition in conditions {
        let found = equality(condition, qualifier, script).and_then(|(column, value)| {
            let place = table
                .key
                .iter()
                .position(|&index| table.columns[index].old.name == column)?;
            Some((place, value))
        });
        match found {
            Some((place, value)) if values[place].is_none() => values[place] = Some(value),
            Some(_) | None => exact = false,
        }
    }
    Some((values.into_iter().collect::<Option<Vec<_>>>()?, exact))
}

/// `column = value`, either way round, where the value is a parameter or a constant.
pub(in crate::sql) fn equality<'n>(
    condition: &'n Node,
    qualifier: &str,
    script: &Script,
) -> Option<(&'n str, KeyValue)> {
    if condition.kind != "AExpr"
        || condition.int("kind") != i64::from(pb::AExprKind::AexprOp as i32)
        || condition.names("name") != ["="]
    {
        return None;
    }
    let (left, right) = (condition.node("lexpr")?, condition.node("rexpr")?);
    let operator = condition.location();
    if let Some(column) = column_of(left, qualifier) {
        let tokens = operator + 1..value_end(operator + 1, script);
        let source = source(right, script).filter(|source| *source != Source::Null)?;
        return Some((column, KeyValue { source, tokens }));
    }
    let column = column_of(right, qualifier)?;
    let source = source(left, script).filter(|source| *source != Source::Null)?;
    let start = value_start(left)?;
    (start < operator).then_some((
        column,
        KeyValue {
            source,
            tokens: start..operator,
        },
    ))
}

/// The name of a plain column of the relation.
fn column_of<'n>(node: &'n Node, qualifier: &str) -> Option<&'n str> {
    if node.kind != "ColumnRef" {
        return None;
    }
    match node.names("fields")[..] {
        [name] => Some(name),
        [relation, name] | [_, relation, name] => (relation == qualifier).then_some(name),
        _ => None,
    }
    .filter(|&name| name != "*")
}

/// First token of a value that stands left of an operator; `type 'constant'` begins before anything that has a location.
fn value_start(value: &Node) -> Option<usize> {
    match value.kind {
        "ParamRef" | "AConst" => Some(value.location()),
        "TypeCast" if value.int("location") > 0 => {
            let inner = value_start(value.node("arg")?)?;
            Some(inner.min(value.location()))
        }
        _ => None,
    }
}

/// One past the last token of a value (a parameter or a constant, perhaps cast) that begins at `start`.
fn value_end(start: usize, script: &Script) -> usize {
    const WORDS: [&str; 15] = [
        "and",
        "or",
        "returning",
        "order",
        "group",
        "having",
        "limit",
        "offset",
        "fetch",
        "for",
        "union",
        "intersect",
        "except",
        "window",
        "on",
    ];
    let close = script.enclosed_end(start..script.len());
    let word = script.find(start..close, &WORDS).unwrap_or(close);
    let mut depth = 0_usize;
    (start..word)
        .find(|&token| match script.kind(token) {
            Some(TokenKind::Mark(b'(' | b'[')) => {
                depth += 1;
                false
            }
            Some(TokenKind::Mark(b')' | b']')) => {
                depth = depth.saturating_sub(1);
                false
            }
            Some(TokenKind::Mark(b';' | b',')) => depth == 0,
            Some(TokenKind::Operator) => depth == 0 && token != start && script.word(token) != "::",
            _ => false,
        })
        .unwrap_or(word)
}

/// Where the value of an expression comes from; `None` for anything but parameters and constants.
fn source(value: &Node, script: &Script) -> Option<Source> {
    match value.kind {
        "ParamRef" => Some(Source::Param(u16::try_from(value.int("number")).ok()?)),
        "AConst" if value.flag("isnull") => Some(Source::Null),
        "AConst" => {
            let at = value.location();
            let negative = script.word(at) == "-";
            Some(Source::Literal {
                token: at + usize::from(negative),
                negative,
            })
        }
        "TypeCast" => source(value.node("arg")?, script),
        _ => None,
    }
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
    ConflictFacts {
        update: clause.int("action") == i64::from(pb::OnConflictAction::OnconflictUpdate as i32),
        sets_key: table.is_some_and(|table| sets_key(&set_columns(clause), table)),
        columns: names.unwrap_or_default(),
        constraint: infer
            .map(|infer| infer.text("conname").to_owned())
            .filter(|name| !name.is_empty()),
    }
}

fn set_columns(tree: &Node) -> Vec<String> {
    tree.nodes("target_list")
        .map(|target| target.text("name").to_owned())
        .collect()
}

fn sets_key(columns: &[String], table: &TableMap) -> bool {
    table
        .key
        .iter()
        .any(|&index| columns.contains(&table.columns[index].old.name))
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
        sets_key: map.is_some_and(|map| sets_key(&sets, map)),
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
