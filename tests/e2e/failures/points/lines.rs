//! The journal's rows in the primary: while they are written behind clients, and while those of a process that was killed are taken over.

use crossfade_crash::Point;
use crossfade_tests::InPrimary;

use super::Scene;

/// Under load.
pub(super) const WRITING: &[Point] = &[Point::LinesTaken, Point::LinesWritten];

/// On a start after a kill.
pub(super) const STARTING: &[Point] = &[Point::LinesAdopted];

#[tokio::test]
async fn trap_03_killed_while_the_journals_rows_are_written() {
    let _form = InPrimary::begin();
    let mut scene = Scene::in_phase("dual-write").await;
    for &point in WRITING {
        scene.arm(point, 3).await;
        let clients = scene.clients().await;
        let findings = scene.crashed(point, clients).await;
        scene.recovers(&findings).await;
    }
}

#[tokio::test]
async fn trap_03_killed_again_while_the_rows_of_a_killed_proxy_are_taken_over() {
    let _form = InPrimary::begin();
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
