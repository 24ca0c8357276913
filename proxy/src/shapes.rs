//! The shapes of live statements: which there are, how often they run, and what each phase ahead would make of them.
//!
//! A session counts while it relays or manages ([`tally`]), at the cost of one pass over a Query's or Parse's text and a look into a table; nothing is
//! parsed there. Whether a phase would serve a shape is found out when somebody asks ([`judge`]), and remembered. Values are in no shape
//! ([`form`]). The first text of each is kept for the judgement and never shown.

mod form;
mod judge;
mod tally;
#[cfg(test)]
mod testing;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use crossfade_phase::Phase;
use crossfade_store::Mapping;

pub(crate) use tally::Tally;

/// Most shapes that are told apart. An application has some hundreds.
const MOST_SHAPES: usize = 5_000;
/// Most bytes of texts and forms that are kept.
const MOST_BYTES: usize = 16 << 20;
/// Longer texts are counted as others: loads with values in them, which rarely come twice.
const LONGEST_TEXT_BYTES: usize = 64 << 10;

/// Knows what a new store serves that is no PostgreSQL server.
pub trait Judge: Send + Sync + fmt::Debug {
    /// Why the store would refuse a statement as not supported; `None` when it would not. No I/O.
    fn refuses(&self, sql: &str) -> Option<String>;
}

/// The shapes of all sessions' statements since the process began.
#[derive(Debug)]
pub struct Shapes {
    known: RwLock<Known>,
    /// Statements of which no shape is kept.
    others: AtomicU64,
    judged: Mutex<judge::Judged>,
}

#[derive(Debug, Default)]
struct Known {
    shapes: HashMap<Arc<[u8]>, Arc<Shape>, ahash::RandomState>,
    bytes: usize,
}

/// One shape.
#[derive(Debug)]
pub(crate) struct Shape {
    /// In the order in which they came.
    number: usize,
    form: Arc<[u8]>,
    /// The first text of this shape.
    text: Box<[u8]>,
    count: AtomicU64,
}

/// What is known of live traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Executions of statements whose shapes are known.
    pub statements: u64,
    /// Shapes that ran.
    pub shapes: usize,
    /// Executions of others: too long a text, or too many shapes.
    pub others: u64,
    /// Each phase from dual-write on; none while there is no mapping to judge by.
    pub phases: Vec<Outlook>,
}

/// What a phase would make of the traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The phase, of all toggles.
    pub phase: Phase,
    /// The shapes that it would refuse, most frequent first.
    pub refused: Vec<RefusedShape>,
}

/// A shape that a phase would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedShape {
    /// Its form: without values.
    pub form: String,
    /// How often it ran.
    pub count: u64,
    /// Why.
    pub why: String,
}

impl Shape {
    fn count(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shapes {
    /// None yet. What the new store would refuse, `judge` knows.
    #[must_use]
    pub fn new(judge: Box<dyn Judge>) -> Shapes {
        Shapes {
            known: RwLock::default(),
            others: AtomicU64::new(0),
            judged: Mutex::new(judge::Judged::new(judge)),
        }
    }

    /// What is known now, judged by this mapping. May take milliseconds for each shape that is new since it was last asked for.
    pub fn traffic(&self, mapping: &Arc<Mapping>) -> Traffic {
        let mut ran: Vec<(Arc<Shape>, u64)> = self
            .known()
            .shapes
            .values()
            .map(|shape| (shape.clone(), shape.count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect();
        ran.sort_by_key(|(shape, count)| (std::cmp::Reverse(*count), shape.number));
        let phases = if mapping.tables.is_empty() {
            Vec::new()
        } else {
            let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
            judged.outlooks(mapping, &ran)
        };
        Traffic {
            statements: ran.iter().map(|(_, count)| count).sum(),
            shapes: ran.len(),
            others: self.others.load(Ordering::Relaxed),
            phases,
        }
    }

    /// The shape of a text; `None` for one that is not kept.
    fn of(&self, text: &[u8]) -> Option<Arc<Shape>> {
        if text.len() > LONGEST_TEXT_BYTES {
            return None;
        }
        let form = form::form(text);
        if let Some(shape) = self.known().shapes.get(&form[..]) {
            return Some(shape.clone());
        }
        self.add(&form, text)
    }

    fn add(&self, form: &[u8], text: &[u8]) -> Option<Arc<Shape>> {
        let is_full = |known: &Known| {
            known.shapes.len() >= MOST_SHAPES || known.bytes + form.len() + text.len() > MOST_BYTES
        };
        // Looked at first, so that a full table does not make readers wait.
        if is_full(&self.known()) {
            return None;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = known.shapes.get(form) {
            return Some(shape.clone());
        }
        if is_full(&known) {
            return None;
        }
        let form: Arc<[u8]> = form.into();
        let shape = Arc::new(Shape {
            number: known.shapes.len(),
            form: form.clone(),
            text: text.into(),
            count: AtomicU64::new(0),
        });
        known.bytes += form.len() + text.len();
        known.shapes.insert(form, shape.clone());
        Some(shape)
    }

    fn count_other(&self) {
        self.others.fetch_add(1, Ordering::Relaxed);
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        // Every critical section leaves the table whole.
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outlook {
    /// Executions of the shapes that it would refuse.
    #[must_use]
    pub fn refused_statements(&self) -> u64 {
        self.refused.iter().map(|shape| shape.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::shapes, *};

    #[test]
    fn beyond_the_bounds_statements_are_only_counted() {
        let shapes = shapes();
        for number in 0..MOST_SHAPES + 10 {
            let text = format!("SELECT a{number} FROM t");
            match shapes.of(text.as_bytes()) {
                Some(shape) => shape.count(),
                None => shapes.count_other(),
            }
        }
        // The known ones go on being counted.
        shapes.of(b"SELECT a0 FROM t").unwrap().count();
        let traffic = shapes.traffic(&Arc::default());
        assert_eq!((traffic.shapes, traffic.others), (MOST_SHAPES, 10));
        assert_eq!(traffic.statements, 5_001);
        assert_eq!(traffic.phases, []);
    }

    #[test]
    fn memory_for_texts_is_bounded() {
        let shapes = shapes();
        let long = "x".repeat(LONGEST_TEXT_BYTES / 2);
        let kept = (0..MOST_SHAPES)
            .take_while(|number| {
                shapes
                    .of(format!("SELECT a{number}, '{long}'").as_bytes())
                    .is_some()
            })
            .count();
        assert!(kept > 100 && kept < 1_000, "{kept}");
        assert!(shapes.known().bytes <= MOST_BYTES);
    }
}
