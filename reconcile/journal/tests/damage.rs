//! Torn ends are cut, damage is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{fs, path::Path};

use common::{is_dirty, key, open_small, segments};
use crossfade_journal::{Journal, OpenError, Options, Reason};
use crossfade_phase::Side;

/// A folder as a crash leaves it: five acknowledged intents, each in a batch of its own, none settled. Gives the file and
/// where each batch ends.
fn crashed(dir: &Path) -> (std::path::PathBuf, Vec<usize>) {
    let live = tempfile::tempdir().unwrap();
    let journal = open_small(live.path());
    let mut ends = Vec::new();
    let mut intents = Vec::new();
    let active = segments(live.path()).pop().unwrap();
    for n in 0..5 {
        intents.push(journal.intend(Side::New, &[key(n)]).wait().unwrap());
        let bytes = fs::read(&active).unwrap();
        ends.push(bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1);
    }
    copy(live.path(), dir);
    (dir.join(active.file_name().unwrap()), ends)
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn try_open(dir: &Path) -> Result<Journal, OpenError> {
    Journal::open_with(
        dir,
        Options {
            segment_bytes: 4 << 10,
            max_keys: 1000,
        },
    )
}

#[test]
fn a_torn_end_at_every_byte_keeps_what_was_whole() {
    let master = tempfile::tempdir().unwrap();
    let (file, ends) = crashed(master.path());
    let whole = fs::read(&file).unwrap();
    let from = ends[2];
    for cut in from..ends[4] {
        for shorten in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            copy(master.path(), dir.path());
            let mut bytes = whole.clone();
            if shorten {
                bytes.truncate(cut);
            } else {
                bytes[cut..].fill(0);
            }
            fs::write(dir.path().join(file.file_name().unwrap()), &bytes).unwrap();
            let journal = try_open(dir.path()).unwrap();
            for n in 0..5 {
                // Padding zeros behind a batch do not belong to it: `ends` is its last byte that is not zero.
                let kept = ends[n as usize] <= cut;
                assert!(
                    is_dirty(&journal, n) || !kept,
                    "key {n} is gone, cut at {cut} of {ends:?}"
                );
            }
            assert!(
                !is_dirty(&journal, 4),
                "cut at {cut}: half a batch was believed"
            );
        }
    }
}

#[test]
fn damage_before_a_whole_batch_is_refused_with_file_and_offset() {
    let master = tempfile::tempdir().unwrap();
    let (file, ends) = crashed(master.path());
    let whole = fs::read(&file).unwrap();
    let name = file.file_name().unwrap();
    // From the first intent's batch up to the last but one.
    for at in ends[0].next_multiple_of(8)..ends[3] {
        let dir = tempfile::tempdir().unwrap();
        copy(master.path(), dir.path());
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(dir.path().join(name), &bytes).unwrap();
        let before = listing(dir.path());
        let padding = ends
            .iter()
            .any(|&end| (end..end.next_multiple_of(8)).contains(&at));
        match try_open(dir.path()) {
            Err(error @ OpenError::Corrupt { .. }) => {
                let text = error.to_string();
                assert!(
                    text.contains(name.to_str().unwrap()) && text.contains("at byte"),
                    "{text}"
                );
                assert_eq!(listing(dir.path()), before, "nothing was changed");
            }
            Ok(journal) if padding => assert_eq!(journal.dirty_count("shop"), 5),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

fn listing(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    segments(dir)
        .into_iter()
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}

/// A folder with several sealed segments, as a crash leaves it.
fn crashed_with_segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let live = tempfile::tempdir().unwrap();
    let journal = open_small(live.path());
    for n in 0..400 {
        let keys = [key(n)];
        journal
            .mark_dirty(Side::New, &keys, Reason::BreakerOpen)
            .wait()
            .unwrap();
    }
    copy(live.path(), dir);
    let segments = segments(dir);
    assert!(segments.len() > 3, "{segments:?}");
    segments
}

#[test]
fn a_sealed_segment_cannot_lose_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let segments = crashed_with_segments(dir.path());
    let sealed = &segments[segments.len() - 2];
    let mut bytes = fs::read(sealed).unwrap();
    let last = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[last] ^= 1;
    fs::write(sealed, bytes).unwrap();
    let error = try_open(dir.path()).unwrap_err();
    assert!(
        matches!(&error, OpenError::Corrupt { path, .. } if path == sealed),
        "{error}"
    );
}

#[test]
fn a_segment_that_is_gone_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let segments = crashed_with_segments(dir.path());
    fs::remove_file(&segments[1]).unwrap();
    let error = try_open(dir.path()).unwrap_err();
    assert!(
        matches!(&error, OpenError::Missing { path, .. } if *path == segments[1]),
        "{error}"
    );
}

#[test]
fn all_segments_gone_or_the_phases_gone_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    drop(open_small(dir.path()));
    let state = fs::read(dir.path().join("state.json")).unwrap();
    fs::remove_file(dir.path().join("state.json")).unwrap();
    assert!(matches!(
        try_open(dir.path()).unwrap_err(),
        OpenError::Missing { .. }
    ));
    fs::write(dir.path().join("state.json"), state).unwrap();
    for segment in segments(dir.path()) {
        fs::remove_file(segment).unwrap();
    }
    assert!(matches!(
        try_open(dir.path()).unwrap_err(),
        OpenError::Missing { .. }
    ));
}

#[test]
fn a_segment_of_a_later_release_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open_small(dir.path()));
    let newest = segments(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    bytes[8] = 2;
    fs::write(&newest, bytes).unwrap();
    let error = try_open(dir.path()).unwrap_err();
    assert!(
        matches!(error, OpenError::FutureVersion { found: 2, .. }),
        "{error}"
    );
}

#[test]
fn a_file_used_again_never_shows_its_former_records() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_small(dir.path());
    // Many rotations with nothing alive: segments are recycled all the time.
    for n in 0..3000 {
        journal
            .intend(Side::New, &[key(n % 7)])
            .wait()
            .unwrap()
            .done();
    }
    assert!(segments(dir.path()).len() < 12, "the log does not grow");
    journal
        .intend(Side::New, &[key(99)])
        .wait()
        .unwrap()
        .committed();
    let copied = tempfile::tempdir().unwrap();
    copy(dir.path(), copied.path());
    let again = try_open(copied.path()).unwrap();
    assert_eq!(again.dirty_count("shop"), 1);
    assert!(is_dirty(&again, 99));
}

#[test]
fn trap_40_what_is_flushed_needs_no_repair_after_a_crash() {
    let (live, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = open_small(live.path());
    let intent = journal.intend(Side::New, &[key(1)]).wait().unwrap();
    let marked = journal.mark_dirty(Side::New, &[key(2)], Reason::Operator);
    marked.wait().unwrap();
    intent.done();
    for dirty in journal.take_dirty("shop", 9) {
        assert!(journal.clean(&dirty.key, dirty.generation));
    }
    journal.flushed().wait().unwrap();
    copy(live.path(), dir.path());
    assert!(open_small(dir.path()).backlog("shop").is_drained());
    // With nothing queued there is nothing to wait for.
    journal.flushed().wait().unwrap();
}
