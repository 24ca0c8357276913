//! The name of an answer's column (`FigureColname` in PostgreSQL's parse_target.c).

use pg_query::{
    Node, NodeEnum,
    protobuf::{AExprKind, MinMaxOp, SqlValueFunctionOp, SubLinkType},
};

use super::names;

/// The name of a target without AS.
pub(super) fn name(node: &NodeEnum) -> String {
    figure(node).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

fn of(node: Option<&Node>) -> Option<(String, u8)> {
    figure(node?.node.as_ref()?)
}

/// The name, and how good it is: 2 for a real one, 1 for one that a better replaces.
fn figure(node: &NodeEnum) -> Option<(String, u8)> {
    let good = |name: &str| Some((name.to_owned(), 2));
    match node {
        NodeEnum::ColumnRef(column) => good(names(&column.fields).last()?),
        NodeEnum::AIndirection(indirection) => match names(&indirection.indirection).last() {
            Some(field) => good(field),
            None => of(indirection.arg.as_deref()),
        },
        NodeEnum::FuncCall(call) => good(names(&call.funcname).last()?),
        NodeEnum::AExpr(expr) if expr.kind() == AExprKind::AexprNullif => good("nullif"),
        NodeEnum::TypeCast(cast) => match of(cast.arg.as_deref()) {
            Some((name, 2)) => Some((name, 2)),
            _ => {
                let names = names(&cast.type_name.as_ref()?.names);
                Some((names.last()?.to_string(), 1))
            }
        },
        NodeEnum::CollateClause(collate) => of(collate.arg.as_deref()),
        NodeEnum::GroupingFunc(_) => good("grouping"),
        NodeEnum::SubLink(sub) => match sub.sub_link_type() {
            SubLinkType::ExistsSublink => good("exists"),
            SubLinkType::ArraySublink => good("array"),
            SubLinkType::ExprSublink => {
                let Some(NodeEnum::SelectStmt(select)) = sub.subselect.as_deref()?.node.as_ref()
                else {
                    return None;
                };
                if !select.values_lists.is_empty() {
                    return good("column1");
                }
                match select.target_list.first()?.node.as_ref()? {
                    NodeEnum::ResTarget(target) if !target.name.is_empty() => good(&target.name),
                    NodeEnum::ResTarget(target) => of(target.val.as_deref()),
                    _ => None,
                }
            }
            _ => None,
        },
        NodeEnum::CaseExpr(case) => match of(case.defresult.as_deref()) {
            Some((name, 2)) => Some((name, 2)),
            _ => Some(("case".to_owned(), 1)),
        },
        NodeEnum::AArrayExpr(_) => good("array"),
        NodeEnum::RowExpr(_) => good("row"),
        NodeEnum::CoalesceExpr(_) => good("coalesce"),
        NodeEnum::MinMaxExpr(extreme) => match extreme.op() {
            MinMaxOp::IsLeast => good("least"),
            _ => good("greatest"),
        },
        NodeEnum::SqlvalueFunction(function) => good(match function.op() {
            SqlValueFunctionOp::SvfopCurrentDate => "current_date",
            SqlValueFunctionOp::SvfopCurrentTime | SqlValueFunctionOp::SvfopCurrentTimeN => {
                "current_time"
            }
            SqlValueFunctionOp::SvfopCurrentTimestamp
            | SqlValueFunctionOp::SvfopCurrentTimestampN => "current_timestamp",
            SqlValueFunctionOp::SvfopLocaltime | SqlValueFunctionOp::SvfopLocaltimeN => "localtime",
            SqlValueFunctionOp::SvfopLocaltimestamp | SqlValueFunctionOp::SvfopLocaltimestampN => {
                "localtimestamp"
            }
            SqlValueFunctionOp::SvfopCurrentRole => "current_role",
            SqlValueFunctionOp::SvfopCurrentUser => "current_user",
            SqlValueFunctionOp::SvfopUser => "user",
            SqlValueFunctionOp::SvfopSessionUser => "session_user",
            SqlValueFunctionOp::SvfopCurrentCatalog => "current_catalog",
            SqlValueFunctionOp::SvfopCurrentSchema => "current_schema",
            SqlValueFunctionOp::SqlvalueFunctionOpUndefined => return None,
        }),
        _ => None,
    }
}
