//! The process ends at every named point between a write in the primary and its client's answer, and between the steps of what goes on behind clients.
//!
//! Each time: clients work and write down what they were told, the proxy comes to the point and is gone, it starts again, the journal drains. Then every
//! acknowledged write must be in the primary, and both stores must be alike. `CROSSFADE_CRASH_SEED` decides how often a point is passed before the end.

mod backfill;
mod exchange;
mod flip;
mod journal;
pub(crate) mod large;
mod lines;
mod repair;
pub(crate) mod sandwich;

use std::time::Duration;

use crossfade_crash::Point;
use crossfade_tests::history::{
    Broken, Findings, HISTORY, HISTORY_SEED, HISTORY_TABLES, History, Random,
};

use super::number;
use crate::shop::Shop;

/// Points that only a journal with tiny segments comes to: see `reconcile/journal/tests/points.rs`.
const ELSEWHERE: [Point; 3] = [Point::CarryStep, Point::Carried, Point::SegmentGone];
/// Longest that it takes to come to a point.
const REACHED: Duration = Duration::from_secs(10);
/// Clients of each history.
const CLIENTS: usize = 6;
/// The tables of a history.
const TABLES: [&str; 3] = ["registers", "lists", "accounts"];

#[test]
fn every_point_has_its_test() {
    let tested: Vec<Point> = [
        sandwich::POINTS,
        large::POINTS,
        journal::WRITING,
        journal::STARTING,
        lines::WRITING,
        lines::STARTING,
        repair::POINTS,
        exchange::POINTS,
        backfill::POINTS,
        flip::POINTS,
        crate::mongo::points::PRIMARY,
        &ELSEWHERE,
    ]
    .concat();
    let missing: Vec<&Point> = Point::ALL
        .iter()
        .filter(|point| !tested.contains(point))
        .collect();
    assert!(missing.is_empty(), "no test ends at {missing:?}");
}

/// Two stores whose proxy crashes again and again.
struct Scene {
    shop: Shop,
    random: Random,
    run: u64,
}

impl Scene {
    async fn in_phase(phase: &str) -> Scene {
        Scene::of(Shop::of(phase, HISTORY, HISTORY_TABLES, HISTORY_SEED).await)
    }

    fn of(shop: Shop) -> Scene {
        Scene {
            shop,
            random: Random::new(number("CROSSFADE_CRASH_SEED", 7)),
            run: 0,
        }
    }

    /// Starts the proxy, to end when it comes to `point` for one of the first `times` times.
    async fn arm(&mut self, point: Point, times: u64) {
        let nth = 1 + self.random.below(times);
        self.shop
            .proxy
            .arm(&format!("{}:{nth}", point.name()))
            .await;
    }

    /// Clients of a new history.
    async fn clients(&mut self) -> History {
        self.run += 1;
        let endpoint = self.shop.proxy.endpoint(&self.shop.stores.old);
        History::start(&endpoint, self.run, CLIENTS, Broken::End).await
    }

    /// Waits for the end, and for the clients to notice.
    async fn crashed(&mut self, point: Point, clients: History) -> Findings {
        let reached = self.shop.proxy.crashed(REACHED).await;
        assert!(reached, "{point:?} was not reached");
        clients.stop().await
    }

    /// Starts it again; then everything must be as the clients were told.
    async fn recovers(&mut self, findings: &Findings) {
        self.shop.proxy.restart().await;
        self.holds(findings).await;
    }

    /// Where both stores are written, the journal drains; and everything is as the clients were told.
    async fn holds(&self, findings: &Findings) {
        let toggle = self.shop.proxy.toggle("shop").await;
        let stores = &self.shop.stores;
        let (primary, both) = match toggle["effective"].as_str() {
            Some("use-old") => (&stores.old, false),
            Some("dual-write" | "dual-read") => (&stores.old, true),
            Some("new-primary") => (&stores.new, true),
            Some("new-writes" | "backfill" | "new-only") => (&stores.new, false),
            phase => panic!("no primary in {phase:?}"),
        };
        if both {
            self.shop.proxy.drained().await;
        }
        findings.check(primary).await;
        if both && toggle["tables"]["public.lists"]["complete"] == true {
            stores.assert_equal(&TABLES).await;
        }
    }
}
