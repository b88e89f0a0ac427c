//! What a change of configuration downgrades, and where it was written.

use jiff::Timestamp;
use omnirelay_runtime::config::Loaded;
use relay_policy::{Change, Endpoint, PolicyConfig, RouteUse, Side, compare};
use serde_json::{Value, json};

/// A configuration as far as a comparison is about it.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) kind: &'static str,
    pub(super) policy: PolicyConfig,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) routes: Vec<RouteUse>,
}

/// A downgrade with the place in the new configuration that brought it.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) change: Change,
    pub(super) location: Option<String>,
}

impl Whole {
    fn side(&self) -> Side<'_> {
        Side { policy: &self.policy, endpoints: &self.endpoints, routes: &self.routes }
    }
}

/// What gets worse from `old` to `new`, which was loaded as `loaded`.
pub(super) fn since<T>(old: &Whole, new: &Whole, loaded: &Loaded<T>, now: Timestamp) -> Vec<Located> {
    let changes = compare(&old.side(), &new.side(), now);
    let place = |change: Change| {
        let location = loaded.locate(&change.key).map(ToString::to_string);
        Located { change, location }
    };
    changes.into_iter().map(place).collect()
}

impl Located {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "rule": self.change.rule,
            "endpoint": self.change.endpoint,
            "effect": self.change.effect,
            "procedures": self.change.procedures,
            "key": self.change.key,
            "location": self.location,
        })
    }
}
