//! tonic as it comes, over TLS.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use omnirelay_runtime::Result;
use relay_testkit::TestCa;
use relay_transport::tls::ServerTlsConfig;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server};

use super::{Caller, Guard, Serving, failed, grpc};

#[derive(Clone)]
struct EchoService;

impl tonic::server::NamedService for EchoService {
    const NAME: &'static str = "bench.Echo";
}

impl tower::Service<http::Request<tonic::body::Body>> for EchoService {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = std::result::Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move { Ok(grpc::serve(request).await) })
    }
}

pub(super) async fn serve(tls: &ServerTlsConfig) -> Result<(u16, Serving)> {
    let io = |error: std::io::Error| failed("tonic cannot listen", &error);
    let broken = |error: tonic::transport::Error| failed("tonic cannot start", &error);
    let read = |path: &Path| std::fs::read(path).map_err(io);
    let identity = Identity::from_pem(read(&tls.certificate)?, read(&tls.private_key)?);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(io)?;
    let port = listener.local_addr().map_err(io)?.port();
    // As tonic's own `serve` does it; sockets that it is handed stay as they are.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder()
        .tls_config(tonic::transport::ServerTlsConfig::new().identity(identity))
        .map_err(broken)?
        .add_service(EchoService);
    let serving: Serving = Box::pin(async move {
        // Connections that break are the callers' to complain about.
        let _callers_complain = server.serve_with_incoming(incoming).await;
    });
    Ok((port, serving))
}

pub(super) async fn connect(ca: &TestCa, port: u16, connections: usize) -> Result<(Vec<Caller>, Guard)> {
    let broken = |error: tonic::transport::Error| failed("tonic cannot connect", &error);
    let authority = std::fs::read(ca.ca()).map_err(|error| failed("there is no authority", &error))?;
    let tls =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority)).domain_name("localhost");
    let mut callers = Vec::with_capacity(connections);
    for _ in 0..connections {
        let endpoint = Endpoint::from_shared(format!("https://localhost:{port}")).map_err(broken)?;
        let endpoint = endpoint.tls_config(tls.clone()).map_err(broken)?.tcp_nodelay(true);
        let channel = endpoint.connect().await.map_err(broken)?;
        callers.push(Arc::new(move |body: Bytes| -> super::Answer {
            let channel = channel.clone();
            Box::pin(grpc::call(channel, body))
        }) as Caller);
    }
    Ok((callers, Box::new(())))
}
