//! Judging a configuration as the daemons would at their start.

use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use meshkit_config::MeshkitConfig;
use omnirelay_runtime::config::{Layers, Loaded, draft};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_config::RelayConfig;
use relay_policy::Report;
use serde_json::json;

use crate::args::Validate;
use crate::output::{self, TextFormat};

#[cfg(test)]
mod tests;

/// What is to be said of a configuration of whatever kind.
#[derive(Debug)]
struct Judgement {
    kind: &'static str,
    /// What it configures, as label and text.
    facts: Vec<(&'static str, String)>,
    policy: Report,
    problems: Vec<OperatorError>,
}

/// Judges one configuration of one or more layers.
pub(crate) fn run(args: Validate) -> Result<ExitCode> {
    let names: Vec<String> = args.files.iter().map(|file| file.display().to_string()).collect();
    let outcome = judge(args.files, args.sets, Timestamp::now());
    let judgement = match (args.output, outcome) {
        (_, Ok(judgement)) => judgement,
        (TextFormat::Text, Err(error)) => return Err(error),
        (TextFormat::Json, Err(error)) => {
            let problems = [error.to_json()];
            output::print_json(&json!({ "valid": false, "files": names, "problems": problems }))?;
            return Ok(ExitCode::from(error.kind().exit_code()));
        }
    };
    match args.output {
        TextFormat::Json => output::print_json(&document(&judgement, &names))?,
        TextFormat::Text if judgement.problems.is_empty() => output::print(&summary(&judgement, &names))?,
        TextFormat::Text => {
            for problem in &judgement.problems {
                output::note(&problem.report(output::color_on_stderr()));
            }
        }
    }
    Ok(match judgement.problems.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(ErrorKind::Config.exit_code()),
    })
}

fn judge(files: Vec<PathBuf>, sets: Vec<String>, now: Timestamp) -> Result<Judgement> {
    // Overrides in the environment are a daemon's on its own machine, not this command's.
    let draft = draft(&Layers { files, env: Vec::new(), sets })?;
    let remedy = "begin it with `kind = \"relay\"` or `kind = \"meshkit\"`";
    match draft.text("kind") {
        Some("relay") => Ok(relay(&draft.decode()?, now)),
        Some("meshkit") => Ok(meshkit(&draft.decode()?, now)),
        Some(other) => {
            let error = OperatorError::new(ErrorKind::Config, format!("`kind` is `{other}`")).hint(remedy);
            Err(match draft.locate("kind") {
                Some(location) => error.at(location.to_string()),
                None => error,
            })
        }
        None => {
            let message = "the configuration does not say what it configures";
            Err(OperatorError::new(ErrorKind::Config, message).hint(remedy))
        }
    }
}

fn relay(loaded: &Loaded<RelayConfig>, now: Timestamp) -> Judgement {
    let config = &loaded.value;
    let check = RelayConfig::check(loaded, now);
    let outbounds: Vec<String> =
        config.outbounds.iter().map(|one| format!("{} ({})", one.name, one.peers.join(" "))).collect();
    let routes: Vec<String> =
        config.routes.iter().map(|one| format!("{} to {}", one.service, one.outbound)).collect();
    Judgement {
        kind: "relay",
        facts: vec![
            ("node", place(&config.node.name, &config.node.cluster, &config.node.zone)),
            ("data", config.data.address.to_string()),
            ("admin", config.admin.address.to_string()),
            ("mesh", config.mesh.as_ref().map_or("none".to_owned(), |mesh| mesh.endpoint.clone())),
            ("outbounds", list(&outbounds)),
            ("routes", list(&routes)),
        ],
        policy: check.policy,
        problems: check.problems,
    }
}

fn meshkit(loaded: &Loaded<MeshkitConfig>, now: Timestamp) -> Judgement {
    let config = &loaded.value;
    let check = MeshkitConfig::check(loaded, now);
    let modules: Vec<String> = config.modules.iter().map(|one| one.as_str().to_owned()).collect();
    let namespaces: Vec<String> = config
        .shards
        .namespaces
        .iter()
        .map(|one| format!("{} ({} shards on {})", one.name, one.shards, one.service))
        .collect();
    Judgement {
        kind: "meshkit",
        facts: vec![
            ("node", place(&config.node.name, &config.node.cluster, &config.node.zone)),
            ("listener", config.listener.address.to_string()),
            ("store", config.store.path.display().to_string()),
            ("modules", list(&modules)),
            ("namespaces", list(&namespaces)),
        ],
        policy: check.policy,
        problems: check.problems,
    }
}

fn place(name: &str, cluster: &str, zone: &str) -> String {
    match zone {
        "" => format!("{name} in {cluster}"),
        zone => format!("{name} in {cluster}/{zone}"),
    }
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

/// The most room that a label takes.
const LABEL: usize = 10;

fn summary(judgement: &Judgement, files: &[String]) -> String {
    let mut text = format!("{} is a valid {} configuration\n", files.join(" + "), judgement.kind);
    let policy = &judgement.policy;
    let downgraded = match policy.downgraded.as_slice() {
        [] => String::new(),
        names => format!(": {}", names.join(", ")),
    };
    let downgrades = format!(
        "{} of {} endpoints, ratio {:.2}{downgraded}",
        policy.downgraded.len(),
        policy.endpoints,
        policy.downgrade_ratio()
    );
    let own = [("downgrades", downgrades), ("exceptions", list(&policy.exceptions))];
    for (label, fact) in judgement.facts.iter().chain(&own) {
        text.push_str(&format!("  {label:<LABEL$}  {}\n", output::printable(fact)));
    }
    text
}

fn document(judgement: &Judgement, files: &[String]) -> serde_json::Value {
    let problems: Vec<serde_json::Value> = judgement.problems.iter().map(OperatorError::to_json).collect();
    let facts: serde_json::Map<String, serde_json::Value> =
        judgement.facts.iter().map(|(label, fact)| ((*label).to_owned(), fact.clone().into())).collect();
    json!({
        "valid": problems.is_empty(),
        "kind": judgement.kind,
        "files": files,
        "summary": facts,
        "policy": {
            "endpoints": judgement.policy.endpoints,
            "downgraded": judgement.policy.downgraded,
            "downgrade_ratio": judgement.policy.downgrade_ratio(),
            "exceptions": judgement.policy.exceptions,
        },
        "problems": problems,
    })
}
