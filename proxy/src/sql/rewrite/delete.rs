//! DELETE on the new store.

use crossfade_phase::Side;

use super::{
    Refusal, capture, read, returning,
    scope::{Relation, What},
    update::{self, Clauses},
    walk::Rewriter,
};
use crate::sql::facts::DeleteFacts;

/// Rewrites a DELETE.
pub(super) fn delete(
    walk: &mut Rewriter<'_>,
    facts: &DeleteFacts,
    captures: bool,
) -> Result<(), Refusal> {
    let Some(table) = facts.table else {
        return read::anything(walk);
    };
    let tree = &walk.statement.tree;
    let map = walk.map(table);
    walk.with(tree)?;
    walk.fields(tree, &["using_clause"])?;
    let mut relations = vec![Relation {
        name: facts.qualifier.clone(),
        what: What::Target(table),
    }];
    relations.extend(walk.relations_of(tree.list("using_clause")));
    walk.scopes.push(relations);
    update::rename_target(walk, tree, map)?;
    let clauses = Clauses::of(walk);
    update::condition(
        walk,
        map,
        &facts.qualifier,
        facts.key.as_deref(),
        clauses.condition,
    )?;
    returning::rename(walk, tree, table, &facts.qualifier, false)?;
    walk.scopes.pop();
    if captures {
        capture::append(walk, table, Side::New, &facts.qualifier, Vec::new())?;
    }
    Ok(())
}
