//! Repair beside clients that go on writing the same keys.

use crossfade_crash::Point;

use super::{Scene, TABLES};

pub(super) const POINTS: &[Point] = &[
    Point::GivenUp,
    Point::RowLocked,
    Point::RowWritten,
    Point::RowDeleted,
    Point::SweepRead,
    Point::SweepWritten,
    Point::BeforeClean,
    Point::Cleaned,
    Point::KeysMarked,
];

/// In the new store: one of eight rows is refused.
const FLAKY: &str = "
CREATE FUNCTION flaky() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF random() < 0.125 THEN RAISE EXCEPTION 'not now'; END IF; RETURN NULL; END $$;";

async fn flaky(scene: &Scene, flaky: bool) {
    for table in TABLES {
        let sql = if flaky {
            format!(
                "CREATE TRIGGER flaky AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION flaky();
                 ALTER TABLE {table} ENABLE ALWAYS TRIGGER flaky"
            )
        } else {
            format!("DROP TRIGGER flaky ON {table}")
        };
        scene.shop.stores.new.run(&sql).await;
    }
}

#[tokio::test]
async fn trap_11_killed_at_every_point_of_a_repair() {
    let mut scene = Scene::in_phase("dual-write").await;
    scene.shop.stores.new.run(FLAKY).await;
    for &point in POINTS {
        if point == Point::KeysMarked {
            continue;
        }
        // Few of the keys that are repaired are those of rows that are gone.
        let passes = if point == Point::RowDeleted { 1 } else { 5 };
        scene.arm(point, passes).await;
        flaky(&scene, true).await;
        let clients = scene.clients().await;
        let findings = scene.crashed(point, clients).await;
        flaky(&scene, false).await;
        scene.recovers(&findings).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trap_11_killed_while_verify_repairs() {
    let mut scene = Scene::in_phase("dual-write").await;
    for _ in 0..3 {
        let meddle = "DELETE FROM accounts WHERE id < 3; UPDATE lists SET entries = 'else' WHERE name = 'early'; INSERT INTO registers VALUES ('stray', 1) ON CONFLICT DO NOTHING";
        scene.shop.stores.new.run(meddle).await;
        scene.arm(Point::KeysMarked, 2).await;
        let clients = scene.clients().await;
        clients.progress(10).await;
        let proxy = &scene.shop.proxy;
        let _ = tokio::task::block_in_place(|| proxy.cli(&["verify", "--repair"]));
        let findings = scene.crashed(Point::KeysMarked, clients).await;
        scene.shop.proxy.restart().await;
        let again = scene.shop.proxy.cli(&["verify", "--repair"]);
        assert!([0, 1].contains(&again.status), "{again:?}");
        scene.holds(&findings).await;
    }
}
