//! Every parser of foreign bytes, under bytes that nobody would send.
//!
//! A target is a function of bytes in `fuzz_targets/` that panics where something is wrong, a line
//! in [`TARGETS`] and a folder of inputs in `corpus/`. `tests/bounded.rs` runs them all: the corpus
//! as it is, then mutations of it from a seed. A failing input is named with the seed and belongs
//! into the corpus once it is mended.

#[path = "../fuzz_targets/mod.rs"]
mod fuzz_targets;
mod mutate;

pub use mutate::Mutator;

/// A parser under test.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name of its corpus's folder.
    pub name: &'static str,
    /// Parses, and panics where what it should hold does not.
    pub run: fn(&[u8]),
    /// Words that its language is made of.
    pub words: &'static [&'static str],
}

/// Every target.
pub const TARGETS: &[Target] = &[
    fuzz_targets::rpc_meta::TARGET,
    fuzz_targets::deadlines::TARGET,
    fuzz_targets::grpc_status::TARGET,
    fuzz_targets::config_layers::TARGET,
    fuzz_targets::relay_config::TARGET,
    fuzz_targets::policy::TARGET,
    fuzz_targets::endpoint::TARGET,
    fuzz_targets::proxy_protocol::TARGET,
    fuzz_targets::http3_fields::TARGET,
    fuzz_targets::transcoding::TARGET,
    fuzz_targets::grpc_frames::TARGET,
    fuzz_targets::jwt::TARGET,
    fuzz_targets::jwks::TARGET,
];
