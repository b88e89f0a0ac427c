//! The mesh's configuration: one document that every node follows, with its history.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::invalid::{Invalid, at_most, check_name, check_text};
use crate::liveness::Liveness;
use crate::merge::merge_patch;

/// What the mesh as a whole is told. What is left out is as each node's own configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MeshConfig {
    /// How peers are judged; in force from the registry's next sweep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryTuning>,
    /// The operator's own, for services to read and watch: at most 256, keys 1 to 128 of
    /// `[a-z0-9.-]`, values up to 4096 bytes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// How peers are judged, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistryTuning {
    /// How often a peer is asked to be heard: 10 to 3 600 000.
    pub heartbeat_interval_ms: u32,
    /// Silence after which it is suspect; more than the interval.
    pub suspect_after_ms: u32,
    /// Silence after which it is dead and owns nothing; more than `suspect_after_ms`.
    pub dead_after_ms: u32,
}

impl RegistryTuning {
    /// What is made of silence.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        Liveness {
            suspect_after: Duration::from_millis(self.suspect_after_ms.into()),
            dead_after: Duration::from_millis(self.dead_after_ms.into()),
        }
    }

    fn validate(&self) -> Result<(), Invalid> {
        if !(10..=3_600_000).contains(&self.heartbeat_interval_ms) {
            return Err(Invalid::new(
                "registry.heartbeatIntervalMs",
                format!("is {}; it is 10 to 3600000", self.heartbeat_interval_ms),
            ));
        }
        if self.suspect_after_ms <= self.heartbeat_interval_ms {
            return Err(Invalid::new(
                "registry.suspectAfterMs",
                format!("is {}; it is more than heartbeatIntervalMs", self.suspect_after_ms),
            ));
        }
        if self.dead_after_ms <= self.suspect_after_ms {
            return Err(Invalid::new(
                "registry.deadAfterMs",
                format!("is {}; it is more than suspectAfterMs", self.dead_after_ms),
            ));
        }
        Ok(())
    }
}

impl MeshConfig {
    /// The most settings.
    pub const MAX_SETTINGS: usize = 256;

    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// The first field that is off.
    pub fn validate(&self) -> Result<(), Invalid> {
        if let Some(registry) = &self.registry {
            registry.validate()?;
        }
        at_most("settings", self.settings.len(), Self::MAX_SETTINGS)?;
        for (key, value) in &self.settings {
            check_name("settings", key, 1, 128)?;
            check_text(&format!("settings.{key}"), value, 4096)?;
        }
        // History keeps whole documents: one of them has to stay small beside a record's bound.
        let size: usize = self.settings.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size > 64 << 10 {
            return Err(Invalid::new("settings", format!("hold {size} bytes; at most 65536 are allowed")));
        }
        Ok(())
    }
}

/// The mesh's configuration as the mesh holds it: the present one, or one of the past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigDocument {
    /// Which version of the configuration this is: 1 at first, one more with every change.
    pub number: u64,
    /// Whether this is the account of a version, kept beside the present one.
    #[serde(default)]
    pub archived: bool,
    /// What it says.
    pub content: MeshConfig,
    /// When it was written.
    pub changed_at: Timestamp,
    /// Who wrote it.
    pub changed_by: String,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
    /// The ticket; empty where none was named.
    #[serde(default)]
    pub ticket: String,
    /// The version that it was taken back to; none where it was patched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_to: Option<u64>,
    /// Grows with every change of this record; the `number` of the present document.
    pub record_version: u64,
}

impl ConfigDocument {
    /// The key of the present document.
    pub const PRESENT: &'static str = "mesh";
    /// Versions that are kept, the present one included.
    pub const KEPT: u64 = 100;

    /// The key of the account of a version. Keys are in the order of versions.
    #[must_use]
    pub fn archive_key(number: u64) -> String {
        format!("{}/{number:020}", Self::PRESENT)
    }

    /// The account that stays when this document is replaced.
    #[must_use]
    pub fn archive(&self) -> Self {
        Self { archived: true, record_version: 0, ..self.clone() }
    }

    /// Who holds none sees this: version 0, which says nothing.
    #[must_use]
    pub fn none() -> Self {
        Self {
            number: 0,
            archived: false,
            content: MeshConfig::default(),
            changed_at: Timestamp::UNIX_EPOCH,
            changed_by: String::new(),
            reason: String::new(),
            ticket: String::new(),
            rolled_back_to: None,
            record_version: 0,
        }
    }

    /// What it would say with a merge patch (RFC 7396), checked.
    ///
    /// # Errors
    /// The first field that is off.
    pub fn patched(&self, patch: &Value) -> Result<MeshConfig, Invalid> {
        let content = merge_patch("config", &self.content, patch)?;
        content.validate()?;
        Ok(content)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(patch: &Value, expected: &str) {
        let outcome = ConfigDocument::none().patched(patch);
        let found = outcome.map_or_else(|invalid| invalid.to_string(), |_| "ok".to_owned());
        assert!(found.starts_with(expected), "{found}");
    }

    #[test]
    fn patches_are_checked_as_the_document_they_make() {
        let tuning =
            |h, s, d| json!({"registry": {"heartbeatIntervalMs": h, "suspectAfterMs": s, "deadAfterMs": d}});
        check(&tuning(1000, 3000, 9000), "ok");
        check(&tuning(1, 3000, 9000), "`registry.heartbeatIntervalMs` is 1");
        check(&tuning(1000, 1000, 9000), "`registry.suspectAfterMs` is 1000");
        check(&tuning(1000, 3000, 3000), "`registry.deadAfterMs` is 3000");
        check(&json!({"registry": {"deadAfterMs": 5}}), "`config` would not be one: missing field");
        check(&json!({"regsitry": {}}), "`config` would not be one: unknown field `regsitry`");
        check(&json!({"settings": {"UPPER": "x"}}), "`settings` has the character 'U'");
        check(&json!({"settings": {"a": 1}}), "`config` would not be one: invalid type");
        check(&json!([]), "`config` is patched by a JSON object");
        let large: BTreeMap<_, _> = (0..20).map(|n| (format!("k{n}"), "x".repeat(4096))).collect();
        check(&json!({ "settings": large }), "`settings` hold 81970 bytes");
    }

    #[test]
    fn a_patch_leaves_the_rest_alone() {
        let mut document = ConfigDocument::none();
        document.content = document.patched(&json!({"settings": {"a": "1", "b": "2"}})).unwrap();
        let content = document.patched(&json!({"settings": {"a": null, "c": "3"}})).unwrap();
        assert_eq!(content.settings.keys().collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn archive_keys_are_in_the_order_of_versions() {
        assert!(ConfigDocument::archive_key(9) < ConfigDocument::archive_key(10));
        assert!(ConfigDocument::archive_key(9).as_str() > ConfigDocument::PRESENT);
    }
}
