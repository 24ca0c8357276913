//! Shapes for tests: before a new store that knows neither window functions nor the word `unserved`.

use std::sync::{Arc, atomic::Ordering};

use super::{Judge, Shapes};

#[derive(Debug)]
struct Picky;

impl Judge for Picky {
    fn refuses(&self, sql: &str) -> Option<String> {
        assert!(!sql.contains("panics"), "as asked for");
        for word in ["over (", "unserved"] {
            if sql.to_lowercase().contains(word) {
                return Some(format!("\"{word}\" is not served: {sql}"));
            }
        }
        None
    }
}

pub(super) fn shapes() -> Arc<Shapes> {
    Arc::new(Shapes::new(Box::new(Picky)))
}

impl Shapes {
    /// Forms with their counts, by form.
    pub(super) fn counts(&self) -> Vec<(String, u64)> {
        let known = self.known();
        let mut counts: Vec<(String, u64)> = known
            .shapes
            .values()
            .map(|shape| {
                let form = String::from_utf8_lossy(&shape.form).into_owned();
                (form, shape.count.load(Ordering::Relaxed))
            })
            .filter(|(_, count)| *count > 0)
            .collect();
        counts.sort();
        counts
    }

    pub(super) fn others(&self) -> u64 {
        self.others.load(Ordering::Relaxed)
    }
}
