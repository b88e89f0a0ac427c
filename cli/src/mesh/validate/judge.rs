//! From files to a judgement.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use meshkit_config::MeshkitConfig;
use omnirelay_runtime::config::{Draft, Layers, Loaded, draft};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_config::{OutboundConfig, RelayConfig};

use super::changes::{self, Whole};
use super::{Judgement, Sources};

/// Reads the layers, and those that they replace, and says what is to be said of them.
pub(super) fn judge(sources: &Sources, now: Timestamp) -> Result<Judgement> {
    let standard_input = Path::new("-");
    if sources.files.iter().chain(&sources.against).filter(|file| *file == standard_input).count() > 1 {
        return Err(OperatorError::new(ErrorKind::Usage, "standard input can be read only once")
            .hint("give `-` once, and a file for the other"));
    }
    let old = match sources.against.as_slice() {
        [] => None,
        files => Some(whole(&read(files.to_vec(), Vec::new())?)),
    };
    match read(sources.files.clone(), sources.sets.clone())? {
        Config::Relay(loaded) => relay(&loaded, old.as_ref(), now),
        Config::Meshkit(loaded) => meshkit(&loaded, old.as_ref(), now),
    }
}

enum Config {
    Relay(Box<Loaded<RelayConfig>>),
    Meshkit(Box<Loaded<MeshkitConfig>>),
}

fn read(files: Vec<PathBuf>, sets: Vec<String>) -> Result<Config> {
    // Overrides in the environment are a daemon's on its own machine, not this command's.
    let draft = draft(&Layers { files, sets, ..Layers::default() })?;
    match draft.text("kind") {
        Some("relay") => Ok(Config::Relay(Box::new(draft.decode()?))),
        Some("meshkit") => Ok(Config::Meshkit(Box::new(draft.decode()?))),
        other => Err(unknown_kind(&draft, other)),
    }
}

fn unknown_kind(draft: &Draft, kind: Option<&str>) -> OperatorError {
    let message = match kind {
        Some(kind) => format!("`kind` is `{kind}`"),
        None => "the configuration does not say what it configures".to_owned(),
    };
    let error = OperatorError::new(ErrorKind::Config, message)
        .rule("config/kind")
        .hint("begin it with `kind = \"relay\"` or `kind = \"meshkit\"`");
    match draft.locate("kind") {
        Some(location) => error.at(location.to_string()),
        None => error,
    }
}

fn whole(config: &Config) -> Whole {
    match config {
        Config::Relay(loaded) => whole_relay(&loaded.value),
        Config::Meshkit(loaded) => whole_meshkit(&loaded.value),
    }
}

fn whole_relay(config: &RelayConfig) -> Whole {
    Whole {
        kind: "relay",
        policy: config.policy.clone(),
        endpoints: config.endpoints(),
        routes: config.route_uses(),
    }
}

fn whole_meshkit(config: &MeshkitConfig) -> Whole {
    Whole {
        kind: "meshkit",
        policy: config.policy.clone(),
        endpoints: config.endpoints(),
        routes: Vec::new(),
    }
}

fn compared<T>(
    old: Option<&Whole>,
    new: &Whole,
    loaded: &Loaded<T>,
    now: Timestamp,
) -> Result<Option<Vec<changes::Located>>> {
    match old {
        None => Ok(None),
        Some(old) if old.kind == new.kind => Ok(Some(changes::since(old, new, loaded, now))),
        Some(old) => {
            let message = format!("a {} configuration does not replace one of {}", new.kind, old.kind);
            Err(OperatorError::new(ErrorKind::Usage, message)
                .hint("compare the configurations of one daemon with `--against`"))
        }
    }
}

fn relay(loaded: &Loaded<RelayConfig>, old: Option<&Whole>, now: Timestamp) -> Result<Judgement> {
    let config = &loaded.value;
    let check = RelayConfig::check(loaded, now);
    let outbounds: Vec<String> =
        config.outbounds.iter().map(|one| format!("{} ({})", one.name, peers(one))).collect();
    let routes: Vec<String> = config
        .routes
        .iter()
        .map(|one| match &one.respond {
            Some(respond) => format!("{} answered with {}", one.service, respond.code),
            None => format!("{} to {}", one.service, one.outbounds().collect::<Vec<_>>().join(" and ")),
        })
        .collect();
    Ok(Judgement {
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
        changes: compared(old, &whole_relay(config), loaded, now)?,
    })
}

/// Where an outbound's peers are known from.
fn peers(outbound: &OutboundConfig) -> String {
    match (&outbound.dns, &outbound.mesh) {
        (Some(dns), _) => format!("dns {}:{}", dns.name, dns.port),
        (None, Some(mesh)) => match &mesh.namespace {
            Some(namespace) => format!("{} of the mesh, owners of {namespace}", mesh.service),
            None => format!("{} of the mesh", mesh.service),
        },
        (None, None) => outbound.peers.iter().map(|peer| peer.url.as_str()).collect::<Vec<_>>().join(" "),
    }
}

fn meshkit(loaded: &Loaded<MeshkitConfig>, old: Option<&Whole>, now: Timestamp) -> Result<Judgement> {
    let config = &loaded.value;
    let check = MeshkitConfig::check(loaded, now);
    let modules: Vec<String> = config.modules.iter().map(|one| one.as_str().to_owned()).collect();
    let namespaces: Vec<String> = config
        .shards
        .namespaces
        .iter()
        .map(|one| format!("{} ({} shards on {})", one.name, one.shards, one.service))
        .collect();
    Ok(Judgement {
        kind: "meshkit",
        facts: vec![
            ("node", place(&config.node.name, &config.node.cluster, &config.node.zone)),
            ("listener", config.listener.address.to_string()),
            ("store", config.store.place()),
            ("modules", list(&modules)),
            ("namespaces", list(&namespaces)),
        ],
        policy: check.policy,
        problems: check.problems,
        changes: compared(old, &whole_meshkit(config), loaded, now)?,
    })
}

fn place(name: &str, cluster: &str, zone: &str) -> String {
    match zone {
        "" => format!("{name} in {cluster}"),
        zone => format!("{name} in {cluster}/{zone}"),
    }
}

/// Names in a row.
pub(super) fn list(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
