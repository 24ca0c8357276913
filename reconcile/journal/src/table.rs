//! The dirty keys of one table.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{
        RwLock,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use std::sync::Arc;

use crossfade_phase::{DirtyKeys, Side};

use crate::{
    Reason, Stale,
    sync::{read, write},
};

/// How long a taken key is not given out again when its taker says nothing.
pub(crate) const LEASE: Duration = Duration::from_secs(60);
/// Wait after the first failed repair; doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// Longest wait between two repairs of one key that its store refuses.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// The same where the key itself may be in order. A store may have been away for hours, and a flip waits for its keys.
const BACKOFF_PASSING_MAX: Duration = Duration::from_secs(2);
/// Errors of failing keys kept for reports, per table; a secondary that refuses everything must not fill the memory with text.
const ERRORS_KEPT: usize = 10_000;
/// Longest error kept, in bytes.
const ERROR_BYTES: usize = 800;

/// Why a repair failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The store refuses the row.
    Key,
    /// The store did not answer, or something has to end first: the key may be in order.
    Passing,
}

/// What is known of one dirty key: 16 bytes beside the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) generation: u64,
    /// When it became dirty, in Unix seconds. For display only (trap 44).
    pub(crate) since_s: u32,
    pub(crate) attempts: u16,
    pub(crate) reason: Reason,
    pub(crate) stale: Stale,
}

/// A key that is out for repair or waits for another attempt.
#[derive(Debug)]
struct Wait {
    until: Instant,
    error: Option<Box<str>>,
}

/// One table of the old store.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) number: u32,
    pub(crate) name: Arc<str>,
    /// Number of the toggle it belongs to.
    pub(crate) toggle: AtomicU32,
    count: AtomicUsize,
    /// How many of them are stale in the old store only, in the new one only, in both.
    stale: [AtomicUsize; 3],
    inner: RwLock<Inner>,
}

/// Ordered by packed key: no growth spikes, and a scan can go on where the last one ended.
#[derive(Debug, Default)]
struct Inner {
    keys: BTreeMap<Box<[u8]>, Entry>,
    /// How many keys became dirty in which second.
    ages: BTreeMap<u32, usize>,
    waits: HashMap<Box<[u8]>, Wait>,
    errors: usize,
    /// Where the next [`Table::take`] begins.
    cursor: Box<[u8]>,
}

impl Table {
    pub(crate) fn new(number: u32, name: Arc<str>, toggle: u32) -> Table {
        Table {
            number,
            name,
            toggle: AtomicU32::new(toggle),
            count: AtomicUsize::new(0),
            stale: Default::default(),
            inner: RwLock::default(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// As many, by the stores that they are stale in.
    pub(crate) fn counts(&self) -> DirtyKeys {
        let [old, new, both] = &self.stale;
        let count = |count: &AtomicUsize| count.load(Ordering::Acquire) as u64;
        DirtyKeys {
            old: count(old),
            new: count(new),
            both: count(both),
        }
    }

    fn counter(&self, stale: Stale) -> &AtomicUsize {
        let [old, new, both] = &self.stale;
        match (stale.contains(Side::Old), stale.contains(Side::New)) {
            (true, true) => both,
            (_, true) => new,
            (_, false) => old,
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Entry> {
        if self.count() == 0 {
            return None;
        }
        read(&self.inner).keys.get(key).copied()
    }

    /// Marks a key. An older mark gives way, but its age and attempts stay: a later write does not hide that a key fails (trap 11). Nor does it
    /// hide that a transaction of the primary may be open still. Says whether the key was clean before.
    pub(crate) fn mark(&self, key: &[u8], mut entry: Entry) -> bool {
        let mut inner = write(&self.inner);
        if let Some(known) = inner.keys.get_mut(key) {
            let before = known.stale;
            entry.since_s = known.since_s;
            entry.attempts = known.attempts;
            entry.stale = known.stale.or(entry.stale);
            for reason in [known.reason, entry.reason] {
                if reason.primary_may_be_open() {
                    (known.reason, entry.reason) = (reason, reason);
                }
            }
            known.stale = entry.stale;
            if entry.generation >= known.generation {
                *known = entry;
            }
            self.counter(before).fetch_sub(1, Ordering::AcqRel);
            self.counter(entry.stale).fetch_add(1, Ordering::AcqRel);
            return false;
        }
        inner.keys.insert(key.into(), entry);
        self.counter(entry.stale).fetch_add(1, Ordering::AcqRel);
        *inner.ages.entry(entry.since_s).or_default() += 1;
        self.count.store(inner.keys.len(), Ordering::Release);
        true
    }

    /// Calls `visit` with every dirty key, packed.
    pub(crate) fn each(&self, mut visit: impl FnMut(&[u8])) {
        let keys: Vec<Box<[u8]>> = read(&self.inner).keys.keys().cloned().collect();
        keys.iter().for_each(|key| visit(key));
    }

    /// Removes a key unless it was marked later than `generation`; then it can be taken again at once, and has failed never: its repair went well.
    pub(crate) fn clean(&self, key: &[u8], generation: u64) -> bool {
        let mut inner = write(&self.inner);
        let Some(known) = inner.keys.get_mut(key) else {
            return false;
        };
        known.attempts = 0;
        let entry = *known;
        inner.end_wait(key);
        if entry.generation > generation {
            return false;
        }
        inner.keys.remove(key);
        self.counter(entry.stale).fetch_sub(1, Ordering::AcqRel);
        if let Some(count) = inner.ages.get_mut(&entry.since_s) {
            *count -= 1;
            if *count == 0 {
                inner.ages.remove(&entry.since_s);
            }
        }
        self.count.store(inner.keys.len(), Ordering::Release);
        true
    }

    /// Notes a failed repair and when to try again.
    pub(crate) fn failed(&self, key: &[u8], error: &str, cause: Cause, now: Instant) {
        let mut inner = write(&self.inner);
        let Some(entry) = inner.keys.get_mut(key) else {
            return;
        };
        entry.attempts = entry.attempts.saturating_add(1);
        let wait = BACKOFF_FIRST
            .saturating_mul(1 << u32::from(entry.attempts - 1).min(20))
            .min(match cause {
                Cause::Key => BACKOFF_MAX,
                Cause::Passing => BACKOFF_PASSING_MAX,
            });
        inner.end_wait(key);
        let error = (inner.errors < ERRORS_KEPT).then(|| {
            inner.errors += 1;
            shortened(error).into()
        });
        inner.waits.insert(
            key.into(),
            Wait {
                until: now + wait,
                error,
            },
        );
    }

    /// A taken key was not tried after all: it can be taken again at once.
    pub(crate) fn give_back(&self, key: &[u8], now: Instant) {
        if let Some(wait) = write(&self.inner).waits.get_mut(key) {
            wait.until = now;
        }
    }

    /// Up to `limit` keys that wait for nothing and are not stale in the store of `primary`, each leased for [`LEASE`]; looks at `scan` keys at
    /// most, from where the last call ended.
    pub(crate) fn take(
        &self,
        limit: usize,
        scan: usize,
        primary: Option<Side>,
        now: Instant,
    ) -> Vec<(Box<[u8]>, Entry)> {
        let is_repairable = |entry: &Entry| primary.is_none_or(|side| !entry.stale.contains(side));
        let stale = primary.map_or(0, |side| self.counts().stale(side));
        // The two counts are not of one moment; a key that is missed now is there in the next round.
        if limit == 0 || self.count() as u64 <= stale {
            return Vec::new();
        }
        let mut guard = write(&self.inner);
        let inner = &mut *guard;
        let from = std::mem::take(&mut inner.cursor);
        let ahead = inner
            .keys
            .range::<[u8], _>((Bound::Included(&*from), Bound::Unbounded));
        let around = inner
            .keys
            .range::<[u8], _>((Bound::Unbounded, Bound::Excluded(&*from)));
        let mut taken = Vec::new();
        let mut rest = ahead.chain(around);
        for (key, entry) in rest.by_ref().take(scan) {
            let waits = inner.waits.get(key).is_some_and(|wait| wait.until > now);
            if !waits && is_repairable(entry) {
                taken.push((key.clone(), *entry));
            }
            if taken.len() == limit {
                break;
            }
        }
        inner.cursor = rest.next().map(|(key, _)| key.clone()).unwrap_or_default();
        for (key, _) in &taken {
            match inner.waits.get_mut(key) {
                Some(wait) => wait.until = now + LEASE,
                None => {
                    inner.waits.insert(
                        key.clone(),
                        Wait {
                            until: now + LEASE,
                            error: None,
                        },
                    );
                }
            }
        }
        taken
    }

    /// Up to `limit` keys greater than `after`, in the order of their packed form.
    pub(crate) fn page(&self, after: Option<&[u8]>, limit: usize) -> Vec<(Box<[u8]>, Entry)> {
        let lower = after.map_or(Bound::Unbounded, Bound::Excluded);
        let inner = read(&self.inner);
        let page = inner
            .keys
            .range::<[u8], _>((lower, Bound::Unbounded))
            .take(limit);
        page.map(|(key, entry)| (key.clone(), *entry)).collect()
    }

    /// Up to `limit` keys whose repair failed, with the last error.
    pub(crate) fn failing(&self, limit: usize) -> Vec<(Box<[u8]>, Entry, Box<str>)> {
        let inner = read(&self.inner);
        let with_error = inner.waits.iter().filter_map(|(key, wait)| {
            Some((key.clone(), *inner.keys.get(key)?, wait.error.clone()?))
        });
        with_error.take(limit).collect()
    }

    /// How many keys have failed at least once, as far as errors are kept.
    pub(crate) fn failing_count(&self) -> usize {
        read(&self.inner).errors
    }

    /// When the oldest key became dirty, in Unix seconds.
    pub(crate) fn oldest_s(&self) -> Option<u32> {
        read(&self.inner).ages.keys().next().copied()
    }
}

impl Inner {
    fn end_wait(&mut self, key: &[u8]) {
        if self
            .waits
            .remove(key)
            .is_some_and(|wait| wait.error.is_some())
        {
            self.errors -= 1;
        }
    }
}

fn shortened(error: &str) -> &str {
    let end = (0..=ERROR_BYTES.min(error.len()))
        .rev()
        .find(|at| error.is_char_boundary(*at));
    &error[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"key";

    fn marked(generation: u64) -> Entry {
        Entry {
            generation,
            since_s: 0,
            attempts: 0,
            reason: Reason::SecondaryTimedOut,
            stale: Stale::only(Side::New),
        }
    }

    fn table() -> Table {
        let table = Table::new(0, "public.orders".into(), 0);
        table.mark(KEY, marked(1));
        table
    }

    /// Whether the key is out of its wait at `now`.
    fn is_taken(table: &Table, now: Instant) -> bool {
        let taken = !table.take(1, 10, None, now).is_empty();
        table.give_back(KEY, now);
        taken
    }

    #[test]
    fn trap_11_a_refused_key_waits_for_longer_and_longer_and_one_without_an_answer_does_not() {
        let long = Duration::from_secs(59);
        let soon = Duration::from_secs(3);
        for (cause, wait, passed) in [(Cause::Key, long, false), (Cause::Passing, soon, true)] {
            let (table, now) = (table(), Instant::now());
            for _ in 0..12 {
                table.failed(KEY, "no", cause, now);
            }
            assert_eq!(is_taken(&table, now + wait), passed, "{cause:?}");
            assert!(is_taken(&table, now + Duration::from_secs(61)), "{cause:?}");
        }
    }

    #[test]
    fn a_repair_that_went_well_ends_the_failures_of_a_key_that_is_marked_again() {
        let (table, now) = (table(), Instant::now());
        for _ in 0..12 {
            table.failed(KEY, "no", Cause::Key, now);
        }
        table.mark(KEY, marked(2));
        assert!(
            !is_taken(&table, now + Duration::from_secs(59)),
            "a mark hides nothing"
        );
        assert!(!table.clean(KEY, 1), "it was marked again");
        table.failed(KEY, "no", Cause::Key, now);
        assert!(
            is_taken(&table, now + Duration::from_secs(1)),
            "it fails for the first time"
        );
    }
}
