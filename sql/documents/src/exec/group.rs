//! Groups and their aggregates.

use std::collections::{HashMap, HashSet};

use crossfade_values::{Value, aggregate::State, resolve::Scope};

use super::{Exec, Row, Subs, finish};
use crate::{
    eval::Env,
    fail::Fail,
    plan::{Agg, Group},
};

/// Groups while their rows come in.
pub(crate) struct Groups<'q> {
    group: &'q Group,
    subs: Subs<'q>,
    by_key: HashMap<Vec<u8>, usize>,
    all: Vec<Members>,
}

struct Members {
    key: Row,
    states: Vec<Running>,
}

struct Running {
    state: Box<dyn State>,
    seen: HashSet<Vec<u8>>,
    /// Rows that are to be sorted first: what they are sorted by, and the arguments.
    waiting: Vec<(Row, Row)>,
}

impl<'q> Groups<'q> {
    pub(crate) fn new(group: &'q Group) -> Groups<'q> {
        let exprs = group.keys.iter().map(|(key, _)| key);
        let within = group
            .aggregates
            .iter()
            .flat_map(|agg| agg.args.iter().chain(&agg.filter));
        Groups {
            group,
            subs: Subs::of(exprs.chain(within)),
            by_key: HashMap::new(),
            all: Vec::new(),
        }
    }

    /// Takes a row.
    pub(crate) async fn take(
        &mut self,
        exec: &mut Exec<'_>,
        row: &Row,
        outer: Option<&Env<'_>>,
    ) -> Result<(), Fail> {
        let fixed = exec.fixed_answers(&self.subs, outer).await?;
        let env = exec.env(outer);
        let answers = match self.subs.move_with_rows() {
            true => {
                exec.row_answers(&self.subs, &fixed, &env.with(row, &fixed))
                    .await?
            }
            false => fixed,
        };
        let env = env.with(row, &answers);
        let types = &exec.catalog.types;
        let mut key = Vec::with_capacity(self.group.keys.len());
        let mut bytes = Vec::new();
        for (expr, ty) in &self.group.keys {
            let value = env.eval(expr)?;
            finish::append(*ty, &value, types, &mut bytes);
            key.push(value);
        }
        let place = match self.by_key.get(&bytes) {
            Some(place) => *place,
            None => {
                exec.keep(&key)?;
                self.all.push(Members {
                    key,
                    states: begin(self.group),
                });
                self.by_key.insert(bytes, self.all.len() - 1);
                self.all.len() - 1
            }
        };
        for (agg, running) in self
            .group
            .aggregates
            .iter()
            .zip(&mut self.all[place].states)
        {
            running.take(exec, agg, &env)?;
        }
        Ok(())
    }

    /// A row of each group: its key, then its aggregates.
    pub(crate) fn finish(mut self, exec: &Exec<'_>) -> Result<Vec<Row>, Fail> {
        if self.group.whole && self.all.is_empty() {
            self.all.push(Members {
                key: Vec::new(),
                states: begin(self.group),
            });
        }
        let mut rows = Vec::with_capacity(self.all.len());
        for members in self.all {
            let mut row = members.key;
            for (agg, mut running) in self.group.aggregates.iter().zip(members.states) {
                row.push(running.finish(exec, agg)?);
            }
            rows.push(row);
        }
        Ok(rows)
    }
}

fn begin(group: &Group) -> Vec<Running> {
    let states = group.aggregates.iter().map(|agg| Running {
        state: (agg.aggregate.begin)(),
        seen: HashSet::new(),
        waiting: Vec::new(),
    });
    states.collect()
}

fn scope<'e>(exec: &'e Exec<'_>, agg: &'e Agg) -> Scope<'e> {
    Scope {
        args: &agg.aggregate.args,
        result: agg.aggregate.result,
        types: &exec.catalog.types,
        session: exec.run.session,
    }
}

impl Running {
    fn take(&mut self, exec: &mut Exec<'_>, agg: &Agg, env: &Env<'_>) -> Result<(), Fail> {
        if let Some(filter) = &agg.filter
            && !env.holds(filter)?
        {
            return Ok(());
        }
        let args = agg
            .args
            .iter()
            .map(|arg| env.eval(arg))
            .collect::<Result<Vec<Value>, _>>()?;
        if agg.distinct {
            let mut bytes = Vec::new();
            for (value, ty) in args.iter().zip(&agg.aggregate.args) {
                finish::append(*ty, value, &exec.catalog.types, &mut bytes);
            }
            if !self.seen.insert(bytes) {
                return Ok(());
            }
        }
        if agg.order.is_empty() && !agg.distinct {
            self.state.take(scope(exec, agg), &args)?;
            return Ok(());
        }
        let by = agg
            .order
            .iter()
            .map(|(expr, ..)| env.eval(expr))
            .collect::<Result<Vec<_>, _>>()?;
        exec.keep(&args)?;
        self.waiting.push((by, args));
        Ok(())
    }

    fn finish(&mut self, exec: &Exec<'_>, agg: &Agg) -> Result<Value, Fail> {
        let types = &exec.catalog.types;
        self.waiting
            .sort_by(|(one, one_args), (other, other_args)| {
                for ((_, ty, descending, nulls_first), (a, b)) in
                    agg.order.iter().zip(one.iter().zip(other))
                {
                    let ordering =
                        finish::compare_values(*ty, a, b, *descending, *nulls_first, types);
                    if ordering.is_ne() {
                        return ordering;
                    }
                }
                // DISTINCT sorts by its arguments.
                for (ty, (a, b)) in agg
                    .aggregate
                    .args
                    .iter()
                    .zip(one_args.iter().zip(other_args))
                {
                    if agg.distinct && crossfade_values::order::is_sortable(*ty, types) {
                        let ordering = finish::compare_values(*ty, a, b, false, false, types);
                        if ordering.is_ne() {
                            return ordering;
                        }
                    }
                }
                std::cmp::Ordering::Equal
            });
        for (_, args) in std::mem::take(&mut self.waiting) {
            self.state.take(scope(exec, agg), &args)?;
        }
        Ok(self.state.finish(scope(exec, agg))?)
    }
}
