//! Every target, bounded: the kept corpus as it is, then mutations of it from a seed.
//!
//! `OMNIRELAY_FUZZ_RUNS` sets how many mutations each target gets, `OMNIRELAY_SEED` their seed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

use std::path::{Path, PathBuf};

use omnirelay_fuzz::{Mutator, TARGETS, Target};

fn setting(name: &str, fallback: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(fallback)
}

/// Under Bazel a test runs in its workspace's root, under cargo in its crate.
fn corpus_folder() -> PathBuf {
    ["corpus", "fuzz/corpus"].map(Path::new).into_iter().find(|path| path.is_dir()).unwrap().to_path_buf()
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = corpus_folder().join(target.name);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The order in which a file system lists them must not change what a seed makes.
    files.sort();
    assert!(!files.is_empty(), "{} has no corpus", target.name);
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn run(target: &Target, input: &[u8], origin: &str) {
    let outcome = std::panic::catch_unwind(|| (target.run)(input));
    if outcome.is_err() {
        panic!(
            "{} failed on {origin}: {:?}\nkeep it in fuzz/corpus/{0}/",
            target.name,
            input.escape_ascii().to_string()
        );
    }
}

fn check(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let corpus = corpus(target);
    for (index, input) in corpus.iter().enumerate() {
        run(target, input, &format!("its corpus, file {index}"));
    }
    let seed = setting("OMNIRELAY_SEED", 1);
    let mut mutator = Mutator::new(seed);
    for number in 0..setting("OMNIRELAY_FUZZ_RUNS", 3_000) {
        run(
            target,
            &mutator.next(&corpus, target.words),
            &format!("mutation {number} of OMNIRELAY_SEED={seed}"),
        );
    }
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { check(stringify!($name)); })*

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($name)),*];
            assert!(TARGETS.iter().all(|target| run.contains(&target.name)));
        }
    };
}

targets!(
    rpc_meta,
    deadlines,
    grpc_status,
    config_layers,
    relay_config,
    policy,
    endpoint,
    proxy_protocol,
    http3_fields,
    transcoding,
    grpc_frames,
    jwt,
    jwks,
);
