//! The function that finds the rows which foreign keys are about to change.
//!
//! It is called in the RETURNING of the statement, once a row: the row is deleted or changed by then, so that nobody can come to point to it any more, and the
//! actions have not begun. A function that is VOLATILE sees with each of its queries what has been committed until then, as the actions themselves will.
//!
//! ```sql
//! DELETE FROM orders WHERE … RETURNING ‹image›, pg_temp.crossfade_below_1f2e…(orders.id)
//! ```
//!
//! Rows that it finds are locked, level by level: none can be moved to or fro before the actions come to it. It answers with their keys, as
//! `[table,["key",…]],…`.

use std::{
    fmt::Write as _,
    hash::{Hash as _, Hasher as _},
};

use crossfade_store::{
    Column, TableMap,
    postgres::sql::{equal, key_list, quote_ident, quote_literal, quote_name},
};

use super::{Actions, Edge, Event};

/// A function of the session's own.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its name, with its schema. Another body has another name.
    pub(crate) name: String,
    /// Makes it, unless it is there.
    pub(crate) create: String,
    /// The types of its arguments: what [`Actions::columns`] are of.
    pub(crate) arguments: Vec<String>,
}

impl Actions<'_> {
    /// The function that finds all the rows.
    pub(crate) fn function(&self) -> Function {
        let map = &self.mapping.tables[self.nodes[0].0.0];
        let column = |name: &str| map.on(self.side).column(name);
        let arguments: Vec<String> = self
            .columns()
            .into_iter()
            .filter_map(column)
            .map(|column| column.base_type.clone())
            .collect();
        let body = self.body();
        let mut hasher = std::hash::DefaultHasher::new();
        (&arguments, &body).hash(&mut hasher);
        let name = format!("pg_temp.crossfade_below_{:016x}", hasher.finish());
        // Rows that row-level security hides would be missed: the setting makes them an error.
        let function = format!(
            "CREATE FUNCTION {name}({}) RETURNS pg_catalog.text LANGUAGE plpgsql VOLATILE \
             SET search_path = pg_catalog, pg_temp SET row_security = off AS {}",
            arguments.join(", "),
            quote_literal(&body)
        );
        let block = format!(
            "BEGIN IF pg_catalog.to_regproc('{name}') IS NULL THEN {function}; END IF; END"
        );
        Function {
            create: format!("DO LANGUAGE plpgsql {}", quote_literal(&block)),
            name,
            arguments,
        }
    }

    fn body(&self) -> String {
        let first = self.edges.iter().filter(|edge| edge.from == 0);
        let deeper: Vec<&Edge<'_>> = self
            .edges
            .iter()
            .filter(|edge| self.is_reached(edge.from))
            .collect();
        let mut body = String::from("DECLARE crossfade_keys text[]; crossfade_rows tid[];");
        for node in self.reached() {
            let _ = write!(
                body,
                " crossfade_found{node} text[] := '{{}}'; crossfade_next{node} tid[] := '{{}}'; crossfade_now{node} tid[];"
            );
        }
        body.push_str(" BEGIN ");
        for edge in first {
            body.push_str(&self.look(edge, false));
        }
        if !deeper.is_empty() {
            body.push_str("LOOP ");
            for node in self.reached() {
                let _ = write!(
                    body,
                    "crossfade_now{node} := crossfade_next{node}; crossfade_next{node} := '{{}}'; "
                );
            }
            let parents: Vec<String> = self
                .reached()
                .filter(|node| deeper.iter().any(|edge| edge.from == *node))
                .map(|node| format!("crossfade_now{node} = '{{}}'"))
                .collect();
            let _ = write!(body, "EXIT WHEN {}; ", parents.join(" AND "));
            for edge in deeper {
                body.push_str(&self.look(edge, true));
            }
            body.push_str("END LOOP; ");
        }
        let found: Vec<String> = self
            .reached()
            .map(|node| {
                let table = self.nodes[node].0.0;
                format!(
                    "(SELECT string_agg('[{table},' || k || ']', ',') FROM unnest(crossfade_found{node}) AS k)"
                )
            })
            .collect();
        let _ = write!(
            body,
            "RETURN nullif(concat_ws(',', {}), ''); END",
            found.join(", ")
        );
        body
    }

    /// The nodes whose rows are found: all but the first, and that one, too, where a circle comes back to it.
    fn reached(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|node| self.is_reached(*node))
    }

    fn is_reached(&self, node: usize) -> bool {
        self.edges.iter().any(|edge| edge.to == node)
    }

    /// Finds and locks the children by one foreign key: of the statement's row, or (`deeper`) of rows found before.
    fn look(&self, edge: &Edge<'_>, deeper: bool) -> String {
        let Edge { from, key, to } = edge;
        let parent = &self.mapping.tables[self.nodes[*from].0.0];
        let (child, event) = &self.nodes[*to];
        let child = &self.mapping.tables[child.0];
        let points: Vec<String> = std::iter::zip(&key.columns, &key.parent_columns)
            .map(|(column, points_to)| {
                let value = if deeper {
                    format!("p.{}", quote_ident(points_to))
                } else {
                    format!("${}", self.argument(points_to))
                };
                let at = child.on(self.side).column(column);
                let left = format!("c.{}", quote_ident(column));
                at.map_or_else(
                    || "false".to_owned(),
                    |at: &Column| equal(&left, &value, at),
                )
            })
            .collect();
        let (parents, within) = if deeper {
            (
                format!(", {} AS p", quote_name(&parent.on(self.side).name)),
                format!(" AND p.ctid = ANY (crossfade_now{from})"),
            )
        } else {
            (String::new(), String::new())
        };
        format!(
            "SELECT array_agg(s.k), array_agg(s.r) INTO crossfade_keys, crossfade_rows FROM \
             (SELECT {} AS k, c.ctid AS r FROM {} AS c{parents} WHERE {}{within} FOR {} OF c) AS s \
             WHERE s.k NOT IN (SELECT unnest(crossfade_found{to})); \
             IF crossfade_keys IS NOT NULL THEN crossfade_found{to} := crossfade_found{to} || crossfade_keys; \
             crossfade_next{to} := crossfade_next{to} || crossfade_rows; END IF; ",
            key_text(child, self.side),
            quote_name(&child.on(self.side).name),
            points.join(" AND "),
            self.strength(*to, event),
        )
    }

    /// Whoever is about to point to a row that is deleted, or whose columns that are pointed to change, has to wait.
    fn strength(&self, node: usize, event: &Event) -> &'static str {
        if *event == Event::Gone || self.edges.iter().any(|edge| edge.from == node) {
            "UPDATE"
        } else {
            "NO KEY UPDATE"
        }
    }

    fn argument(&self, column: &str) -> usize {
        let columns = self.columns();
        let place = columns.iter().position(|known| *known == column);
        place.map_or(0, |place| place + 1)
    }
}

fn key_text(table: &TableMap, side: crossfade_phase::Side) -> String {
    format!(
        "json_build_array({})::text",
        key_list(table, side, "c").join(", ")
    )
}
