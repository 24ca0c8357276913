//! Expressions.

use crossfade_values::{Error, Result, Type, Value, cast::Context, format, oid};
use pg_query::{
    Node, NodeEnum,
    protobuf::{
        AConst, BoolExpr, BoolExprType, BoolTestType, BooleanTest, CaseExpr, ColumnRef, MinMaxExpr,
        MinMaxOp, NullTest, NullTestType, ParamRef, SqlValueFunction, SqlValueFunctionOp, TypeCast,
        TypeName, a_const::Val,
    },
};

use super::{
    Binder, boxed, inner, names,
    operator::{leftmost, truth},
    place,
};
use crate::expr::{Expr, Typed};

impl Binder<'_> {
    pub(super) fn exprs(&mut self, nodes: &[Node]) -> Result<Vec<Typed>> {
        nodes.iter().map(|node| self.expr(inner(node)?)).collect()
    }

    /// Understands an expression.
    pub(super) fn expr(&mut self, node: &NodeEnum) -> Result<Typed> {
        match node {
            NodeEnum::AConst(constant) => constant_of(constant),
            NodeEnum::ParamRef(param) => self.param(param),
            NodeEnum::ColumnRef(column) => self.column(column),
            NodeEnum::AExpr(expr) => self.a_expr(expr),
            NodeEnum::BoolExpr(expr) => self.bool_expr(expr),
            NodeEnum::NullTest(test) => self.null_test(test),
            NodeEnum::BooleanTest(test) => self.boolean_test(test),
            NodeEnum::TypeCast(cast) => self.type_cast(cast),
            NodeEnum::FuncCall(call) => self.call(call),
            NodeEnum::CaseExpr(case) => self.case(case),
            NodeEnum::CoalesceExpr(coalesce) => {
                let items = self.exprs(&coalesce.args)?;
                let (items, ty, by_bytes) = self.common(items, "COALESCE")?;
                let at = place(coalesce.location);
                Ok(Typed {
                    expr: Expr::Coalesce(items),
                    ty,
                    by_bytes,
                    at,
                })
            }
            NodeEnum::MinMaxExpr(extreme) => self.extreme(extreme),
            NodeEnum::SubLink(sub) => self.sub_link(sub),
            NodeEnum::AArrayExpr(array) => {
                let at = place(array.location);
                self.array(&array.elements, at)
            }
            NodeEnum::AIndirection(indirection) => {
                let array = self.expr(boxed(&indirection.arg)?)?;
                self.element(array, &indirection.indirection)
            }
            NodeEnum::RowExpr(row) => {
                let items = self.exprs(&row.args)?;
                let mut fields = Vec::with_capacity(items.len());
                for item in items {
                    let item = self.settle(item)?;
                    fields.push((item.ty.oid, item.expr));
                }
                Ok(Typed {
                    expr: Expr::Row(fields),
                    ty: Type::of(oid::RECORD),
                    by_bytes: false,
                    at: place(row.location),
                })
            }
            NodeEnum::CollateClause(collate) => {
                let typed = self.expr(boxed(&collate.arg)?)?;
                let typed = self.settle(typed)?;
                let name = names(&collate.collname);
                let by_bytes = matches!(
                    name.last().copied(),
                    Some("C" | "POSIX" | "ucs_basic" | "pg_c_utf8")
                ) || name.last() == Some(&"default") && self.catalog.by_bytes;
                Ok(Typed { by_bytes, ..typed })
            }
            NodeEnum::SqlvalueFunction(function) => self.value_function(function),
            NodeEnum::SetToDefault(default) => Err(Error::new(
                "42601",
                "DEFAULT is not allowed in this context",
            )
            .at(place(default.location))),
            other => Err(Error::unsupported(super::kind_of(other))),
        }
    }

    fn param(&mut self, param: &ParamRef) -> Result<Typed> {
        let at = place(param.location);
        let index = usize::try_from(param.number - 1).map_err(|_| {
            Error::new("42P02", format!("there is no parameter ${}", param.number)).at(at)
        })?;
        if self.params.len() <= index {
            self.params.resize(index + 1, 0);
        }
        let known = match self.params[index] {
            0 => oid::UNKNOWN,
            known => known,
        };
        Ok(Typed {
            expr: Expr::Param(index),
            ty: Type::of(known),
            by_bytes: true,
            at,
        })
    }

    fn column(&mut self, column: &ColumnRef) -> Result<Typed> {
        let at = place(column.location);
        if matches!(
            column.fields.last().and_then(|node| node.node.as_ref()),
            Some(NodeEnum::AStar(_))
        ) {
            return Err(Error::unsupported("a whole row as a value").at(at));
        }
        let name = names(&column.fields);
        match name[..] {
            [name] => self.find(None, None, name, at),
            [relation, name] => self.find(None, Some(relation), name, at),
            [schema, relation, name] => self.find(Some(schema), Some(relation), name, at),
            _ => Err(Error::unsupported("a column named with its database").at(at)),
        }
    }

    fn bool_expr(&mut self, expr: &BoolExpr) -> Result<Typed> {
        let (word, kind) = match expr.boolop() {
            BoolExprType::AndExpr => ("AND", BoolExprType::AndExpr),
            BoolExprType::OrExpr => ("OR", BoolExprType::OrExpr),
            kind => ("NOT", kind),
        };
        let mut items = Vec::with_capacity(expr.args.len());
        for item in self.exprs(&expr.args)? {
            items.push(self.condition(item, word)?);
        }
        let expr_at = place(expr.location);
        Ok(truth(
            match kind {
                BoolExprType::AndExpr => Expr::And(items),
                BoolExprType::OrExpr => Expr::Or(items),
                _ => Expr::Not(Box::new(items.pop().unwrap_or_else(Expr::null))),
            },
            expr_at,
        ))
    }

    fn null_test(&mut self, test: &NullTest) -> Result<Typed> {
        let at = place(test.location);
        let arg = boxed(&test.arg)?;
        let is_row = matches!(arg, NodeEnum::RowExpr(_));
        let arg = self.expr(arg)?;
        let arg = self.settle(arg)?;
        let is_null = match arg.expr {
            // A row is NOT NULL when all of it is.
            Expr::Row(items) if is_row && test.nulltesttype() == NullTestType::IsNotNull => {
                let all = items
                    .into_iter()
                    .map(|(_, item)| Expr::Not(Box::new(Expr::IsNull(Box::new(item)))));
                return Ok(truth(Expr::And(all.collect()), at));
            }
            expr => Expr::IsNull(Box::new(expr)),
        };
        Ok(truth(
            match test.nulltesttype() {
                NullTestType::IsNotNull => Expr::Not(Box::new(is_null)),
                _ => is_null,
            },
            at,
        ))
    }

    fn boolean_test(&mut self, test: &BooleanTest) -> Result<Typed> {
        let at = place(test.location);
        let (wanted, not, word) = match test.booltesttype() {
            BoolTestType::IsTrue => (Some(true), false, "IS TRUE"),
            BoolTestType::IsNotTrue => (Some(true), true, "IS NOT TRUE"),
            BoolTestType::IsFalse => (Some(false), false, "IS FALSE"),
            BoolTestType::IsNotFalse => (Some(false), true, "IS NOT FALSE"),
            BoolTestType::IsNotUnknown => (None, true, "IS NOT UNKNOWN"),
            _ => (None, false, "IS UNKNOWN"),
        };
        let arg = self.expr(boxed(&test.arg)?)?;
        let arg = self.condition(arg, word)?;
        let test = Expr::IsBool(Box::new(arg), wanted);
        Ok(truth(
            if not { Expr::Not(Box::new(test)) } else { test },
            at,
        ))
    }

    fn type_cast(&mut self, cast: &TypeCast) -> Result<Typed> {
        let at = place(cast.location);
        let name = cast
            .type_name
            .as_ref()
            .ok_or_else(|| Error::unsupported("a cast to nothing"))?;
        let arg = boxed(&cast.arg)?;
        let last = names(&name.names).last().copied().unwrap_or_default();
        if last == "regclass"
            && let NodeEnum::AConst(constant) = arg
            && let Some(Val::Sval(text)) = &constant.val
        {
            return self.regclass(&text.sval, at);
        }
        let to = self.type_of(name)?;
        // ARRAY[] takes its type from the cast.
        if let NodeEnum::AArrayExpr(array) = arg
            && array.elements.is_empty()
            && let Some(element) = format::element_of(to.oid, &self.catalog.types)
        {
            let expr = Expr::Array {
                element,
                nested: false,
                items: Vec::new(),
            };
            return Ok(Typed {
                expr,
                ty: to,
                by_bytes: true,
                at,
            });
        }
        let arg = self.expr(arg)?;
        let by_bytes = arg.by_bytes;
        let literal = matches!(arg.expr, Expr::Const(_)) && arg.is_unknown();
        let at = if literal {
            arg.at
        } else {
            leftmost([at, arg.at])
        };
        let expr = self.coerce(arg, to, Context::Explicit)?;
        Ok(Typed {
            expr,
            ty: to,
            by_bytes,
            at,
        })
    }

    fn regclass(&mut self, text: &str, at: usize) -> Result<Typed> {
        let (schema, name) = split_name(text);
        let table = self
            .catalog
            .table(schema.as_deref(), &name, &self.session.schemas)
            .ok_or_else(|| {
                Error::new("42P01", format!("relation \"{text}\" does not exist")).at(at)
            })?;
        Ok(Typed {
            expr: Expr::Const(Value::Int(self.catalog.tables[table].map.old.oid.into())),
            ty: Type::of(oid::REGCLASS),
            by_bytes: true,
            at,
        })
    }

    /// The type that a name means.
    pub(super) fn type_of(&self, name: &TypeName) -> Result<Type> {
        let at = place(name.location);
        let parts = names(&name.names);
        let (schema, last) = match parts[..] {
            [last] => (None, last),
            [schema, last] => (Some(schema), last),
            _ => return Err(Error::unsupported("this name of a type").at(at)),
        };
        let modifiers = name
            .typmods
            .iter()
            .map(|node| match node.node.as_ref() {
                Some(NodeEnum::AConst(constant)) => match &constant.val {
                    Some(Val::Ival(number)) => Ok(number.ival),
                    None if !constant.isnull => Ok(0),
                    _ => Err(Error::unsupported("this modifier of a type").at(at)),
                },
                _ => Err(Error::unsupported("this modifier of a type").at(at)),
            })
            .collect::<Result<Vec<_>>>()?;
        let found = format::type_by_name(schema, last, &modifiers, &self.catalog.types)
            .map_err(|error| error.at(at))?;
        let Some(ty) = found else {
            let name = parts.join(".");
            if self.is_domain(last) {
                return Err(Error::unsupported(format!("the domain {name} as a type")).at(at));
            }
            return Err(Error::new("42704", format!("type \"{name}\" does not exist")).at(at));
        };
        if name.array_bounds.is_empty() {
            return Ok(ty);
        }
        let array = format::array_of(ty.oid, &self.catalog.types);
        let array = array.ok_or_else(|| Error::unsupported("an array of this type").at(at))?;
        Ok(Type {
            oid: array,
            modifier: ty.modifier,
        })
    }

    fn is_domain(&self, name: &str) -> bool {
        let columns = self
            .catalog
            .tables
            .iter()
            .flat_map(|table| &table.map.columns);
        let mut domains = columns.filter_map(|column| column.old.domain.as_ref());
        domains.any(|domain| domain.name.name == name)
    }

    fn case(&mut self, case: &CaseExpr) -> Result<Typed> {
        let at = place(case.location);
        let tested = match &case.arg {
            Some(arg) => {
                let tested = self.expr(inner(arg)?)?;
                Some(self.settle(tested)?)
            }
            None => None,
        };
        let mut conditions = Vec::new();
        let mut results = Vec::new();
        // The type of ELSE counts first.
        results.push(match &case.defresult {
            Some(rest) => self.expr(inner(rest)?)?,
            None => Typed {
                expr: Expr::null(),
                ty: Type::of(oid::UNKNOWN),
                by_bytes: true,
                at,
            },
        });
        for when in &case.args {
            let NodeEnum::CaseWhen(when) = inner(when)? else {
                return Err(Error::unsupported("this form of CASE").at(at));
            };
            let condition = self.expr(boxed(&when.expr)?)?;
            conditions.push(match &tested {
                Some(tested) => {
                    self.op("=", tested.clone(), condition, place(when.location))?
                        .expr
                }
                None => self.condition(condition, "CASE/WHEN")?,
            });
            results.push(self.expr(boxed(&when.result)?)?);
        }
        let (mut results, ty, by_bytes) = self.common(results, "CASE")?;
        let rest = results.remove(0);
        let whens = conditions.into_iter().zip(results).collect();
        Ok(Typed {
            expr: Expr::Case(whens, Box::new(rest)),
            ty,
            by_bytes,
            at,
        })
    }

    fn extreme(&mut self, extreme: &MinMaxExpr) -> Result<Typed> {
        let at = place(extreme.location);
        let greatest = extreme.op() == MinMaxOp::IsGreatest;
        let items = self.exprs(&extreme.args)?;
        let (items, ty, by_bytes) =
            self.common(items, if greatest { "GREATEST" } else { "LEAST" })?;
        if super::operator::is_collatable(ty.oid) && !by_bytes {
            return Err(super::operator::collation("comparison").at(at));
        }
        Ok(Typed {
            expr: Expr::Extreme {
                greatest,
                ty: ty.oid,
                items,
            },
            ty,
            by_bytes,
            at,
        })
    }

    fn array(&mut self, elements: &[Node], at: usize) -> Result<Typed> {
        if elements.is_empty() {
            return Err(Error::new("42P18", "cannot determine type of empty array")
                .hint("Explicitly cast to the desired type, for example ARRAY[]::integer[].")
                .at(at));
        }
        let items = self.exprs(elements)?;
        let (items, ty, by_bytes) = self.common(items, "ARRAY")?;
        let (element, nested) = match format::element_of(ty.oid, &self.catalog.types) {
            Some(element) => (element, true),
            None => (ty.oid, false),
        };
        let list = format::array_of(element, &self.catalog.types)
            .ok_or_else(|| Error::unsupported("an array of this type").at(at))?;
        Ok(Typed {
            expr: Expr::Array {
                element,
                nested,
                items,
            },
            ty: Type::of(list),
            by_bytes,
            at,
        })
    }

    fn element(&mut self, array: Typed, indirection: &[Node]) -> Result<Typed> {
        let at = array.at;
        let element = format::element_of(array.ty.oid, &self.catalog.types)
            .ok_or_else(|| Error::unsupported("a field of a value").at(at))?;
        let mut indexes = Vec::new();
        for node in indirection {
            match inner(node)? {
                NodeEnum::AIndices(index) if !index.is_slice => {
                    let index = self.expr(boxed(&index.uidx)?)?;
                    indexes.push(self.coerce(index, Type::of(oid::INT4), Context::Assignment)?);
                }
                _ => return Err(Error::unsupported("a slice of an array").at(at)),
            }
        }
        Ok(Typed {
            expr: Expr::Element(Box::new(array.expr), indexes),
            ty: Type::of(element),
            by_bytes: array.by_bytes,
            at,
        })
    }

    fn value_function(&mut self, function: &SqlValueFunction) -> Result<Typed> {
        use SqlValueFunctionOp as Op;
        let at = place(function.location);
        let modifier = function.typmod;
        let now = |binder: &mut Self, ty, modifier| -> Result<Typed> {
            let now = binder.function("now", Vec::new(), false, at)?;
            let to = Type { oid: ty, modifier };
            let expr = binder.coerce(now, to, Context::Explicit)?;
            Ok(Typed {
                expr,
                ty: to,
                by_bytes: true,
                at,
            })
        };
        match function.op() {
            Op::SvfopCurrentDate => now(self, oid::DATE, -1),
            Op::SvfopCurrentTime | Op::SvfopCurrentTimeN => now(self, oid::TIMETZ, modifier),
            Op::SvfopCurrentTimestamp | Op::SvfopCurrentTimestampN => {
                now(self, oid::TIMESTAMPTZ, modifier)
            }
            Op::SvfopLocaltime | Op::SvfopLocaltimeN => now(self, oid::TIME, modifier),
            Op::SvfopLocaltimestamp | Op::SvfopLocaltimestampN => {
                now(self, oid::TIMESTAMP, modifier)
            }
            Op::SvfopCurrentRole | Op::SvfopCurrentUser | Op::SvfopUser => {
                self.function("current_user", Vec::new(), false, at)
            }
            Op::SvfopSessionUser => self.function("session_user", Vec::new(), false, at),
            Op::SvfopCurrentCatalog => self.function("current_database", Vec::new(), false, at),
            Op::SvfopCurrentSchema => self.function("current_schema", Vec::new(), false, at),
            Op::SqlvalueFunctionOpUndefined => Err(Error::unsupported("this function").at(at)),
        }
    }
}

fn constant_of(constant: &AConst) -> Result<Typed> {
    let at = place(constant.location);
    let typed = |value, ty| Typed {
        expr: Expr::Const(value),
        ty: Type::of(ty),
        by_bytes: true,
        at,
    };
    if constant.isnull {
        return Ok(typed(Value::Null, oid::UNKNOWN));
    }
    Ok(match &constant.val {
        Some(Val::Ival(number)) => typed(Value::Int(number.ival.into()), oid::INT4),
        Some(Val::Boolval(value)) => typed(Value::Bool(value.boolval), oid::BOOL),
        Some(Val::Sval(text)) => typed(Value::text(&text.sval), oid::UNKNOWN),
        Some(Val::Fval(number)) => match number.fval.parse::<i64>() {
            // The least of all: the grammar reads its digits before their sign.
            Ok(number) if i32::try_from(number).is_ok() => typed(Value::Int(number), oid::INT4),
            Ok(number) => typed(Value::Int(number), oid::INT8),
            Err(_) => {
                let number = crossfade_values::numeric::Numeric::parse(&number.fval)
                    .map_err(|error| error.at(at))?;
                typed(Value::Numeric(number), oid::NUMERIC)
            }
        },
        Some(Val::Bsval(_)) => return Err(Error::unsupported("a literal of bits").at(at)),
        // The wire form leaves a zero out.
        None => typed(Value::Int(0), oid::INT4),
    })
}

/// `schema.name`, each perhaps quoted.
pub(super) fn split_name(text: &str) -> (Option<String>, String) {
    let plain = |part: &str| match part
        .strip_prefix('"')
        .and_then(|part| part.strip_suffix('"'))
    {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => part.to_lowercase(),
    };
    match text.split_once('.') {
        Some((schema, name)) => (Some(plain(schema)), plain(name)),
        None => (None, plain(text)),
    }
}
