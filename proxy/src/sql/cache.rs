//! A bounded cache of facts, for one thread.

use std::{collections::HashMap, sync::Arc};

use super::facts::Facts;

/// Normal forms longer than this are analysed each time: long lists of VALUES rarely come twice.
const LONGEST_KEY_BYTES: usize = 16 * 1024;

/// Two generations: what was asked for since the last turn, and what was before. When the young one is full, the old one goes.
#[derive(Debug, Default)]
pub(super) struct Cache {
    young: HashMap<Box<[u8]>, Arc<Facts>, ahash::RandomState>,
    old: HashMap<Box<[u8]>, Arc<Facts>, ahash::RandomState>,
    /// Most entries of one generation.
    capacity: usize,
}

impl Cache {
    /// A cache of at most `capacity` entries.
    pub(super) fn new(capacity: usize) -> Cache {
        Cache {
            capacity: (capacity / 2).max(1),
            ..Cache::default()
        }
    }

    pub(super) fn get(&mut self, key: &[u8]) -> Option<Arc<Facts>> {
        if let Some(facts) = self.young.get(key) {
            return Some(facts.clone());
        }
        let (key, facts) = self.old.remove_entry(key)?;
        self.insert_key(key, facts.clone());
        Some(facts)
    }

    pub(super) fn insert(&mut self, key: &[u8], facts: Arc<Facts>) {
        if key.len() <= LONGEST_KEY_BYTES {
            self.insert_key(key.into(), facts);
        }
    }

    fn insert_key(&mut self, key: Box<[u8]>, facts: Arc<Facts>) {
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, facts);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::facts::Problem;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut cache = Cache::new(8);
        let facts = || Arc::new(Facts::problem(Problem::Grammar(String::new())));
        cache.insert(b"often", facts());
        for number in 0..100_u32 {
            cache.insert(&number.to_be_bytes(), facts());
            assert!(cache.get(b"often").is_some(), "{number}");
            assert!(cache.len() <= 8);
        }
        assert!(cache.get(&0_u32.to_be_bytes()).is_none());
        cache.insert(&vec![b'x'; LONGEST_KEY_BYTES + 1], facts());
        assert!(cache.get(&vec![b'x'; LONGEST_KEY_BYTES + 1]).is_none());
    }
}
