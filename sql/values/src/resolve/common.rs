//! `select_common_type`.

use crate::{
    Error, Oid, Result, Type, Types,
    cast::{Context, can_cast},
    catalog::catalog,
    format::type_name,
    oid, order,
};

/// The type that all of these are brought to (UNION, CASE, COALESCE, IN, VALUES, ARRAY, GREATEST): `select_common_type`. All `UNKNOWN` gives `text`. `construct` is for the
/// message of 42804: "CASE types text and integer cannot be matched".
///
/// # Errors
/// 42804; 42846 where a type cannot be brought to the chosen one.
pub fn common_type(args: &[Oid], construct: &str, types: &Types) -> Result<Oid> {
    let name = |ty: Oid| type_name(Type::of(ty), types);
    let mut chosen: Option<Oid> = None;
    for ty in args.iter().copied().filter(|ty| *ty != oid::UNKNOWN) {
        let Some(so_far) = chosen else {
            chosen = Some(ty);
            continue;
        };
        match better(so_far, ty, types) {
            Some(better) => chosen = Some(better),
            None => {
                let message = format!(
                    "{construct} types {} and {} cannot be matched",
                    name(so_far),
                    name(ty)
                );
                return Err(Error::new("42804", message));
            }
        }
    }
    let chosen = chosen.unwrap_or(oid::TEXT);
    match args
        .iter()
        .find(|ty| !can_cast(**ty, chosen, Context::Implicit, types))
    {
        None => Ok(chosen),
        Some(ty) => Err(Error::new(
            "42846",
            format!(
                "{construct} could not convert type {} to {}",
                name(*ty),
                name(chosen)
            ),
        )),
    }
}

/// As [`common_type`], of known types and without a message.
pub(super) fn chosen(args: &[Oid], types: &Types) -> Option<Oid> {
    let (first, rest) = args.split_first()?;
    rest.iter()
        .try_fold(*first, |chosen, ty| better(chosen, *ty, types))
}

/// The one of two that the other goes to; `None` where their categories differ.
fn better(chosen: Oid, next: Oid, types: &Types) -> Option<Oid> {
    if chosen == next {
        return Some(chosen);
    }
    if order::category(chosen, types) != order::category(next, types) {
        return None;
    }
    let preferred = catalog()
        .types
        .get(&chosen)
        .is_some_and(|found| found.preferred);
    let goes = |from, to| can_cast(from, to, Context::Implicit, types);
    Some(if !preferred && goes(chosen, next) && !goes(next, chosen) {
        next
    } else {
        chosen
    })
}
