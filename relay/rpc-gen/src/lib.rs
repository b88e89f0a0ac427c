//! Typed clients and servers from `.proto` files, without protoc: Rust modules of messages and
//! services, and the descriptor set that the dispatcher transcodes by.
//!
//! Read first: [`Generator`], which a build script or a program uses; `relay-rpc-gen` is it as a
//! command. [`ServiceCode`] is what it makes of one service.
//!
//! A method that returns `uber.yarpc.Oneway` of `yarpcproto/yarpc.proto`, which can always be
//! imported, is oneway, as in YARPC.

mod service;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_build::Module;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};

pub use service::ServiceCode;

/// YARPC's own marker, under the path that YARPC gives it.
const YARPC_PATH: &str = "yarpcproto/yarpc.proto";
const YARPC_PROTO: &str = include_str!("../proto/yarpcproto/yarpc.proto");

/// What to generate from and to.
///
/// ```no_run
/// // A build script.
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let out = std::env::var("OUT_DIR")?;
/// relay_rpc_gen::Generator::new(["proto"])
///     .descriptors("descriptors.bin")
///     .generate(["guide/v1/journal.proto"], out.as_ref())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Generator {
    includes: Vec<PathBuf>,
    externs: Vec<(String, String)>,
    descriptors: Option<String>,
}

impl Generator {
    /// A generator that looks for files in `includes`.
    pub fn new<P: Into<PathBuf>>(includes: impl IntoIterator<Item = P>) -> Self {
        Self { includes: includes.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Takes the types of a package, as `.samples.v1`, from a Rust path, as `::contracts::samples::v1`,
    /// rather than generating them; services are generated still.
    #[must_use]
    pub fn extern_path(mut self, proto: impl Into<String>, rust: impl Into<String>) -> Self {
        self.externs.push((proto.into(), rust.into()));
        self
    }

    /// Also writes the descriptor set, with all imports, as a file of that name.
    #[must_use]
    pub fn descriptors(mut self, file: impl Into<String>) -> Self {
        self.descriptors = Some(file.into());
        self
    }

    /// Generates one module a package, `PACKAGE.rs`, into `out`.
    ///
    /// # Errors
    /// A file that cannot be read, compiled or written; the text names it and the line.
    pub fn generate<P: AsRef<Path>>(
        &self,
        files: impl IntoIterator<Item = P>,
        out: &Path,
    ) -> Result<(), Box<dyn Error>> {
        std::fs::create_dir_all(out)?;
        for (name, content) in self.generated(files)? {
            std::fs::write(out.join(name), content)?;
        }
        Ok(())
    }

    /// Says whether `out` holds what would be generated now, and writes nothing: for a check that
    /// committed code is up to date.
    ///
    /// # Errors
    /// As [`Generator::generate`], and the names of the files that are missing or differ.
    pub fn check<P: AsRef<Path>>(
        &self,
        files: impl IntoIterator<Item = P>,
        out: &Path,
    ) -> Result<(), Box<dyn Error>> {
        let generated = self.generated(files)?.into_iter();
        let stale: Vec<String> = generated
            .map(|(name, content)| (out.join(name), content))
            .filter(|(path, content)| std::fs::read(path).ok().as_ref() != Some(content))
            .map(|(path, _)| path.display().to_string())
            .collect();
        if stale.is_empty() { Ok(()) } else { Err(format!("stale: {}", stale.join(", ")).into()) }
    }

    /// The files by name.
    fn generated<P: AsRef<Path>>(
        &self,
        files: impl IntoIterator<Item = P>,
    ) -> Result<BTreeMap<String, Vec<u8>>, Box<dyn Error>> {
        let mut resolver = ChainFileResolver::new();
        for include in &self.includes {
            resolver.add(IncludeFileResolver::new(include.clone()));
        }
        resolver.add(YarpcFile);
        resolver.add(GoogleFileResolver::new());
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        compiler.include_imports(true).include_source_info(true);
        for file in files {
            compiler.open_file(file)?;
        }
        let mut set = compiler.file_descriptor_set();
        let mut config = prost_build::Config::new();
        config.btree_map(["."]).service_generator(Box::new(ServiceCode));
        config.extern_path(".uber.yarpc.Oneway", "()");
        for (proto, rust) in &self.externs {
            config.extern_path(proto.clone(), rust.clone());
        }
        // The one message of YARPC's own file has no Rust type.
        let wanted = set.file.iter().filter(|file| file.package() != "uber.yarpc").cloned();
        let modules = wanted.map(|file| (Module::from_protobuf_package_name(file.package()), file));
        let modules = config.generate(modules.collect())?.into_iter();
        let mut generated: BTreeMap<String, Vec<u8>> =
            modules.map(|(module, code)| (module.to_file_name_or("_"), code.into_bytes())).collect();
        if let Some(descriptors) = &self.descriptors {
            for file in &mut set.file {
                file.source_code_info = None;
            }
            generated.insert(descriptors.clone(), set.encode_to_vec());
        }
        Ok(generated)
    }
}

/// Finds YARPC's own file where no include has one.
struct YarpcFile;

impl FileResolver for YarpcFile {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == YARPC_PATH {
            File::from_source(name, YARPC_PROTO)
        } else {
            Err(protox::Error::file_not_found(name))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    const CONTRACT: &str = r#"syntax = "proto3"; package a.v1;
        import "yarpcproto/yarpc.proto";
        message M {}
        service S {
            rpc One(M) returns (M);
            rpc Tell(M) returns (uber.yarpc.Oneway);
            rpc Hear(M) returns (stream M);
            rpc Say(stream M) returns (M);
            rpc Talk(stream M) returns (stream M);
        }"#;

    #[test]
    fn every_shape_is_registered_as_itself() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.proto"), CONTRACT).unwrap();
        let out = dir.path().join("out");
        let generator = Generator::new([dir.path()]).descriptors("set.bin");
        generator.generate(["a.proto"], &out).unwrap();
        let code = std::fs::read_to_string(out.join("a.v1.rs")).unwrap();
        let registered: String = code.split_whitespace().collect();
        for (shape, method) in [
            ("unary", "One"),
            ("oneway", "Tell"),
            ("server_stream", "Hear"),
            ("client_stream", "Say"),
            ("bidi", "Talk"),
        ] {
            let call = format!("proto(\"/a.v1.S/{method}\",).{shape}(");
            assert!(registered.replace(",)", ")").contains(&call.replace(",)", ")")), "{method}\n{code}");
        }
        assert!(std::fs::metadata(out.join("set.bin")).unwrap().len() > 0);
    }

    #[test]
    fn a_check_names_what_is_stale_and_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.proto"), CONTRACT).unwrap();
        let out = dir.path().join("out");
        let generator = Generator::new([dir.path()]).descriptors("set.bin");
        let stale = || generator.check(["a.proto"], &out).map_err(|error| error.to_string());
        let missing = stale().unwrap_err();
        assert!(missing.contains("a.v1.rs") && missing.contains("set.bin") && !out.exists(), "{missing}");
        generator.generate(["a.proto"], &out).unwrap();
        assert_eq!(stale(), Ok(()));
        std::fs::write(out.join("a.v1.rs"), "// old").unwrap();
        let changed = stale().unwrap_err();
        assert!(changed.contains("a.v1.rs") && !changed.contains("set.bin"), "{changed}");
        assert_eq!(std::fs::read(out.join("a.v1.rs")).unwrap(), b"// old");
    }

    #[test]
    fn messages_of_another_crate_are_not_made_again() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.proto"), CONTRACT).unwrap();
        let generator = Generator::new([dir.path()]).extern_path(".a.v1", "::contracts::a::v1");
        generator.generate(["a.proto"], dir.path()).unwrap();
        let code = std::fs::read_to_string(dir.path().join("a.v1.rs")).unwrap();
        assert!(code.contains("request: ::contracts::a::v1::M") && !code.contains("struct M"), "{code}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("b.proto"), "syntax = \"proto3\"; message M { Nothing it = 1; }")
            .unwrap();
        let generator = Generator::new([dir.path()]);
        for (file, word) in [("b.proto", "Nothing"), ("c.proto", "c.proto")] {
            let error = generator.generate([file], dir.path()).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
