//! The relay's own calls to the control plane, behind the transport policy like any other call.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use meshkit_client::{Carrier, Credentials, MeshClient, Sending};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_client::KeepAlive;
use relay_config::MeshConfig;
use relay_core::{Encoding, RpcStyle, Status};
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
pub(crate) fn client(mesh: &MeshConfig, checkpoint: Arc<Checkpoint>) -> Result<MeshClient> {
    let target = Target {
        url: &mesh.endpoint,
        tls: &mesh.tls,
        protocols: &mesh.protocols,
        connect_timeout: CONNECT_TIMEOUT,
        max_connections: None,
        keep_alive: KeepAlive::default(),
    };
    let channels = Arc::new(Channels::new(&target, &checkpoint.protocol_sets())?);
    let channel = channels.all().next().cloned().ok_or_else(|| {
        OperatorError::new(ErrorKind::Config, "no protocol is allowed for calls to the control plane")
            .hint("allow one in `mesh.protocols`")
    })?;
    let client = MeshClient::new(channel, Credentials::none());
    Ok(client.with_carrier(Arc::new(MeshCarrier { checkpoint, channels })))
}

impl Carrier for MeshCarrier {
    fn send(&self, request: Request<Body>) -> Sending {
        let carrier = self.clone();
        Box::pin(async move {
            let procedure = request.uri().path().trim_start_matches('/').to_owned();
            let (checkpoint, url) = (&carrier.checkpoint, carrier.channels.url());
            let going = Going::open(checkpoint, RpcStyle::Grpc, Encoding::Protobuf, &procedure, url)?;
            going.send(&carrier.channels, request).await.map_err(Status::from)
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
