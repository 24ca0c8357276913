//! Why the demo ends early.

use std::fmt;

/// The end of the story before its end.
#[derive(Debug)]
pub(super) enum Halt {
    /// Something could not start, or failed half way: exit status 3.
    Broken(String),
    /// The answer is no: a step was refused for good, or data differs. Exit status 1.
    No(String),
    /// Ctrl-C or SIGTERM: exit status 3.
    Interrupted,
}

impl Halt {
    /// `what` failed, and why.
    pub(super) fn broken(what: impl fmt::Display, why: impl fmt::Display) -> Halt {
        Halt::Broken(format!("{what}: {why}"))
    }

    /// The exit status of the process.
    pub(super) fn status(&self) -> u8 {
        match self {
            Halt::No(_) => 1,
            Halt::Broken(_) | Halt::Interrupted => 3,
        }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Halt::Broken(why) | Halt::No(why) => f.write_str(why),
            Halt::Interrupted => f.write_str("interrupted"),
        }
    }
}
