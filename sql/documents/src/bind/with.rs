//! WITH.

use crossfade_values::{Error, Result};
use pg_query::{
    Node, NodeEnum,
    protobuf::{SelectStmt, WithClause},
};

use super::{Binder, Cte, Output, boxed, inner, names, place};
use crate::plan::Query;

impl Binder<'_> {
    pub(super) fn with(&mut self, with: &WithClause) -> Result<()> {
        if with.recursive {
            return Err(Error::unsupported("WITH RECURSIVE").at(place(with.location)));
        }
        for (index, cte) in with.ctes.iter().enumerate() {
            let NodeEnum::CommonTableExpr(cte) = inner(cte)? else {
                return Err(Error::unsupported("this form of WITH"));
            };
            let NodeEnum::SelectStmt(select) = boxed(&cte.ctequery)? else {
                return Err(
                    Error::unsupported("a statement that writes in WITH").at(place(cte.location))
                );
            };
            let at = place(cte.location);
            let known = with.ctes[..index]
                .iter()
                .any(|other| cte_name(other) == Some(&cte.ctename));
            if known {
                let told = format!(
                    "WITH query name \"{}\" specified more than once",
                    cte.ctename
                );
                return Err(Error::new("42712", told).at(at));
            }
            let (query, mut outputs) = self.cte(select).map_err(|error| {
                let later = with.ctes[index..].iter().filter_map(cte_name);
                forward(error, later)
            })?;
            let renamed = names(&cte.aliascolnames);
            if renamed.len() > outputs.len() {
                let told = format!(
                    "WITH query \"{}\" has {} columns available but {} columns specified",
                    cte.ctename,
                    outputs.len(),
                    renamed.len()
                );
                return Err(Error::new("42P10", told).at(at));
            }
            for (output, name) in outputs.iter_mut().zip(renamed) {
                output.name = name.to_owned();
            }
            let id = self.next_id();
            self.ctes.push(Cte {
                id,
                name: cte.ctename.clone(),
                query,
                outputs,
            });
        }
        Ok(())
    }

    /// It is run once, so it sees no row around it.
    fn cte(&mut self, select: &SelectStmt) -> Result<(Query, Vec<Output>)> {
        let scopes = std::mem::take(&mut self.scopes);
        let understood = self.query(select);
        self.scopes = scopes;
        if understood.is_err() && self.query(select).is_ok() {
            return Err(Error::unsupported(
                "a WITH query that looks at rows around it",
            ));
        }
        understood
    }
}

fn cte_name(node: &Node) -> Option<&String> {
    match node.node.as_ref() {
        Some(NodeEnum::CommonTableExpr(cte)) => Some(&cte.ctename),
        _ => None,
    }
}

/// A relation that is not there, where a later WITH query has its name.
fn forward<'n>(error: Error, mut later: impl Iterator<Item = &'n String>) -> Error {
    let of = |name: &String| format!("relation \"{name}\" does not exist") == error.message;
    match later.find(|name| of(name)) {
        Some(name) => error
            .clone()
            .detail(format!(
                "There is a WITH item named \"{name}\", but it cannot be referenced from this part of the query."
            ))
            .hint("Use WITH RECURSIVE, or re-order the WITH items to remove forward references."),
        None => error,
    }
}
