//! Those that are measured: each a server and the callers of its connections, in this process.

mod grpc;
mod h3_quinn;
mod ours;
mod tonic_h2;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use omnirelay_runtime::Result;
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
}

impl Stack {
    pub(crate) const ALL: [Self; 6] = [
        Self::Tonic,
        Self::OursGrpc(Protocol::Http2),
        Self::Ours(Protocol::Http2),
        Self::H3Quinn,
        Self::OursGrpc(Protocol::Http3),
        Self::Ours(Protocol::Http3),
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Ours(protocol) => format!("omnirelay {protocol}"),
            Self::OursGrpc(protocol) => format!("omnirelay grpc {protocol}"),
            Self::Tonic => "tonic grpc http2".to_owned(),
            Self::H3Quinn => "h3+quinn http3".to_owned(),
        }
    }

    /// Whom it is compared with.
    pub(crate) fn reference(self) -> Option<Self> {
        match self {
            Self::OursGrpc(_) | Self::Ours(Protocol::Http2 | Protocol::Http1) => Some(Self::Tonic),
            Self::Ours(Protocol::Http3) => Some(Self::H3Quinn),
            Self::Tonic | Self::H3Quinn => None,
        }
    }

    /// Its server: the port that it listens at, and what has to be polled to serve.
    pub(crate) async fn serve(self, tls: &ServerTlsConfig) -> Result<(u16, Serving)> {
        match self {
            Self::Ours(protocol) => ours::serve(tls, protocol, ours::Kind::Raw),
            Self::OursGrpc(protocol) => ours::serve(tls, protocol, ours::Kind::Grpc),
            Self::Tonic => tonic_h2::serve(tls).await,
            Self::H3Quinn => h3_quinn::serve(tls),
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

pub(crate) fn failed(
    what: &str,
    error: &(dyn std::error::Error + 'static),
) -> omnirelay_runtime::OperatorError {
    omnirelay_runtime::OperatorError::new(omnirelay_runtime::ErrorKind::Unavailable, what.to_owned())
        .caused_by(error)
}
