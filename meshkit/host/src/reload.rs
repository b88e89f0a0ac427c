//! What of meshkitd follows its configuration while it runs, and how.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use meshkit_config::{MeshkitConfig, ModuleName};
use omnirelay_runtime::bootstrap::Startup;
use omnirelay_runtime::config::{Layers, Loaded, load_kind_all};
use omnirelay_runtime::reload::{Reloader, Reloads, Section, Staged};
use omnirelay_runtime::{OperatorError, Result};
use relay_enforcement::Checkpoints;
use relay_jwks::Keeper;
use relay_transport::ListenerControl;
use relay_transport::auth::Authenticator;

use crate::app::listening;

/// Time beyond the listener's own drain for the modules to write down what they know.
pub(crate) const MODULES_DRAIN: Duration = Duration::from_secs(2);

/// The parts of meshkitd that follow its configuration.
pub(crate) struct Parts {
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) keeper: Keeper,
    pub(crate) listener: ListenerControl,
}

/// Reads and checks the whole configuration; `modules` of the command line stand above it.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read(
    layers: &Layers,
    modules: &[ModuleName],
) -> Result<Loaded<MeshkitConfig>, Vec<OperatorError>> {
    let mut loaded: Loaded<MeshkitConfig> = load_kind_all(layers, "meshkit")?;
    if !modules.is_empty() {
        loaded.value.modules = modules.to_vec();
    }
    let problems = MeshkitConfig::check(&loaded, Timestamp::now()).problems;
    if problems.is_empty() { Ok(loaded) } else { Err(problems) }
}

/// Follows the configuration until the drain.
///
/// # Errors
/// Signals that cannot be received.
pub(crate) fn follow(
    startup: &Startup,
    layers: Layers,
    loaded: &Loaded<MeshkitConfig>,
    modules: Vec<ModuleName>,
    parts: Parts,
) -> Result<Reloads> {
    let again = move |layers: &Layers| read(layers, &modules);
    let mut reloader = Reloader::new(&loaded.value.node.name, layers, loaded, again)?;
    let log = startup.log.clone();
    reloader.section(Section::new("log", &["log"], move |loaded: &Loaded<MeshkitConfig>| {
        let (log, config) = (log.clone(), loaded.value.log.clone());
        // It was checked with the whole.
        Ok(Staged::new(move || drop(log.configure(&config))))
    }));
    let Parts { checkpoints, authenticator, keeper, listener } = parts;
    reloader.section(Section::new("auth", &["auth"], move |loaded: &Loaded<MeshkitConfig>| {
        let known = authenticator.again(&loaded.value.auth)?;
        let keys = keeper.prepare(&known).map_err(|error| loaded.place("auth.issuers", error))?;
        let authenticator = Arc::clone(&authenticator);
        Ok(Staged::new(move || {
            authenticator.replace(known);
            keys.keep();
        }))
    }));
    let longest = startup.drain_max.clone();
    let keys = &["listener.limits", "listener.tls", "listener.compression"];
    let listeners = Section::new("listener", keys, move |loaded: &Loaded<MeshkitConfig>| {
        let config = listening(&loaded.value);
        let staged = listener.stage(&config).map_err(|error| loaded.place("listener", error))?;
        if staged.is_nothing() {
            return Ok(Staged::nothing());
        }
        let (certificates, longest) = (staged.changes_certificates(), longest.clone());
        let max = config.limits.drain_max() + MODULES_DRAIN;
        let staged = Staged::new(move || {
            staged.commit();
            longest.set(max);
        });
        Ok(if certificates { staged.noting("files of listener.tls") } else { staged })
    });
    reloader.section(listeners.always());
    reloader.section(Section::new("policy", &["policy"], move |loaded: &Loaded<MeshkitConfig>| {
        let staged = checkpoints.stage(&loaded.value.policy, &loaded.value.endpoints());
        Ok(Staged::new(move || staged.commit()))
    }));
    reloader.start(startup)
}
