//! Whether a process answers.

use std::time::Duration;

use http::{Request, StatusCode};
use omnirelay_runtime::Result;
use relay_client::Channel;
use relay_core::Protocol;
use relay_transport::{Body, body};
use tokio::sync::watch;

use crate::dev::{Component, DevMesh};
use crate::output::printable;
use crate::remote;

/// How often a process that is starting is asked.
const EVERY: Duration = Duration::from_millis(5);
/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is read of why a process is not ready.
const MAX_REASON_BYTES: usize = 1 << 10;

/// Asks one process until it is ready.
pub(super) struct Probe {
    channel: Channel,
    authority: String,
    uri: String,
    /// Why the process is not ready, as far as it says so.
    reason: watch::Sender<String>,
}

impl Probe {
    pub(super) fn new(mesh: &DevMesh, component: &Component) -> Result<Self> {
        let url = component.admin_url.as_ref().unwrap_or(&component.url);
        let tls = remote::client_tls(Some(&mesh.ca), Some((&mesh.operator_certificate, &mesh.operator_key)));
        Ok(Self {
            reason: watch::Sender::default(),
            channel: remote::channel(url, tls, vec![Protocol::Http2], PATIENCE)?,
            authority: url.trim_start_matches("https://").to_owned(),
            uri: component.ready_url.trim_start_matches(url.as_str()).to_owned(),
        })
    }

    /// Why the process is not ready, in its own words; empty while it says nothing.
    pub(super) fn reason(&self) -> watch::Receiver<String> {
        self.reason.subscribe()
    }

    /// Returns once the process says that it is ready.
    pub(super) async fn wait(&self) {
        // A refused connection costs nothing; a channel would remember it as a broken path.
        while tokio::net::TcpStream::connect(&self.authority).await.is_err() {
            tokio::time::sleep(EVERY).await;
        }
        while !self.ask().await {
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn ask(&self) -> bool {
        let Ok(request) = Request::get(&self.uri).body(body::empty()) else {
            return false;
        };
        match tokio::time::timeout(PATIENCE, self.channel.send(request)).await {
            Ok(Ok(response)) if response.status().is_success() => true,
            Ok(Ok(response)) => {
                let status = response.status();
                self.note(status, response.into_body()).await;
                false
            }
            _ => false,
        }
    }

    async fn note(&self, status: StatusCode, body: Body) {
        let said = body::collect_limited(body, MAX_REASON_BYTES).await.unwrap_or_default();
        let said = printable(&String::from_utf8_lossy(&said));
        self.reason.send_replace(format!("it answers {status}: {}", said.trim()));
    }
}
