//! Relations that are read.

use crossfade_store::postgres::sql::{quote_ident, quote_name};

use super::Rewriter;
use crate::sql::{
    rewrite::{
        Places, Refusal, columns,
        scope::{Relation, What},
        shape::{self, Shape},
        splice::Piece,
    },
    tree::{Node, Value},
};

impl<'a> Rewriter<'a> {
    /// The relations of a FROM list under the names by which columns are qualified.
    pub(in crate::sql::rewrite) fn relations_of(&self, from: &[Value]) -> Vec<Relation> {
        let mut relations = Vec::new();
        for item in from.iter().filter_map(Value::as_node) {
            self.add_relations(item, &mut relations);
        }
        relations
    }

    fn add_relations(&self, item: &Node, relations: &mut Vec<Relation>) {
        let alias = item
            .node("alias")
            .map(|alias| alias.text("aliasname").to_owned());
        match item.kind {
            "JoinExpr" => {
                for side in ["larg", "rarg"] {
                    item.get(side)
                        .as_node()
                        .iter()
                        .for_each(|node| self.add_relations(node, relations));
                }
                relations.extend(alias.map(|name| Relation {
                    name,
                    what: What::Opaque,
                }));
            }
            "RangeTableSample" => item
                .get("relation")
                .as_node()
                .iter()
                .for_each(|node| self.add_relations(node, relations)),
            _ => relations.push(columns::relation(self, item)),
        }
    }

    /// The columns of a CTE: `None` where there is none of this name, or where they cannot be told.
    pub(in crate::sql::rewrite) fn cte(&self, name: &str) -> Option<&Vec<String>> {
        self.ctes
            .iter()
            .rfind(|(cte, _)| cte == name)
            .and_then(|(_, columns)| columns.as_ref())
    }

    pub(super) fn relation(&mut self, node: &'a Node) -> Result<(), Refusal> {
        let at = node.location();
        let Some(&table) = self.statement.relations.get(&at) else {
            return Ok(());
        };
        let map = self.map(table);
        let mut range = Rewriter::name_tokens(node);
        let alias = if node.has("alias") {
            String::new()
        } else {
            format!(" AS {}", quote_ident(&map.old.name.name))
        };
        let shape = shape::shape(map);
        // `TABLE orders` takes neither an alias nor a sub-select.
        if shape != Shape::Same && at > 0 && self.script.is(at - 1, "table") {
            self.plan.replace(at - 1..at, "SELECT * FROM");
        }
        match shape {
            Shape::Same => {}
            Shape::Renamed => self
                .plan
                .replace(range, format!("{}{alias}", quote_name(&map.new.name))),
            Shape::Recast if !node.flag("inh") => {
                return Err(Refusal::unsupported(format!(
                    "ONLY {} cannot be sent to the new store, whose table differs",
                    map.old.name
                )));
            }
            Shape::Recast => {
                if self.script.word(range.end) == "*" {
                    range.end += 1;
                }
                let named = crate::sql::analyse::qualifier(node);
                let is_placed =
                    |places: &Places| places.table == table && places.qualifier == named;
                let placed = self.places.as_ref().is_some_and(is_placed);
                let mut pieces = vec![Piece::Text(shape::as_old_table(map, placed))];
                pieces.append(&mut self.hint);
                pieces.push(format!("){alias}").into());
                self.plan.replace_with(range, pieces);
            }
        }
        Ok(())
    }

    pub(super) fn sample(&mut self, node: &'a Node) -> Result<(), Refusal> {
        let table = node
            .node("relation")
            .and_then(|relation| self.statement.relations.get(&relation.location()));
        if table.is_some_and(|&table| shape::shape(self.map(table)) == Shape::Recast) {
            return Err(Refusal::unsupported(
                "TABLESAMPLE cannot be sent to the new store, whose table differs",
            ));
        }
        self.children(node)
    }
}
