//! The session, the server, and chance.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    Array, Error, Result, Type, Value, format, oid,
    resolve::{Call, Scope},
};

use super::{array, boolean, int, text};

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    Some(match code {
        "pgsql_version" => |scope, _| {
            Ok(Value::text(format!(
                "PostgreSQL {}",
                scope.session.server_version
            )))
        },
        "current_database" => |scope, _| Ok(Value::text(&scope.session.database)),
        "current_schema" => |scope, _| {
            Ok(scope
                .session
                .schemas
                .first()
                .map_or(Value::Null, Value::text))
        },
        "current_schemas" => schemas,
        "current_user" => |scope, _| Ok(Value::text(&scope.session.user)),
        "session_user" => |scope, _| Ok(Value::text(&scope.session.login)),
        "pg_backend_pid" => |scope, _| Ok(Value::Int(i64::from(scope.session.process_id))),
        "show_config_by_name" | "show_config_by_name_missing_ok" => setting,
        "set_config_by_name" => set_config,
        "pg_is_in_recovery" => |_, _| Ok(Value::Bool(false)),
        "pg_num_nulls" => {
            |_, args| super::text::count(args.iter().filter(|value| value.is_null()).count())
        }
        "pg_num_nonnulls" => {
            |_, args| super::text::count(args.iter().filter(|value| !value.is_null()).count())
        }
        "pg_typeof" => |scope, _| Ok(Value::Int(i64::from(scope.args[0]))),
        "format_type" => |scope, args| match (args[0].is_null(), args[1].is_null()) {
            (true, _) => Ok(Value::Null),
            (_, missing) => {
                let modifier = if missing {
                    -1
                } else {
                    i32::try_from(int(args, 1)?).unwrap_or(-1)
                };
                let ty = Type {
                    oid: u32::try_from(int(args, 0)?).unwrap_or(0),
                    modifier,
                };
                // With a modifier given, `character` would mean one of length 1.
                let whole = match (ty.oid, ty.modifier, missing) {
                    (oid::BPCHAR, -1, false) => "bpchar".to_owned(),
                    (oid::BPCHAR_ARRAY, -1, false) => "bpchar[]".to_owned(),
                    _ => format::type_name(ty, scope.types),
                };
                Ok(Value::text(whole))
            }
        },
        "to_regtype" => |scope, args| {
            let ty = Type::of(oid::REGTYPE);
            match format::parse(ty, text(args, 0)?, scope.types, scope.session) {
                Err(error) if error.sqlstate == "42704" => Ok(Value::Null),
                outcome => outcome,
            }
        },
        "PG_encoding_to_char" => |_, args| match int(args, 0)? {
            6 => Ok(Value::text("UTF8")),
            0 => Ok(Value::text("SQL_ASCII")),
            _ => Err(Error::unsupported(
                "the name of an encoding other than UTF8",
            )),
        },
        // Pools call it before they reuse a connection. No function is served that takes such a lock.
        "pg_advisory_unlock_all" => |_, _| Ok(Value::text("")),
        "pg_client_encoding" => |_, _| Ok(Value::text("UTF8")),
        "inet_server_addr" | "inet_server_port" | "inet_client_addr" | "inet_client_port" => {
            |_, _| Ok(Value::Null)
        }
        "obj_description(oid)"
        | "obj_description(oid,name)"
        | "col_description(oid,int4)"
        | "shobj_description(oid,name)" => |_, _| Ok(Value::Null),
        "pg_get_userbyid" => |scope, _| Ok(Value::text(&scope.session.user)),
        "drandom" => |_, _| Ok(Value::Float8(random())),
        "gen_random_uuid" => |_, _| Ok(Value::Uuid(uuid())),
        "booland_statefunc" => |_, args| Ok(Value::Bool(boolean(args, 0)? && boolean(args, 1)?)),
        "boolor_statefunc" => |_, args| Ok(Value::Bool(boolean(args, 0)? || boolean(args, 1)?)),
        _ if is_visible(code) || is_privilege(code) => |_, _| Ok(Value::Bool(true)),
        _ => return None,
    })
}

fn is_visible(code: &str) -> bool {
    code.starts_with("pg_") && code.ends_with("_is_visible")
}

/// Forms with names as well as with OIDs: whoever got this far may do all that is served.
fn is_privilege(code: &str) -> bool {
    code.starts_with("has_") && code.contains("_privilege")
}

/// `num_nulls` and its like with their arguments as an array.
pub(super) fn find_variadic(code: &str) -> Option<Call> {
    Some(match code {
        "pg_num_nulls" => |_, args| counted(args, true),
        "pg_num_nonnulls" => |_, args| counted(args, false),
        _ => return None,
    })
}

fn counted(args: &[Value], nulls: bool) -> Result<Value> {
    if args[0].is_null() {
        return Ok(Value::Null);
    }
    super::text::count(
        array(args, 0)?
            .items
            .iter()
            .filter(|item| item.is_null() == nulls)
            .count(),
    )
}

fn schemas(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let implicit = boolean(args, 0)?.then_some("pg_catalog");
    let names = implicit
        .into_iter()
        .chain(scope.session.schemas.iter().map(String::as_str));
    let items: Vec<Value> = names.map(Value::text).collect();
    let dimensions = if items.is_empty() {
        Vec::new()
    } else {
        vec![(items.len(), 1)]
    };
    Ok(Value::Array(Arc::new(Array {
        element: oid::NAME,
        dimensions,
        items,
    })))
}

fn setting(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    let name = text(args, 0)?;
    if let Some(value) = scope.session.settings.get(&name.to_lowercase()) {
        return Ok(Value::text(value));
    }
    if args.len() > 1 && boolean(args, 1)? {
        return Ok(Value::Null);
    }
    Err(Error::new(
        "42704",
        format!("unrecognized configuration parameter \"{name}\""),
    ))
}

/// `set_config`: NULL for the value asks for the default, which only the session's owner knows.
fn set_config(scope: Scope<'_>, args: &[Value]) -> Result<Value> {
    if args[0].is_null() {
        return Err(Error::new("22004", "SET requires parameter name"));
    }
    let name = text(args, 0)?;
    let local = if args[2].is_null() {
        false
    } else {
        boolean(args, 2)?
    };
    let value = if args[1].is_null() {
        None
    } else {
        Some(text(args, 1)?.to_string())
    };
    let mut changes = scope
        .session
        .changes
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    changes.push((name.to_string(), value.clone(), local));
    match value {
        Some(value) => Ok(Value::text(value)),
        None => Err(Error::unsupported("set_config() to a default")),
    }
}

/// 64 bits that nobody can guess: a keyed hash, its key from the operating system, of a number that never comes again.
fn bits() -> u64 {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(COUNTER.fetch_add(1, Ordering::Relaxed));
    hasher.finish()
}

/// In [0, 1), of 53 bits.
#[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
fn random() -> f64 {
    (bits() >> 11) as f64 / (1u64 << 53) as f64
}

/// Version 4.
fn uuid() -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&bits().to_be_bytes());
    out[8..].copy_from_slice(&bits().to_be_bytes());
    out[6] = out[6] & 0x0f | 0x40;
    out[8] = out[8] & 0x3f | 0x80;
    out
}
