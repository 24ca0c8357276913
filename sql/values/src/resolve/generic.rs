//! Polymorphic types: `check_generic_type_consistency` and `enforce_generic_type_consistency`.

use crate::{
    Error, Oid, Result, Type, Types,
    cast::{Context, can_cast},
    format::{element_of, type_name},
    oid, order,
};

const ANY: Oid = 2276;
const ANY_ARRAY: Oid = 2277;
const ANY_ELEMENT: Oid = 2283;
const ANY_NON_ARRAY: Oid = 2776;
const ANY_ENUM: Oid = 3500;
const ANY_RANGE: Oid = 3831;
const ANY_MULTIRANGE: Oid = 4537;
const COMPATIBLE: Oid = 5077;
const COMPATIBLE_ARRAY: Oid = 5078;
const COMPATIBLE_NON_ARRAY: Oid = 5079;
const COMPATIBLE_RANGE: Oid = 5080;
const COMPATIBLE_MULTIRANGE: Oid = 4538;

/// What a polymorphic type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Element,
    NonArray,
    Enum,
    Array,
    Range,
    Compatible,
    CompatibleNonArray,
    CompatibleArray,
}

pub(super) fn kind(ty: Oid) -> Option<Kind> {
    Some(match ty {
        ANY_ELEMENT => Kind::Element,
        ANY_NON_ARRAY => Kind::NonArray,
        ANY_ENUM => Kind::Enum,
        ANY_ARRAY => Kind::Array,
        ANY_RANGE | ANY_MULTIRANGE | COMPATIBLE_RANGE | COMPATIBLE_MULTIRANGE => Kind::Range,
        COMPATIBLE => Kind::Compatible,
        COMPATIBLE_NON_ARRAY => Kind::CompatibleNonArray,
        COMPATIBLE_ARRAY => Kind::CompatibleArray,
        _ => return None,
    })
}

/// The element of a polymorphic array type, for variadic ones.
pub(super) fn element(ty: Oid) -> Option<Oid> {
    match ty {
        ANY_ARRAY => Some(ANY_ELEMENT),
        COMPATIBLE_ARRAY => Some(COMPATIBLE),
        _ => None,
    }
}

/// What the arguments say.
#[derive(Debug, Default)]
struct Found {
    element: Option<Oid>,
    /// Types of all that must have one common type, elements of arrays among them.
    compatible: Vec<Oid>,
    non_array: bool,
    is_enum: bool,
}

/// Why the arguments do not go together.
enum Conflict {
    /// Of `anyelement`.
    Elements,
    NotArray(Oid),
    NotEnum(Oid),
    NonArray,
    Range,
}

fn find(declared: &[Oid], args: &[Oid], types: &Types) -> std::result::Result<Found, Conflict> {
    let mut found = Found::default();
    for (declared, arg) in declared.iter().zip(args) {
        let Some(kind) = kind(*declared) else {
            continue;
        };
        if kind == Kind::Range {
            if *arg == oid::UNKNOWN || order::category(*arg, types) == b'R' {
                continue;
            }
            return Err(Conflict::Range);
        }
        found.non_array |= matches!(kind, Kind::NonArray | Kind::CompatibleNonArray);
        found.is_enum |= kind == Kind::Enum;
        if *arg == oid::UNKNOWN {
            continue;
        }
        let of_array = matches!(kind, Kind::Array | Kind::CompatibleArray);
        let element = if of_array {
            element_of(*arg, types).ok_or(Conflict::NotArray(*arg))?
        } else {
            *arg
        };
        if matches!(
            kind,
            Kind::Compatible | Kind::CompatibleNonArray | Kind::CompatibleArray
        ) {
            found.compatible.push(element);
        } else if found.element.is_some_and(|other| other != element) {
            return Err(Conflict::Elements);
        } else {
            found.element = Some(element);
        }
    }
    let settled = found.element.or_else(|| found.compatible.first().copied());
    if found.non_array && settled.is_some_and(|ty| element_of(ty, types).is_some()) {
        return Err(Conflict::NonArray);
    }
    if let Some(ty) = found
        .element
        .filter(|ty| found.is_enum && !types.enums.contains_key(ty))
    {
        return Err(Conflict::NotEnum(ty));
    }
    Ok(found)
}

/// Whether the arguments can be what the polymorphic types ask for.
pub(super) fn is_consistent(declared: &[Oid], args: &[Oid], types: &Types) -> bool {
    match find(declared, args, types) {
        Ok(found) => found.compatible.is_empty() || common(&found.compatible, types).is_some(),
        Err(_) => false,
    }
}

/// The type that all can be brought to.
fn common(all: &[Oid], types: &Types) -> Option<Oid> {
    let chosen = super::common::chosen(all, types)?;
    all.iter()
        .all(|ty| can_cast(*ty, chosen, Context::Implicit, types))
        .then_some(chosen)
}

/// The types of arguments and result with the polymorphic ones filled in.
pub(super) fn enforce(
    declared: &[Oid],
    result: Oid,
    args: &[Oid],
    types: &Types,
) -> Result<(Vec<Oid>, Oid)> {
    let mismatch = |message: String| Error::new("42804", message);
    let found =
        find(declared, args, types).map_err(|conflict| mismatch(describe(&conflict, types)))?;
    let compatible = match found.compatible.as_slice() {
        // Unknown ones alone are text.
        [] => oid::TEXT,
        all => common(all, types).ok_or_else(|| {
            mismatch("arguments declared \"anycompatible\" are not all alike".to_owned())
        })?,
    };
    let undetermined = || {
        mismatch("could not determine polymorphic type because input has type unknown".to_owned())
    };
    let fill = |ty: Oid, arg: Oid| -> Result<Oid> {
        let array = |element| super::array_type(element, types);
        Ok(match kind(ty) {
            None if ty == ANY => arg,
            None => ty,
            Some(Kind::Element | Kind::NonArray | Kind::Enum) => {
                found.element.ok_or_else(undetermined)?
            }
            Some(Kind::Array) => array(found.element.ok_or_else(undetermined)?)?,
            Some(Kind::Range) => arg,
            Some(Kind::Compatible | Kind::CompatibleNonArray) => compatible,
            Some(Kind::CompatibleArray) => array(compatible)?,
        })
    };
    let filled = declared
        .iter()
        .zip(args)
        .map(|(ty, arg)| fill(*ty, *arg))
        .collect::<Result<_>>()?;
    Ok((filled, fill(result, result)?))
}

fn describe(conflict: &Conflict, types: &Types) -> String {
    let name = |ty: &Oid| type_name(Type::of(*ty), types);
    match conflict {
        Conflict::Elements => "arguments declared \"anyelement\" are not all alike".to_owned(),
        Conflict::NotArray(ty) => format!(
            "argument declared anyarray is not an array but type {}",
            name(ty)
        ),
        Conflict::NotEnum(ty) => {
            format!("type matched to anyenum is not an enum type: {}", name(ty))
        }
        Conflict::NonArray => "type matched to anynonarray is an array type".to_owned(),
        Conflict::Range => "argument declared anyrange is not a range type".to_owned(),
    }
}
