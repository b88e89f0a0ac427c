//! The relay's own calls to the control plane, behind the transport policy like any other call.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use meshkit_client::{Carrier, Credentials, Failover, MeshClient, Sending, Uncarried};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_client::KeepAlive;
use relay_config::MeshConfig;
use relay_core::{Encoding, RpcStyle};
use relay_enforcement::Checkpoint;
use relay_transport::Body;

use crate::channels::{Channels, Going, Target};

/// Time for one connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
struct MeshCarrier {
    checkpoint: Arc<Checkpoint>,
    channels: Arc<Channels>,
}

/// A client whose calls use what the policy allows at their time.
///
/// # Errors
/// TLS files that cannot be used.
pub(crate) fn client(mesh: &MeshConfig, checkpoint: &Arc<Checkpoint>) -> Result<MeshClient> {
    let first = carrier(mesh, &mesh.endpoint, checkpoint)?;
    let channel = first.channels.all().next().cloned().ok_or_else(|| {
        OperatorError::new(ErrorKind::Config, "no protocol is allowed for calls to the control plane")
            .hint("allow one in `mesh.protocols`")
    })?;
    let fallbacks = mesh.fallbacks.iter().map(|url| {
        let carrier = carrier(mesh, url, checkpoint)?;
        Ok(Arc::new(carrier) as Arc<dyn Carrier>)
    });
    let failover = Failover::new(Arc::new(first), fallbacks.collect::<Result<_>>()?);
    Ok(MeshClient::new(channel, Credentials::none()).with_carrier(Arc::new(failover)))
}

fn carrier(mesh: &MeshConfig, url: &str, checkpoint: &Arc<Checkpoint>) -> Result<MeshCarrier> {
    let target = Target {
        url,
        tls: &mesh.tls,
        protocols: &mesh.protocols,
        connect_timeout: CONNECT_TIMEOUT,
        max_connections: None,
        keep_alive: KeepAlive::default(),
    };
    let channels = Arc::new(Channels::new(&target, &checkpoint.protocol_sets())?);
    Ok(MeshCarrier { checkpoint: Arc::clone(checkpoint), channels })
}

impl Carrier for MeshCarrier {
    fn send(&self, request: Request<Body>) -> Sending {
        let carrier = self.clone();
        Box::pin(async move {
            let procedure = request.uri().path().trim_start_matches('/').to_owned();
            let (checkpoint, url) = (&carrier.checkpoint, carrier.channels.url());
            let going = Going::open(checkpoint, RpcStyle::Grpc, Encoding::Protobuf, &procedure, url);
            Ok(going.map_err(Uncarried::refused)?.send(&carrier.channels, request).await?)
        })
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            for channel in self.channels.all() {
                channel.close().await;
            }
        })
    }
}
