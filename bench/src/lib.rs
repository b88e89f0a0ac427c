//! What is measured without a socket, for the command and for criterion.

use std::convert::Infallible;
use std::hint::black_box;

use http::{Request, Response};
use jiff::Timestamp;
use omnirelay_proto::samples::v1::{GreetRequest, GreetResponse};
use omnirelay_runtime::Result;
use relay_core::{Encoding, Protocol};
use relay_policy::{Compiled, Decision, Endpoint, Exception, Policy, PolicyConfig, Style, Transport, Wire};
use relay_rpc::{DispatchService, Dispatcher};
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

/// The compiled policy of an endpoint with a question to it.
pub struct Asked {
    policy: Compiled,
    wire: Wire,
    now: Timestamp,
}

impl Asked {
    /// A policy with a hundred exceptions.
    #[must_use]
    pub fn new(case: PolicyCase) -> Self {
        let exception = |index: usize| Exception {
            name: format!("exception-{index}"),
            scope: "outbound:legacy".to_owned(),
            procedures: vec![format!("Service{index}::*")],
            transports: vec![Transport::Http1],
            encodings: Vec::new(),
            reason: "an old peer".to_owned(),
            approver: "somebody".to_owned(),
            expires: Timestamp::MAX,
        };
        let config =
            PolicyConfig { exceptions: (0..100).map(exception).collect(), ..PolicyConfig::default() };
        let (name, protocol) = match case {
            PolicyCase::Allowed => ("outbound:legacy", Protocol::Http3),
            PolicyCase::Excepted => ("outbound:legacy", Protocol::Http1),
            PolicyCase::Refused => ("outbound:modern", Protocol::Http1),
        };
        let endpoint = Endpoint {
            name: name.to_owned(),
            key: "outbounds.0".to_owned(),
            category: "control-plane".to_owned(),
            transports: Protocol::ALL.to_vec(),
            styles: vec![Style::Grpc],
            encodings: Some(vec![Encoding::Protobuf]),
        };
        let policy = Policy::new(&config).compile(&endpoint);
        let wire = Wire { protocol, style: Style::Grpc, encoding: Encoding::Protobuf };
        Self { policy, wire, now: Timestamp::UNIX_EPOCH }
    }

    /// Asks once; whether the call may go.
    #[must_use]
    pub fn decide(&self) -> bool {
        let decision = self.policy.decide(black_box(self.wire), black_box("Service99::Method"), self.now);
        !matches!(decision, Decision::Refused(_))
    }
}

/// How a dispatched call is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStyle {
    /// YARPC over HTTP with protobuf.
    Yarpc,
    /// gRPC.
    Grpc,
}

impl CallStyle {
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
    style: CallStyle,
}

impl Dispatch {
    /// Every style.
    pub const STYLES: [CallStyle; 2] = [CallStyle::Yarpc, CallStyle::Grpc];

    /// Registers a procedure that answers at once.
    ///
    /// # Errors
    /// Contracts that the dispatcher does not take, which would be a fault of ours.
    pub fn new(style: CallStyle) -> Result<Self> {
        let dispatcher = Dispatcher::new("greeter", omnirelay_proto::DESCRIPTOR_SET)?;
        let dispatcher =
            dispatcher.unary("/samples.v1.Greeter/Greet", |_call, request: GreetRequest| async {
                Ok(GreetResponse { message: request.name, served_by: String::new() })
            })?;
        Ok(Self { service: dispatcher.into_service(), style })
    }

    /// A request as a listener hands it over.
    #[must_use]
    pub fn request(&self) -> Request<Body> {
        let request = match self.style {
            CallStyle::Yarpc => Request::post("/yarpc/v1")
                .header("rpc-service", "greeter")
                .header("rpc-procedure", "Greeter::Greet")
                .header("rpc-encoding", "proto")
                .header("rpc-caller", "bench")
                .body(body::full(&b"\x0a\x03Ada"[..])),
            CallStyle::Grpc => Request::post("/samples.v1.Greeter/Greet")
                .header("content-type", "application/grpc")
                .body(body::full(&b"\0\0\0\0\x05\x0a\x03Ada"[..])),
        };
        request.unwrap_or_default()
    }

    /// One call; the size of its answer in bytes.
    pub async fn call(&self, request: Request<Body>) -> usize {
        let answer: std::result::Result<Response<Body>, Infallible> =
            self.service.clone().call(request).await;
        let Ok(answer) = answer;
        body::collect_limited(answer.into_body(), 1 << 20).await.map_or(0, |bytes| bytes.len())
    }
}
