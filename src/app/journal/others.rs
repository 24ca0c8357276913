//! What other proxies have in the primary, where the journal is kept there.

use std::sync::Arc;

use crossfade_journal::{Journal, Stale, intended_keys, packed_key};
use crossfade_phase::Side;
use crossfade_reconcile::Elsewhere;
use crossfade_store::{Key, StoreResult, TableMap, journal::JournalRows};

use super::{Counts, Whose, keeper::signed, rows};
use crossfade_config::Config;

/// Rows of others, by connections of their own: the keeper's belong to its thread.
#[derive(Clone)]
pub(crate) struct Others {
    stores: [Arc<dyn JournalRows>; 2],
    owner: i64,
}

impl Others {
    /// `None` where the journal is kept on the disk, and others' is theirs alone.
    pub(crate) fn of(config: &Config, journal: &Journal) -> Option<Others> {
        Some(Others {
            owner: signed(journal.owner()?),
            stores: [Side::Old, Side::New].map(|side| rows(config, side)),
        })
    }

    fn on(&self, side: Side) -> &dyn JournalRows {
        match side {
            Side::Old => &*self.stores[0],
            Side::New => &*self.stores[1],
        }
    }

    async fn owners(&self, side: Side) -> StoreResult<Vec<i64>> {
        let mut owners = self.on(side).owners().await?;
        owners.retain(|owner| *owner != self.owner);
        Ok(owners)
    }

    /// Whether somebody has left rows in a store that no proxy which counts answers for.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn left_behind(&self, side: Side, counts: &Counts) -> StoreResult<bool> {
        let store = self.on(side);
        for owner in self.owners(side).await? {
            let answered_for =
                u64::try_from(owner).is_ok_and(|owner| counts(owner) == Whose::Anothers);
            if !answered_for
                && (!store.dirty_of(owner, 1).await?.is_empty()
                    || !store.intents_of(owner, 1).await?.is_empty())
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the others know of keys of a table whose primary is the store of `side`.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn know(
        &self,
        side: Side,
        table: &TableMap,
        keys: &[Key],
    ) -> StoreResult<Vec<Elsewhere>> {
        let (store, name) = (self.on(side), table.old.name.to_string());
        let owners = self.owners(side).await?;
        let packed: Vec<Vec<u8>> = keys.iter().map(|key| packed_key(&key.0)).collect();
        let mut known = vec![Elsewhere::Nothing; keys.len()];
        // First the intents: one that is over since has made its keys dirty by the time that those are looked up.
        for owner in &owners {
            for intent in store.intents_of(*owner, u32::MAX).await? {
                for key in intended_keys(&intent.body, &name) {
                    note(
                        &mut known,
                        &packed,
                        &key,
                        Elsewhere::Doubted { hides_old: true },
                    );
                }
            }
        }
        for row in store.dirty_among(&owners, &name, &packed).await? {
            let stale = u8::try_from(row.stale).ok().and_then(Stale::from_byte);
            let hides_old = stale.is_none_or(|stale| stale.contains(Side::Old));
            note(
                &mut known,
                &packed,
                &row.key,
                Elsewhere::Doubted { hides_old },
            );
        }
        Ok(known)
    }
}

fn note(known: &mut [Elsewhere], keys: &[Vec<u8>], key: &[u8], found: Elsewhere) {
    for (known, _) in std::iter::zip(known, keys).filter(|(_, asked)| asked.as_slice() == key) {
        if !known.hides_old() {
            *known = found;
        }
    }
}
