//! Where the binaries of the mesh are.

use std::path::{Path, PathBuf};

use omnirelay_runtime::{ErrorKind, OperatorError, Result};

use crate::args::Up;
use crate::dev::Kind;
use crate::paths;

/// One binary for each kind of process.
#[derive(Debug)]
pub(super) struct Binaries {
    meshkitd: PathBuf,
    relayd: PathBuf,
    samples: PathBuf,
}

impl Binaries {
    /// Takes what is named, and else what lies beside this program.
    pub(super) fn find(args: &Up) -> Result<Self> {
        Ok(Self {
            meshkitd: find(args.meshkitd.as_deref(), Kind::Meshkit, "--meshkitd")?,
            relayd: find(args.relayd.as_deref(), Kind::Relay, "--relayd")?,
            samples: find(args.samples.as_deref(), Kind::Sample, "--samples")?,
        })
    }

    pub(super) fn of(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Meshkit => &self.meshkitd,
            Kind::Relay => &self.relayd,
            Kind::Sample => &self.samples,
        }
    }
}

/// The binary that is named, or else the one that lies beside this program.
pub(crate) fn find(named: Option<&Path>, kind: Kind, flag: &str) -> Result<PathBuf> {
    let path = match named {
        Some(path) => paths::absolute(path)?,
        None => {
            let own = std::env::current_exe().map_err(|error| {
                OperatorError::new(ErrorKind::Io, "this program's own path cannot be read").caused_by(&error)
            })?;
            let beside = |own: PathBuf| {
                own.with_file_name(format!("{}{}", kind.binary(), std::env::consts::EXE_SUFFIX))
            };
            let linked = paths::called_as().map(beside).filter(|path| path.is_file());
            linked.unwrap_or_else(|| beside(own))
        }
    };
    if path.is_file() {
        return Ok(path);
    }
    Err(OperatorError::new(ErrorKind::NotFound, format!("there is no `{}` at `{}`", kind.binary(), path.display()))
        .hint(format!(
            "build it with `cargo build --bins`, start the mesh with `./bazelw run //:up`, or name it with `{flag} PATH`"
        )))
}
