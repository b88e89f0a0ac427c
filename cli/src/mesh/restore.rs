//! Making a stopped meshkitd's store of a backup. Stores are meshkitd's business: it is run for this.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::backup::hex;
use super::changing;
use crate::args::RestoreStore;
use crate::dev::Kind;
use crate::output;
use crate::up::binaries;

/// What meshkitd says of a store that it restored, or would.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Restored {
    store: PathBuf,
    backup: PathBuf,
    store_id: String,
    incarnation: u64,
    revision: u64,
    aside: Option<PathBuf>,
    dry_run: bool,
}

/// Restores a store: a dry run first, then the question, then what was confirmed.
pub(crate) fn run(args: &RestoreStore) -> Result<ExitCode> {
    let meshkitd = binaries::find(args.meshkitd.as_deref(), Kind::Meshkit, "--meshkitd")?;
    if let Some(wanted) = &args.sha256 {
        verify(&args.file, wanted)?;
    }
    let restored = match restore(&meshkitd, args, true)? {
        Ok(rehearsed) if args.dry_run => rehearsed,
        Ok(rehearsed) => {
            if !args.yes {
                changing::ask(&rehearsed.describe())?;
            }
            match restore(&meshkitd, args, false)? {
                Ok(restored) => restored,
                Err(refused) => return Ok(refused),
            }
        }
        Err(refused) => return Ok(refused),
    };
    match args.output.notation() {
        Some(notation) => output::print_document(notation, &restored)?,
        None => {
            output::print(&restored.text())?;
            output::note(match restored.dry_run {
                true => "this is how it would be; nothing was written",
                false => "done; start meshkitd again",
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Restored {
    fn describe(&self) -> String {
        let store = self.store.display();
        match &self.aside {
            Some(aside) => format!(
                "`{store}` becomes the backup's revision {}; what is there goes to `{}`.",
                self.revision,
                aside.display()
            ),
            None => format!("`{store}` is made of the backup's revision {}.", self.revision),
        }
    }

    fn text(&self) -> String {
        let aside = self.aside.as_ref().map_or("-".to_owned(), |aside| aside.display().to_string());
        format!(
            "{}\n  backup       {}\n  store id     {}\n  incarnation  {}\n  revision     {}\n  before       {aside}\n",
            self.store.display(),
            self.backup.display(),
            self.store_id,
            self.incarnation,
            self.revision,
        )
    }
}

/// Has meshkitd do it; where it refuses it has said why, and its exit code is ours.
fn restore(meshkitd: &Path, args: &RestoreStore, dry_run: bool) -> Result<Result<Restored, ExitCode>> {
    let mut command = Command::new(meshkitd);
    for file in &args.config {
        command.arg("--config").arg(file);
    }
    for set in &args.sets {
        command.arg("--set").arg(set);
    }
    command.arg("restore").arg(&args.file).args(["--actor", &actor()]);
    for (flag, wanted) in [("--replace", args.replace), ("--dry-run", dry_run)] {
        if wanted {
            command.arg(flag);
        }
    }
    let failed = |cause: &dyn std::error::Error| {
        OperatorError::new(ErrorKind::Io, format!("`{}` cannot be run", meshkitd.display()))
            .because(cause.to_string())
            .hint("name meshkitd's binary, of the same version as this program, with `--meshkitd PATH`")
    };
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(|error| failed(&error))?;
    if !output.status.success() {
        let code = output.status.code().and_then(|code| u8::try_from(code).ok());
        return Ok(Err(ExitCode::from(code.unwrap_or(ErrorKind::Internal.exit_code()))));
    }
    serde_json::from_slice(&output.stdout).map(Ok).map_err(|error| failed(&error))
}

/// Who does it, as the audit of the store tells it.
fn actor() -> String {
    let user = ["USER", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    user.filter(|user| !user.is_empty()).map_or_else(|| "local".to_owned(), |user| format!("local:{user}"))
}

/// Refuses a backup that is another than the one whose sum was noted.
fn verify(file: &Path, wanted: &str) -> Result<()> {
    let failed = |error: std::io::Error| {
        OperatorError::new(ErrorKind::Config, "the backup cannot be read")
            .at(file.display().to_string())
            .caused_by(&error)
            .hint("name a file that `omnirelay mesh backup` wrote")
    };
    let (mut open, mut hash) = (File::open(file).map_err(failed)?, Sha256::new());
    let mut buffer = vec![0; 1 << 18];
    loop {
        match open.read(&mut buffer).map_err(failed)? {
            0 => break,
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    let found = hex(&hash.finalize());
    if found.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(OperatorError::new(ErrorKind::Conflict, "the backup is not the one that is wanted")
        .at(file.display().to_string())
        .because(format!("its SHA-256 is {found}"))
        .hint("compare it with what `omnirelay mesh backup` told, and find the file again"))
}
