//! Where the CLI keeps its things, and how paths are shown.

use std::path::{Path, PathBuf};

use omnirelay_runtime::{ErrorKind, OperatorError, Result};

/// The directory of the development mesh where none is named:
/// `${XDG_STATE_HOME:-~/.local/state}/omnirelay/dev`, on Windows under `%LOCALAPPDATA%`.
pub(crate) fn default_dev_dir() -> Result<PathBuf> {
    let state = from_environment("XDG_STATE_HOME")
        .or_else(|| from_environment("HOME").map(|home| home.join(".local/state")))
        .or_else(|| from_environment("LOCALAPPDATA"));
    state.map(|state| state.join("omnirelay/dev")).ok_or_else(|| {
        OperatorError::new(ErrorKind::Usage, "there is no home directory to keep the development mesh in")
            .hint("name a directory with `--dir DIR`, or set XDG_STATE_HOME or HOME")
    })
}

/// The file that lists contexts: the variable `OMNIRELAY_CONTEXTS`, or else
/// `${XDG_CONFIG_HOME:-~/.config}/omnirelay/contexts.toml`, on Windows under `%APPDATA%`.
pub(crate) fn contexts_file() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("OMNIRELAY_CONTEXTS").filter(|path| !path.is_empty()) {
        return absolute(Path::new(&named));
    }
    let folder = from_environment("XDG_CONFIG_HOME")
        .or_else(|| from_environment("HOME").map(|home| home.join(".config")))
        .or_else(|| from_environment("APPDATA"));
    folder.map(|folder| folder.join("omnirelay/contexts.toml")).ok_or_else(|| {
        OperatorError::new(ErrorKind::Usage, "there is no home directory to look for contexts in")
            .hint("name the file with the variable OMNIRELAY_CONTEXTS, or set XDG_CONFIG_HOME or HOME")
    })
}

fn from_environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The path from the root, whether or not it exists.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        OperatorError::new(ErrorKind::Io, format!("`{}` is not a usable path", path.display()))
            .caused_by(&error)
            .hint("name one from the root, such as `/var/lib/omnirelay`")
    })
}

/// The path that this program was called by, where it was called by a path: it may be a link, whose neighbours are
/// others than its target's.
pub(crate) fn called_as() -> Option<PathBuf> {
    let called = PathBuf::from(std::env::args_os().next()?);
    let has_folder = called.parent().is_some_and(|folder| !folder.as_os_str().is_empty());
    absolute(&called).ok().filter(|path| has_folder && path.is_file())
}

/// A word that a POSIX shell reads back as `text`.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
