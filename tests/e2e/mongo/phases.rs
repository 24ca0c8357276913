//! The phases in which SQL runs on documents.

use crossfade_tests::Traffic;

use super::Documents;

#[tokio::test]
async fn traffic_goes_on_through_every_phase_to_the_last() {
    let mut documents = Documents::shop().await;
    let traffic = Traffic::start(&documents.proxy.endpoint(documents.old()), 4).await;
    for phase in ["dual-read", "new-primary", "dual-read", "new-primary"] {
        traffic.progress(50).await;
        documents.proxy.flip(phase).await;
    }
    traffic.progress(50).await;
    documents.proxy.drained().await;
    documents.verify();
    for phase in ["new-writes", "backfill", "new-only"] {
        documents.proxy.flip(phase).await;
        traffic.progress(50).await;
    }
    let report = traffic.stop().await;
    assert_eq!(report.errors, [""; 0]);
}
