//! Foreign keys are looked at when a statement has written everything, as PostgreSQL's own triggers do.

use super::{Exec, Row};
use crate::fail::Fail;

/// What is to be looked at.
#[derive(Debug)]
pub(crate) enum Check {
    /// New rows of a table have parents.
    Parents(usize, Vec<Row>),
    /// So have changed ones: before, and after.
    ChangedParents(usize, Vec<Row>, Vec<Row>),
    /// Rows that are gone, or have another key after it, have no children.
    Children(usize, Vec<Row>, Option<Vec<Row>>),
}

impl Exec<'_> {
    pub(crate) fn inserted(&mut self, table: usize, rows: &[Row]) {
        if !self.is_free(table) {
            self.checks.push_back(Check::Parents(table, rows.to_vec()));
        }
    }

    pub(crate) fn updated(&mut self, table: usize, before: &[Row], after: &[Row]) {
        if self.is_parent(table) {
            let (before, after) = (before.to_vec(), after.to_vec());
            self.checks
                .push_back(Check::Children(table, before, Some(after)));
        }
        if !self.is_free(table) {
            let (before, after) = (before.to_vec(), after.to_vec());
            self.checks
                .push_back(Check::ChangedParents(table, before, after));
        }
    }

    pub(crate) fn deleted_rows(&mut self, table: usize, rows: Vec<Row>) {
        if self.is_parent(table) {
            self.checks.push_back(Check::Children(table, rows, None));
        }
    }

    fn is_parent(&self, table: usize) -> bool {
        !self.catalog.tables[table].map.old.referenced_by.is_empty()
    }

    /// A row that is gone again by now needs no parent.
    fn drop_cascaded(&self, table: usize, rows: &mut Vec<Row>) -> Result<(), Fail> {
        let mut left = Vec::with_capacity(rows.len());
        for row in rows.drain(..) {
            if !self.is_cascaded(table, &row)? {
                left.push(row);
            }
        }
        *rows = left;
        Ok(())
    }

    fn is_cascaded(&self, table: usize, row: &Row) -> Result<bool, Fail> {
        if self.cascaded.is_empty() {
            return Ok(false);
        }
        let (id, _) = self.document(&self.catalog.tables[table], row)?;
        Ok(self.cascaded.contains(&(table, format!("{id:?}"))))
    }

    pub(crate) async fn check_keys(&mut self) -> Result<(), Fail> {
        while let Some(check) = self.checks.pop_front() {
            match check {
                Check::Parents(table, mut rows) => {
                    self.drop_cascaded(table, &mut rows)?;
                    self.check_parents(table, &rows).await?;
                }
                Check::ChangedParents(table, before, after) => {
                    // The rows stand in pairs: of one that is gone nothing counts as changed.
                    let mut after = after;
                    for (row, old) in after.iter_mut().zip(&before) {
                        if self.is_cascaded(table, row)? {
                            row.clone_from(old);
                        }
                    }
                    self.check_changed_parents(table, &before, &after).await?;
                }
                Check::Children(table, before, after) => {
                    self.check_children(table, &before, after.as_deref())
                        .await?;
                }
            }
        }
        Ok(())
    }
}
