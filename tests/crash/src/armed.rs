//! Which point is armed. A global, unlike anything else here: the environment is one, and a point must need nothing of the code around it.

use std::{
    env, process,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{Point, VARIABLE};

/// The armed point and how often it is passed.
#[derive(Debug, PartialEq, Eq)]
struct Armed {
    point: Point,
    nth: u64,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
static PASSED: AtomicU64 = AtomicU64::new(0);

fn armed() -> Option<&'static Armed> {
    let read = || {
        let text = env::var(VARIABLE).ok()?;
        let armed = parse(&text);
        if armed.is_none() {
            // A test that waits for a crash that cannot come would look like one that found nothing.
            eprintln!("{VARIABLE}: no crash point \"{text}\"");
            process::exit(2);
        }
        armed
    };
    ARMED.get_or_init(read).as_ref()
}

fn parse(text: &str) -> Option<Armed> {
    let (name, nth) = match text.split_once(':') {
        Some((name, nth)) => (name, nth.parse().ok().filter(|&nth| nth > 0)?),
        None => (text, 1),
    };
    let point = Point::named(name)?;
    Some(Armed { point, nth })
}

pub(crate) fn is(point: Point) -> bool {
    armed().is_some_and(|armed| armed.point == point)
}

/// Counts, and says whether this is the time.
pub(crate) fn is_due() -> bool {
    let passed = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
    armed().is_some_and(|armed| armed.nth == passed)
}

pub(crate) fn crash(point: Point) -> ! {
    eprintln!("crash point \"{}\"", point.name());
    process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_count_are_read() {
        let once = Armed {
            point: Point::IntentDurable,
            nth: 1,
        };
        assert_eq!(parse("intent-durable"), Some(once));
        assert_eq!(parse("intent-durable:7").map(|armed| armed.nth), Some(7));
        for wrong in ["", "no-such-point", "intent-durable:0", "intent-durable:x"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
