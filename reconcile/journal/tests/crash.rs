//! The real thing: a child process is killed with SIGKILL at a random moment, and the folder is opened again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use common::{TABLE, is_dirty, key, key_in, open_small};
use crossfade_journal::{Journal, Reason};
use crossfade_phase::Side;

const CHILD: &str = "CROSSFADE_JOURNAL_CRASH_CHILD";
const ROUNDS: u32 = 30;

/// One line, in one write, before anything else happens: the parent sees what was said before the kill.
fn say(line: &str) {
    std::io::stdout()
        .lock()
        .write_all(format!("@{line}\n").as_bytes())
        .unwrap();
}

/// The child: says `+n` when the key must survive and `-n` before it may go.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD) else {
        return;
    };
    let journal = open_small(&PathBuf::from(dir));
    say("ready");
    static NEXT: AtomicU32 = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                let local = tokio::task::LocalSet::new();
                for _ in 0..4 {
                    local.spawn_local(session(journal.clone(), &NEXT));
                }
                runtime.block_on(local);
            });
        }
        scope.spawn(|| repairer(&journal));
    });
}

/// Ends only with the process.
async fn session(journal: Journal, next: &'static AtomicU32) {
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let keys = [key(n), key_in("public.items", n)];
        if n % 5 == 4 {
            journal
                .mark_dirty(Side::New, &keys, Reason::BreakerOpen)
                .await
                .unwrap();
            say(&format!("+{n}"));
            continue;
        }
        let intent = journal.intend(Side::New, &keys).await.unwrap();
        say(&format!("+{n}"));
        match n % 7 {
            0 => intent.dirty(Reason::SecondaryFailed).await.unwrap(),
            1 => drop(intent),
            2 => intent.committed(),
            _ => {
                say(&format!("-{n}"));
                intent.done();
            }
        }
    }
}

fn repairer(journal: &Journal) {
    loop {
        for dirty in journal.take_dirty("shop", 20) {
            let n = String::from_utf8(dirty.key.key[0].clone()).unwrap();
            if &*dirty.key.table == TABLE {
                say(&format!("-{n}"));
            }
            journal.clean(&dirty.key, dirty.generation);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs the child until it is killed; gives what it said.
fn run_and_kill(dir: &std::path::Path, after: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let said = lines.split(b'\n').map_while(Result::ok);
        let said = said.filter_map(|line| {
            let line = String::from_utf8(line).ok()?;
            line.find('@').map(|at| line[at + 1..].to_owned())
        });
        said.collect::<Vec<_>>()
    });
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn trap_03_kill_at_any_moment_loses_no_acknowledged_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        // No random numbers needed: the scheduler is random enough, the times only spread the moments over start and work.
        let after = Duration::from_millis(u64::from(round * 37 % 190) + 5);
        let said = run_and_kill(dir.path(), after);
        let released: HashSet<&str> = said.iter().filter_map(|l| l.strip_prefix('-')).collect();
        let journal = open_small(dir.path());
        for n in said.iter().filter_map(|line| line.strip_prefix('+')) {
            acknowledged += 1;
            let number: u32 = n.parse().unwrap();
            assert!(
                released.contains(n) || is_dirty(&journal, number),
                "round {round}: key {n} was durable and is gone"
            );
        }
        // The next round begins with what this one left, but its numbers begin again.
        let left: HashMap<_, _> = journal
            .take_dirty("shop", 1 << 20)
            .into_iter()
            .map(|d| (d.key, d.generation))
            .collect();
        assert!(
            left.iter()
                .all(|(key, generation)| journal.clean(key, *generation))
        );
        assert!(journal.backlog("shop").is_drained());
    }
    assert!(
        acknowledged > 100,
        "the child did little: {acknowledged} keys"
    );
}
