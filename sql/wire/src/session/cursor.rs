//! DECLARE, FETCH, MOVE and CLOSE: cursors over rows that are all there.

use crossfade_values::{Error, Value};
use pg_query::protobuf::{DeclareCursorStmt, FetchDirection, FetchStmt};

use super::{
    Serving,
    portal::{Cursor, Portal, What},
};
use crate::{
    parse::Parsed,
    report::{Report, Result},
    settings,
    sink::Target,
    statement::{Statement, Work},
};

/// `parsenodes.h`.
const BINARY: i32 = 0x1;
const NO_SCROLL: i32 = 0x4;
const HOLD: i32 = 0x20;

/// FETCH ALL.
const ALL: i64 = i64::MAX;

impl Serving {
    pub(super) async fn declare(
        &mut self,
        declare: &DeclareCursorStmt,
        whole: &Statement,
        params: &[Value],
    ) -> Result<&'static str> {
        let name = &declare.portalname;
        if declare.options & HOLD != 0 {
            return Err(Error::unsupported("a cursor WITH HOLD").into());
        }
        if declare.options & BINARY != 0 {
            return Err(Error::unsupported("a BINARY cursor").into());
        }
        if !self.session.transaction.is_block() {
            return Err(settings::only_in_block("DECLARE CURSOR").into());
        }
        if self.session.portals.contains_key(name) {
            let told = format!("cursor \"{name}\" already exists");
            return Err(Report::new("42P03", told));
        }
        let query = declare.query.as_ref().and_then(|query| query.node.clone());
        let parsed = Parsed {
            text: whole.text.clone(),
            offset: 0,
            node: query.ok_or_else(|| Error::unsupported("this cursor"))?,
        };
        let statement = self.session.understand(parsed, &whole.params)?;
        let Work::Engine(_, prepared) = &statement.work else {
            return Err(Error::unsupported("a cursor over this query").into());
        };
        let cursor = Cursor {
            columns: prepared.columns.clone().unwrap_or_default(),
            rows: self.collect(prepared, params).await?.rows,
            statement: statement.clone(),
            at: 0,
            scrolls: declare.options & NO_SCROLL == 0,
        };
        let portal = Portal {
            what: What::Cursor(cursor),
            level: self.session.transaction.savepoints.len(),
        };
        self.session.portals.insert(name.clone(), portal);
        Ok("DECLARE CURSOR")
    }

    pub(super) fn fetch(&mut self, fetch: &FetchStmt, target: &mut Target) -> Result<String> {
        let name = &fetch.portalname;
        let missing = || Report::new("34000", format!("cursor \"{name}\" does not exist"));
        let Some(portal) = self.session.portals.get_mut(name) else {
            return Err(missing());
        };
        let What::Cursor(cursor) = &mut portal.what else {
            return Err(Error::unsupported("FETCH from a portal of the protocol").into());
        };
        let found = cursor.go(fetch.direction(), fetch.how_many)?;
        if fetch.ismove {
            return Ok(format!("MOVE {}", found.len()));
        }
        // For as long as the rows are sent, the portal is out of the list.
        let Some(portal) = self.session.portals.remove(name) else {
            return Err(missing());
        };
        let sent = match &portal.what {
            What::Cursor(cursor) => {
                let rows: Vec<_> = found
                    .iter()
                    .filter_map(|&row| cursor.rows.get(row))
                    .collect();
                self.emit(&cursor.columns, &rows, target)
            }
            What::Bound(_) => Ok(()),
        };
        self.session.portals.insert(name.clone(), portal);
        sent.map(|()| format!("FETCH {}", found.len()))
    }

    /// CLOSE of one, or with an empty name of all.
    pub(super) fn close_cursor(&mut self, name: &str) -> Result<&'static str> {
        if name.is_empty() {
            self.session
                .portals
                .retain(|_, portal| matches!(portal.what, What::Bound(_)));
            return Ok("CLOSE CURSOR ALL");
        }
        match self.session.portals.remove(name) {
            Some(_) => Ok("CLOSE CURSOR"),
            None => {
                let told = format!("cursor \"{name}\" does not exist");
                Err(Report::new("34000", told))
            }
        }
    }
}

impl Cursor {
    /// Moves, and gives the rows that come by, by their places.
    fn go(&mut self, direction: FetchDirection, how_many: i64) -> Result<Vec<usize>> {
        let count = self.rows.len();
        let at = self.at;
        let far = |n: i64| usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
        let place = |n: i64| match n {
            n if n >= 0 => far(n).min(count + 1),
            n => (count + 1).saturating_sub(far(n)),
        };
        let (back, n) = match direction {
            FetchDirection::FetchForward => (how_many < 0, far(how_many)),
            FetchDirection::FetchBackward => (how_many > 0, far(how_many)),
            FetchDirection::FetchAbsolute => return self.jump(place(how_many)),
            FetchDirection::FetchRelative | FetchDirection::Undefined => {
                let steps = far(how_many);
                let there = if how_many < 0 {
                    at.saturating_sub(steps)
                } else {
                    at.saturating_add(steps).min(count + 1)
                };
                return self.jump(there);
            }
        };
        if n == 0 {
            // The row that it stands on, once more.
            return Ok(self.row(at).into_iter().collect());
        }
        if back {
            self.check_back()?;
            let to = at.saturating_sub(n);
            self.at = if how_many == ALL || n >= at { 0 } else { to };
            return Ok((self.at.max(1)..at).rev().map(|row| row - 1).collect());
        }
        let to = at.saturating_add(n);
        self.at = if to > count { count + 1 } else { to };
        Ok((at + 1..=to.min(count)).map(|row| row - 1).collect())
    }

    fn jump(&mut self, to: usize) -> Result<Vec<usize>> {
        if to < self.at {
            self.check_back()?;
        }
        self.at = to;
        Ok(self.row(to).into_iter().collect())
    }

    fn row(&self, at: usize) -> Option<usize> {
        at.checked_sub(1).filter(|row| *row < self.rows.len())
    }

    fn check_back(&self) -> Result<()> {
        if self.scrolls {
            return Ok(());
        }
        Err(Report::new("55000", "cursor can only scan forward")
            .hint("Declare it with SCROLL option to enable backward scan."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_where_postgresqls_goes() {
        use FetchDirection::{FetchAbsolute, FetchBackward, FetchForward, FetchRelative};
        let mut cursor = Cursor {
            statement: Statement::nothing().into(),
            columns: Vec::new(),
            rows: (0..3).map(|_| Box::from([])).collect(),
            at: 0,
            scrolls: true,
        };
        for (direction, how_many, rows, at) in [
            (FetchForward, 2, &[0, 1][..], 2),
            (FetchForward, 0, &[1], 2),
            (FetchForward, ALL, &[2], 4),
            (FetchForward, 1, &[], 4),
            (FetchBackward, 2, &[2, 1], 2),
            (FetchBackward, ALL, &[0], 0),
            (FetchAbsolute, -1, &[2], 3),
            (FetchAbsolute, 1, &[0], 1),
            (FetchRelative, 1, &[1], 2),
            (FetchRelative, 5, &[], 4),
        ] {
            let found = cursor.go(direction, how_many).unwrap();
            assert_eq!(
                (&found[..], cursor.at),
                (rows, at),
                "{direction:?} {how_many}"
            );
        }
    }
}
