//! Aggregates.

mod collect;
mod fold;
mod sum;

use crate::{
    Error, Oid, Result, Type, Types, Value,
    catalog::catalog,
    format::type_name,
    oid,
    resolve::{self, Scope},
};

/// An aggregate that was found.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// Name.
    pub name: &'static str,
    /// Types that the arguments are to be cast to.
    pub args: Vec<Oid>,
    /// Type of the result.
    pub result: Oid,
    /// Begins a group.
    pub begin: fn() -> Box<dyn State>,
}

/// One group's running state.
pub trait State: Send {
    /// Takes one row's arguments, NULLs included; each aggregate skips them by its own rule.
    ///
    /// # Errors
    /// PostgreSQL's, of overflow mostly.
    fn take(&mut self, scope: Scope<'_>, args: &[Value]) -> Result<()>;
    /// The group's answer.
    ///
    /// # Errors
    /// PostgreSQL's, of overflow mostly.
    fn finish(&mut self, scope: Scope<'_>) -> Result<Value>;
}

/// Whether `name` is an aggregate's.
#[must_use]
pub fn is_aggregate(name: &str) -> bool {
    catalog()
        .functions
        .get(name)
        .is_some_and(|rows| rows.iter().any(|row| row.kind == b'a'))
}

/// `count` (also of no argument, for `*`), `sum`, `avg`, `min`, `max`, `bool_and`, `bool_or`, `every`, `string_agg`, `array_agg`, `json_agg`, `jsonb_agg`,
/// `stddev*` and `variance*` over numeric, `bit_and`, `bit_or`. Result types and scales as PostgreSQL's. DISTINCT, FILTER and ORDER BY are the caller's.
///
/// # Errors
/// As of [`resolve::function`].
pub fn aggregate(name: &str, args: &[Oid], types: &Types) -> Result<Aggregate> {
    let (row, mut args, result) = resolve::aggregate(name, args, types)?;
    // An unknown taken as it is is text.
    for arg in &mut args {
        if *arg == oid::UNKNOWN {
            *arg = oid::TEXT;
        }
    }
    let begin =
        begin(row.name, args.first().copied().unwrap_or(oid::VOID), result).ok_or_else(|| {
            let names: Vec<String> = args
                .iter()
                .map(|ty| type_name(Type::of(*ty), types))
                .collect();
            Error::unsupported(format!("the aggregate {name}({})", names.join(", ")))
        })?;
    Ok(Aggregate {
        name: row.name,
        args,
        result,
        begin,
    })
}

/// The state of an aggregate over this type.
fn begin(name: &str, ty: Oid, result: Oid) -> Option<fn() -> Box<dyn State>> {
    let is_int = matches!(ty, oid::INT2 | oid::INT4 | oid::INT8);
    let is_float = matches!(ty, oid::FLOAT4 | oid::FLOAT8);
    let is_exact = is_int || ty == oid::NUMERIC;
    Some(match name {
        "count" => || Box::new(fold::Count::default()),
        "min" => || Box::new(fold::Extreme::of(std::cmp::Ordering::Less)),
        "max" => || Box::new(fold::Extreme::of(std::cmp::Ordering::Greater)),
        "bool_and" | "every" => || Box::new(fold::Logic::of(|left, right| left && right)),
        "bool_or" => || Box::new(fold::Logic::of(|left, right| left || right)),
        "bit_and" if is_int => || Box::new(fold::Bits::of(|left, right| left & right)),
        "bit_or" if is_int => || Box::new(fold::Bits::of(|left, right| left | right)),
        "bit_xor" if is_int => || Box::new(fold::Bits::of(|left, right| left ^ right)),
        "sum" if is_exact => || Box::new(sum::Exact::default()),
        "avg" if is_exact => || Box::new(sum::Exact::average()),
        "sum" if is_float => || Box::new(sum::Float::default()),
        "sum" if ty == oid::INTERVAL => || Box::new(sum::Intervals::default()),
        "avg" if is_float => || Box::new(sum::Spread::of(sum::Measure::Average)),
        "stddev" | "stddev_samp" if is_float => || {
            Box::new(sum::Spread::of(sum::Measure::Of {
                sample: true,
                root: true,
            }))
        },
        "stddev_pop" if is_float => || {
            Box::new(sum::Spread::of(sum::Measure::Of {
                sample: false,
                root: true,
            }))
        },
        "variance" | "var_samp" if is_float => || {
            Box::new(sum::Spread::of(sum::Measure::Of {
                sample: true,
                root: false,
            }))
        },
        "var_pop" if is_float => || {
            Box::new(sum::Spread::of(sum::Measure::Of {
                sample: false,
                root: false,
            }))
        },
        "stddev" | "stddev_samp" if is_exact => || Box::new(sum::ExactSpread::of(true, true)),
        "stddev_pop" if is_exact => || Box::new(sum::ExactSpread::of(false, true)),
        "variance" | "var_samp" if is_exact => || Box::new(sum::ExactSpread::of(true, false)),
        "var_pop" if is_exact => || Box::new(sum::ExactSpread::of(false, false)),
        "string_agg" => || Box::new(collect::Strings::default()),
        "array_agg" if result == oid::RECORD => return None,
        "array_agg" => || Box::new(collect::Items::default()),
        "json_agg" => || Box::new(collect::JsonText::default()),
        "jsonb_agg" => || Box::new(collect::JsonItems::default()),
        "json_object_agg" => || Box::new(collect::JsonObjectText::default()),
        "jsonb_object_agg" => || Box::new(collect::JsonMembers::default()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
