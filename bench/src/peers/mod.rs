//! Those that are measured: each a server and the callers of its connections, in this process.

mod grpc;
pub(crate) mod h3_quinn;
mod ours;
mod tonic_h2;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use omnirelay_runtime::Result;
use relay_core::Protocol;
use relay_testkit::TestCa;

pub(crate) use ours::{echo, limits};

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

    /// Starts its server and opens connections; all ends when the returned guard is dropped.
    pub(crate) async fn start(self, ca: &TestCa, connections: usize) -> Result<(Vec<Caller>, Guard)> {
        match self {
            Self::Ours(protocol) => ours::start(ca, protocol, connections, ours::Kind::Raw).await,
            Self::OursGrpc(protocol) => ours::start(ca, protocol, connections, ours::Kind::Grpc).await,
            Self::Tonic => tonic_h2::start(ca, connections).await,
            Self::H3Quinn => h3_quinn::start(ca, connections).await,
        }
    }
}

/// Whatever keeps a server running.
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
