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
