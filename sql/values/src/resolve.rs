//! Which function or operator is meant (PostgreSQL's documentation, chapter 10, "Type Conversion").

mod common;
mod generic;
mod select;

use crate::{
    Error, Oid, Result, Session, Type, Types, Value,
    catalog::{Routine, catalog},
    format::{self, type_name},
    functions, oid,
};

pub use common::common_type;
use select::{Candidate, Choice};

/// A function or operator that was found.
#[derive(Clone)]
pub struct Callable {
    /// Name in `pg_proc` or the operator's own.
    pub name: &'static str,
    /// Types that the arguments are to be cast to (implicitly), polymorphic ones filled in. `UNKNOWN` where an argument of no certain type is taken as it is.
    pub args: Vec<Oid>,
    /// Type of the result.
    pub result: Oid,
    /// NULL in, NULL out, without a call.
    pub strict: bool,
    /// Same arguments, same answer within a statement.
    pub volatility: Volatility,
    /// The code.
    pub call: Call,
}

impl std::fmt::Debug for Callable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({:?}) -> {}", self.name, self.args, self.result)
    }
}

/// `pg_proc.provolatile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volatility {
    /// Depends on its arguments alone.
    Immutable,
    /// And on the session or the statement's clock.
    Stable,
    /// Differs from call to call (`random()`, `clock_timestamp()`, `gen_random_uuid()`).
    Volatile,
}

/// What a call may look at.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Types of the arguments as resolved.
    pub args: &'a [Oid],
    /// Type of the result as resolved.
    pub result: Oid,
    /// Types that are not built in.
    pub types: &'a Types,
    /// The session.
    pub session: &'a Session,
}

/// The code of a function. A strict one never sees NULL.
pub type Call = fn(Scope<'_>, &[Value]) -> Result<Value>;

/// The function of this name (lower case, without `pg_catalog.`) for arguments of these types; `UNKNOWN` for a literal or parameter whose type is open. `variadic`:
/// the last argument was written with VARIADIC.
///
/// # Errors
/// 42883 with PostgreSQL's message and hint where there is none ("function foo(integer) does not exist"), 42725 where it is not unique, 0A000 naming the function where
/// PostgreSQL has it and this crate does not.
pub fn function(name: &str, args: &[Oid], variadic: bool, types: &Types) -> Result<Callable> {
    let rows = catalog().functions.get(name).map_or(&[][..], Vec::as_slice);
    let candidates = select::for_function(rows, args.len(), variadic);
    // `text(x)`, `int4(x)`: a cast, unless a function of that name takes exactly this type.
    if let [from] = args
        && !candidates.iter().any(|candidate| candidate.args == args)
        && let Some(cast) = cast_by_name(name, *from, types)
    {
        return Ok(cast);
    }
    let signature = || format!("{name}({})", names(args, types));
    match select::choose(candidates, args, types) {
        Choice::One(candidate) => callable(&candidate, args, variadic, types, &signature()),
        Choice::Ambiguous => Err(Error::new("42725", format!("function {} is not unique", signature()))
            .hint("Could not choose a best candidate function. You might need to add explicit type casts.")),
        Choice::None if rows.is_empty() && is_elsewhere(name) => {
            Err(Error::unsupported(format!("the function {}", signature())))
        }
        Choice::None => Err(Error::new("42883", format!("function {} does not exist", signature()))
            .hint("No function matches the given name and argument types. You might need to add explicit type casts.")),
    }
}

/// The aggregate of this name, the types of its arguments and of its result.
pub(crate) fn aggregate(
    name: &str,
    args: &[Oid],
    types: &Types,
) -> Result<(&'static Routine, Vec<Oid>, Oid)> {
    let rows = catalog().functions.get(name).map_or(&[][..], Vec::as_slice);
    let candidates = select::for_function(rows, args.len(), false);
    let signature = || format!("{name}({})", names(args, types));
    match select::choose(candidates, args, types) {
        Choice::One(candidate) if candidate.row.kind == b'a' => {
            let (declared, result) = generic::enforce(&candidate.args, candidate.row.result, args, types)?;
            Ok((candidate.row, declared, result))
        }
        Choice::Ambiguous => Err(Error::new("42725", format!("function {} is not unique", signature()))
            .hint("Could not choose a best candidate function. You might need to add explicit type casts.")),
        _ => Err(Error::new("42883", format!("function {} does not exist", signature()))
            .hint("No function matches the given name and argument types. You might need to add explicit type casts.")),
    }
}

/// Whether PostgreSQL has functions of this name that the catalogs here leave out.
fn is_elsewhere(name: &str) -> bool {
    const FAMILIES: &[&str] = &[
        "pg_stat",
        "pg_wal",
        "pg_replication",
        "pg_logical",
        "lo_",
        "ts_debug",
    ];
    LATER.contains(&name)
        || name == "pg_get_expr"
        || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// Functions that came after version 15, whose catalog the tables are of.
const LATER: &[&str] = &[
    "any_value",
    "array_reverse",
    "array_sample",
    "array_shuffle",
    "array_sort",
    "casefold",
    "crc32",
    "crc32c",
    "date_add",
    "date_subtract",
    "erf",
    "erfc",
    "gamma",
    "json_array",
    "json_objectagg",
    "jsonb_path_query_first_tz",
    "lgamma",
    "pg_input_error_info",
    "pg_input_is_valid",
    "random_normal",
    "regexp_count",
    "system_user",
    "to_bin",
    "to_oct",
    "uuid_extract_timestamp",
    "uuid_extract_version",
    "uuidv4",
    "uuidv7",
    "xmltext",
];

fn names(args: &[Oid], types: &Types) -> String {
    let names: Vec<String> = args
        .iter()
        .map(|ty| type_name(Type::of(*ty), types))
        .collect();
    names.join(", ")
}

/// A type's name used as a function's: of an unknown, of the same bytes, or between text and another by the text forms.
fn cast_by_name(name: &str, from: Oid, types: &Types) -> Option<Callable> {
    let to = catalog().named(name).filter(|to| {
        catalog()
            .types
            .get(to)
            .is_some_and(|found| found.category != b'P')
    })?;
    let is_cast = from == oid::UNKNOWN
        || crate::cast::is_relabelled(from, to, types)
        || crate::cast::is_by_text(from, to, types);
    is_cast.then(|| Callable {
        name: catalog().types.get(&to).map_or("", |found| found.name),
        args: vec![from],
        result: to,
        strict: true,
        volatility: Volatility::Stable,
        call: functions::cast_to_result,
    })
}

/// The operator of this name; `left` is `None` for a prefix operator.
///
/// # Errors
/// As of [`function`].
pub fn operator(name: &str, left: Option<Oid>, right: Oid, types: &Types) -> Result<Callable> {
    // `!=` is only another way to write `<>`.
    let name = if name == "!=" { "<>" } else { name };
    let args: Vec<Oid> = left.into_iter().chain([right]).collect();
    let signature = || {
        let right = type_name(Type::of(right), types);
        match left {
            Some(left) => format!("{} {name} {right}", type_name(Type::of(left), types)),
            None => format!("{name} {right}"),
        }
    };
    let rows = catalog().operators.get(name).map_or(&[][..], Vec::as_slice);
    let candidates: Vec<Candidate> = rows
        .iter()
        .filter(|row| row.args.len() == args.len())
        .map(Candidate::of)
        .collect();
    // An operand of open type is first taken to be of the other's.
    let guess: Vec<Oid> = match args.as_slice() {
        [oid::UNKNOWN, right] => vec![*right, *right],
        [left, oid::UNKNOWN] => vec![*left, *left],
        _ => args.clone(),
    };
    let choice = match candidates.iter().find(|candidate| candidate.args == guess) {
        Some(exact) => Choice::One(exact.clone()),
        None => select::choose(candidates, &args, types),
    };
    match choice {
        Choice::One(candidate) => callable(&candidate, &args, false, types, &signature()),
        Choice::Ambiguous => Err(Error::new("42725", format!("operator is not unique: {}", signature()))
            .hint("Could not choose a best candidate operator. You might need to add explicit type casts.")),
        Choice::None => Err(Error::new("42883", format!("operator does not exist: {}", signature())).hint(match left {
            Some(_) => "No operator matches the given name and argument types. You might need to add explicit type casts.",
            None => "No operator matches the given name and argument type. You might need to add an explicit type cast.",
        })),
    }
}

/// Fills in the polymorphic types and finds the code.
fn callable(
    candidate: &Candidate,
    args: &[Oid],
    variadic: bool,
    types: &Types,
    signature: &str,
) -> Result<Callable> {
    let row: &Routine = candidate.row;
    let unserved = |what: &str| Error::unsupported(format!("the {what} {signature}"));
    if row.kind == b'w' {
        return Err(unserved("window function"));
    }
    if row.kind == b'a' {
        return Err(Error::new(
            "42803",
            format!("aggregate function {}(...) is not called here", row.name),
        ));
    }
    if row.returns_set {
        return Err(unserved("set-returning function"));
    }
    let (declared, result) = generic::enforce(&candidate.args, row.result, args, types)?;
    let what = if row.name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        "function"
    } else {
        "operator"
    };
    let call = functions::find(row, &declared, variadic).ok_or_else(|| unserved(what))?;
    Ok(Callable {
        name: row.name,
        args: declared,
        result,
        strict: row.strict,
        volatility: match row.volatility {
            b'i' => Volatility::Immutable,
            b's' => Volatility::Stable,
            _ => Volatility::Volatile,
        },
        call,
    })
}

/// Whether a type is one of the polymorphic pseudo-types.
pub(crate) fn is_polymorphic(ty: Oid) -> bool {
    generic::kind(ty).is_some()
}

/// The array type over an element, or PostgreSQL's refusal.
pub(crate) fn array_type(element: Oid, types: &Types) -> Result<Oid> {
    format::array_of(element, types).ok_or_else(|| {
        let name = type_name(Type::of(element), types);
        Error::new(
            "42704",
            format!("could not find array type for data type {name}"),
        )
    })
}

#[cfg(test)]
mod tests;
