//! `json` and `jsonb`.

pub(crate) mod build;
mod edit;
mod get;
mod text;

use crate::resolve::Call;

/// The code of this name.
pub(super) fn find(code: &str) -> Option<Call> {
    build::find(code)
        .or_else(|| get::find(code))
        .or_else(|| edit::find(code))
        .or_else(|| text::find(code))
}
