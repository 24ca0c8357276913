//! MERGE.

use crossfade_values::{Error, Result};
use pg_query::{
    NodeEnum,
    protobuf::{CmdType, MergeMatchKind, MergeStmt, MergeWhenClause},
};

use super::{
    Binder, Rules, boxed,
    from::alias_of,
    inner,
    insert::check_count,
    offer::{offer_on, split},
};
use crate::{
    expr::Expr,
    plan::{From, Join, JoinKind, Select},
};

/// `MERGE`.
#[derive(Debug)]
pub(crate) struct Merge {
    pub(crate) table: usize,
    /// Rows of the source with those of the table that match; where none does, the table's slots are empty.
    pub(crate) rows: Select,
    pub(crate) whens: Vec<When>,
    pub(crate) rules: Rules,
}

/// A WHEN clause.
#[derive(Debug)]
pub(crate) struct When {
    pub(crate) matched: bool,
    pub(crate) condition: Vec<Expr>,
    pub(crate) action: Action,
}

/// What it does.
#[derive(Debug)]
pub(crate) enum Action {
    Nothing,
    Delete,
    Update(Vec<(usize, Expr)>),
    /// A value for every column.
    Insert(Vec<Expr>),
}

impl Action {
    pub(crate) fn exprs(&self) -> impl Iterator<Item = &Expr> {
        let (set, values): (&[(usize, Expr)], &[Expr]) = match self {
            Action::Nothing | Action::Delete => (&[], &[]),
            Action::Update(set) => (set, &[]),
            Action::Insert(values) => (&[], values),
        };
        set.iter().map(|(_, expr)| expr).chain(values)
    }
}

impl Binder<'_> {
    pub(super) fn merge(&mut self, merge: &MergeStmt) -> Result<Merge> {
        let top = std::mem::take(&mut self.top);
        let known = self.ctes.len();
        if merge.returning_clause.is_some() {
            return Err(Error::unsupported("MERGE … RETURNING"));
        }
        if let Some(with) = &merge.with_clause {
            if with.recursive {
                let told = "WITH RECURSIVE is not supported for MERGE statement";
                return Err(Error::new("42601", told));
            }
            self.with(with, top)?;
        }
        self.push_frame();
        let understood = self.merge_parts(merge);
        self.pop_frame();
        self.ctes.truncate(known);
        understood
    }

    fn merge_parts(&mut self, merge: &MergeStmt) -> Result<Merge> {
        let clauses = clauses(merge)?;
        let range = merge
            .relation
            .as_ref()
            .ok_or_else(|| Error::unsupported("this form of MERGE"))?;
        let (table, target) = self.target(range)?;
        self.writable(table)?;
        // The source does not see the table.
        let seen = std::mem::take(&mut self.frame().relations);
        let name = alias_of(range.alias.as_ref(), &range.relname);
        self.frame().gone.push(name.clone());
        let between = self.frame().width;
        let source = self.item_of_from(boxed(&merge.source_relation)?);
        self.frame().gone.pop();
        let sources = std::mem::replace(&mut self.frame().relations, seen);
        let (source, lateral) = source?;
        if sources
            .iter()
            .any(|known| !known.unnamed && known.name == name)
        {
            let told = format!("name \"{name}\" specified more than once");
            return Err(Error::new("42712", told)
                .detail("The name is used both as MERGE target table and data source."));
        }
        self.frame().relations.extend(sources);
        let inserts = |clause: &&MergeWhenClause| clause.command_type() == CmdType::CmdInsert;
        let mut join = Join {
            kind: match clauses.iter().any(inserts) {
                true => JoinKind::Right,
                false => JoinKind::Inner,
            },
            left: target,
            right: source,
            left_slots: 0..between,
            right_slots: between..self.frame().width,
            equal: Vec::new(),
            on: Vec::new(),
            lateral,
        };
        self.frame().clause = "JOIN conditions";
        let condition = self.expr(boxed(&merge.join_condition)?)?;
        let mut conditions = Vec::new();
        split(self.condition(condition, "JOIN/ON")?, &mut conditions);
        for condition in conditions {
            offer_on(&mut join, condition);
        }
        let whens = clauses
            .into_iter()
            .map(|clause| self.when(table, clause))
            .collect::<Result<Vec<_>>>()?;
        let rules = self.rules(table)?;
        let used = whens
            .iter()
            .flat_map(|when| when.condition.iter().chain(when.action.exprs()));
        let used = used.cloned().collect();
        Ok(Merge {
            table,
            rows: self.written(From::Join(Box::new(join)), Vec::new(), used),
            whens,
            rules,
        })
    }

    fn when(&mut self, table: usize, clause: &MergeWhenClause) -> Result<When> {
        let matched = is_matched(clause);
        // Where nothing matches there is no row of the table.
        let hidden = (!matched).then(|| self.frame().relations.remove(0));
        if let Some(relation) = &hidden {
            self.frame().gone.push(relation.name.clone());
        }
        let understood = self.when_parts(table, clause);
        if let Some(relation) = hidden {
            self.frame().gone.pop();
            let hint = |error: Error| match relation.columns.iter().find(|column| {
                error.message == format!("column \"{}\" does not exist", column.name)
            }) {
                Some(column) => {
                    let told = format!(
                        "There is a column named \"{}\" in table \"{}\", but it cannot be referenced from this part of the query.",
                        column.name, relation.name
                    );
                    error.hint(told)
                }
                None => error,
            };
            let understood = understood.map_err(hint);
            self.frame().relations.insert(0, relation);
            return understood;
        }
        understood
    }

    fn when_parts(&mut self, table: usize, clause: &MergeWhenClause) -> Result<When> {
        self.frame().clause = "MERGE WHEN conditions";
        let condition = match &clause.condition {
            Some(node) => {
                let typed = self.expr(inner(node)?)?;
                vec![self.condition(typed, "WHEN")?]
            }
            None => Vec::new(),
        };
        let action = match clause.command_type() {
            CmdType::CmdUpdate => Action::Update(self.set_list(table, &clause.target_list)?),
            CmdType::CmdDelete => Action::Delete,
            CmdType::CmdInsert => Action::Insert(self.inserted(table, clause)?),
            _ => Action::Nothing,
        };
        Ok(When {
            matched: is_matched(clause),
            condition,
            action,
        })
    }

    fn inserted(&mut self, table: usize, clause: &MergeWhenClause) -> Result<Vec<Expr>> {
        let dropped = self.catalog.tables[table].map.dropped.first();
        if let (Some(dropped), true) = (dropped, clause.target_list.is_empty()) {
            let told = format!("column \"{dropped}\" is not carried to the documents");
            return Err(Error::new("0A000", told).hint("name the columns"));
        }
        let columns = self.insert_columns(table, &clause.target_list)?;
        self.frame().clause = "VALUES";
        let mut values = self.defaults(table)?;
        if clause.values.is_empty() {
            return Ok(values);
        }
        let given = clause.values.len();
        let places = match given > columns.len() {
            true => self.exprs(&clause.values)?.iter().map(|it| it.at).collect(),
            false => Vec::new(),
        };
        check_count(&columns, &clause.target_list, given, &places)?;
        let given = self.given(table, &columns, &clause.values, clause.r#override())?;
        for (column, value) in columns.into_iter().zip(given) {
            if let Some(value) = value {
                values[column] = value;
            }
        }
        Ok(values)
    }
}

fn is_matched(clause: &MergeWhenClause) -> bool {
    clause.match_kind() == MergeMatchKind::MergeWhenMatched
}

/// The WHEN clauses, each of which may come to apply.
fn clauses(merge: &MergeStmt) -> Result<Vec<&MergeWhenClause>> {
    let mut clauses: Vec<&MergeWhenClause> = Vec::new();
    for node in &merge.merge_when_clauses {
        let NodeEnum::MergeWhenClause(clause) = inner(node)? else {
            return Err(Error::unsupported("this form of MERGE"));
        };
        if clause.match_kind() == MergeMatchKind::MergeWhenNotMatchedBySource {
            return Err(Error::unsupported("WHEN NOT MATCHED BY SOURCE"));
        }
        let ends = |known: &&MergeWhenClause| {
            known.condition.is_none() && is_matched(known) == is_matched(clause)
        };
        if clauses.iter().any(ends) {
            let told = "unreachable WHEN clause specified after unconditional WHEN clause";
            return Err(Error::new("42601", told));
        }
        clauses.push(clause);
    }
    Ok(clauses)
}
