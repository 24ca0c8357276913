//! The walk over a statement's tree that renames what it finds: tables that are read, columns of the table that is written.

use std::{collections::BTreeSet, ops::Range};

use crossfade_phase::Side;
use crossfade_store::{Mapping, TableId, TableMap, postgres::sql::quote_ident};

mod column;
mod from;

pub(super) use column::SYSTEM_COLUMNS;

use super::{
    Places, Refusal, Script, columns, figure, group,
    scope::{Scopes, What},
    shape::{self, Shape},
    splice::{Piece, Plan},
    with,
};
use crate::sql::{
    facts::StatementFacts,
    tree::{Node, Value},
};

/// Functions that take a row whole and give nothing of its type away.
const ROW_FUNCTIONS: [&str; 7] = [
    "row_to_json",
    "to_json",
    "to_jsonb",
    "json_agg",
    "jsonb_agg",
    "count",
    "num_nonnulls",
];

/// A rewriting under way.
pub(super) struct Rewriter<'a> {
    pub(super) script: &'a Script,
    pub(super) statement: &'a StatementFacts,
    pub(super) mapping: &'a Mapping,
    pub(super) plan: Plan,
    pub(super) scopes: Scopes,
    /// A WHERE for the sub-select that stands for the one table of a lookup by key: it lets the new column's index be used.
    pub(super) hint: Vec<Piece>,
    /// CTEs in sight, with their columns where they can be told.
    pub(super) ctes: Vec<(String, Option<Vec<String>>)>,
    /// The store whose images WITH queries give back as they write.
    pub(super) captures: Option<Side>,
    /// Images stand before what the client asked for: that may be more columns than are known, if the table has just got another.
    pub(super) images_first: bool,
    /// A relation whose rows are told apart by their places.
    pub(super) places: Option<Places>,
    /// Whole rows that may stand, by their token.
    rows: BTreeSet<usize>,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(
        script: &'a Script,
        statement: &'a StatementFacts,
        mapping: &'a Mapping,
    ) -> Rewriter<'a> {
        Rewriter {
            script,
            statement,
            mapping,
            plan: Plan::default(),
            scopes: Vec::new(),
            hint: Vec::new(),
            ctes: Vec::new(),
            captures: None,
            images_first: false,
            places: None,
            rows: BTreeSet::new(),
        }
    }

    pub(super) fn map(&self, table: TableId) -> &'a TableMap {
        &self.mapping.tables[table.0]
    }

    /// The statement's last token.
    pub(super) fn last(&self) -> usize {
        self.statement.tokens.end - 1
    }

    /// Whether any mapped table of the statement looks different in the new store.
    pub(super) fn has_recast(&self) -> bool {
        self.statement
            .relations
            .values()
            .any(|&table| shape::shape(self.map(table)) == Shape::Recast)
    }

    pub(super) fn walk(&mut self, node: &'a Node) -> Result<(), Refusal> {
        match node.kind {
            "SelectStmt" => self.select(node),
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => self.nested_write(node),
            "RangeVar" => self.relation(node),
            "RangeTableSample" => self.sample(node),
            "ColumnRef" => self.column(node),
            "IntoClause" => self.select_into(node),
            // Names aliases, which stay.
            "LockingClause" => Ok(()),
            // The grammar repeats the one source of several columns for each of them.
            "MultiAssignRef" if node.int("colno") > 1 => Ok(()),
            "FuncCall" => {
                if node
                    .names("funcname")
                    .last()
                    .is_some_and(|name| ROW_FUNCTIONS.contains(name))
                {
                    self.rows.extend(
                        node.nodes("args")
                            .filter(|arg| arg.kind == "ColumnRef")
                            .map(Node::location),
                    );
                }
                self.children(node)
            }
            _ => self.children(node),
        }
    }

    pub(super) fn children(&mut self, node: &'a Node) -> Result<(), Refusal> {
        for (_, value) in node.fields() {
            self.value(value)?;
        }
        Ok(())
    }

    pub(super) fn value(&mut self, value: &'a Value) -> Result<(), Refusal> {
        match value {
            Value::Node(node) => self.walk(node),
            Value::List(items) => items.iter().try_for_each(|item| self.value(item)),
            Value::Nothing | Value::Int(_) | Value::Text(_) => Ok(()),
        }
    }

    /// The values of some fields.
    pub(super) fn fields(&mut self, node: &'a Node, names: &[&str]) -> Result<(), Refusal> {
        names.iter().try_for_each(|name| self.value(node.get(name)))
    }

    /// The name of a table to be made, not of one that is there.
    fn select_into(&mut self, node: &'a Node) -> Result<(), Refusal> {
        let made = node
            .node("rel")
            .and_then(|relation| self.statement.relations.get(&relation.location()));
        match made {
            Some(&table) => Err(Refusal::unsupported(format!(
                "a table of the name \"{}\" cannot be made: it is carried to the new store; use another name",
                self.map(table).old.name
            ))),
            None => self.children(node),
        }
    }

    fn select(&mut self, node: &'a Node) -> Result<(), Refusal> {
        let outer = self.ctes.len();
        self.with(node)?;
        let relations = self.relations_of(node.list("from_clause"));
        self.scopes.push(relations);
        for (name, value) in node.fields() {
            match name {
                "with_clause" => {}
                "target_list" => value
                    .items()
                    .iter()
                    .filter_map(Value::as_node)
                    .try_for_each(|item| self.named_item(item))?,
                _ => self.value(value)?,
            }
        }
        group::extend(self, node)?;
        self.scopes.pop();
        self.ctes.truncate(outer);
        Ok(())
    }

    /// The CTEs of a statement, which do not see the query that they stand before.
    pub(super) fn with(&mut self, node: &'a Node) -> Result<(), Refusal> {
        let Some(with) = node.node("with_clause") else {
            return Ok(());
        };
        for cte in with.nodes("ctes") {
            let columns = columns::of_cte(self, cte);
            let records = columns::records(self, cte);
            let name = cte.text("ctename").to_owned();
            let part = self
                .statement
                .parts
                .iter()
                .find(|part| part.head.start == cte.location());
            if let Some(part) = part {
                with::part(self, part)?;
                self.ctes.push((name, columns));
            } else if with.flag("recursive") {
                self.ctes.push((name, columns));
                self.walk(cte)?;
            } else {
                self.walk(cte)?;
                self.ctes.push((name, columns));
            }
            self.ctes.extend(records);
        }
        Ok(())
    }

    /// An item of a select list keeps its name when the column in it gets another.
    fn named_item(&mut self, item: &'a Node) -> Result<(), Refusal> {
        let before = self.plan.len();
        let renames = self
            .scopes
            .iter()
            .flatten()
            .any(|relation| matches!(relation.what, What::Target(_)));
        self.children(item)?;
        if renames
            && item.text("name").is_empty()
            && self.plan.len() > before
            && let Some(value) = item.node("val")
        {
            let end = self.item_end(item.location());
            let name = quote_ident(&figure::column_name(value));
            self.plan.after(end - 1, vec![format!(" AS {name}").into()]);
        }
        Ok(())
    }

    /// One past the last token of an item of a select list that begins at `start`.
    pub(super) fn item_end(&self, start: usize) -> usize {
        let close = self.script.enclosed_end(start..self.statement.tokens.end);
        let mut upto = close;
        let mut from = start;
        while let Some(found) = self.script.find(
            from..upto,
            &[
                "from",
                "where",
                "group",
                "having",
                "order",
                "limit",
                "union",
                "intersect",
                "except",
                "offset",
                "fetch",
                "for",
                "window",
                "into",
                "returning",
                "on",
            ],
        ) {
            if self.script.is(found - 1, "distinct") {
                from = found + 1;
                continue;
            }
            upto = found;
            break;
        }
        self.script
            .split(start..upto)
            .first()
            .map_or(upto, |item| item.end)
    }

    /// A statement within a CTE that writes.
    fn nested_write(&mut self, node: &'a Node) -> Result<(), Refusal> {
        let target = node
            .node("relation")
            .and_then(|relation| self.statement.relations.get(&relation.location()));
        if let Some(&table) = target.filter(|&&table| shape::shape(self.map(table)) != Shape::Same)
        {
            return Err(Refusal::unsupported(format!(
                "a WITH query that writes table \"{}\" cannot be sent to the new store, whose table differs; write it in a statement of its own",
                self.map(table).old.name
            )));
        }
        let outer = self.ctes.len();
        self.with(node)?;
        for (name, value) in node.fields() {
            if !matches!(name, "relation" | "with_clause") {
                self.value(value)?;
            }
        }
        self.ctes.truncate(outer);
        Ok(())
    }

    /// Tokens of a relation's name: `orders`, `public.orders`, `db.public.orders`.
    pub(super) fn name_tokens(relation: &Node) -> Range<usize> {
        let parts =
            1 + usize::from(relation.has("schemaname")) + usize::from(relation.has("catalogname"));
        relation.location()..relation.location() + 2 * parts - 1
    }
}

/// A statement that depends on a column which is not carried.
pub(super) fn dropped(table: &TableMap, column: &str) -> Refusal {
    Refusal::unsupported(format!(
        "column \"{column}\" of table \"{}\" is not carried to the new store; carry it, or leave it out",
        table.old.name
    ))
}
