//! Flips between primaries under load: what is recorded is what counts after the crash (trap 40).

use crossfade_crash::Point;

use super::Scene;

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
