//! Which calls go where, and what becomes of them on the way.

use std::collections::BTreeMap;

use relay_core::Code;
use relay_core::fault::Fault;
use relay_transport::auth::AllowRule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::RouteLimits;
use crate::shadow::ShadowConfig;

/// Which calls go where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// What metrics, logs and operators call it: 1 to 64 of `[a-z0-9.-]`. Its service without it.
    #[serde(default)]
    pub name: Option<String>,
    /// The `Rpc-Service` of the calls.
    pub service: String,
    /// Their procedures; a last `*` stands for anything, and none at all for every procedure.
    #[serde(default)]
    pub procedures: Vec<String>,
    /// gRPC services (`package.Service`) that belong to the service too.
    #[serde(default)]
    pub grpc_services: Vec<String>,
    /// Who calls (`Rpc-Caller`); a last `*` stands for anything, and none at all for everybody.
    #[serde(default)]
    pub callers: Vec<String>,
    /// Which shards are meant (`Rpc-Shard-Key`), in the same manner.
    #[serde(default)]
    pub shard_keys: Vec<String>,
    /// What headers have to be; every one of them.
    #[serde(default)]
    pub headers: Vec<HeaderCondition>,
    /// Who may call, by certificate or token: one of them at least has to hold, and none at all is everybody whom the
    /// listener lets in. A call that may not goes to no other route.
    #[serde(default)]
    pub allow: Vec<AllowRule>,
    /// The outbound that takes the calls.
    #[serde(default)]
    pub outbound: Option<String>,
    /// Several outbounds that share the calls by weight.
    #[serde(default)]
    pub split: Vec<SplitConfig>,
    /// What the relay answers itself.
    #[serde(default)]
    pub respond: Option<RespondConfig>,
    /// What is changed on the way out.
    #[serde(default)]
    pub rewrite: RewriteConfig,
    /// Milliseconds that a call may take at most, whatever its caller says.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Whether carrying a call out twice does what carrying it out once does.
    #[serde(default)]
    pub idempotent: bool,
    /// When a call is tried again that may have had an effect.
    #[serde(default)]
    pub retries: RetryConfig,
    /// When a second peer is asked before the first has answered.
    #[serde(default)]
    pub hedge: Option<HedgeConfig>,
    /// Bounds of the route's calls.
    #[serde(default)]
    pub limits: RouteLimits,
    /// What is done to calls on purpose, to see what becomes of it.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// Copies of calls for another outbound.
    #[serde(default)]
    pub shadow: Option<ShadowConfig>,
}

/// What a header has to be: one of the three.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderCondition {
    /// The header.
    pub name: String,
    /// All of its value.
    #[serde(default)]
    pub exact: Option<String>,
    /// The beginning of its value.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Whether it is there at all.
    #[serde(default)]
    pub present: Option<bool>,
}

/// One of several outbounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitConfig {
    /// The outbound.
    pub outbound: String,
    /// Its share beside the others', 0 to 10000.
    pub weight: u32,
}

/// What the relay answers itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RespondConfig {
    /// The outcome.
    pub code: Code,
    /// Words for the caller where it is a failure.
    #[serde(default)]
    pub message: String,
    /// The answer's message where it is a success.
    #[serde(default)]
    pub body: String,
}

/// What is changed on the way out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RewriteConfig {
    /// The service that is called instead.
    pub service: Option<String>,
    /// The procedure that is called instead; a last `*` stands for what the route's own `*` stood for.
    pub procedure: Option<String>,
    /// Headers that replace those of the same name.
    pub set: BTreeMap<String, String>,
    /// Headers that stand beside those of the same name.
    pub add: BTreeMap<String, String>,
    /// Headers that are taken away, before the others are written.
    pub remove: Vec<String>,
}

/// When a call is tried again that may have had an effect. What certainly had none is always tried
/// elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// How often, 0 to 10.
    pub max: u32,
    /// The outcomes to try again after.
    pub on: Vec<Code>,
    /// Milliseconds that the first wait is at most; the bound doubles.
    pub base_ms: u64,
    /// Milliseconds that any wait is at most.
    pub max_ms: u64,
    /// Milliseconds that one try of an idempotent call may take.
    pub try_timeout_ms: Option<u64>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { max: 0, on: vec![Code::Unavailable], base_ms: 25, max_ms: 250, try_timeout_ms: None }
    }
}

/// When another peer is asked before the first has answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HedgeConfig {
    /// Milliseconds without an answer.
    pub after_ms: u64,
    /// How many more peers are asked, one after the other: 1 to 3.
    #[serde(default = "one")]
    pub max: u32,
}

const fn one() -> u32 {
    1
}

/// What each of a list of routes is called: its own name or its service, and a number behind where several would
/// be called the same.
#[must_use]
pub fn route_names(routes: &[RouteConfig]) -> Vec<String> {
    let mut counts = BTreeMap::<&str, u32>::new();
    let names = routes.iter().map(|route| route.name.as_deref().unwrap_or(&route.service));
    let name = |name| {
        let count = counts.entry(name).or_default();
        *count += 1;
        if *count == 1 { name.to_owned() } else { format!("{name}#{count}") }
    };
    names.map(name).collect()
}

impl RouteConfig {
    /// The outbounds that take the route's calls.
    pub fn outbounds(&self) -> impl Iterator<Item = &str> {
        self.outbound.as_deref().into_iter().chain(self.split.iter().map(|split| split.outbound.as_str()))
    }

    /// Whether it takes the same calls as another one, whatever it does with them.
    #[must_use]
    pub fn takes_the_same(&self, other: &Self) -> bool {
        self.service == other.service
            && self.procedures == other.procedures
            && self.grpc_services == other.grpc_services
            && self.callers == other.callers
            && self.shard_keys == other.shard_keys
            && self.headers == other.headers
    }

    /// Whether everything that another route takes this one takes too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.service == other.service
            && covers_words(&self.procedures, &other.procedures)
            && self.covers_conditions(other)
    }

    /// Whether everything that meets another route's conditions meets this one's too.
    #[must_use]
    pub fn covers_conditions(&self, other: &Self) -> bool {
        covers_words(&self.callers, &other.callers)
            && covers_words(&self.shard_keys, &other.shard_keys)
            && self.headers.iter().all(|own| other.headers.iter().any(|other| own.follows_from(other)))
    }
}

impl HeaderCondition {
    /// Whether whoever meets the other condition meets this one.
    fn follows_from(&self, other: &Self) -> bool {
        let value = other.exact.as_deref().or(other.prefix.as_deref());
        self.name.eq_ignore_ascii_case(&other.name)
            && match (&self.exact, &self.prefix, self.present) {
                (Some(exact), ..) => other.exact.as_ref() == Some(exact),
                (_, Some(prefix), _) => value.is_some_and(|value| value.starts_with(prefix.as_str())),
                (_, _, Some(true)) => value.is_some() || other.present == Some(true),
                (_, _, Some(false)) => other.present == Some(false),
                (None, None, None) => false,
            }
    }
}

/// Whether everything that the second list of patterns takes the first takes too; an empty one takes all.
fn covers_words(own: &[String], other: &[String]) -> bool {
    let covered = |pattern: &String| {
        let beginning = pattern.strip_suffix('*').unwrap_or(pattern);
        own.iter().any(|own| match own.strip_suffix('*') {
            Some(own) => beginning.starts_with(own),
            None => own == pattern,
        })
    };
    own.is_empty() || (!other.is_empty() && other.iter().all(covered))
}
