//! From a file to a checked configuration.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{Config, Mistake, Mistakes, Position, parse as tree};

/// The environment that `${NAME}` is looked up in.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What a file held, or why it could not be read.
pub(crate) type Content = Result<Vec<u8>, io::ErrorKind>;

/// A checked configuration and what it was read from.
#[derive(Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    pub(crate) read: Snapshot,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("config", &self.config)
            .field("files", &self.files())
            .finish()
    }
}

impl Loaded {
    /// The files that the configuration was read from: the file itself, then password files and the list of users.
    #[must_use]
    pub fn files(&self) -> Vec<&Path> {
        self.read
            .files
            .iter()
            .map(|(path, _)| path.as_path())
            .collect()
    }
}

/// The content of the configuration file and of the files it names. It may be secret and has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The configuration file comes first.
    files: Vec<(PathBuf, Content)>,
}

impl Snapshot {
    /// Reads the same files again.
    pub(crate) fn again(&self) -> Snapshot {
        Snapshot {
            files: self
                .files
                .iter()
                .map(|(path, _)| (path.clone(), read(path)))
                .collect(),
        }
    }

    /// The configuration file.
    pub(crate) fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), |(path, _)| path)
    }

    /// What the configuration file held.
    pub(crate) fn main(&self) -> Content {
        self.files
            .first()
            .map_or(Err(io::ErrorKind::NotFound), |(_, content)| content.clone())
    }
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Content {
    fs::read(path).map_err(|error| error.kind())
}

/// The folder that relative paths start at.
pub(crate) fn base_dir(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// The environment of this process. A value that is not UTF-8 counts as not set.
pub(crate) fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Config {
    /// Reads and checks the file at `path`, with the environment of this process.
    ///
    /// # Errors
    /// Every mistake in the file, in one go.
    pub fn load(path: impl AsRef<Path>) -> Result<Loaded, Mistakes> {
        let path = path.as_ref();
        judge(path, read(path), &process_env).0
    }
}

/// Where the proxy that serves the file at `path` has its admin port, although the file has mistakes by now. `None` where it has none, or where too
/// much is wrong to know.
#[must_use]
pub fn admin_address(path: impl AsRef<Path>) -> Option<SocketAddr> {
    let text = String::from_utf8(read(path.as_ref()).ok()?).ok()?;
    tree::admin(&text, &process_env)
}

/// Checks a configuration given as text. Relative paths start at `base_dir`; `file_name` appears in mistakes.
///
/// # Errors
/// Every mistake in the text, in one go.
pub fn parse(
    text: &str,
    file_name: impl AsRef<Path>,
    env: &dyn Fn(&str) -> Option<String>,
    base_dir: impl AsRef<Path>,
) -> Result<Loaded, Mistakes> {
    check(text, file_name.as_ref(), env, base_dir.as_ref()).0
}

/// Judges what a file holds. The snapshot comes also with mistakes: its files are the ones whose change may
/// cure them.
pub(crate) fn judge(
    path: &Path,
    content: Content,
    env: &dyn Fn(&str) -> Option<String>,
) -> (Result<Loaded, Mistakes>, Snapshot) {
    let unreadable = |at: Option<Position>, what: String, instead: &str, content: Content| {
        let mistake = Mistake {
            at,
            what,
            instead: instead.to_owned(),
        };
        let snapshot = Snapshot {
            files: vec![(path.to_owned(), content)],
        };
        (
            Err(Mistakes {
                file: path.to_owned(),
                list: vec![mistake],
            }),
            snapshot,
        )
    };
    match content {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => check(&text, path, env, base_dir(path)),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let bytes = error.into_bytes();
                let at = Position::of(&String::from_utf8_lossy(&bytes), good);
                unreadable(
                    Some(at),
                    "the file is not UTF-8".to_owned(),
                    "save it as UTF-8",
                    Ok(bytes),
                )
            }
        },
        Err(kind) => {
            let what = format!("cannot read the file: {kind}");
            unreadable(None, what, "name a readable file with -c FILE", Err(kind))
        }
    }
}

fn check(
    text: &str,
    file_name: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    base_dir: &Path,
) -> (Result<Loaded, Mistakes>, Snapshot) {
    let (outcome, secrets) = tree::config(text, env, base_dir);
    let mut files = vec![(file_name.to_owned(), Ok(text.as_bytes().to_vec()))];
    files.extend(secrets);
    let read = Snapshot { files };
    let outcome = match outcome {
        Ok(config) => Ok(Loaded {
            config,
            read: read.clone(),
        }),
        Err(list) => Err(Mistakes {
            file: file_name.to_owned(),
            list,
        }),
    };
    (outcome, read)
}

#[cfg(test)]
mod tests;
