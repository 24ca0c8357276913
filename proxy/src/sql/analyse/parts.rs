//! WITH queries that write, each as a statement of its own.

use super::{
    Context,
    collect::{Uses, WRITES},
    kind,
};
use crate::sql::{
    facts::{Part, Role, StatementFacts, TableUse, Traits},
    rewrite::Plans,
    tree::Node,
};

/// The WITH queries of a statement that write. Those further down are none of PostgreSQL's grammar.
pub(super) fn parts(tree: &Node, context: &Context<'_>, uses: &Uses) -> Vec<Part> {
    let Some(with) = tree.node("with_clause") else {
        return Vec::new();
    };
    with.nodes("ctes")
        .filter_map(|cte| part(cte, context, uses))
        .collect()
}

fn part(cte: &Node, context: &Context<'_>, uses: &Uses) -> Option<Part> {
    let query = cte
        .node("ctequery")
        .filter(|query| WRITES.contains(&query.kind))?;
    let script = context.script;
    let name = cte.location();
    let mut at = name + 1;
    if script.mark(at, b'(') {
        at = script.closing(at)? + 1;
    }
    let open = (at..context.range.end).find(|&token| script.mark(token, b'('))?;
    let close = script.closing(open)?;
    Some(Part {
        name: cte.text("ctename").to_owned(),
        aliases: cte.list("aliascolnames").len(),
        head: name..open + 1,
        close,
        statement: statement(query, open + 1..close, context, uses),
    })
}

fn statement(
    tree: &Node,
    tokens: std::ops::Range<usize>,
    context: &Context<'_>,
    uses: &Uses,
) -> StatementFacts {
    let context = Context {
        names: context.names,
        script: context.script,
        range: tokens.clone(),
    };
    let kind = kind::kind(tree, &context, uses);
    StatementFacts {
        tokens,
        mapped: kind
            .written()
            .map(|table| TableUse {
                table,
                role: Role::Write,
            })
            .into_iter()
            .collect(),
        kind,
        aliases: Vec::new(),
        other_tables: false,
        catalog_tables: false,
        functions: Vec::new(),
        traits: Traits::default(),
        params: 0,
        relations: uses.relations.clone(),
        tree: tree.clone(),
        parts: Vec::new(),
        plans: Plans::default(),
    }
}
