//! Facts of MERGE.

use pg_query::protobuf as pb;

use super::{
    Context,
    collect::Uses,
    dml::{set_columns, target},
};
use crate::sql::{facts::MergeFacts, tree::Node};

/// What a MERGE writes.
pub(super) fn merge(tree: &Node, context: &Context<'_>, uses: &Uses) -> MergeFacts {
    let table = tree
        .node("relation")
        .and_then(|relation| target(relation, uses));
    let does = |clause: &&Node, action: pb::CmdType| {
        clause.int("command_type") == i64::from(action as i32)
    };
    let clauses = || tree.nodes("merge_when_clauses");
    let sets: Vec<String> = clauses()
        .filter(|clause| does(clause, pb::CmdType::CmdUpdate))
        .flat_map(set_columns)
        .collect();
    MergeFacts {
        table,
        sets_key: table.is_some_and(|table| context.names.mapping.tables[table.0].sets_key(&sets)),
        sets,
        deletes: clauses().any(|clause| does(&clause, pb::CmdType::CmdDelete)),
    }
}
