//! How keys look in messages.

use std::fmt;

use crossfade_store::Key;

/// A key for the eye: `42`, or `(eu, 42)`.
#[derive(Debug, Clone, Copy)]
pub struct ShowKey<'a>(
    /// The key.
    pub &'a Key,
);

impl fmt::Display for ShowKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        match self.0.0.as_slice() {
            [one] => f.write_str(&part(one)),
            parts => write!(
                f,
                "({})",
                parts
                    .iter()
                    .map(|bytes| part(bytes))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    }
}
