//! `[membership]`: how this node gossips with others.

use std::net::SocketAddr;
use std::time::Duration;

use omnirelay_runtime::config::Problems;
use serde::{Deserialize, Serialize};

use crate::model::MeshkitConfig;

/// The most seeds.
const SEEDS: usize = 64;

/// How this node gossips with others: over UDP, with the certificate of `listener.tls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembershipConfig {
    /// The UDP address that gossip is taken at.
    pub address: SocketAddr,
    /// Where others reach it, where that is another address.
    #[serde(default)]
    pub advertise: Option<SocketAddr>,
    /// `host:port` of some that are there already; all addresses of a name are asked, and this node's own does
    /// no harm.
    #[serde(default)]
    pub seeds: Vec<String>,
    /// The SPIFFE ids that may gossip, or the beginnings of some followed by `*`.
    pub allow: Vec<String>,
    /// How often one member is probed, in milliseconds: 50 to 60 000.
    #[serde(default = "half_a_second")]
    pub probe_interval_ms: u32,
    /// How long an answer may take before others are asked to probe, in milliseconds: 10 to less than half of
    /// `probe_interval_ms`.
    #[serde(default = "probe_timeout")]
    pub probe_timeout_ms: u32,
    /// How long a suspect has to speak up before it counts as dead, in milliseconds: at least twice
    /// `probe_interval_ms`, at most 600 000.
    #[serde(default = "two_seconds")]
    pub suspicion_ms: u32,
    /// How often news is told beside the probes, in milliseconds: 10 to 60 000.
    #[serde(default = "gossip_interval")]
    pub gossip_interval_ms: u32,
    /// How long those who left or died are remembered, in seconds: 10 to 604 800.
    #[serde(default = "an_hour")]
    pub forget_after_s: u32,
}

const fn half_a_second() -> u32 {
    500
}

const fn probe_timeout() -> u32 {
    150
}

const fn two_seconds() -> u32 {
    2_000
}

const fn gossip_interval() -> u32 {
    100
}

const fn an_hour() -> u32 {
    3_600
}

impl MembershipConfig {
    /// How often one member is probed.
    #[must_use]
    pub fn probe_interval(&self) -> Duration {
        Duration::from_millis(self.probe_interval_ms.into())
    }

    /// How long an answer may take.
    #[must_use]
    pub fn probe_timeout(&self) -> Duration {
        Duration::from_millis(self.probe_timeout_ms.into())
    }

    /// How long a suspect has to speak up.
    #[must_use]
    pub fn suspicion(&self) -> Duration {
        Duration::from_millis(self.suspicion_ms.into())
    }

    /// How often news is told.
    #[must_use]
    pub fn gossip_interval(&self) -> Duration {
        Duration::from_millis(self.gossip_interval_ms.into())
    }

    /// How long those who are gone are remembered.
    #[must_use]
    pub fn forget_after(&self) -> Duration {
        Duration::from_secs(self.forget_after_s.into())
    }
}

pub(crate) fn check(config: &MeshkitConfig, found: &mut Problems<'_, MeshkitConfig>) {
    let Some(membership) = &config.membership else { return };
    check_addresses(membership, found);
    if config.listener.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none()) {
        let problem = "`membership` cannot verify who gossips: `listener.tls.client_ca` is missing";
        found.say("membership", problem, "name the authority of the members' certificates there");
    }
    if membership.allow.is_empty() {
        let remedy = "name the SPIFFE ids of this mesh's meshkitd, with a last `*` for all that begin so";
        found.say("membership.allow", "`membership.allow` is empty: nobody may gossip", remedy);
    }
    for (index, pattern) in membership.allow.iter().enumerate() {
        if !pattern.starts_with("spiffe://") {
            let key = format!("membership.allow.{index}");
            let problem = format!("`{key}` is not a SPIFFE id: `{}`", pattern.escape_debug());
            found.say(&key, &problem, "write `spiffe://domain/path`, with a last `*` for all that begin so");
        }
    }
    let probe = membership.probe_interval_ms;
    for (key, value, least, most) in [
        ("probe_interval_ms", probe, 50, 60_000),
        ("probe_timeout_ms", membership.probe_timeout_ms, 10, (probe / 2).saturating_sub(1)),
        ("suspicion_ms", membership.suspicion_ms, probe.saturating_mul(2), 600_000),
        ("gossip_interval_ms", membership.gossip_interval_ms, 10, 60_000),
        ("forget_after_s", membership.forget_after_s, 10, 604_800),
    ] {
        if !(least..=most).contains(&value) {
            let key = format!("membership.{key}");
            found.say(&key, &format!("`{key}` is {value}"), &format!("choose {least} to {most}"));
        }
    }
}

fn check_addresses(membership: &MembershipConfig, found: &mut Problems<'_, MeshkitConfig>) {
    let reached = membership.advertise.unwrap_or(membership.address);
    if reached.ip().is_unspecified() {
        let (key, problem) = match membership.advertise {
            Some(_) => {
                ("membership.advertise", "`membership.advertise` is no address that others can send to")
            }
            None => {
                ("membership.address", "`membership.address` is every address: others need one to send to")
            }
        };
        found.say(key, problem, "name this node's address in `membership.advertise`");
    }
    if membership.advertise.is_some_and(|advertise| advertise.port() == 0) {
        let problem = "`membership.advertise` has no port";
        found.say("membership.advertise", problem, "write `ip:port` as others reach it");
    }
    if membership.seeds.len() > SEEDS {
        let problem = format!("`membership.seeds` names {}", membership.seeds.len());
        found.say("membership.seeds", &problem, &format!("name at most {SEEDS}; a few are enough"));
    }
    for (index, seed) in membership.seeds.iter().enumerate() {
        let port = seed.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if port.and_then(|(_, port)| port.parse::<u16>().ok()).is_none_or(|port| port == 0) {
            let key = format!("membership.seeds.{index}");
            let problem = format!("`{key}` is `{}`", seed.escape_debug());
            found.say(&key, &problem, "write `host:port`, where another meshkitd takes gossip");
        }
    }
}
