//! Questions about the session that are answered without the engine: those by which the proxy carries a session from server to server, and calls of
//! `current_setting` and `set_config` that stand alone.
//!
//! The texts are the proxy's own; a test there and here keeps them alike.

use crossfade_values::{Oid, oid};
use pg_query::NodeEnum;

use crate::{Column, text};

const STATEMENTS: &str = "SELECT name, statement, (parameter_types::oid[])::text FROM pg_catalog.pg_prepared_statements WHERE NOT from_sql";

const SQL_STATEMENTS: &str =
    "SELECT name, statement FROM pg_catalog.pg_prepared_statements WHERE from_sql";

const SETTINGS: &str = "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings \
     WHERE source = 'session' AND name NOT IN ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable') \
     UNION ALL SELECT 'role', pg_catalog.current_setting('role')";

const BOUND: &str = "SELECT 'advisory locks' FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() \
     UNION SELECT 'temporary tables' FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema() AND relkind IN ('r', 'S', 'v') \
     UNION SELECT 'cursors WITH HOLD' FROM pg_catalog.pg_cursors WHERE is_holdable \
     UNION SELECT 'statements of SQL-level PREPARE' FROM pg_catalog.pg_prepared_statements WHERE from_sql";

const CHANNELS: &str =
    "SELECT pg_catalog.quote_ident(c) FROM pg_catalog.pg_listening_channels() AS c";

const NAMES_BEGIN: &str = "SELECT pg_catalog.array_to_string(p, pg_catalog.chr(1)) || pg_catalog.chr(2) || h.list || pg_catalog.chr(2) || pg_catalog.current_setting('client_encoding') \
     || pg_catalog.chr(2) || pg_catalog.current_setting('standard_conforming_strings') FROM \
     (SELECT pg_catalog.current_schemas(true) AS p) AS x, \
     LATERAL (SELECT COALESCE(pg_catalog.string_agg(t.i::pg_catalog.text, pg_catalog.chr(1)), '') AS list \
     FROM (VALUES ";

const NAMES_END: &str = ") AS t(i, s, n) \
     JOIN pg_catalog.pg_class AS c ON c.oid = pg_catalog.to_regclass(pg_catalog.quote_ident(t.n)) \
     JOIN pg_catalog.pg_namespace AS ns ON ns.oid = c.relnamespace \
     WHERE ns.nspname <> t.s::pg_catalog.name) AS h";

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// Statements prepared by the protocol: name, text, types.
    Statements,
    /// Statements of SQL-level PREPARE: name, text.
    SqlStatements,
    /// What the session has set, and these settings.
    Settings(Vec<String>),
    /// What cannot be carried to another server.
    Bound,
    /// Channels that the session listens to.
    Channels,
    /// The search path, and which of these tables (number, schema, name) are hidden by others.
    Names(Vec<(String, String, String)>),
    /// `current_setting(name)`, and whether it may be missing.
    Setting(String, bool),
    /// `set_config(name, value, local)`.
    SetConfig(String, Option<String>, bool),
}

impl Question {
    /// What a statement asks, if it is one of these.
    pub(crate) fn read(sql: &str, node: &NodeEnum) -> Option<Question> {
        let NodeEnum::SelectStmt(_) = node else {
            return None;
        };
        match sql.trim().trim_end_matches(';') {
            STATEMENTS => Some(Question::Statements),
            SQL_STATEMENTS => Some(Question::SqlStatements),
            BOUND => Some(Question::Bound),
            CHANNELS => Some(Question::Channels),
            sql => settings(sql).or_else(|| names(sql)).or_else(|| call(node)),
        }
    }

    /// The columns of the answer.
    pub(crate) fn columns(&self) -> Vec<Column> {
        let texts: &[&str] = match self {
            Question::Statements => &["name", "statement", "parameter_types"],
            Question::SqlStatements => &["name", "statement"],
            Question::Settings(_) => &["name", "current_setting"],
            Question::Bound | Question::Names(_) => &["?column?"],
            Question::Channels => &["quote_ident"],
            Question::Setting(..) => &["current_setting"],
            Question::SetConfig(..) => &["set_config"],
        };
        texts.iter().map(|name| column(name, oid::TEXT)).collect()
    }
}

/// A column that is no table's.
pub(crate) fn column(name: &str, of: Oid) -> Column {
    let base = crossfade_values::Type::of(of);
    Column {
        name: name.to_owned(),
        table: 0,
        number: 0,
        declared: base,
        base,
    }
}

fn settings(sql: &str) -> Option<Question> {
    let mut rest = sql.strip_prefix(SETTINGS)?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (name, after) = text::literal(rest.strip_prefix(" UNION ALL SELECT ")?)?;
        let after = after.strip_prefix(", pg_catalog.current_setting(")?;
        let (_, after) = text::literal(after)?;
        rest = after.strip_prefix(", true)")?;
        names.push(name);
    }
    Some(Question::Settings(names))
}

fn names(sql: &str) -> Option<Question> {
    let mut rest = sql.strip_prefix(NAMES_BEGIN)?.strip_suffix(NAMES_END)?;
    let mut tables = Vec::new();
    loop {
        let (number, after) = rest.strip_prefix('(')?.split_once(", ")?;
        let (schema, after) = text::literal(after)?;
        let (name, after) = text::literal(after.strip_prefix(", ")?)?;
        tables.push((number.to_owned(), schema, name));
        match after.strip_prefix("), ") {
            Some(after) => rest = after,
            None => return (after == ")").then_some(Question::Names(tables)),
        }
    }
}

/// A SELECT of nothing but a call with constants.
fn call(node: &NodeEnum) -> Option<Question> {
    let NodeEnum::SelectStmt(select) = node else {
        return None;
    };
    let [target] = &select.target_list[..] else {
        return None;
    };
    let Some(NodeEnum::ResTarget(target)) = &target.node else {
        return None;
    };
    let Some(NodeEnum::FuncCall(call)) = &target.val.as_ref()?.node else {
        return None;
    };
    let alone = pg_query::protobuf::SelectStmt {
        target_list: select.target_list.clone(),
        limit_option: select.limit_option,
        op: select.op,
        ..Default::default()
    };
    let plain = target.name.is_empty()
        && call.over.is_none()
        && call.agg_filter.is_none()
        && call.agg_order.is_empty()
        && !(call.agg_distinct || call.agg_star || call.func_variadic);
    if **select != alone || !plain {
        return None;
    }
    let (None | Some("pg_catalog"), function) = text::name(&call.funcname)? else {
        return None;
    };
    let args: Vec<&NodeEnum> = call
        .args
        .iter()
        .map(|arg| arg.node.as_ref())
        .collect::<Option<_>>()?;
    match (function, &args[..]) {
        ("current_setting", [name]) => {
            Some(Question::Setting(text::string(name)?.to_owned(), false))
        }
        ("current_setting", [name, missing]) => Some(Question::Setting(
            text::string(name)?.to_owned(),
            text::boolean(missing)?,
        )),
        ("set_config", [name, value, local]) => Some(Question::SetConfig(
            text::string(name)?.to_owned(),
            match value {
                NodeEnum::AConst(constant) if constant.isnull => None,
                value => Some(text::string(value)?.to_owned()),
            },
            text::boolean(local)?,
        )),
        _ => None,
    }
}

/// Which of the tables are hidden, by their numbers: another of the same name stands earlier in the path.
pub(crate) fn hidden<'a>(tables: &'a [(String, String, String)], path: &[String]) -> Vec<&'a str> {
    let place = |schema: &str| path.iter().position(|known| known == schema);
    tables
        .iter()
        .filter(|(_, schema, name)| {
            place(schema).is_some_and(|own| {
                tables.iter().any(|(_, other, also)| {
                    also == name && place(other).is_some_and(|place| place < own)
                })
            })
        })
        .map(|(number, _, _)| &number[..])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> Option<Question> {
        let parsed = crate::parse::parse(sql).unwrap().pop().unwrap();
        Question::read(sql, &parsed.node)
    }

    #[test]
    fn the_texts_are_the_proxys_own() {
        let joined = |source: &str| {
            let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
            lines.join("\n").replace("\\\n", "")
        };
        let asked = joined(include_str!("../../../proxy/src/session/handover.rs"))
            + &joined(include_str!("../../../proxy/src/session/relayed.rs"))
            + &joined(include_str!("../../../proxy/src/session/settings.rs"));
        for text in [STATEMENTS, SQL_STATEMENTS, SETTINGS, BOUND, CHANNELS] {
            assert!(asked.contains(&text.replace('\\', "\\\\")), "{text}");
        }
        let names = joined(include_str!("../../../proxy/src/session/names.rs"));
        assert!(names.contains(&format!("{NAMES_BEGIN}{{}}{NAMES_END}")));
    }

    #[test]
    fn the_proxys_questions_are_read_with_what_they_name() {
        let more =
            format!("{SETTINGS} UNION ALL SELECT 'a.b', pg_catalog.current_setting('a.b', true)");
        assert_eq!(read(&more), Some(Question::Settings(vec!["a.b".into()])));
        let names = format!("{NAMES_BEGIN}(0, 'public', 'a''b'), (1, 'x', 't'){NAMES_END}");
        let Some(Question::Names(tables)) = read(&names) else {
            panic!()
        };
        assert_eq!(tables[0], ("0".into(), "public".into(), "a'b".into()));
        assert_eq!(tables.len(), 2);
    }

    #[test]
    fn calls_with_constants_are_read_and_others_left_to_the_engine() {
        assert_eq!(
            read("SELECT pg_catalog.set_config('role', 'app', false)"),
            Some(Question::SetConfig(
                "role".into(),
                Some("app".into()),
                false
            ))
        );
        assert_eq!(
            read("select current_setting('x.y', true);"),
            Some(Question::Setting("x.y".into(), true))
        );
        for sql in [
            "SELECT set_config('a.b', $1, false)",
            "SELECT current_setting('a.b') FROM t",
            "SELECT current_setting('a.b') AS x",
            "SELECT other.current_setting('a.b')",
            "SELECT current_setting('a.b') UNION SELECT ''",
        ] {
            assert_eq!(read(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_table_is_hidden_by_one_of_its_name_earlier_in_the_path() {
        let table = |n: &str, s: &str| (n.to_owned(), s.to_owned(), "t".to_owned());
        let tables = [table("0", "a"), table("1", "b"), table("2", "c")];
        let path = ["pg_catalog".to_owned(), "b".to_owned(), "a".to_owned()];
        assert_eq!(hidden(&tables, &path), ["0"]);
    }
}
