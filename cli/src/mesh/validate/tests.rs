#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use omnirelay_runtime::ErrorKind;

use super::{Judgement, document, judge, summary};
use crate::dev;

const NOW: &str = "2026-06-01T00:00:00Z";

fn sample(directory: &Path) -> PathBuf {
    let mesh = directory.join("mesh");
    drop(dev::prepare(&mesh, |_| {}).unwrap());
    mesh
}

fn judged(file: PathBuf, sets: &[&str]) -> Result<Judgement, omnirelay_runtime::OperatorError> {
    judge(vec![file], sets.iter().map(ToString::to_string).collect(), NOW.parse().unwrap())
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
  outbounds   greeter (https://127.0.0.1:7420), inventory (https://127.0.0.1:7421 https://127.0.0.1:7422)
  routes      greeter to greeter, inventory to inventory
  downgrades  0 of 5 endpoints, ratio 0.00
  exceptions  none
";
    assert_eq!(summary(&relay, &["relay-1.toml".to_owned()]), expected);
    assert_eq!(document(&relay, &[])["valid"], true);

    let meshkit = judged(mesh.join("meshkit.toml"), &["store.path=/var/mesh.sqlite"]).unwrap();
    let expected = "\
meshkit.toml is a valid meshkit configuration
  node        meshkitd in local/dev
  listener    127.0.0.1:7400
  store       /var/mesh.sqlite
  modules     registry, shards
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
    assert_eq!(document(&dangling, &[])["valid"], false);

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
