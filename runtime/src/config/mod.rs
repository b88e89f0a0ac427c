//! Layered configuration: TOML files in order, then folders of secrets, then environment variables,
//! then `--set`.
//!
//! Tables merge key by key, anything else is replaced by the later layer. Every value remembers
//! where it came from, so that each problem names its file and line.

mod layer;
mod problems;
pub(crate) mod secrets;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

pub use layer::Location;
use layer::Tree;
pub use problems::{Problems, refuse};

use crate::error::{ErrorKind, OperatorError, Result};

/// The prefix of the environment variables that override configuration.
pub const ENV_PREFIX: &str = "OMNIRELAY__";

/// Where configuration comes from, weakest first.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// TOML files; a later one overrides an earlier one. `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Folders in which each file is named for the key that its content is the text of, as
    /// `store.password`: what Kubernetes and systemd make of secrets.
    pub secrets: Vec<PathBuf>,
    /// Environment variables as (name, value); those without [`ENV_PREFIX`] are passed over.
    pub env: Vec<(String, String)>,
    /// `a.b=value` as given to `--set`; the value is TOML, or else a bare string.
    pub sets: Vec<String>,
}

/// A configuration with the origin of each of its values.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The configuration.
    pub value: T,
    tree: Tree,
}

impl<T> Loaded<T> {
    /// A value that no layer set.
    #[must_use]
    pub fn of(value: T) -> Self {
        Self { value, tree: Tree::default() }
    }

    /// Where the value at a path like `outbounds.0.name` was set: the nearest enclosing value
    /// that somebody wrote.
    #[must_use]
    pub fn locate(&self, path: &str) -> Option<&Location> {
        self.tree.locate(path)
    }

    /// Adds to an error where the value that led to it was set, unless the error knows its place.
    #[must_use]
    pub fn place(&self, path: &str, error: OperatorError) -> OperatorError {
        let path = error.key().map_or_else(|| path.to_owned(), |key| join(path, key));
        match self.locate(&path) {
            Some(location) if error.location().is_none() => error.at(location.to_string()),
            _ => error,
        }
    }
}

impl Layers {
    /// Layers of files, secrets and `--set`, with the process's environment.
    ///
    /// # Errors
    /// A variable that overrides something and is not UTF-8.
    pub fn from_process(files: Vec<PathBuf>, secrets: Vec<PathBuf>, sets: Vec<String>) -> Result<Self> {
        let ours = |name: &OsStr| name.as_encoded_bytes().starts_with(ENV_PREFIX.as_bytes());
        let mut env = Vec::new();
        for (name, value) in std::env::vars_os().filter(|(name, _)| ours(name)) {
            let shown = name.to_string_lossy().into_owned();
            let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else {
                return Err(OperatorError::new(ErrorKind::Usage, "an override is not UTF-8")
                    .at(format!("environment variable {shown}"))
                    .hint("set it to text, or take it away"));
            };
            env.push((name, value));
        }
        Ok(Self { files, secrets, env, sets })
    }
}

/// Reads and merges all layers and makes a `T` of them.
///
/// # Errors
/// A file that cannot be read, a line that is not TOML, an unknown key or a value of the wrong
/// type; each with its place and a hint.
pub fn load<T: DeserializeOwned>(layers: &Layers) -> Result<Loaded<T>> {
    whole(decode(tree(layers)?))
}

/// As [`load`], for a program whose files begin with `kind = "KIND"`: one of another kind is named as such
/// rather than by the first key that this program does not know.
///
/// # Errors
/// As [`load`].
pub fn load_kind<T: DeserializeOwned>(layers: &Layers, kind: &str) -> Result<Loaded<T>> {
    whole(load_kind_all(layers, kind))
}

/// As [`load_kind`], with each unknown key as an error of its own.
///
/// # Errors
/// As [`load`]; at least one, and at most 16.
pub fn load_kind_all<T: DeserializeOwned>(
    layers: &Layers,
    kind: &str,
) -> Result<Loaded<T>, Vec<OperatorError>> {
    let draft = draft(layers).map_err(|error| vec![error])?;
    let other = draft.text("kind").filter(|found| *found != kind).map(|found| {
        let error = OperatorError::new(ErrorKind::Config, format!("`kind` is `{found}`"))
            .because(format!("this program's configuration is of the kind `{kind}`"))
            .hint("give the file to the program that it is for");
        match draft.locate("kind") {
            Some(location) => error.at(location.to_string()),
            None => error,
        }
    });
    decode(draft.0).map_err(|errors| other.map_or(errors, |other| vec![other]))
}

/// Reads one TOML text, called `name` in errors.
///
/// # Errors
/// As [`load`].
pub fn load_str<T: DeserializeOwned>(name: &str, text: &str) -> Result<Loaded<T>> {
    let mut tree = Tree::default();
    tree.merge_toml(name, text)?;
    whole(decode(tree))
}

/// Merged layers before anybody knows what they configure; every layer has been read, and
/// standard input can be read only once.
#[derive(Clone, Debug)]
pub struct Draft(Tree);

/// Reads and merges all layers.
///
/// # Errors
/// A file that cannot be read, or a line that is not TOML.
pub fn draft(layers: &Layers) -> Result<Draft> {
    tree(layers).map(Draft)
}

impl Draft {
    /// The string at the top-level `key`, where a layer sets one.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.value.get(key).and_then(serde_json::Value::as_str)
    }

    /// Where the value at a path was set, as [`Loaded::locate`].
    #[must_use]
    pub fn locate(&self, path: &str) -> Option<&Location> {
        self.0.locate(path)
    }

    /// Makes a `T` of it.
    ///
    /// # Errors
    /// An unknown key or a value of the wrong type.
    pub fn decode<T: DeserializeOwned>(self) -> Result<Loaded<T>> {
        whole(decode(self.0))
    }
}

fn tree(layers: &Layers) -> Result<Tree> {
    let mut tree = Tree::default();
    for file in &layers.files {
        let (name, text) = read(file)?;
        tree.merge_toml(&name, &text)?;
    }
    for folder in &layers.secrets {
        for secret in secrets::read(folder)? {
            let location = Location::Secret(secret.file);
            tree.put(&secret.key, serde_json::Value::String(secret.text), &location)?;
        }
    }
    for (name, value) in &layers.env {
        let Some(path) = name.strip_prefix(ENV_PREFIX) else {
            continue;
        };
        let path = path.to_ascii_lowercase().replace("__", ".");
        tree.set(&path, value, &Location::Environment(name.clone()))?;
    }
    for set in &layers.sets {
        let (path, value) = set.split_once('=').ok_or_else(|| {
            OperatorError::new(ErrorKind::Usage, format!("`--set {set}` has no `=`"))
                .hint("write `--set section.key=value`")
        })?;
        tree.set(path.trim(), value.trim(), &Location::Flag(set.clone()))?;
    }
    Ok(tree)
}

/// Configuration is written by people; a larger file is a mistake.
const MAX_FILE_BYTES: u64 = 4 << 20;

fn read(file: &PathBuf) -> Result<(String, String)> {
    use std::io::Read as _;
    let name = file.display().to_string();
    let mut text = String::new();
    let outcome = if name == "-" {
        std::io::stdin().take(MAX_FILE_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
    };
    let read = outcome.map_err(|error| {
        OperatorError::new(ErrorKind::Config, format!("the configuration file {name} cannot be read"))
            .caused_by(&error)
            .rule("config/unreadable")
            .hint("check the path and the file's permissions")
    })?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(OperatorError::new(
            ErrorKind::Config,
            format!("the configuration file {name} is above 4 MiB"),
        )
        .rule("config/unreadable")
        .hint("check the path: this does not look like configuration"));
    }
    Ok((name, text))
}

/// Unknown keys that are told at once.
const MAX_UNKNOWN: usize = 16;

/// Makes a `T`, or says every key that it does not know; after those it says the first of anything
/// else that is wrong.
fn decode<T: DeserializeOwned>(mut tree: Tree) -> Result<Loaded<T>, Vec<OperatorError>> {
    let mut found = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize(&tree.value) {
            Ok(value) if found.is_empty() => return Ok(Loaded { value, tree }),
            Ok(_) => return Err(found),
            Err(error) => error,
        };
        let (problem, unknown) = explain(&tree, &error);
        found.push(problem);
        // Without it the next one shows.
        let goes_on = unknown.is_some_and(|path| tree.remove(&path));
        if !goes_on || found.len() == MAX_UNKNOWN {
            return Err(found);
        }
    }
}

/// Several errors as one that names them all.
fn whole<T>(decoded: Result<Loaded<T>, Vec<OperatorError>>) -> Result<Loaded<T>> {
    decoded.map_err(|errors| match errors.as_slice() {
        [one] => one.clone(),
        errors => {
            let several = format!("the configuration has {} problems", errors.len());
            let mut error = OperatorError::new(ErrorKind::Config, several).rule("config/several");
            if let Some(location) = errors.first().and_then(OperatorError::location) {
                error = error.at(location);
            }
            let told = errors.iter().map(|one| {
                let place = one.location().map(|place| format!("{place}: ")).unwrap_or_default();
                let hint = one.hint_text().map(|hint| format!("; {hint}")).unwrap_or_default();
                format!("{place}{one}{hint}")
            });
            told.fold(error, OperatorError::because).hint("correct or remove each of them")
        }
    })
}

/// Says what a decoding error means to whoever wrote the file, and the key where it is unknown.
fn explain(
    tree: &Tree,
    error: &serde_path_to_error::Error<serde_json::Error>,
) -> (OperatorError, Option<String>) {
    let message = error.inner().to_string();
    let mut path = dotted(error.path());
    let mut quoted = message.split('`').skip(1).step_by(2);
    let located = |error: OperatorError, path: &str| match tree.locate(path) {
        Some(location) => error.at(location.to_string()),
        None => error,
    };
    if message.starts_with("unknown field") {
        let unknown = quoted.next().unwrap_or_default();
        if path.rsplit('.').next() != Some(unknown) {
            path = join(&path, unknown);
        }
        let known: Vec<&str> = quoted.collect();
        let error = OperatorError::new(ErrorKind::Config, format!("unknown key `{path}`"));
        let error = located(error, &path).rule("config/unknown-key").hint(remedy(unknown, &known));
        return (error, Some(path));
    }
    if message.starts_with("missing field") {
        let missing = join(&path, quoted.next().unwrap_or_default());
        let error = OperatorError::new(ErrorKind::Config, format!("`{missing}` is missing"));
        let error = located(error, &path).rule("config/missing-key").hint(format!("set `{missing}`"));
        return (error, None);
    }
    let what = if path.is_empty() { "the configuration".to_owned() } else { format!("`{path}`") };
    let error = OperatorError::new(ErrorKind::Config, format!("{what} cannot be read"));
    if let Some(Location::Secret(_)) = tree.locate(&path) {
        // The message may hold the value.
        let error = error.because("the secret is not what this key takes").rule("config/wrong-value");
        return (located(error, &path).hint("docs/reference tells what this key takes"), None);
    }
    let error = error.because(&message);
    let known: Vec<&str> = quoted.collect();
    let error = located(error, &path).rule("config/wrong-value");
    let error = match known.split_first() {
        Some((wrong, known)) if message.starts_with("unknown variant") => error.hint(remedy(wrong, known)),
        _ => error.hint("docs/reference tells the type and the bounds of this key"),
    };
    (error, None)
}

/// The nearest known word, or all of them.
fn remedy(wrong: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|word| (strsim::jaro_winkler(wrong, word), word))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, word)) => format!("did you mean `{word}`?"),
        None if known.is_empty() => "remove it: nothing is known here".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    }
}

fn dotted(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut out = String::new();
    for segment in path {
        out = match segment {
            Segment::Seq { index } => join(&out, &index.to_string()),
            Segment::Map { key } => join(&out, key),
            Segment::Enum { .. } | Segment::Unknown => out,
        };
    }
    out
}

pub(crate) fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}
