//! Statements whose WITH queries write: each of those gives its images back.
//!
//! ```sql
//! WITH gone AS (DELETE FROM a WHERE … RETURNING x) SELECT count(*) FROM gone
//! ```
//!
//! becomes
//!
//! ```sql
//! WITH crossfade_w0 (i1, i2, c1) AS (DELETE FROM a WHERE … RETURNING ‹image›, x), gone AS (SELECT c1 AS x FROM crossfade_w0),
//!     crossfade_main AS (SELECT count(*) FROM gone)
//! SELECT crossfade_main.*, crossfade_images.* FROM crossfade_main
//!     FULL JOIN (SELECT '0'::text AS crossfade_w, i1, i2 FROM crossfade_w0) AS crossfade_images ON false
//! ```
//!
//! The parts keep their one snapshot and one another's rows, and the images are rows of their own behind those of the client. What came out says
//! what has happened: of two parts that want one row only one gets it, and which one is the server's affair.

use crossfade_phase::Side;
use crossfade_store::postgres::sql::quote_ident;

use super::{
    Parts, Refusal, Written, capture, columns, splice::Piece, walk::Rewriter, write_or_read,
};
use crate::sql::{
    facts::{Kind, Part},
    tree::Node,
};

/// Captures what a statement writes, its WITH queries included.
pub(super) fn capture(walk: &mut Rewriter<'_>, side: Side) -> Result<(), Refusal> {
    capture::check(walk)?;
    let statement = walk.statement;
    let writes = |part: &Part| part.statement.kind.written().is_some();
    if !statement.parts.iter().any(writes) {
        return single(walk, side);
    }
    let begin = main_start(walk)?;
    let (tag, fills) = main_kind(&statement.kind, &statement.tree)?;
    walk.captures = Some(side);
    walk.plan.parts = Some(Parts {
        written: Vec::new(),
        filler: usize::from(fills),
        tag,
    });
    // First of what comes before this token: the outermost bracket.
    walk.plan
        .before(begin, vec![", crossfade_main AS (".into()]);
    if side == Side::Old {
        walk.note_with(&statement.tree)?;
    }
    single(walk, side)?;
    if fills {
        let last = walk.last();
        walk.plan.after(last, vec![" RETURNING 1".into()]);
    }
    let outer = outer(walk);
    let last = walk.last();
    walk.plan.after(last, vec![outer.into()]);
    Ok(())
}

/// Captures what one statement writes by itself.
fn single(walk: &mut Rewriter<'_>, side: Side) -> Result<(), Refusal> {
    match side {
        Side::Old => capture::on_old(walk),
        Side::New => write_or_read(walk, true),
    }
}

/// The first token behind the WITH clause.
fn main_start(walk: &Rewriter<'_>) -> Result<usize, Refusal> {
    let plainly = || {
        Refusal::unsupported(
            "the WITH queries of this statement cannot be told apart; write each as a statement of its own",
        )
    };
    let statement = walk.statement;
    let last = statement
        .tree
        .node("with_clause")
        .and_then(|with| with.nodes("ctes").last())
        .filter(|cte| !cte.has("search_clause") && !cte.has("cycle_clause"))
        .ok_or_else(plainly)?;
    let mut at = last.location() + 1;
    if walk.script.mark(at, b'(') {
        at = walk.script.closing(at).ok_or_else(plainly)? + 1;
    }
    let open = (at..statement.tokens.end).find(|&token| walk.script.mark(token, b'('));
    let close = open
        .and_then(|open| walk.script.closing(open))
        .ok_or_else(plainly)?;
    if walk.script.is(statement.tokens.start, "with") && close + 1 < statement.tokens.end {
        Ok(close + 1)
    } else {
        Err(plainly())
    }
}

/// The verb of the completion, and whether the statement needs a RETURNING so that its rows can be counted.
fn main_kind(kind: &Kind, tree: &Node) -> Result<(&'static str, bool), Refusal> {
    let silent = kind.written().is_none() && !kind.returns();
    match kind {
        Kind::Insert(_) => Ok(("INSERT 0", silent)),
        Kind::Update(_) => Ok(("UPDATE", silent)),
        Kind::Delete(_) => Ok(("DELETE", silent)),
        Kind::Select(facts) if !facts.into && has_columns(tree) => Ok(("SELECT", false)),
        Kind::Values => Ok(("SELECT", false)),
        _ => Err(Refusal::unsupported(
            "WITH queries that write cannot be captured before this kind of statement; write each as a statement of its own",
        )),
    }
}

/// A result without columns would not be told from none.
fn has_columns(select: &Node) -> bool {
    match select.node("larg") {
        Some(left) => has_columns(left),
        None => select.has("target_list") || select.has("values_lists"),
    }
}

/// What stands behind the statement: its rows, and the images of its parts.
fn outer(walk: &Rewriter<'_>) -> String {
    let written = walk.plan.parts.iter().flat_map(|parts| &parts.written);
    let widths: Vec<usize> = written
        .map(|written| {
            walk.map(written.table).columns.len() + written.old_keys + usize::from(written.below)
        })
        .collect();
    let widest = widths.iter().copied().max().unwrap_or(0);
    // Parts that nobody reads are run as they are read here: the last one first, as the server does it by itself (`ExecPostprocessPlan`).
    let branches: Vec<String> = widths
        .iter()
        .enumerate()
        .rev()
        .map(|(number, &width)| {
            let columns: Vec<String> = (1..=widest)
                .map(|place| {
                    if place <= width {
                        format!("i{place}")
                    } else {
                        format!("NULL::pg_catalog.text AS i{place}")
                    }
                })
                .collect();
            format!(
                "SELECT '{number}'::pg_catalog.text AS crossfade_w, {} FROM crossfade_w{number}",
                columns.join(", ")
            )
        })
        .collect();
    format!(
        ") SELECT crossfade_main.*, crossfade_images.* FROM crossfade_main FULL JOIN ({}) AS crossfade_images ON false",
        branches.join(" UNION ALL ")
    )
}

/// Rewrites a WITH query that writes.
pub(super) fn part<'a>(walk: &mut Rewriter<'a>, part: &'a Part) -> Result<(), Refusal> {
    let captures = walk.captures;
    let own = part.statement.kind.written();
    let returned = match (captures, own) {
        (Some(_), Some(_)) => returned(walk, part)?,
        _ => Vec::new(),
    };
    let outer = (walk.statement, walk.captures.take());
    let kept = (walk.plan.images, walk.plan.old_keys, walk.plan.below);
    let scopes = std::mem::take(&mut walk.scopes);
    walk.statement = &part.statement;
    walk.images_first = true;
    let rewritten = match captures {
        Some(Side::Old) => capture::on_old(walk),
        Some(Side::New) => write_or_read(walk, true),
        None => write_or_read(walk, false),
    };
    (walk.statement, walk.captures) = outer;
    walk.images_first = false;
    walk.scopes = scopes;
    rewritten?;
    let (old_keys, below) = (walk.plan.old_keys, walk.plan.below);
    let width = walk.plan.images + old_keys + usize::from(below);
    (walk.plan.images, walk.plan.old_keys, walk.plan.below) = kept;
    let (Some(_), Some(table)) = (captures, own) else {
        return Ok(());
    };
    let Some(parts) = &mut walk.plan.parts else {
        return Ok(());
    };
    let number = parts.written.len();
    let written = Written {
        below,
        ..Written::by(&part.statement.kind, table, old_keys)
    };
    parts.written.push(written);
    frame(walk, part, number, &returned, width);
    Ok(())
}

/// Gives the part a name of our own, and its own name to what the client asked for.
fn frame(walk: &mut Rewriter<'_>, part: &Part, number: usize, returned: &[String], width: usize) {
    let names: Vec<String> = (1..=width)
        .map(|place| format!("i{place}"))
        .chain((1..=returned.len()).map(|place| format!("c{place}")))
        .collect();
    walk.plan.replace(
        part.head.clone(),
        format!("crossfade_w{number} ({}) AS (", names.join(", ")),
    );
    if returned.is_empty() {
        return;
    }
    let columns: Vec<String> = returned
        .iter()
        .enumerate()
        .map(|(place, name)| format!("c{} AS {}", place + 1, quote_ident(name)))
        .collect();
    walk.plan.replace_with(
        part.close..part.close + 1,
        vec![
            "), ".into(),
            Piece::Tokens(part.head.clone()),
            format!("SELECT {} FROM crossfade_w{number})", columns.join(", ")).into(),
        ],
    );
}

/// The names of the columns that a part returns to the rest of the statement.
fn returned(walk: &Rewriter<'_>, part: &Part) -> Result<Vec<String>, Refusal> {
    let tree = &part.statement.tree;
    if tree.has("returning_clause") {
        return columns::returned(walk, tree).ok_or_else(|| {
            Refusal::unsupported(format!(
                "the columns that WITH query \"{}\" returns cannot be told; name them in its RETURNING",
                part.name
            ))
        });
    }
    if let aliases @ 1.. = part.aliases {
        return Err(Refusal {
            sqlstate: "42P10",
            reason: format!(
                "WITH query \"{}\" has 0 columns available but {aliases} columns specified",
                part.name
            ),
        });
    }
    let mut named = false;
    walk.statement.tree.walk(&mut |node| {
        named |= node.kind == "RangeVar"
            && !node.has("schemaname")
            && node.text("relname") == part.name
            && !is_target(walk, node);
    });
    if named {
        // The server says so, too. Let through, the name could come to mean a table.
        return Err(Refusal::unsupported(format!(
            "WITH query \"{}\" does not have a RETURNING clause",
            part.name
        )));
    }
    Ok(Vec::new())
}

/// Whether a relation is one that the statement or a part of it writes.
fn is_target(walk: &Rewriter<'_>, relation: &Node) -> bool {
    let mut target = false;
    walk.statement.tree.walk(&mut |node| {
        target |= matches!(
            node.kind,
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt"
        ) && node
            .node("relation")
            .is_some_and(|written| written.location() == relation.location());
    });
    target
}

impl<'a> Rewriter<'a> {
    /// The WITH clause on the old store, where only the parts that write change.
    fn note_with(&mut self, tree: &'a Node) -> Result<(), Refusal> {
        let statement = self.statement;
        for cte in tree
            .node("with_clause")
            .into_iter()
            .flat_map(|with| with.nodes("ctes"))
        {
            let columns = columns::of_cte(self, cte);
            let written = statement
                .parts
                .iter()
                .find(|part| part.head.start == cte.location());
            if let Some(written) = written {
                part(self, written)?;
            }
            self.ctes.push((cte.text("ctename").to_owned(), columns));
        }
        Ok(())
    }
}
