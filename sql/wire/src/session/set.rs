//! SET, RESET and their kind.

use crossfade_values::{Error, Result};
use pg_query::{
    NodeEnum,
    protobuf::{Node, VariableSetKind, VariableSetStmt},
};

use super::{
    Serving,
    transaction::{Wanted, isolation},
};
use crate::{report::Report, settings, text};

/// What a SET asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A setting, `None` for its default.
    To(String, Option<String>, bool),
    /// A setting to the value that it has.
    ToCurrent(String, bool),
    /// SET TRANSACTION.
    Transaction(Wanted),
    /// SET SESSION CHARACTERISTICS.
    Defaults(Wanted),
    /// RESET ALL.
    ResetAll,
}

/// Reads a SET, with its command tag.
pub(super) fn read(statement: &VariableSetStmt) -> Result<(Change, &'static str)> {
    let name = statement.name.clone();
    let local = statement.is_local;
    let change = match statement.kind() {
        VariableSetKind::VarSetValue => Change::To(
            name,
            Some(value_of(&statement.name, &statement.args)?),
            local,
        ),
        VariableSetKind::VarSetDefault => Change::To(name, None, local),
        VariableSetKind::VarSetCurrent => Change::ToCurrent(name, local),
        VariableSetKind::VarReset => return Ok((Change::To(name, None, local), "RESET")),
        VariableSetKind::VarResetAll => return Ok((Change::ResetAll, "RESET")),
        VariableSetKind::VarSetMulti => match &name[..] {
            "TRANSACTION" => Change::Transaction(wanted(&statement.args)?),
            "SESSION CHARACTERISTICS" => Change::Defaults(wanted(&statement.args)?),
            _ => return Err(Error::unsupported("SET TRANSACTION SNAPSHOT")),
        },
        VariableSetKind::Undefined => return Err(Error::unsupported("this SET")),
    };
    Ok((change, "SET"))
}

fn value_of(name: &str, args: &[Node]) -> Result<String> {
    let words: Vec<String> = args
        .iter()
        .map(|arg| {
            arg.node
                .as_ref()
                .and_then(text::constant)
                .ok_or_else(|| Error::unsupported(format!("this value of {name}")))
        })
        .collect::<Result<_>>()?;
    if settings::is_list(name) {
        return Ok(settings::list_of(&words));
    }
    match &words[..] {
        [] => Ok(String::new()),
        [only] => Ok(only.clone()),
        many if name.eq_ignore_ascii_case("datestyle") => Ok(many.join(", ")),
        _many => Err(Error::new(
            "22023",
            format!("SET {name} takes only one argument"),
        )),
    }
}

/// The modes of a BEGIN or SET TRANSACTION.
pub(super) fn wanted(options: &[Node]) -> Result<Wanted> {
    let mut wanted = Wanted::default();
    for option in options {
        let Some(NodeEnum::DefElem(option)) = &option.node else {
            continue;
        };
        let value = option.arg.as_ref().and_then(|arg| arg.node.as_ref());
        let on = || value.and_then(text::boolean);
        match &option.defname[..] {
            "transaction_isolation" => {
                wanted.isolation = value.and_then(text::constant).map(|name| isolation(&name));
            }
            "transaction_read_only" => wanted.read_only = on(),
            "transaction_deferrable" => wanted.deferrable = on(),
            other => return Err(Error::unsupported(format!("transaction mode {other}"))),
        }
    }
    Ok(wanted)
}

impl Serving {
    pub(super) fn apply(&mut self, change: Change) -> Result<()> {
        match change {
            Change::To(name, value, local) => {
                if local && !self.session.transaction.is_block() {
                    self.warn_no_block("SET LOCAL");
                }
                self.set(&name, value.as_deref(), local).map(drop)
            }
            Change::ToCurrent(name, local) => {
                let value = self.show(&name)?;
                self.set(&name, Some(&value), local).map(drop)
            }
            Change::Transaction(wanted) => {
                if !self.session.transaction.is_block() {
                    self.warn_no_block("SET TRANSACTION");
                }
                self.session.set_mode(wanted)
            }
            Change::Defaults(wanted) => self.set_defaults(wanted),
            Change::ResetAll => {
                self.session.state.settings.reset_all();
                self.session.state.follow();
                Ok(())
            }
        }
    }

    pub(super) fn warn_no_block(&mut self, what: &str) {
        let told = settings::only_in_block(what).message;
        self.warn(&Report::warning("25P01", told));
    }

    fn set_defaults(&mut self, wanted: Wanted) -> Result<()> {
        let on = |on: bool| if on { "on" } else { "off" };
        let level = wanted.isolation.map(|level| match level {
            crate::Isolation::ReadUncommitted => "read uncommitted",
            crate::Isolation::ReadCommitted => "read committed",
            crate::Isolation::RepeatableRead => "repeatable read",
            crate::Isolation::Serializable => "serializable",
        });
        for (name, value) in [
            ("default_transaction_isolation", level),
            ("default_transaction_read_only", wanted.read_only.map(on)),
            ("default_transaction_deferrable", wanted.deferrable.map(on)),
        ] {
            if value.is_some() {
                self.set(name, value, false)?;
            }
        }
        Ok(())
    }

    /// Sets a setting and gives its value as SHOW gives it.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<String> {
        let state = &mut self.session.state;
        match &name.to_ascii_lowercase()[..] {
            "transaction_isolation" | "transaction_read_only" | "transaction_deferrable" => {
                return self.set_transaction(name, value);
            }
            "session_authorization" => {
                let own = state
                    .settings
                    .get("session_authorization")
                    .unwrap_or_default();
                let allowed = value.is_none_or(|value| value == own) || self.session.trusted;
                if !allowed {
                    return Err(Error::new(
                        "42501",
                        "permission denied to set session authorization",
                    ));
                }
            }
            _ => {}
        }
        let value = state.settings.set(name, value, local)?;
        state.follow();
        Ok(value)
    }

    fn set_transaction(&mut self, name: &str, value: Option<&str>) -> Result<String> {
        let name = name.to_ascii_lowercase();
        let default = format!("default_{name}");
        let value = match value {
            Some(value) => value,
            None => self.session.state.settings.show(&default)?,
        };
        let known = &settings::KNOWN[&name[..]];
        let shown = known.read(&name, value)?;
        let mut wanted = Wanted::default();
        match &name[..] {
            "transaction_isolation" => wanted.isolation = Some(isolation(&shown)),
            "transaction_read_only" => wanted.read_only = Some(shown == "on"),
            _ => wanted.deferrable = Some(shown == "on"),
        }
        self.session.set_mode(wanted)?;
        Ok(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(sql: &str) -> Change {
        let node = crate::parse::parse(sql).unwrap().pop().unwrap().node;
        let NodeEnum::VariableSetStmt(statement) = node else {
            panic!("{sql}")
        };
        read(&statement).unwrap().0
    }

    fn to(name: &str, value: &str, local: bool) -> Change {
        Change::To(name.to_owned(), Some(value.to_owned()), local)
    }

    #[test]
    fn every_form_of_set_is_read() {
        for (sql, expected) in [
            ("SET a.b = 'x'", to("a.b", "x", false)),
            (
                "SET LOCAL statement_timeout TO 5000",
                to("statement_timeout", "5000", true),
            ),
            (
                "SET search_path = a, \"B c\", 'd'",
                to("search_path", "a, \"B c\", d", false),
            ),
            ("SET jit = off", to("jit", "off", false)),
            (
                "SET random_page_cost = -1.5",
                to("random_page_cost", "-1.5", false),
            ),
            (
                "SET datestyle = iso, dmy",
                to("datestyle", "iso, dmy", false),
            ),
            ("SET ROLE NONE", to("role", "none", false)),
            ("SET ROLE app", to("role", "app", false)),
            (
                "SET TIME ZONE 'Europe/Rome'",
                to("timezone", "Europe/Rome", false),
            ),
            ("SET NAMES 'UTF8'", to("client_encoding", "UTF8", false)),
            ("RESET jit", Change::To("jit".to_owned(), None, false)),
            ("RESET ALL", Change::ResetAll),
        ] {
            assert_eq!(change(sql), expected, "{sql}");
        }
        let Change::Transaction(wanted) =
            change("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        else {
            panic!()
        };
        assert_eq!(wanted.isolation, Some(crate::Isolation::RepeatableRead));
        assert_eq!(wanted.read_only, Some(true));
    }
}
