//! HTTP/2 frame by frame, right or wrong (RFC 9113).

use relay_core::Protocol;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{LONG, Server};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// GET https://a/ in HPACK (RFC 7541): three indexed fields and a literal.
pub(crate) const GET: &[u8] = &[0x82, 0x87, 0x84, 0x01, 1, b'a'];
/// POST https://a/
pub(crate) const POST: &[u8] = &[0x83, 0x87, 0x84, 0x01, 1, b'a'];

/// GET https://a with a path and more fields.
pub(crate) fn get(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x01, 1, b'a', 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.bytes());
    for (name, value) in fields {
        literal(&mut block, name, value);
    }
    block
}

/// A literal field without indexing and with a new name; shorter than 127 bytes each.
pub(crate) fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        block.push(u8::try_from(text.len()).unwrap());
        block.extend(text.bytes());
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = length[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// How a connection answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// GOAWAY with this code.
    Goaway(u32),
    /// RST_STREAM with this code.
    Reset(u32),
    /// The end of a stream with an answer.
    Answer,
    /// A PING's answer.
    Pong,
    /// The end of the connection without a word.
    Closed,
}

pub(crate) struct Peer {
    pub(crate) io: TlsStream<TcpStream>,
}

impl Peer {
    /// Connects and says nothing.
    pub(crate) async fn silent(server: &Server) -> Self {
        Self { io: server.tls(&server.client(None), Protocol::Http2).await.unwrap() }
    }

    /// Connects and begins as it should.
    pub(crate) async fn new(server: &Server) -> Self {
        let mut peer = Self::silent(server).await;
        peer.send(PREFACE).await;
        peer.send(&frame(SETTINGS, 0, 0, &[])).await;
        peer
    }

    /// Writes; the other side may have closed already.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.io.write_all(bytes).await.is_ok() && self.io.flush().await.is_ok()
    }

    /// Reads until something decides: an error, an answer or a PING's.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        tokio::time::timeout(LONG, self.read()).await.expect("the listener answers or closes")
    }

    /// Every frame of a stream until it ends: its kind, its flags and its length.
    pub(crate) async fn stream(&mut self, stream: u32) -> Vec<(u8, u8, usize)> {
        let mut frames = Vec::new();
        let reading = async {
            loop {
                let mut head = [0; 9];
                self.io.read_exact(&mut head).await.unwrap();
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                self.io.read_exact(&mut vec![0; length]).await.unwrap();
                if u32::from_be_bytes(head[5..9].try_into().unwrap()) != stream {
                    continue;
                }
                frames.push((head[3], head[4], length));
                if head[3] == RST_STREAM || (matches!(head[3], DATA | HEADERS) && head[4] & END_STREAM != 0) {
                    return;
                }
            }
        };
        tokio::time::timeout(LONG, reading).await.expect("the stream ends");
        frames
    }

    async fn read(&mut self) -> Outcome {
        loop {
            let mut head = [0; 9];
            if self.io.read_exact(&mut head).await.is_err() {
                return Outcome::Closed;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if self.io.read_exact(&mut payload).await.is_err() {
                return Outcome::Closed;
            }
            let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match head[3] {
                GOAWAY => return Outcome::Goaway(word(4)),
                RST_STREAM => return Outcome::Reset(word(0)),
                PING if head[4] == ACK => return Outcome::Pong,
                DATA | HEADERS if head[4] & END_STREAM != 0 => return Outcome::Answer,
                _ => {}
            }
        }
    }
}
