//! Where the peers of an outbound come from.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// One peer: its URL alone, or a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerConfig {
    /// `https://host:port`; on this machine also `http://127.0.0.1:port` and `unix:/absolute/path`, without TLS.
    pub url: String,
    /// Its share of the calls beside others': 1 to 100.
    pub weight: u32,
    /// Where it stands; empty for nowhere.
    pub zone: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PeerTable {
    /// `https://host:port`; on this machine also `http://127.0.0.1:port` and `unix:/absolute/path`, without TLS.
    url: String,
    /// Its share of the calls beside others': 1 to 100.
    #[serde(default = "one")]
    weight: u32,
    /// Where it stands; empty for nowhere.
    #[serde(default)]
    zone: String,
}

impl JsonSchema for PeerConfig {
    fn schema_name() -> Cow<'static, str> {
        "PeerConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = PeerTable::json_schema(generator);
        json_schema!({
            "description": "One peer: its URL alone, or a table.",
            "anyOf": [{ "type": "string", "description": "`https://host:port`; on this machine also `http://127.0.0.1:port` and `unix:/absolute/path`, without TLS." }, table],
        })
    }
}

impl<'de> Deserialize<'de> for PeerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UrlOrTable;

        impl<'de> Visitor<'de> for UrlOrTable {
            type Value = PeerConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`https://host:port`, or a table with `url`, `weight` and `zone`")
            }

            fn visit_str<E>(self, url: &str) -> Result<PeerConfig, E> {
                Ok(PeerConfig { url: url.to_owned(), weight: 1, zone: String::new() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PeerConfig, A::Error> {
                let PeerTable { url, weight, zone } =
                    Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(PeerConfig { url, weight, zone })
            }
        }

        deserializer.deserialize_any(UrlOrTable)
    }
}

/// Peers by name: each address is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsConfig {
    /// The name; it is also the one that certificates are checked against.
    pub name: String,
    /// The port of every peer.
    pub port: u16,
    /// Milliseconds between two looks at least, whatever the answer's time to live says.
    #[serde(default = "default_min_ttl_ms")]
    pub min_ttl_ms: u64,
    /// Milliseconds after which is looked again at the latest.
    #[serde(default = "default_max_ttl_ms")]
    pub max_ttl_ms: u64,
    /// `address:port` of name servers; left out: the system's.
    #[serde(default)]
    pub servers: Vec<std::net::SocketAddr>,
}

/// Peers as the control plane of the section `mesh` tells them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeshPeersConfig {
    /// The service whose peers they are; those that are alive or suspect get calls.
    pub service: String,
    /// The namespace whose shards they own: a call with an `Rpc-Shard-Key` goes to the owner of the key's shard.
    #[serde(default)]
    pub namespace: Option<String>,
}

const fn one() -> u32 {
    1
}

const fn default_min_ttl_ms() -> u64 {
    1_000
}

const fn default_max_ttl_ms() -> u64 {
    60_000
}
