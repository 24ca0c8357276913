//! Where the parts of a MERGE lie.

use std::ops::Range;

use pg_query::protobuf as pb;

use crate::sql::{
    rewrite::{Refusal, Script, walk::Rewriter},
    tree::Node,
};

/// The parts of a MERGE, by their tokens.
#[derive(Debug)]
pub(super) struct Layout {
    /// `WITH …`, without a comma behind it; empty if there is none.
    pub(super) with: Range<usize>,
    /// The table written, with its alias.
    pub(super) target: Range<usize>,
    /// What it is merged from, with its alias.
    pub(super) source: Range<usize>,
    /// Behind ON.
    pub(super) condition: Range<usize>,
    /// In their order.
    pub(super) clauses: Vec<Clause>,
}

/// WHEN … THEN ….
#[derive(Debug)]
pub(super) struct Clause {
    /// MATCHED rather than NOT MATCHED.
    pub(super) matched: bool,
    /// Behind AND.
    pub(super) condition: Option<Range<usize>>,
    /// Behind THEN.
    pub(super) action: Action,
}

/// What a clause does.
#[derive(Debug)]
pub(super) enum Action {
    /// DO NOTHING.
    Nothing,
    /// DELETE.
    Delete,
    /// UPDATE, with what stands behind SET.
    Update(Range<usize>),
    /// INSERT.
    Insert {
        /// Each of the columns named; `None` where none is.
        columns: Option<Vec<Range<usize>>>,
        /// OVERRIDING … VALUE; empty if there is none.
        overriding: Range<usize>,
        /// Each of VALUES; empty for DEFAULT VALUES.
        values: Vec<Range<usize>>,
    },
}

impl Layout {
    /// Whether a clause stands behind one that always applies: an error that the server tells where it is given the MERGE itself.
    pub(super) fn is_unreachable(&self) -> bool {
        [true, false].into_iter().any(|matched| {
            let mut clauses = self
                .clauses
                .iter()
                .filter(|clause| clause.matched == matched);
            clauses.any(|clause| clause.condition.is_none()) && clauses.next().is_some()
        })
    }
}

impl Clause {
    /// Whether it changes or deletes the row that it is about.
    pub(super) fn writes_row(&self) -> bool {
        matches!(self.action, Action::Delete | Action::Update(_))
    }
}

/// Finds the parts of the MERGE `tree`, whose tokens are `range`.
pub(super) fn layout(
    script: &Script,
    tree: &Node,
    range: &Range<usize>,
) -> Result<Layout, Refusal> {
    if tree.has("returning_clause") {
        return Err(Refusal::unsupported(
            "MERGE … RETURNING cannot be captured; leave the RETURNING out, and read the rows by a statement of its own",
        ));
    }
    let by_source = i64::from(pb::MergeMatchKind::MergeWhenNotMatchedBySource as i32);
    if tree
        .nodes("merge_when_clauses")
        .any(|clause| clause.int("match_kind") == by_source)
    {
        return Err(Refusal::unsupported(
            "MERGE … WHEN NOT MATCHED BY SOURCE cannot be captured; write it as an UPDATE or DELETE of its own, in one transaction",
        ));
    }
    find(script, tree, range)
        .filter(|layout| layout.clauses.len() == tree.nodes("merge_when_clauses").count())
        .ok_or_else(|| {
            Refusal::unsupported(
                "the parts of this MERGE cannot be told apart; write it as INSERT … ON CONFLICT, or as UPDATE, DELETE and INSERT in one transaction",
            )
        })
}

fn find(script: &Script, tree: &Node, range: &Range<usize>) -> Option<Layout> {
    let merge = (range.start..range.end)
        .find(|&token| script.is(token, "merge") && script.is(token + 1, "into"))?;
    let named = Rewriter::name_tokens(tree.node("relation")?).end;
    let using = script.find(named..range.end, &["using"])?;
    let on = script.find(using + 1..range.end, &["on"])?;
    let first = script.find_clause(on + 1..range.end, &["when"])?;
    let mut clauses = Vec::new();
    let mut at = first;
    while at < range.end {
        let end = script
            .find_clause(at + 1..range.end, &["when"])
            .unwrap_or(range.end);
        clauses.push(clause(script, at + 1..end)?);
        at = end;
    }
    Some(Layout {
        with: range.start..merge,
        target: merge + 2..using,
        source: using + 1..on,
        condition: on + 1..first,
        clauses,
    })
}

/// A clause from behind its WHEN.
fn clause(script: &Script, range: Range<usize>) -> Option<Clause> {
    let matched = !script.is(range.start, "not");
    let mut at = range.start + usize::from(!matched);
    if !script.is(at, "matched") {
        return None;
    }
    at += 1;
    // BY TARGET, which is what NOT MATCHED means by itself.
    if script.is(at, "by") {
        at += 2;
    }
    let then = script.find_clause(at..range.end, &["then"])?;
    let condition = script.is(at, "and").then_some(at + 1..then);
    let verb = then + 1;
    let action = match script.word(verb) {
        "do" => Action::Nothing,
        "delete" => Action::Delete,
        "update" => Action::Update(verb + 2..range.end),
        "insert" => insert(script, verb + 1..range.end)?,
        _ => return None,
    };
    Some(Clause {
        matched,
        condition,
        action,
    })
}

/// An INSERT from behind its verb.
fn insert(script: &Script, range: Range<usize>) -> Option<Action> {
    let mut at = range.start;
    let mut columns = None;
    if script.mark(at, b'(') {
        let close = script.closing(at)?;
        columns = Some(script.split(at + 1..close));
        at = close + 1;
    }
    let mut overriding = at..at;
    if script.is(at, "overriding") {
        overriding.end = at + 3;
        at += 3;
    }
    let values = if script.is(at, "values") {
        let close = script.closing(at + 1)?;
        script.split(at + 2..close)
    } else {
        Vec::new()
    };
    Some(Action::Insert {
        columns,
        overriding,
        values,
    })
}
