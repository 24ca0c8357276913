//! What the operator sees while the demo runs.

use std::{
    fmt,
    io::{IsTerminal as _, Write as _, stderr, stdout},
    sync::{Mutex, PoisonError},
};

/// Standard output: lines that stay, and on a terminal one line below them that is rewritten.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: bool,
    live: Mutex<String>,
}

impl Screen {
    /// The process's standard output.
    pub(super) fn new() -> Screen {
        Screen {
            terminal: stdout().is_terminal(),
            live: Mutex::default(),
        }
    }

    /// Whether a line can be rewritten.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// A line that stays.
    pub(super) fn say(&self, line: impl fmt::Display) {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if self.terminal {
            print(&format!("\r\x1b[K{line}\n{live}"));
        } else {
            print(&format!("{line}\n"));
        }
    }

    /// The line that changes; elsewhere than on a terminal, one more line.
    pub(super) fn live(&self, line: String) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if self.terminal {
            print(&format!("\r\x1b[K{line}"));
            *live = line;
        } else {
            print(&format!("{line}\n"));
        }
    }

    /// Ends the line that changes.
    pub(super) fn settle(&self) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut *live).is_empty() {
            print("\r\x1b[K");
        }
    }
}

/// A line on standard error. A reader who is gone must not stop what ends processes and removes files: no panic, unlike `eprintln!`.
pub(super) fn complain(line: impl fmt::Display) {
    let _ = writeln!(stderr(), "crossfade demo: {line}");
}

fn print(text: &str) {
    let mut out = stdout().lock();
    // Nobody reads on any more: the walk goes on to its end, and its exit status says how it went.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
