//! Our listener and our channel.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use omnirelay_runtime::{DrainController, Metrics, Result};
use relay_client::{Channel, ChannelConfig, ChannelError};
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::tls::ServerTlsConfig;
use relay_transport::{Body, Limits, Listener, ListenerConfig, body};

use super::{Caller, Guard, Serving, grpc};

/// What goes over it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bodies as they are.
    Raw,
    /// tonic's gRPC.
    Grpc,
}

/// What an echo of many connections needs.
fn limits() -> Limits {
    Limits {
        max_connections: 100_000,
        max_connections_per_address: 100_000,
        max_handshakes: 100_000,
        retry_above_handshakes: 100_000,
        max_requests_in_flight: 100_000,
        idle_timeout_ms: 3_600_000,
        ..Limits::default()
    }
}

/// The echo as a service of the listener.
async fn echo(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(request.into_body()))
}

async fn echo_grpc(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(grpc::serve(request.map(tonic::body::Body::new)).await.map(body::boxed))
}

pub(super) fn serve(tls: &ServerTlsConfig, protocol: Protocol, kind: Kind) -> Result<(u16, Serving)> {
    let config = ListenerConfig {
        protocols: vec![protocol],
        limits: limits(),
        ..ListenerConfig::new(([127, 0, 0, 1], 0), tls.clone())
    };
    let listener = Listener::bind("bench", &config, &Metrics::default())?;
    let port = listener.local_addr().port();
    let serving: Serving = Box::pin(async move {
        let controller = DrainController::new();
        let drain = controller.drain();
        match kind {
            Kind::Raw => listener.serve(tower::service_fn(echo), drain).await,
            Kind::Grpc => listener.serve(tower::service_fn(echo_grpc), drain).await,
        }
    });
    Ok((port, serving))
}

pub(super) fn connect(
    ca: &TestCa,
    port: u16,
    protocol: Protocol,
    connections: usize,
    kind: Kind,
) -> Result<(Vec<Caller>, Guard)> {
    let url = format!("https://localhost:{port}");
    let mut channel_config = ChannelConfig::new(url, ca.client_tls(None));
    channel_config.protocols = vec![protocol];
    let mut callers = Vec::with_capacity(connections);
    let mut channels = Vec::with_capacity(connections);
    for _ in 0..connections {
        let channel = Channel::new(&channel_config)?;
        channels.push(channel.clone());
        callers.push(match kind {
            Kind::Raw => Arc::new(move |body: Bytes| -> super::Answer {
                let channel = channel.clone();
                Box::pin(async move { call(&channel, body).await })
            }) as Caller,
            Kind::Grpc => Arc::new(move |body: Bytes| -> super::Answer {
                let channel = GrpcChannel(channel.clone());
                Box::pin(async move { grpc::call(channel, body).await })
            }) as Caller,
        });
    }
    Ok((callers, Box::new(channels)))
}

async fn call(channel: &Channel, body: Bytes) -> Result<usize, String> {
    let mut request = Request::new(body::full(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static("/echo");
    let response = channel.send(request).await.map_err(|error| error.to_string())?;
    let mut incoming = response.into_body();
    let mut size = 0;
    while let Some(frame) = incoming.frame().await {
        size += frame.map_err(|error| error.to_string())?.data_ref().map_or(0, Bytes::len);
    }
    Ok(size)
}

/// The channel as tonic wants it.
#[derive(Clone)]
struct GrpcChannel(Channel);

impl tower::Service<Request<tonic::body::Body>> for GrpcChannel {
    type Response = Response<Body>;
    type Error = ChannelError;
    type Future = <Channel as tower::Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        self.0.call(request.map(body::boxed))
    }
}
