//! The journal's own writes: while clients wait for it, and while it opens with what a crash has left.

use crossfade_crash::Point;

use super::Scene;

/// Under load.
pub(super) const WRITING: &[Point] = &[
    Point::JournalTorn,
    Point::JournalWritten,
    Point::JournalFlushed,
];

/// While it opens.
pub(super) const STARTING: &[Point] = &[
    Point::SnapshotBegun,
    Point::SnapshotWritten,
    Point::SnapshotNamed,
    Point::SnapshotAlone,
    Point::SegmentWritten,
    Point::SegmentNamed,
];

#[tokio::test]
async fn trap_03_killed_while_the_journal_is_written() {
    let mut scene = Scene::in_phase("dual-write").await;
    for _ in 0..2 {
        for &point in WRITING {
            scene.arm(point, 60).await;
            let clients = scene.clients().await;
            let findings = scene.crashed(point, clients).await;
            scene.recovers(&findings).await;
        }
    }
}

#[tokio::test]
async fn trap_03_killed_again_while_the_journal_opens_after_a_kill() {
    let mut scene = Scene::in_phase("dual-write").await;
    for &point in STARTING {
        let clients = scene.clients().await;
        clients.progress(60).await;
        scene.shop.proxy.kill9();
        scene.arm(point, 1).await;
        let findings = scene.crashed(point, clients).await;
        scene.recovers(&findings).await;
    }
}
