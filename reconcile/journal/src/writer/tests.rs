//! The writer's steps one by one, without its thread.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
};

use super::{carry::Carry, log::Log};
use crate::{
    JournalKey, Options, Reason, Stale,
    disk::{Disk, Fault, SLOW},
    frame::FRAME_HEADER,
    replay::Found,
    segment::{SPARE, file_name},
    shared::{Mode, Shared},
};

#[test]
fn trap_03_a_segment_goes_only_when_what_was_carried_from_it_is_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let shared = Arc::new(Shared::new(Options {
        segment_bytes: 4096,
        max_keys: 10,
    }));
    let found = Found {
        next_number: 1,
        next_seq: 1,
        any: false,
    };
    let mut log = Log::new(Disk::new(dir.path()), 4096, &found);
    shared.lock_core().mode = Mode::Healthy;

    let key = vec![b"1".to_vec()];
    let key = JournalKey {
        toggle: "shop".into(),
        table: "public.orders".into(),
        key,
    };
    let (count, section) = shared.encode(&[&key]).unwrap();
    shared
        .mark(Stale(1), count, &section, Reason::Operator)
        .unwrap();
    let mut batch = std::mem::replace(&mut shared.lock_core().pending, vec![0; FRAME_HEADER]);
    log.append(&shared, &mut batch).unwrap();
    shared.lock_core().ticket = 2;
    shared.durable.store(1, Ordering::Release);
    log.rotate(&shared).unwrap();

    let oldest = dir.path().join(file_name(1));
    let mut carry = Carry::of_oldest(&log).unwrap().unwrap();
    for _ in 0..5 {
        assert!(!carry.step(&shared, &mut log).unwrap());
        assert!(oldest.exists(), "the carried key is in memory only");
    }
    assert!(shared.lock_core().urgent && shared.lock_core().has_pending());
    shared.durable.store(2, Ordering::Release);
    assert!(carry.step(&shared, &mut log).unwrap());
    assert!(!oldest.exists());
}

/// However the log ends, by a panic for one.
#[test]
fn trap_03_a_log_ends_after_the_thread_that_makes_its_spare_file() {
    let dir = tempfile::tempdir().unwrap();
    let shared = Arc::new(Shared::new(Options {
        segment_bytes: 4096,
        max_keys: 10,
    }));
    let found = Found {
        next_number: 1,
        next_seq: 1,
        any: false,
    };
    let disk = Disk::new(dir.path());
    let mut log = Log::new(disk.clone(), 4096, &found);
    log.append(&shared, &mut vec![0; FRAME_HEADER + 3000])
        .unwrap();
    disk.inject(Fault::SlowCreate);
    log.order_spare();
    drop(log);
    let spare = || {
        let file = disk.path(SPARE).metadata();
        file.map(|file| (file.len(), file.modified().unwrap())).ok()
    };
    let ended = spare();
    thread::sleep(3 * SLOW);
    assert_eq!(spare(), ended);
    assert_eq!(ended.map(|(bytes, _)| bytes), Some(4096));
}
