//! Functions that give rows, in FROM.

use crossfade_values::{Error, Result, Type, format, oid};
use pg_query::{NodeEnum, protobuf::RangeFunction};

use super::{Binder, find::outward, from::output, inner, names, place};
use crate::{
    expr::{Expr, Typed},
    plan::{From, FunctionScan, RowsOf},
};

impl Binder<'_> {
    pub(super) fn range_function(&mut self, range: &RangeFunction) -> Result<(From, bool)> {
        let [function] = &range.functions[..] else {
            return Err(Error::unsupported("ROWS FROM"));
        };
        if !range.coldeflist.is_empty() {
            return Err(Error::unsupported(
                "a function with a column definition list",
            ));
        }
        let function = match inner(function)? {
            NodeEnum::List(list) => list.items.first().and_then(|node| node.node.as_ref()),
            other => Some(other),
        };
        let Some(function) = function else {
            return Err(Error::unsupported("this form of a function in FROM"));
        };
        let (name, kind, args, ty) = self.row_function(function)?;
        let mut outputs = vec![output(&name, ty, true)];
        let alias = range.alias.as_ref();
        let relation = alias.map_or_else(|| name.clone(), |alias| alias.aliasname.clone());
        // A function of one plain column names it after its alias.
        outputs[0].name.clone_from(&relation);
        if range.ordinality {
            outputs.push(output("ordinality", Type::of(oid::INT8), true));
        }
        let base = self.add(relation, None, outputs, alias, None)?;
        let mut lateral = false;
        for arg in &args {
            arg.columns(&mut |_| lateral = true);
            // Its rows further out would have to move out as well.
            let mut subs = Vec::new();
            arg.subs(&mut subs);
            if subs.iter().any(|sub| sub.looks_outward()) {
                return Err(Error::unsupported(
                    "a sub-query over other rows as an argument of a function in FROM",
                ));
            }
        }
        // What its arguments look at is the row so far, which to a source in FROM is one query further out.
        let args = args.into_iter().map(|arg| outward(arg, 1)).collect();
        let scan = FunctionScan {
            kind,
            args,
            base,
            ordinality: range.ordinality,
            filters: Vec::new(),
        };
        Ok((From::Function(scan), lateral))
    }

    /// A function that gives rows: its name, its kind, its arguments, and the type of its column.
    fn row_function(&mut self, function: &NodeEnum) -> Result<(String, RowsOf, Vec<Expr>, Type)> {
        if let NodeEnum::FuncCall(call) = function {
            let at = place(call.location);
            let name = names(&call.funcname)
                .last()
                .copied()
                .unwrap_or_default()
                .to_owned();
            match name.as_str() {
                "unnest" if call.args.len() == 1 => {
                    let arg = self.exprs(&call.args)?.remove(0);
                    let element =
                        format::element_of(arg.ty.oid, &self.catalog.types).ok_or_else(|| {
                            Error::new(
                                "42883",
                                format!(
                                    "function unnest({}) does not exist",
                                    self.type_name(arg.ty.oid)
                                ),
                            )
                            .at(at)
                        })?;
                    return Ok((name, RowsOf::Unnest, vec![arg.expr], Type::of(element)));
                }
                "generate_series" => {
                    let args = self.exprs(&call.args)?;
                    let small = args
                        .iter()
                        .all(|arg| matches!(arg.ty.oid, oid::INT4 | oid::INT2 | oid::UNKNOWN));
                    let ty = Type::of(if small { oid::INT4 } else { oid::INT8 });
                    let whole = |arg: &Typed| {
                        matches!(arg.ty.oid, oid::INT4 | oid::INT2 | oid::INT8 | oid::UNKNOWN)
                    };
                    if !(2..=3).contains(&args.len()) || !args.iter().all(whole) {
                        return Err(Error::unsupported(
                            "generate_series() over anything but integers",
                        )
                        .at(at));
                    }
                    let args = args
                        .into_iter()
                        .map(|arg| self.coerce(arg, ty, crossfade_values::cast::Context::Implicit))
                        .collect::<Result<Vec<_>>>()?;
                    return Ok((name, RowsOf::Series, args, ty));
                }
                "pg_listening_channels" => {
                    return Ok((name, RowsOf::Channels, Vec::new(), Type::of(oid::TEXT)));
                }
                _ => {}
            }
        }
        let name = super::figure::name(function);
        let value = self.expr(function)?;
        let value = self.settle(value)?;
        Ok((name, RowsOf::Value, vec![value.expr], value.ty))
    }
}
