//! A JSON file that is replaced as a whole.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crossfade_crash::{self as crash, Point};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{OpenError, StateError};

/// Format of state files that this release writes.
const VERSION: u64 = 1;

/// A value and the file that holds it, if one does.
#[derive(Debug)]
pub(super) struct StateFile<T> {
    path: Option<PathBuf>,
    pub(super) value: T,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u64,
    #[serde(flatten)]
    value: T,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

impl<T: Serialize + DeserializeOwned + Default + Clone> StateFile<T> {
    /// A value that lasts as long as the process.
    pub(super) fn in_memory() -> StateFile<T> {
        StateFile {
            path: None,
            value: T::default(),
        }
    }

    /// Reads the file, or creates it unless `expected` says that there must be one.
    pub(super) fn open(dir: &Path, name: &str, expected: bool) -> Result<StateFile<T>, OpenError> {
        let path = dir.join(name);
        match fs::read(&path) {
            Ok(bytes) => {
                let value = parse(&path, &bytes)?;
                let path = Some(path);
                Ok(StateFile { path, value })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && expected => {
                let why = "there are journal segments beside it, whose phases it held";
                Err(OpenError::Missing { path, why })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let value = T::default();
                replace(&path, &value).map_err(OpenError::io("write", &path))?;
                let path = Some(path);
                Ok(StateFile { path, value })
            }
            Err(error) => Err(OpenError::io("read", path)(error)),
        }
    }

    /// Changes a copy of the value, writes it where there is a file, and only then keeps it.
    pub(super) fn update(&mut self, change: impl FnOnce(&mut T)) -> Result<(), StateError> {
        let mut value = self.value.clone();
        change(&mut value);
        if let Some(path) = &self.path {
            replace(path, &value).map_err(|source| StateError {
                path: path.clone(),
                source,
            })?;
        }
        self.value = value;
        Ok(())
    }
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, OpenError> {
    let corrupt = |error: serde_json::Error| OpenError::Corrupt {
        path: path.into(),
        offset: offset_of(bytes, error.line(), error.column()),
        what: error.to_string(),
    };
    let VersionOnly { version } = serde_json::from_slice(bytes).map_err(corrupt)?;
    if version > VERSION {
        return Err(OpenError::FutureVersion {
            path: path.into(),
            found: version,
            known: VERSION,
        });
    }
    let versioned: Versioned<T> = serde_json::from_slice(bytes).map_err(corrupt)?;
    Ok(versioned.value)
}

/// Byte offset of a position that is given by line and column, both from 1.
fn offset_of(bytes: &[u8], line: usize, column: usize) -> u64 {
    let lines = bytes
        .split_inclusive(|&byte| byte == b'\n')
        .take(line.saturating_sub(1));
    (lines.map(<[u8]>::len).sum::<usize>() + column.saturating_sub(1)) as u64
}

/// Temporary file, flush, rename, flush of the folder: at every moment one whole version is there.
fn replace<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut bytes = serde_json::to_vec_pretty(&Versioned {
        version: VERSION,
        value,
    })?;
    bytes.push(b'\n');
    let mut file = File::create(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    crash::at(Point::StateWritten);
    fs::rename(&temporary, path)?;
    crash::at(Point::StateNamed);
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    File::open(dir)?.sync_all()
}
