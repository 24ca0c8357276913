//! Standard output.
//!
//! Whoever reads it may leave early, as `head` does. What a command was asked for goes on then, and its exit status tells how it ended:
//! `print!` would end the process in the middle of a phase's change.

use std::{
    fmt::Arguments,
    io::{Write as _, stdout},
};

/// As `print!`, also when nobody reads.
macro_rules! say {
    ($($text:tt)*) => { $crate::out::write(format_args!($($text)*)) };
}

/// As `println!`, also when nobody reads.
macro_rules! sayln {
    ($($text:tt)*) => {{
        say!($($text)*);
        say!("\n");
    }};
}

/// Writes what someone may read, at once.
pub(crate) fn write(text: Arguments<'_>) {
    let mut out = stdout().lock();
    // Nobody is there who could be told.
    let _ = out.write_fmt(text).and_then(|()| out.flush());
}
