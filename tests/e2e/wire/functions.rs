//! FunctionCall, the old fast path.

use super::same::same;
use crossfade_tests::wire::{messages::function_call, transcript};

/// `int4pl`, `int4div`: their OIDs are fixed.
const PLUS: u32 = 177;
const DIVIDE: u32 = 154;

#[tokio::test]
async fn results_nulls_and_errors() {
    same(async |wire| {
        let mut frames = wire
            .ask(&[function_call(PLUS, &[Some("2"), Some("40")])])
            .await;
        frames.extend(wire.ask(&[function_call(PLUS, &[Some("2"), None])]).await);
        frames.extend(
            wire.ask(&[function_call(DIVIDE, &[Some("2"), Some("0")])])
                .await,
        );
        frames.extend(wire.ask(&[function_call(1, &[])]).await);
        assert_eq!(transcript(&frames), "VZVZEZEZ");
        frames
    })
    .await;
}
