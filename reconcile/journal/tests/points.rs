//! The process ends at every point of the journal's writes: what was acknowledged is there when it opens again.
//!
//! Each crash is one of a process of its own: this program again, told by its environment what to do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
// A release build has no crash points.
#![cfg(debug_assertions)]

mod common;

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::Write as _,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, ExitStatus},
};

use common::{is_dirty, key, open_small};
use crossfade_crash::{Point, VARIABLE};
use crossfade_journal::{Journal, Reason};
use crossfade_phase::Side;

/// Where the child works.
const FOLDER: &str = "CROSSFADE_JOURNAL_CRASH";
const SIGABRT: i32 = 6;
/// Keys that the child works with.
const KEYS: u32 = 40;
/// Rounds of the child, with an orderly end and a start between two.
const ROUNDS: u32 = 4;
/// Steps of a round: enough to carry several segments over.
const STEPS: u32 = 500;

/// The point, and the times that it is passed to end there.
const POINTS: [(Point, &[u64]); 12] = [
    (Point::JournalTorn, &[1, 7, 150, 700]),
    (Point::JournalWritten, &[1, 7, 150, 700]),
    (Point::JournalFlushed, &[1, 7, 150, 700]),
    (Point::SegmentWritten, &[1, 2, 9, 20]),
    (Point::SegmentNamed, &[1, 2, 9, 20]),
    (Point::SnapshotBegun, &[1, 2, 3]),
    (Point::SnapshotWritten, &[1, 2, 3]),
    (Point::SnapshotNamed, &[1, 2, 3]),
    (Point::SnapshotAlone, &[1, 2, 3]),
    (Point::CarryStep, &[1, 2, 10]),
    (Point::Carried, &[1, 2, 10]),
    (Point::SegmentGone, &[1, 2, 10]),
];

#[test]
fn trap_03_what_was_acknowledged_survives_a_crash_at_every_point() {
    for (point, times) in POINTS {
        for nth in times {
            let dir = tempfile::tempdir().unwrap();
            let ended = child(dir.path(), &format!("{}:{nth}", point.name()));
            let what = format!("{point:?} for the {nth}th time");
            assert_eq!(ended.signal(), Some(SIGABRT), "{what}: {ended}");
            assert_kept(dir.path(), &what);
        }
    }
}

#[test]
fn trap_03_crashes_behind_each_other_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for (point, times) in POINTS {
        let nth = times[times.len() / 2];
        // Where little lives, some points are not come to: then the end is an orderly one.
        child(dir.path(), &format!("{}:{nth}", point.name()));
    }
    assert_kept(dir.path(), "after all");
}

/// Runs [`works_until_it_crashes`] in a process of its own.
fn child(dir: &Path, point: &str) -> ExitStatus {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "works_until_it_crashes", "--nocapture"])
        .env(FOLDER, dir)
        .env(VARIABLE, point);
    let output = command.output().unwrap();
    output.status
}

/// The child's part; nothing where no parent asks for it.
#[test]
fn works_until_it_crashes() {
    let Some(dir) = env::var_os(FOLDER) else {
        return;
    };
    let dir = Path::new(&dir);
    let mut notes = File::options()
        .create(true)
        .append(true)
        .open(dir.join("notes"))
        .unwrap();
    // Lines reach the file whole, or not at all: one call each.
    let mut note =
        |what: &str, n: u32| notes.write_all(format!("{what} {n}\n").as_bytes()).unwrap();
    for round in 0..ROUNDS {
        let journal = open_small(&dir.join("journal"));
        for step in 0..STEPS {
            work(&journal, round * STEPS + step, &mut note);
        }
    }
}

/// One step. Told as dirty is what must be dirty after a crash, as open what may be.
fn work(journal: &Journal, step: u32, note: &mut impl FnMut(&str, u32)) {
    let n = step.wrapping_mul(2_654_435_761) % KEYS;
    match step % 4 {
        0 => {
            let marked = journal.mark_dirty(Side::New, &[key(n)], Reason::Operator);
            marked.wait().unwrap();
            note("dirty", n);
        }
        1 => {
            let intent = journal.intend(Side::New, &[key(n)]).wait().unwrap();
            note("dirty", n);
            note("open", n);
            intent.done();
        }
        2 => {
            let intent = journal.intend(Side::New, &[key(n)]).wait().unwrap();
            note("dirty", n);
            intent.dirty(Reason::SecondaryFailed).wait().unwrap();
        }
        _ => {
            for dirty in journal.take_dirty("shop", 3) {
                let n = String::from_utf8_lossy(&dirty.key.key[0]).parse().unwrap();
                note("open", n);
                journal.clean(&dirty.key, dirty.generation);
            }
        }
    }
}

fn assert_kept(dir: &Path, what: &str) {
    let notes = fs::read_to_string(dir.join("notes")).unwrap_or_default();
    let mut told = BTreeMap::new();
    for line in notes.lines() {
        let (what, n) = line.split_once(' ').unwrap();
        told.insert(n.parse::<u32>().unwrap(), what == "dirty");
    }
    let journal = open_small(&dir.join("journal"));
    for (n, dirty) in told {
        assert!(!dirty || is_dirty(&journal, n), "{what}: key {n} is lost");
    }
}
