//! Counts what one session runs. A Query counts by its text; a Bind counts the statement that it is of, which its Parse told.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use crossfade_phase::Phase;

use super::{LONGEST_TEXT_BYTES, Shape, Shapes};
use crate::wire::{
    frontend::{Target, read_target},
    take_cstr,
};

/// Names of prepared statements in one generation of [`Names`]. Drivers hold some hundreds; those that make a new name each time let go of the old ones by
/// SQL, which is not followed.
const NAMES: usize = 512;

/// Bytes of a message that are looked at: a text of the longest kind with the names before it.
const LOOKED_AT: usize = LONGEST_TEXT_BYTES + 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Tally {
    shapes: Arc<Shapes>,
    /// Some toggle is in phase 2 or beyond. Statements prepared before are known then.
    counts: bool,
    names: Names,
    /// The begin of a message that comes in pieces.
    held: Vec<u8>,
}

impl Tally {
    /// For a new session.
    pub(crate) fn new(shapes: Arc<Shapes>) -> Tally {
        Tally {
            shapes,
            counts: false,
            names: Names::default(),
            held: Vec::new(),
        }
    }

    /// From now on the session is in these phases.
    pub(crate) fn enter(&mut self, mut phases: impl Iterator<Item = Phase>) {
        self.counts = phases.any(|phase| phase >= Phase::UseOld);
    }

    /// Some of a relayed message's body.
    pub(crate) fn body(&mut self, kind: u8, bytes: &[u8], last: bool) {
        if !matches!(kind, b'Q' | b'P' | b'B' | b'C') {
            return;
        }
        if last && self.held.is_empty() {
            return self.message(kind, bytes);
        }
        let room = LOOKED_AT.saturating_sub(self.held.len()).min(bytes.len());
        self.held.extend_from_slice(&bytes[..room]);
        if last {
            // An idle session holds no buffer.
            let held = std::mem::take(&mut self.held);
            self.message(kind, &held);
        }
    }

    /// A message, or as much of it as is looked at. One that is malformed is the server's business.
    fn message(&mut self, kind: u8, mut body: &[u8]) {
        match kind {
            b'Q' => self.query(take_cstr(&mut body).unwrap_or(body)),
            b'P' => {
                if let Some(name) = take_cstr(&mut body) {
                    self.parse(name, take_cstr(&mut body).unwrap_or(body));
                }
            }
            b'B' => {
                let portal = take_cstr(&mut body);
                if let (Some(_), Some(name)) = (portal, take_cstr(&mut body)) {
                    self.bind(name);
                }
            }
            b'C' => {
                if let Ok((Target::Statement, name)) = read_target(kind, body) {
                    self.close(name);
                }
            }
            _ => {}
        }
    }

    /// A Query.
    pub(crate) fn query(&mut self, sql: &[u8]) {
        if self.counts {
            let shape = self.shapes.of(sql);
            self.count(shape.as_deref());
        }
    }

    /// A Parse: nothing runs yet.
    pub(crate) fn parse(&mut self, name: &[u8], sql: &[u8]) {
        self.names.insert(name, self.shapes.of(sql));
    }

    /// A Bind, or another attempt to run a prepared statement.
    pub(crate) fn bind(&mut self, name: &[u8]) {
        if self.counts {
            let shape = self.names.get(name);
            self.count(shape.as_deref());
        }
    }

    /// A statement is closed.
    pub(crate) fn close(&mut self, name: &[u8]) {
        self.names.remove(name);
    }

    fn count(&self, shape: Option<&Shape>) {
        match shape {
            Some(shape) => shape.count(),
            None => self.shapes.count_other(),
        }
    }
}

/// The shapes of prepared statements, in two generations: when the young one is full, the old one goes.
#[derive(Debug, Default)]
struct Names {
    young: HashMap<Bytes, Option<Arc<Shape>>, ahash::RandomState>,
    old: HashMap<Bytes, Option<Arc<Shape>>, ahash::RandomState>,
}

impl Names {
    fn insert(&mut self, name: &[u8], shape: Option<Arc<Shape>>) {
        if let Some(known) = self.young.get_mut(name) {
            // The unnamed statement, mostly.
            *known = shape;
            return;
        }
        self.old.remove(name);
        self.put(Bytes::copy_from_slice(name), shape);
    }

    fn put(&mut self, name: Bytes, shape: Option<Arc<Shape>>) {
        if self.young.len() >= NAMES {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, shape);
    }

    fn get(&mut self, name: &[u8]) -> Option<Arc<Shape>> {
        if let Some(shape) = self.young.get(name) {
            return shape.clone();
        }
        let (name, shape) = self.old.remove_entry(name)?;
        self.put(name, shape.clone());
        shape
    }

    fn remove(&mut self, name: &[u8]) {
        self.young.remove(name);
        self.old.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        shapes::testing::shapes,
        wire::{Step, Walker},
    };

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), body].concat()
    }

    /// What is counted of a stream that comes in pieces of so many bytes.
    fn counted(stream: &[u8], piece: usize) -> (Vec<(String, u64)>, u64) {
        let shapes = shapes();
        let mut tally = Tally::new(shapes.clone());
        tally.enter([Phase::UseOld].into_iter());
        let mut walker = Walker::default();
        for bytes in stream.chunks(piece) {
            let walked = walker.walk(bytes, |step| {
                match step {
                    Step::Head(..) => {}
                    Step::Body { kind, bytes, last } => tally.body(kind, bytes, last),
                }
                Ok(())
            });
            walked.unwrap();
        }
        (shapes.counts(), shapes.others())
    }

    #[test]
    fn a_query_and_a_bind_count_however_the_stream_is_cut() {
        let long = format!("SELECT '{}'\0", "x".repeat(LONGEST_TEXT_BYTES));
        let stream = [
            frame(b'Q', b"SELECT 1\0"),
            frame(b'P', b"s1\0SELECT a FROM t WHERE id = $1\0\0\0"),
            frame(b'B', b"\0s1\0\0\0\0\0\0\0"),
            frame(b'B', b"p\0s1\0\0\0\0\0\0\0"),
            frame(b'E', b"\0\0\0\0\0"),
            frame(b'S', b""),
            frame(b'Q', b"SELECT  2;\0"),
            frame(b'Q', b"select 3\0"),
            frame(b'Q', long.as_bytes()),
            frame(b'B', b"\0unknown\0\0\0\0\0\0\0"),
            frame(b'C', b"Ss1\0"),
            frame(b'B', b"\0s1\0\0\0\0\0\0\0"),
        ]
        .concat();
        let expected = [
            ("select ?", 2),
            ("select ?;", 1),
            ("select a from t where id = $n", 2),
        ];
        for piece in [1, 3, 7, 64, stream.len()] {
            let (counts, others) = counted(&stream, piece);
            let counts: Vec<(&str, u64)> = counts
                .iter()
                .map(|(form, count)| (&form[..], *count))
                .collect();
            assert_eq!(counts, expected, "{piece}");
            assert_eq!(others, 3, "{piece}");
        }
    }

    #[test]
    fn what_was_prepared_in_phase_1_counts_from_phase_2_on() {
        let shapes = shapes();
        let mut tally = Tally::new(shapes.clone());
        tally.enter([Phase::DeployNew].into_iter());
        tally.parse(b"s", b"SELECT 1");
        tally.bind(b"s");
        tally.query(b"SELECT 1");
        assert_eq!(shapes.counts(), []);
        tally.enter([Phase::DeployNew, Phase::UseOld].into_iter());
        tally.bind(b"s");
        assert_eq!(shapes.counts(), [("select ?".to_owned(), 1)]);
    }

    #[test]
    fn names_that_are_used_stay_and_the_rest_goes() {
        let shapes = shapes();
        let mut tally = Tally::new(shapes.clone());
        tally.enter([Phase::UseOld].into_iter());
        tally.parse(b"often", b"SELECT 1");
        for number in 0..4 * NAMES {
            tally.parse(format!("s{number}").as_bytes(), b"SELECT 2, now()");
            tally.bind(b"often");
        }
        tally.bind(b"s0");
        assert_eq!(shapes.others(), 1);
        assert!(tally.names.young.len() + tally.names.old.len() <= 2 * NAMES);
    }
}
