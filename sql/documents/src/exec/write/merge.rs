//! MERGE.

use std::collections::HashSet;

use crossfade_values::{Error, Value};
use mongodb::bson::RawDocumentBuf;

use super::super::{Exec, Row, Subs, scan::Hints, select::raw};
use crate::{
    bind::{Action, Merge},
    expr::Expr,
    fail::Fail,
    txn::{Entry, Hold, id_of},
};

/// What is done with a row.
struct Chosen {
    /// The number of the clause.
    when: usize,
    row: Row,
    /// The document that matches.
    before: Option<RawDocumentBuf>,
}

/// Rows that the same is done with, one behind the other: they are written at once.
#[derive(Default)]
struct Portion {
    kind: Option<Kind>,
    entries: Vec<Entry>,
    before: Vec<Row>,
    after: Vec<Row>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Insert,
    Update,
    /// To another key.
    Move,
    Delete,
}

/// A row that was written: as it was, and as it is.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) before: Option<Row>,
    pub(crate) after: Option<Row>,
}

impl Exec<'_> {
    /// How many rows it wrote. Everything is chosen by what was there before, and written in the order of the source.
    pub(crate) async fn merge(&mut self, merge: &Merge) -> Result<u64, Fail> {
        let chosen = self.chosen(merge).await?;
        for (number, when) in merge.whens.iter().enumerate() {
            let rows = chosen.iter().filter(|chosen| chosen.when == number).count();
            self.take_for(when.action.exprs(), rows).await?;
        }
        let subs: Vec<Subs<'_>> = merge
            .whens
            .iter()
            .map(|when| Subs::of(when.action.exprs()))
            .collect();
        let (mut count, mut portion) = (0, Portion::default());
        let mut touched = HashSet::new();
        for one in chosen {
            let when = &merge.whens[one.when];
            if matches!(when.action, Action::Nothing) {
                continue;
            }
            if let Some(before) = &one.before {
                let id = id_of(before);
                let collection = &self.catalog.tables[merge.table].documents.collection;
                if self.has_changed(collection, &id) || !touched.insert(format!("{id:?}")) {
                    return Err(twice());
                }
            }
            count += 1;
            self.act(merge, &when.action, &subs[one.when], one, &mut portion)
                .await?;
        }
        self.write_portion(merge, &mut portion).await?;
        Ok(count)
    }

    /// Every row with the clause that applies to it.
    async fn chosen(&mut self, merge: &Merge) -> Result<Vec<Chosen>, Fail> {
        let slot = self.catalog.tables[merge.table].columns.len();
        let width = merge.rows.width;
        let mut source = self
            .source(&merge.rows.from, width, None, Hints::default())
            .await?;
        let conditions = merge.whens.iter().flat_map(|when| &when.condition);
        let subs = Subs::of(conditions);
        let fixed = self.fixed_answers(&subs, None).await?;
        let mut all = Vec::new();
        while let Some(mut row) = self.next(&mut source, width, None).await? {
            let before = match std::mem::replace(&mut row[slot], Value::Null) {
                Value::Bytes(bytes) => Some(raw(&bytes)?),
                _ => None,
            };
            for (number, when) in merge.whens.iter().enumerate() {
                if when.matched == before.is_some()
                    && self
                        .hold(&when.condition, &subs, &fixed, &row, None)
                        .await?
                {
                    self.keep(&row)?;
                    all.push(Chosen {
                        when: number,
                        row,
                        before,
                    });
                    break;
                }
            }
        }
        Ok(all)
    }

    async fn act(
        &mut self,
        merge: &Merge,
        action: &Action,
        subs: &Subs<'_>,
        Chosen { row, before, .. }: Chosen,
        portion: &mut Portion,
    ) -> Result<(), Fail> {
        let table = &self.catalog.tables[merge.table];
        let old: Row = row[..table.columns.len()].to_vec();
        let new = match action {
            Action::Nothing => return Ok(()),
            Action::Delete => None,
            Action::Update(set) => {
                let exprs = set.iter().map(|(column, expr)| (*column, expr));
                Some(self.valued(old.clone(), exprs, subs, &row).await?)
            }
            Action::Insert(values) => {
                let empty = vec![Value::Null; values.len()];
                Some(
                    self.valued(empty, values.iter().enumerate(), subs, &row)
                        .await?,
                )
            }
        };
        let new = match new {
            Some(mut new) => {
                self.obey(table, &merge.rules, &mut new)?;
                let (id, document) = self.document(table, &new)?;
                Some((new, id, document))
            }
            None => None,
        };
        let old_id = before.as_ref().map(id_of);
        let kind = match (&old_id, &new) {
            (None, _) => Kind::Insert,
            (Some(_), None) => Kind::Delete,
            (Some(old), Some((_, id, _))) if old == id => Kind::Update,
            (Some(_), Some(_)) => Kind::Move,
        };
        // A key that one row gives up and another takes: in their order.
        if portion.kind != Some(kind) || kind == Kind::Move {
            self.write_portion(merge, portion).await?;
            portion.kind = Some(kind);
        }
        let hold = match &new {
            Some((new, ..)) if kind == Kind::Update => self.hold_of(table, &old, new),
            _ => Hold::Whole,
        };
        let entry = |id, before, after| Entry {
            collection: table.documents.collection.clone(),
            id,
            before,
            after,
            hold,
        };
        if before.is_some() {
            portion.before.push(old);
        }
        match (old_id, new) {
            (Some(old), Some((new, id, document))) if old == id => {
                portion.entries.push(entry(id, before, Some(document)));
                portion.after.push(new);
            }
            (old, new) => {
                if let Some(old) = old {
                    portion.entries.push(entry(old, before, None));
                }
                if let Some((new, id, document)) = new {
                    portion.entries.push(entry(id, None, Some(document)));
                    portion.after.push(new);
                }
            }
        }
        Ok(())
    }

    /// A row with values of expressions over another.
    async fn valued<'e>(
        &mut self,
        mut of: Row,
        exprs: impl Iterator<Item = (usize, &'e Expr)>,
        subs: &Subs<'_>,
        row: &Row,
    ) -> Result<Row, Fail> {
        let fixed = self.fixed_answers(subs, None).await?;
        let env = self.env(None);
        let answers = self
            .row_answers(subs, &fixed, &env.with(row, &fixed))
            .await?;
        let env = env.with(row, &answers);
        for (column, expr) in exprs {
            of[column] = env.eval(expr)?;
        }
        Ok(of)
    }

    async fn write_portion(&mut self, merge: &Merge, portion: &mut Portion) -> Result<(), Fail> {
        let Portion {
            kind,
            entries,
            before,
            after,
        } = std::mem::take(portion);
        let Some(kind) = kind else {
            return Ok(());
        };
        let table = &self.catalog.tables[merge.table];
        let outcome = self.change(entries).await;
        self.told(table, (&after, kind == Kind::Insert), outcome)
            .await?;
        match kind {
            Kind::Insert => self.inserted(merge.table, &after),
            Kind::Update | Kind::Move => self.updated(merge.table, &before, &after),
            Kind::Delete => self.deleted_rows(merge.table, before.clone()),
        }
        let Some(written) = &mut self.written else {
            return Ok(());
        };
        let gone = matches!(kind, Kind::Delete | Kind::Move);
        let rows = before.len().max(after.len());
        let (mut before, mut after) = (before.into_iter(), after.into_iter());
        written.extend((0..rows).map(|_| Written {
            before: before.next().filter(|_| gone),
            after: after.next(),
        }));
        Ok(())
    }
}

/// Two rows of the source want one row.
fn twice() -> Fail {
    Error::new("21000", "MERGE command cannot affect row a second time")
        .hint("Ensure that not more than one source row matches any one target row.")
        .into()
}
