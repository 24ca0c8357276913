//! Bringing expressions to types.

use crossfade_values::{
    Error, Oid, Result, Type, Value,
    cast::{self, Context},
    format, oid, resolve,
};

use super::Binder;
use crate::expr::{Expr, Typed};

/// Types whose literals may mean something else in another statement: `now`, or a time without its zone.
const TIMES: [Oid; 6] = [
    oid::DATE,
    oid::TIME,
    oid::TIMETZ,
    oid::TIMESTAMP,
    oid::TIMESTAMPTZ,
    oid::INTERVAL,
];

impl Binder<'_> {
    /// Brings an expression to a type.
    ///
    /// # Errors
    /// 42846 or 42804 where there is no such cast; what the type's input says of a literal.
    pub(super) fn coerce(&mut self, from: Typed, to: Type, context: Context) -> Result<Expr> {
        let at = from.at;
        if from.ty.oid == to.oid && (to.modifier == -1 || to.modifier == from.ty.modifier) {
            return Ok(from.expr);
        }
        if from.ty.oid == oid::REGCLASS
            && matches!(to.oid, oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME)
        {
            return Err(Error::unsupported("the name of a regclass as text").at(at));
        }
        if from.is_unknown() {
            return self
                .literal(from, to, context)
                .map_err(|error| error.at(at));
        }
        // An array's elements follow its own modifier.
        if cast::can_cast(from.ty.oid, to.oid, context, &self.catalog.types) {
            return Ok(Expr::Cast(Box::new(from.expr), from.ty.oid, to, context));
        }
        Err(Error::new(
            "42846",
            format!(
                "cannot cast type {} to {}",
                self.type_name(from.ty.oid),
                self.type_name(to.oid)
            ),
        )
        .at(at))
    }

    /// A literal or a parameter without a type takes the one that is wanted.
    fn literal(&mut self, from: Typed, to: Type, context: Context) -> Result<Expr> {
        match from.expr {
            Expr::Param(index) => {
                if let Some(param) = self.params.get_mut(index)
                    && *param == 0
                {
                    *param = to.oid;
                }
                let known = self.params.get(index).copied().unwrap_or(to.oid);
                if known == to.oid && to.modifier == -1 {
                    return Ok(Expr::Param(index));
                }
                Ok(Expr::Cast(Box::new(Expr::Param(index)), known, to, context))
            }
            Expr::Const(Value::Null) => Ok(Expr::null()),
            Expr::Const(value) => {
                // Only an interval's input is told the modifier; others are cut to it by a cast of its own, when the statement runs.
                let bare = if to.oid == oid::INTERVAL {
                    to
                } else {
                    Type::of(to.oid)
                };
                let read = cast::cast(
                    value.clone(),
                    oid::UNKNOWN,
                    bare,
                    context,
                    &self.catalog.types,
                    self.session,
                )?;
                if TIMES.contains(&to.oid) {
                    // Checked now, read again by every run.
                    return Ok(Expr::Cast(
                        Box::new(Expr::Const(value)),
                        oid::UNKNOWN,
                        to,
                        context,
                    ));
                }
                if bare == to {
                    return Ok(Expr::Const(read));
                }
                Ok(Expr::Cast(Box::new(Expr::Const(read)), to.oid, to, context))
            }
            expr => Ok(Expr::Cast(Box::new(expr), oid::UNKNOWN, to, context)),
        }
    }

    /// Literals without a type that end up in an answer are text.
    pub(super) fn settle(&mut self, typed: Typed) -> Result<Typed> {
        if !typed.is_unknown() {
            return Ok(typed);
        }
        let by_bytes = self.catalog.by_bytes;
        let at = typed.at;
        Ok(Typed {
            expr: self.coerce(typed, Type::of(oid::TEXT), Context::Implicit)?,
            ty: Type::of(oid::TEXT),
            by_bytes,
            at,
        })
    }

    /// To the type of a column that takes it.
    pub(super) fn assign(&mut self, from: Typed, to: Type, column: &str) -> Result<Expr> {
        let (ty, at) = (from.ty.oid, from.at);
        if !from.is_unknown()
            && ty != to.oid
            && !cast::can_cast(ty, to.oid, Context::Assignment, &self.catalog.types)
        {
            return Err(Error::new(
                "42804",
                format!(
                    "column \"{column}\" is of type {} but expression is of type {}",
                    self.type_name(to.oid),
                    self.type_name(ty)
                ),
            )
            .hint("You will need to rewrite or cast the expression.")
            .at(at));
        }
        self.coerce(from, to, Context::Assignment)
    }

    /// A condition.
    pub(super) fn condition(&mut self, typed: Typed, clause: &str) -> Result<Expr> {
        if !typed.is_unknown() && typed.ty.oid != oid::BOOL {
            return Err(Error::new(
                "42804",
                format!(
                    "argument of {clause} must be type boolean, not type {}",
                    self.type_name(typed.ty.oid)
                ),
            )
            .at(typed.at));
        }
        self.coerce(typed, Type::of(oid::BOOL), Context::Implicit)
    }

    /// LIMIT and OFFSET.
    pub(super) fn count(&mut self, typed: Typed, clause: &str) -> Result<Expr> {
        let ty = typed.ty.oid;
        if !typed.is_unknown()
            && !cast::can_cast(ty, oid::INT8, Context::Assignment, &self.catalog.types)
        {
            return Err(Error::new(
                "42804",
                format!(
                    "argument of {clause} must be type bigint, not type {}",
                    self.type_name(ty)
                ),
            )
            .at(typed.at));
        }
        self.coerce(typed, Type::of(oid::INT8), Context::Assignment)
    }

    /// All to the type that they have in common.
    pub(super) fn common(
        &mut self,
        items: Vec<Typed>,
        construct: &str,
    ) -> Result<(Vec<Expr>, Type, bool)> {
        let types: Vec<Oid> = items.iter().map(|item| item.ty.oid).collect();
        let at = items.first().map_or(0, |item| item.at);
        let common = resolve::common_type(&types, construct, &self.catalog.types)
            .map_err(|error| error.at(at))?;
        let alike = items.iter().all(|item| item.ty == items[0].ty);
        let ty = match items.first() {
            Some(first) if alike && first.ty.oid == common => first.ty,
            _ => Type::of(common),
        };
        let by_bytes = items.iter().all(|item| item.by_bytes);
        let exprs = items
            .into_iter()
            .map(|item| self.coerce(item, Type::of(common), Context::Implicit))
            .collect::<Result<Vec<_>>>()?;
        Ok((exprs, ty, by_bytes))
    }

    pub(super) fn type_name(&self, ty: Oid) -> String {
        format::type_name(Type::of(ty), &self.catalog.types)
    }
}
