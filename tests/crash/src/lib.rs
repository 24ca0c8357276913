//! Named points at which a test ends the process, as a power cut would.
//!
//! A process that is started with `CROSSFADE_CRASH_AT=NAME` or `NAME:NTH` aborts when it comes to that [`Point`] for the first or the NTH time:
//! nothing is flushed, no destructor runs. The points stand at every step between a write in the primary and the client's answer, and between the
//! steps of the journal, of repair, backfill and flips.
//!
//! Only builds with debug assertions have them. In a release build [`at`] is an empty function, and the variable means nothing.

mod point;

#[cfg(debug_assertions)]
mod armed;

pub use point::Point;

/// The environment variable that arms a point.
pub const VARIABLE: &str = "CROSSFADE_CRASH_AT";

/// Ends the process here when the point is armed and its turn has come.
#[inline]
pub fn at(point: Point) {
    at_if(point, || true);
}

/// Whether the point is the armed one: where a test has to bring about the moment that is meant.
#[inline]
#[must_use]
pub fn is_armed(point: Point) -> bool {
    #[cfg(debug_assertions)]
    return armed::is(point);
    #[cfg(not(debug_assertions))]
    {
        let _ = point;
        false
    }
}

/// As [`at`], where the step is only sometimes the one that is meant.
#[inline]
pub fn at_if(point: Point, meant: impl FnOnce() -> bool) {
    #[cfg(debug_assertions)]
    if armed::is(point) && meant() && armed::is_due() {
        armed::crash(point);
    }
    #[cfg(not(debug_assertions))]
    let _ = (point, meant);
}

/// Ends the process in the middle of a write of `bytes`: `write` gets the first half of them.
#[inline]
pub fn torn(point: Point, bytes: &[u8], write: impl FnOnce(&[u8])) {
    #[cfg(debug_assertions)]
    if armed::is(point) && armed::is_due() {
        write(&bytes[..bytes.len() / 2]);
        armed::crash(point);
    }
    #[cfg(not(debug_assertions))]
    let _ = (point, bytes, write);
}
