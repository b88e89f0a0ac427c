//! What is wrong with what routes do to calls beside sending them on.

use omnirelay_runtime::config::Problems;

use super::is_name;
use crate::model::RelayConfig;
use crate::route::RouteConfig;

pub(super) fn check(config: &RelayConfig, index: usize, key: &str, found: &mut Problems<'_, RelayConfig>) {
    let Some(route) = config.routes.get(index) else { return };
    check_name(config.routes.get(..index).unwrap_or_default(), key, route, found);
    check_fault(key, route, found);
}

fn check_name(
    earlier: &[RouteConfig],
    key: &str,
    route: &RouteConfig,
    found: &mut Problems<'_, RelayConfig>,
) {
    let Some(name) = &route.name else { return };
    if !is_name(name, 1, 64) {
        let problem = format!("`{name}` is not a route's name");
        found.say(&format!("{key}.name"), &problem, "use 1 to 64 of a-z, 0-9, `.` and `-`");
    }
    if let Some(first) = earlier.iter().position(|earlier| earlier.name.as_ref() == Some(name)) {
        let problem = format!("`routes.{first}` is called `{name}` already");
        found.say(&format!("{key}.name"), &problem, "give each route a name of its own, or none");
    }
}

fn check_fault(key: &str, route: &RouteConfig, found: &mut Problems<'_, RelayConfig>) {
    let Some(fault) = &route.fault else { return };
    if let Some((problem, remedy)) = fault.problem() {
        found.say(&format!("{key}.fault"), problem, remedy);
    }
    if fault.is_nothing() {
        found.say(&format!("{key}.fault"), "the fault does nothing", "write `delay`, `abort` or both");
    }
}
