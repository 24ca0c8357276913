//! Conditions that pin columns to values.

use crossfade_store::TableMap;
use pg_query::protobuf as pb;

use crate::sql::{
    facts::{KeyValue, Source},
    lexer::TokenKind,
    rewrite::Script,
    tree::Node,
};

/// The conditions that a WHERE demands together.
pub(super) fn conjuncts(condition: &Node) -> Vec<&Node> {
    if condition.kind == "BoolExpr"
        && condition.int("boolop") == i64::from(pb::BoolExprType::AndExpr as i32)
    {
        return condition.nodes("args").flat_map(conjuncts).collect();
    }
    vec![condition]
}

/// The values to which a WHERE pins every key column, and whether it says nothing else.
pub(super) fn pinned(
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
pub(super) fn equality<'n>(
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
pub(super) fn source(value: &Node, script: &Script) -> Option<Source> {
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
