#![allow(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a test says by panicking that it failed")]

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Sample {
    node: Node,
    #[serde(default)]
    outbounds: Vec<Node>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Node {
    name: String,
    #[serde(default)]
    weight: u32,
}

const GOOD: &str = "[node]\nname = \"a\"\n\n[[outbounds]]\nname = \"x\"\nweight = 2\n";

fn report(text: &str) -> String {
    load_str::<Sample>("relay.toml", text).unwrap_err().report(false)
}

#[test]
fn unknown_keys_name_line_and_nearest_key() {
    assert_eq!(
        report("[node]\nname = \"a\"\nwieght = 3\n"),
        "error: unknown key `node.wieght`\n  where: relay.toml:3\n  hint:  did you mean `weight`?"
    );
    assert_eq!(
        report("[node]\nname = \"a\"\n[[outbounds]]\nname = \"x\"\nzzz = 1\n"),
        "error: unknown key `outbounds.0.zzz`\n  where: relay.toml:5\n  hint:  known here: name, weight"
    );
}

#[test]
fn missing_and_mistyped_keys_are_located() {
    assert_eq!(
        report("[node]\nweight = 3\n"),
        "error: `node.name` is missing\n  where: relay.toml:1\n  hint:  set `node.name`"
    );
    let report = report("[node]\nname = \"a\"\nweight = \"x\"\n");
    assert!(report.starts_with("error: `node.weight` cannot be read\n  where: relay.toml:3\n"), "{report}");
}

#[test]
fn broken_toml_is_located() {
    let report = report("[node]\nname = a b\n");
    assert!(report.starts_with("error: relay.toml is not valid TOML\n  where: relay.toml:2\n"), "{report}");
}

#[test]
fn later_layers_win_and_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("relay.toml");
    std::fs::write(&file, GOOD).unwrap();
    let layers = Layers {
        files: vec![file],
        env: vec![("OMNIRELAY__NODE__WEIGHT".into(), "7".into()), ("PATH".into(), "/bin".into())],
        sets: vec!["outbounds.0.weight=9".into(), "node.name=b".into()],
        ..Layers::default()
    };
    let loaded: Loaded<Sample> = load(&layers).unwrap();
    assert_eq!(loaded.value.node, Node { name: "b".into(), weight: 7 });
    assert_eq!(loaded.value.outbounds[0].weight, 9);
    assert_eq!(
        loaded.locate("node.weight").unwrap().to_string(),
        "environment variable OMNIRELAY__NODE__WEIGHT"
    );
    assert_eq!(loaded.locate("outbounds.0.weight").unwrap().to_string(), "--set outbounds.0.weight");
    assert!(loaded.locate("outbounds.0.name").unwrap().to_string().ends_with("relay.toml:5"));
}

#[test]
fn unusable_overrides_are_usage_errors() {
    for sets in [["node"], ["a..b=1"], ["outbounds.7.weight=1"]] {
        let layers = Layers { sets: sets.map(Into::into).to_vec(), ..Layers::default() };
        let error = load::<Sample>(&layers).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Usage | ErrorKind::Config), "{}", error.report(false));
        assert!(error.hint_text().is_some());
    }
}

#[test]
fn secrets_in_overrides_do_not_reach_errors() {
    let layers = Layers { sets: vec!["node.secret=hunter2".into()], ..Layers::default() };
    let error = load::<Sample>(&layers).unwrap_err();
    assert!(!error.report(false).contains("hunter2"));
}

#[test]
fn every_unknown_key_is_told_at_once() {
    let report = report("[node]\nname = \"a\"\nwieght = 3\n[[outbounds]]\nname = \"x\"\nzzz = 1\n");
    assert!(
        report.starts_with("error: the configuration has 2 problems\n  where: relay.toml:3\n"),
        "{report}"
    );
    assert!(report.contains("relay.toml:3: unknown key `node.wieght`; did you mean `weight`?"), "{report}");
    assert!(
        report.contains("relay.toml:6: unknown key `outbounds.0.zzz`; known here: name, weight"),
        "{report}"
    );
}

#[test]
fn a_secret_stands_above_files_and_below_the_environment_and_is_never_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("relay.toml");
    std::fs::write(&file, GOOD).unwrap();
    let secrets = dir.path().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    // As Kubernetes mounts them: a version behind a link that is swapped.
    std::fs::create_dir(secrets.join("..version")).unwrap();
    std::fs::write(secrets.join("..version/node.name"), "hunter2\n").unwrap();
    std::os::unix::fs::symlink("..version", secrets.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/node.name", secrets.join("node.name")).unwrap();
    let mut layers = Layers { files: vec![file], secrets: vec![secrets.clone()], ..Layers::default() };
    let loaded: Loaded<Sample> = load(&layers).unwrap();
    assert_eq!(loaded.value.node.name, "hunter2");
    assert!(loaded.locate("node.name").unwrap().to_string().ends_with("secrets/node.name"));

    layers.env = vec![("OMNIRELAY__NODE__NAME".into(), "plain".into())];
    assert_eq!(load::<Sample>(&layers).unwrap().value.node.name, "plain");

    std::fs::write(secrets.join("node.weight"), "hunter3").unwrap();
    let report = load::<Sample>(&layers).unwrap_err().report(false);
    assert!(
        report.contains("`node.weight` cannot be read") && report.contains("secrets/node.weight"),
        "{report}"
    );
    assert!(!report.contains("hunter"), "{report}");

    layers.secrets = vec![dir.path().join("nowhere")];
    let report = load::<Sample>(&layers).unwrap_err().report(false);
    assert!(report.contains("nowhere cannot be read") && report.contains("hint:"), "{report}");
}

#[test]
fn a_draft_tells_its_kind_before_it_is_decoded() {
    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Small {
        kind: String,
    }
    let draft = |sets: &[&str]| {
        let sets = sets.iter().map(ToString::to_string).collect();
        draft(&Layers { sets, ..Layers::default() }).unwrap()
    };
    assert_eq!(draft(&["kind=relay"]).text("kind"), Some("relay"));
    assert_eq!(draft(&["kind=3"]).text("kind"), None);
    assert_eq!(draft(&["kind=relay"]).decode::<Small>().unwrap().value.kind, "relay");
    assert!(draft(&["kind=relay", "other=1"]).decode::<Small>().is_err());
}

#[test]
fn a_path_has_few_parts() {
    let layers = |set: String| Layers { sets: vec![set], ..Layers::default() };
    let path = |parts: usize| vec!["a"; parts].join(".");
    let error = draft(&layers(format!("{}=1", path(50_000)))).unwrap_err();
    let report = error.report(false);
    assert!(report.contains("more than 32 parts") && report.len() < 1_000, "{report}");
    assert!(draft(&layers(format!("{}=1", path(32)))).is_ok());
}
