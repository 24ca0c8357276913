//! One throwaway server for all tests of a run, in one process (`cargo test`) or in one for each test (`cargo nextest`).

use std::{
    env,
    ffi::OsString,
    fs::{self, Permissions},
    io::ErrorKind,
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::{CommandExt as _, parent_id},
    },
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

/// `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;
/// Longest wait for initdb and the server together.
const START: Duration = Duration::from_secs(60);

/// Makes the cluster and runs the server for as long as the process with the pid `$4` lives, however that comes to its end; then removes the
/// folder.
const KEEPER: &str = r#"
"$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$2/initdb.log" 2>&1 || exit 1
"$1/postgres" -D "$2/data" -p "$3" -k "$2" -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200 \
    -c shared_buffers=32MB >"$2/server.log" 2>&1 &
while ps -p "$4" >/dev/null && kill -0 $!; do sleep 1; done
kill -INT $!
wait $!
rm -rf "$2"
"#;

/// The port of the server, which the first test that asks starts.
pub(crate) fn port() -> u16 {
    static STARTED: OnceLock<(u16, Option<Child>)> = OnceLock::new();
    let (port, _keeper) = STARTED.get_or_init(|| {
        // nextest runs each test in a process of its own and names the run.
        let (run, owner) = match env::var("NEXTEST_RUN_ID") {
            Ok(run) => (run, parent_id()),
            Err(_) => (process::id().to_string(), process::id()),
        };
        let folder = env::temp_dir().join(format!("crossfade-store-{run}"));
        let keeper = match fs::create_dir(&folder) {
            Ok(()) => Some(start(&folder, owner)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
            Err(error) => panic!("{}: {error}", folder.display()),
        };
        (wait_until_ready(&folder), keeper)
    });
    *port
}

fn start(folder: &Path, owner: u32) -> Child {
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a port")
        .port()
        .to_string();
    fs::set_permissions(folder, Permissions::from_mode(0o700)).expect("permissions");
    let root = fs::metadata(folder).expect("a folder").uid() == 0;
    let mut command = if root {
        chown(folder, Some(NOBODY), Some(NOBODY)).expect("chown");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    let owner = owner.to_string();
    let arguments: [OsString; 7] = [
        "-c".into(),
        KEEPER.into(),
        "keeper".into(),
        binaries().into(),
        folder.into(),
        port.clone().into(),
        owner.into(),
    ];
    command
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // A group of its own: a test that is killed for taking too long must not take the others' server with it.
    let keeper = command.process_group(0).spawn().expect("a shell");
    let written = folder.join("port.new");
    fs::write(&written, port)
        .and_then(|()| fs::rename(&written, folder.join("port")))
        .expect("the port");
    keeper
}

fn wait_until_ready(folder: &Path) -> u16 {
    let since = Instant::now();
    let read = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
    loop {
        if read("server.log").contains("ready to accept connections") {
            let port = read("port").parse().expect("a port");
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
        assert!(
            since.elapsed() < START,
            "no server\n{}\n{}",
            read("initdb.log"),
            read("server.log")
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The folder of the newest server that is installed.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .max_by_key(|bin| bin.parent()?.file_name()?.to_str()?.parse::<u32>().ok());
    newest.unwrap_or_else(|| {
        let said = Command::new("pg_config")
            .arg("--bindir")
            .output()
            .expect("PostgreSQL's server binaries, or pg_config in PATH");
        PathBuf::from(String::from_utf8_lossy(&said.stdout).trim())
    })
}
