//! The commit sandwich, whichever store is the primary.

use crossfade_crash::Point;

use super::Scene;

/// In the order of events.
pub(crate) const POINTS: &[Point] = &[
    Point::PrimaryExecuted,
    Point::IntentDeclared,
    Point::BeforeStage,
    Point::Staged,
    Point::IntentDurable,
    Point::CommitSent,
    Point::PrimaryCommitted,
    Point::BeforeAnswer,
    Point::Answered,
    Point::GroupCommitted,
    Point::BeforeSecondaryCommit,
    Point::SecondaryCommitted,
    Point::IntentClosed,
];

async fn killed_at_every_point(phase: &str) {
    let mut scene = Scene::in_phase(phase).await;
    for &point in POINTS {
        scene.arm(point, 60).await;
        let clients = scene.clients().await;
        let findings = scene.crashed(point, clients).await;
        scene.recovers(&findings).await;
    }
}

#[tokio::test]
pub(crate) async fn trap_03_killed_at_every_point_of_dual_write() {
    killed_at_every_point("dual-write").await;
}

#[tokio::test]
pub(crate) async fn trap_03_killed_at_every_point_of_new_primary() {
    killed_at_every_point("new-primary").await;
}
