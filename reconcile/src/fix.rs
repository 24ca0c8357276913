//! Repair of keys that a job found, under the journal's eyes.

use crossfade_phase::Side;
use crossfade_store::{Key, TableMap};

use crate::{Engine, Error, Why, repair::repair_keys};

/// What became of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fixed {
    /// Keys that are alike now.
    pub repaired: u64,
    /// Keys that stay dirty, with what the store said.
    pub failed: Vec<(Key, String)>,
}

/// Keys of one write.
const BATCH: usize = 500;

impl Engine {
    /// Marks the keys, repairs them from the store of `primary` and cleans those that are alike. The caller holds a pin.
    pub(crate) async fn fix(
        &self,
        table: &TableMap,
        primary: Side,
        keys: &[Key],
        why: Why,
    ) -> Result<Fixed, Error> {
        let mut fixed = Fixed::default();
        for keys in keys.chunks(BATCH) {
            // First: after a crash half way the repairer finds them.
            self.ledger.mark(table, keys, primary.other(), why).await?;
            let marks = self.ledger.marks(table, keys);
            let (from, to) = (self.stores.on(primary), self.stores.on(primary.other()));
            let outcomes = repair_keys(&**from, &**to, table, keys, self.settings.lock_hold).await;
            for ((key, mark), outcome) in keys.iter().zip(marks).zip(outcomes) {
                // No mark: the repairer was quicker.
                match (outcome, mark) {
                    (Ok(_), mark) => {
                        fixed.repaired += 1;
                        mark.iter().for_each(|mark| self.ledger.clean(mark));
                    }
                    (Err(error), mark) => {
                        let error = error.to_string();
                        mark.iter()
                            .for_each(|mark| self.ledger.failed(mark, &error));
                        fixed.failed.push((key.clone(), error));
                    }
                }
            }
        }
        Ok(fixed)
    }
}
