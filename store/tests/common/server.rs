//! One throwaway server for the whole test binary.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    net::{TcpListener, TcpStream},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

/// `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;
/// Longest wait for initdb and the server together.
const START: Duration = Duration::from_secs(60);

/// Makes the cluster, runs the server, and ends it and removes the folder when its input closes: when the test process ends, however
/// that comes about.
const KEEPER: &str = r#"
"$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$2/initdb.log" 2>&1 || exit 1
"$1/postgres" -D "$2/data" -p "$3" -k "$2" -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200 \
    -c shared_buffers=32MB >"$2/server.log" 2>&1 &
read -r _
kill -INT $!
wait $!
rm -rf "$2"
"#;

/// A running server.
pub struct Server {
    port: u16,
    _keeper: Child,
    _input: Option<ChildStdin>,
}

impl Server {
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// The server of this process, started by the first test that asks.
pub fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(start)
}

fn start() -> Server {
    let folder = tempfile::Builder::new().prefix("crossfade-store-").tempdir().expect("a folder").keep();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("permissions");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let root = fs::metadata("/proc/self").expect("/proc").uid() == 0;
    let mut command = if root {
        chown(&folder, Some(NOBODY), Some(NOBODY)).expect("chown");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    let arguments: [OsString; 6] =
        ["-c".into(), KEEPER.into(), "keeper".into(), binaries().into(), folder.clone().into(), port.to_string().into()];
    command.args(arguments).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut keeper = command.spawn().expect("a shell");
    let input = keeper.stdin.take();
    wait_until_ready(&folder, port, &mut keeper);
    Server { port, _keeper: keeper, _input: input }
}

fn wait_until_ready(folder: &Path, port: u16, keeper: &mut Child) {
    let since = Instant::now();
    let ready = || fs::read_to_string(folder.join("server.log")).is_ok_and(|log| log.contains("ready to accept connections"));
    while !(ready() && TcpStream::connect(("127.0.0.1", port)).is_ok()) {
        let ended = keeper.try_wait().expect("the keeper's state");
        if ended.is_some() || since.elapsed() > START {
            let log = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
            panic!("no server: {ended:?}\n{}\n{}", log("initdb.log"), log("server.log"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The folder of the newest server that is installed.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .max_by_key(|bin| bin.parent()?.file_name()?.to_str()?.parse::<u32>().ok());
    newest.unwrap_or_else(|| {
        let said = Command::new("pg_config").arg("--bindir").output().expect("PostgreSQL's server binaries, or pg_config in PATH");
        PathBuf::from(String::from_utf8_lossy(&said.stdout).trim())
    })
}
