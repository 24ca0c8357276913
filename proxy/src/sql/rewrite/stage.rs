//! COPY FROM into another table than the one that the client names.

use super::{Refusal, splice::Plan, tokens, walk::Rewriter};
use crate::sql::facts::{Facts, StatementFacts};

/// The COPY of `statement` into the relation `stage`, whose columns go by the same names.
pub(in crate::sql) fn stage(
    text: &[u8],
    conforming: bool,
    facts: &Facts,
    statement: &StatementFacts,
    stage: &str,
) -> Result<Vec<u8>, Refusal> {
    let relation = statement.tree.node("relation");
    let Some(relation) = relation.filter(|_| !facts.script.opaque) else {
        return Err(Refusal::unsupported(
            "the statement spells a name as U&\"…\", write it plainly",
        ));
    };
    let mut plan = Plan::default();
    plan.replace(Rewriter::name_tokens(relation), stage.to_owned());
    Ok(plan.apply(text, &tokens(text, conforming), statement))
}
