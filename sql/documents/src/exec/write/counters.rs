//! Values of sequences, taken in one trip for all rows of a statement.

use std::{
    collections::{HashMap, VecDeque},
    sync::PoisonError,
};

use crossfade_values::Error;

use super::super::Exec;
use crate::{
    bind::Insert,
    expr::{Expr, Sequence},
    fail::Fail,
};

impl Exec<'_> {
    /// Takes from the counters what the rows will use, in one trip each. `alone`: they are one document, which is inserted outside of any transaction.
    pub(super) async fn take_counters<'q>(
        &mut self,
        insert: &Insert,
        rows: impl Iterator<Item = &'q [Option<Expr>]>,
        alone: bool,
    ) -> Result<(), Fail> {
        let mut wanted: HashMap<Sequence, i64> = HashMap::new();
        let mut written_next = alone;
        let mut count = |expr: &Expr, column: Option<usize>| {
            expr.walk(&mut |expr| {
                if let Expr::NextVal(sequence) = expr {
                    *wanted.entry(*sequence).or_default() += 1;
                    let only = |column| self.is_only_once(*sequence, insert.table, column);
                    written_next &= column.is_some_and(only);
                }
            });
        };
        for row in rows {
            let given = |column: usize| {
                let place = insert.columns.iter().position(|known| *known == column);
                place.is_some_and(|place| row.get(place).is_some_and(Option::is_some))
            };
            row.iter().flatten().for_each(|expr| count(expr, None));
            for (column, default) in insert.defaults.iter().enumerate() {
                if !given(column) {
                    count(default, Some(column));
                }
            }
        }
        for (sequence, count) in wanted {
            self.take_from(sequence, count, written_next).await?;
        }
        Ok(())
    }

    /// Whether a value that was handed out twice would be refused where it is written the second time: the sequence is for this column alone, which is unique.
    fn is_only_once(&self, sequence: Sequence, table: usize, column: usize) -> bool {
        let tables = &self.catalog.tables;
        let name = &tables[sequence.table].map.columns[sequence.column]
            .old
            .sequence;
        let columns = tables.iter().flat_map(|table| &table.map.columns);
        let fed = columns.filter(|column| column.old.sequence == *name);
        let mut uniques = tables[table].uniques.iter();
        fed.count() == 1 && uniques.any(|unique| unique.columns == [column])
    }

    /// Takes from the counters what expressions use that are computed for so many rows.
    pub(crate) async fn take_for(
        &mut self,
        exprs: impl Iterator<Item = &Expr>,
        rows: usize,
    ) -> Result<(), Fail> {
        let mut wanted: HashMap<Sequence, i64> = HashMap::new();
        for expr in exprs {
            expr.walk(&mut |expr| {
                if let Expr::NextVal(sequence) = expr {
                    *wanted.entry(*sequence).or_default() += 1;
                }
            });
        }
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        for (sequence, count) in wanted {
            if rows > 0 {
                self.take_from(sequence, count * rows, false).await?;
            }
        }
        Ok(())
    }

    /// Takes `count` values of a counter, which are durable before they are used: what is made again behind a crash of the server has them still. `written_next`: as there, and
    /// none of them can be written twice.
    pub(crate) async fn take_from(
        &mut self,
        sequence: Sequence,
        count: i64,
        written_next: bool,
    ) -> Result<(), Fail> {
        let table = &self.catalog.tables[sequence.table];
        let column = &table.map.columns[sequence.column].old;
        let Some(sequence_name) = &column.sequence else {
            return Ok(());
        };
        let name = &sequence_name.name;
        let facts = column.sequence_facts.as_ref();
        let step = facts.map_or(1, |facts| facts.increment);
        let last = if self.txn.has_restarted(sequence_name) {
            let by = step * count;
            self.txn.advance_counter(sequence_name, by).await?
        } else {
            self.txn
                .store()
                .advance_counter(sequence_name, step * count, written_next)
                .await
                .map_err(|error| crate::fail::store_error(&error))?
        };
        let Some(last) = last else {
            return Err(Error::new(
                "55000",
                format!("the counter of sequence \"{name}\" is not there"),
            )
            .hint("the flip to phase 5 makes it; `crossfade check` says what is missing")
            .into());
        };
        let mut values = VecDeque::new();
        for back in (0..count).rev() {
            let value = last - back * step;
            let beyond = facts.filter(|facts| value > facts.max || value < facts.min);
            if let Some(facts) = beyond {
                let (word, end) = if step > 0 {
                    ("maximum", facts.max)
                } else {
                    ("minimum", facts.min)
                };
                if facts.cycle {
                    return Err(Error::unsupported(format!(
                        "sequence \"{name}\", which has come to its end and is to begin again,"
                    ))
                    .into());
                }
                return Err(Error::new(
                    "2200H",
                    format!("nextval: reached {word} value of sequence \"{name}\" ({end})"),
                )
                .into());
            }
            values.push_back(value);
        }
        let mut counters = self
            .run
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        counters.taken.entry(sequence).or_default().extend(values);
        Ok(())
    }
}
