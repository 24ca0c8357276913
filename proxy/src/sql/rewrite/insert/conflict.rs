//! ON CONFLICT.

use crossfade_store::{ColumnMap, TableMap, postgres::sql::quote_ident};

use crate::sql::{
    rewrite::{Refusal, update, walk::Rewriter},
    tree::Node,
};

/// Rewrites the clause.
pub(super) fn conflict<'a>(
    walk: &mut Rewriter<'a>,
    clause: &'a Node,
    map: &'a TableMap,
) -> Result<(), Refusal> {
    let end = walk.statement.tokens.end;
    let at = clause.location();
    if let Some(infer) = clause.node("infer") {
        target(walk, infer, map, at)?;
    }
    let Some(set) = walk.script.find(at..end, &["set"]) else {
        return Ok(());
    };
    let upto = walk
        .script
        .find(set..end, &["where", "returning"])
        .unwrap_or(end);
    update::set_list(walk, clause, map, set + 1..upto)?;
    walk.fields(clause, &["where_clause"])
}

/// The conflict target: its columns, or its constraint, under their new names.
fn target<'a>(
    walk: &mut Rewriter<'a>,
    infer: &'a Node,
    map: &TableMap,
    at: usize,
) -> Result<(), Refusal> {
    let end = walk.statement.tokens.end;
    let constraint = infer.text("conname");
    if !constraint.is_empty() {
        let token = (at..end)
            .find(|&token| walk.script.is(token, "constraint"))
            .map(|word| word + 1);
        let name = new_constraint(map, constraint)?;
        if let (Some(token), true) = (token, name != constraint) {
            walk.plan.replace(token..token + 1, quote_ident(name));
        }
        return Ok(());
    }
    let open = (at..end).find(|&token| walk.script.mark(token, b'('));
    let Some((open, close)) = open.and_then(|open| Some((open, walk.script.closing(open)?))) else {
        return Ok(());
    };
    for (element, tokens) in std::iter::zip(
        infer.nodes("index_elems"),
        walk.script.split(open + 1..close),
    ) {
        if element.has("expr") {
            walk.fields(element, &["expr"])?;
        } else if let Some(column) = arbiter(map, element.text("name"))? {
            walk.plan.replace(
                tokens.start..tokens.start + 1,
                quote_ident(&column.new.name),
            );
        }
    }
    walk.fields(infer, &["where_clause"])
}

/// A column of the conflict target. The server looks for it as for one in an expression, and says so.
fn arbiter<'m>(map: &'m TableMap, name: &str) -> Result<Option<&'m ColumnMap>, Refusal> {
    update::written(map, name).map_err(|refusal| match refusal.sqlstate {
        "42703" => Refusal {
            reason: format!("column \"{name}\" does not exist"),
            ..refusal
        },
        _ => refusal,
    })
}

/// The unique constraint of the new table over the columns of the old one's.
fn new_constraint<'m>(map: &'m TableMap, name: &'m str) -> Result<&'m str, Refusal> {
    let renamed = |columns: &[String]| -> Option<Vec<&str>> {
        columns
            .iter()
            .map(|old| {
                map.columns
                    .iter()
                    .find(|column| column.old.name == *old)
                    .map(|column| column.new.name.as_str())
            })
            .collect()
    };
    let old = map.old.unique.iter().find(|index| index.name == name);
    let found = old.and_then(|index| {
        let mut wanted = renamed(&index.columns)?;
        wanted.sort_unstable();
        map.new.unique.iter().find(|index| {
            let mut columns: Vec<&str> = index.columns.iter().map(String::as_str).collect();
            columns.sort_unstable();
            columns == wanted
        })
    });
    match found {
        Some(index) => Ok(&index.name),
        None if map.new.unique.iter().any(|index| index.name == name) => Ok(name),
        None => Err(Refusal::unsupported(format!(
            "the new store has no constraint that corresponds to \"{name}\"; name the columns in ON CONFLICT"
        ))),
    }
}
