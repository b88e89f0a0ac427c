//! Whether a process answers.

use std::time::Duration;

use http::Request;
use omnirelay_runtime::Result;
use relay_client::Channel;
use relay_core::Protocol;
use relay_transport::body;

use crate::dev::{Component, DevMesh};
use crate::remote;

/// How often a process that is starting is asked.
const EVERY: Duration = Duration::from_millis(5);
/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks one process until it is ready.
pub(super) struct Probe {
    channel: Channel,
    authority: String,
    uri: String,
}

impl Probe {
    pub(super) fn new(mesh: &DevMesh, component: &Component) -> Result<Self> {
        let url = component.admin_url.as_ref().unwrap_or(&component.url);
        let tls = remote::client_tls(Some(&mesh.ca), Some((&mesh.operator_certificate, &mesh.operator_key)));
        Ok(Self {
            channel: remote::channel(url, tls, vec![Protocol::Http2], PATIENCE)?,
            authority: url.trim_start_matches("https://").to_owned(),
            uri: component.ready_url.trim_start_matches(url.as_str()).to_owned(),
        })
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
            Ok(Ok(response)) => response.status().is_success(),
            _ => false,
        }
    }
}
