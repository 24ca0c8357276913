//! `crossfade demo`: the whole story, told in as little time as it takes.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Longest that it may take, with a second in each phase.
const MOST: Duration = Duration::from_secs(90);

fn succeeds(args: &[&str]) {
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_crossfade"))
        .args(["demo", "--seconds", "1"])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.contains("0 errors, 0 wrong answers, 0 differences"),
        "{told}\n{complaint}"
    );
    assert!(began.elapsed() < MOST, "it took {:?}", began.elapsed());
}

#[test]
fn from_postgresql_to_postgresql() {
    succeeds(&[]);
}

#[test]
fn from_postgresql_to_mongodb() {
    succeeds(&["--new", "mongodb"]);
}
