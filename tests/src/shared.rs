//! The servers that all tests of a run share: started by whichever test comes first, ended when no test is left.
//!
//! nextest gives each test a process of its own, so nothing in memory can be shared. Every process that uses a server
//! holds a shared lock on its `users` file until it ends, however it ends; a keeper process beside the server ends it once
//! nobody has held that lock for a while.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    Port,
    folders::{base, lock_file, locked, make},
    identity::{give_to_servers, mortal},
    postgres::{Release, Template, answers, tail},
};

/// Runs the server given as its arguments and ends it, with its files, when it was unused for long enough.
const KEEPER: &str = include_str!("shared/keeper.sh");

/// Seconds without a user until a server ends: longer than any pause between two tests.
const IDLE_S: &str = "15";

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Old,
    New,
    /// Of a later release than the two.
    Later,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Old => "old",
            Role::New => "new",
            Role::Later => "later",
        }
    }

    fn release(self) -> Release {
        match self {
            Role::Old | Role::New => Release::usual(),
            Role::Later => Release::later(),
        }
    }
}

/// The address of a shared server, which stays up at least until this process ends.
pub(crate) fn server(role: Role) -> SocketAddr {
    static HELD: Mutex<Vec<(&str, SocketAddr, File)>> = Mutex::new(Vec::new());
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, addr, _)) = held.iter().find(|(name, ..)| *name == role.name()) {
        return *addr;
    }
    let (addr, users) = join_or_start(role);
    held.push((role.name(), addr, users));
    addr
}

/// The keeper takes both locks before it ends a server: whoever holds `start` sees a server that stays or none.
fn join_or_start(role: Role) -> (SocketAddr, File) {
    let template = Template::of(role.release());
    let folder = base().join(format!("shared-{}-{}", role.name(), template.name()));
    make(&folder, 0o755);
    let _start = locked(&folder.join("start.lock"));
    let users = lock_file(&folder.join("users.lock"));
    users.lock_shared().unwrap();
    let addr = running(&folder).unwrap_or_else(|| start(&folder, role, &template));
    (addr, users)
}

fn running(folder: &Path) -> Option<SocketAddr> {
    let port = fs::read_to_string(folder.join("port"))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // The keeper's pid tells a server of ours from a stranger on the same port.
    let keeper = fs::read_to_string(folder.join("keeper.pid")).ok()?;
    let alive = Path::new("/proc").join(keeper.trim()).join("cmdline");
    let ours = fs::read(alive)
        .is_ok_and(|line| String::from_utf8_lossy(&line).contains("crossfade-keeper"));
    (ours && answers(addr)).then_some(addr)
}

fn start(folder: &Path, role: Role, template: &Template) -> SocketAddr {
    let data = folder.join("run");
    let _ = fs::remove_dir_all(&data);
    make(&data, 0o700);
    give_to_servers(&data);
    template.copy(&data.join("data"));
    let port = Port::reserve();
    fs::write(folder.join("port"), port.number().to_string()).unwrap();
    keeper(folder, role, &data.join("data"), port.number());
    let begin = Instant::now();
    while !answers(port.addr()) {
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "shared server did not start:\n{}",
            tail(&log, 30)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    port.addr()
}

/// In a session of its own: it must outlive this test, also one that nextest kills with its process group.
fn keeper(folder: &Path, role: Role, data: &PathBuf, port: u16) {
    let postgres = mortal(&role.release().program("postgres"), "QUIT");
    let mut command = Command::new("setsid");
    command
        .args(["--fork", "sh", "-c", KEEPER, "crossfade-keeper"])
        .arg(folder)
        .arg(IDLE_S);
    command
        .arg(postgres.get_program())
        .args(postgres.get_args());
    command.arg("-D").arg(data).args(["-p", &port.to_string()]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    assert!(
        command.status().unwrap().success(),
        "the keeper did not start"
    );
}
