//! Active health: asks a peer how it is, at intervals.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::uri::Scheme;
use http::{HeaderValue, Request, Uri};
use omnirelay_runtime::Drain;
use relay_balance::{Health, Thresholds};
use relay_config::{HealthConfig, ProbeKind};
use relay_core::{Code, headers};
use relay_transport::{Body, body, respond};
use tokio::net::TcpStream;

use crate::outbound::Outbound;
use crate::outbound::peer::Peer;

/// The most of a probe's answer that is read.
const MAX_ANSWER: usize = 4 << 10;
/// Where gRPC's health protocol is served (`grpc/health/v1/health.proto`).
const GRPC_PATH: &str = "/grpc.health.v1.Health/Check";
/// The field `status` of its answer with the value `SERVING`.
const SERVING: [u8; 2] = [0x08, 0x01];

/// Probes a peer for as long as its outbound has it.
pub(super) async fn follow(outbound: Weak<Outbound>, peer: Weak<Peer>, config: HealthConfig, drain: Drain) {
    let thresholds = Thresholds { unhealthy: config.unhealthy_after, healthy: config.healthy_after };
    let interval = Duration::from_millis(config.interval_ms);
    let mut health = Health::default();
    loop {
        let random = {
            let (Some(outbound), Some(peer)) = (outbound.upgrade(), peer.upgrade()) else { return };
            let asked = tokio::time::timeout(Duration::from_millis(config.timeout_ms), ask(&peer, &config));
            let failed = match asked.await {
                Ok(answer) => answer.err(),
                Err(_elapsed) => Some(format!("no answer within {} ms", config.timeout_ms)),
            };
            if health.observe(failed.is_none(), thresholds) {
                outbound.fleet.probed(&peer, health.is_up(), outbound.now());
                match failed {
                    None => {
                        tracing::info!(outbound = outbound.name(), peer = peer.url(), "the peer is healthy");
                    }
                    Some(cause) => {
                        tracing::warn!(
                            outbound = outbound.name(),
                            peer = peer.url(),
                            cause,
                            "the peer is unhealthy"
                        );
                    }
                }
            }
            outbound.dice.roll()
        };
        // Relays that started together do not probe together for long.
        let early =
            interval.mul_f64(0.1 * f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX));
        tokio::select! {
            () = tokio::time::sleep(interval.saturating_sub(early)) => {}
            () = drain.started() => return,
        }
    }
}

/// Asks once.
///
/// # Errors
/// Why the peer is not healthy.
async fn ask(peer: &Arc<Peer>, config: &HealthConfig) -> Result<(), String> {
    match config.kind {
        ProbeKind::Tcp => {
            #[cfg(unix)]
            if let Some(path) = peer.url().strip_prefix("unix:") {
                let connected = tokio::net::UnixStream::connect(path).await;
                return connected.map(drop).map_err(|error| error.to_string());
            }
            let uri: Uri = peer.url().parse().map_err(|_| "the URL is none".to_owned())?;
            let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
            let port = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
            let connected = TcpStream::connect((host, uri.port_u16().unwrap_or(port))).await;
            connected.map(drop).map_err(|error| error.to_string())
        }
        ProbeKind::Http => {
            let request =
                Request::get(&config.path).body(body::empty()).map_err(|error| error.to_string())?;
            let status = send(peer, request).await?.status();
            if status.is_success() { Ok(()) } else { Err(format!("`{}` answers {status}", config.path)) }
        }
        ProbeKind::Grpc => {
            let response = send(peer, grpc_request(&config.service)).await?;
            let status = respond::read_grpc_status(response.headers()).map(|status| status.code);
            let answer = body::collect_limited(response.into_body(), MAX_ANSWER).await;
            let answer = answer.map_err(|status| status.to_string())?;
            match status {
                None | Some(Code::Ok) if answer.get(5..) == Some(&SERVING) => Ok(()),
                Some(code) => Err(format!("the health service answers {code}")),
                None => Err("the health service does not answer SERVING".to_owned()),
            }
        }
    }
}

async fn send(peer: &Peer, request: Request<Body>) -> Result<http::Response<Body>, String> {
    let channel = peer.channels.all().next().ok_or_else(|| "no protocol is allowed".to_owned())?;
    channel.send(request).await.map_err(|error| relay_core::Status::from(&error).message)
}

/// `HealthCheckRequest { service }` as one message of gRPC.
fn grpc_request(service: &str) -> Request<Body> {
    let mut name = BytesMut::new();
    if !service.is_empty() {
        name.put_u8(0x0a);
        let mut length = service.len();
        while length > 0x7f {
            name.put_u8(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
            length >>= 7;
        }
        name.put_u8(u8::try_from(length).unwrap_or(0));
        name.extend_from_slice(service.as_bytes());
    }
    let mut message = BytesMut::new();
    message.put_u8(0);
    message.put_u32(u32::try_from(name.len()).unwrap_or(0));
    message.extend_from_slice(&name);
    let mut request = Request::new(body::full(message.freeze()));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = Uri::from_static(GRPC_PATH);
    let fields = request.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(TE, HeaderValue::from_static("trailers"));
    fields.insert(headers::RPC_CALLER, HeaderValue::from_static("relayd"));
    request
}
