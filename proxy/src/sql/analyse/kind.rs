//! Which kind of statement a parse tree is.

use pg_query::protobuf as pb;

use super::{Context, collect::Uses, collect::is_definition, dml, merge};
use crate::sql::{
    facts::DiscardTarget,
    facts::{CopyFacts, CursorFetch, Isolation, Kind, SetAction, SetFacts, SetTarget},
    tree::Node,
};

/// Classifies a statement.
pub(super) fn kind(tree: &Node, context: &Context<'_>, uses: &Uses) -> Kind {
    let inner = |field: &str| {
        Box::new(
            tree.node(field)
                .map_or(Kind::Other(""), |inner| kind(inner, context, uses)),
        )
    };
    let name = |field: &str| tree.text(field).to_owned();
    let named_or_all = |field: &str| Some(name(field)).filter(|name| !name.is_empty());
    match tree.kind {
        "SelectStmt" if tree.has("values_lists") => Kind::Values,
        "SelectStmt" => Kind::Select(dml::select(tree, context, uses)),
        "InsertStmt" => Kind::Insert(dml::insert(tree, context, uses)),
        "UpdateStmt" => Kind::Update(dml::update(tree, context, uses)),
        "DeleteStmt" => Kind::Delete(dml::delete(tree, context, uses)),
        "MergeStmt" => Kind::Merge(merge::merge(tree, context, uses)),
        "CopyStmt" => Kind::Copy(copy(tree)),
        "TruncateStmt" => Kind::Truncate {
            restart: tree.flag("restart_seqs"),
            cascade: tree.int("behavior") == i64::from(pb::DropBehavior::DropCascade as i32),
            tables: tree
                .nodes("relations")
                .filter_map(|relation| {
                    let table = uses.relations.get(&relation.location())?;
                    Some((*table, !relation.flag("inh")))
                })
                .collect(),
        },
        "LockStmt" => Kind::Lock,
        "TransactionStmt" => transaction(tree),
        "VariableSetStmt" => set(tree),
        "VariableShowStmt" => Kind::Show(name("name")),
        "DiscardStmt" => discard(tree),
        "PrepareStmt" => Kind::Prepare {
            name: name("name"),
            inner: inner("query"),
        },
        "ExecuteStmt" => Kind::Execute(name("name")),
        "DeallocateStmt" => Kind::Deallocate(named_or_all("name")),
        // CURSOR_OPT_HOLD of `parsenodes.h`.
        "DeclareCursorStmt" => Kind::Declare {
            name: name("portalname"),
            hold: tree.int("options") & 0x20 != 0,
            inner: inner("query"),
        },
        "FetchStmt" => Kind::Fetch(CursorFetch {
            name: name("portalname"),
            moves: tree.flag("ismove"),
        }),
        "ClosePortalStmt" => Kind::Close(named_or_all("portalname")),
        "ListenStmt" => Kind::Listen(name("conditionname")),
        "UnlistenStmt" => Kind::Unlisten(named_or_all("conditionname")),
        "NotifyStmt" => Kind::Notify(name("conditionname")),
        "ExplainStmt" => Kind::Explain {
            analyze: option_is_on(tree, "analyze"),
            inner: inner("query"),
        },
        "CreateTableAsStmt" => Kind::CreateAs,
        "DoStmt" => Kind::Do {
            names_mapped: tree.nodes("args").any(|arg| {
                arg.node("arg")
                    .is_some_and(|body| context.names.body_names_mapped(body.text("sval")))
            }),
        },
        "CallStmt" => Kind::Call(
            tree.node("funccall")
                .and_then(|call| call.names("funcname").last().map(|&name| name.to_owned()))
                .unwrap_or_default(),
        ),
        "ConstraintsSetStmt" => Kind::Constraints {
            deferred: tree.flag("deferred"),
        },
        "VacuumStmt" | "ClusterStmt" | "ReindexStmt" | "RefreshMatViewStmt" | "CheckPointStmt" => {
            Kind::Maintenance
        }
        other if is_definition(other) => Kind::Ddl(other),
        other => Kind::Other(other),
    }
}

fn transaction(tree: &Node) -> Kind {
    use pb::TransactionStmtKind as T;
    let savepoint = || tree.text("savepoint_name").to_owned();
    let gid = || tree.text("gid").to_owned();
    let chain = tree.flag("chain");
    let which = i32::try_from(tree.int("kind"))
        .ok()
        .and_then(|kind| T::try_from(kind).ok())
        .unwrap_or(T::Undefined);
    match which {
        T::TransStmtBegin | T::TransStmtStart => {
            let (isolation, read_only) = modes(tree, "options");
            Kind::Begin {
                isolation,
                read_only,
            }
        }
        T::TransStmtCommit => Kind::Commit { chain },
        T::TransStmtRollback => Kind::Rollback { chain },
        T::TransStmtSavepoint => Kind::Savepoint(savepoint()),
        T::TransStmtRelease => Kind::Release(savepoint()),
        T::TransStmtRollbackTo => Kind::RollbackTo(savepoint()),
        T::TransStmtPrepare => Kind::PrepareTransaction(gid()),
        T::TransStmtCommitPrepared => Kind::CommitPrepared(gid()),
        T::TransStmtRollbackPrepared => Kind::RollbackPrepared(gid()),
        T::Undefined => Kind::Other("TransactionStmt"),
    }
}

/// Transaction modes, given as options.
fn modes(tree: &Node, field: &str) -> (Option<Isolation>, Option<bool>) {
    let mut modes = (None, None);
    for option in tree.nodes(field) {
        let value = option.node("arg").map(constant).unwrap_or_default();
        match option.text("defname") {
            "transaction_isolation" => modes.0 = Isolation::from_words(&value),
            "transaction_read_only" => modes.1 = Some(value == "1"),
            _ => {}
        }
    }
    modes
}

/// A constant of a setting as text.
fn constant(node: &Node) -> String {
    match node.kind {
        "AConst" => node.node("val").map(constant).unwrap_or_default(),
        "Integer" => node.int("ival").to_string(),
        "Float" => node.text("fval").to_owned(),
        "Boolean" => if node.flag("boolval") {
            "true"
        } else {
            "false"
        }
        .to_owned(),
        "String" => node.text("sval").to_owned(),
        "BitString" => node.text("bsval").to_owned(),
        "TypeCast" => node.node("arg").map(constant).unwrap_or_default(),
        _ => String::new(),
    }
}

fn set(tree: &Node) -> Kind {
    use pb::VariableSetKind as V;
    let which = i32::try_from(tree.int("kind"))
        .ok()
        .and_then(|kind| V::try_from(kind).ok())
        .unwrap_or(V::Undefined);
    let name = tree.text("name").to_ascii_lowercase();
    let (name, action) = match which {
        V::VarSetMulti => {
            let (isolation, read_only) = modes(tree, "args");
            return Kind::SetTransaction {
                isolation,
                read_only,
                session: name == "session characteristics",
                snapshot: name == "transaction snapshot",
            };
        }
        V::VarSetValue => (
            name,
            SetAction::To(tree.nodes("args").map(constant).collect()),
        ),
        V::VarSetCurrent => (name, SetAction::FromCurrent),
        V::VarResetAll => ("all".to_owned(), SetAction::Reset),
        V::VarSetDefault | V::VarReset | V::Undefined => (name, SetAction::Reset),
    };
    Kind::Set(SetFacts {
        target: SetTarget::of(&name),
        name,
        action,
        local: tree.flag("is_local"),
    })
}

fn discard(tree: &Node) -> Kind {
    use pb::DiscardMode as D;
    let target = match i32::try_from(tree.int("target"))
        .ok()
        .and_then(|mode| D::try_from(mode).ok())
    {
        Some(D::DiscardPlans) => DiscardTarget::Plans,
        Some(D::DiscardSequences) => DiscardTarget::Sequences,
        Some(D::DiscardTemp) => DiscardTarget::Temp,
        Some(D::DiscardAll | D::Undefined) | None => DiscardTarget::All,
    };
    Kind::Discard(target)
}

fn copy(tree: &Node) -> CopyFacts {
    let format = tree
        .nodes("options")
        .find(|option| option.text("defname") == "format");
    CopyFacts {
        from: tree.flag("is_from"),
        streamed: !tree.has("filename") && !tree.flag("is_program"),
        query: tree.has("query"),
        columns: tree
            .names("attlist")
            .into_iter()
            .map(str::to_owned)
            .collect(),
        format: format.and_then(|option| option.node("arg")).map_or_else(
            || "text".to_owned(),
            |value| constant(value).to_ascii_lowercase(),
        ),
        filtered: tree.has("where_clause"),
        defaults: tree
            .nodes("options")
            .any(|option| option.text("defname") == "default"),
    }
}

fn option_is_on(tree: &Node, name: &str) -> bool {
    tree.nodes("options")
        .find(|option| option.text("defname") == name)
        .is_some_and(|option| {
            option.node("arg").is_none_or(|value| {
                !matches!(
                    constant(value).to_ascii_lowercase().as_str(),
                    "false" | "off" | "0"
                )
            })
        })
}
