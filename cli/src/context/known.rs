//! The file that lists several contexts by name, and says which of them is in use.

use std::collections::BTreeMap;
use std::path::PathBuf;

use omnirelay_runtime::config::{Layers, load};
use omnirelay_runtime::file::{self, Access};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::paths;

/// What stands in the file when it was written.
const HEAD: &str =
    "# Written by `omnirelay context`, which keeps no comments. Credentials are named here, never held.\n\n";

/// The contexts that are known by name.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    /// The one that is used where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
    #[serde(skip)]
    pub(crate) path: PathBuf,
}

impl Known {
    /// Reads the file; without one nothing is known.
    pub(crate) fn read() -> Result<Self> {
        // Whoever has no home has no contexts there.
        let path = paths::contexts_file().unwrap_or_default();
        if !path.exists() {
            return Ok(Self { path, ..Self::default() });
        }
        let layers = Layers { files: vec![path.clone()], ..Layers::default() };
        let known: Self = load(&layers)?.value;
        let refused = |what: String, hint: &str| {
            Err(OperatorError::new(ErrorKind::Config, what).at(path.display().to_string()).hint(hint))
        };
        if let Some(name) = known.contexts.keys().find(|name| !is_name(name)) {
            return refused(format!("`{name}` is no name of a context"), NAMES);
        }
        if let Some(name) = known.current.as_ref().filter(|name| !known.contexts.contains_key(*name)) {
            let hint = "choose another one with `omnirelay context use NAME`";
            return refused(format!("`current` names `{name}`, which is not there"), hint);
        }
        let checked = |(name, context): (String, Context)| Ok((name, context.checked(&path)?));
        let contexts = known.contexts.into_iter().map(checked).collect::<Result<_>>()?;
        Ok(Self { current: known.current, contexts, path })
    }

    /// The one of a name.
    pub(crate) fn context(&self, name: &str) -> Result<Context> {
        self.contexts.get(name).cloned().ok_or_else(|| self.unknown(name))
    }

    /// Says that there is none of this name.
    pub(crate) fn unknown(&self, name: &str) -> OperatorError {
        let names: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
        let hint = match names.as_slice() {
            [] => "make one with `omnirelay context set NAME --mesh URL`; a file is named with its path"
                .to_owned(),
            names => format!("known are: {}; a file is named with its path", names.join(", ")),
        };
        OperatorError::new(ErrorKind::NotFound, format!("there is no context `{name}`"))
            .at(self.path.display().to_string())
            .hint(hint)
    }

    /// Writes the file anew.
    pub(crate) fn write(&self) -> Result<()> {
        let path = paths::contexts_file()?;
        let text = toml::to_string(self).map_err(|error| {
            OperatorError::new(ErrorKind::Internal, "the contexts cannot be written as TOML")
                .caused_by(&error)
        })?;
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written =
            folder.and_then(|()| file::replace(&path, format!("{HEAD}{text}").as_bytes(), Access::Private));
        written.map_err(|error| {
            OperatorError::new(ErrorKind::Io, "the contexts cannot be written")
                .at(path.display().to_string())
                .caused_by(&error)
                .hint("let this user write there, or name another file with the variable OMNIRELAY_CONTEXTS")
        })
    }
}

/// What names are made of.
pub(crate) const NAMES: &str =
    "names are 1 to 64 letters, digits, `-`, `_` and `.`, and do not end in `.toml`";

/// Whether it is the name of a context, and not of a file.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&text.len())
        && text.bytes().all(plain)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !text.ends_with(".toml")
}
