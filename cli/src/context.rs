//! Where the mesh is and which credentials to use: a file such as `cli.toml`, or a name in the file that lists several.
//! Credentials are files and commands that it names; they are never arguments and never printed.

use std::path::{Path, PathBuf};

use omnirelay_runtime::config::{Layers, load};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde::{Deserialize, Serialize};

use crate::paths;

mod known;
#[cfg(test)]
mod tests;
mod token;

pub(crate) use known::{Known, NAMES, is_name};
pub(crate) use token::Bearer;

/// One mesh as the command line knows it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// Where the control plane is.
    pub(crate) mesh: String,
    /// The certificate authority of the mesh; the public ones where it is not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// The operator's certificate; with it goes `private_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) private_key: Option<PathBuf>,
    /// A bearer token's file, for the control plane and diagnostics, where it counts before the
    /// certificate. Calls never carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    /// A program and its arguments that print such a token, where no file holds it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) token_command: Vec<String>,
    /// Known relays, the first of them the default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) relays: Vec<RelayRef>,
    #[serde(skip)]
    origin: PathBuf,
}

/// A relay by name.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RelayRef {
    pub(crate) name: String,
    /// Where calls go.
    pub(crate) data: String,
    /// Where its diagnostics are.
    pub(crate) admin: String,
}

/// Which of a relay's listeners is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Data,
    Admin,
}

impl Context {
    /// Reads the context that is named, a file or one of the known ones; else the one that is in use, or that of the
    /// development mesh.
    pub(crate) fn read(named: Option<&Path>) -> Result<Self> {
        if let Some(named) = named {
            return match named.to_str().filter(|named| is_name(named)) {
                Some(name) => Known::read()?.context(name),
                None => Self::of_file(
                    named,
                    "check the path after `--context`, or the variable OMNIRELAY_CONTEXT",
                ),
            };
        }
        let known = Known::read()?;
        match &known.current {
            Some(name) => known.context(name),
            None => Self::of_file(
                &paths::default_dev_dir()?.join("cli.toml"),
                "start a local mesh with `omnirelay up`, or name a context with `--context`",
            ),
        }
    }

    /// Reads a file that holds one context; `remedy` is for where there is none.
    pub(crate) fn of_file(path: &Path, remedy: &str) -> Result<Self> {
        if !path.exists() {
            let message = format!("there is no context file `{}`", path.display());
            return Err(OperatorError::new(ErrorKind::Config, message).hint(remedy));
        }
        let layers = Layers { files: vec![path.to_owned()], ..Layers::default() };
        load::<Self>(&layers)?.value.checked(path)
    }

    /// With every path from the directory of the file that it stands in.
    pub(crate) fn checked(mut self, origin: &Path) -> Result<Self> {
        let base = origin.parent().unwrap_or(Path::new(""));
        for file in [&mut self.ca, &mut self.certificate, &mut self.private_key, &mut self.token_file] {
            *file = file.take().map(|file| base.join(file));
        }
        let both = |what: &str, hint: &str| {
            Err(OperatorError::new(ErrorKind::Config, what).at(origin.display().to_string()).hint(hint))
        };
        if self.certificate.is_some() != self.private_key.is_some() {
            return both("`certificate` and `private_key` belong together", "name both or neither");
        }
        if self.token_file.is_some() && !self.token_command.is_empty() {
            return both("`token_file` and `token_command` say both where the token is", "name one of them");
        }
        self.origin = origin.to_owned();
        Ok(self)
    }

    /// The URL of a relay's listener, by name or as it is.
    pub(crate) fn relay(&self, wanted: Option<&str>, side: Side) -> Result<String> {
        let url = |relay: &RelayRef| match side {
            Side::Data => relay.data.clone(),
            Side::Admin => relay.admin.clone(),
        };
        match wanted {
            Some(text) if text.contains("://") => Ok(text.trim_end_matches('/').to_owned()),
            Some(name) => self.relays.iter().find(|relay| relay.name == name).map(url).ok_or_else(|| {
                let known: Vec<&str> = self.relays.iter().map(|relay| relay.name.as_str()).collect();
                OperatorError::new(ErrorKind::NotFound, format!("the context knows no relay `{name}`"))
                    .at(self.origin.display().to_string())
                    .hint(format!("known are: {}; a URL works as well", known.join(", ")))
            }),
            None => self.relays.first().map(url).ok_or_else(|| {
                OperatorError::new(ErrorKind::Config, "the context names no relay")
                    .at(self.origin.display().to_string())
                    .hint("name one with `--relay URL`, or add `[[relays]]` to the context")
            }),
        }
    }
}
