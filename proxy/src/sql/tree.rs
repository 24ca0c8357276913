//! The parse tree as plain nodes: what the grammar found, under the names of its own structures.
//!
//! A walk over plain nodes visits every child of every kind of node, also of kinds that nobody thought of: a table named in
//! an unusual place is never missed.

mod build;

use super::normal::Normal;

pub(super) use build::tree;

/// A value within the tree. What is absent, empty, zero or false is not there at all.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing.
    Nothing,
    /// A number, an enum's number, or `true`.
    Int(i64),
    /// Text.
    Text(Box<str>),
    /// A list.
    List(Vec<Value>),
    /// A node.
    Node(Node),
}

/// One structure of the grammar, such as `SelectStmt`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Name of the structure.
    pub(super) kind: &'static str,
    fields: Vec<(&'static str, Value)>,
}

static NOTHING: Value = Value::Nothing;

impl Value {
    pub(super) fn as_node(&self) -> Option<&Node> {
        match self {
            Value::Node(node) => Some(node),
            Value::Nothing | Value::Int(_) | Value::Text(_) | Value::List(_) => None,
        }
    }

    pub(super) fn items(&self) -> &[Value] {
        match self {
            Value::List(items) => items,
            Value::Nothing | Value::Int(_) | Value::Text(_) | Value::Node(_) => &[],
        }
    }

    /// Every node right below this value.
    pub(super) fn each_node<'a>(&'a self, visit: &mut dyn FnMut(&'a Node)) {
        match self {
            Value::Node(node) => visit(node),
            Value::List(items) => items.iter().for_each(|item| item.each_node(visit)),
            Value::Nothing | Value::Int(_) | Value::Text(_) => {}
        }
    }
}

impl Node {
    pub(super) fn get(&self, field: &str) -> &Value {
        self.fields
            .iter()
            .find(|(name, _)| *name == field)
            .map_or(&NOTHING, |(_, value)| value)
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.iter().any(|(name, _)| *name == field)
    }

    pub(super) fn node(&self, field: &str) -> Option<&Node> {
        self.get(field).as_node()
    }

    pub(super) fn list(&self, field: &str) -> &[Value] {
        self.get(field).items()
    }

    /// The nodes of a list.
    pub(super) fn nodes(&self, field: &str) -> impl Iterator<Item = &Node> {
        self.list(field).iter().filter_map(Value::as_node)
    }

    pub(super) fn text(&self, field: &str) -> &str {
        match self.get(field) {
            Value::Text(text) => text,
            Value::Nothing | Value::Int(_) | Value::List(_) | Value::Node(_) => "",
        }
    }

    pub(super) fn int(&self, field: &str) -> i64 {
        match self.get(field) {
            Value::Int(number) => *number,
            Value::Nothing | Value::Text(_) | Value::List(_) | Value::Node(_) => 0,
        }
    }

    pub(super) fn flag(&self, field: &str) -> bool {
        self.int(field) != 0
    }

    /// The token at which the grammar places the node; for an operator, the operator's.
    pub(super) fn location(&self) -> usize {
        usize::try_from(self.int("location")).unwrap_or(0)
    }

    /// Turns positions in the parsed text into token indexes. `starts` holds each token's first byte.
    pub(super) fn place(&mut self, starts: &[usize]) {
        for (name, value) in &mut self.fields {
            match value {
                Value::Int(byte) if name.ends_with("location") => {
                    // Minus one means that the grammar does not know.
                    if let Ok(at) = usize::try_from(*byte) {
                        *byte = i64::try_from(Normal::token_at(starts, at)).unwrap_or(-1);
                    }
                }
                Value::Node(node) => node.place(starts),
                Value::List(items) => items.iter_mut().for_each(|item| place_item(item, starts)),
                Value::Nothing | Value::Int(_) | Value::Text(_) => {}
            }
        }
    }

    /// Every node right below this one.
    pub(super) fn each_child<'a>(&'a self, visit: &mut dyn FnMut(&'a Node)) {
        for (_, value) in &self.fields {
            value.each_node(visit);
        }
    }

    /// The fields with their names.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.fields.iter().map(|(name, value)| (*name, value))
    }

    /// This node and everything below it, parents first.
    pub(super) fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Node)) {
        visit(self);
        self.each_child(&mut |child| child.walk(visit));
    }

    /// Whether any node at or below this one is of a kind.
    pub(super) fn contains(&self, kinds: &[&str]) -> bool {
        let mut found = false;
        self.walk(&mut |node| found |= kinds.contains(&node.kind));
        found
    }

    /// The names in a list of `String` nodes (`funcname`, `fields`, `names`); a star is `*`.
    pub(super) fn names(&self, field: &str) -> Vec<&str> {
        self.nodes(field)
            .filter_map(|part| match part.kind {
                "String" => Some(part.text("sval")),
                "AStar" => Some("*"),
                _ => None,
            })
            .collect()
    }
}

fn place_item(value: &mut Value, starts: &[usize]) {
    match value {
        Value::Node(node) => node.place(starts),
        Value::List(items) => items.iter_mut().for_each(|item| place_item(item, starts)),
        Value::Nothing | Value::Int(_) | Value::Text(_) => {}
    }
}
