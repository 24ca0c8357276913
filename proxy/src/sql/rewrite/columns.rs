//! Which columns a sub-select or a CTE has, where that can be told without a catalog.

use super::{
    figure,
    scope::{Relation, What},
    walk::Rewriter,
};
use crate::sql::tree::Node;

/// A relation of a FROM list that is not a join.
pub(super) fn relation(walk: &Rewriter<'_>, item: &Node) -> Relation {
    let alias = item.node("alias");
    let named: Vec<String> = alias
        .map(|alias| {
            alias
                .names("colnames")
                .into_iter()
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default();
    let name = alias
        .map_or_else(|| item.text("relname"), |alias| alias.text("aliasname"))
        .to_owned();
    let what = match item.kind {
        "RangeVar" => range(walk, item),
        "RangeSubselect" => item
            .node("subquery")
            .and_then(|query| of_query(walk, query))
            .map_or(What::Opaque, What::Known),
        _ => What::Opaque,
    };
    match what {
        // A column list renames the first columns of the relation.
        What::Known(mut columns) if !named.is_empty() => {
            columns.splice(..named.len().min(columns.len()), named);
            Relation {
                name,
                what: What::Known(columns),
            }
        }
        What::Read(table) if !named.is_empty() => {
            let rest = walk
                .map(table)
                .old
                .columns
                .iter()
                .skip(named.len())
                .map(|column| column.name.clone());
            let columns = named.into_iter().chain(rest).collect();
            Relation {
                name,
                what: What::Known(columns),
            }
        }
        what => Relation { name, what },
    }
}

fn range(walk: &Rewriter<'_>, item: &Node) -> What {
    if let Some(&table) = walk.statement.relations.get(&item.location()) {
        return What::Read(table);
    }
    let cte = if item.has("schemaname") {
        None
    } else {
        walk.cte(item.text("relname"))
    };
    cte.map_or(What::Opaque, |columns| What::Known(columns.clone()))
}

/// The columns of a WITH query.
pub(super) fn of_cte(walk: &Rewriter<'_>, cte: &Node) -> Option<Vec<String>> {
    let named = cte.names("aliascolnames");
    if named.is_empty() {
        return cte.node("ctequery").and_then(|query| of_query(walk, query));
    }
    Some(named.into_iter().map(str::to_owned).collect())
}

/// The columns of a RETURNING, not one more or less; `None` where that is not certain.
pub(super) fn returned(walk: &Rewriter<'_>, write: &Node) -> Option<Vec<String>> {
    let clause = write.node("returning_clause")?;
    let mut relations = vec![self::relation(walk, write.node("relation")?)];
    let others = if write.has("from_clause") {
        "from_clause"
    } else {
        "using_clause"
    };
    relations.extend(walk.relations_of(write.list(others)));
    let joins = write.nodes(others).any(|item| item.contains(&["JoinExpr"]));
    for item in clause.nodes("exprs") {
        let value = item.node("val")?;
        // `(a).*` is as many columns as its type has.
        if value.kind == "AIndirection" && value.contains(&["AStar"]) {
            return None;
        }
        let fields = if value.kind == "ColumnRef" {
            value.names("fields")
        } else {
            Vec::new()
        };
        if fields.last() != Some(&"*") {
            continue;
        }
        let named = fields.len().checked_sub(2).map(|place| fields[place]);
        let mut meant = relations
            .iter()
            .filter(|relation| named.is_none_or(|name| name == relation.name))
            .peekable();
        // A join may merge columns, `old.*` names no relation at all, and of what is no table only the names of columns are known for certain.
        if named.is_none() && joins
            || meant.peek().is_none()
            || meant.any(|relation| !matches!(relation.what, What::Read(_)))
        {
            return None;
        }
    }
    items(walk, clause.nodes("exprs"), Some(relations))
}

/// The WITH query's columns that are whole rows of a relation, `(relation.*)::record AS column`: what `(cte.column).*` stands for, under that name.
pub(super) fn records(walk: &Rewriter<'_>, cte: &Node) -> Vec<(String, Option<Vec<String>>)> {
    let Some(query) = cte.node("ctequery") else {
        return Vec::new();
    };
    let relations = walk.relations_of(query.list("from_clause"));
    let record = |item: &Node| {
        let row = item.node("val").filter(|value| value.kind == "TypeCast");
        let fields = row?.node("arg")?.names("fields");
        let [qualifier, "*"] = fields[..] else {
            return None;
        };
        let relation = relations
            .iter()
            .find(|relation| relation.name == qualifier)?;
        let columns = match &relation.what {
            What::Known(columns) => Some(columns.clone()),
            What::Target(_) | What::Read(_) | What::Opaque => None,
        };
        Some((
            format!("{}.{}", cte.text("ctename"), item.text("name")),
            columns,
        ))
    };
    query.nodes("target_list").filter_map(record).collect()
}

/// The columns of a query's result.
pub(super) fn of_query(walk: &Rewriter<'_>, query: &Node) -> Option<Vec<String>> {
    match query.kind {
        "SelectStmt" => {}
        "InsertStmt" | "UpdateStmt" | "DeleteStmt" => {
            let clause = query.node("returning_clause")?;
            let relations = query
                .node("relation")
                .map(|relation| vec![self::relation(walk, relation)]);
            let joined = query.has("from_clause") || query.has("using_clause");
            return items(walk, clause.nodes("exprs"), relations.filter(|_| !joined));
        }
        _ => return None,
    }
    let mut first = query;
    while let Some(left) = first.node("larg") {
        first = left;
    }
    if let Some(row) = first.nodes("values_lists").next() {
        return Some(
            (1..=row.list("items").len())
                .map(|place| format!("column{place}"))
                .collect(),
        );
    }
    // A join with USING or NATURAL merges columns: the names stay the same.
    items(
        walk,
        first.nodes("target_list"),
        Some(walk.relations_of(first.list("from_clause"))),
    )
}

fn items<'n>(
    walk: &Rewriter<'_>,
    items: impl Iterator<Item = &'n Node>,
    relations: Option<Vec<Relation>>,
) -> Option<Vec<String>> {
    let mut columns = Vec::new();
    for item in items {
        let value = item.node("val")?;
        if value.kind == "AIndirection" && value.names("indirection").last() == Some(&"*") {
            let record = value.node("arg")?.names("fields").join(".");
            columns.extend(walk.cte(&record)?.iter().cloned());
            continue;
        }
        let fields = if value.kind == "ColumnRef" {
            value.names("fields")
        } else {
            Vec::new()
        };
        if fields.last() != Some(&"*") {
            let name = item.text("name");
            columns.push(if name.is_empty() {
                figure::column_name(value)
            } else {
                name.to_owned()
            });
            continue;
        }
        let qualifier = fields.len().checked_sub(2).map(|place| fields[place]);
        for relation in relations
            .as_ref()?
            .iter()
            .filter(|relation| qualifier.is_none_or(|qualifier| qualifier == relation.name))
        {
            match &relation.what {
                What::Read(table) => columns.extend(
                    walk.map(*table)
                        .old
                        .columns
                        .iter()
                        .map(|column| column.name.clone()),
                ),
                What::Known(names) => columns.extend(names.iter().cloned()),
                What::Target(_) | What::Opaque => return None,
            }
        }
    }
    Some(columns)
}
