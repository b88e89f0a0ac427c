//! Typed clients and servers from `.proto` files, without protoc: Rust modules of messages and
//! services, and the descriptor set that the dispatcher transcodes by.
//!
//! Read first: [`Generator`], which a build script or a program uses; `relay-rpc-gen` is it as a
//! command. [`ServiceCode`] is what it makes of one service.
//!
//! A method that returns `uber.yarpc.Oneway` of `yarpcproto/yarpc.proto`, which can always be
//! imported, is oneway, as in YARPC.

mod service;

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message as _;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};

pub use service::ServiceCode;

/// YARPC's own marker, under the path that YARPC gives it.
const YARPC_PATH: &str = "yarpcproto/yarpc.proto";
const YARPC_PROTO: &str = include_str!("../proto/yarpcproto/yarpc.proto");

/// What to generate from and to.
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
        std::fs::create_dir_all(out)?;
        let mut config = prost_build::Config::new();
        config.out_dir(out).btree_map(["."]).service_generator(Box::new(ServiceCode));
        config.extern_path(".uber.yarpc.Oneway", "()");
        for (proto, rust) in &self.externs {
            config.extern_path(proto.clone(), rust.clone());
        }
        let mut wanted = set.clone();
        // Its one message has no Rust type.
        wanted.file.retain(|file| file.package() != "uber.yarpc");
        config.compile_fds(wanted)?;
        if let Some(descriptors) = &self.descriptors {
            for file in &mut set.file {
                file.source_code_info = None;
            }
            std::fs::write(out.join(descriptors), set.encode_to_vec())?;
        }
        Ok(())
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
