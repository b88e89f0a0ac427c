//! Where the mesh is and which credentials to use: the file `cli.toml`. Credentials are files
//! named in it; they are never arguments and never printed.

use std::path::{Path, PathBuf};

use omnirelay_runtime::config::{Layers, load};
use omnirelay_runtime::{ErrorKind, OperatorError, Result, file};
use serde::Deserialize;

use crate::paths;

#[cfg(test)]
mod tests;

/// A context file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// Where the control plane is.
    pub(crate) mesh: String,
    /// The certificate authority of the mesh; the public ones where it is not named.
    #[serde(default)]
    pub(crate) ca: Option<PathBuf>,
    /// The operator's certificate; with it goes `private_key`.
    #[serde(default)]
    pub(crate) certificate: Option<PathBuf>,
    #[serde(default)]
    pub(crate) private_key: Option<PathBuf>,
    /// A bearer token's file, for the control plane and diagnostics, where it counts before the
    /// certificate. Calls never carry it.
    #[serde(default)]
    pub(crate) token_file: Option<PathBuf>,
    /// Known relays, the first of them the default.
    #[serde(default)]
    pub(crate) relays: Vec<RelayRef>,
    #[serde(skip)]
    origin: PathBuf,
}

/// A relay by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RelayRef {
    pub(crate) name: String,
    /// Where calls go.
    pub(crate) data: String,
    /// Where its diagnostics are.
    pub(crate) admin: String,
}

/// A token stands in a header; a larger file is a mistake.
const MAX_TOKEN_BYTES: u64 = 8 << 10;

/// Which of a relay's listeners is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Data,
    Admin,
}

impl Context {
    /// Reads the context file that is named, or else the one of the development mesh.
    pub(crate) fn read(named: Option<&Path>) -> Result<Self> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => paths::default_dev_dir()?.join("cli.toml"),
        };
        if !path.exists() {
            let error = OperatorError::new(
                ErrorKind::Config,
                format!("there is no context file `{}`", path.display()),
            );
            return Err(match named {
                Some(_) => error.hint("check the path after `--context`, or the variable OMNIRELAY_CONTEXT"),
                None => error
                    .hint("start a local mesh with `omnirelay up`, or name a context with `--context FILE`"),
            });
        }
        let layers = Layers { files: vec![path.clone()], ..Layers::default() };
        let mut context: Self = load(&layers)?.value;
        let base = path.parent().unwrap_or(Path::new(""));
        for file in
            [&mut context.ca, &mut context.certificate, &mut context.private_key, &mut context.token_file]
        {
            *file = file.take().map(|file| base.join(file));
        }
        if context.certificate.is_some() != context.private_key.is_some() {
            return Err(OperatorError::new(
                ErrorKind::Config,
                "`certificate` and `private_key` belong together",
            )
            .at(path.display().to_string())
            .hint("name both or neither"));
        }
        context.origin = path;
        Ok(context)
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

    /// The bearer token, where the context names a file.
    pub(crate) fn bearer(&self) -> Result<Option<Bearer>> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let failed = |cause: &str| {
            OperatorError::new(
                ErrorKind::Config,
                format!("the token file `{}` cannot be used", path.display()),
            )
            .because(cause)
            .at(self.origin.display().to_string())
            .hint("`token_file` names a readable file with one line, the token")
        };
        let bytes = file::read_at_most(path, MAX_TOKEN_BYTES).map_err(|error| failed(&error.to_string()))?;
        let text = String::from_utf8_lossy(&bytes);
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(failed("it holds no token"));
        }
        Ok(Some(Bearer(token.to_owned())))
    }
}

/// A bearer token; it shows nothing of itself.
#[derive(Clone)]
pub(crate) struct Bearer(String);

impl Bearer {
    /// The token itself, for the one header that carries it.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(…)")
    }
}
