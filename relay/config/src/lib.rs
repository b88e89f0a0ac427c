//! A relay's configuration and everything that can be said of it without starting one, so that
//! `omnirelay mesh config validate` needs neither a daemon nor its secrets.
//!
//! Read first: [`RelayConfig`], then [`RelayConfig::check`].

mod check;
mod endpoints;
mod limits;
mod model;
mod outbound;
mod route;
mod schema;
mod shadow;
mod source;
#[cfg(test)]
mod tests;

pub use check::Check;
pub use endpoints::{CONTROL_PLANE, DATA, DIAGNOSTICS, outbound_endpoint};
pub use limits::{AdaptiveConfig, CallerKey, PerCallerConfig, RateConfig, RouteLimits};
pub use model::{AccessLogConfig, MeshConfig, NodeConfig, RelayConfig, TracingConfig};
pub use outbound::{
    BalanceConfig, BreakerConfig, BudgetConfig, HealthConfig, KeepAliveConfig, KeyConfig, OutboundConfig,
    OutlierConfig, ProbeKind, StrategyName,
};
pub use route::{
    HeaderCondition, HedgeConfig, RespondConfig, RetryConfig, RewriteConfig, RouteConfig, SplitConfig,
    route_names,
};
pub use schema::schema;
pub use shadow::ShadowConfig;
pub use source::{DnsConfig, MeshPeersConfig, PeerConfig};
