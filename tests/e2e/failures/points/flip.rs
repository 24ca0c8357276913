//! Flips between primaries under load: what is recorded is what counts after the crash (trap 40).

use crossfade_crash::Point;
use crossfade_tests::history::Findings;

use super::Scene;
use crate::shop::PHASES;

pub(super) const POINTS: &[Point] = &[
    Point::FlipReady,
    Point::FlipMarked,
    Point::StateWritten,
    Point::StateNamed,
    Point::FlipRecorded,
    Point::FlipPublished,
];

#[tokio::test]
async fn trap_40_killed_at_every_point_of_a_flip() {
    let mut scene = Scene::in_phase("dual-read").await;
    for &point in POINTS {
        for phase in ["new-primary", "dual-read"] {
            scene.arm(point, 1).await;
            let clients = scene.clients().await;
            clients.progress(20).await;
            scene.shop.proxy.ask("shop", phase);
            let findings = scene.crashed(point, clients).await;
            assert!(findings.acknowledged >= 20);
            scene.shop.proxy.restart().await;
            // The file says it still.
            scene.shop.proxy.flip(phase).await;
            scene.holds(&findings).await;
        }
    }
}

/// The points of every move.
const MOVE: [Point; 4] = [
    Point::FlipReady,
    Point::FlipMarked,
    Point::FlipRecorded,
    Point::FlipPublished,
];

/// One walk through the phases, killed in the middle of each move, at another point each time.
async fn killed_in_every_move(first: usize) {
    let mut scene = Scene::in_phase("use-old").await;
    for (&phase, at) in PHASES[2..].iter().zip(first..) {
        scene
            .killed_in_the_move_to(phase, MOVE[at % MOVE.len()])
            .await;
        if phase == "dual-write" {
            scene.shop.complete();
            scene.shop.stores.assert_equal(&super::TABLES).await;
        }
    }
}

impl Scene {
    async fn killed_in_the_move_to(&mut self, phase: &str, point: Point) {
        let findings = self.made_in_spite_of_a_kill(phase, point).await;
        self.holds(&findings).await;
    }

    /// The next start makes the move, as the file still asks for it.
    async fn made_in_spite_of_a_kill(&mut self, phase: &str, point: Point) -> Findings {
        self.arm(point, 1).await;
        let clients = self.clients().await;
        clients.progress(20).await;
        self.shop.proxy.ask("shop", phase);
        let findings = self.crashed(point, clients).await;
        assert!(findings.acknowledged >= 20);
        self.shop.proxy.restart().await;
        self.shop.proxy.flip(phase).await;
        findings
    }

    /// Phase 8 does not know what the old store lacks; an operator has to say that nothing was written since it was looked at.
    async fn killed_in_the_forced_move_to(&mut self, phase: &str) {
        let because = ["phase", "shop", phase, "--because", "nobody writes"];
        self.arm(Point::FlipMarked, 1).await;
        let _ = self.shop.proxy.cli(&because);
        let reached = self.shop.proxy.crashed(super::REACHED).await;
        assert!(reached, "the forced move did not begin");
        self.shop.proxy.restart().await;
        self.shop.proxy.force(phase, "nobody writes").await;
    }

    /// Brings the old store up to date, as it stands in no journal what it lacks.
    fn reconcile_the_old(&self) {
        let proxy = &self.shop.proxy;
        proxy.cli(&["backfill", "--reverse"]).expect(0);
        // Whether it ends with 0 or with 1 after it repaired what it found is not the point here.
        let _ = proxy.cli(&["verify", "--reverse", "--repair"]);
        proxy.cli(&["repair", "--reverse"]).expect(0);
        proxy.cli(&["verify", "--reverse"]).expect(0);
    }
}

#[tokio::test]
async fn trap_40_killed_in_every_move() {
    killed_in_every_move(0).await;
}

#[tokio::test]
async fn trap_40_killed_in_every_move_at_other_points() {
    killed_in_every_move(2).await;
}

#[tokio::test]
async fn trap_40_killed_in_every_move_back() {
    let mut scene = Scene::in_phase("new-primary").await;
    let back = ["dual-read", "dual-write", "use-old"];
    for (phase, point) in
        back.iter()
            .zip([Point::FlipMarked, Point::FlipRecorded, Point::FlipPublished])
    {
        scene.killed_in_the_move_to(phase, point).await;
    }
    scene.shop.proxy.flip("dual-write").await;
    scene.shop.complete();
    scene.shop.stores.assert_equal(&super::TABLES).await;
}

/// From 8 back to 4. Behind phase 5 the old store learns of no write; a step back needs a reconcile, and in 5 what was written between that and the step needs another one.
#[tokio::test]
async fn trap_38_killed_in_every_move_back_from_8() {
    let mut scene = Scene::in_phase("new-only").await;
    scene.reconcile_the_old();
    scene.killed_in_the_forced_move_to("backfill").await;
    for (phase, point) in [
        ("new-writes", Point::FlipRecorded),
        ("new-primary", Point::FlipMarked),
        ("dual-read", Point::FlipPublished),
    ] {
        scene.reconcile_the_old();
        let findings = scene.made_in_spite_of_a_kill(phase, point).await;
        if phase == "new-primary" {
            scene.reconcile_the_old();
        }
        scene.holds(&findings).await;
    }
    scene.shop.stores.assert_equal(&super::TABLES).await;
}
