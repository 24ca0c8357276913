//! Lookups by key in phases 5 to 7, answered from both stores (DESIGN 2), for tables that are not complete yet.
//!
//! The new store is asked first. Its row counts unless the old store's version of it is newer, which is asked for where rows change. A row that
//! only the old store has fills in, unless its key is dirty: then the old store is known to be stale there. Writes of a table that is not complete
//! are refused, so nothing can have been deleted in the new store that the old one still shows (trap 18).

use bytes::Bytes;
use crossfade_phase::Side;

use super::{
    End,
    backend::{Execute, Expect},
    commit::name_of,
    managed::Managed,
};
use crate::{
    errors::ClientError,
    route::Merge,
    wire::{
        backend,
        frontend::{self, Bind},
    },
};

/// A row that a store answered a lookup with.
#[derive(Debug)]
pub(crate) struct Found {
    /// The client's part of it, as a message.
    pub(crate) row: Bytes,
    /// Its version in canonical text.
    pub(crate) version: Option<Bytes>,
}

impl Managed {
    /// Ends a lookup whose part of the new store has been answered: asks the old store where that matters, and answers the client.
    pub(super) async fn merge(
        &mut self,
        merge: &Merge,
        bind: Option<&Bind<'_>>,
    ) -> Result<(), End> {
        self.failed = false;
        let new = self.found.pop();
        let row = match new {
            Some(new) if merge.images == 0 => Some(new),
            new => {
                if self.transaction.in_block && self.has_one_snapshot().await? {
                    let error = ClientError::new("0A000", "crossfade refused a lookup in both stores: one snapshot cannot span them")
                        .detail("not every row of the table is in the new store yet, and the transaction is at REPEATABLE READ or above")
                        .hint("use READ COMMITTED, or complete the table first: crossfade backfill, then crossfade verify");
                    return self.refuse_lookup(&error).await;
                }
                let old = self.look_in_old(merge, bind).await?;
                if self.failed {
                    return Ok(());
                }
                choose(new, old)
            }
        };
        let tag: &[u8] = match row {
            Some(found) => {
                self.client.out.extend_from_slice(&found.row);
                b"SELECT 1\0"
            }
            None => b"SELECT 0\0",
        };
        backend::with_body(&mut self.client.out, b'C', tag);
        Ok(())
    }

    /// Trap 31: the row of the other store would be of another moment.
    async fn has_one_snapshot(&mut self) -> Result<bool, End> {
        let question = "SELECT pg_catalog.current_setting('transaction_isolation')";
        let level = self.inquire(Side::New, question).await?;
        Ok(matches!(&level[..], b"repeatable read" | b"serializable"))
    }

    /// The lookup fails, and with it, by the server's own rules, the transaction.
    async fn refuse_lookup(&mut self, error: &ClientError) -> Result<(), End> {
        self.note_refusal(error);
        self.refuse_in_batch(error)?;
        self.settle_batch(self.active).await?;
        self.failed = true;
        Ok(())
    }

    async fn look_in_old(
        &mut self,
        merge: &Merge,
        bind: Option<&Bind<'_>>,
    ) -> Result<Option<Found>, End> {
        let lookup = merge.key.as_ref().and_then(|key| key.lookup(bind));
        let toggle = &self.mapping.tables[merge.table.0].toggle;
        let stale = match &lookup {
            Some(lookup) => self
                .shared
                .journal
                .is_dirty(&name_of(&self.mapping, merge.table), &lookup.key.0),
            // A key whose text cannot be told may be any of the dirty ones.
            None if self.shared.journal.dirty_count(toggle) > 0 => {
                let error = ClientError::new("0A000", "crossfade cannot tell whether the old store's row is out of date")
                    .hint("send the key as text or as an integer, or wait until crossfade status shows no dirty keys");
                self.refuse_lookup(&error).await?;
                return Ok(None);
            }
            None => false,
        };
        if stale {
            return Ok(None);
        }
        self.need(Side::Old).await?;
        if !self.carry_settings(Side::Old).await? {
            self.settle_batch(self.active).await?;
            self.failed = true;
            return Ok(None);
        }
        self.failed = false;
        let backend = self.backend(Side::Old)?;
        // The unnamed statement and portal there are ours while we are at home in the new store.
        backend.prepared.retain(|(name, _), _| !name.is_empty());
        frontend::parse(&mut backend.out, b"", &merge.old_sql, &[]);
        let (parameters, results) = match bind {
            None => (&[0_u8, 0, 0, 0][..], Vec::new()),
            Some(bind) => (bind.parameters, bind.results.clone()),
        };
        let results = widened(results, merge.images);
        frontend::bind(&mut backend.out, b"", b"", parameters, &results);
        frontend::execute(&mut backend.out, b"", 0);
        frontend::sync(&mut backend.out);
        backend.expect.extend([
            Expect::Parse { show: false },
            Expect::Bind { show: false },
            Expect::Execute(Execute {
                lookup: Some(merge.images),
                ..Execute::default()
            }),
            Expect::Sync { show: false },
        ]);
        self.settle(Side::Old).await?;
        if self.failed {
            // The old store's error went to the client; to it, the statement failed, and with it the transaction in the new store.
            self.muted = true;
            let error = ClientError::new("40000", "the old store's part of a lookup failed");
            self.refuse_in_batch(&error)?;
            self.settle_batch(self.active).await?;
            self.muted = false;
            self.failed = true;
        }
        Ok(self.found.pop())
    }
}

/// Format codes with those of appended columns.
pub(super) fn widened(mut results: Vec<u16>, appended: usize) -> Vec<u16> {
    // No code means text for all, one code counts for all; only codes for each column have to be made more. The appended columns
    // are of type text, whose two formats are the same bytes.
    if results.len() > 1 {
        results.resize(results.len() + appended, 0);
    }
    results
}

/// The new store's row, unless the old store's is newer.
fn choose(new: Option<Found>, old: Option<Found>) -> Option<Found> {
    match (new, old) {
        (Some(new), Some(old)) if is_newer(old.version.as_deref(), new.version.as_deref()) => {
            Some(old)
        }
        (Some(new), _) => Some(new),
        (None, old) => old,
    }
}

/// Whether version `left` is newer than `right`. Versions that cannot be compared are not: the new store decides.
fn is_newer(left: Option<&[u8]>, right: Option<&[u8]>) -> bool {
    match (left.and_then(number), right.and_then(number)) {
        (Some(left), Some(right)) => left > right,
        _ => false,
    }
}

/// A version as a number: decimal text, or the hex digits of a timestamp's eight bytes.
fn number(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    if text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        // Microseconds, negative before 2000.
        return u64::from_str_radix(text, 16)
            .ok()
            .map(|bits| i128::from(i64::from_ne_bytes(bits.to_ne_bytes())));
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::unnecessary_wraps)]
    fn found(version: &'static str) -> Option<Found> {
        Some(Found {
            row: Bytes::new(),
            version: Some(Bytes::from_static(version.as_bytes())),
        })
    }

    fn chosen(new: Option<Found>, old: Option<Found>) -> Option<String> {
        choose(new, old).and_then(|found| String::from_utf8(found.version?.to_vec()).ok())
    }

    #[test]
    fn trap_19_the_new_row_counts_unless_it_is_older() {
        assert_eq!(chosen(found("3"), found("2")).as_deref(), Some("3"));
        assert_eq!(chosen(found("3"), found("3")).as_deref(), Some("3"));
        assert_eq!(chosen(found("3"), found("12")).as_deref(), Some("12"));
        assert_eq!(chosen(None, found("2")).as_deref(), Some("2"));
        assert_eq!(chosen(found("2"), None).as_deref(), Some("2"));
    }

    #[test]
    fn timestamps_before_2000_are_older() {
        assert!(is_newer(
            Some(b"0000000000000001"),
            Some(b"fffffffffffffff0")
        ));
        assert!(!is_newer(
            Some(b"fffffffffffffff0"),
            Some(b"0000000000000001")
        ));
    }
}
