//! `relay-rpc-gen`: Rust modules from `.proto` files.

use std::path::PathBuf;
use std::process::ExitCode;

use relay_rpc_gen::Generator;

const USAGE: &str = "usage: relay-rpc-gen --include DIR... --out DIR [--check] [--descriptors NAME] \
                     [--extern .PACKAGE=::RUST::PATH]... FILE...
--check writes nothing and fails where --out does not hold what would be written";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("relay-rpc-gen: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "a command-line tool speaks on stderr")]
fn say(line: &str) {
    eprintln!("{line}");
}

fn run(mut words: impl Iterator<Item = String>) -> Result<(), Box<dyn std::error::Error>> {
    let (mut includes, mut externs, mut files) = (Vec::new(), Vec::new(), Vec::new());
    let (mut out, mut descriptors, mut check) = (None, None, false);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("`{word}` needs a value\n{USAGE}"));
        match word.as_str() {
            "--check" => check = true,
            "--include" => includes.push(PathBuf::from(value()?)),
            "--out" => out = Some(PathBuf::from(value()?)),
            "--descriptors" => descriptors = Some(value()?),
            "--extern" => {
                let pair = value()?;
                let (proto, rust) =
                    pair.split_once('=').ok_or_else(|| format!("`{pair}` is no .PACKAGE=::PATH\n{USAGE}"))?;
                externs.push((proto.to_owned(), rust.to_owned()));
            }
            flag if flag.starts_with('-') => return Err(format!("`{flag}` is not known\n{USAGE}").into()),
            _ => files.push(PathBuf::from(word)),
        }
    }
    let (Some(out), false) = (out, files.is_empty()) else {
        return Err(USAGE.into());
    };
    let mut generator = Generator::new(includes);
    for (proto, rust) in externs {
        generator = generator.extern_path(proto, rust);
    }
    if let Some(descriptors) = descriptors {
        generator = generator.descriptors(descriptors);
    }
    if check {
        let again = "; run relay-rpc-gen again without --check and commit what it writes";
        return generator.check(files, &out).map_err(|error| format!("{error}{again}").into());
    }
    generator.generate(files, &out)
}
