use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use tokio::time::{sleep, timeout};

use super::*;
use crate::{edit::write_atomically, load};

const FAST: Duration = Duration::from_millis(10);

fn text(phase: u8) -> String {
    format!(
        "[old]\nurl = 'postgres://u@h/d'\npassword_file = 'pw'\n[new]\nurl = 'postgres://u@g/d'\n\
         [toggle.a]\nphase = {phase}\n[toggle.a.table.t]\n"
    )
}

struct Watched {
    folder: tempfile::TempDir,
    path: PathBuf,
    watcher: Watcher,
}

fn begin(folder: tempfile::TempDir, path: PathBuf) -> Watched {
    let loaded = Config::load(&path).expect("a good file");
    let watcher = Watcher::with(&loaded, Arc::new(load::process_env), FAST);
    Watched {
        folder,
        path,
        watcher,
    }
}

fn watched() -> Watched {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("crossfade.toml");
    fs::write(&path, text(1)).expect("write");
    fs::write(folder.path().join("pw"), "hunter2").expect("write");
    begin(folder, path)
}

async fn next(watcher: &mut Watcher) -> Change {
    timeout(Duration::from_secs(20), watcher.next())
        .await
        .expect("no change was seen")
}

fn phase(change: &Change) -> Option<u8> {
    match change {
        Change::Reloaded { config, .. } => {
            config.toggles.get("a").map(|toggle| toggle.phase.number())
        }
        Change::Broken(_) => None,
    }
}

async fn assert_quiet(watcher: &mut Watcher) {
    let change = timeout(FAST * 15, watcher.next()).await;
    assert!(change.is_err(), "{change:?}");
}

fn replace(path: &Path, text: &str) {
    write_atomically(path, text).expect("a write");
}

/// One look, without the clock: what a test says of two looks must not depend on how busy the machine is.
async fn look(watcher: &mut Watcher) -> Option<Change> {
    watcher.begin_look(false);
    watcher.finish_look().await
}

#[tokio::test]
async fn a_file_written_in_place_or_by_renaming_is_seen_once() {
    let mut w = watched();
    assert_quiet(&mut w.watcher).await;
    replace(&w.path, &text(3));
    assert_eq!(phase(&next(&mut w.watcher).await), Some(3));
    assert_quiet(&mut w.watcher).await;
    fs::write(&w.path, text(2)).expect("write");
    assert!(look(&mut w.watcher).await.is_none());
    let change = look(&mut w.watcher)
        .await
        .expect("a change that stood still");
    assert_eq!(phase(&change), Some(2));
    // The same content again, with another time and, by renaming, another file.
    fs::write(&w.path, text(2)).expect("write");
    replace(&w.path, &text(2));
    assert_quiet(&mut w.watcher).await;
}

#[tokio::test]
async fn swapped_symlinks_are_seen() {
    // As Kubernetes mounts a ConfigMap: file -> ..data/file, ..data -> a folder that is swapped.
    let folder = tempfile::tempdir().expect("a folder");
    for (name, phase) in [("..1", 1), ("..2", 2)] {
        fs::create_dir(folder.path().join(name)).expect("mkdir");
        fs::write(folder.path().join(name).join("crossfade.toml"), text(phase)).expect("write");
        fs::write(folder.path().join(name).join("pw"), "hunter2").expect("write");
    }
    symlink("..1", folder.path().join("..data")).expect("symlink");
    for file in ["crossfade.toml", "pw"] {
        symlink(Path::new("..data").join(file), folder.path().join(file)).expect("symlink");
    }
    let path = folder.path().join("crossfade.toml");
    let mut w = begin(folder, path);
    symlink("..2", w.folder.path().join("..tmp")).expect("symlink");
    fs::rename(
        w.folder.path().join("..tmp"),
        w.folder.path().join("..data"),
    )
    .expect("rename");
    assert_eq!(phase(&next(&mut w.watcher).await), Some(2));
}

#[tokio::test]
async fn trap_39_a_half_written_file_is_not_taken_for_a_whole_one() {
    let mut w = watched();
    let whole = text(2);
    // A slow editor: at each look the file is another one.
    for end in (0..=whole.len()).step_by(7).chain([whole.len()]) {
        fs::write(&w.path, &whole[..end]).expect("write");
        assert!(
            look(&mut w.watcher).await.is_none(),
            "read when only {end} bytes were there"
        );
    }
    let change = look(&mut w.watcher)
        .await
        .expect("a change that stood still");
    assert_eq!(phase(&change), Some(2));
    // A change that is taken back before it stood still never was.
    fs::write(&w.path, "").expect("write");
    assert!(look(&mut w.watcher).await.is_none());
    fs::write(&w.path, &whole).expect("write");
    assert!(look(&mut w.watcher).await.is_none());
    assert!(look(&mut w.watcher).await.is_none());
}

#[tokio::test]
async fn a_broken_file_is_told_once_and_mended_again() {
    let mut w = watched();
    replace(&w.path, "phase = ");
    assert!(matches!(next(&mut w.watcher).await, Change::Broken(_)));
    assert_quiet(&mut w.watcher).await;
    fs::remove_file(&w.path).expect("remove");
    let Change::Broken(mistakes) = next(&mut w.watcher).await else {
        panic!("a missing file is broken")
    };
    assert!(
        mistakes.to_string().contains("cannot read the file"),
        "{mistakes}"
    );
    // By renaming, or a look might find the file while it is empty.
    let beside = w.folder.path().join("beside");
    fs::write(&beside, text(1)).expect("write");
    fs::rename(beside, &w.path).expect("rename");
    assert_eq!(phase(&next(&mut w.watcher).await), Some(1));
}

#[tokio::test]
async fn a_password_file_counts_and_waits_for_a_restart() {
    let mut w = watched();
    replace(&w.folder.path().join("pw"), "hunter3");
    let Change::Reloaded {
        config,
        needs_restart,
    } = next(&mut w.watcher).await
    else {
        panic!("a good file")
    };
    assert_eq!(needs_restart, ["old.password"]);
    assert_eq!(config.old.url.password.as_deref(), Some("hunter2"));
    fs::remove_file(w.folder.path().join("pw")).expect("remove");
    assert!(matches!(next(&mut w.watcher).await, Change::Broken(_)));
    let beside = w.folder.path().join("beside");
    fs::write(&beside, "hunter2").expect("write");
    fs::rename(beside, w.folder.path().join("pw")).expect("rename");
    let Change::Reloaded { needs_restart, .. } = next(&mut w.watcher).await else {
        panic!("a good file")
    };
    assert!(needs_restart.is_empty());
}

#[tokio::test]
async fn a_restart_stays_needed_over_later_changes() {
    let mut w = watched();
    for phase in [2, 3] {
        replace(&w.path, &format!("workers = 99\n{}", text(phase)));
        let Change::Reloaded {
            config,
            needs_restart,
        } = next(&mut w.watcher).await
        else {
            panic!("a good file")
        };
        assert_eq!(needs_restart, ["workers"]);
        assert_eq!(config.toggles["a"].phase.number(), phase);
        assert_ne!(config.workers, 99);
    }
}

#[tokio::test]
async fn check_now_always_answers() {
    let mut w = watched();
    assert_eq!(phase(&w.watcher.check_now().await), Some(1));
    replace(&w.path, &text(2));
    assert_eq!(phase(&w.watcher.check_now().await), Some(2));
    replace(&w.path, "nonsense");
    assert!(matches!(w.watcher.check_now().await, Change::Broken(_)));
    assert!(matches!(w.watcher.check_now().await, Change::Broken(_)));
    assert_quiet(&mut w.watcher).await;
}

#[tokio::test]
async fn a_change_before_the_watcher_began_is_seen() {
    let w = watched();
    let loaded = Config::load(&w.path).expect("a good file");
    replace(&w.path, &text(2));
    let mut watcher = Watcher::with(&loaded, Arc::new(load::process_env), FAST);
    assert_eq!(phase(&next(&mut watcher).await), Some(2));
}

#[tokio::test]
async fn a_dropped_wait_loses_no_change() {
    let mut w = watched();
    replace(&w.path, &text(2));
    let seen = timeout(Duration::from_secs(20), async {
        loop {
            tokio::select! {
                biased;
                change = w.watcher.next() => return change,
                () = sleep(Duration::from_millis(1)) => {}
            }
        }
    });
    assert_eq!(phase(&seen.await.expect("the change was lost")), Some(2));
}
