//! Function calls: plain functions, aggregates, counters.

use crossfade_values::{Error, Result, Type, aggregate, cast::Context, oid, resolve};
use pg_query::{
    Node, NodeEnum,
    protobuf::{FuncCall, a_const::Val},
};

use super::{Binder, expr::split_name, inner, names, operator, place};
use crate::{
    codec::opaque_hint,
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
            "to_regclass" => return self.regclass_of(call, at),
            _ => {}
        }
        if call.agg_star || aggregate::is_aggregate(name) {
            return self.aggregate(name, call, at);
        }
        let only_aggregates = [
            (call.agg_distinct, "DISTINCT"),
            (!call.agg_order.is_empty(), "ORDER BY"),
            (call.agg_filter.is_some(), "FILTER"),
        ];
        if let Some((_, word)) = only_aggregates.iter().find(|(given, _)| *given) {
            return Err(Error::new(
                "42809",
                format!("{word} specified, but {name} is not an aggregate function"),
            )
            .at(at));
        }
        let args = self.exprs(&call.args)?;
        let images = names(&call.funcname).len() == 2 && name.ends_with("send");
        self.function(name, args, call.func_variadic, at)
            .map_err(|error| match &call.args[..] {
                [column] if images => self.opaque(column).unwrap_or(error),
                _ => error,
            })
    }

    /// What is wrong with a write whose image takes this column in its binary form: the proxy asks for that in the phases in which both stores are written.
    fn opaque(&self, column: &Node) -> Option<Error> {
        let Some(NodeEnum::ColumnRef(column)) = &column.node else {
            return None;
        };
        let name = *names(&column.fields).last()?;
        let tables = self.scopes.last()?.relations.iter();
        let mut tables = tables.filter_map(|relation| Some(&self.catalog.tables[relation.table?]));
        let (table, column) = tables.find_map(|table| {
            let mut columns = table.map.old.columns.iter();
            Some((table, columns.find(|column| column.name == name)?))
        })?;
        let error = Error::unsupported(format!(
            "a write of table \"{}\" that goes to both stores, with the column \"{name}\" of type {},",
            table.name(),
            column.type_name
        ));
        Some(error.hint(opaque_hint(name)))
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
        if matches!(name, "min" | "max") {
            self.sortable(found.result, by_bytes, at)?;
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
        // PostgreSQL computes one that looks at rows further out alone over those.
        let (mut inner_columns, mut outer_columns) = (false, false);
        for expr in given
            .iter()
            .chain(&filter)
            .chain(order.iter().map(|(expr, ..)| expr))
        {
            expr.walk(&mut |expr| match expr {
                Expr::Column(_) => inner_columns = true,
                Expr::Outer(..) => outer_columns = true,
                _ => {}
            });
        }
        if outer_columns && !inner_columns {
            return Err(Error::unsupported("an aggregate over rows of a query further out").at(at));
        }
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
    fn regclass_of(&mut self, call: &FuncCall, at: usize) -> Result<Typed> {
        let mut args = self.exprs(&call.args)?;
        let Some(arg) = args.pop().filter(|_| args.is_empty()) else {
            return Err(Error::unsupported("this call of to_regclass()").at(at));
        };
        let Expr::Const(crossfade_values::Value::Text(text)) = &arg.expr else {
            return Err(Error::unsupported("to_regclass() of anything but a literal").at(at));
        };
        let (schema, name) = split_name(text);
        let found = self
            .catalog
            .table(schema.as_deref(), &name, &self.session.schemas);
        let oid = |table: usize| self.catalog.tables[table].map.old.oid;
        let value = found.map_or(crossfade_values::Value::Null, |table| {
            crossfade_values::Value::Int(oid(table).into())
        });
        Ok(Typed {
            expr: Expr::Const(value),
            ty: Type::of(oid::REGCLASS),
            by_bytes: true,
            at,
        })
    }
}
