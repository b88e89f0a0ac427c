//! A copy of the store in a file: it appears whole, with the sum that the control plane told, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use meshkit_client::v1::BackupInfo;
use meshkit_client::{Backup, MeshError};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::reading;
use crate::args::TakeBackup;
use crate::output;
use crate::paths;
use crate::progress::Progress;

/// Takes a copy and writes it.
pub(crate) fn run(context: Option<&Path>, args: &TakeBackup) -> Result<()> {
    let path = paths::absolute(&args.file)?;
    if path.exists() {
        return Err(OperatorError::new(ErrorKind::Conflict, "there is a file already")
            .at(path.display().to_string())
            .hint("name another file; this one was left as it is"));
    }
    let mut copy = Copy::begin(&path)?;
    let info = reading::call(context, async |client| {
        let mut backup = client.take_backup().await?.value;
        Ok(receive(&mut copy, &mut backup).await?.map(|()| backup.info))
    })??;
    copy.keep(&path, &info)?;
    match args.output.notation() {
        Some(notation) => output::print_document(
            notation,
            &json!({
                "file": path,
                "storeId": info.store_id,
                "incarnation": info.incarnation,
                "revision": info.revision,
                "bytes": info.size_bytes,
                "sha256": info.sha256,
            }),
        ),
        None => output::print(&format!(
            "{}\n  revision  {}\n  bytes     {}\n  sha256    {}\n",
            path.display(),
            info.revision,
            info.size_bytes,
            info.sha256
        )),
    }
}

/// Writes what comes; what cannot be written is told apart from what the control plane refuses.
async fn receive(copy: &mut Copy, backup: &mut Backup) -> Result<Result<()>, MeshError> {
    let mut progress = Progress::new();
    while let Some(chunk) = backup.next().await? {
        if let Err(error) = copy.write(&chunk) {
            return Ok(Err(error));
        }
        progress.waiting(&format!(
            "{} of {} MB",
            copy.written / 1_000_000,
            backup.info.size_bytes / 1_000_000
        ));
    }
    progress.clear();
    Ok(Ok(()))
}

/// A copy in the making beside the file that it will be; gone unless it is kept.
struct Copy {
    path: PathBuf,
    file: File,
    hash: Sha256,
    written: u64,
}

impl Copy {
    fn begin(to: &Path) -> Result<Self> {
        let mut name = to.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        // What an interrupted run left is of no use to anybody.
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(unwritable(&path, &error));
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            // It holds the store's secrets.
            options.mode(0o600);
        }
        let file = options.open(&path).map_err(|error| unwritable(&path, &error))?;
        Ok(Self { path, file, hash: Sha256::new(), written: 0 })
    }

    fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.file.write_all(chunk).map_err(|error| unwritable(&self.path, &error))?;
        self.hash.update(chunk);
        self.written += chunk.len() as u64;
        Ok(())
    }

    /// Moves the copy to its place once it is on disk and known to be what was sent.
    fn keep(mut self, to: &Path, info: &BackupInfo) -> Result<()> {
        let sum = hex(&std::mem::take(&mut self.hash).finalize());
        if (self.written, &sum) != (info.size_bytes, &info.sha256) {
            return Err(OperatorError::new(
                ErrorKind::Unavailable,
                "the copy that came is not the one that was sent",
            )
            .because(format!("{} bytes came of {}, SHA-256 {sum}", self.written, info.size_bytes))
            .hint("take it again"));
        }
        let keep = || -> io::Result<()> {
            self.file.sync_all()?;
            fs::rename(&self.path, to)
        };
        keep().map_err(|error| unwritable(to, &error))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.path);
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unwritable(path: &Path, error: &io::Error) -> OperatorError {
    OperatorError::new(ErrorKind::Io, "the file cannot be written")
        .at(path.display().to_string())
        .caused_by(error)
        .hint("name a file in a directory that exists and can be written, on a disk with space for all of the store")
}
