//! The images under test, loaded under a name that no other run uses.

use std::path::{Path, PathBuf};

use crate::engine::Engine;

/// A program that has an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The operator's command line.
    Cli,
    /// The control plane.
    Meshkitd,
    /// The relay.
    Relayd,
}

impl Program {
    /// Its name, which is also the name of its binary.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cli => "omnirelay",
            Self::Meshkitd => "meshkitd",
            Self::Relayd => "relayd",
        }
    }

    fn archive(self) -> PathBuf {
        from_env(match self {
            Self::Cli => "SMOKE_CLI_IMAGE",
            Self::Meshkitd => "SMOKE_MESHKITD_IMAGE",
            Self::Relayd => "SMOKE_RELAYD_IMAGE",
        })
    }
}

/// A file that the one who runs the suite names.
///
/// # Panics
/// Where the variable is not set or names no file.
pub(crate) fn from_env(variable: &str) -> PathBuf {
    file(variable, &value(variable))
}

fn value(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run the suites with `./bazelw test //smoke/...`");
    })
}

fn file(variable: &str, path: &str) -> PathBuf {
    assert!(Path::new(path).is_file(), "{variable} names {path}, where there is no file");
    std::fs::canonicalize(path).expect("a file has a path")
}

/// The modules of the control plane that have an image of their own, each with its archive.
///
/// # Panics
/// Where the one who runs the suite does not name them.
#[must_use]
pub fn module_archives() -> Vec<(String, PathBuf)> {
    const ROLES: &str = "SMOKE_MESHKIT_ROLES";
    let pairs = value(ROLES);
    let pairs = pairs.split_whitespace().map(|pair| pair.split_once('=').expect("`module=archive`"));
    pairs.map(|(module, archive)| (module.to_owned(), file(ROLES, archive))).collect()
}

/// A loaded image.
#[derive(Clone, Debug)]
pub struct Image {
    /// By which the engine knows it.
    pub name: String,
}

impl Image {
    /// Loads the archive of `program`.
    pub(crate) fn load(engine: &Engine, program: Program) -> Self {
        Self::load_archive(engine, program.name(), &program.archive())
    }

    /// Loads an archive under a name of this run. Archives carry a name of their own, which another run may
    /// give to another image at any time, so the name in it is replaced beforehand.
    pub(crate) fn load_archive(engine: &Engine, name: &str, archive: &Path) -> Self {
        let scratch = engine.scratch(&format!("image-{name}"));
        let name = format!("localhost/{}/{name}:smoke", engine.run());
        let unpacked = scratch.join("unpacked");
        std::fs::create_dir(&unpacked).expect("the scratch folder can be written");
        tar(["-xf".as_ref(), archive.as_os_str(), "-C".as_ref(), unpacked.as_os_str()]);
        rename(&unpacked.join("manifest.json"), &name);
        let archive = scratch.join("image.tar");
        let entries = std::fs::read_dir(&unpacked).expect("the unpacked image can be read");
        let entries: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
        let mut args =
            vec!["-cf".into(), archive.clone().into_os_string(), "-C".into(), unpacked.into_os_string()];
        args.extend(entries);
        tar(args.iter().map(std::ffi::OsString::as_os_str));
        let _making = engine.making();
        engine.keep_image(&name);
        let archive = archive.display().to_string();
        let _loaded = engine.docker(["load", "--quiet", "--input", &archive]).exits(0);
        std::fs::remove_dir_all(scratch).expect("the scratch folder can be removed");
        Self { name }
    }
}

fn tar<'a>(args: impl IntoIterator<Item = &'a std::ffi::OsStr>) {
    let _done = crate::process::run("tar", args, crate::engine::DEADLINE).exits(0);
}

fn rename(manifest: &Path, name: &str) {
    let text = std::fs::read(manifest).expect("a Docker archive has a manifest.json");
    let mut document: serde_json::Value = serde_json::from_slice(&text).expect("manifest.json is JSON");
    document[0]["RepoTags"] = serde_json::json!([name]);
    // Bazel's outputs are read-only, and tar keeps that.
    std::fs::remove_file(manifest).expect("the manifest can be replaced");
    std::fs::write(manifest, document.to_string()).expect("the manifest can be replaced");
}
