//! How many statements are tried at random.

use proptest::prelude::ProptestConfig;

/// So many as `CROSSFADE_RANDOM_STATEMENTS` says, otherwise `usual`.
pub(crate) fn config(usual: u32) -> ProptestConfig {
    let cases = std::env::var("CROSSFADE_RANDOM_STATEMENTS")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(usual);
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
