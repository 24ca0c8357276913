//! Values in canonical text, and back.

use super::types::{BYTEA, ParamKind, by_binary, cast_type, is_builtin, is_textual};
use crate::{Column, ColumnMap};
use crossfade_phase::Side;

/// The canonical text of `expr`, a value of `column`'s type: an expression of type `text` that means the same in every
/// session, whatever its DateStyle, extra_float_digits or bytea_output, and whatever format a client asks for.
#[must_use]
pub fn canonical(expr: &str, column: &Column) -> String {
    let Some((cast, send)) = by_binary(column.type_oid) else {
        return format!("({expr})::pg_catalog.text");
    };
    // The cast strips a domain: the send functions of arrays would write the domain's OID, which differs between stores.
    let value = if column.base_type == column.type_name {
        expr.to_owned()
    } else {
        format!("({expr})::pg_catalog.{cast}")
    };
    if column.type_oid == BYTEA {
        format!("pg_catalog.encode({value}, 'hex')")
    } else {
        format!("pg_catalog.encode(pg_catalog.{send}({value}), 'hex')")
    }
}

/// The canonical text that `expr`, a value of `from`'s type, has once it is stored in `to`.
#[must_use]
pub fn canonical_as(expr: &str, from: &Column, to: &Column) -> String {
    match stored_as(expr, from, to) {
        Some(cast) => canonical(&cast, to),
        None => canonical(expr, to),
    }
}

/// The value of `column` in the store of `side` as [`crate::Form::Comparable`]: the same text on both sides when both hold
/// the same. `expr` is the column there.
///
/// The old store may lack a type that only the new one has, an enum for one: such values are compared by their text.
#[must_use]
pub fn comparable(expr: &str, column: &ColumnMap, side: Side) -> String {
    match side {
        Side::New => canonical(expr, &column.new),
        Side::Old if is_builtin(&column.new) => canonical_as(expr, &column.old, &column.new),
        Side::Old => format!("({expr})::pg_catalog.text"),
    }
}

/// `expr` of `from`'s type cast to `to`'s; `None` when the two are the same type.
fn stored_as(expr: &str, from: &Column, to: &Column) -> Option<String> {
    if from.type_oid == to.type_oid && cast_type(from) == cast_type(to) {
        return None;
    }
    let target = cast_type(to);
    if is_builtin(from) || is_textual(to) {
        return Some(format!("CAST(({expr}) AS {target})"));
    }
    Some(format!("CAST(({expr})::pg_catalog.text AS {target})"))
}

/// How a canonical value of `column` is bound as a parameter.
#[must_use]
pub fn param(column: &Column) -> ParamKind {
    match by_binary(column.type_oid) {
        Some(_) => ParamKind::Binary(column.type_oid),
        None => ParamKind::Text,
    }
}

/// Parameter `number`, bound by [`param`] of `from`, as a value that can be assigned to a column of `to`'s type.
#[must_use]
pub fn param_expr(number: usize, from: &Column, to: &Column) -> String {
    let (declared, _) = by_binary(from.type_oid).unwrap_or(("text", ""));
    convert(&format!("${number}::pg_catalog.{declared}"), from, to)
}

/// `expr`, of type `text` or of the type that [`param`] declares for `from`, as a value that can be assigned to a column of
/// `to`'s type. Lengths are left for the assignment to check, which refuses what an explicit cast would cut (trap 11).
#[must_use]
pub fn convert(expr: &str, from: &Column, to: &Column) -> String {
    let target = cast_type(to);
    if by_binary(from.type_oid).is_some() {
        return if from.type_oid == to.type_oid {
            expr.to_owned()
        } else {
            format!("CAST({expr} AS {target})")
        };
    }
    if is_textual(to) {
        return expr.to_owned();
    }
    // A value changes its type by the cast between the types, not by way of text, wherever the source's type is known here.
    if from.type_oid != to.type_oid && is_builtin(from) && !is_textual(from) {
        return format!("CAST(CAST({expr} AS {}) AS {target})", cast_type(from));
    }
    format!("CAST({expr} AS {target})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(oid: u32, ty: &str) -> Column {
        Column {
            name: "c".into(),
            type_oid: oid,
            type_name: ty.into(),
            base_type: ty.into(),
            ..Column::default()
        }
    }

    #[test]
    fn trap_35_types_whose_text_depends_on_the_session_travel_as_hex() {
        assert_eq!(
            canonical("x", &column(1184, "timestamp with time zone")),
            "pg_catalog.encode(pg_catalog.timestamptz_send(x), 'hex')"
        );
        assert_eq!(
            canonical("x", &column(17, "bytea")),
            "pg_catalog.encode(x, 'hex')"
        );
        assert_eq!(
            canonical("x", &column(23, "integer")),
            "(x)::pg_catalog.text"
        );
        assert_eq!(
            param(&column(1185, "timestamp with time zone[]")),
            ParamKind::Binary(1185)
        );
    }

    #[test]
    fn a_domain_is_stripped_before_its_binary_form_is_taken() {
        let mut domain = column(1184, "timestamp with time zone");
        domain.type_name = "app.moment".into();
        assert_eq!(
            canonical("x", &domain),
            "pg_catalog.encode(pg_catalog.timestamptz_send((x)::pg_catalog.timestamptz), 'hex')"
        );
    }

    #[test]
    fn trap_11_a_length_is_left_to_the_assignment() {
        let short = column(1043, "character varying(3)");
        assert_eq!(
            param_expr(1, &column(25, "text"), &short),
            "$1::pg_catalog.text"
        );
        assert_eq!(
            param_expr(1, &column(701, "double precision"), &short),
            "CAST($1::pg_catalog.float8 AS pg_catalog.varchar)"
        );
    }

    #[test]
    fn a_retyped_value_is_cast_between_the_types() {
        assert_eq!(
            param_expr(2, &column(23, "integer"), &column(1700, "numeric(12,2)")),
            "CAST(CAST($2::pg_catalog.text AS integer) AS numeric(12,2))"
        );
        assert_eq!(
            param_expr(2, &column(90_000, "app.mood"), &column(90_001, "app.mood")),
            "CAST($2::pg_catalog.text AS app.mood)"
        );
        assert_eq!(
            param_expr(2, &column(20, "bigint"), &column(25, "text")),
            "$2::pg_catalog.text"
        );
    }
}
