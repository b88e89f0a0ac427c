//! A script as it is written: TOML, with a table for each step.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum as _;
use omnirelay_runtime::config::{Layers, load};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::args::{self, Calling, WireEncoding, WireProtocol};

/// The most steps, and the most calls of one: a script is no load.
const MAX_STEPS: usize = 1000;
const MAX_REPEAT: u32 = 10_000;

/// Steps in their order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    #[serde(default)]
    pub(super) steps: Vec<Step>,
}

/// One call, or the same one several times.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// What it is called in the result.
    pub(super) name: String,
    service: String,
    procedure: String,
    /// Empty where it is not given.
    #[serde(default)]
    body: Option<Value>,
    /// `json` or `protobuf`.
    #[serde(default)]
    encoding: Option<String>,
    /// `auto`, `http3`, `http2` or `http1`.
    #[serde(default)]
    protocol: Option<String>,
    #[serde(default)]
    grpc: bool,
    #[serde(default)]
    relay: Option<String>,
    #[serde(default)]
    caller: Option<String>,
    #[serde(default)]
    shard_key: Option<String>,
    /// As `500ms`, `2s`, `1m`.
    #[serde(default)]
    timeout: Option<String>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    descriptor_set: Option<PathBuf>,
    /// How often; 0 and 1 are once.
    #[serde(default)]
    pub(super) repeat: u32,
    #[serde(default)]
    pub(super) expect: Expect,
}

/// What an answer has to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    /// `ok`, a canonical code such as `not-found`, or `no-answer`.
    pub(super) status: String,
    /// What the message of a refusal holds.
    pub(super) message: Option<String>,
    /// The version of HTTP that the answer came over.
    pub(super) protocol: Option<String>,
    /// What the body has; it may have more.
    pub(super) body: Option<Value>,
}

impl Default for Expect {
    fn default() -> Self {
        Self { status: "ok".to_owned(), message: None, protocol: None, body: None }
    }
}

/// Reads a script.
pub(super) fn read(path: &Path) -> Result<Script> {
    let layers = Layers { files: vec![path.to_owned()], ..Layers::default() };
    let script: Script = load(&layers)?.value;
    let odd = |what: String, hint: &str| {
        let error = OperatorError::new(ErrorKind::Config, what).at(path.display().to_string());
        Err(error.hint(hint))
    };
    if script.steps.is_empty() || script.steps.len() > MAX_STEPS {
        let what = format!("the script has {} steps", script.steps.len());
        return odd(what, "write 1 to 1000 of them, each below `[[steps]]`");
    }
    if let Some(step) = script.steps.iter().find(|step| step.repeat > MAX_REPEAT) {
        let what = format!("step `{}` is repeated {} times", step.name, step.repeat);
        return odd(what, "at most 10000 times; `omnirelay bench` is for load");
    }
    let statuses = || script.steps.iter().map(|step| (&step.name, &step.expect.status));
    let known =
        |status: &str| ["ok", "no-answer"].contains(&status) || status.parse::<relay_core::Code>().is_ok();
    if let Some((name, status)) = statuses().find(|(_, status)| !known(status)) {
        let what = format!("step `{name}` expects the status `{status}`, which there is not");
        return odd(what, "write `ok`, `no-answer` or a code such as `not-found`");
    }
    Ok(script)
}

impl Step {
    /// The call as the command line would write it.
    pub(super) fn calling(&self) -> Result<Calling> {
        let odd = |what: &str, found: &str, hint: &str| {
            OperatorError::new(ErrorKind::Config, format!("`{what}` is `{found}`")).hint(hint)
        };
        let encoding = self.encoding.as_deref().map(|found| {
            WireEncoding::from_str(found, false).map_err(|_| odd("encoding", found, "it is json or protobuf"))
        });
        let protocol = self.protocol.as_deref().map(|found| {
            let hint = "it is auto, http3, http2 or http1";
            WireProtocol::from_str(found, false).map_err(|_| odd("protocol", found, hint))
        });
        let timeout = self
            .timeout
            .as_deref()
            .map(|found| args::duration(found).map_err(|hint| odd("timeout", found, &hint)));
        Ok(Calling {
            service: self.service.clone(),
            procedure: self.procedure.clone(),
            body: self.body.as_ref().map_or("{}".to_owned(), Value::to_string),
            encoding: encoding.transpose()?,
            protocol: protocol.transpose()?.unwrap_or_default(),
            relay: self.relay.clone(),
            caller: self.caller.clone().unwrap_or_else(|| "omnirelay-cli".to_owned()),
            shard_key: self.shard_key.clone(),
            timeout: timeout.transpose()?.unwrap_or(Duration::from_secs(2)),
            headers: self.headers.clone().into_iter().collect(),
            grpc: self.grpc,
            descriptor_set: self.descriptor_set.clone(),
        })
    }
}
