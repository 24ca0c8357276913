//! The second write where both stores are schemas of one database: in the client's own transaction, just before it commits.
//!
//! The rows are copied inside the server, by key, within a block that catches what goes wrong: the client's transaction goes on, and the keys
//! go into the journal.

use std::collections::BTreeMap;

use bytes::Bytes;
use crossfade_journal::{KeyRef, Reason};
use crossfade_phase::Side;
use crossfade_store::{
    Key, TableId,
    postgres::sql::{quote_literal, write_across},
};

use super::{
    backend::Execute,
    commit::{changed_alone, count, given, journal_failed, name_of},
    managed::Managed,
};
use crate::errors::ClientError;

/// Setting through which the block tells what went wrong. It lives until the transaction ends.
const VERDICT: &str = "crossfade.verdict";

impl Managed {
    /// Copies the rows that the transaction changed on `side` into `secondary`.
    ///
    /// # Errors
    /// What the client is told when the transaction must not commit.
    pub(super) async fn write_across(
        &mut self,
        side: Side,
        secondary: Side,
    ) -> Result<(), ClientError> {
        let mut keys: BTreeMap<TableId, Vec<Key>> = BTreeMap::new();
        let folded = self.transaction.fold();
        let alone = changed_alone(&self.mapping, secondary, given(&folded));
        for (table, key) in folded.into_keys() {
            keys.entry(table).or_default().push(key);
        }
        let tables: Vec<TableId> = keys.keys().copied().collect();
        for (table, keys) in &keys {
            // Each is inserted, updated or deleted; an insert that meets another session's counts three times.
            let count = self.own_count(secondary, *table);
            self.own.note(count.as_ref(), Some(3 * keys.len() as u64));
        }
        for table in alone {
            let doubts = &self.shared.doubts;
            if let Some(note) = doubts.note(&self.mapping.tables[table.0], secondary) {
                note.await.map_err(not_noted)?;
            }
        }
        let verdict = match self.block(secondary, &keys) {
            Some(block) => self.run_block(side, &block).await?,
            None => Some("a key of this type has no constant".to_owned()),
        };
        match verdict {
            None => count(
                &self.shared.metrics.secondary_writes,
                &self.mapping,
                &tables,
            ),
            Some(error) => {
                tracing::warn!(
                    error,
                    "the second write of a transaction failed; its keys go into the journal"
                );
                count(
                    &self.shared.metrics.secondary_failures,
                    &self.mapping,
                    &tables,
                );
                self.mark_dirty(secondary, &keys).await?;
            }
        }
        Ok(())
    }

    fn block(&mut self, secondary: Side, keys: &BTreeMap<TableId, Vec<Key>>) -> Option<String> {
        let order = self.router.order(secondary).tables();
        let (mut copies, mut deletes) = (Vec::new(), Vec::new());
        for (table, keys) in order.iter().filter_map(|table| keys.get_key_value(table)) {
            let [copy, delete] = write_across(&self.mapping.tables[table.0], secondary, keys)?;
            copies.push(copy);
            deletes.push(delete);
        }
        deletes.reverse();
        let set =
            |value: &str| format!("PERFORM pg_catalog.set_config('{VERDICT}', {value}, true)");
        let body = format!(
            "BEGIN {}; {}; {}; EXCEPTION WHEN OTHERS THEN {}; END",
            set("''"),
            copies.join("; "),
            deletes.join("; "),
            set("SQLSTATE || ' ' || SQLERRM")
        );
        Some(format!("DO LANGUAGE plpgsql {}", quote_literal(&body)))
    }

    /// Runs the block; what went wrong in it, if anything did.
    async fn run_block(&mut self, side: Side, block: &str) -> Result<Option<String>, ClientError> {
        let lost = |end: super::End| ClientError::new("08006", end.to_string());
        let ask = format!("SELECT pg_catalog.current_setting('{VERDICT}', true)");
        self.backend(side)
            .map_err(lost)?
            .push_own(b"crossfade_across", block, Execute::default());
        // No answer: the transaction itself failed (a cancel, say), and the client has the server's error.
        let answer = self.inquire(side, &ask).await.map_err(lost)?;
        Ok((!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned()))
    }

    async fn mark_dirty(
        &mut self,
        secondary: Side,
        keys: &BTreeMap<TableId, Vec<Key>>,
    ) -> Result<(), ClientError> {
        for (table, keys) in keys {
            let name = name_of(&self.mapping, *table);
            let toggle = &self.mapping.tables[table.0].toggle;
            let named: Vec<KeyRef<'_, Bytes>> = keys
                .iter()
                .map(|key| KeyRef {
                    toggle,
                    table: &name,
                    parts: &key.0,
                })
                .collect();
            self.shared
                .journal
                .mark_dirty(secondary, &named, Reason::SecondaryFailed)
                .await
                .map_err(|error| journal_failed(&error))?;
        }
        Ok(())
    }
}

fn not_noted(error: String) -> ClientError {
    ClientError::new(
        "58030",
        format!("the write was refused because what it makes the other schema's foreign keys do could not be noted: {error}"),
    )
    .hint("`crossfade status` shows the journal: make room on the disk of state_dir, or give both schemas the same foreign keys")
}
