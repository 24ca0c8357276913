//! SELECT, VALUES, and set operations.

use std::collections::HashMap;

use crossfade_sql_wire::Sink;
use crossfade_values::{Error, Type, Value, cast};
use mongodb::bson::{Bson, RawDocumentBuf, doc};

use super::{
    Exec, Row, Subs,
    finish::{self, Window},
    group::Groups,
    scan::Hints,
};
use crate::{
    eval::{Answers, Env},
    fail::Fail,
    plan::{Distinct, From, Locking, Select, SetKind, SetOperation, Values, Wait},
    txn::{Entry, Hold, conflict, id_of},
};

/// Where finished rows go.
pub(crate) enum Out<'a> {
    /// Kept.
    Rows(&'a mut Vec<Row>),
    /// To the client, and counted.
    Client(&'a mut dyn Sink, &'a mut u64),
}

impl Out<'_> {
    pub(super) async fn push(
        &mut self,
        exec: &mut Exec<'_>,
        mut row: Row,
        visible: usize,
    ) -> Result<(), Fail> {
        row.truncate(visible);
        match self {
            Out::Rows(rows) => {
                exec.keep(&row)?;
                rows.push(row);
            }
            Out::Client(sink, count) => {
                sink.push(&row)?;
                **count += 1;
                if sink.is_full() {
                    sink.drain().await?;
                }
            }
        }
        Ok(())
    }

    async fn all(
        &mut self,
        exec: &mut Exec<'_>,
        rows: Vec<Row>,
        visible: usize,
    ) -> Result<(), Fail> {
        for row in rows {
            self.push(exec, row, visible).await?;
        }
        Ok(())
    }
}

impl Exec<'_> {
    pub(super) async fn select(
        &mut self,
        select: &Select,
        outer: Option<&Env<'_>>,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        if select.group.is_some() {
            return self.grouped(select, outer, out).await;
        }
        let window = self.window(&select.tail, outer).await?;
        if let Some(locking) = &select.locking {
            return self.locked(select, locking, window, outer, out).await;
        }
        let (hints, sorted) = self.hints(select, window, outer);
        let streams = select.distinct == Distinct::No && (sorted || select.tail.order.is_empty());
        let mut source = self
            .source(&select.from, select.width, outer, hints)
            .await?;
        let work = Work::of(select);
        let fixed = self.fixed_answers(&work.subs, outer).await?;
        let mut rows = Vec::new();
        let (mut skip, mut left) = (window.skip, window.take);
        while !(streams && left == Some(0)) {
            let Some(row) = self.next(&mut source, select.width, outer).await? else {
                break;
            };
            let Some(row) = self.target_row(select, &work, &fixed, row, outer).await? else {
                continue;
            };
            if !streams {
                self.keep(&row)?;
                rows.push(row);
            } else if skip > 0 {
                skip -= 1;
            } else {
                left = left.map(|left| left - 1);
                out.push(self, row, select.visible).await?;
            }
        }
        if streams {
            return Ok(());
        }
        let rows = self.finish(select, rows, window);
        out.all(self, rows, select.visible).await
    }

    fn finish(&self, select: &Select, mut rows: Vec<Row>, window: Window) -> Vec<Row> {
        let types = &self.catalog.types;
        if select.distinct == Distinct::All {
            rows = finish::distinct(rows, &select.distinct, select.visible, &select.types, types);
        }
        finish::sort(&mut rows, &select.tail.order, types);
        if let Distinct::On(_) = select.distinct {
            rows = finish::distinct(rows, &select.distinct, select.visible, &select.types, types);
        }
        finish::cut(rows, window, &select.tail, types)
    }

    /// What MongoDB can spare us: sorting, and rows behind the limit.
    fn hints(&self, select: &Select, window: Window, outer: Option<&Env<'_>>) -> (Hints, bool) {
        let mut hints = Hints::default();
        let From::Scan(scan) = &select.from else {
            return (hints, false);
        };
        let collection = &self.catalog.tables[scan.table].documents.collection;
        if self.changed(collection).is_some() {
            return (hints, false);
        }
        if select.distinct != Distinct::No || select.tail.with_ties {
            return (hints, false);
        }
        if !select.tail.order.is_empty() {
            let env = self.env(outer);
            match self
                .pusher(scan, &env)
                .sort(scan, &select.tail.order, &select.targets)
            {
                Some(sort) => hints.sort = Some(sort),
                None => return (hints, false),
            }
        }
        let sorted = hints.sort.is_some();
        if select.filter.is_empty() {
            hints.limit = window.end();
        }
        (hints, sorted)
    }

    /// The targets over a row that the conditions let through.
    async fn target_row(
        &mut self,
        select: &Select,
        work: &Work<'_>,
        fixed: &Answers,
        row: Row,
        outer: Option<&Env<'_>>,
    ) -> Result<Option<Row>, Fail> {
        let env = self.env(outer);
        let answers;
        let answers = if work.subs.move_with_rows() {
            answers = self
                .row_answers(&work.subs, fixed, &env.with(&row, fixed))
                .await?;
            &answers
        } else {
            fixed
        };
        let env = env.with(&row, answers);
        if !env.hold_all(&select.filter)? {
            return Ok(None);
        }
        let values = select.targets.iter().map(|target| env.eval(target));
        Ok(Some(values.collect::<Result<Row, Error>>()?))
    }

    async fn grouped(
        &mut self,
        select: &Select,
        outer: Option<&Env<'_>>,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        let Some(group) = &select.group else {
            return Ok(());
        };
        let window = self.window(&select.tail, outer).await?;
        let groups = match self.counted(select, outer).await? {
            Some(count) => vec![vec![Value::Int(count); group.aggregates.len()]],
            None => self.groups(select, outer).await?,
        };
        let targets = Subs::of(select.targets.iter().chain(&group.having));
        let fixed = self.fixed_answers(&targets, outer).await?;
        let mut rows = Vec::new();
        for row in groups {
            let env = self.env(outer);
            let answers = self
                .row_answers(&targets, &fixed, &env.with(&row, &fixed))
                .await?;
            let env = env.with(&row, &answers);
            if let Some(having) = &group.having
                && !env.holds(having)?
            {
                continue;
            }
            let values = select.targets.iter().map(|target| env.eval(target));
            let row = values.collect::<Result<Row, Error>>()?;
            self.keep(&row)?;
            rows.push(row);
        }
        let rows = self.finish(select, rows, window);
        out.all(self, rows, select.visible).await
    }

    async fn groups(&mut self, select: &Select, outer: Option<&Env<'_>>) -> Result<Vec<Row>, Fail> {
        let Some(group) = &select.group else {
            return Ok(Vec::new());
        };
        let mut source = self
            .source(&select.from, select.width, outer, Hints::default())
            .await?;
        let subs = Subs::of(&select.filter);
        let fixed = self.fixed_answers(&subs, outer).await?;
        let mut groups = Groups::new(group);
        while let Some(row) = self.next(&mut source, select.width, outer).await? {
            if self
                .hold(&select.filter, &subs, &fixed, &row, outer)
                .await?
            {
                groups.take(self, &row, outer).await?;
            }
        }
        groups.finish(self)
    }

    /// `count(*)` alone, over conditions that MongoDB can look for itself, is counted there.
    async fn counted(
        &mut self,
        select: &Select,
        outer: Option<&Env<'_>>,
    ) -> Result<Option<i64>, Fail> {
        let (Some(group), From::Scan(scan)) = (&select.group, &select.from) else {
            return Ok(None);
        };
        let plain = group.whole
            && group.keys.is_empty()
            && select.filter.is_empty()
            && !group.aggregates.is_empty()
            && group.aggregates.iter().all(|agg| {
                agg.aggregate.name == "count" && agg.args.is_empty() && agg.filter.is_none()
            });
        if !plain {
            return Ok(None);
        }
        let collection = &self.catalog.tables[scan.table].documents.collection;
        if self.changed(collection).is_some() {
            return Ok(None);
        }
        let answers = self.scan_answers(scan, outer).await?;
        let env = self.env(outer);
        let filter = self.filter_of(scan, &env.with(&[], &answers), &Hints::default())?;
        if filter.nothing {
            return Ok(Some(0));
        }
        if !filter.exact {
            return Ok(None);
        }
        let catalog = self.catalog;
        let database = self.txn.database().await?;
        let collection =
            database.collection::<RawDocumentBuf>(&catalog.tables[scan.table].documents.collection);
        let pipeline = [doc! { "$match": filter.document }, doc! { "$count": "n" }];
        let session = self.txn.reader(true).await?;
        let aggregate = collection.aggregate(pipeline).with_type::<RawDocumentBuf>();
        let mut found = match session {
            Some(session) => aggregate
                .session(session)
                .await
                .map(super::scan::Found::Session),
            None => aggregate.await.map(super::scan::Found::Plain),
        }
        .map_err(|error| self.txn.failed(&error))?;
        let count = match self.next_document(&mut found).await? {
            Some(raw) => match raw.get("n").ok().flatten().map(Bson::try_from) {
                Some(Ok(Bson::Int32(count))) => count.into(),
                Some(Ok(Bson::Int64(count))) => count,
                _ => 0,
            },
            None => 0,
        };
        Ok(Some(count))
    }

    /// FOR UPDATE: sorted, then locked, then cut off, as PostgreSQL does it.
    async fn locked(
        &mut self,
        select: &Select,
        locking: &Locking,
        window: Window,
        outer: Option<&Env<'_>>,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        let mut source = self
            .source(
                &select.from,
                select.width,
                outer,
                self.locking_hints(select, window, outer),
            )
            .await?;
        let work = Work::of(select);
        let fixed = self.fixed_answers(&work.subs, outer).await?;
        let mut rows: Vec<(Row, Vec<Entry>)> = Vec::new();
        while let Some(row) = self.next(&mut source, select.width, outer).await? {
            let entries = self.entries(select, locking, &row)?;
            // A row that the statement itself has changed is passed over, as in PostgreSQL.
            if entries.iter().any(|entry| {
                self.skipped.contains(&name(entry))
                    || self.has_changed(&entry.collection, &entry.id)
            }) {
                continue;
            }
            if let Some(row) = self.target_row(select, &work, &fixed, row, outer).await? {
                self.keep(&row)?;
                rows.push((row, entries));
            }
        }
        let types = &self.catalog.types;
        rows.sort_by(|(one, _), (other, _)| finish::compare(one, other, &select.tail.order, types));
        let skip = usize::try_from(window.skip).unwrap_or(usize::MAX);
        let take = window.take.map_or(usize::MAX, |take| {
            usize::try_from(take).unwrap_or(usize::MAX)
        });
        let mut chosen = Vec::new();
        for (row, entries) in rows.into_iter().skip(skip).take(take) {
            self.lock(select, locking, entries).await?;
            chosen.push(row);
        }
        out.all(self, chosen, select.visible).await
    }

    fn locking_hints(&self, select: &Select, window: Window, outer: Option<&Env<'_>>) -> Hints {
        let (mut hints, sorted) = self.hints(select, window, outer);
        let more = u64::try_from(self.skipped.len()).unwrap_or(u64::MAX);
        hints.limit = match sorted || select.tail.order.is_empty() {
            true => hints.limit.map(|limit| limit.saturating_add(more)),
            false => None,
        };
        hints
    }

    /// The documents of a row that are to be locked.
    fn entries(&self, select: &Select, locking: &Locking, row: &Row) -> Result<Vec<Entry>, Fail> {
        let mut entries = Vec::new();
        for &base in &locking.bases {
            let Some(table) = table_at(&select.from, base) else {
                continue;
            };
            let table = &self.catalog.tables[table];
            if let Value::Bytes(bytes) = &row[base + table.columns.len()] {
                let raw = raw(bytes)?;
                entries.push(Entry {
                    collection: table.documents.collection.clone(),
                    id: id_of(&raw),
                    before: Some(raw.clone()),
                    after: Some(raw),
                    hold: Hold::Whole,
                });
            }
        }
        Ok(entries)
    }

    async fn lock(
        &mut self,
        select: &Select,
        locking: &Locking,
        entries: Vec<Entry>,
    ) -> Result<(), Fail> {
        let names: Vec<String> = entries.iter().map(name).collect();
        match (self.txn.put(entries).await, locking.wait) {
            (Err(Fail::Again), Wait::Skip) => {
                self.skipped.extend(names);
                Err(Fail::Again)
            }
            (Err(Fail::Again), Wait::Fail) => {
                let table = locking
                    .bases
                    .first()
                    .and_then(|base| table_at(&select.from, *base));
                let table = table.map_or("", |table| self.catalog.tables[table].name());
                Err(Error::new(
                    "55P03",
                    format!("could not obtain lock on row in relation \"{table}\""),
                )
                .into())
            }
            (outcome, _) => outcome,
        }
    }

    pub(super) async fn values(
        &mut self,
        values: &Values,
        outer: Option<&Env<'_>>,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        let subs = Subs::of(values.rows.iter().flatten());
        let fixed = self.fixed_answers(&subs, outer).await?;
        let env = self.env(outer);
        let answers = self.row_answers(&subs, &fixed, &env).await?;
        let env = env.with(&[], &answers);
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            let row = row
                .iter()
                .map(|expr| env.eval(expr))
                .collect::<Result<Row, Error>>()?;
            rows.push(row);
        }
        let width = values.rows.first().map_or(0, Vec::len);
        finish::sort(&mut rows, &values.tail.order, &self.catalog.types);
        let window = self.window(&values.tail, outer).await?;
        let rows = finish::cut(rows, window, &values.tail, &self.catalog.types);
        out.all(self, rows, width).await
    }

    pub(super) async fn set_operation(
        &mut self,
        set: &SetOperation,
        outer: Option<&Env<'_>>,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        self.several = true;
        let left = self.query(&set.left, outer).await?;
        let left = self.casted(left, &set.casts[0])?;
        let right = self.query(&set.right, outer).await?;
        let right = self.casted(right, &set.casts[1])?;
        let mut rows = self.combined(set, left, right);
        finish::sort(&mut rows, &set.tail.order, &self.catalog.types);
        let window = self.window(&set.tail, outer).await?;
        let rows = finish::cut(rows, window, &set.tail, &self.catalog.types);
        out.all(self, rows, set.types.len()).await
    }

    fn combined(&self, set: &SetOperation, left: Vec<Row>, right: Vec<Row>) -> Vec<Row> {
        let types = &self.catalog.types;
        let columns: Vec<usize> = (0..set.types.len()).collect();
        let key = |row: &Row| finish::key(row, &columns, &set.types, types);
        match (set.kind, set.all) {
            (SetKind::Union, all) => {
                let rows: Vec<Row> = left.into_iter().chain(right).collect();
                if all {
                    rows
                } else {
                    finish::distinct(rows, &Distinct::All, columns.len(), &set.types, types)
                }
            }
            (kind, all) => {
                let mut there: HashMap<Vec<u8>, usize> = HashMap::new();
                for row in &right {
                    *there.entry(key(row)).or_default() += 1;
                }
                let intersects = kind == SetKind::Intersect;
                let mut left = left;
                if !all {
                    left = finish::distinct(left, &Distinct::All, columns.len(), &set.types, types);
                }
                left.retain(|row| {
                    let count = there.entry(key(row)).or_default();
                    let met = *count > 0;
                    if all && met {
                        *count -= 1;
                    }
                    met == intersects
                });
                left
            }
        }
    }

    fn casted(&self, mut rows: Vec<Row>, casts: &[Option<(u32, u32)>]) -> Result<Vec<Row>, Fail> {
        for (column, cast) in casts.iter().enumerate() {
            let Some((from, to)) = cast else { continue };
            for row in &mut rows {
                let value = std::mem::replace(&mut row[column], Value::Null);
                row[column] = cast::cast(
                    value,
                    *from,
                    Type::of(*to),
                    cast::Context::Implicit,
                    &self.catalog.types,
                    self.run.session,
                )?;
            }
        }
        Ok(rows)
    }
}

/// The sub-queries of a SELECT's conditions and targets.
struct Work<'q> {
    subs: Subs<'q>,
}

impl<'q> Work<'q> {
    fn of(select: &'q Select) -> Work<'q> {
        Work {
            subs: Subs::of(select.filter.iter().chain(&select.targets)),
        }
    }
}

fn name(entry: &Entry) -> String {
    format!("{}/{:?}", entry.collection, entry.id)
}

pub(super) fn raw(bytes: &[u8]) -> Result<RawDocumentBuf, Fail> {
    RawDocumentBuf::from_bytes(bytes.to_vec()).map_err(|_| conflict())
}

/// The table that is read at these slots.
pub(super) fn table_at(from: &From, base: usize) -> Option<usize> {
    match from {
        From::Scan(scan) => (scan.base == base).then_some(scan.table),
        From::Join(join) => table_at(&join.left, base).or_else(|| table_at(&join.right, base)),
        From::Nothing | From::System(_) | From::Query(_) | From::Function(_) => None,
    }
}
