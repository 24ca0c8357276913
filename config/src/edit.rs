//! Edits of the file that leave everything else in it as it stands.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, chown},
    path::{Path, PathBuf},
};

use crossfade_phase::Phase;
use toml::de::{DeTable, DeValue};

use crate::{Position, env, suggest::nearest};

/// Why the file could not be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text is not TOML.
    #[error("line {line} is not TOML: {message}")]
    Syntax {
        /// The first such line.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// There is no such toggle.
    #[error("the file has no toggle \"{toggle}\"; {known}")]
    UnknownToggle {
        /// The name asked for.
        toggle: String,
        /// What there is instead.
        known: String,
    },
    /// The toggle has no phase to replace.
    #[error("[toggle.{toggle}] has no \"phase\"; add phase = \"deploy-new\" to begin with")]
    NoPhase {
        /// The toggle.
        toggle: String,
    },
    /// The phase comes from the environment, and a name in its place would cut that tie.
    #[error("the phase of \"{toggle}\" comes from the environment; change it there")]
    FromEnvironment {
        /// The toggle.
        toggle: String,
    },
}

/// The text with another phase for one toggle: a name where a name stood, a number where a number stood, and every
/// other byte as it was, comments and line ends included.
///
/// # Errors
/// The text is not TOML, or the toggle or its phase is not in it.
pub fn set_phase(text: &str, toggle: &str, phase: Phase) -> Result<String, EditError> {
    let tree = DeTable::parse(text).map_err(|error| {
        let at = Position::of(text, error.span().map_or(text.len(), |span| span.start));
        EditError::Syntax {
            line: at.line,
            message: error.message().to_owned(),
        }
    })?;
    let toggles = table(tree.get_ref(), "toggle");
    let found = toggles.and_then(|toggles| table(toggles, toggle));
    let Some(found) = found else {
        return Err(unknown_toggle(toggle, toggles));
    };
    let value = found.get("phase").ok_or_else(|| EditError::NoPhase {
        toggle: toggle.to_owned(),
    })?;
    let written = match value.get_ref() {
        DeValue::Integer(number) if number.to_string() == phase.number().to_string() => {
            return Ok(text.to_owned());
        }
        DeValue::Integer(_) => phase.number().to_string(),
        DeValue::String(typed) if env::has_placeholder(typed) => {
            return Err(EditError::FromEnvironment {
                toggle: toggle.to_owned(),
            });
        }
        DeValue::String(typed) if typed.trim().parse() == Ok(phase) => return Ok(text.to_owned()),
        // A value of another type is a mistake, and a phase in its place cures it.
        _ => format!("\"{phase}\""),
    };
    let span = value.span();
    Ok(format!(
        "{}{written}{}",
        &text[..span.start],
        &text[span.end..]
    ))
}

fn table<'t>(parent: &'t DeTable<'t>, key: &str) -> Option<&'t DeTable<'t>> {
    match parent.get(key)?.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

fn unknown_toggle(toggle: &str, toggles: Option<&DeTable<'_>>) -> EditError {
    let names: Vec<&str> = toggles
        .into_iter()
        .flat_map(DeTable::keys)
        .map(|key| key.get_ref().as_ref())
        .collect();
    let known = match (nearest(toggle, names.iter().copied()), names.is_empty()) {
        (Some(near), _) => format!("did you mean \"{near}\"?"),
        (None, false) => format!("it has {}", names.join(", ")),
        (None, true) => "it has none".to_owned(),
    };
    EditError::UnknownToggle {
        toggle: toggle.to_owned(),
        known,
    }
}

/// Replaces the content of the file at `path` in one step: a reader, or the proxy after a crash at any point, sees
/// the old text or the new one. Permissions and owner are kept; where `path` is a symbolic link, the file it leads
/// to is replaced and the link stays a link.
///
/// # Errors
/// The file does not exist, its folder takes no new file, or its owner cannot be kept (then it stays as it was).
pub fn write_atomically(path: impl AsRef<Path>, text: &str) -> io::Result<()> {
    let target = fs::canonicalize(path)?;
    let temporary = temporary_beside(&target)?;
    let written = fill(&temporary, &target, text).and_then(|()| fs::rename(&temporary, &target));
    if written.is_err() {
        // Best effort: the error that counts is the first.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    // The rename itself is durable only once the folder is.
    File::open(folder(&target))?.sync_all()
}

fn fill(temporary: &Path, target: &Path, text: &str) -> io::Result<()> {
    let before = fs::metadata(target)?;
    // Closed to others until the rights of the old file are on it: the text may hold a password.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)?;
    file.write_all(text.as_bytes())?;
    let now = file.metadata()?;
    if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
        // Before the permissions, because a change of owner may clear some of them. A proxy that runs under the
        // old owner would otherwise lose its right to read the file.
        chown(temporary, Some(before.uid()), Some(before.gid())).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot keep the owner of the file: {error}"),
            )
        })?;
    }
    file.set_permissions(before.permissions())?;
    file.sync_all()
}

fn temporary_beside(target: &Path) -> io::Result<PathBuf> {
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?;
    let unique = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos());
    let temporary = format!(
        ".{}.{}.{unique}.tmp",
        name.to_string_lossy(),
        std::process::id()
    );
    Ok(folder(target).join(temporary))
}

fn folder(target: &Path) -> &Path {
    target.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests;
