//! Function calls: plain functions, aggregates, counters.

use crossfade_values::{Error, Result, Type, aggregate, cast::Context, oid, resolve};
use pg_query::{
    NodeEnum,
    protobuf::{FuncCall, a_const::Val},
};

use super::{Binder, expr::split_name, inner, names, operator, place};
use crate::{
    expr::{Expr, Sequence, Typed},
    plan::Agg,
};

impl Binder<'_> {
    pub(super) fn call(&mut self, call: &FuncCall) -> Result<Typed> {
        let at = place(call.location);
        let name = names(&call.funcname);
        let name = match name[..] {
            [name] | ["pg_catalog", name] => name,
            _ => {
                return Err(
                    Error::unsupported(format!("the function {}()", name.join("."))).at(at),
                );
            }
        };
        if call.over.is_some() {
            return Err(Error::unsupported("a window function").at(at));
        }
        if call.agg_within_group {
            return Err(Error::unsupported("WITHIN GROUP").at(at));
        }
        match name {
            "nextval" | "currval" | "setval" => return self.counter(name, call, at),
            "lastval" => {
                return Ok(Typed {
                    expr: Expr::CurrVal(None),
                    ty: Type::of(oid::INT8),
                    by_bytes: true,
                    at,
                });
            }
            "to_regclass" => return self.to_regclass(call, at),
            _ => {}
        }
        if call.agg_star || aggregate::is_aggregate(name) {
            return self.aggregate(name, call, at);
        }
        if call.agg_distinct || call.agg_filter.is_some() || !call.agg_order.is_empty() {
            return Err(Error::new("42809", format!("{name} is not an aggregate function")).at(at));
        }
        let args = self.exprs(&call.args)?;
        self.function(name, args, call.func_variadic, at)
    }

    /// A function by its name, with its arguments.
    pub(super) fn function(
        &mut self,
        name: &str,
        args: Vec<Typed>,
        variadic: bool,
        at: usize,
    ) -> Result<Typed> {
        let types: Vec<_> = args.iter().map(|arg| arg.ty.oid).collect();
        let found = resolve::function(name, &types, variadic, &self.catalog.types)
            .map_err(|error| error.at(at))?;
        let by_bytes =
            args.iter().all(|arg| arg.by_bytes) && (!args.is_empty() || self.catalog.by_bytes);
        let mut given = Vec::with_capacity(args.len());
        for (index, arg) in args.into_iter().enumerate() {
            let to = found.args.get(index).copied().unwrap_or(arg.ty.oid);
            given.push(self.coerce(arg, Type::of(to), Context::Implicit)?);
        }
        Ok(Typed {
            ty: Type::of(found.result),
            expr: Expr::Call(Box::new(found), given),
            by_bytes,
            at,
        })
    }

    fn aggregate(&mut self, name: &str, call: &FuncCall, at: usize) -> Result<Typed> {
        let frame = self.frame();
        if frame.within {
            return Err(Error::new("42803", "aggregate function calls cannot be nested").at(at));
        }
        if frame.aggregates.is_none() {
            let clause = frame.clause;
            return Err(Error::new(
                "42803",
                format!("aggregate functions are not allowed in {clause}"),
            )
            .at(at));
        }
        frame.within = true;
        let understood = self.aggregate_parts(name, call, at);
        let frame = self.frame();
        frame.within = false;
        let (agg, by_bytes) = understood?;
        let ty = Type::of(agg.aggregate.result);
        let all = frame.aggregates.get_or_insert_default();
        let index = all.len();
        all.push(agg);
        Ok(Typed {
            expr: Expr::Agg(index),
            ty,
            by_bytes,
            at,
        })
    }

    fn aggregate_parts(&mut self, name: &str, call: &FuncCall, at: usize) -> Result<(Agg, bool)> {
        let args = self.exprs(&call.args)?;
        let types: Vec<_> = args.iter().map(|arg| arg.ty.oid).collect();
        let by_bytes = args.iter().all(|arg| arg.by_bytes);
        let found = aggregate::aggregate(name, &types, &self.catalog.types)
            .map_err(|error| error.at(at))?;
        if matches!(name, "min" | "max") && operator::is_collatable(found.result) && !by_bytes {
            return Err(operator::collation(name).at(at));
        }
        let mut given = Vec::with_capacity(args.len());
        for (index, arg) in args.into_iter().enumerate() {
            let to = found.args.get(index).copied().unwrap_or(arg.ty.oid);
            given.push(self.coerce(arg, Type::of(to), Context::Implicit)?);
        }
        let filter = match &call.agg_filter {
            Some(filter) => {
                let filter = self.expr(inner(filter)?)?;
                Some(self.condition(filter, "FILTER")?)
            }
            None => None,
        };
        let order = self.aggregate_order(&call.agg_order)?;
        let agg = Agg {
            aggregate: found,
            args: given,
            distinct: call.agg_distinct,
            filter,
            order,
        };
        Ok((agg, by_bytes))
    }

    /// The counter that a name in quotes means.
    fn named_counter(&mut self, call: &FuncCall, at: usize) -> Result<Sequence> {
        let mut arg = call.args.first().and_then(|arg| arg.node.as_ref());
        while let Some(NodeEnum::TypeCast(cast)) = arg {
            arg = cast.arg.as_ref().and_then(|arg| arg.node.as_ref());
        }
        let Some(NodeEnum::AConst(constant)) = arg else {
            return Err(Error::unsupported("a sequence that is not named by a literal").at(at));
        };
        let Some(Val::Sval(text)) = &constant.val else {
            return Err(Error::unsupported("a sequence that is not named by a literal").at(at));
        };
        let (schema, name) = split_name(&text.sval);
        self.catalog
            .sequence(schema.as_deref(), &name, &self.session.schemas)
            .ok_or_else(|| {
                Error::new(
                    "42P01",
                    format!("relation \"{}\" does not exist", text.sval),
                )
                .at(place(constant.location))
            })
    }

    fn counter(&mut self, name: &str, call: &FuncCall, at: usize) -> Result<Typed> {
        let sequence = self.named_counter(call, at)?;
        let expr = match name {
            "nextval" => Expr::NextVal(sequence),
            "currval" => Expr::CurrVal(Some(sequence)),
            _ => return Err(Error::unsupported("setval()").at(at)),
        };
        Ok(Typed {
            expr,
            ty: Type::of(oid::INT8),
            by_bytes: true,
            at,
        })
    }

    /// `to_regclass(name)`: a mapped table's OID, or NULL.
    fn to_regclass(&mut self, call: &FuncCall, at: usize) -> Result<Typed> {
        let mut args = self.exprs(&call.args)?;
        let Some(arg) = args.pop().filter(|_| args.is_empty()) else {
            return Err(Error::unsupported("this call of to_regclass()").at(at));
        };
        let name = self.coerce(arg, Type::of(oid::TEXT), Context::Implicit)?;
        let path = self.session.schemas.clone();
        let mut whens = Vec::new();
        for table in &self.catalog.tables {
            let (schema, bare) = (table.schema(), table.name());
            let mut names = vec![format!("{}.{}", quoted(schema), quoted(bare))];
            if path.iter().any(|known| known == schema) {
                names.push(quoted(bare));
            }
            for text in names {
                let text = Typed {
                    expr: Expr::Const(crossfade_values::Value::text(text)),
                    ty: Type::of(oid::TEXT),
                    by_bytes: true,
                    at,
                };
                whens.push((text, table.map.old.oid));
            }
        }
        let name = Typed {
            expr: name,
            ty: Type::of(oid::TEXT),
            by_bytes: true,
            at,
        };
        let mut cases = Vec::new();
        for (text, found) in whens {
            let test = self.op("=", name.clone(), text, at)?.expr;
            cases.push((
                test,
                Expr::Const(crossfade_values::Value::Int(found.into())),
            ));
        }
        Ok(Typed {
            expr: Expr::Case(cases, Box::new(Expr::null())),
            ty: Type::of(oid::REGCLASS),
            by_bytes: true,
            at,
        })
    }
}

/// As `quote_ident` writes it.
fn quoted(name: &str) -> String {
    crossfade_store::postgres::sql::quote_ident(name)
}
