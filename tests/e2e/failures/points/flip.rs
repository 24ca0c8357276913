//! Flips between primaries under load: what is recorded is what counts after the crash (trap 40).

use crossfade_crash::Point;

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
        self.arm(point, 1).await;
        let clients = self.clients().await;
        clients.progress(20).await;
        self.shop.proxy.ask("shop", phase);
        let findings = self.crashed(point, clients).await;
        assert!(findings.acknowledged >= 20);
        self.shop.proxy.restart().await;
        self.shop.proxy.flip(phase).await;
        self.holds(&findings).await;
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
