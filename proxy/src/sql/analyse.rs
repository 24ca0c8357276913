//! From the parse tree to facts.

mod collect;
mod dml;
mod kind;
mod merge;
mod parts;
mod pins;
mod resolve;

use std::ops::Range;

use super::{
    facts::{Facts, Problem, StatementFacts},
    normal::Normal,
    rewrite::{Plans, Script},
    tree::{self, Node, Value},
};

pub(super) use dml::{SCALAR_FUNCTIONS, qualifier, values_rows};
pub(super) use resolve::Names;

/// What a statement is analysed with.
pub(super) struct Context<'a> {
    pub(super) names: Names<'a>,
    pub(super) script: &'a Script,
    /// Tokens of the statement.
    pub(super) range: Range<usize>,
}

/// Parses and analyses a normal form.
pub(super) fn facts(normal: &Normal, conforming: bool, names: Names<'_>) -> Facts {
    let Ok(form) = std::str::from_utf8(&normal.form) else {
        return Facts::problem(Problem::Beyond("the statement is not in UTF-8".to_owned()));
    };
    let options = if conforming {
        pg_query::ParserOptions::DEFAULT
    } else {
        pg_query::ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS
    };
    let parsed = match pg_query::parse(form, options) {
        Ok(parsed) => parsed.protobuf,
        Err(pg_query::Error::Parse(message)) => return Facts::problem(Problem::Grammar(message)),
        Err(error) => return Facts::problem(Problem::Beyond(error.to_string())),
    };
    let script = Script::new(form, normal);
    let mut statements = Vec::with_capacity(parsed.stmts.len());
    for raw in &parsed.stmts {
        let Value::Node(mut tree) = tree::tree(&raw.stmt) else {
            continue;
        };
        tree.place(&normal.starts);
        let range = tokens_of(raw.stmt_location, raw.stmt_len, &script, &normal.starts);
        let context = Context {
            names,
            script: &script,
            range,
        };
        statements.push(statement(tree, &context));
    }
    Facts {
        statements,
        problem: None,
        script,
    }
}

fn tokens_of(location: i32, length: i32, script: &Script, starts: &[usize]) -> Range<usize> {
    let first = usize::try_from(location).unwrap_or(0);
    let length = usize::try_from(length).unwrap_or(0);
    let from = starts.partition_point(|&start| start < first);
    let to = if length == 0 {
        starts.len()
    } else {
        starts.partition_point(|&start| start < first + length)
    };
    let mut range = from..to;
    while !range.is_empty() && script.mark(range.end - 1, b';') {
        range.end -= 1;
    }
    while !range.is_empty() && script.mark(range.start, b';') {
        range.start += 1;
    }
    range
}

fn statement(tree: Node, context: &Context<'_>) -> StatementFacts {
    let uses = collect::collect(&tree, context);
    let kind = kind::kind(&tree, context, &uses);
    let parts = parts::parts(&tree, context, &uses);
    StatementFacts {
        tokens: context.range.clone(),
        kind,
        mapped: uses.mapped,
        aliases: uses.aliases,
        other_tables: uses.other_tables,
        catalog_tables: uses.catalog_tables,
        functions: uses.functions,
        traits: uses.traits,
        params: uses.params,
        relations: uses.relations,
        tree,
        parts,
        plans: Plans::default(),
    }
}
