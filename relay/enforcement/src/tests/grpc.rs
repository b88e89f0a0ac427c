//! gRPC says in trailers how a call ended, and a service of one's own stands behind the policy.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use omnirelay_runtime::Metrics;
use relay_core::{Code, Encoding, Protocol, RpcStyle, Status};
use relay_transport::{Body, BoxError, body, respond};
use tower::{Layer as _, ServiceExt as _};

use super::{at, checkpoints};
use crate::{Checkpoints, GuardLayer};

fn trailers(code: Code) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    respond::put_grpc_status(&mut trailers, &Status::new(code, ""));
    trailers
}

/// A body that comes in pieces, which end in `last`.
fn streamed(last: Result<Frame<Bytes>, BoxError>) -> Body {
    let first = Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\0")));
    body::boxed(StreamBody::new(futures_util::stream::iter([first, last])))
}

/// Calls that were answered, and that failed.
fn counts(checkpoints: &Checkpoints) -> (u64, u64) {
    let wires = &checkpoints.stats(at(0)).endpoints[0].wires;
    (wires.iter().map(|wire| wire.answered).sum(), wires.iter().map(|wire| wire.failed).sum())
}

#[tokio::test]
async fn a_call_ended_as_its_trailers_say() {
    let checkpoints = checkpoints(&["data:http"], &Metrics::default());
    let data = checkpoints.get("data:http").unwrap();
    let answered = |body: Body| {
        let counted = data.counted(Protocol::Http3, Encoding::Protobuf, tracing::Span::none());
        counted.answered(RpcStyle::Grpc, Response::new(body))
    };
    for (code, expected) in [(Code::Ok, (1, 0)), (Code::NotFound, (2, 0)), (Code::Internal, (2, 1))] {
        let response = answered(body::with_trailers("x", trailers(code)));
        assert_eq!(counts(&checkpoints), expected, "{code:?}: what is known in full is counted at once");
        drop(response);
    }
    for (code, expected) in [(Code::Ok, (3, 1)), (Code::Unavailable, (3, 2))] {
        let before = counts(&checkpoints);
        let response = answered(streamed(Ok(Frame::trailers(trailers(code)))));
        assert_eq!(counts(&checkpoints), before, "{code:?}: its outcome is still on its way");
        let collected = response.into_body().collect().await.unwrap();
        assert!(collected.trailers().is_some());
        assert_eq!(counts(&checkpoints), expected, "{code:?}");
    }
    assert!(answered(streamed(Err("cut".into()))).into_body().collect().await.is_err());
    assert_eq!(counts(&checkpoints), (3, 3), "an answer that broke off");
    drop(answered(streamed(Ok(Frame::trailers(trailers(Code::Ok))))));
    assert_eq!(counts(&checkpoints), (3, 4), "an answer that nobody read to its end");
    drop(answered(body::empty()));
    assert_eq!(counts(&checkpoints), (3, 5), "no outcome at all is no answer");
    let counted = data.counted(Protocol::Http3, Encoding::Protobuf, tracing::Span::none());
    drop(counted.answered(RpcStyle::Grpc, respond::grpc(&Status::internal("x"))));
    assert_eq!(counts(&checkpoints), (3, 6), "an outcome in the headers");
}

#[tokio::test]
async fn a_service_of_ones_own_is_behind_the_policy() {
    let checkpoints = checkpoints(&["data:http"], &Metrics::default());
    let served = tower::service_fn(|_request: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(body::with_trailers("x", trailers(Code::Ok))))
    });
    let service = GuardLayer::new(checkpoints.get("data:http").unwrap()).layer(served);
    let ask = |path: &str, content_type: &str| {
        let request = Request::post(path).version(http::Version::HTTP_2).header("content-type", content_type);
        service.clone().oneshot(request.body(body::empty()).unwrap())
    };
    assert!(ask("/a.B/C", "application/grpc").await.unwrap().headers().is_empty(), "it is let through");
    let refused = ask("/a.B/C", "application/grpc+json").await.unwrap();
    let status = respond::read_grpc_status(refused.headers()).unwrap();
    assert_eq!(status.code, Code::PermissionDenied, "{status:?}");
    assert_eq!(ask("/a.B/C", "application/json").await.unwrap().status(), 403);
    assert_eq!(ask("/healthz", "application/json").await.unwrap().status(), 200, "health is outside");
    let stats = &checkpoints.stats(at(0)).endpoints[0];
    assert_eq!((stats.calls, stats.refused), (1, 2));
}
