//! From counters to the certainty that somebody else has changed rows.
//!
//! The store counts everybody's row changes, when their transactions are over or at most [`SETTLE`] later, unless their session is in its next transaction
//! by then ([`Judge::counted`]). We count our own: when they are made, and when
//! their transactions are over. So of what the store has counted between two looks, ours are at most those that were begun before the second look and were not
//! counted for certain at the first. What is more than that is somebody else's. The other way round nothing follows: as many changes of others as ours might
//! be late go unseen, until a quieter moment.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crossfade_store::OwnTotal;

/// PostgreSQL's sessions report what they have counted at most 10 seconds after their transaction (`PGSTAT_IDLE_INTERVAL`); and a margin.
pub(super) const SETTLE: Duration = Duration::from_secs(15);
/// They do so when they are idle: at once where they have not reported for a second, after those 10 seconds otherwise. So whoever kept something back, and has it
/// still, went into the transaction that it is in at most so long afterwards.
const NEXT_BEGINS_US: i64 = 11_000_000;
/// Looks that are remembered, where a transaction lasts for hours.
const MOST_LOOKS: usize = 1000;

/// One look at a table's counters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// When.
    pub(super) at: Instant,
    /// When, by the store's clock in microseconds.
    pub(super) now_us: i64,
    /// When the oldest transaction in the store began.
    pub(super) oldest_us: Option<i64>,
    /// What the store has counted.
    pub(super) changes: u64,
    /// Our own changes that had ended before the store was asked.
    pub(super) ended: u64,
    /// Our own changes a moment after it answered.
    pub(super) after: OwnTotal,
}

/// What is known of one table in one store.
#[derive(Debug, Default)]
pub(super) struct Judge {
    past: VecDeque<Past>,
    /// When the oldest transaction of the last look began.
    oldest_us: Option<i64>,
    unsure: Option<u64>,
    settling: Option<Settling>,
    base: Option<Base>,
    /// Seen once. Twice is certain.
    suspected: u64,
    hidden: u64,
}

/// Our own changes that had ended at an earlier look.
#[derive(Debug, Clone, Copy)]
struct Past {
    at: Instant,
    now_us: i64,
    ended: u64,
}

/// Nothing can be said before every transaction of `from_us` has ended, and reported.
#[derive(Debug, Clone, Copy)]
struct Settling {
    since: Instant,
    /// `None` until the look after: the event is behind this one's clock.
    from_us: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Base {
    changes: u64,
    ended: u64,
}

impl Judge {
    /// How many changes of others could be there and not be noticed now; `None` while nothing can be said.
    pub(super) fn hidden(&self) -> Option<u64> {
        self.base.map(|_| self.hidden)
    }

    /// Takes a look; says how many more row changes are certainly somebody else's.
    pub(super) fn look(&mut self, look: &Look) -> u64 {
        let counted = self.counted(look);
        if self.unsure != Some(look.after.unsure) {
            self.unsure = Some(look.after.unsure);
            self.begin_anew(look.at);
            return 0;
        }
        if !self.has_settled(look) {
            return 0;
        }
        let fresh = counted.map(|ended| Base {
            changes: look.changes,
            ended,
        });
        // A store that has crashed, or been told to, counts from zero.
        let known = self.base.filter(|base| base.changes <= look.changes);
        let Some(base) = known.or(fresh) else {
            self.base = None;
            return 0;
        };
        let (all, ours) = (
            look.changes - base.changes,
            look.after.begun.saturating_sub(base.ended),
        );
        let foreign = all.saturating_sub(ours);
        let certain = foreign.min(self.suspected);
        self.suspected = foreign - certain;
        self.hidden = ours.saturating_sub(all);
        let hides = |fresh: &Base| look.after.begun.saturating_sub(fresh.ended);
        let better = fresh.filter(|fresh| foreign == 0 && hides(fresh) <= self.hidden);
        self.base = Some(match better {
            Some(fresh) => {
                self.hidden = hides(&fresh);
                fresh
            }
            None => Base {
                changes: base.changes + certain,
                ..base
            },
        });
        certain
    }

    fn begin_anew(&mut self, at: Instant) {
        (self.base, self.suspected) = (None, 0);
        self.settling = Some(Settling {
            since: at,
            from_us: None,
        });
    }

    /// Our own changes that the store has certainly counted: they had ended [`SETTLE`] before, and no session of then can have gone from them into a
    /// transaction that goes on. One that the last look still saw may be about to report. `None` where nothing is known.
    fn counted(&mut self, look: &Look) -> Option<u64> {
        self.past.push_back(Past {
            at: look.at,
            now_us: look.now_us,
            ended: look.ended,
        });
        let oldest_us = [self.oldest_us, look.oldest_us].into_iter().flatten().min();
        self.oldest_us = look.oldest_us;
        let counted = |past: &Past| {
            look.at.duration_since(past.at) >= SETTLE
                && oldest_us.is_none_or(|oldest| oldest > past.now_us + NEXT_BEGINS_US)
        };
        while self.past.get(1).is_some_and(counted) {
            self.past.pop_front();
        }
        if self.past.len() > MOST_LOOKS {
            // Any will do but the first, which may be the only one that says something, and the last ones.
            self.past.remove(1);
        }
        let first = self.past.front().filter(|past| counted(past));
        first.map(|past| past.ended)
    }

    fn has_settled(&mut self, look: &Look) -> bool {
        let Some(settling) = &mut self.settling else {
            return true;
        };
        let from_us = *settling.from_us.get_or_insert(look.now_us);
        if look.oldest_us.is_some_and(|oldest| oldest <= from_us) {
            settling.since = look.at;
        }
        let settled = look.at.duration_since(settling.since) >= SETTLE;
        if settled {
            self.settling = None;
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store and a proxy, looked at every second.
    struct World {
        judge: Judge,
        began: Instant,
        second: u64,
        changes: u64,
        own: OwnTotal,
        oldest_s: Option<i64>,
    }

    impl World {
        fn new() -> World {
            World {
                judge: Judge::default(),
                began: Instant::now(),
                second: 0,
                changes: 1000,
                own: OwnTotal::default(),
                oldest_s: None,
            }
        }

        fn seconds(&mut self, seconds: u64) -> u64 {
            (0..seconds).map(|_| self.look()).sum()
        }

        fn look(&mut self) -> u64 {
            self.second += 1;
            self.judge.look(&Look {
                at: self.began + Duration::from_secs(self.second),
                now_us: i64::try_from(self.second).unwrap() * 1_000_000,
                oldest_us: self.oldest_s.map(|second| second * 1_000_000),
                changes: self.changes,
                ended: self.own.ended,
                after: self.own,
            })
        }

        fn own(&mut self, rows: u64) {
            self.own.begun += rows;
            self.own.ended += rows;
        }
    }

    #[test]
    fn trap_41_a_single_change_in_a_quiet_moment_is_seen_once() {
        let mut world = World::new();
        world.seconds(40);
        assert_eq!(world.judge.hidden(), Some(0));
        world.changes += 1;
        assert_eq!(world.seconds(10), 1);
        world.changes += 2;
        assert_eq!(world.seconds(10), 2);
    }

    #[test]
    fn trap_41_own_changes_that_the_store_counts_late_are_nobody_elses() {
        let mut world = World::new();
        let mut late = VecDeque::new();
        for round in 0..300 {
            let rows = (round * 7) % 5;
            world.own(rows);
            late.push_back(rows);
            if late.len() > 11 {
                world.changes += late.pop_front().unwrap();
            }
            assert_eq!(world.seconds(1), 0, "in round {round}");
        }
        world.changes += late.into_iter().sum::<u64>();
        assert_eq!(world.seconds(60), 0);
        assert_eq!(world.judge.hidden(), Some(0));
    }

    #[test]
    fn trap_41_a_transaction_that_is_open_over_the_first_look_is_ours() {
        let mut world = World::new();
        world.own.begun += 50;
        world.seconds(60);
        assert_eq!(world.judge.hidden(), Some(50));
        world.own.ended += 50;
        assert_eq!(world.seconds(5), 0);
        world.changes += 50;
        assert_eq!(world.seconds(60), 0);
        assert_eq!(world.judge.hidden(), Some(0));
    }

    #[test]
    fn trap_41_a_session_keeps_its_counts_for_as_long_as_its_next_transaction_lasts() {
        let mut world = World::new();
        world.seconds(40);
        world.own(60);
        // Within the second, it is in a transaction; and stays there.
        world.oldest_s = Some(41);
        assert_eq!(world.seconds(60), 0);
        assert_eq!(world.judge.hidden(), Some(60));
        // A look sees that the transaction is over, and not yet what it counted.
        world.oldest_s = None;
        assert_eq!(world.seconds(1), 0);
        world.changes += 60;
        assert_eq!(world.seconds(30), 0);
        assert_eq!(world.judge.hidden(), Some(0));
        world.changes += 1;
        assert_eq!(world.seconds(5), 1);
    }

    #[test]
    fn trap_41_a_long_transaction_of_somebody_else_hides_no_writer() {
        let mut world = World::new();
        world.seconds(40);
        world.oldest_s = Some(40);
        for _ in 0..3000 {
            world.own(3);
            world.changes += 3;
            assert_eq!(world.seconds(1), 0);
        }
        world.changes += 1;
        assert_eq!(world.seconds(5), 1);
        assert!(world.judge.past.len() <= MOST_LOOKS);
        world.oldest_s = None;
        assert_eq!(world.seconds(60), 0);
        assert_eq!(world.judge.hidden(), Some(0));
    }

    #[test]
    fn trap_41_what_nobody_is_sure_of_is_never_held_against_anybody() {
        let mut world = World::new();
        world.seconds(40);
        // A connection is lost in the middle of a statement, which runs on for a minute.
        world.own.unsure += 1;
        world.oldest_s = Some(40);
        assert_eq!(world.seconds(60), 0);
        assert_eq!(world.judge.hidden(), None);
        world.oldest_s = None;
        world.changes += 10_000;
        assert_eq!(world.seconds(60), 0);
        world.changes += 1;
        assert_eq!(world.seconds(5), 1, "it is watched again");
    }

    #[test]
    fn trap_41_a_writer_of_much_is_seen_beside_own_traffic() {
        let mut world = World::new();
        let mut seen = 0;
        for _ in 0..120 {
            world.own(10);
            world.changes += 10 + 20;
            seen += world.seconds(1);
        }
        assert!((1..=120 * 20).contains(&seen), "{seen}");
    }

    #[test]
    fn a_store_that_counts_from_zero_again_frightens_nobody() {
        let mut world = World::new();
        world.seconds(40);
        world.changes = 3;
        assert_eq!(world.seconds(10), 0);
        world.changes += 1;
        assert_eq!(world.seconds(10), 1);
    }
}
