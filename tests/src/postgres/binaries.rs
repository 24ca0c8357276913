//! Where this machine keeps PostgreSQL's programs.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The folder with `postgres`, `initdb` and `psql`: the newest of Debian's, else what `pg_config` or the PATH say.
///
/// # Panics
/// When no server is installed; the message says how to install one.
pub(crate) fn bin_dir() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let found = debian().or_else(pg_config).or_else(on_path);
        found.expect("no PostgreSQL server programs on this machine: run scripts/setup")
    })
}

/// The program `name`.
pub(crate) fn program(name: &str) -> PathBuf {
    bin_dir().join(name)
}

/// The server's version as it prints it.
pub(crate) fn version() -> String {
    let output = Command::new(program("postgres"))
        .arg("--version")
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn debian() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<(u32, PathBuf)> = versions
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, bin)| bin.join("postgres").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let bin = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    bin.join("postgres").exists().then_some(bin)
}

fn on_path() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).find(|bin| bin.join("postgres").exists())
}
