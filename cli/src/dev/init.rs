//! Writing a development mesh into a directory, again and again with the same outcome.

use std::path::{Path, PathBuf};

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde::{Deserialize, Serialize};

use super::authority::Authority;
use super::files::{self, Access};
use super::lock::Lock;
use super::mesh::{self, Component, Kind, Options};
use super::templates::{self, Scene};
use super::tokens::Token;

const MARKER: &str = "omnirelay-dev.json";
const FORMAT: u32 = 1;

/// A development mesh on disk.
#[derive(Debug)]
pub(crate) struct DevMesh {
    pub(crate) directory: PathBuf,
    pub(crate) options: Options,
    /// In the order of their start.
    pub(crate) components: Vec<Component>,
    pub(crate) ca: PathBuf,
    pub(crate) operator_certificate: PathBuf,
    pub(crate) operator_key: PathBuf,
    pub(crate) token_file: PathBuf,
    pub(crate) context: PathBuf,
    pub(crate) logs: PathBuf,
    /// Keeps others off the directory.
    _lock: Lock,
}

/// The file by which a directory is known as ours, with the options of the last run.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    format: u32,
    options: Options,
}

/// Makes or renews the development mesh in `directory`. `change` says what the user asked for now;
/// what they asked for before stands otherwise. Keys of the authority and tokens are kept,
/// certificates and configurations are written anew.
///
/// # Errors
/// A directory that holds something else, one that another process uses, or one that cannot be written.
pub(crate) fn prepare(directory: &Path, change: impl FnOnce(&mut Options)) -> Result<DevMesh> {
    let remembered = remembered(directory)?;
    let mut options = remembered.unwrap_or_default();
    change(&mut options);
    options.check()?;
    files::make_dir(directory)?;
    let marker = Marker { format: FORMAT, options: options.clone() };
    let lock = Lock::take(directory)?;
    files::write(&directory.join(MARKER), crate::output::to_json(&marker)?.as_bytes(), Access::Public)?;
    let (pki, data, logs) = (directory.join("pki"), directory.join("data"), directory.join("logs"));
    for folder in [&pki, &data, &logs] {
        files::make_dir(folder)?;
    }

    let seen_at = options.mounted_at.as_deref().unwrap_or(directory);
    let components = mesh::components(&options, seen_at);
    let authority = Authority::open(&pki)?;
    for component in &components {
        let role = match component.kind {
            Kind::Meshkit => "meshkit",
            Kind::Sample => "service",
            Kind::Relay => "relay",
        };
        let hosts = options.hosts.of_certificate(&component.name, options.listen);
        authority.issue(&component.name, &spiffe(role, &component.name), &hosts)?;
    }
    authority.issue("operator", &spiffe("operator", "dev"), &[])?;
    for component in components.iter().filter(|component| component.kind != Kind::Meshkit) {
        let own = templates::identity(&data, component);
        files::make_dir(&own)?;
        // A process that runs keeps it; what it has heard of stays, unless another authority signed it.
        if authority.is_new || files::read(&own.join("crl.pem"))?.is_none() {
            files::write(&own.join("crl.pem"), authority.empty_list()?.as_bytes(), Access::Public)?;
        }
    }

    let tokens = directory.join("tokens");
    files::make_dir(&tokens)?;
    let (operator, reader) = (Token::open(&tokens, "operator")?, Token::open(&tokens, "reader")?);
    let scene = Scene {
        components: &components,
        pki: &seen_at.join("pki"),
        data: &seen_at.join("data"),
        token_file: &seen_at.join("tokens/operator.token"),
        operator: &operator,
        reader: &reader,
    };
    for component in &components {
        let path = directory.join(mesh::config_name(&component.name));
        files::write(&path, scene.config(component).as_bytes(), Access::Public)?;
    }
    let context = directory.join("cli.toml");
    files::write(&context, scene.cli().as_bytes(), Access::Public)?;
    let plan = crate::output::to_json(&serde_json::json!({ "components": components }))?;
    files::write(&directory.join("mesh.json"), plan.as_bytes(), Access::Public)?;

    let operator_files = Authority::files(&pki, "operator");
    Ok(DevMesh {
        directory: directory.to_owned(),
        options,
        components,
        ca: Authority::certificate(&pki),
        operator_certificate: operator_files.certificate,
        operator_key: operator_files.private_key,
        token_file: operator.file,
        context,
        logs,
        _lock: lock,
    })
}

fn spiffe(role: &str, name: &str) -> String {
    format!("spiffe://omnirelay.dev/{role}/{name}")
}

/// The options of an earlier run; `None` for a directory that is not there or empty.
fn remembered(directory: &Path) -> Result<Option<Options>> {
    let marker = directory.join(MARKER);
    if let Some(text) = files::read(&marker)? {
        let read: Marker = serde_json::from_str(&text).map_err(|error| {
            OperatorError::new(ErrorKind::Config, "the development mesh's marker cannot be read")
                .at(marker.display().to_string())
                .caused_by(&error)
                .hint(format!("remove `{}` to start afresh", directory.display()))
        })?;
        if read.format != FORMAT {
            return Err(OperatorError::new(
                ErrorKind::Config,
                format!("the development mesh is of format {}, this version knows {FORMAT}", read.format),
            )
            .at(marker.display().to_string())
            .hint("use the version that made it, or another directory with `--dir DIR`"));
        }
        return Ok(Some(read.options));
    }
    let failed = |error: std::io::Error| {
        OperatorError::new(ErrorKind::Io, format!("the directory `{}` cannot be read", directory.display()))
            .caused_by(&error)
            .hint("name another one with `--dir DIR`")
    };
    match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
        Ok(mut entries) => match entries.next().transpose().map_err(failed)? {
            None => Ok(None),
            Some(entry) => Err(OperatorError::new(
                ErrorKind::Conflict,
                format!("`{}` holds something else than a development mesh", directory.display()),
            )
            .because(format!("found `{}` and no `{MARKER}`", entry.file_name().display()))
            .hint("name an empty or a new directory with `--dir DIR`")),
        },
    }
}
