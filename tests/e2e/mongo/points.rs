//! The process ends at every point of the sandwich whose secondary is MongoDB: with transactions, and without them, where the intent comes before the batch.

use std::time::Duration;

use crossfade_crash::Point;
use crossfade_tests::{
    Mongod,
    history::{Broken, HISTORY, HISTORY_SEED, HISTORY_TABLES, History},
};

use super::Documents;
use crate::failures::points::sandwich::POINTS;

async fn killed_at_every_point(server: Mongod) {
    let schema = format!("{HISTORY}{HISTORY_SEED}");
    let mut documents = Documents::of(server, &schema, HISTORY_TABLES).await;
    documents.complete();
    for (&point, run) in POINTS.iter().zip(1..) {
        let nth = 5 + run * 7 % 40;
        documents
            .proxy
            .arm(&format!("{}:{nth}", point.name()))
            .await;
        let endpoint = documents.proxy.endpoint(documents.old());
        let clients = History::start(&endpoint, run, 4, Broken::End).await;
        let reached = documents.proxy.crashed(Duration::from_secs(10)).await;
        assert!(reached, "{point:?} was not reached");
        let findings = clients.stop().await;
        documents.proxy.restart().await;
        documents.proxy.drained().await;
        findings.check(documents.old()).await;
        documents.verify();
    }
}

#[tokio::test]
pub(crate) async fn trap_03_killed_at_every_point_with_transactions() {
    killed_at_every_point(Mongod::start().await).await;
}

#[tokio::test]
async fn trap_03_killed_at_every_point_without_transactions() {
    killed_at_every_point(Mongod::standalone().await).await;
}

/// Steps within the primary.
pub(crate) const PRIMARY: &[Point] = &[
    Point::DocumentsWritten,
    Point::DocumentsEnded,
    Point::BeforeDocumentsCommit,
    Point::DocumentsCommitted,
];

/// Points of the sandwich that tell most about a primary that holds documents.
const AROUND: [Point; 6] = [
    Point::PrimaryExecuted,
    Point::IntentDurable,
    Point::CommitSent,
    Point::PrimaryCommitted,
    Point::BeforeSecondaryCommit,
    Point::SecondaryCommitted,
];

#[tokio::test]
pub(crate) async fn trap_03_killed_at_points_of_the_sandwich_whose_primary_holds_documents() {
    let schema = format!("{HISTORY}{HISTORY_SEED}");
    let mut documents = Documents::of(Mongod::start().await, &schema, HISTORY_TABLES).await;
    documents.complete();
    documents.walk(&["dual-read"]).await;
    for (&point, run) in AROUND.iter().chain(PRIMARY).zip(1..) {
        documents.walk(&["new-primary"]).await;
        let nth = match point {
            Point::DocumentsEnded => 2,
            _in_every_write => 5 + run * 7 % 20,
        };
        documents
            .proxy
            .arm(&format!("{}:{nth}", point.name()))
            .await;
        let endpoint = documents.proxy.endpoint(documents.old());
        let clients = History::start(&endpoint, run, 4, Broken::End).await;
        let reached = documents.proxy.crashed(Duration::from_secs(10)).await;
        assert!(reached, "{point:?} was not reached");
        let findings = clients.stop().await;
        documents.proxy.restart().await;
        documents.proxy.drained().await;
        // Nothing is dirty: the old store has all that the documents have.
        documents.walk(&["dual-read"]).await;
        findings.check(documents.old()).await;
        documents.verify();
    }
}
