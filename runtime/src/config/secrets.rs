//! Folders of secrets: each file is named for the key that its content is the text of.

use std::path::{Path, PathBuf};

use crate::error::{ErrorKind, OperatorError, Result};
use crate::file;

/// No key takes more.
const MAX_BYTES: u64 = 64 << 10;

/// One secret.
pub(super) struct Secret {
    pub(super) key: String,
    pub(super) text: String,
    pub(super) file: PathBuf,
}

/// The files of a folder that can be secrets, by name; names that begin with a dot are not
/// (Kubernetes keeps versions in such).
pub(crate) fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a folder. One line break at a content's end is not part of it.
pub(super) fn read(folder: &Path) -> Result<Vec<Secret>> {
    let broken = |path: &Path, error: &std::io::Error| {
        OperatorError::new(ErrorKind::Config, format!("the secret {} cannot be read", path.display()))
            .at(path.display().to_string())
            .caused_by(error)
            .rule("config/unreadable")
            .hint("name a folder whose files hold up to 64 KiB of text each, and let this user read them")
    };
    let files = files(folder).map_err(|error| broken(folder, &error))?;
    files
        .into_iter()
        .map(|file| {
            let bytes = file::read_at_most(&file, MAX_BYTES).map_err(|error| broken(&file, &error))?;
            let no_text = |_| broken(&file, &std::io::ErrorKind::InvalidData.into());
            let mut text = String::from_utf8(bytes).map_err(no_text)?;
            if text.ends_with('\n') {
                text.pop();
                if text.ends_with('\r') {
                    text.pop();
                }
            }
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            Ok(Secret { key: name.into_owned(), text, file })
        })
        .collect()
}
