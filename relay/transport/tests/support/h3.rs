//! HTTP/3 over quinn: good requests by h3, and raw streams for everything else (RFC 9114).

use std::net::UdpSocket;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Endpoint, EndpointConfig, VarInt};
use relay_core::Protocol;
use relay_transport::BoxError;
use relay_transport::quic::{Connection, Opener, Side};
use relay_transport::tls::{self, ClientTlsConfig};

use super::{LONG, Server};

pub(crate) const H3_GENERAL_PROTOCOL_ERROR: u32 = 0x101;
pub(crate) const H3_STREAM_CREATION_ERROR: u32 = 0x103;
pub(crate) const H3_CLOSED_CRITICAL_STREAM: u32 = 0x104;
pub(crate) const H3_FRAME_UNEXPECTED: u32 = 0x105;
pub(crate) const H3_FRAME_ERROR: u32 = 0x106;
pub(crate) const H3_EXCESSIVE_LOAD: u32 = 0x107;
pub(crate) const H3_ID_ERROR: u32 = 0x108;
pub(crate) const H3_SETTINGS_ERROR: u32 = 0x109;
pub(crate) const H3_MISSING_SETTINGS: u32 = 0x10a;
pub(crate) const H3_REQUEST_CANCELLED: u32 = 0x10c;
pub(crate) const H3_REQUEST_INCOMPLETE: u32 = 0x10d;
pub(crate) const H3_MESSAGE_ERROR: u32 = 0x10e;
pub(crate) const QPACK_DECOMPRESSION_FAILED: u32 = 0x200;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const CANCEL_PUSH: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const MAX_PUSH_ID: u8 = 0xd;

pub(crate) const CONTROL_STREAM: u8 = 0;
pub(crate) const PUSH_STREAM: u8 = 1;

/// GET https://localhost/ in QPACK's static table (RFC 9204, appendix A): an empty prefix, `:method
/// GET`, `:scheme https`, `:path /`, and `:authority` as a literal.
pub(crate) const GET: &[u8] = &[0, 0, 0xd1, 0xd7, 0xc1, 0x50, 1, b'a'];

/// A frame of at most 16 KiB.
pub(crate) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 64 => out.push(length),
        _ => out.extend((u16::try_from(payload.len()).unwrap() | 0x4000).to_be_bytes()),
    }
    out.extend(payload);
    out
}

/// A field line with its name and value written out.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0x20 | u8::try_from(name.len().min(7)).unwrap()];
    if name.len() >= 7 {
        out.push(u8::try_from(name.len() - 7).unwrap());
    }
    out.extend(name.as_bytes());
    out.push(u8::try_from(value.len()).unwrap());
    out.extend(value.as_bytes());
    out
}

/// The frames that a stream of a request or an answer is made of, whole: their kinds and payloads.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (kind, length) = (varint(&mut bytes), usize::try_from(varint(&mut bytes)).unwrap());
        let (payload, rest) = bytes.split_at(length);
        frames.push((kind, payload.to_vec()));
        bytes = rest;
    }
    frames
}

/// A variable-length integer (RFC 9000, section 16).
fn varint(bytes: &mut &[u8]) -> u64 {
    let length = 1 << (bytes[0] >> 6);
    let (number, rest) = bytes.split_at(length);
    *bytes = rest;
    number.iter().skip(1).fold(u64::from(number[0] & 0x3f), |number, byte| number << 8 | u64::from(*byte))
}

/// A client's own endpoint with a connection that is up.
pub(crate) struct Peer {
    pub(crate) endpoint: Endpoint,
    pub(crate) connection: quinn::Connection,
}

pub(crate) fn endpoint() -> Endpoint {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(quinn::TokioRuntime)).unwrap()
}

pub(crate) async fn raw(server: &Server, client: &ClientTlsConfig) -> Result<Peer, quinn::ConnectionError> {
    raw_with(server, client, quinn::TransportConfig::default()).await
}

/// As [`raw`], with windows and the like of the test's own.
pub(crate) async fn raw_with(
    server: &Server,
    client: &ClientTlsConfig,
    transport: quinn::TransportConfig,
) -> Result<Peer, quinn::ConnectionError> {
    let tls = tls::client_config(client, &[Protocol::Http3]).unwrap();
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(Arc::new(transport));
    let endpoint = endpoint();
    let connection = endpoint.connect_with(config, server.inet(), "localhost").unwrap().await?;
    Ok(Peer { endpoint, connection })
}

impl Peer {
    /// Opens a stream of one direction and writes to it; it stays open for as long as it is held.
    pub(crate) async fn uni(&self, bytes: &[u8]) -> quinn::SendStream {
        let mut stream = self.connection.open_uni().await.unwrap();
        // The other side may have closed already.
        let _cut = stream.write_all(bytes).await;
        stream
    }

    /// The control stream with empty settings.
    pub(crate) async fn control(&self) -> quinn::SendStream {
        let mut bytes = vec![CONTROL_STREAM];
        bytes.extend(frame(SETTINGS, &[]));
        self.uni(&bytes).await
    }

    /// Opens a request stream and writes to it.
    pub(crate) async fn request(&self, bytes: &[u8]) -> (quinn::SendStream, quinn::RecvStream) {
        let (mut send, recv) = self.connection.open_bi().await.unwrap();
        let _cut = send.write_all(bytes).await;
        (send, recv)
    }

    /// The code that the connection is closed with.
    pub(crate) async fn closed_with(&self) -> Result<u32, String> {
        match tokio::time::timeout(LONG, self.connection.closed()).await {
            Ok(quinn::ConnectionError::ApplicationClosed(close)) => {
                Ok(u32::try_from(close.error_code.into_inner()).unwrap())
            }
            Ok(other) => Err(format!("closed otherwise: {other}")),
            Err(_elapsed) => Err("the connection stays open".to_owned()),
        }
    }
}

/// The code that a stream is reset with; nothing where it ends well.
pub(crate) async fn reset_with(mut recv: quinn::RecvStream) -> Option<u32> {
    match tokio::time::timeout(LONG, recv.read_to_end(1 << 20)).await.expect("the listener answers") {
        Ok(_) => None,
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => {
            Some(u32::try_from(VarInt::into_inner(code)).unwrap())
        }
        Err(other) => panic!("ended otherwise: {other}"),
    }
}

/// A connection that h3 asks over.
pub(crate) struct Client {
    pub(crate) peer: Peer,
    pub(crate) send: h3::client::SendRequest<Opener, Bytes>,
}

pub(crate) async fn connect(server: &Server, client: &ClientTlsConfig) -> Result<Client, BoxError> {
    let peer = raw(server, client).await?;
    let quic = Connection::new(peer.connection.clone(), Side::Client, 64 << 10);
    let (mut driver, send) = h3::client::new(quic).await?;
    let driving = async move { driver.wait_idle().await };
    let _driver = omnirelay_runtime::spawn("h3-client", driving);
    Ok(Client { peer, send })
}

/// One GET.
pub(crate) async fn get(client: &Client, path: &str) -> Result<String, BoxError> {
    let request = http::Request::get(format!("https://localhost{path}")).body(()).unwrap();
    let mut stream = client.send.clone().send_request(request).await?;
    stream.finish().await?;
    let _head = stream.recv_response().await?;
    let mut whole = Vec::new();
    while let Some(mut piece) = stream.recv_data().await? {
        whole.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    Ok(String::from_utf8(whole).unwrap())
}
