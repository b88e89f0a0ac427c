//! tonic as it comes, over TLS.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use omnirelay_runtime::Result;
use relay_testkit::TestCa;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};

use super::{Caller, EndOnDrop, Guard, failed, grpc};

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

pub(super) async fn start(ca: &TestCa, connections: usize) -> Result<(Vec<Caller>, Guard)> {
    let io = |error: std::io::Error| failed("tonic cannot listen", &error);
    let broken = |error: tonic::transport::Error| failed("tonic cannot start", &error);
    let issued = ca.issue("spiffe://bench/tonic");
    let read = |path| std::fs::read(path).map_err(io);
    let identity = Identity::from_pem(read(&issued.certificate)?, read(&issued.private_key)?);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(io)?;
    let port = listener.local_addr().map_err(io)?.port();
    let server = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .map_err(broken)?
        .tcp_nodelay(true)
        .add_service(EchoService);
    let serving =
        omnirelay_runtime::spawn("tonic", server.serve_with_incoming(TcpListenerStream::new(listener)));
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&ca.ca())?))
        .domain_name("localhost");
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
    Ok((callers, Box::new(EndOnDrop(serving.abort_handle()))))
}
