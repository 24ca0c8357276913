//! How keys look in messages.

use crossfade_store::{Key, TableMap};

/// A key for the eye: `42`, or `(eu, 42)`.
pub(crate) fn show_key(table: &TableMap, key: &Key) -> String {
    match table.readable(&key.0).as_slice() {
        [one] => one.clone(),
        parts => format!("({})", parts.join(", ")),
    }
}
