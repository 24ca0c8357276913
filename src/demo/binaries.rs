//! Where this machine keeps PostgreSQL's server programs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::halt::Halt;

/// Debian and Ubuntu keep one folder a major version here, and none of them on the PATH.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The folder that holds `postgres` and `initdb`: the newest of Debian's, else what `pg_config` or the PATH says.
///
/// # Errors
/// When there is none; says how to install one.
pub(super) fn find() -> Result<PathBuf, Halt> {
    debian(Path::new(DEBIAN)).or_else(pg_config).or_else(on_path).ok_or_else(|| {
        Halt::Broken(
            "the demo needs PostgreSQL's server programs (postgres, initdb), and this machine has none; install them with\n\n    \
             sudo apt-get install postgresql\n\nor put the folder that holds them on the PATH"
                .to_owned(),
        )
    })
}

fn debian(folder: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(folder).ok()?.flatten();
    versions
        .filter_map(|entry| {
            let major: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((major, has_server(entry.path().join("bin"))?))
        })
        .max()
        .map(|(_, bin)| bin)
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    has_server(PathBuf::from(said.trim()))
}

fn on_path() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).find_map(has_server)
}

fn has_server(bin: PathBuf) -> Option<PathBuf> {
    let whole = ["postgres", "initdb"]
        .iter()
        .all(|name| bin.join(name).is_file());
    whole.then_some(bin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_version_is_taken() {
        let root = std::env::temp_dir().join(format!("crossfade-binaries-{}", std::process::id()));
        for (version, programs) in [("9", 2), ("15", 2), ("16", 1), ("common", 2)] {
            let bin = root.join(version).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            for name in ["postgres", "initdb"].iter().take(programs) {
                std::fs::write(bin.join(name), "").unwrap();
            }
        }
        let found = debian(&root);
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, Some(root.join("15/bin")));
    }
}
