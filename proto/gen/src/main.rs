//! Generates `proto/src/gen` from the `.proto` files, without protoc.
//!
//! Usage: `proto-gen PROTO_DIR OUT_DIR`. The freshness test runs it into a temporary folder and
//! compares; a developer runs `cargo run -p proto-gen -- proto proto/src/gen`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use prost::Message as _;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(protos), Some(out), None) = (args.next(), args.next(), args.next()) else {
        eprintln_line("usage: proto-gen PROTO_DIR OUT_DIR");
        return ExitCode::from(2);
    };
    match generate(&protos, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln_line(&format!("proto-gen: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "a command-line tool speaks on stderr")]
fn eprintln_line(line: &str) {
    eprintln!("{line}");
}

/// Compiles every `.proto` below `protos` and writes Rust modules and the descriptor set to `out`.
fn generate(protos: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    collect(protos, &mut files)?;
    files.sort();
    let mut compiler = protox::Compiler::new([protos])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&files)?;
    let with_comments = compiler.file_descriptor_set();
    std::fs::create_dir_all(out)?;
    tonic_prost_build::configure()
        .out_dir(out)
        .emit_package(false)
        .btree_map(".")
        .compile_fds(with_comments.clone())?;
    let mut descriptors = with_comments;
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    Ok(())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|ext| ext == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
