//! Connections to a proxy and calls on them: hyper for HTTP/1.1 and HTTP/2, h3 with quinn for HTTP/3, nothing of the relay's.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::row::Row;
use super::{Failure, tls};

/// Where connections go.
#[derive(Clone)]
pub(super) struct Target {
    row: Row,
    address: SocketAddr,
    way: Way,
    request: Request<()>,
    body: Bytes,
}

#[derive(Clone)]
enum Way {
    Tcp(TlsConnector),
    Quic(quinn::Endpoint),
}

impl Target {
    pub(super) fn new(row: Row, port: u16, ca: &Path) -> Result<Self, Failure> {
        let tls = tls::client(ca, row.alpn())?;
        let way = match row {
            Row::Http3 => Way::Quic(endpoint(tls)?),
            _ => Way::Tcp(TlsConnector::from(tls)),
        };
        let address = ([127, 0, 0, 1], port).into();
        Ok(Self { row, address, way, request: row.request(), body: row.body() })
    }

    pub(super) fn row(&self) -> Row {
        self.row
    }

    /// Opens a connection.
    pub(super) async fn connect(&self) -> Result<Caller, Failure> {
        let tls = match &self.way {
            Way::Quic(endpoint) => return connect_http3(endpoint, self.address).await,
            Way::Tcp(tls) => tls,
        };
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let stream = TokioIo::new(tls.connect(ServerName::try_from("localhost")?, socket).await?);
        if self.row == Row::Http1 {
            let (sender, connection) = http1::handshake(stream).await?;
            // Its calls fail where the connection does.
            omnirelay_runtime::spawn("load-connection", async move { drop(connection.await) });
            return Ok(Caller::Http1(sender));
        }
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        omnirelay_runtime::spawn("load-connection", async move { drop(connection.await) });
        Ok(Caller::Http2(sender))
    }
}

fn endpoint(tls: Arc<rustls::ClientConfig>) -> Result<quinn::Endpoint, Failure> {
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let mut transport = quinn::TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_secs(600).try_into()?));
    config.transport_config(Arc::new(transport));
    let mut endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into())?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}

async fn connect_http3(endpoint: &quinn::Endpoint, address: SocketAddr) -> Result<Caller, Failure> {
    let connection = endpoint.connect(address, "localhost")?.await?;
    let (mut driver, sender) =
        h3::client::builder().send_grease(false).build(h3_quinn::Connection::new(connection)).await?;
    omnirelay_runtime::spawn("load-connection", async move { driver.wait_idle().await });
    Ok(Caller::Http3(sender))
}

/// One that makes a call at a time.
pub(super) enum Caller {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
    Http3(SendRequest<OpenStreams, Bytes>),
}

impl Caller {
    /// Another on the same connection, where it takes several calls at once.
    pub(super) fn another(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
            Self::Http3(sender) => Some(Self::Http3(sender.clone())),
        }
    }

    /// Makes a call and looks whether its answer is the right one, to the end.
    pub(super) async fn call(&mut self, target: &Target) -> Result<(), Failure> {
        let request = target.request.clone();
        let (response, trailers) = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                whole(sender.send_request(request.map(|()| Full::new(target.body.clone()))).await?).await?
            }
            Self::Http2(sender) => {
                whole(sender.send_request(request.map(|()| Full::new(target.body.clone()))).await?).await?
            }
            Self::Http3(sender) => call_http3(sender, request, target.body.clone()).await?,
        };
        judge(target, &response, trailers.as_ref())
    }
}

type Whole = (Response<usize>, Option<HeaderMap>);

async fn whole(response: Response<hyper::body::Incoming>) -> Result<Whole, Failure> {
    let (head, mut body) = response.into_parts();
    let (mut size, mut trailers) = (0, None);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => size += data.len(),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((Response::from_parts(head, size), trailers))
}

async fn call_http3(
    sender: &mut SendRequest<OpenStreams, Bytes>,
    request: Request<()>,
    body: Bytes,
) -> Result<Whole, Failure> {
    let mut stream = sender.send_request(request).await?;
    stream.send_data(body).await?;
    stream.finish().await?;
    let response = stream.recv_response().await?;
    let mut size = 0;
    while let Some(data) = stream.recv_data().await? {
        size += data.remaining();
    }
    Ok((response.map(|()| size), None))
}

fn judge(target: &Target, response: &Response<usize>, trailers: Option<&HeaderMap>) -> Result<(), Failure> {
    let (status, size) = (response.status(), *response.body());
    if status != StatusCode::OK || size != target.body.len() {
        return Err(format!("the answer is {status} with {size} bytes").into());
    }
    let grpc_status = trailers.and_then(|trailers| trailers.get("grpc-status"));
    if target.row == Row::Grpc && grpc_status.is_none_or(|status| status != "0") {
        return Err(format!("gRPC's status is {grpc_status:?}").into());
    }
    Ok(())
}
