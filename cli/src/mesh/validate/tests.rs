#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use omnirelay_runtime::ErrorKind;

use super::text::{downgrades, summary};
use super::{Judgement, Sources, document, judge, names, sarif};
use crate::dev;

const NOW: &str = "2026-06-01T00:00:00Z";

fn sample(directory: &Path) -> PathBuf {
    let mesh = directory.join("mesh");
    drop(dev::prepare(&mesh, |_| {}).unwrap());
    mesh
}

fn judged(file: PathBuf, sets: &[&str]) -> Result<Judgement, omnirelay_runtime::OperatorError> {
    let sets = sets.iter().map(ToString::to_string).collect();
    judge::judge(&Sources { files: vec![file], sets, ..Sources::default() }, NOW.parse().unwrap())
}

fn valid(judged: Judgement) -> bool {
    document(&Ok(judged), &Sources::default())["valid"].as_bool().unwrap()
}

#[test]
fn sample_configurations_are_accepted_and_summed_up() {
    let temp = tempfile::tempdir().unwrap();
    let mesh = sample(temp.path());
    let relay = judged(mesh.join("relay-1.toml"), &[]).unwrap();
    let expected = "\
relay-1.toml is a valid relay configuration
  node        relay-1 in local/dev
  data        127.0.0.1:7410
  admin       127.0.0.1:7411
  mesh        https://127.0.0.1:7400
  outbounds   greeter (https://127.0.0.1:7420), inventory (inventory of the mesh, owners of inventory)
  routes      greeter to greeter, inventory to inventory
  downgrades  0 of 5 endpoints, ratio 0.00
  exceptions  none
";
    assert_eq!(summary(&relay, &["relay-1.toml".to_owned()]), expected);
    assert!(valid(relay));

    let meshkit = judged(mesh.join("meshkit.toml"), &["store.path=/var/mesh.sqlite"]).unwrap();
    let expected = "\
meshkit.toml is a valid meshkit configuration
  node        meshkitd in local/dev
  listener    127.0.0.1:7400
  store       /var/mesh.sqlite
  modules     registry, shards, leaders, members, clusters, config, audit, backup, bootstrap
  namespaces  inventory (16 shards on inventory)
  downgrades  0 of 2 endpoints, ratio 0.00
  exceptions  none
";
    assert_eq!(summary(&meshkit, &["meshkit.toml".to_owned()]), expected);
}

#[test]
fn mistakes_name_their_line_their_cause_and_the_remedy() {
    let temp = tempfile::tempdir().unwrap();
    let file = sample(temp.path()).join("relay-1.toml");
    let good = fs::read_to_string(&file).unwrap();

    fs::write(&file, good.replacen("[[routes]]", "[[routes]]\nservise = 1", 1)).unwrap();
    let unknown = judged(file.clone(), &[]).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Config);
    let line = good.lines().position(|line| line == "[[routes]]").unwrap() + 2;
    assert!(unknown.location().unwrap().ends_with(&format!("relay-1.toml:{line}")), "{unknown:?}");
    assert!(unknown.hint_text().unwrap().contains("`service`"), "{unknown:?}");

    fs::write(&file, good.replace("outbound = \"greeter\"", "outbound = \"greter\"")).unwrap();
    let dangling = judged(file.clone(), &[]).unwrap();
    assert_eq!(dangling.problems.len(), 1);
    assert!(dangling.problems[0].report(false).contains("greter"));
    assert!(!valid(dangling));

    for (text, words) in [("kind = \"relai\"", "`relai`"), ("[node]", "does not say"), ("kind = \"relay", "")]
    {
        fs::write(&file, text).unwrap();
        let error = judged(file.clone(), &[]).unwrap_err();
        assert!(
            error.report(false).contains(words) && error.hint_text().is_some(),
            "{}",
            error.report(false)
        );
    }
}

#[test]
fn overrides_are_judged_like_the_file() {
    let temp = tempfile::tempdir().unwrap();
    let file = sample(temp.path()).join("relay-1.toml");
    assert!(judged(file.clone(), &["node.name=edge"]).unwrap().problems.is_empty());
    let wrong = judged(file, &["node.name=Edge One"]).unwrap();
    assert!(wrong.problems[0].location().unwrap().contains("--set"), "{:?}", wrong.problems);
}

/// A configuration without anything that has to be read, and what replaces it.
const OLD: &str = r#"kind = "relay"
node = { name = "relay-1" }
[data]
address = "127.0.0.1:7410"
tls = { certificate = "a.pem", private_key = "a.key" }
[admin]
address = "127.0.0.1:7411"
tls = { certificate = "a.pem", private_key = "a.key" }
[[outbounds]]
name = "greeter"
protocols = ["http3", "http2"]
peers = ["https://127.0.0.1:7420"]
[[routes]]
service = "greeter"
procedures = ["Greeter::*"]
outbound = "greeter"
"#;

fn written(directory: &Path, name: &str, text: &str) -> PathBuf {
    let file = directory.join(name);
    fs::write(&file, text).unwrap();
    file
}

fn changed(directory: &Path, new: &str) -> (Sources, omnirelay_runtime::Result<Judgement>) {
    let sources = Sources {
        files: vec![written(directory, "new.toml", new)],
        against: vec![written(directory, "old.toml", OLD)],
        ..Sources::default()
    };
    let judged = judge::judge(&sources, NOW.parse().unwrap());
    (sources, judged)
}

/// Text with the folder of the test left out.
fn without(directory: &Path, text: &str) -> String {
    text.replace(&format!("{}/", directory.display()), "")
}

#[test]
fn a_change_is_explained_by_endpoint_procedure_and_line() {
    let temp = tempfile::tempdir().unwrap();
    let new = OLD.replace("[\"http3\", \"http2\"]", "[\"http2\"]")
        + "\
[policy.categories.edge]
transports = [\"http3\"]
encodings = [\"json\"]
[policy.endpoints]
\"data:http\" = \"edge\"
[[policy.exceptions]]
name = \"old-agents\"
scope = \"data:http\"
procedures = [\"Greeter::Greet\"]
transports = [\"http2\", \"http1\"]
reason = \"they speak nothing else\"
approver = \"ops\"
expires = \"2027-01-01T00:00:00Z\"
";
    let (sources, judged) = changed(temp.path(), &new);
    let judgement = judged.as_ref().unwrap();
    assert!(judgement.problems.is_empty(), "{:?}", judgement.problems);
    let expected = "\
3 downgrades against old.toml
  data:http: protobuf is gone: its calls go with json
    where: new.toml:3
    calls: greeter Greeter::*
  data:http: the exception `old-agents` lets calls use http2, http1 until 2027-01-01T00:00:00Z
    where: new.toml:22
    calls: greeter Greeter::Greet
  outbound:greeter: http3 is gone: its calls go with http2
    where: new.toml:11
    calls: greeter Greeter::*
";
    let changes = judgement.changes.as_deref().unwrap();
    assert_eq!(without(temp.path(), &downgrades(changes, &names(&sources.against))), expected);
    let document = document(&judged, &sources);
    let rules: Vec<&str> =
        document["downgrades"].as_array().unwrap().iter().map(|one| one["rule"].as_str().unwrap()).collect();
    assert_eq!(
        rules,
        ["downgrade/encoding-removed", "downgrade/exception-added", "downgrade/transport-removed"]
    );

    let (sources, judged) = changed(temp.path(), OLD);
    let same = downgrades(judged.unwrap().changes.as_deref().unwrap(), &names(&sources.against));
    assert_eq!(without(temp.path(), &same), "nothing is downgraded against old.toml\n");
}

#[test]
fn only_the_configuration_of_the_same_daemon_is_compared() {
    let temp = tempfile::tempdir().unwrap();
    let meshkit = sample(temp.path()).join("meshkit.toml");
    let old = written(temp.path(), "old.toml", OLD);
    let sources = Sources { files: vec![meshkit], against: vec![old], ..Sources::default() };
    let error = judge::judge(&sources, NOW.parse().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let twice = Sources { files: vec!["-".into()], against: vec!["-".into()], ..Sources::default() };
    assert_eq!(judge::judge(&twice, NOW.parse().unwrap()).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn sarif_has_a_file_and_a_line_for_each_problem_and_each_downgrade() {
    let temp = tempfile::tempdir().unwrap();
    let new = OLD
        .replace("name = \"relay-1\"", "name = \"Relay 1\"")
        .replace("[admin]", "[admin]\nprotocols = [\"http2\"]")
        .replace("[\"http3\", \"http2\"]", "[\"http2\"]");
    let (sources, judged) = changed(temp.path(), &new);
    let told = serde_json::to_string_pretty(&sarif::document(&judged, &sources)).unwrap();
    let told = told.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    check_schema(&sarif::document(&judged, &sources));
    golden("problems.sarif.json", include_str!("golden/problems.sarif.json"), &without(temp.path(), &told));
}

#[test]
fn the_verdict_as_json_is_stable() {
    let temp = tempfile::tempdir().unwrap();
    let new = OLD
        .replace("name = \"relay-1\"", "name = \"Relay 1\"")
        .replace("[\"http3\", \"http2\"]", "[\"http2\"]");
    let (sources, judged) = changed(temp.path(), &new);
    let told = serde_json::to_string_pretty(&document(&judged, &sources)).unwrap();
    golden("verdict.json", include_str!("golden/verdict.json"), &without(temp.path(), &told));
}

/// Compares with a committed file; `UPDATE_GOLDEN=1` writes it anew.
#[track_caller]
fn golden(name: &str, expected: &str, told: &str) {
    let told = format!("{told}\n");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mesh/validate/golden");
        fs::write(directory.join(name), &told).unwrap();
        return;
    }
    assert_eq!(told, expected, "{name} differs; if that is right, run the test with UPDATE_GOLDEN=1");
}

#[test]
fn sarif_tells_also_what_cannot_be_read() {
    let temp = tempfile::tempdir().unwrap();
    for (text, rule, line) in [
        ("kind = \n", "config/syntax", 1),
        ("\nkind = \"relai\"", "config/kind", 2),
        (&OLD.replace("[[routes]]", "[[routes]]\nservise = 1"), "config/unknown-key", 14),
        (&OLD.replace("peers = [", "peers = 1 #"), "config/wrong-value", 12),
        ("kind = \"relay\"", "config/missing-key", 1),
    ] {
        let (sources, judged) = changed(temp.path(), text);
        let document = sarif::document(&judged, &sources);
        check_schema(&document);
        let result = &document["runs"][0]["results"][0];
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(
            (&result["ruleId"], &place["region"]["startLine"]),
            (&rule.into(), &line.into()),
            "{result}"
        );
        assert!(place["artifactLocation"]["uri"].as_str().unwrap().starts_with("file:///"), "{place}");
    }
    let sources = Sources {
        files: vec![written(temp.path(), "with space.toml", OLD)],
        sets: vec!["node.name=Edge One".into()],
        ..Sources::default()
    };
    let document = sarif::document(&judge::judge(&sources, NOW.parse().unwrap()), &sources);
    let place = &document["runs"][0]["results"][0]["locations"][0];
    assert!(
        place["physicalLocation"]["artifactLocation"]["uri"]
            .as_str()
            .unwrap()
            .ends_with("/with%20space.toml")
    );
    assert_eq!(place["logicalLocations"][0]["fullyQualifiedName"], "--set node.name");
}

/// What the schema requires of a document of this shape.
fn check_schema(document: &serde_json::Value) {
    assert_eq!(document["version"], "2.1.0");
    for run in document["runs"].as_array().unwrap() {
        let driver = &run["tool"]["driver"];
        assert!(driver["name"].is_string());
        let rules = driver["rules"].as_array().unwrap();
        assert!(rules.iter().all(|rule| rule["id"].is_string()));
        for result in run["results"].as_array().unwrap() {
            assert!(result["message"]["text"].is_string());
            assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
            let region = &result["locations"][0]["physicalLocation"]["region"];
            assert!(region["startLine"].as_u64().unwrap() >= 1);
        }
    }
}
