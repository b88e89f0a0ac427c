//! h3 with quinn and the adapter that h3 publishes: nothing else.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use omnirelay_runtime::Result;
use quinn::TransportConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::tls::{self, ServerTlsConfig};

use super::{Caller, EndOnDrop, Guard, Serving, failed};

pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(super) async fn connect(ca: &TestCa, port: u16, connections: usize) -> Result<(Vec<Caller>, Guard)> {
    let open = open(ca, port, connections).await;
    open.map_err(|error| failed("h3 with quinn cannot connect", error.as_ref()))
}

async fn open(ca: &TestCa, port: u16, connections: usize) -> Result<(Vec<Caller>, Guard), Failure> {
    let tls_config =
        tls::client_config(&ca.client_tls(None), &[Protocol::Http3]).map_err(|error| error.to_string())?;
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls_config)?));
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into())?;
    let mut callers = Vec::with_capacity(connections);
    let mut guards: Vec<Guard> = Vec::new();
    for _ in 0..connections {
        let connection =
            endpoint.connect_with(config.clone(), ([127, 0, 0, 1], port).into(), "localhost")?.await?;
        let (mut driver, sender) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
        let driving = omnirelay_runtime::spawn("h3-quinn-driver", async move { driver.wait_idle().await });
        guards.push(Box::new(EndOnDrop(driving.abort_handle())));
        callers.push(Arc::new(move |body: Bytes| -> super::Answer {
            let sender = sender.clone();
            Box::pin(async move { call(sender, body).await.map_err(|error| error.to_string()) })
        }) as Caller);
    }
    guards.push(Box::new(endpoint));
    Ok((callers, Box::new(guards)))
}

/// A server of connections that `each` serves.
pub(super) fn serve<E, F>(
    tls: &ServerTlsConfig,
    transport: TransportConfig,
    each: E,
) -> Result<(u16, Serving)>
where
    E: Fn(quinn::Incoming) -> F + Send + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let endpoint =
        listen(tls, transport).map_err(|error| failed("h3 with quinn cannot start", error.as_ref()))?;
    let port = endpoint.local_addr().map_err(|error| failed("the server has no address", &error))?.port();
    let serving = async move {
        while let Some(incoming) = endpoint.accept().await {
            let serving = each(incoming);
            omnirelay_runtime::spawn("h3-quinn-connection", async move {
                // A connection that breaks is the callers' to complain about.
                let _callers_complain = serving.await;
            });
        }
    };
    Ok((port, Box::pin(serving)))
}

/// A server's endpoint at a port of its own.
fn listen(tls_config: &ServerTlsConfig, transport: TransportConfig) -> Result<quinn::Endpoint, Failure> {
    let tls_config = tls::server_config(tls_config, &[Protocol::Http3]).map_err(|error| error.to_string())?;
    let crypto = Arc::new(QuicServerConfig::try_from(tls_config)?);
    let mut config = quinn::ServerConfig::with_crypto(crypto);
    config.transport_config(Arc::new(transport));
    Ok(quinn::Endpoint::server(config, ([127, 0, 0, 1], 0).into())?)
}

async fn call(mut sender: SendRequest<OpenStreams, Bytes>, body: Bytes) -> Result<usize, Failure> {
    let request = http::Request::post("https://localhost/echo").body(())?;
    let mut stream = sender.send_request(request).await?;
    stream.send_data(body).await?;
    stream.finish().await?;
    stream.recv_response().await?;
    let mut size = 0;
    while let Some(data) = stream.recv_data().await? {
        size += data.remaining();
    }
    Ok(size)
}

/// No streams are allowed, so none are kept room for.
pub(super) fn without_streams() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.max_concurrent_bidi_streams(0_u32.into()).max_concurrent_uni_streams(0_u32.into());
    transport
}

/// Keeps a connection on which nothing is said.
pub(super) async fn silence(incoming: quinn::Incoming) -> Result<(), Failure> {
    incoming.await?.closed().await;
    Ok(())
}

/// Serves an echo.
pub(super) async fn connection(incoming: quinn::Incoming) -> Result<(), Failure> {
    let connection = incoming.await?;
    let mut h3 = h3::server::Connection::<_, Bytes>::new(h3_quinn::Connection::new(connection)).await?;
    while let Some(resolver) = h3.accept().await? {
        omnirelay_runtime::spawn("h3-quinn-request", async move {
            let echoed: Result<(), Failure> = async {
                let (_request, mut stream) = resolver.resolve_request().await?;
                let mut body = Vec::new();
                while let Some(mut data) = stream.recv_data().await? {
                    body.push(data.copy_to_bytes(data.remaining()));
                }
                stream.send_response(http::Response::new(())).await?;
                for piece in body {
                    stream.send_data(piece).await?;
                }
                stream.finish().await?;
                Ok(())
            }
            .await;
            drop(echoed);
        });
    }
    Ok(())
}
