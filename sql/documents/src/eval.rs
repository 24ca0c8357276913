//! Evaluation of expressions over one row.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use crossfade_values::{
    Array, Error, Oid, Result, Session, Types, Value,
    cast::{self, Context},
    order,
    resolve::{Callable, Scope},
};

use crate::expr::{Expr, Sequence, SubKind};

/// What one run of a statement has.
pub(crate) struct Run<'a> {
    pub(crate) params: &'a [Value],
    pub(crate) types: &'a Types,
    pub(crate) session: &'a Session,
    pub(crate) counters: Mutex<Counters>,
}

/// Values of counters.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counters {
    /// Taken for this statement and not yet used.
    pub(crate) taken: HashMap<Sequence, VecDeque<i64>>,
    /// Used last in this session, by counter and in all.
    pub(crate) last: HashMap<Sequence, i64>,
    pub(crate) very_last: Option<i64>,
}

/// Answers of sub-queries: their rows.
pub(crate) type Answers = HashMap<usize, Arc<Vec<Vec<Value>>>>;

/// A row, and the rows around it.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    pub(crate) run: &'a Run<'a>,
    pub(crate) row: &'a [Value],
    pub(crate) outer: Option<&'a Env<'a>>,
    pub(crate) answers: &'a Answers,
}

impl<'a> Env<'a> {
    /// Another row of the same query.
    pub(crate) fn with<'b>(&'b self, row: &'b [Value], answers: &'b Answers) -> Env<'b>
    where
        'a: 'b,
    {
        Env {
            run: self.run,
            row,
            outer: self.outer,
            answers,
        }
    }

    fn outer(&self, level: usize) -> Result<&Env<'a>> {
        let mut env = self;
        for _ in 0..level {
            env = env.outer.ok_or_else(|| internal("a row further out"))?;
        }
        Ok(env)
    }

    pub(crate) fn call(&self, callable: &Callable, args: &[Value]) -> Result<Value> {
        if callable.strict && args.iter().any(Value::is_null) {
            return Ok(Value::Null);
        }
        let scope = Scope {
            args: &callable.args,
            result: callable.result,
            types: self.run.types,
            session: self.run.session,
        };
        (callable.call)(scope, args)
    }

    fn all(&self, items: &[Expr]) -> Result<Vec<Value>> {
        items.iter().map(|item| self.eval(item)).collect()
    }

    /// Whether a condition is true: neither false nor NULL.
    pub(crate) fn holds(&self, condition: &Expr) -> Result<bool> {
        Ok(matches!(self.eval(condition)?, Value::Bool(true)))
    }

    pub(crate) fn hold_all(&self, conditions: &[Expr]) -> Result<bool> {
        for condition in conditions {
            if !self.holds(condition)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// What PostgreSQL raises.
    pub(crate) fn eval(&self, expr: &Expr) -> Result<Value> {
        Ok(match expr {
            Expr::Const(value) => value.clone(),
            Expr::Param(index) => self.run.params.get(*index).cloned().unwrap_or(Value::Null),
            Expr::Column(slot) => self.row.get(*slot).cloned().unwrap_or(Value::Null),
            Expr::Outer(level, slot) => {
                let env = self.outer(*level)?;
                env.row.get(*slot).cloned().unwrap_or(Value::Null)
            }
            Expr::Call(callable, args) => self.call(callable, &self.all(args)?)?,
            Expr::Cast(inner, from, to, context) => {
                let value = self.eval(inner)?;
                cast::cast(
                    value,
                    *from,
                    *to,
                    *context,
                    self.run.types,
                    self.run.session,
                )?
            }
            Expr::And(items) => self.logic(items, false)?,
            Expr::Or(items) => self.logic(items, true)?,
            Expr::Not(inner) => match self.eval(inner)? {
                Value::Bool(value) => Value::Bool(!value),
                _ => Value::Null,
            },
            Expr::IsNull(inner) => Value::Bool(is_null(&self.eval(inner)?)),
            Expr::IsBool(inner, wanted) => {
                let found = match self.eval(inner)? {
                    Value::Bool(value) => Some(value),
                    _ => None,
                };
                Value::Bool(found == *wanted)
            }
            Expr::Distinct(equal, pair) => {
                let (left, right) = (self.eval(&pair[0])?, self.eval(&pair[1])?);
                Value::Bool(match (left.is_null(), right.is_null()) {
                    (true, true) => false,
                    (true, false) | (false, true) => true,
                    (false, false) => {
                        !matches!(self.call(equal, &[left, right])?, Value::Bool(true))
                    }
                })
            }
            Expr::Case(whens, rest) => {
                for (when, then) in whens {
                    if self.holds(when)? {
                        return self.eval(then);
                    }
                }
                self.eval(rest)?
            }
            Expr::Coalesce(items) => {
                for item in items {
                    let value = self.eval(item)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Value::Null
            }
            Expr::NullIf(equal, all) => {
                let pair = [self.eval(&all[0])?, self.eval(&all[1])?];
                let same = pair.iter().all(|value| !value.is_null())
                    && matches!(self.call(equal, &pair)?, Value::Bool(true));
                let [left, _] = pair;
                if same { Value::Null } else { left }
            }
            Expr::Extreme {
                greatest,
                ty,
                items,
            } => self.extreme(*greatest, *ty, items)?,
            Expr::Array {
                element,
                nested,
                items,
            } => {
                let values = self.all(items)?;
                if *nested {
                    nest(*element, values)?
                } else {
                    array(*element, values)
                }
            }
            Expr::Row(items) => {
                let values = items
                    .iter()
                    .map(|(ty, item)| Ok((*ty, self.eval(item)?)))
                    .collect::<Result<Vec<_>>>()?;
                Value::Record(values.into())
            }
            Expr::AnyAll {
                op,
                all,
                left,
                array,
                element,
            } => {
                let (left, array) = (self.eval(left)?, self.eval(array)?);
                let Value::Array(array) = array else {
                    return Ok(Value::Null);
                };
                let to = crossfade_values::Type::of(element.1);
                let casts = array.items.iter().map(|item| {
                    if element.0 == element.1 {
                        return Ok(item.clone());
                    }
                    cast::cast(
                        item.clone(),
                        element.0,
                        to,
                        Context::Implicit,
                        self.run.types,
                        self.run.session,
                    )
                });
                self.any_all(
                    casts.map(|item| item.and_then(|item| self.call(op, &[left.clone(), item]))),
                    *all,
                )?
            }
            Expr::Element(array, indexes) => self.element(array, indexes)?,
            Expr::Sub(sub) => {
                let rows = self
                    .answers
                    .get(&sub.id)
                    .ok_or_else(|| internal("a sub-query's answer"))?;
                self.sub(&sub.kind, rows)?
            }
            Expr::NextVal(sequence) => self.next_value(*sequence)?,
            Expr::CurrVal(sequence) => self.last_value(*sequence)?,
            Expr::Agg(_) => return Err(internal("an aggregate out of place")),
        })
    }

    /// AND (`decides`: false) or OR (`decides`: true).
    fn logic(&self, items: &[Expr], decides: bool) -> Result<Value> {
        let mut unknown = false;
        for item in items {
            match self.eval(item)? {
                Value::Bool(value) if value == decides => return Ok(Value::Bool(decides)),
                Value::Bool(_) => {}
                _ => unknown = true,
            }
        }
        Ok(if unknown {
            Value::Null
        } else {
            Value::Bool(!decides)
        })
    }

    fn any_all(&self, found: impl Iterator<Item = Result<Value>>, all: bool) -> Result<Value> {
        let mut unknown = false;
        for value in found {
            match value? {
                Value::Bool(value) if value != all => return Ok(Value::Bool(!all)),
                Value::Bool(_) => {}
                _ => unknown = true,
            }
        }
        Ok(if unknown {
            Value::Null
        } else {
            Value::Bool(all)
        })
    }

    fn extreme(&self, greatest: bool, ty: Oid, items: &[Expr]) -> Result<Value> {
        let mut best = Value::Null;
        for item in items {
            let value = self.eval(item)?;
            if value.is_null() {
                continue;
            }
            let better = best.is_null()
                || order::compare(ty, &value, &best, self.run.types).is_gt() == greatest
                    && order::compare(ty, &value, &best, self.run.types).is_ne();
            if better {
                best = value;
            }
        }
        Ok(best)
    }

    fn element(&self, array: &Expr, indexes: &[Expr]) -> Result<Value> {
        let Value::Array(array) = self.eval(array)? else {
            return Ok(Value::Null);
        };
        if array.dimensions.len() != indexes.len() {
            return Ok(Value::Null);
        }
        let mut place = 0;
        for (index, (length, lower)) in std::iter::zip(indexes, &array.dimensions) {
            let Value::Int(index) = self.eval(index)? else {
                return Ok(Value::Null);
            };
            match usize::try_from(index - i64::from(*lower)) {
                Ok(offset) if offset < *length => place = place * length + offset,
                _ => return Ok(Value::Null),
            }
        }
        Ok(array.items.get(place).cloned().unwrap_or(Value::Null))
    }

    fn sub(&self, kind: &SubKind, rows: &[Vec<Value>]) -> Result<Value> {
        match kind {
            SubKind::Exists => Ok(Value::Bool(!rows.is_empty())),
            SubKind::Scalar => match rows {
                [] => Ok(Value::Null),
                [row] => Ok(row.first().cloned().unwrap_or(Value::Null)),
                _ => Err(Error::new(
                    "21000",
                    "more than one row returned by a subquery used as an expression",
                )),
            },
            SubKind::Array(element) => {
                let values = rows.iter().filter_map(|row| row.first().cloned());
                Ok(array(*element, values.collect()))
            }
            SubKind::AnyAll {
                left,
                ops,
                all,
                casts,
            } => {
                let left = self.all(left)?;
                let compared = rows
                    .iter()
                    .map(|row| self.compare_row(&left, row, ops, casts));
                self.any_all(compared, *all)
            }
        }
    }

    fn compare_row(
        &self,
        left: &[Value],
        row: &[Value],
        ops: &[Callable],
        casts: &[(Oid, crossfade_values::Type)],
    ) -> Result<Value> {
        let mut unknown = false;
        for (((left, right), op), (from, to)) in left.iter().zip(row).zip(ops).zip(casts) {
            let right = cast::cast(
                right.clone(),
                *from,
                *to,
                Context::Implicit,
                self.run.types,
                self.run.session,
            )?;
            match self.call(op, &[left.clone(), right])? {
                Value::Bool(true) => {}
                Value::Bool(false) => return Ok(Value::Bool(false)),
                _ => unknown = true,
            }
        }
        Ok(if unknown {
            Value::Null
        } else {
            Value::Bool(true)
        })
    }

    fn next_value(&self, sequence: Sequence) -> Result<Value> {
        let mut counters = self
            .run
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let taken = counters
            .taken
            .get_mut(&sequence)
            .and_then(VecDeque::pop_front);
        let value = taken.ok_or_else(|| Error::unsupported("nextval() here"))?;
        counters.last.insert(sequence, value);
        counters.very_last = Some(value);
        Ok(Value::Int(value))
    }

    fn last_value(&self, sequence: Option<Sequence>) -> Result<Value> {
        let counters = self
            .run
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let value = match sequence {
            Some(sequence) => counters.last.get(&sequence).copied(),
            None => counters.very_last,
        };
        value.map(Value::Int).ok_or_else(|| match sequence {
            Some(_) => Error::new(
                "55000",
                "currval of the sequence is not yet defined in this session",
            ),
            None => Error::new("55000", "lastval is not yet defined in this session"),
        })
    }
}

/// A row is NULL when all of it is.
fn is_null(value: &Value) -> bool {
    match value {
        Value::Record(items) => items.iter().all(|(_, item)| item.is_null()),
        value => value.is_null(),
    }
}

pub(crate) fn array(element: Oid, items: Vec<Value>) -> Value {
    let dimensions = if items.is_empty() {
        Vec::new()
    } else {
        vec![(items.len(), 1)]
    };
    Value::Array(Arc::new(Array {
        element,
        dimensions,
        items,
    }))
}

fn nest(element: Oid, values: Vec<Value>) -> Result<Value> {
    let mismatch = || {
        Error::new(
            "2202E",
            "multidimensional arrays must have array expressions with matching dimensions",
        )
    };
    let mut dimensions: Option<Vec<(usize, i32)>> = None;
    let (count, mut items) = (values.len(), Vec::new());
    for value in values {
        let Value::Array(inner) = value else {
            return Err(mismatch());
        };
        match &dimensions {
            None => dimensions = Some(inner.dimensions.clone()),
            Some(known) if *known == inner.dimensions => {}
            Some(_) => return Err(mismatch()),
        }
        items.extend(inner.items.iter().cloned());
    }
    let inner = dimensions.unwrap_or_default();
    if inner.is_empty() {
        return Ok(array(element, Vec::new()));
    }
    let dimensions = std::iter::once((count, 1)).chain(inner).collect();
    Ok(Value::Array(Arc::new(Array {
        element,
        dimensions,
        items,
    })))
}

/// A mistake of ours.
pub(crate) fn internal(what: &str) -> Error {
    Error::new("XX000", format!("crossfade: {what} is missing"))
}
