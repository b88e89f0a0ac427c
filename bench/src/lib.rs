//! What is measured without a socket, for the command and for criterion.

use std::convert::Infallible;
use std::hint::black_box;

use http::{Request, Response};
use jiff::Timestamp;
use omnirelay_proto::samples::v1::{GreetRequest, GreetResponse};
use omnirelay_runtime::Result;
use relay_core::{Encoding, Protocol};
use relay_policy::{Exception, Policy, PolicyConfig, Verdict};
use relay_server::dispatch::{DispatchService, Dispatcher};
use relay_transport::{Body, body};
use tower::Service as _;

/// A question to the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyCase {
    /// The rule allows it.
    Allowed,
    /// The last of a hundred exceptions allows it.
    Excepted,
    /// Nothing allows it.
    Refused,
}

impl PolicyCase {
    /// Every question.
    pub const ALL: [Self; 3] = [Self::Allowed, Self::Excepted, Self::Refused];

    /// What it is called in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "policy: allowed by the rule",
            Self::Excepted => "policy: the last of 100 exceptions",
            Self::Refused => "policy: refused, 100 exceptions",
        }
    }
}

/// A policy with a question to it.
pub struct Decision {
    policy: Policy,
    case: PolicyCase,
    now: Timestamp,
}

impl Decision {
    /// A policy with a hundred exceptions.
    #[must_use]
    pub fn new(case: PolicyCase) -> Self {
        let exception = |index: usize| Exception {
            name: format!("exception-{index}"),
            scope: format!("outbound:service-{index}"),
            transports: vec![Protocol::Http1],
            encodings: vec![Encoding::Json],
            reason: "an old peer".to_owned(),
            approver: "somebody".to_owned(),
            expires: Timestamp::MAX,
        };
        let config =
            PolicyConfig { exceptions: (0..100).map(exception).collect(), ..PolicyConfig::default() };
        Self { policy: Policy::new(&config), case, now: Timestamp::UNIX_EPOCH }
    }

    /// Asks once; whether the call may go.
    #[must_use]
    pub fn decide(&self) -> bool {
        let (endpoint, transport) = match self.case {
            PolicyCase::Allowed => ("outbound:service-1", Protocol::Http3),
            PolicyCase::Excepted => ("outbound:service-99", Protocol::Http1),
            PolicyCase::Refused => ("outbound:unknown", Protocol::Http1),
        };
        let verdict = self.policy.evaluate(
            black_box(endpoint),
            black_box("control-plane"),
            black_box(transport),
            Encoding::Protobuf,
            self.now,
        );
        !matches!(verdict, Verdict::Refused(_))
    }
}

/// How a dispatched call is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// YARPC over HTTP with protobuf.
    Yarpc,
    /// gRPC.
    Grpc,
}

impl Style {
    /// What it is called in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yarpc => "dispatch: unary, yarpc protobuf",
            Self::Grpc => "dispatch: unary, grpc",
        }
    }
}

/// A dispatcher with one procedure and a call to it.
pub struct Dispatch {
    service: DispatchService,
    style: Style,
}

impl Dispatch {
    /// Every style.
    pub const STYLES: [Style; 2] = [Style::Yarpc, Style::Grpc];

    /// Registers a procedure that answers at once.
    ///
    /// # Errors
    /// Contracts that the dispatcher does not take, which would be a fault of ours.
    pub fn new(style: Style) -> Result<Self> {
        let dispatcher = Dispatcher::new("greeter", omnirelay_proto::DESCRIPTOR_SET)?;
        let dispatcher =
            dispatcher.unary("/samples.v1.Greeter/Greet", |_call, request: GreetRequest| async {
                Ok(GreetResponse { message: request.name, served_by: String::new() })
            })?;
        Ok(Self { service: dispatcher.into_service(), style })
    }

    /// One call; the size of its answer in bytes.
    pub async fn call(&self) -> usize {
        let request = match self.style {
            Style::Yarpc => Request::post("/yarpc/v1")
                .header("rpc-service", "greeter")
                .header("rpc-procedure", "Greeter::Greet")
                .header("rpc-encoding", "proto")
                .header("rpc-caller", "bench")
                .body(body::full(&b"\x0a\x03Ada"[..])),
            Style::Grpc => Request::post("/samples.v1.Greeter/Greet")
                .header("content-type", "application/grpc")
                .body(body::full(&b"\0\0\0\0\x05\x0a\x03Ada"[..])),
        };
        let answer: std::result::Result<Response<Body>, Infallible> =
            self.service.clone().call(request.unwrap_or_default()).await;
        let Ok(answer) = answer;
        body::collect_limited(answer.into_body(), 1 << 20).await.map_or(0, |bytes| bytes.len())
    }
}
