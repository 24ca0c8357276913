//! The name that PostgreSQL gives to a result column without AS (`FigureColname` of `parse_target.c`).

use pg_query::protobuf as pb;

use crate::sql::tree::Node;

/// The name of an expression as a result column.
pub(super) fn column_name(value: &Node) -> String {
    figure(value).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// A name, and whether it is a good one rather than a stopgap.
fn figure(node: &Node) -> Option<(String, bool)> {
    let good = |name: &str| Some((name.to_owned(), true));
    match node.kind {
        "ColumnRef" => node
            .names("fields")
            .into_iter()
            .rfind(|name| *name != "*")
            .and_then(good),
        "AIndirection" => match node
            .names("indirection")
            .into_iter()
            .rfind(|name| *name != "*")
        {
            Some(name) => good(name),
            None => node.node("arg").and_then(figure),
        },
        "FuncCall" => node.names("funcname").last().and_then(|name| good(name)),
        "AExpr" if node.int("kind") == i64::from(pb::AExprKind::AexprNullif as i32) => {
            good("nullif")
        }
        "TypeCast" => match node.node("arg").and_then(figure) {
            Some((name, true)) => good(&name),
            weak => node
                .node("type_name")
                .and_then(|ty| {
                    ty.names("names")
                        .last()
                        .map(|name| ((*name).to_owned(), false))
                })
                .or(weak),
        },
        "CollateClause" => node.node("arg").and_then(figure),
        "SubLink" => sublink(node),
        "CaseExpr" => match node.node("defresult").and_then(figure) {
            Some((name, true)) => good(&name),
            _ => Some(("case".to_owned(), false)),
        },
        "AArrayExpr" => good("array"),
        "RowExpr" => good("row"),
        "CoalesceExpr" => good("coalesce"),
        "MinMaxExpr" => good(
            if node.int("op") == i64::from(pb::MinMaxOp::IsLeast as i32) {
                "least"
            } else {
                "greatest"
            },
        ),
        "GroupingFunc" => good("grouping"),
        _ => None,
    }
}

fn sublink(node: &Node) -> Option<(String, bool)> {
    let kind = i32::try_from(node.int("sub_link_type"))
        .ok()
        .and_then(|kind| pb::SubLinkType::try_from(kind).ok())?;
    match kind {
        pb::SubLinkType::ExistsSublink => Some(("exists".to_owned(), true)),
        pb::SubLinkType::ArraySublink => Some(("array".to_owned(), true)),
        pb::SubLinkType::ExprSublink => {
            let mut query = node.node("subselect")?;
            while let Some(left) = query.node("larg") {
                query = left;
            }
            let first = query.nodes("target_list").next()?;
            let name = first.text("name");
            if name.is_empty() {
                figure(first.node("val")?).map(|(name, _)| (name, true))
            } else {
                Some((name.to_owned(), true))
            }
        }
        _ => None,
    }
}
