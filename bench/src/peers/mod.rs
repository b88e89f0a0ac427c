//! Those that are measured: each a server and the callers of its connections, in this process.

mod grpc;
mod h3_quinn;
mod ours;
mod tonic_h2;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use quinn::TransportConfig;
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::tls::ServerTlsConfig;

/// A call's outcome: the answer's size in bytes.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<usize, String>> + Send>>;

/// One connection that calls are made on.
pub(crate) type Caller = Arc<dyn Fn(Bytes) -> Answer + Send + Sync>;

/// A stack under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    /// Our listener and channel, bodies as they are.
    Ours(Protocol),
    /// Our listener and channel under tonic's gRPC.
    OursGrpc(Protocol),
    /// tonic's own transport under tonic's gRPC, over TLS.
    Tonic,
    /// h3 with quinn and nothing else.
    H3Quinn,
    /// quinn and nothing else: connections that allow no streams, so that nothing is said on them.
    Quinn,
}

impl Stack {
    /// Those that answer calls.
    pub(crate) const ECHOES: [Self; 6] = [
        Self::Tonic,
        Self::OursGrpc(Protocol::Http2),
        Self::Ours(Protocol::Http2),
        Self::H3Quinn,
        Self::OursGrpc(Protocol::Http3),
        Self::Ours(Protocol::Http3),
    ];

    /// Those whose connections may be idle.
    pub(crate) const IDLE: [Self; 3] = [Self::Ours(Protocol::Http3), Self::H3Quinn, Self::Quinn];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ECHOES.into_iter().chain(Self::IDLE).find(|stack| stack.name() == name)
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Ours(protocol) => format!("omnirelay {protocol}"),
            Self::OursGrpc(protocol) => format!("omnirelay grpc {protocol}"),
            Self::Tonic => "tonic grpc http2".to_owned(),
            Self::H3Quinn => "h3+quinn http3".to_owned(),
            Self::Quinn => "quinn".to_owned(),
        }
    }

    /// Whom it is compared with.
    pub(crate) fn reference(self) -> Option<Self> {
        match self {
            Self::OursGrpc(_) | Self::Ours(Protocol::Http2 | Protocol::Http1) => Some(Self::Tonic),
            Self::Ours(Protocol::Http3) => Some(Self::H3Quinn),
            Self::Tonic | Self::H3Quinn | Self::Quinn => None,
        }
    }

    /// Its server: the port that it listens at, and what has to be polled to serve.
    pub(crate) async fn serve(self, tls: &ServerTlsConfig) -> Result<(u16, Serving)> {
        match self {
            Self::Ours(protocol) => ours::serve(tls, protocol, ours::Kind::Raw),
            Self::OursGrpc(protocol) => ours::serve(tls, protocol, ours::Kind::Grpc),
            Self::Tonic => tonic_h2::serve(tls).await,
            Self::H3Quinn => h3_quinn::serve(tls, TransportConfig::default(), h3_quinn::connection),
            Self::Quinn => h3_quinn::serve(tls, h3_quinn::without_streams(), h3_quinn::silence),
        }
    }

    /// Opens connections, which end when the returned guard is dropped.
    pub(crate) async fn connect(
        self,
        ca: &TestCa,
        port: u16,
        connections: usize,
    ) -> Result<(Vec<Caller>, Guard)> {
        match self {
            Self::Ours(protocol) => ours::connect(ca, port, protocol, connections, ours::Kind::Raw),
            Self::OursGrpc(protocol) => ours::connect(ca, port, protocol, connections, ours::Kind::Grpc),
            Self::Tonic => tonic_h2::connect(ca, port, connections).await,
            Self::H3Quinn => h3_quinn::connect(ca, port, connections).await,
            Self::Quinn => Err(OperatorError::new(ErrorKind::Usage, "nothing answers over quinn alone")),
        }
    }
}

/// What serves for as long as it is polled.
pub(crate) type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whatever keeps connections open.
pub(crate) type Guard = Box<dyn std::any::Any + Send>;

/// Ends a task when it is dropped.
pub(crate) struct EndOnDrop(pub(crate) tokio::task::AbortHandle);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) fn failed(what: &str, error: &(dyn std::error::Error + 'static)) -> OperatorError {
    OperatorError::new(ErrorKind::Unavailable, what.to_owned()).caused_by(error)
}
