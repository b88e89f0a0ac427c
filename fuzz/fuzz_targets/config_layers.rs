//! Layered configuration as the runtime reads it: a file, then `--set` lines after a line `---`.

use omnirelay_runtime::config::{Layers, load, load_str};
use serde_json::Value;

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "config_layers",
    run,
    words: &[
        "[a]", "[[a]]", "a.b=1", "a.0.b=x", "---\n", "= ", "\"", "'''", "[", "]", "{", "}", "#", "1e999",
        "\n", ".",
    ],
};

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (file, sets) = text.split_once("---\n").unwrap_or((text, ""));
    if let Err(error) = load_str::<Value>("fuzz.toml", file) {
        assert!(error.report(false).starts_with("error: "), "an error without words");
    }
    let sets: Vec<String> = sets.lines().map(ToOwned::to_owned).collect();
    let env = sets.iter().filter_map(|set| {
        let (name, value) = set.split_once('=')?;
        Some((format!("OMNIRELAY__{}", name.replace('.', "__").to_uppercase()), value.to_owned()))
    });
    let layers = Layers { files: Vec::new(), secrets: Vec::new(), env: env.collect(), sets: sets.clone() };
    if let Err(error) = load::<Value>(&layers) {
        assert!(error.report(false).starts_with("error: "), "an error without words");
    }
}
