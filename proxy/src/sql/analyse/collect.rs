//! One walk over a statement: the relations it names, the functions it calls, what binds it to one store.

use std::collections::BTreeMap;

use crossfade_store::TableId;
use pg_query::protobuf::ObjectType;

use super::{Context, resolve::Found};
use crate::sql::{
    facts::{AliasKind, AliasUse, Role, TableUse, Traits},
    tree::Node,
};

const SEQUENCE_FUNCTIONS: [&str; 4] = ["nextval", "currval", "lastval", "setval"];

/// What DROP and COMMENT may name that is where tables are. Indexes and sequences may be of mapped ones.
const RELATIONS: [ObjectType; 5] = [
    ObjectType::ObjectTable,
    ObjectType::ObjectColumn,
    ObjectType::ObjectView,
    ObjectType::ObjectMatview,
    ObjectType::ObjectForeignTable,
];

/// Prefixes of the advisory lock functions.
const LOCK_FUNCTIONS: [&str; 2] = ["pg_advisory_", "pg_try_advisory_"];

/// Functions whose value differs from one moment, session or call to the next.
const UNSTABLE_FUNCTIONS: [&str; 30] = [
    "now",
    "random",
    "random_normal",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "timeofday",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
    "gen_random_bytes",
    "gen_salt",
    "txid_current",
    "txid_current_snapshot",
    "pg_current_xact_id",
    "pg_current_snapshot",
    "pg_backend_pid",
    "pg_current_wal_lsn",
    "inet_client_addr",
    "inet_client_port",
    "inet_server_addr",
    "inet_server_port",
    "version",
    "pg_postmaster_start_time",
    "age",
    "pg_sleep",
    "setseed",
];

/// Statements that write rows of a table.
pub(super) const WRITES: [&str; 4] = ["InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"];

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Uses {
    pub(super) mapped: Vec<TableUse>,
    pub(super) aliases: Vec<AliasUse>,
    pub(super) other_tables: bool,
    pub(super) catalog_tables: bool,
    pub(super) functions: Vec<String>,
    pub(super) traits: Traits,
    pub(super) params: u16,
    pub(super) relations: BTreeMap<usize, TableId>,
}

struct Walk<'c, 'a> {
    context: &'c Context<'a>,
    ctes: Vec<String>,
    uses: Uses,
}

/// Walks the whole statement.
pub(super) fn collect(tree: &Node, context: &Context<'_>) -> Uses {
    let mut walk = Walk {
        context,
        ctes: Vec::new(),
        uses: Uses::default(),
    };
    walk.visit(tree, Role::Read);
    walk.uses
}

impl Walk<'_, '_> {
    /// `role` is that of relations named right here rather than within a query.
    fn visit(&mut self, node: &Node, role: Role) {
        match node.kind {
            "SelectStmt" | "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => {
                self.query(node)
            }
            "RangeVar" => {
                let is_cte = node.text("schemaname").is_empty()
                    && self.ctes.iter().any(|cte| cte == node.text("relname"));
                if !is_cte {
                    self.relation(
                        node.text("schemaname"),
                        node.text("relname"),
                        role,
                        Some(node.location()),
                    );
                }
                self.uses.traits.temporary |= node.text("relpersistence") == "t";
            }
            // Names aliases, not tables.
            "LockingClause" => self.uses.traits.locking = true,
            "CopyStmt" => self.children(
                node,
                if node.flag("is_from") {
                    Role::Write
                } else {
                    Role::Read
                },
            ),
            "LockStmt" | "Constraint" | "ExplainStmt" | "VacuumStmt" | "ClusterStmt"
            | "RefreshMatViewStmt" | "PrepareStmt" | "DeclareCursorStmt" => {
                self.children(node, Role::Read)
            }
            "TruncateStmt" | "IntoClause" => self.children(node, Role::Write),
            "DropStmt" | "CommentStmt" | "SecLabelStmt" => {
                self.listed_names(node);
                self.children(node, Role::Write);
            }
            kind if role == Role::Read && is_definition(kind) => self.children(node, Role::Write),
            _ => {
                self.note(node);
                self.children(node, role);
            }
        }
    }

    fn children(&mut self, node: &Node, role: Role) {
        node.each_child(&mut |child| self.visit(child, role));
    }

    fn query(&mut self, node: &Node) {
        let outer = self.ctes.len();
        if let Some(with) = node.node("with_clause") {
            if with.flag("recursive") {
                self.ctes
                    .extend(with.nodes("ctes").map(|cte| cte.text("ctename").to_owned()));
            }
            for cte in with.nodes("ctes") {
                self.uses.traits.modifying_cte |= cte
                    .node("ctequery")
                    .is_some_and(|query| WRITES.contains(&query.kind));
                self.children(cte, Role::Read);
                self.ctes.push(cte.text("ctename").to_owned());
            }
        }
        for (name, value) in node.fields() {
            match name {
                "with_clause" => {}
                // The table that is written is never a CTE.
                "relation" if WRITES.contains(&node.kind) => value.each_node(&mut |target| {
                    self.relation(
                        target.text("schemaname"),
                        target.text("relname"),
                        Role::Write,
                        Some(target.location()),
                    );
                }),
                _ => value.each_node(&mut |child| self.visit(child, Role::Read)),
            }
        }
        self.ctes.truncate(outer);
    }

    fn relation(&mut self, schema: &str, name: &str, role: Role, token: Option<usize>) {
        match self.context.names.relation(schema, name) {
            Found::Mapped(table) => {
                let found = TableUse { table, role };
                if !self.uses.mapped.contains(&found) {
                    self.uses.mapped.push(found);
                }
                if let Some(token) = token {
                    self.uses.relations.insert(token, table);
                }
            }
            Found::Alias(kind, tables) => self.alias(name, kind, role, tables),
            Found::Catalog => self.uses.catalog_tables = true,
            Found::Other => self.uses.other_tables = true,
        }
    }

    fn alias(&mut self, name: &str, kind: AliasKind, role: Role, tables: &[TableId]) {
        let found = AliasUse {
            name: name.to_owned(),
            kind,
            role,
            tables: tables.to_vec(),
        };
        if !self.uses.aliases.contains(&found) {
            self.uses.aliases.push(found);
        }
    }

    /// DROP and COMMENT name relations as bare lists, with a column's name perhaps behind.
    fn listed_names(&mut self, node: &Node) {
        let mut lists: Vec<Vec<&str>> = node
            .nodes("objects")
            .map(|object| object.names("items"))
            .collect();
        lists.extend(node.node("object").map(|object| object.names("items")));
        let of_relations = [node.int("remove_type"), node.int("objtype")]
            .iter()
            .any(|kind| {
                RELATIONS
                    .iter()
                    .any(|known| i64::from(*known as i32) == *kind)
            });
        let mut all_mapped = true;
        for names in lists {
            let candidates: Vec<(&str, &str)> = match names[..] {
                [name] => vec![("", name)],
                [first, second] => vec![(first, second), ("", first)],
                [first, second, _] => vec![(first, second)],
                _ => vec![],
            };
            let mut mapped = false;
            for (schema, name) in candidates {
                if !matches!(
                    self.context.names.relation(schema, name),
                    Found::Other | Found::Catalog
                ) {
                    self.relation(schema, name, Role::Write, None);
                    mapped = true;
                }
            }
            all_mapped &= mapped;
        }
        self.uses.other_tables |= of_relations && !all_mapped;
    }

    fn note(&mut self, node: &Node) {
        let traits = &mut self.uses.traits;
        match node.kind {
            "FuncCall" => {
                if let Some(name) = node.names("funcname").last() {
                    self.function(name);
                }
            }
            // CURRENT_TIMESTAMP and its kin.
            "SQLValueFunction" | "SqlValueFunction" => traits.unstable = true,
            "SubLink" => traits.sublink = true,
            "ParamRef" => {
                self.uses.params = self
                    .uses
                    .params
                    .max(u16::try_from(node.int("number")).unwrap_or(u16::MAX))
            }
            _ => {}
        }
    }

    fn function(&mut self, name: &str) {
        let traits = &mut self.uses.traits;
        traits.sequences |= SEQUENCE_FUNCTIONS.contains(&name);
        traits.advisory |= LOCK_FUNCTIONS.iter().any(|prefix| name.starts_with(prefix));
        traits.set_config |= name == "set_config";
        traits.unstable |= UNSTABLE_FUNCTIONS.contains(&name) || SEQUENCE_FUNCTIONS.contains(&name);
        if !self.uses.functions.iter().any(|known| known == name) {
            self.uses.functions.push(name.to_owned());
        }
        if let Some(tables) = self.context.names.writing_function(name) {
            self.alias(name, AliasKind::WritingFunction, Role::Write, tables);
        }
    }
}

/// Whether a kind of statement changes definitions: the relations it names are written.
pub(super) fn is_definition(kind: &str) -> bool {
    const OTHERS: [&str; 12] = [
        "IndexStmt",
        "RenameStmt",
        "RuleStmt",
        "ViewStmt",
        "GrantStmt",
        "GrantRoleStmt",
        "DefineStmt",
        "CommentStmt",
        "SecLabelStmt",
        "ReassignOwnedStmt",
        "ImportForeignSchemaStmt",
        "CompositeTypeStmt",
    ];
    kind.ends_with("Stmt")
        && ["Create", "Alter", "Drop"]
            .iter()
            .any(|verb| kind.starts_with(verb))
        && kind != "CreateTableAsStmt"
        || OTHERS.contains(&kind)
}
